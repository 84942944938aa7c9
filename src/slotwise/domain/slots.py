"""Appointment slots: a doctor's period with a number of seats."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

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

    @property
    def duration_minutes(self) -> int:
        return round((self.end_time - self.start_time).total_seconds() / 60)
