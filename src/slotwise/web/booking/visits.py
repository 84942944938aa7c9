"""The visit type of an appointment: chosen with the time, and shown with the appointment."""

from collections.abc import Sequence
from typing import NamedTuple

from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import (
    BookingLimitReached,
    ForNewPatientsOnly,
    ForReturningPatientsOnly,
    TooEarlyToBook,
    TooLateToBook,
    VisitTypeNotOffered,
)
from slotwise.domain.fields import MAX_ID
from slotwise.domain.slots import Slot
from slotwise.domain.visit_types import VisitType
from slotwise.services.schedule.found_times import OpenVisit
from slotwise.web.kit.access import PageRequest, visitor_in
from slotwise.web.kit.forms import Form
from slotwise.web.kit.parts import page_parts

VISIT_REFUSALS = (
    VisitTypeNotOffered,
    TooLateToBook,
    TooEarlyToBook,
    BookingLimitReached,
    ForNewPatientsOnly,
    ForReturningPatientsOnly,
)


class VisitChoice(NamedTuple):
    """What to hold; if there are `choices`, the patient must choose one of them first."""

    visit_type_id: int | None = None
    choices: Sequence[VisitType] = ()


class VisitWords(NamedTuple):
    """What the page of an appointment shows of its type. The link only once the appointment is confirmed."""

    visit_type: VisitType
    video_link: str | None
    too_late_to_cancel: bool


async def choose_visit(request: PageRequest, slot: Slot, form: Form) -> VisitChoice:
    """The type that was chosen with the time or for the search; the only one if there is one.

    A slot without types needs none. A type that cannot be booked is refused when it is held, with the reason.
    """
    if slot.visit_type_ids is None:
        return VisitChoice()
    for name in ("visit_type", "visit"):
        if form.text(name) and (chosen := form.number(name, 1, MAX_ID)) in slot.visit_type_ids:
            return VisitChoice(chosen)
    visit_types = page_parts(request).services.visit_types
    bookable = await visit_types.list_bookable_types(slot)
    if len(bookable) > 1:
        return VisitChoice(None, await visit_types.get_visit_types(bookable))
    return VisitChoice(bookable[0] if bookable else slot.visit_type_ids[0])


async def open_time_again(request: PageRequest, visit: Slot | Booking, visit_type_id: int | None) -> str | None:
    """The id by which the time of a visit can be held again, if it is in open time and free."""
    if visit_type_id is None:
        return None
    user = visitor_in(request).user
    wanted = OpenVisit(visit_type_id, visit.start_time, user.id if user else None)
    free_times = page_parts(request).services.free_times
    time = await free_times.find_open_time(visit.doctor_id, visit.clinic_id, wanted)
    return None if time is None else time.time_id


async def visit_of(request: PageRequest, booking: Booking) -> VisitWords | None:
    """For those who may manage the booking. Whether it is too late to cancel is asked where a cancel is decided."""
    if booking.visit_type_id is None:
        return None
    visit_types = page_parts(request).services.visit_types
    visit_type = await visit_types.get_visit_type(booking.visit_type_id)
    confirmed = booking.status is BookingStatus.CONFIRMED
    too_late = (
        confirmed
        and visit_type.change_deadline_minutes is not None
        and await visit_types.is_past_change_deadline(visit_type.id, booking.start_time)
    )
    return VisitWords(visit_type, visit_type.video_link if confirmed else None, too_late)
