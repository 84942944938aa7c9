"""A doctor's weekly hours: see them, add some, change, end and remove them. Each change is previewed."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from msgspec.structs import replace

from slotwise.domain.clinics import Clinic, ClinicBook
from slotwise.domain.doctors import Doctor
from slotwise.domain.errors import InvalidInput, ScheduleTooLarge
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.domain.schedule_diff import MovedTime
from slotwise.domain.schedules import Rule
from slotwise.domain.visit_types import VisitType
from slotwise.domain.window_diff import MovedWindow
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.schedules import Schedules
from slotwise.services.schedule.visit_types import VisitTypes
from slotwise.web.kit.access import ADMIN, DESK, PageRequest, page_for
from slotwise.web.kit.forms import Form
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.queries import Id, day_in, query_form
from slotwise.web.kit.rendering import Renderer
from slotwise.web.schedule import hour_forms
from slotwise.web.schedule.kept_decisions import with_decisions_of
from slotwise.web.schedule.previews import Asked, ask_for_preview, refuse_change
from slotwise.web.schedule.schedule_words import DAYS, hours_words, rule_row


class Place(NamedTuple):
    """What the forms of a doctor's hours need."""

    doctor: Doctor
    rules: list[Rule]
    types: list[VisitType]
    clinics: list[Clinic]

    @property
    def path(self) -> str:
        return f"/admin/doctors/{self.doctor.id}/hours"


class HoursController(Controller):
    path = "/admin/doctors/{doctor_id:int}/hours"

    @get("/", **page_for(DESK))
    async def show_hours(
        self,
        request: PageRequest,
        doctor_id: Id,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
        schedules: NamedDependency[Schedules],
        visit_types: NamedDependency[VisitTypes],
    ) -> Response[Any]:
        doctor, today = await doctors.get_doctor(doctor_id), renderer.time.today()
        found, types = await schedules.list_rules(doctor_id), await visit_types.list_visit_types(for_desk=True)
        rules = sorted(
            (rule for rule in found.rules if rule.removed_at is None and (rule.last_day or today) >= today),
            key=lambda rule: (rule.weekday, rule.opens, rule.first_day),
        )
        rows = [rule_row(rule, found.runs.get(rule.id), renderer.time_of(rule.clinic_id), types) for rule in rules]
        week = [(name, [row for row in rows if row.rule.weekday == day]) for day, name in enumerate(DAYS, 1)]
        return renderer.answer(
            request,
            "schedule/hours/week.html",
            doctor=doctor,
            week=week,
            has_rules=bool(rows),
            moved=[_at_clinic(each, renderer) for each in found.moved],
            moved_windows=[_in_zone(each, renderer) for each in found.moved_windows],
            drifted=[renderer.at_clinic(slot) for slot in found.drifted],
        )

    @get("/new", **page_for(ADMIN))
    async def ask_for_hours(
        self, request: PageRequest, doctor_id: Id, renderer: NamedDependency[Renderer]
    ) -> Response[Any]:
        place, today = await _place(request, renderer, doctor_id), renderer.time.today()
        follows = query_form(request, "replace").text("replace") and place.rules
        if not follows:
            return _show_form(request, renderer, place, None, hour_forms.blank_hours(today))
        form, why_blank = hour_forms.following_hours(place.rules, today)
        return _show_form(request, renderer, place, None, form, why_blank=why_blank)

    @post("/new", **page_for(ADMIN))
    async def add_hours(
        self, request: PageRequest, doctor_id: Id, renderer: NamedDependency[Renderer]
    ) -> Response[Any]:
        """Shows what they would do."""
        form, place = await Form.of(request), await _place(request, renderer, doctor_id)
        try:
            added = hour_forms.rules_in(form, doctor_id, place.clinics, [each.id for each in place.types])
            hour_forms.check_lengths(added, place.types)
            change = hour_forms.change_in(form, added, place.rules)
            heading = f"New hours of {place.doctor.name}"
            return await _preview(request, renderer, place, change, heading, form)
        except (InvalidInput, ScheduleTooLarge) as error:
            return _refused(request, renderer, place, None, form, error)

    @get("/{rule_id:int}", **page_for(ADMIN))
    async def show_rule(
        self, request: PageRequest, doctor_id: Id, rule_id: Id, renderer: NamedDependency[Renderer]
    ) -> Response[Any]:
        place = await _place(request, renderer, doctor_id, rule_id)
        rule = _rule_of(place, rule_id)
        return _show_form(request, renderer, place, rule, hour_forms.form_of(rule))

    @post("/{rule_id:int}", **page_for(ADMIN))
    async def change_hours(
        self, request: PageRequest, doctor_id: Id, rule_id: Id, renderer: NamedDependency[Renderer]
    ) -> Response[Any]:
        """Shows what it would do: to change the hours, to end them on a day, or to remove them."""
        form, place = await Form.of(request), await _place(request, renderer, doctor_id, rule_id)
        rule = _rule_of(place, rule_id)
        if form.text("version") != str(rule.version):
            again = with_decisions_of(form, hour_forms.form_of(rule))
            again.problem = "Somebody else has changed these hours meanwhile. Nothing was saved. They are now as below."
            return _show_form(request, renderer, place, rule, again, 409)
        try:
            change = _change_of(form, place, rule)
            heading = f"{DAYS[rule.weekday - 1]}, {hours_words(rule)}, of {place.doctor.name}"
            return await _preview(request, renderer, place, change, heading, form)
        except (InvalidInput, ScheduleTooLarge) as error:
            return _refused(request, renderer, place, rule, form, error)


