"""How long an answer is kept."""

import asyncpg

from slotwise.db.pool import Database
from slotwise.services.booking.batches import Held
from slotwise.services.core.idempotency import IdempotencyKey, prune_answers
from tests.workers import GUEST, new_slot, wanted, workers

KEY = IdempotencyKey.of("guest", "POST /api/bookings", "an attempt of yesterday", b"body")


async def test_answers_are_pruned_after_a_day_and_not_before(
    database_url: str, database: Database, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, count=1) as [worker]:
        await worker.bookings.hold_seats(GUEST, wanted(await new_slot(connection, seats=5)), KEY)
    await _age(connection, "23 hours 59 minutes")
    assert await prune_answers(database) == 0
    await _age(connection, "2 minutes")
    assert await prune_answers(database) == 1
    assert await connection.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_after_a_day_a_key_names_a_new_attempt_even_before_it_is_pruned(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, count=1) as [worker]:
        request = wanted(await new_slot(connection, seats=5))
        first = await worker.bookings.hold_seats(GUEST, request, KEY)
        await _age(connection, "1 day 1 minute")
        second = await worker.bookings.hold_seats(GUEST, request, KEY)
        again = await worker.bookings.hold_seats(GUEST, request, KEY)
    assert isinstance(second, Held)
    assert first.booking.id != second.booking.id == again.booking.id


async def _age(connection: asyncpg.Connection, by: str) -> None:
    await connection.execute(f"UPDATE idempotency_keys SET created_at = created_at - interval '{by}'")
