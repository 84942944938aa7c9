"""A doctor's times: add one or many, see one, change it."""

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any, Literal

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from msgspec import UNSET

from slotwise.domain.bookings import Booking
from slotwise.domain.doctors import Doctor
from slotwise.domain.errors import Conflict, InvalidInput, NotAllowed, SlotNotFound, SlotOverlaps
from slotwise.domain.fields import MAX_ID
from slotwise.domain.slots import Slot, SlotChange, SlotStatus
from slotwise.domain.users import Role
from slotwise.domain.visit_types import VisitType
from slotwise.services.booking.clinic_changes import ClinicChanges
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.slots import CreatedSlots, SlotChangedMeanwhile, Slots, SlotSeen, WeekSlot
from slotwise.web.kit.access import ADMIN, DESK, PageRequest, account_in, page_for, require_clinic
from slotwise.web.kit.calendar_days import Week
from slotwise.web.kit.forms import Form
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.queries import Id, day_in, query_form
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.times import ONE_DAY, ClinicTime
from slotwise.web.schedule.slot_forms import (
    at_fields_of_the_form,
    blank_slot,
    blank_timetable,
    change_in,
    form_of,
    slot_in,
    timetable_in,
    timetable_typed,
    visit_type_ids_in,
)

_CLINIC = re.compile(r"[0-9]{1,18}", re.ASCII)
# Affected bookings that are listed before a change.
MOST_LISTED = 50
SHORTEST = timedelta(microseconds=1)
# The buttons of a preview: add all times, or only those that do not clash.
CREATE, CREATE_OTHERS = "create", "create-others"
CREATING = {CREATE, CREATE_OTHERS}
CHANGED_MEANWHILE = (
    "Somebody has moved or booked this time in the meantime. Nothing was changed. "
    "This page shows the time as it is now."
)


