"""Until when patients can change a visit: one rule of the database, which pages ask and cancels obey."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from slotwise.db.pool import Database
from slotwise.domain.bookings import SeatRequest
from slotwise.domain.errors import TooLateToChange
from slotwise.services.schedule.visit_types import VisitTypes
from tests.clinic import Clinic, RunningServer
from tests.http.booking.test_visit_types import book
from tests.http.schedule.test_visit_types import new_type
from tests.web.people import text_of
from tests.web.visiting import Visitor
from tests.workers import DESK, booking_path, holder_of, new_slot

BERLIN = ZoneInfo("Europe/Berlin")
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
ADD_TYPE = "INSERT INTO visit_types (name, minutes, change_deadline_minutes) VALUES ('Visit', 30, $1) RETURNING id"
ASK = "SELECT past_change_deadline($1, $2, $3)"
# Noon before the clocks go forward, and back.
SATURDAYS = [datetime(2027, 3, 27, 11, tzinfo=UTC), datetime(2027, 10, 30, 10, tzinfo=UTC)]


@pytest.mark.parametrize("clock", SATURDAYS)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
async def test_the_deadline_itself_is_in_time_and_minutes_are_minutes_across_a_clock_change(
    connection: asyncpg.Connection, clock: datetime, zone: str
) -> None:
    await connection.execute(f"SET TIME ZONE '{zone}'")
    kind = await connection.fetchval(ADD_TYPE, 24 * 60)
    starts = [clock + DAY + by * SECOND for by in (-1, 0, 1)]
    assert [await connection.fetchval(ASK, start, kind, clock) for start in starts] == [True, False, False]


async def test_a_visit_that_has_begun_and_a_type_without_a_deadline_have_none(connection: asyncpg.Connection) -> None:
    clock = SATURDAYS[0]
    kind, free = await connection.fetchval(ADD_TYPE, 60), await connection.fetchval(ADD_TYPE, None)
    begins = [(clock, kind), (clock - SECOND, kind), (clock + SECOND, free), (clock + SECOND, kind)]
    asked = [await connection.fetchval(ASK, *begin, clock) for begin in begins]
    assert asked == [False, False, False, True]


@pytest.mark.parametrize(("beside", "late"), [(-30 * SECOND, True), (30 * SECOND, False)])
async def test_a_cancel_is_refused_exactly_when_the_page_says_so(
    database: Database, connection: asyncpg.Connection, beside: timedelta, late: bool
) -> None:
    """So long beside the deadline."""
    kind = await connection.fetchval(ADD_TYPE, 60)
    slot_id = await new_slot(connection, 1)
    await connection.execute("UPDATE appointment_slots SET visit_type_ids = ARRAY[$1::bigint]", kind)
    bookings = booking_path(database, 60)[1]
    held = await bookings.hold_seats(DESK, SeatRequest(slot_id, 1, None, "Ada", "ada@example.org", True, kind))
    start = await connection.fetchval(
        "UPDATE appointment_slots SET start_time = clock_timestamp() + $1, end_time = clock_timestamp() + $1 * 2"
        " RETURNING start_time",
        HOUR + beside,
    )
    assert await VisitTypes(database).is_past_change_deadline(kind, start) is late
    try:
        await bookings.cancel_booking(holder_of(held), held.booking.id)
        refused = False
    except TooLateToChange:
        refused = True
    assert refused is late


def _after_next_clock_change() -> datetime:
    now = datetime.now(BERLIN).replace(minute=0, second=0, microsecond=0)
    days = (now + by * DAY for by in range(1, 366))
    changed = next(day for day in days if day.utcoffset() != now.utcoffset())
    return (changed + DAY).astimezone(UTC)


def test_the_page_knows_the_deadline_across_a_clock_change(start_server: Callable[..., RunningServer]) -> None:
    """Half an hour before the deadline and after it. In the clinic's wall time, it would be an hour off."""
    server = start_server(CLINIC_TIME_ZONE="Europe/Berlin")
    start = _after_next_clock_change()
    ahead = (start - datetime.now(UTC)) // MINUTE
    with Clinic(server) as clinic, Visitor(server) as visitor:
        for minutes, late in ((ahead + 30, True), (ahead - 30, False)):
            kind = new_type(clinic, changeDeadlineMinutes=minutes)
            told = f"{start:%Y-%m-%dT%H:%M:%SZ}"
            slot = clinic.slot(startTime=told, visitTypeIds=[kind["id"]])
            booked = book(clinic, slot, kind, confirm=True).json()
            visitor.open(f"/bookings/{booked['id']}?token={booked['manageToken']}")
            assert ("too late to cancel" in text_of(visitor.page)) is late
