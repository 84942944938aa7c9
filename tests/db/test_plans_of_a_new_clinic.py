"""What a batch of the booking path reads if its plans are older than most of the clinic's times.

A connection plans the statements of a function once, perhaps when there was one slot. New statistics make it plan
again, but they come a minute later or more. Until then, the plan of the one slot serves all that an import or a first
timetable has added.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import pytest

from slotwise.db.sessions import SESSION
from slotwise.db.statements import Statement
from slotwise.services.booking.batches import CANCEL_BOOKINGS, CONFIRM_BOOKINGS, HOLD_SEATS, HOLD_TIMES
from slotwise.services.core.expiry import SWEEP_HOLDS
from slotwise.services.schedule.slots import MAKE_ROOM, UPDATE_SLOT
from slotwise.services.schedule.visit_types import SET_VISIT_TYPES
from tests.clusters import execute
from tests.conftest import fresh_database
from tests.db.conftest import LEAVE_TO_US

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Batch: TypeAlias = Callable[[Connection, int], Awaitable["Read"]]
Change: TypeAlias = Callable[[Connection], Awaitable["Read"]]

BATCH = 32
DOCTORS, DAYS = 300, 8
FIRST_DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
VISIT = timedelta(minutes=10)

# Of $1 doctors, on $2 days each, from `FIRST_DAY` on: a window from 8 to 16, and four slots from 18 on.
ADD_TIMES = """
WITH doctor AS (
    INSERT INTO doctors (name, specialization)
    SELECT 'Dr. ' || i, 'General' FROM generate_series(1, $1::integer) AS i
    RETURNING id
),

rule AS (
    INSERT INTO schedule_rules (
        doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, visit_type_ids, kind, step_minutes
    )
    SELECT id, 1, '2020-01-01', 1, 480, 960, 480, '{1}', 'WINDOW', 10 FROM doctor
    RETURNING id, doctor_id
),

day AS (
    SELECT $3::timestamptz + n * interval '1 day' AS midnight FROM generate_series(0, $2::integer - 1) AS n
),

open_time AS (
    INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)
    SELECT
        r.doctor_id, 1, r.id, d.midnight + interval '8 hours', d.midnight + interval '16 hours',
        d.midnight::timestamp + interval '8 hours'
    FROM rule AS r CROSS JOIN day AS d
),

slot AS (
    INSERT INTO appointment_slots (
        doctor_id, start_time, end_time, total_seats, available_seats, visit_type_ids
    )
    SELECT
        o.id, d.midnight + interval '17 hours' + n * interval '1 hour',
        d.midnight + interval '17 hours 10 minutes' + n * interval '1 hour', 5, 5, '{1}'
    FROM doctor AS o CROSS JOIN day AS d CROSS JOIN generate_series(1, 4) AS n
    RETURNING id, total_seats
)

INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)
SELECT id, 1, 'CREATED', total_seats, total_seats, total_seats, 'test', clock_timestamp() FROM slot
"""
# An open time of each doctor; and a slot of each.
WINDOWS = "SELECT DISTINCT ON (doctor_id) id, start_time FROM windows ORDER BY doctor_id, id DESC LIMIT $1"
SLOTS = """
SELECT DISTINCT ON (doctor_id) id
FROM appointment_slots
WHERE window_id IS NULL AND available_seats = total_seats
ORDER BY doctor_id, id DESC
LIMIT $1
"""
# The last slot of the last doctor, whose windows are the last ones.
LAST_SLOT = "SELECT id, doctor_id, start_time, end_time FROM appointment_slots ORDER BY id DESC LIMIT 1"
FINGERPRINT = "SELECT schedule_fingerprint(ARRAY[$1::bigint], now(), now() + interval '90 days')"
CLOSE_WINDOW = """
SELECT slot_ids
FROM write_windows(
        outcome => 'applied', new_rule_ids => '{}', first_new_id => 1000000, closed_window_ids => ARRAY[$1::bigint],
        added_rule_ids => '{}', added_starts => '{}', added_ends => '{}', added_local_starts => '{}',
        actor => 'desk', request_id => NULL
    )
