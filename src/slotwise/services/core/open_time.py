"""The open time of doctors as the desk sees it: when it is, and how much of it is taken."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from slotwise.db.pool import Connection
from slotwise.db.statements import Statement


class OpenTime(Struct, frozen=True):
    """A window, or a part of one between closures. What is taken includes buffers."""

    doctor_id: int
    clinic_id: int
    start_time: datetime
    end_time: datetime
    taken_minutes: int

    @property
    def minutes(self) -> int:
        return (self.end_time - self.start_time) // timedelta(minutes=1)

    @property
    def all_taken(self) -> bool:
        return self.taken_minutes >= self.minutes


class DoctorWithWindows(Struct, frozen=True):
    id: int
    name: str


LIST_OPEN_TIME = Statement("core/open_time.list_open_time", OpenTime)
LIST_DOCTORS_WITH_WINDOWS = Statement("core/open_time.list_doctors_with_windows", DoctorWithWindows)


async def list_open_time(
    connection: Connection,
    doctor_ids: Sequence[int],
    starts_from: datetime,
    starts_before: datetime,
    clinic_ids: Collection[int] | None,
) -> list[OpenTime]:
    """What takes place in a period, in part or as a whole, at some clinics or, with None, at all; by doctor and start.

    What a closure covers is not in it, nor what is of a doctor or a clinic that takes no appointments.
    """
    return await LIST_OPEN_TIME.all(
        connection,
        doctor_ids=doctor_ids,
        starts_from=starts_from,
        starts_before=starts_before,
        clinic_ids=clinic_ids,
    )
