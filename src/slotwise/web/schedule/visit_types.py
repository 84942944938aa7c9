"""The kinds of visits of the clinic: see them, add one, change one, stop one."""

from collections.abc import Sequence
from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from msgspec.structs import asdict, replace

from slotwise.domain.errors import ChangedMeanwhile, InvalidInput, ScheduleTooLarge, SlotOverlaps, VisitTypeInUse
from slotwise.domain.fields import MAX_ID
from slotwise.domain.schedule_changes import LengthChange, ScheduleChange
from slotwise.domain.visit_types import VisitType, VisitTypeChange, clean_visit_type, fields_of
from slotwise.services.schedule.visit_types import VisitTypes
from slotwise.web.kit.access import ADMIN, DESK, PageRequest, account_in, page_for
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import Id
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.times import ClinicTime
from slotwise.web.schedule import visit_type_forms
from slotwise.web.schedule.kept_decisions import with_decisions_of
from slotwise.web.schedule.previews import Asked, ask_for_preview, refuse_change
from slotwise.web.schedule.visit_type_forms import OtherChange, at_fields_of_the_form, form_of, merged, visit_type_in

LIST = "/admin/visit-types"


class VisitTypeController(Controller):
    path = LIST

    @get("/", **page_for(DESK))
    async def list_visit_types(
        self, request: PageRequest, renderer: NamedDependency[Renderer], visit_types: NamedDependency[VisitTypes]
    ) -> Response[Any]:
        found = await visit_types.list_visit_types(for_desk=True)
        words = dict(visit_type_forms.MODES)
        return renderer.answer(request, "schedule/visit_types/list.html", found=found, modes=words)

    @get("/new", **page_for(ADMIN))
    async def ask_for_visit_type(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        return _show(request, renderer, None, visit_type_forms.blank_visit_type())

    @post("/new", **page_for(ADMIN))
    async def create_visit_type(
        self, request: PageRequest, renderer: NamedDependency[Renderer], visit_types: NamedDependency[VisitTypes]
    ) -> Response[Any]:
        form = await Form.of(request)
        try:
            made = await visit_types.create_visit_type(account_in(request), visit_type_in(form))
        except InvalidInput as error:
            form.refuse(at_fields_of_the_form(error))
            return _show(request, renderer, None, form, 400)
        return see_other(request, LIST, notice=f"{made.name} was added. Now choose it for times.")

    @get("/{visit_type_id:int}", **page_for(ADMIN))
    async def show_visit_type(
        self,
        request: PageRequest,
        visit_type_id: Id,
        renderer: NamedDependency[Renderer],
        visit_types: NamedDependency[VisitTypes],
    ) -> Response[Any]:
        visit_type = await visit_types.get_visit_type(visit_type_id)
        return _show(request, renderer, visit_type, form_of(visit_type))

    @post("/{visit_type_id:int}", **page_for(ADMIN))
    async def update_visit_type(
        self,
        request: PageRequest,
        visit_type_id: Id,
        renderer: NamedDependency[Renderer],
        visit_types: NamedDependency[VisitTypes],
    ) -> Response[Any]:
        """If somebody else has changed it since the form was shown, shows what, and saves nothing.

        Another length of a type that weekly hours have is previewed, as a change of the hours.
        """
        form = await Form.of(request)
        try:
            change = _change_in(form)
            versions = frozenset({form.number("version", 0, MAX_ID)}) if form.text("version") else None
            changed = await visit_types.update_visit_type(account_in(request), visit_type_id, change, versions)
        except InvalidInput as error:
            form.refuse(at_fields_of_the_form(error))
            return _show(request, renderer, await visit_types.get_visit_type(visit_type_id), form, 400)
        except SlotOverlaps as error:
            _refuse_overlap(form, error, renderer.time)
            return _show(request, renderer, await visit_types.get_visit_type(visit_type_id), form, 409)
        except VisitTypeInUse:
            current = await visit_types.get_visit_type(visit_type_id)
            linked = await visit_types.list_types_of_same_hours(visit_type_id)
            return await _preview_length(request, renderer, current, linked, form)
        except ChangedMeanwhile:
            current = await visit_types.get_visit_type(visit_type_id)
            again, others = merged(form, current)
            return _show(request, renderer, current, with_decisions_of(form, again), 409, others)
        return see_other(request, LIST, notice=_done_words(changed, form))


async def _preview_length(
    request: PageRequest, renderer: Renderer, current: VisitType, others: Sequence[VisitType], form: Form
) -> Response[Any]:
    """With the other types of the same hours, whose times have one length."""
    wanted, present = clean_visit_type(visit_type_in(form)), fields_of(current)
    same = replace(wanted, minutes=present.minutes, buffer_minutes=present.buffer_minutes, active=present.active)
    try:
        if same != present:
            raise InvalidInput.of("minutes", "changes weekly hours. Save the other changes first, without this one")
        others = others if wanted.minutes != present.minutes else ()
        own = LengthChange(current.id, wanted.minutes, wanted.buffer_minutes)
        lengths = (own, *(LengthChange(each.id, wanted.minutes) for each in others))
        asked = Asked(ScheduleChange(change_lengths=lengths), _length_words(current, others), LIST, LIST)
        return await ask_for_preview(request, renderer, asked, form)
    except (InvalidInput, ScheduleTooLarge) as error:
        refuse_change(form, error)
        return _show(request, renderer, current, form, 400)
    except SlotOverlaps as error:
        _refuse_overlap(form, error, renderer.time)
        return _show(request, renderer, current, form, 409)


def _length_words(current: VisitType, others: Sequence[VisitType]) -> str:
    if not others:
        return f"Length of {current.name}"
    *names, last = (current.name, *(each.name for each in others))
    return f"Length of {', '.join(names)} and {last}, which have the same hours"


def _refuse_overlap(form: Form, error: SlotOverlaps, time: ClinicTime) -> None:
    period = "" if error.period is None else f": {time.moment(error.period[0])}"
    form.problem = f"The longer buffer would reach into another time of a doctor{period}. Move or close that one first."


def _change_in(form: Form) -> VisitTypeChange:
    """What the form has: all fields, or only whether the type is offered."""
    if form.text("active"):
        return VisitTypeChange(active=form.text("active") == "yes")
    values = asdict(visit_type_in(form))
    del values["active"]
    return VisitTypeChange(**values)


def _show(
    request: PageRequest,
    renderer: Renderer,
    visit_type: VisitType | None,
    form: Form,
    status: int = 200,
    others: Sequence[OtherChange] = (),
) -> Response[Any]:
    """`others` is what somebody else has changed since this person opened the form."""
    return renderer.answer(
        request,
        "schedule/visit_types/edit.html",
        status,
        visit_type=visit_type,
        form=form,
        others=others,
        modes=visit_type_forms.MODES,
        patients=visit_type_forms.PATIENTS,
        bookable_by=visit_type_forms.BOOKABLE_BY,
        units=visit_type_forms.UNITS,
    )


def _done_words(changed: VisitType, form: Form) -> str:
    match form.text("active"):
        case "":
            return f"{changed.name} was saved."
        case "yes":
            return f"{changed.name} is offered again."
        case _:
            return f"{changed.name} is no longer offered. Booked appointments stay."