class SlotController(Controller):
    path = "/admin"

    @get("/doctors/{doctor_id:int}/slots/new", **page_for(ADMIN))
    async def ask_for_slots(
        self,
        request: PageRequest,
        doctor_id: Id,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
    ) -> Response[Any]:
        doctor = await doctors.get_doctor(doctor_id)
        day = _first_day(request, renderer.time)
        renderer.time.tell_day(day)
        request.state.visit_types = await _offered_types(request)
        if request.query_params.get("kind") == "one":
            return _ask_for_one(request, renderer, doctor, blank_slot(day))
        return _ask_for_many(request, renderer, doctor, blank_timetable(day))

    @post(
        "/doctors/{doctor_id:int}/slots/one",
        **page_for(ADMIN, form_on="/admin/doctors/{doctor_id}/slots/new?kind=one"),
    )
    async def create_slot(
        self,
        request: PageRequest,
        doctor_id: Id,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        form = await Form.of(request)
        clinic_id = clinic_in(form, renderer)
        time = renderer.time_of(clinic_id)
        try:
            wanted = slot_in(form, time)
            slot = await slots.create_slot(
                account_in(request),
                doctor_id,
                wanted.start_time,
                wanted.total_seats,
                wanted.duration_minutes,
                clinic_id,
                visit_type_ids=wanted.visit_type_ids,
            )
        except (InvalidInput, Conflict) as error:
            status = _refuse(form, error, time)
            request.state.visit_types = await _offered_types(request)
            return _ask_for_one(request, renderer, await doctors.get_doctor(doctor_id), form, status)
        return see_other(request, _week_of(slot, time), notice=f"Added: {time.moment(slot.start_time)}.")

    @post("/doctors/{doctor_id:int}/slots/new", **page_for(ADMIN))
    async def create_slots(
        self,
        request: PageRequest,
        doctor_id: Id,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        """Shows a preview. Creates the times when the same form is sent again with a step of `CREATING`."""
        form = await Form.of(request)
        edited = form.text("previewed") not in {"", timetable_typed(form)}
        sure = form.text("step") in CREATING and not edited
        doctor = await doctors.get_doctor(doctor_id)
        request.state.visit_types = await _offered_types(request)
        try:
            made = await _create(request, renderer, slots, doctor, form, sure=sure)
        except InvalidInput as error:
            form.refuse(at_fields_of_the_form(error))
            return _ask_for_many(request, renderer, doctor, form, 400)
        except Conflict:
            # Somebody else published times in the meantime.
            made = await _create(request, renderer, slots, doctor, form, sure=False)
            return _ask_for_many(request, renderer, doctor, form, 409, preview=made, since="changed")
        if form.text("step") in CREATING and edited:
            return _ask_for_many(request, renderer, doctor, form, 409, preview=made, since="edited")
        if not sure or not made.created:
            return _ask_for_many(request, renderer, doctor, form, preview=made)
        time = renderer.time_of(clinic_in(form, renderer))
        week = Week.of(time.day_of(made.created[0].period.start_time))
        notice = "1 time was added." if len(made.created) == 1 else f"{len(made.created)} times were added."
        return see_other(request, f"/admin/doctors/{doctor_id}?week={week.monday}", notice=notice)

    @get("/slots/{slot_id:int}", **page_for(DESK))
    async def show_slot(
        self,
        request: PageRequest,
        slot_id: Id,
        renderer: NamedDependency[Renderer],
        slots: NamedDependency[Slots],
        clinic_changes: NamedDependency[ClinicChanges],
    ) -> Response[Any]:
        slot = await slots.get_slot(slot_id)
        return await _show_slot(
            request, renderer, slots, clinic_changes, slot, form_of(slot, renderer.time_of(slot.clinic_id))
        )

    @post("/slots/{slot_id:int}", **page_for(DESK))
    async def update_slot(
        self,
        request: PageRequest,
        slot_id: Id,
        renderer: NamedDependency[Renderer],
        slots: NamedDependency[Slots],
        clinic_changes: NamedDependency[ClinicChanges],
    ) -> Response[Any]:
        """Asks first if the change affects bookings."""
        form = await Form.of(request)
        account = account_in(request)
        if account.role is not Role.ADMIN and not form.text("status"):
            # Before it is told what is wrong with the slot or with what was typed.
            raise NotAllowed
        slot = await slots.get_slot(slot_id)
        require_clinic(request, slot.clinic_id)
        if form.text("change") == "visit_types" and account.role is Role.ADMIN:
            return await _set_visit_types(request, renderer, slots, clinic_changes, slot, form)
        try:
            change = change_in(form, slot, renderer.time_of(slot.clinic_id))
            if not change.may_be_made_by(account.role):
                raise NotAllowed
            seen = SlotSeen(slot.start_time, slot.end_time, await slots.get_newest_booking(slot_id))
            if _affects_bookings(change) and _listed_in(form) < seen.newest_booking:
                # Refuse an impossible change before asking.
                await slots.update_slot(account, slot_id, change, dry_run=True)
                affected = await slots.list_affected_bookings(account, slot_id, MOST_LISTED + 1)
                if affected:
                    return _ask_whether_sure(request, renderer, slot, form, change, affected, seen.newest_booking)
            changed = await slots.update_slot(account, slot_id, change, seen if _affects_bookings(change) else None)
        except SlotChangedMeanwhile:
            return await _show_slot_again(request, renderer, slots, clinic_changes, slot_id)
        except (InvalidInput, Conflict) as error:
            status = _refuse(form, error, renderer.time_of(slot.clinic_id))
            form.values = form_of(slot, renderer.time_of(slot.clinic_id)).values | form.values
            return await _show_slot(request, renderer, slots, clinic_changes, slot, form, status)
        return see_other(
            request, f"/admin/slots/{slot_id}", notice=_done_words(slot, changed, renderer.time_of(slot.clinic_id))
        )


async def _create(
    request: PageRequest, renderer: Renderer, slots: Slots, doctor: Doctor, form: Form, *, sure: bool
) -> CreatedSlots:
    wanted = timetable_in(form)
    return await slots.create_slots(
        account_in(request),
        doctor.id,
        wanted.timetable,
        wanted.total_seats,
        dry_run=not sure,
        skip_clashes=form.text("step") == CREATE_OTHERS,
        planned=form.number("planned", 0, MAX_ID) if sure and form.text("planned") else None,
        clinic_id=clinic_in(form, renderer),
        visit_type_ids=wanted.visit_type_ids,
    )


def clinic_in(form: Form, renderer: Renderer) -> int | None:
    """The clinic that was chosen; None where there is one only, or none was chosen."""
    text = form.text("clinic_id")
    chosen = renderer.clinics.find(int(text)) if _CLINIC.fullmatch(text) else None
    return chosen.id if chosen is not None and renderer.clinics.several else None


def _choices(renderer: Renderer) -> list[tuple[int, str]]:
    """The clinics to choose from; none where there is one only."""
    clinics = renderer.clinics
    return [(clinic.id, clinic.name) for clinic in clinics.active] if clinics.several else []


def _ask_for_one(
    request: PageRequest, renderer: Renderer, doctor: Doctor, form: Form, status: int = 200
) -> Response[Any]:
    return renderer.answer(
        request,
        "schedule/slots/new_one.html",
        status,
        clinic_id=clinic_in(form, renderer),
        clinics=_choices(renderer),
        doctor=doctor,
        form=form,
        visit_types=request.state.visit_types,
    )


async def _offered_types(request: PageRequest, kept: Sequence[int] = ()) -> list[VisitType]:
    """To choose from for a time: the active ones, and those that it has."""
    found = await page_parts(request).services.visit_types.list_visit_types(for_desk=True)
    return [one for one in found if one.active or one.id in kept]


async def _set_visit_types(
    request: PageRequest, renderer: Renderer, slots: Slots, clinic_changes: ClinicChanges, slot: Slot, form: Form
) -> Response[Any]:
    try:
        visit_types = page_parts(request).services.visit_types
        await visit_types.set_visit_types(account_in(request), slot, visit_type_ids_in(form))
    except (InvalidInput, Conflict) as error:
        time = renderer.time_of(slot.clinic_id)
        status = _refuse(form, error, time)
        form.values = form_of(slot, time).values | form.values
        return await _show_slot(request, renderer, slots, clinic_changes, slot, form, status)
    return see_other(request, f"/admin/slots/{slot.id}", notice="The visit types were saved.")


def _ask_for_many(
    request: PageRequest,
    renderer: Renderer,
    doctor: Doctor,
    form: Form,
    status: int = 200,
    *,
    preview: CreatedSlots | None = None,
    since: Literal["changed", "edited"] | None = None,
) -> Response[Any]:
    """`since` says what happened after an earlier preview: the doctor's times changed, or the form was edited."""
    return renderer.answer(
        request,
        "schedule/slots/new_many.html",
        status,
        clinic_id=clinic_in(form, renderer),
        clinics=_choices(renderer),
        doctor=doctor,
        form=form,
        visit_types=request.state.visit_types,
        preview=preview,
        planned=_by_day(preview, renderer.time_of(clinic_in(form, renderer))) if preview else [],
        previewed=timetable_typed(form) if preview else None,
        since=since,
    )


def _by_day(preview: CreatedSlots, time: ClinicTime) -> list[tuple[date, list[datetime]]]:
    starts = (slot.period.start_time for slot in preview.created)
    return [(day, list(of_day)) for day, of_day in groupby(starts, time.day_of)]


async def _show_slot(
    request: PageRequest,
    renderer: Renderer,
    slots: Slots,
    clinic_changes: ClinicChanges,
    slot: Slot,
    form: Form,
    status: int = 200,
) -> Response[Any]:
    require_clinic(request, slot.clinic_id)
    seats = await _seats_of(slots, slot)
    form.values.setdefault("total_seats", str(seats.total_seats - seats.added_seats))
    return renderer.answer(
        request,
        "schedule/slots/slot.html",
        status,
        clinic_id=slot.clinic_id,
        slot=slot,
        seats=seats,
        to_tell=await clinic_changes.list_cancelled_bookings(account_in(request), slot.id),
        form=form,
        visit_types=await _offered_types(request, slot.visit_type_ids or ()),
        past=slot.start_time <= renderer.time_of(slot.clinic_id).now(),
    )


async def _show_slot_again(
    request: PageRequest, renderer: Renderer, slots: Slots, clinic_changes: ClinicChanges, slot_id: int
) -> Response[Any]:
    """Shows the slot as it is now, without what was typed, because that was meant for the slot as it was."""
    slot = await slots.get_slot(slot_id)
    form = form_of(slot, renderer.time_of(slot.clinic_id))
    form.problem = CHANGED_MEANWHILE
    return await _show_slot(request, renderer, slots, clinic_changes, slot, form, 409)


async def _seats_of(slots: Slots, slot: Slot) -> WeekSlot:
    found = await slots.list_week(slot.doctor_id, slot.start_time, slot.start_time + SHORTEST)
    seats = next((one for one in found.slots if one.id == slot.id), None)
    if seats is None:
        # It was moved between the two reads.
        raise SlotNotFound
    return seats


def _ask_whether_sure(
    request: PageRequest,
    renderer: Renderer,
    slot: Slot,
    form: Form,
    change: SlotChange,
    affected: list[Booking],
    newest: int,
) -> Response[Any]:
    """`newest` is the newest booking when they were listed. If there is a newer one, the question is asked again."""
    closing = change.status is SlotStatus.CLOSED
    return renderer.answer(
        request,
        "schedule/slots/sure.html",
        clinic_id=slot.clinic_id,
        slot=slot,
        form=form,
        closing=closing,
        new_start=None if change.start_time is UNSET else change.start_time,
        affected=affected[:MOST_LISTED],
        more=len(affected) > MOST_LISTED,
        listed=newest,
    )


def _affects_bookings(change: SlotChange) -> bool:
    moves = change.start_time is not UNSET or change.duration_minutes is not UNSET
    return moves or change.status is SlotStatus.CLOSED


def _listed_in(form: Form) -> int:
    """The newest booking when the affected ones were listed; 0 if they were not."""
    return form.number("listed", 0, MAX_ID) if form.text("listed") else 0


def _refuse(form: Form, error: InvalidInput | Conflict, time: ClinicTime) -> int:
    """Note the error at its field or above the form. Returns the status of the page."""
    match error:
        case InvalidInput():
            form.refuse(at_fields_of_the_form(error))
            return 400
        case SlotOverlaps(period=(start, end), closed=closed):
            form.problem = _overlap_words(f"{time.moment(start)} to {time.end_clock(end, start)}", closed=closed)
        case _:
            form.problem = f"{error.detail.rstrip('.')}."
    return 409


def _overlap_words(period: str, *, closed: bool) -> str:
    if closed:
        told = f"The doctor has a closed time with bookings then: {period}."
        return f"{told} Move it or cancel its bookings first, or choose another time."
    return f"The doctor already has an open time then: {period}. Move or close that one first, or choose another time."


def _first_day(request: PageRequest, time: ClinicTime) -> date:
    return day_in(query_form(request, "day"), "day") or time.today() + ONE_DAY


def _week_of(slot: Slot, time: ClinicTime) -> str:
    return f"/admin/doctors/{slot.doctor_id}?week={Week.of(time.day_of(slot.start_time)).monday}"


def _done_words(before: Slot, after: Slot, time: ClinicTime) -> str:
    if after.status is not before.status:
        return "Closed: it takes no new bookings." if after.status is SlotStatus.CLOSED else "Open for booking again."
    if (after.start_time, after.end_time) != (before.start_time, before.end_time):
        if after.start_time == before.start_time:
            return f"It now lasts {after.duration_minutes} minutes."
        return f"Moved to {time.moment(after.start_time)}."
    return f"It now has room for {after.total_seats} {'person' if after.total_seats == 1 else 'people'}."
