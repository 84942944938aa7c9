"""The same attempt arrives several times at once, at two workers."""

import asyncpg

from slotwise.domain.errors import KeyReused
from slotwise.services.booking_batches import Held
from slotwise.services.idempotency import IdempotencyKey
from tests.workers import each, holding, new_slot, violations, wanted, workers

ROUNDS = 15


def _key(number: int, body: bytes = b"body") -> IdempotencyKey:
    return IdempotencyKey.of("guest", "POST /api/bookings", f"attempt-{number:09}", body)


async def test_one_key_makes_one_booking_and_every_retry_gets_its_answer(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url) as pair:
        request = wanted(await new_slot(connection, seats=1000))
        for number in range(ROUNDS):
            key = _key(number)
            results = await each(pair, 16, holding((request, key)))
            held = [result for result in results if isinstance(result, Held)]
            assert len(held) == len(results)
            assert len({(result.booking, result.manage.token) for result in held}) == 1
        assert await connection.fetchval("SELECT count(*) FROM bookings") == ROUNDS
        assert await violations(pair[0].database) == []


async def test_without_a_key_each_retry_books_again(database_url: str, connection: asyncpg.Connection) -> None:
    """The negative control."""
    async with workers(database_url) as pair:
        request = wanted(await new_slot(connection, seats=1000))
        await each(pair, 16, holding((request, None)))
        assert await connection.fetchval("SELECT count(*) FROM bookings") == 16


async def test_one_key_for_two_slots_at_once_books_one_of_them(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """Different slots have different locks, so here the key's own row decides; nobody gets a 500."""
    async with workers(database_url) as pair:
        for number in range(ROUNDS):
            slots = [wanted(await new_slot(connection, seats=5)) for _ in pair]
            keys = [_key(number, body) for body in (b"one slot", b"the other")]
            results = await each(pair, 8, holding(*zip(slots, keys, strict=True)))
            held = {result.booking.id for result in results if isinstance(result, Held)}
            assert len(held) == 1
            assert all(isinstance(result, Held | KeyReused) for result in results)
        assert await violations(pair[0].database) == []