"""
READ = """
SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint
FROM pg_stat_xact_user_tables
"""


class Read(NamedTuple):
    """Rows that the statement fetched, and what it returned."""

    rows: int
    answer: list[asyncpg.Record]


async def read_by(connection: Connection, statement: Statement[Any], **arguments: object) -> Read:
    return await read_in(connection, statement.text, *(arguments[name] for name in statement.parameters))


async def read_in(connection: Connection, sql: str, *arguments: object) -> Read:
    before = await connection.fetchval(READ)
    answer = await connection.fetch(sql, *arguments)
    return Read(await connection.fetchval(READ) - before, answer)


def of_patients(count: int) -> dict[str, object]:
    return {
        "user_ids": [None] * count,
        "user_names": ["Ada Lovelace"] * count,
        "user_emails": [f"ada{number}@example.org" for number in range(count)],
        "confirmed": [False] * count,
        "manage_token_hashes": [bytes(32)] * count,
        "actors": ["guest"] * count,
        "callers": [],
        "routes": [],
        "key_hashes": [],
        "body_hashes": [],
        "manage_nonces": [],
        "request_ids": None,
        "hold_seconds": 60,
        "keep_seconds": 86400,
        "by_desk": False,
    }


async def hold_slots(connection: Connection, count: int, visit_type_id: int | None = None) -> Read:
    slot_ids = [row["id"] for row in await connection.fetch(SLOTS, count)]
    return await read_by(
        connection,
        HOLD_SEATS,
        slot_ids=slot_ids,
        seats=[1] * count,
        visit_type_ids=visit_type_id and [visit_type_id] * count,
        **of_patients(count),
    )


async def hold_visits(connection: Connection, count: int) -> Read:
    return await hold_slots(connection, count, visit_type_id=1)


async def hold_times(connection: Connection, count: int) -> Read:
    windows = await connection.fetch(WINDOWS, count)
    return await read_by(
        connection,
        HOLD_TIMES,
        window_ids=[window["id"] for window in windows],
        start_times=[window["start_time"] + 6 * VISIT for window in windows],
        end_times=[window["start_time"] + 7 * VISIT for window in windows],
        visit_type_ids=[1] * count,
        **of_patients(count),
    )


async def confirm(connection: Connection, count: int) -> Read:
    return await read_by(
        connection,
        CONFIRM_BOOKINGS,
        booking_ids=await held(connection, count),
        user_names=[None] * count,
        user_emails=[None] * count,
        actors=["guest"] * count,
        request_ids=None,
        by_desk=False,
    )


async def cancel(connection: Connection, count: int) -> Read:
    return await read_by(
        connection,
        CANCEL_BOOKINGS,
        booking_ids=await held(connection, count),
        reasons=[None] * count,
        actors=["guest"] * count,
        only_holds=[False] * count,
        request_ids=None,
        by_desk=False,
        patients_asked=[False] * count,
    )


async def sweep(connection: Connection, count: int) -> Read:
    await connection.execute(
        "UPDATE bookings SET expires_at = now() - interval '1 minute' WHERE id = any($1::bigint[])",
        await held(connection, count),
    )
    return await read_by(connection, SWEEP_HOLDS, holds_looked_at=1000, actor="sweeper")


async def make_room(connection: Connection) -> Read:
    [slot] = await connection.fetch(LAST_SLOT)
    return await read_by(
        connection,
        MAKE_ROOM,
        doctor_ids=[slot["doctor_id"]],
        starts_from=slot["start_time"],
        ends_before=slot["end_time"],
    )


async def update_slot(connection: Connection) -> Read:
    [slot] = await connection.fetch(LAST_SLOT)
    period = {"start_time": slot["start_time"], "end_time": slot["end_time"], "status": "OPEN"}
    return await read_by(
        connection,
        UPDATE_SLOT,
        slot_id=slot["id"],
        **period,
        **{f"old_{name}": value for name, value in period.items()},
        old_total_seats=5,
        total_seats=6,
        kinds=["RESIZED"],
        newest_booking=None,
        dry_run=False,
        actor="desk",
        details="{}",
        request_id=None,
    )


async def set_visit_types(connection: Connection) -> Read:
    [slot] = await connection.fetch(LAST_SLOT)
    return await read_by(
        connection,
        SET_VISIT_TYPES,
        slot_id=slot["id"],
        visit_type_ids=[1],
        actor="desk",
        details="{}",
        request_id=None,
    )


async def compare_schedule(connection: Connection) -> Read:
    [slot] = await connection.fetch(LAST_SLOT)
    return await read_in(connection, FINGERPRINT, slot["doctor_id"])


async def close_window(connection: Connection) -> Read:
    [window] = await connection.fetch(WINDOWS, 1)
    return await read_in(connection, CLOSE_WINDOW, window["id"])


async def held(connection: Connection, count: int) -> list[int]:
    return [row["id"] for row in (await hold_slots(connection, count)).answer]


@pytest.fixture(params=["without statistics", "with statistics of empty tables", "with statistics of one day"])
def young_url(request: pytest.FixtureRequest, postgres_url: str, migrated_template: str) -> Iterator[str]:
    """A clinic with one doctor and one day."""
    with fresh_database(postgres_url, migrated_template) as url:
        asyncio.run(execute(url, LEAVE_TO_US, "INSERT INTO visit_types (name, minutes) VALUES ('Visit', 10)"))
        if request.param == "with statistics of empty tables":
            asyncio.run(execute(url, "VACUUM ANALYZE"))
        asyncio.run(execute(url, added(doctors=1, days=1)))
        if request.param == "with statistics of one day":
            asyncio.run(execute(url, "VACUUM ANALYZE"))
        yield url


def added(doctors: int, days: int) -> str:
    numbers = {"$1": str(doctors), "$2": str(days), "$3": f"'{FIRST_DAY}'"}
    return reduce(lambda text, name: text.replace(name, numbers[name]), numbers, ADD_TIMES)


# Rows for each request of a batch.
BATCHES: Mapping[Batch, int] = {hold_slots: 8, hold_visits: 11, hold_times: 45, confirm: 15, cancel: 16, sweep: 10}
# Rows in all. Some go through the 300 doctors, or their rules.
CHANGES: Mapping[Change, int] = {
    make_room: 50,
    update_slot: 400,
    set_visit_types: 100,
    compare_schedule: 400,
    close_window: 50,
}


async def test_plans_from_when_there_was_one_slot_read_no_more_rows_of_a_grown_clinic(young_url: str) -> None:
    connection = await asyncpg.connect(young_url, server_settings=SESSION | {"plan_cache_mode": "force_generic_plan"})
    for batch in BATCHES:
        assert (await rolled_back(connection, batch, 1)).answer
    for change in CHANGES:
        assert (await rolled_back(connection, change)).answer
    await execute(young_url, added(DOCTORS, DAYS))
    for batch, rows_each in BATCHES.items():
        read = await rolled_back(connection, batch, BATCH)
        assert len(read.answer) >= BATCH
        assert read.rows <= rows_each * BATCH, batch
    for change, rows in CHANGES.items():
        assert (await rolled_back(connection, change)).rows <= rows, change
    await connection.close()


async def rolled_back(connection: Connection, change: Callable[..., Awaitable[Read]], *count: int) -> Read:
    transaction = connection.transaction()
    await transaction.start()
    read = await change(connection, *count)
    await transaction.rollback()
    return read
