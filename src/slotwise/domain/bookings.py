"""Bookings: their states, what may become of them, and who is admitted when seats run out."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from slotwise.domain.errors import SlotClosed, SlotFull, SlotNotFound, SlotStarted
from slotwise.domain.slots import OfferedSlot, SlotStatus


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


def admit(requests: Iterable[SeatRequest], slots: Mapping[int, OfferedSlot]) -> list[Refusal | None]:
    """One verdict per request, None for admitted, in order of arrival.

    A request too large for what is left is refused alone: a smaller one behind it may still fit, so that no
    refusal is untrue. The caller holds the locks of `slots` until the verdicts are written.
    """
    free = {slot.id: slot.available_seats for slot in slots.values()}
    verdicts = []
    for request in requests:
        verdict = _verdict(request, slots.get(request.slot_id), free)
        if verdict is None:
            free[request.slot_id] -= request.seats
        verdicts.append(verdict)
    return verdicts


def _verdict(request: SeatRequest, slot: OfferedSlot | None, free: Mapping[int, int]) -> Refusal | None:
    if slot is None:
        return SlotNotFound()
    if slot.status is not SlotStatus.OPEN or not slot.doctor_active:
        return SlotClosed()
    if slot.start_time <= slot.now:
        return SlotStarted()
    if free[slot.id] < request.seats:
        return SlotFull(free[slot.id])
    return None
