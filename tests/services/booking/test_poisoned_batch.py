"""A batch with a value that the database refuses, and one whose rows cannot be read after the commit."""

import asyncio
from typing import NoReturn

import asyncpg
import msgspec
import pytest

from slotwise.domain.errors import InvalidInput, OutcomeUnknown
from slotwise.services.booking.batches import HOLD_SEATS, Held
from tests.workers import GUEST, new_slot, violations, wanted, workers


async def test_one_request_the_database_refuses_does_not_fail_its_neighbours(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The API refuses NUL. This test goes around the API to what catches it below."""
    async with workers(database_url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=100)
        poisoned = msgspec.structs.replace(wanted(slot_id), user_name="NUL \x00 inside")
        requests = [wanted(slot_id), poisoned, wanted(slot_id), wanted(slot_id)]
        results = await asyncio.gather(
            *(worker.bookings.hold_seats(GUEST, request) for request in requests), return_exceptions=True
        )
        assert [type(result) for result in results] == [Held, InvalidInput, Held, Held]
        assert await connection.fetchval("SELECT count(*) FROM bookings") == 3
        assert await violations(worker.database) == []


async def test_a_committed_batch_whose_rows_cannot_be_read_is_not_executed_twice(
    database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(record: object) -> NoReturn:
        raise TypeError(f"{record!r} has a column more")

    async with workers(database_url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=100)
        monkeypatch.setattr(HOLD_SEATS, "_row_of", unreadable)
        requests = [worker.bookings.hold_seats(GUEST, wanted(slot_id)) for _ in range(3)]
        results = await asyncio.gather(*requests, return_exceptions=True)
        assert [type(result) for result in results] == [OutcomeUnknown] * 3
        assert await connection.fetchval("SELECT count(*) FROM bookings") == 3
        assert await violations(worker.database) == []
