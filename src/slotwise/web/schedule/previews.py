"""What a change of a schedule would do, shown before it is done. All pages that change schedules use this one.

Nothing is stored between the preview and the button: the page carries the change, sealed, and the preview's token.
Sent after the session has ended, they are kept like other forms, and looked at anew after the log-in.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import ClientException
from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.errors import (
    FieldError,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    OutcomeUnknown,
    ScheduleChanged,
    ScheduleTooLarge,
    SlotOverlaps,
    SlotwiseError,
)
from slotwise.domain.schedule_changes import Decision, Decisions, ScheduleChange
from slotwise.domain.schedule_previews import FIRST_NEW_ID, Hit, Preview
from slotwise.domain.smaller_changes import Part
from slotwise.domain.takeovers import TakeoverRefusal
from slotwise.services.schedule.choosable_times import ChoosableTime
from slotwise.services.schedule.schedules import Applied, Outlined
from slotwise.web.kit.access import DESK, PageRequest, account_in, page_for
from slotwise.web.kit.errors import refuse, words_of
from slotwise.web.kit.forms import Form
from slotwise.web.kit.kept_forms import TYPIST, kept_cookie, kept_form_of
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.queries import id_in, ids_in
from slotwise.web.kit.rendering import Renderer, see_other, url_of_request
from slotwise.web.kit.visitors import clear_cookie
from slotwise.web.schedule.kept_decisions import DECIDED, as_decided, decisions_in, sealed_decisions
from slotwise.web.schedule.next_times import Looking, next_times
from slotwise.web.schedule.schedule_words import changed_open_time, coming_open_time, skipped_words

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
    "The longer buffer would reach into another time of a doctor, which no weekly hours have. "
    "Move or close that time first."
)

# No page ends hours together with another length, as the API can.
FOR_LARGE_CLINICS = "Add a visit type of the new length, and give it to the hours of a few doctors at a time."


class PreviewController(Controller):
    path = PATH

    @get("/", **page_for(DESK))
    async def show_again(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        """The preview whose form was sent after the session had ended, as of now."""
        kept = kept_form_of(request, account_in(request))
        asked = _asked_again(request, kept.fields) if kept is not None and kept.page == PATH else None
        if kept is None or asked is None:
            return _lead_back(request, "/admin", "What you looked at is gone. Fill in its form again.")
        token = dict(kept.fields).get("token", "")
        try:
            return await show_preview(request, renderer, asked, token)
        except SlotwiseError as error:
            return _show_refused(request, renderer, asked, token, error)

    @post("/", **page_for(DESK))
    async def apply_schedule(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        """Does what the preview said. If something has changed since, shows what the change would do now.

        A change that can no longer be made is told as that, with what was typed and ticked and a way on.
        """
        form = await Form.of(request)
        asked, token = _asked_in(request, form), form.text("token")
        decided = _decided(asked, form)
        try:
            match form.text("step"):
                case "colleague":
                    return await _show_colleague(request, renderer, decided, form)
                case "again":
                    return await _show_again(request, renderer, asked, token)
                case _:
                    return await _apply(request, renderer, asked, decided, token)
        except SlotwiseError as error:
            return _show_refused(request, renderer, decided, token, error)


async def _apply(request: PageRequest, renderer: Renderer, asked: Asked, decided: Asked, token: str) -> Response[Any]:
    """`asked` is what the preview showed, `decided` has the decisions that were taken there."""
    schedules = page_parts(request).services.schedules
    try:
        decisions = decided.change.decisions
        done = await schedules.apply_schedule(account_in(request), asked.change, token, decisions)
    except ScheduleChanged as error:
        return await _show_changed(request, renderer, decided, error)
    except InvalidInput as error:
        return await _show_faulty(request, renderer, asked, decided, token, error)
    return see_other(request, _then(asked, done), notice=done_words(done))


async def _show_faulty(
    request: PageRequest, renderer: Renderer, asked: Asked, decided: Asked, token: str, error: InvalidInput
) -> Response[Any]:
    """The preview again, with what was typed and ticked although it cannot be done."""
    outlined = await page_parts(request).services.schedules.preview_schedule(account_in(request), asked.change, token)
    chosen, form = decided.change.decisions, _form_of(decided)
    form.refuse(without_places(error))
    hits = tuple(replace(hit, decision=_chosen_for(hit, chosen)) for hit in outlined.preview.hits)
    shown = replace(outlined, preview=replace(outlined.preview, hits=hits))
    return await _show(request, renderer, asked, shown, form, 400)


def _chosen_for(hit: Hit, chosen: Decisions) -> Decision:
    """What the page lets choose for it: not a colleague who cannot see it."""
    decision = chosen.of(hit.booking.id)
    return hit.decision if decision is Decision.TAKE_OVER and hit.refusal else decision


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


def _show_refused(
    request: PageRequest, renderer: Renderer, asked: Asked, token: str, error: SlotwiseError
) -> Response[Any]:
    """Why the change cannot be made now, with what was typed and ticked. Who may not make it sees no way on."""
    if isinstance(error, NotAllowed | NotAuthenticated):
        raise error
    form, decisions = _form_of(asked), asked.change.decisions
    status = _refuse(form, error)
    has_decided = decisions.bookings or decisions.message or decisions.colleague_id
    if isinstance(error, InvalidInput | ScheduleTooLarge | SlotOverlaps) and not has_decided:
        return _lead_to_form(request, asked, form)
    return renderer.answer(
        request,
        "schedule/previews/refused.html",
        status,
        asked=asked,
        form=form,
        decisions=decisions,
        decided=sealed_decisions(request, decisions),
        sealed=_sealed(request, asked),
        token=token,
    )


def _lead_to_form(request: PageRequest, asked: Asked, form: Form) -> Response[Any]:
    """With what was typed there, if a cookie can keep it. At the preview, nothing was decided."""
    told = form.problem or ""
    kept = kept_cookie(request, asked.page, asked.fields, told) if asked.fields else None
    if kept is None:
        return _lead_back(request, asked.back, told)
    return see_other(request, asked.page, cookies=[kept])


def _refuse(form: Form, error: SlotwiseError) -> int:
    """Say what is in the way. Nothing was done, unless the answer of the database was lost."""
    words = Form()
    match error:
        case InvalidInput() | ScheduleTooLarge():
            refuse_change(words, error)
        case SlotOverlaps():
            words.problem = NO_ROOM
        case _:
            refuse(words, error)
    form.problem = words.problem if isinstance(error, OutcomeUnknown) else f"Nothing was changed. {words.problem}"
    return words_of(error).status


async def _show_again(request: PageRequest, renderer: Renderer, asked: Asked, token: str) -> Response[Any]:
    """The preview that was refused before. Raises as `show_preview`."""
    kept = asked.change.decisions
    plain = Decisions(kept.otherwise if kept.default is Decision.TAKE_OVER else kept.default)
    asked = replace(asked, change=replace(asked.change, decisions=plain))
    return await _show_as_decided(request, renderer, asked, kept, token)


async def _show_as_decided(
    request: PageRequest, renderer: Renderer, asked: Asked, kept: Decisions, token: str | None = None
) -> Response[Any]:
    """The preview with what was decided at an earlier one, as far as it fits. Raises as `show_preview`."""
    schedules = page_parts(request).services.schedules
    outlined = await schedules.preview_schedule(account_in(request), asked.change, token)
    *better, plain = as_decided(asked.change, outlined.preview, kept)
    for change in better:
        with suppress(InvalidInput):
            return await show_preview(request, renderer, replace(asked, change=change), token)
    return await show_preview(request, renderer, replace(asked, change=plain), token)


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
    """The list of patients to tell if there is one; otherwise, or if there are several, where the change came from.

    A closure of clinics in several zones is one for each of them.
    """
    to_tell = (*done.preview.cancelled, *done.preview.taken_over)
    ids = {hit.closure_id for hit in to_tell if hit.closure_id is not None and hit.closure_id >= FIRST_NEW_ID}
    if not to_tell or len(ids) > 1:
        return asked.back
    place = ids.pop() - FIRST_NEW_ID if ids else 0
    return asked.then.format(closure=done.closure_ids[place] if done.closure_ids else "")


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
    form = _form_of(asked)
    if problem is not None:
        form.refuse(without_places(problem))
    return await _show(request, renderer, asked, outlined, form, 400 if problem else 200)


async def ask_for_preview(request: PageRequest, renderer: Renderer, asked: Asked, form: Form) -> Response[Any]:
    """The preview of what a form asks for, with what was decided before if a refusal led to the form.

    Raises as `show_preview`.
    """
    asked, kept = _with_fields(request, asked, form), decisions_in(request, form)
    if kept is None:
        return await show_preview(request, renderer, asked)
    return await _show_as_decided(request, renderer, asked, kept)


def _with_fields(request: PageRequest, asked: Asked, form: Form) -> Asked:
    """What was typed for the change. A button that types nothing, such as "Remove", has a step."""
    given = [(name, value) for name, value in form.fields if name not in {TYPIST, DECIDED}]
    typed = [] if form.text("step") else given
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
        sealed=_sealed(request, _without_gone(asked, preview)),
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
        open_time=coming_open_time(preview),
    )


def _sealed(request: PageRequest, asked: Asked) -> str:
    return page_parts(request).seals.seal(msgspec.json.encode(asked))


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
    is_for_api = isinstance(error.part, Part) and error.part.continues
    proposal = FOR_LARGE_CLINICS if is_for_api else error.proposal
    form.problem = f"This concerns {error.touched} times, and {error.limit} can be changed at once. {proposal}"


def without_places(error: InvalidInput) -> InvalidInput:
    """`add_rules[0].closes` becomes `closes`."""
    names = (each.field.rpartition(".")[2].partition("[")[0] for each in error.errors)
    return InvalidInput(*map(FieldError, names, (each.message for each in error.errors)))


def done_words(done: Applied) -> str:
    """For the page afterwards."""
    preview = done.preview
    open_time = changed_open_time(preview)
    only_open_time = (open_time or preview.windows.touched) and not (preview.come or preview.go)
    told = ["Done." if only_open_time else f"Done. {_times(preview.come)} added, {preview.go} taken away."]
    told += open_time
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
) -> dict[int, list[ChoosableTime]]:
    """For those whom a holiday or an absence concerns."""
    closures = (*change.add_closures, *change.change_closures)
    looking = [
        Looking(hit.booking.id, hit.slot.doctor_id, hit.booking.seats_booked, hit.booking.visit_type_id) for hit in hits
    ]
    return await next_times(request, renderer, looking, closures) if closures else {}


async def _doctor_names(request: PageRequest, hits: Sequence[Hit]) -> dict[int, str]:
    doctors = page_parts(request).services.doctors
    ids = {hit.slot.doctor_id for hit in hits}
    return {each: (await doctors.get_doctor(each)).name for each in sorted(ids)}


def _times(count: int) -> str:
    return "1 time" if count == 1 else f"{count} times"


def _appointments(count: int) -> str:
    return "1 appointment was" if count == 1 else f"{count} appointments were"
