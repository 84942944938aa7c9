"""Keeps people from opening a time in which the doctor is away or the clinic is closed."""

from collections.abc import Sequence

from msgspec import Struct

from slotwise.db.pool import Connection
from slotwise.db.statements import Statement
from slotwise.domain.errors import TimeClosed
from slotwise.domain.timetables import Period


class ClosedPeriod(Struct, frozen=True):
    """`position` says which of the given periods it is, counted from 1."""

    position: int
    closure_id: int


LIST_CLOSED_PERIODS = Statement("schedule/schedules.list_closed_periods", ClosedPeriod)


async def find_closed(
    connection: Connection, doctor_id: int, clinic_id: int, periods: Sequence[Period]
) -> dict[Period, int]:
    """Those that lie in a closure, with its id. Under the doctor's lock, no closure comes in between."""
    found = await LIST_CLOSED_PERIODS.all(
        connection,
        doctor_id=doctor_id,
        clinic_id=clinic_id,
        start_times=[period.start_time for period in periods],
        end_times=[period.end_time for period in periods],
    )
    return {periods[closed.position - 1]: closed.closure_id for closed in found}


async def require_open(connection: Connection, doctor_id: int, clinic_id: int, period: Period) -> None:
    """Raises `TimeClosed`."""
    if await find_closed(connection, doctor_id, clinic_id, [period]):
        raise TimeClosed