async def _place(request: PageRequest, renderer: Renderer, doctor_id: int, rule_id: int | None = None) -> Place:
    """To choose from: what is active, and what the rule has. Raises `DoctorNotFound`."""
    services = page_parts(request).services
    doctor = await services.doctors.get_doctor(doctor_id)
    rules = [rule for rule in (await services.schedules.list_rules(doctor_id)).rules if rule.removed_at is None]
    rule = next((each for each in rules if each.id == rule_id), None)
    kept = (rule.visit_type_ids or ()) if rule else ()
    visit_types: VisitTypes = services.visit_types
    found = await visit_types.list_visit_types(for_desk=True)
    types = [each for each in found if each.active or each.id in kept]
    works_at = await services.clinics.list_doctor_clinics(doctor_id)
    return Place(doctor, rules, types, _offered_clinics(renderer.clinics, works_at, rule))


def _offered_clinics(clinics: ClinicBook, works_at: Sequence[int], rule: Rule | None) -> list[Clinic]:
    """The active ones where the doctor works, and that of the rule; never empty."""
    own = {rule.clinic_id} if rule else set()
    active = {each.id for each in clinics.active if not works_at or each.id in works_at}
    return [each for each in clinics.all if each.id in active | own] or [clinics.main]


def _at_clinic(moved: MovedTime, renderer: Renderer) -> MovedTime:
    """With both moments in the zone of the clinic."""
    zone = renderer.clinics.zone_of(moved.slot.clinic_id)
    return replace(
        moved,
        slot=replace(moved.slot, start_time=moved.slot.start_time.astimezone(zone)),
        moment=moved.moment and moved.moment.astimezone(zone),
    )


def _in_zone(moved: MovedWindow, renderer: Renderer) -> MovedWindow:
    """The same of open time."""
    zone = renderer.clinics.zone_of(moved.window.clinic_id)
    window = replace(moved.window, start_time=moved.window.start_time.astimezone(zone))
    return MovedWindow(window, moved.moment.astimezone(zone))


def _rule_of(place: Place, rule_id: int) -> Rule:
    found = next((rule for rule in place.rules if rule.id == rule_id), None)
    if found is None:
        raise NotFoundException("These hours do not exist, or somebody has removed them.")
    return found


def _change_of(form: Form, place: Place, rule: Rule) -> ScheduleChange:
    match form.text("step"):
        case "remove":
            return ScheduleChange(remove_rules=(rule.id,))
        case "again":
            return ScheduleChange(change_rules=(rule,))
        case "end":
            last_day = day_in(form, "end_day")
            if last_day is None:
                raise InvalidInput.of("end_day", "must be a date such as 2026-11-24")
            return ScheduleChange(change_rules=(hour_forms.ended(rule, last_day),))
        case _:
            wanted = hour_forms.rules_in(form, place.doctor.id, place.clinics, [each.id for each in place.types])
            hour_forms.check_lengths(wanted, place.types)
            changed, *more = sorted(wanted, key=lambda each: each.weekday != rule.weekday)
            changed = replace(changed, id=rule.id, version=rule.version)
            return ScheduleChange(change_rules=(changed,), add_rules=tuple(more))


async def _preview(
    request: PageRequest, renderer: Renderer, place: Place, change: ScheduleChange, heading: str, form: Form
) -> Response[Any]:
    return await ask_for_preview(request, renderer, Asked(change, heading, place.path, place.path), form)


def _refused(
    request: PageRequest,
    renderer: Renderer,
    place: Place,
    rule: Rule | None,
    form: Form,
    error: InvalidInput | ScheduleTooLarge,
) -> Response[Any]:
    # Boxes that were not ticked are not sent. What is wrong with them stands at their place.
    form.values = {"weekdays": "", "visit_types": "", **form.values}
    refuse_change(form, hour_forms.at_fields_of_the_form(error) if isinstance(error, InvalidInput) else error)
    return _show_form(request, renderer, place, rule, form, 400)


def _show_form(
    request: PageRequest,
    renderer: Renderer,
    place: Place,
    rule: Rule | None,
    form: Form,
    status: int = 200,
    *,
    why_blank: str | None = None,
) -> Response[Any]:
    return renderer.answer(
        request,
        "schedule/hours/edit.html",
        status,
        doctor=place.doctor,
        path_of_hours=place.path,
        rule=rule,
        has_rules=bool(place.rules),
        types=place.types,
        clinics=place.clinics,
        form=form,
        why_blank=why_blank,
        days=DAYS,
        kinds=hour_forms.KINDS,
    )
