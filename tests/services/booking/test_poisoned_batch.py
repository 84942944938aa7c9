"""A value that the database refuses, in a batch with good ones."""

import asyncio

import asyncpg
import msgspec

from slotwise.domain.errors import InvalidInput
from slotwise.services.booking.batches import Held
from tests.workers import GUEST, new_slot, violations, wanted, workers


async def test_one_request_the_database_refuses_does_not_fail_its_neighbours(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The edge refuses NUL by name; this goes around the edge, to the net below it."""
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
