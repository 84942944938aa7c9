"""Batches that want the same slots in opposite orders."""

import random
from typing import Any

import asyncpg
import pytest

from slotwise.db.statements import NoRow, Statement
from slotwise.domain.errors import Unavailable
from slotwise.services import booking_batches
from slotwise.services.booking_batches import HoldRequest
from tests.workers import Worker, each, new_slot, violations, wanted, workers

ROUNDS = 60


async def _collide(pair: list[Worker], slot_ids: list[int]) -> list[object]:
    """Both workers book all slots in one batch, one of them backwards."""
    forwards = [HoldRequest(wanted(slot_id), "guest") for slot_id in slot_ids]
    orders = (forwards, forwards[::-1])
    return [*await each(pair, 2, lambda worker, number: worker.batches.hold(orders[number]))]


async def test_opposite_orders_never_deadlock(database_url: str, connection: asyncpg.Connection) -> None:
    slot_ids = [await new_slot(connection, seats=1000) for _ in range(20)]
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            results = await _collide(pair, slot_ids)
            assert not [result for result in results if isinstance(result, Exception)]
        assert await violations(pair[0].database) == []


async def test_locking_in_no_order_deadlocks(
    database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: with the order taken away, PostgreSQL has to break a deadlock."""
    slot_ids = [await new_slot(connection, seats=1000) for _ in range(20)]
    chance = random.Random(7)

    class InNoOrder(Statement[NoRow]):
        async def run(self, connection: Any, **arguments: Any) -> None:
            for slot_id in chance.sample(arguments["slot_ids"], len(arguments["slot_ids"])):
                await super().run(connection, slot_ids=[slot_id])

    monkeypatch.setattr(booking_batches, "LOCK_SLOTS", InNoOrder("bookings.lock_slots", NoRow))
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            if any(isinstance(result, Unavailable) for result in await _collide(pair, slot_ids)):
                return
    pytest.fail("no deadlock without an order: the test above proves nothing")
