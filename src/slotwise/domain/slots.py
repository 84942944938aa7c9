"""Slots: a period of a doctor with a number of seats."""

from datetime import datetime
from enum import StrEnum

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from slotwise.domain.clinics import FIRST_CLINIC
from slotwise.domain.fields import clean_period
from slotwise.domain.users import DESK, Role

MAX_SEATS = 1_000_000
MAX_DURATION_MINUTES = 24 * 60


class SlotStatus(StrEnum):
    OPEN = "OPEN"
    CLOSED = "CLOSED"


class Slot(Struct, frozen=True):
    """`available_seats` counts the seats of overdue holds as free. The period is half-open, in UTC."""

    id: int
    doctor_id: int
    doctor_name: str
    specialization: str | None
    start_time: datetime
    end_time: datetime
    total_seats: int
    available_seats: int
    status: SlotStatus
    created_at: datetime
    updated_at: datetime
    clinic_id: int = FIRST_CLINIC
    visit_type_ids: list[int] | None = None

    @property
    def duration_minutes(self) -> int:
        return round((self.end_time - self.start_time).total_seconds() / 60)


class SlotChange(Struct, frozen=True):
    """What to change; UNSET leaves a value as it is."""

    total_seats: int | UnsetType = UNSET
    status: SlotStatus | UnsetType = UNSET
    start_time: datetime | UnsetType = UNSET
    duration_minutes: int | UnsetType = UNSET
    # The total without the seats that were added by overbooking. In place of `total_seats`.
    offered_seats: int | UnsetType = UNSET

    def may_be_made_by(self, role: Role) -> bool:
        """Staff may close and reopen a slot. Everything else of a slot is an admin's."""
        closes_or_reopens = self.status is not UNSET and self == SlotChange(status=self.status)
        return role is Role.ADMIN or (closes_or_reopens and role in DESK)

    def applied_to(self, slot: Slot, added_seats: int = 0) -> Slot:
        """The changed slot; `available_seats` is not adjusted. Raises `InvalidInput`.

        `added_seats` of its seats were added by overbooking.
        """
        start = slot.start_time if self.start_time is UNSET else self.start_time
        minutes = slot.duration_minutes if self.duration_minutes is UNSET else self.duration_minutes
        start, end = clean_period("start_time", start, minutes)
        return replace(
            slot,
            start_time=start,
            end_time=end,
            total_seats=self._total_of(slot, added_seats),
            status=slot.status if self.status is UNSET else self.status,
        )

    def _total_of(self, slot: Slot, added_seats: int) -> int:
        if self.offered_seats is not UNSET:
            return self.offered_seats + added_seats
        return slot.total_seats if self.total_seats is UNSET else self.total_seats


def ledger_kinds(before: Slot, after: Slot) -> list[str]:
    """The kinds of ledger rows that a change writes, in order."""
    events = []
    # RESIZED comes first because every row of the change carries the new total.
    if after.total_seats != before.total_seats:
        events.append("RESIZED")
    if (after.start_time, after.end_time) != (before.start_time, before.end_time):
        events.append("MOVED")
    if after.status is not before.status:
        events.append("CLOSED" if after.status is SlotStatus.CLOSED else "REOPENED")
    return events
