"""Bookings: their states, and the reasons to refuse a request for seats."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from slotwise.domain.clinics import FIRST_CLINIC
from slotwise.domain.errors import (
    BookingLimitReached,
    ForNewPatientsOnly,
    ForReturningPatientsOnly,
    SlotClosed,
    SlotFull,
    SlotNotFound,
    SlotStarted,
    TimeGone,
    TooEarlyToBook,
    TooLateToBook,
    VisitTypeNotOffered,
)
from slotwise.domain.name_order import NameOrder


class BookingStatus(StrEnum):
    """`PENDING -> CONFIRMED | FAILED | CANCELLED`, `CONFIRMED -> CANCELLED`. FAILED and CANCELLED are final."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Booking(Struct, frozen=True):
    """A booking with its appointment. An overdue hold has the status FAILED, whether or not it was swept."""

    id: int
    slot_id: int
    user_id: int | None
    user_name: str | None
    user_email: str | None
    seats_booked: int
    status: BookingStatus
    expires_at: datetime | None
    confirmed_at: datetime | None
    cancelled_at: datetime | None
    created_at: datetime
    updated_at: datetime
    doctor_id: int
    doctor_name: str
    specialization: str | None
    start_time: datetime
    end_time: datetime
    clinic_id: int = FIRST_CLINIC
    # How many seats the desk added to the full slot for it; None if it was not overbooked.
    added_seats: int | None = None
    visit_type_id: int | None = None

    @property
    def released(self) -> bool:
        """Whether it was a hold that was given up: never confirmed, so not a cancelled appointment."""
        return self.status is BookingStatus.CANCELLED and self.confirmed_at is None


def sorted_by_name(bookings: Iterable[Booking], order: NameOrder) -> list[Booking]:
    """By patient; those of one name by id. Holds that have no name yet come last."""

    def place(booking: Booking) -> tuple[bool, bytes, int]:
        return booking.user_name is None, order.key(booking.user_name or ""), booking.id

    return sorted(bookings, key=place)


class SeatRequest(Struct, frozen=True):
    """A request for seats of a slot. A hold that is made before the person enters a name has no name and no e-mail."""

    slot_id: int
    seats: int
    user_id: int | None = None
    user_name: str | None = None
    user_email: str | None = None
    confirm: bool = False
    visit_type_id: int | None = None


class Booker(Struct, frozen=True):
    """Who wants seats, and whether at once. A guest has no `user_id`."""

    user_id: int | None
    user_name: str | None
    user_email: str | None
    confirm: bool = False


class TimeRequest(Struct, frozen=True):
    """A request for a time of an open window, as it was offered. Person and `confirm` as in `SeatRequest`."""

    window_id: int
    start_time: datetime
    end_time: datetime
    visit_type_id: int
    user_id: int | None = None
    user_name: str | None = None
    user_email: str | None = None
    confirm: bool = False


class Overbooking(Struct, frozen=True):
    """A request of the desk for seats of a slot that may be full. `reason` is why, for colleagues."""

    slot_id: int
    seats: int
    user_name: str
    user_email: str
    reason: str


VisitRefusal = (
    VisitTypeNotOffered
    | TooLateToBook
    | TooEarlyToBook
    | BookingLimitReached
    | ForNewPatientsOnly
    | ForReturningPatientsOnly
)
Refusal = SlotNotFound | SlotClosed | SlotStarted | SlotFull | TimeGone | VisitRefusal
