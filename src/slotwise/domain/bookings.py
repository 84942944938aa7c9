"""Bookings: their states, and how a request for seats can be refused."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from slotwise.domain.errors import SlotClosed, SlotFull, SlotNotFound, SlotStarted


class BookingStatus(StrEnum):
    """`PENDING -> CONFIRMED | FAILED | CANCELLED`, `CONFIRMED -> CANCELLED`; the other two are terminal."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


class Booking(Struct, frozen=True):
    """A booking with the appointment it is for. An overdue hold reads as FAILED whether or not it was swept."""

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


class SeatRequest(Struct, frozen=True):
    """Who wants how many seats of which slot. A hold made before the person typed a name has none."""

    slot_id: int
    seats: int
    user_id: int | None = None
    user_name: str | None = None
    user_email: str | None = None
    confirm: bool = False


Refusal = SlotNotFound | SlotClosed | SlotStarted | SlotFull
