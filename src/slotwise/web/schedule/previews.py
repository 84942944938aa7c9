"""What a change of a schedule would do, shown before it is done. All pages that change schedules use this one.

Nothing is stored between the preview and the button: the page carries the change, sealed, and the preview's token.
Sent after the session has ended, they are kept like other forms, and looked at anew after the log-in.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.errors import FieldError, InvalidInput, ScheduleChanged, ScheduleTooLarge, SlotOverlaps
from slotwise.domain.schedule_previews import Decision, Decisions, Hit, Preview, ScheduleChange
from slotwise.domain.slots import Slot
from slotwise.domain.takeovers import TakeoverRefusal
from slotwise.services.schedule.schedules import Applied, Outlined
from slotwise.web.kit.access import DESK, PageRequest, account_in, page_for
from slotwise.web.kit.forms import Form
from slotwise.web.kit.kept_forms import TYPIST, kept_cookie, kept_form_of
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.queries import id_in, ids_in
from slotwise.web.kit.rendering import Renderer, see_other, url_of_request
from slotwise.web.kit.visitors import clear_cookie
from slotwise.web.schedule.next_times import Looking, next_times
from slotwise.web.schedule.schedule_words import skipped_words

PATH = "/admin/schedule"
# A form has at most 200 fields. With more bookings than this, they are all kept or all cancelled.
MOST_CHOICES = 150
MOST_LISTED = 100
# Why a colleague cannot take an appointment over, after the colleague's name.
REFUSALS = {
    TakeoverRefusal.COLLEAGUE_BUSY: "sees somebody else then",
    TakeoverRefusal.COLLEAGUE_AWAY: "is away then",
    TakeoverRefusal.COLLEAGUE_ELSEWHERE: "is not at this clinic then",
    TakeoverRefusal.NOT_IN_ABSENCE: "cannot take it over, as the doctor is not away then",
}


class Asked(Struct, frozen=True):
    """A change, and the page that asks for it. `then` is where it leads, with the first new closure's id in it.

    `page` has the form that it was made of, with these fields.
    """

    change: ScheduleChange
    heading: str
    back: str
    then: str
    page: str = ""
    fields: Sequence[tuple[str, str]] = ()


NO_ROOM = (
    "Nothing was changed. The longer buffer would reach into another time of a doctor, which no weekly hours have. "
    "Move or close that time first."
)


class PreviewController(Controller):
    path = PATH

    @get("/", **page_for(DESK))
    async def show_again(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        """The preview whose form was sent after the session had ended, as of now."""
        kept = kept_form_of(request, account_in(request))
        asked = _asked_again(request, kept.fields) if kept is not None and kept.page == PATH else None
        if kept is None or asked is None:
            return _lead_back(request, "/admin", "What you looked at is gone. Fill in its form again.")
        try:
            return await show_preview(request, renderer, asked, dict(kept.fields).get("token"))
        except (InvalidInput, ScheduleTooLarge) as error:
            return _lead_to_form(request, asked, error)

    @post("/", **page_for(DESK))
    async def apply_schedule(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        """Does what the preview said. If something has changed since, shows what the change would do now.

        A change that can no longer be made leads back to its form, which has what was typed.
        """
        form = await Form.of(request)
        asked = _asked_in(request, form)
        decided = _decided(asked, form)
        try:
            if form.text("step") == "colleague":
                return await _show_colleague(request, renderer, decided, form)
            return await _apply(request, renderer, asked, decided, form.text("token"))
        except (InvalidInput, ScheduleTooLarge) as error:
            return _lead_to_form(request, asked, error)
        except SlotOverlaps:
            return _lead_back(request, asked.back, NO_ROOM)


async def _apply(request: PageRequest, renderer: Renderer, asked: Asked, decided: Asked, token: str) -> Response[Any]:
    """`asked` is what the preview showed, `decided` has the decisions that were taken there."""
    schedules = page_parts(request).services.schedules
    try:
        decisions = decided.change.decisions
        done = await schedules.apply_schedule(account_in(request), asked.change, token, decisions)
    except ScheduleChanged as error:
        return await _show_changed(request, renderer, decided, error)
    except InvalidInput as error:
        return await show_preview(request, renderer, asked, token, problem=error)
    return see_other(request, _then(asked, done), notice=done_words(done))


def _asked_again(request: PageRequest, fields: Sequence[tuple[str, str]]) -> Asked | None:
    """With the decisions of the form that was kept; None if it is not one of these pages."""
    form = Form()
    form.fill(fields)
    try:
        return _decided(_asked_in(request, form), form)
    except ClientException:
        return None


def _lead_back(request: PageRequest, path: str, notice: str) -> Response[Any]:
    return see_other(request, path, notice=notice, cookies=[clear_cookie(request, "kept")])


def _lead_to_form(request: PageRequest, asked: Asked, error: InvalidInput | ScheduleTooLarge) -> Response[Any]:
    """With what was typed there, if a cookie can keep it."""
    form = Form()
    refuse_change(form, error)
    notice = f"Nothing was changed. {form.problem}"
    kept = kept_cookie(request, asked.page, asked.fields, notice) if asked.fields else None
    if kept is None:
        return _lead_back(request, asked.back, notice)
    return see_other(request, asked.page, cookies=[kept])


async def _show_colleague(request: PageRequest, renderer: Renderer, asked: Asked, form: Form) -> Response[Any]:
    """What happens if this doctor takes over. Without one, all are cancelled, as at first."""
    message, colleague_id = asked.change.decisions.message, id_in(form, "colleague_id")
    default = Decision.CANCEL if colleague_id is None else Decision.TAKE_OVER
    decisions = Decisions(default, message=message, colleague_id=colleague_id, otherwise=Decision.CANCEL)
    chosen = replace(asked, change=replace(asked.change, decisions=decisions))
    try:
        return await show_preview(request, renderer, chosen)
    except InvalidInput as error:
        return await show_preview(request, renderer, asked, problem=error)


def _then(asked: Asked, done: Applied) -> str:
    """The list of patients to tell if there are any; otherwise where the change came from."""
    closure_id = done.closure_ids[0] if done.closure_ids else ""
    to_tell = done.preview.cancelled or done.preview.taken_over
    return asked.then.format(closure=closure_id) if to_tell else asked.back


async def show_preview(
    request: PageRequest,
    renderer: Renderer,
    asked: Asked,
    token_before: str | None = None,
    *,
    problem: InvalidInput | None = None,
) -> Response[Any]:
    """`token_before` is that of the preview that the person saw before, if any.

    Raises `InvalidInput` with the names of a change's fields, and `ScheduleTooLarge`.
    """
    schedules = page_parts(request).services.schedules
    outlined = await schedules.preview_schedule(account_in(request), asked.change, token_before)
    asked = await _with_fields(request, asked)
    form = _form_of(asked)
    if problem is not None:
        form.refuse(without_places(problem))
    return await _show(request, renderer, asked, outlined, form, 400 if problem else 200)


async def _with_fields(request: PageRequest, asked: Asked) -> Asked:
    """What was typed for the change. A button that types nothing, such as "Remove", has a step."""
    if request.method != "POST" or request.scope["path"] == PATH:
        return asked
    form = await Form.of(request)
    typed = [] if form.text("step") else [(name, value) for name, value in form.fields if name != TYPIST]
    return replace(asked, page=url_of_request(request), fields=typed)


async def _show_changed(
    request: PageRequest, renderer: Renderer, asked: Asked, error: ScheduleChanged
) -> Response[Any]:
    if not isinstance(error.outlined, Outlined):
        raise error
    return await _show(request, renderer, asked, error.outlined, _form_of(asked), 409, changed=True)


def _form_of(asked: Asked) -> Form:
    decisions = asked.change.decisions
    return Form({"message": decisions.message or "", "colleague_id": str(decisions.colleague_id or "")})


async def _show(
    request: PageRequest,
    renderer: Renderer,
    asked: Asked,
    outlined: Outlined,
    form: Form,
    status: int,
    *,
    changed: bool = False,
) -> Response[Any]:
    preview = outlined.preview
    return renderer.answer(
        request,
        "schedule/previews/preview.html",
        status,
        asked=asked,
        preview=preview,
        token=outlined.token,
        sealed=page_parts(request).seals.seal(msgspec.json.encode(_without_gone(asked, preview))),
        changed=changed,
        differs=outlined.differs,
        most_gone=MOST_LISTED,
        form=form,
        hits=[_at_clinic(renderer, hit) for hit in preview.hits[:MOST_CHOICES]],
        names=await _doctor_names(request, preview.hits[:MOST_CHOICES]),
        offers=await _offers(request, renderer, asked.change, preview.hits[:MOST_CHOICES]),
        choices=len(preview.hits) <= MOST_CHOICES,
        colleagues=await _colleagues(request, asked.change, preview.hits),
        refusals=REFUSALS,
        skipped=[skipped_words(each, renderer.time) for each in preview.skipped[:MOST_LISTED]],
    )


def _without_gone(asked: Asked, preview: Preview) -> Asked:
    """Without decisions on bookings that an earlier preview listed and this one does not."""
    listed = {hit.booking.id for hit in preview.hits}
    decisions = asked.change.decisions
    kept = {each: decision for each, decision in decisions.bookings.items() if each in listed}
    return replace(asked, change=replace(asked.change, decisions=replace(decisions, bookings=kept)))


def refuse_change(form: Form, error: InvalidInput | ScheduleTooLarge) -> None:
    """Note at the fields of a form what is wrong with the change that was made of it."""
    if isinstance(error, InvalidInput):
        form.refuse(without_places(error))
        return
    form.problem = f"This concerns {error.touched} times, and {error.limit} can be changed at once. {error.proposal}"


def without_places(error: InvalidInput) -> InvalidInput:
    """`add_rules[0].closes` becomes `closes`."""
    names = (each.field.rpartition(".")[2].partition("[")[0] for each in error.errors)
    return InvalidInput(*map(FieldError, names, (each.message for each in error.errors)))


def done_words(done: Applied) -> str:
    """For the page afterwards."""
    preview = done.preview
    told = [f"Done. {_times(preview.come)} added, {preview.go} taken away."]
    if preview.cancelled:
        told.append(f"{_appointments(len(preview.cancelled))} cancelled: please tell the patients.")
    if preview.taken_over:
        told.append(f"{_appointments(len(preview.taken_over))} given to a colleague: please tell the patients.")
    return " ".join(told)


def _asked_in(request: PageRequest, form: Form) -> Asked:
    content = page_parts(request).seals.unseal(form.text("change"))
    try:
        return msgspec.json.decode(content or b"", type=Asked)
    except msgspec.MsgspecError as error:
        raise ClientException("This page can no longer be used. Go back, and fill in its form again.") from error


def _decided(asked: Asked, form: Form) -> Asked:
    decisions = _decisions_in(form, asked.change.decisions)
    return replace(asked, change=replace(asked.change, decisions=decisions))


def _decisions_in(form: Form, shown: Decisions) -> Decisions:
    """What is ticked is cancelled. The form says which bookings it offered to choose from, if any."""
    if "choices" not in form:
        return shown
    message = form.text("message").replace("\r\n", "\n") or None
    if shown.colleague_id is not None:
        return replace(shown, message=message, bookings=_chosen_in(form, shown))
    if form.text("choices") == "all":
        return Decisions(Decision.CANCEL if form.text("cancel_all") else Decision.KEEP, message=message)
    ticked = set(ids_in(form.all("cancel")))
    listed = ids_in(form.text("choices").split())
    chosen = {each: Decision.CANCEL if each in ticked else Decision.KEEP for each in listed}
    other = {each: decision for each, decision in chosen.items() if decision is not shown.default}
    return Decisions(shown.default, other, message)


def _chosen_in(form: Form, shown: Decisions) -> dict[int, Decision]:
    """Beside a colleague each booking has its own choice, such as `12 KEEP`. Raises `ClientException`."""
    chosen = {}
    for words in form.all("decision"):
        number, _, decision = words.partition(" ")
        ids = ids_in([number])
        if not ids or decision not in set(Decision):
            raise ClientException("This page can no longer be used. Go back, and fill in its form again.")
        chosen[ids[0]] = Decision(decision)
    return {each: decision for each, decision in chosen.items() if decision is not shown.default}


async def _colleagues(request: PageRequest, change: ScheduleChange, hits: Sequence[Hit]) -> dict[int, str]:
    """Who could take over, by id: for an absence with appointments."""
    if change.absent_doctor is None or not hits:
        return {}
    schedules = page_parts(request).services.schedules
    found = await schedules.list_colleagues(change.absent_doctor, {hit.slot.clinic_id for hit in hits})
    return {each.id: each.name for each in found}


def _at_clinic(renderer: Renderer, hit: Hit) -> Hit:
    return replace(hit, slot=renderer.at_clinic(hit.slot))


async def _offers(
    request: PageRequest, renderer: Renderer, change: ScheduleChange, hits: Sequence[Hit]
) -> dict[int, list[Slot]]:
    """For those whom a holiday or an absence concerns."""
    closures = (*change.add_closures, *change.change_closures)
    looking = [Looking(hit.booking.id, hit.slot.doctor_id, hit.booking.seats_booked) for hit in hits]
    return await next_times(request, renderer, looking, closures) if closures else {}


async def _doctor_names(request: PageRequest, hits: Sequence[Hit]) -> dict[int, str]:
    doctors = page_parts(request).services.doctors
    ids = {hit.slot.doctor_id for hit in hits}
    return {each: (await doctors.get_doctor(each)).name for each in sorted(ids)}


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count} times"


def _appointments(count: int) -> str:
    return "1 appointment was" if count == 1 else f"{count} appointments were"
