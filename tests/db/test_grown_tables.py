"""A table that grows fast is soon read by plans for its size, also by connections that planned while it was small."""

import asyncio
from collections.abc import AsyncIterator, Callable

import asyncpg
import pytest_asyncio

from slotwise.db.pool import Database
from slotwise.db.sessions import SESSION
from slotwise.services.booking.bookings import READ_BOOKINGS
from slotwise.services.core.statistics import analyze_grown_tables
from slotwise.services.schedule.slots import GET_SLOTS
from tests.clinic import PATIENCE_SECONDS, RunningServer, eventually, rows
from tests.clusters import execute
from tests.db.conftest import LEAVE_TO_US
from tests.db.test_plans_of_a_new_clinic import DAYS, DOCTORS, Connection, added, read_by

# One of each slot.
BOOK = """
INSERT INTO bookings (slot_id, user_name, user_email, seats_booked, status, confirmed_at, manage_token_hash)
SELECT s.id, 'Ada', 'ada@example.org', 1, 'CONFIRMED', now(), '\\x00'
FROM appointment_slots AS s
WHERE NOT EXISTS (SELECT FROM bookings AS b WHERE b.slot_id = s.id)
"""
SMALL = (LEAVE_TO_US, "INSERT INTO visit_types (name, minutes) VALUES ('Visit', 10)", added(1, 1), BOOK)
GROW = (added(DOCTORS, DAYS), BOOK)
GROWN = ["appointment_slots", "bookings", "doctors"]
KNOWN = "SELECT relname::text FROM pg_class WHERE relname = any($1::text[]) AND reltuples > 100"


@pytest_asyncio.fixture
async def reader(database_url: str) -> AsyncIterator[Connection]:
    """Has read a slot and a booking while there were four of each."""
    await execute(database_url, *SMALL, "VACUUM ANALYZE")
    connection = await asyncpg.connect(database_url, server_settings=SESSION)
    await rows_read(connection)
    yield connection
    await connection.close()


async def rows_read(connection: Connection) -> int:
    """To read one slot and one booking."""
    async with connection.transaction():
        slots = await read_by(connection, GET_SLOTS, slot_ids=[1])
        bookings = await read_by(connection, READ_BOOKINGS, booking_ids=[1])
    return slots.rows + bookings.rows


async def test_a_connection_plans_anew_when_its_tables_have_grown(
    database_url: str, database: Database, reader: Connection
) -> None:
    await execute(database_url, *GROW)
    assert await rows_read(reader) > 9000
    async with asyncio.timeout(PATIENCE_SECONDS):
        # The server counts rows when a session ends, or a second later.
        while len(await reader.fetch(KNOWN, GROWN)) < len(GROWN):
            await analyze_grown_tables(database)
            await asyncio.sleep(0.01)
    assert await rows_read(reader) < 50
    assert await analyze_grown_tables(database) == 0


async def test_small_tables_are_left_to_autovacuum(database: Database, reader: Connection) -> None:
    await reader.execute("UPDATE appointment_slots SET updated_at = now()")
    await reader.execute("SELECT pg_stat_force_next_flush()")
    assert await analyze_grown_tables(database) == 0


def test_a_server_looks_for_grown_tables(start_server: Callable[..., RunningServer], database_url: str) -> None:
    start_server()
    asyncio.run(execute(database_url, *SMALL, *GROW))
    eventually(lambda: len(rows(database_url, KNOWN, GROWN)) == len(GROWN))
