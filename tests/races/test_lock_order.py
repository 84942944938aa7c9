"""Batches that want the same slots in opposite orders."""

from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from torture.patching import mutate

from slotwise.domain.errors import Unavailable
from slotwise.services.booking.batches import CancelRequest, ConfirmRequest, Held, HoldRequest
from tests.depth import many
from tests.workers import Worker, each, new_slot, violations, wanted, workers

ROUNDS = many(12, 30)


async def _hold(pair: list[Worker], slot_ids: list[int]) -> list[object]:
    """Both workers book all slots in one batch, one of them backwards."""
    forwards = [HoldRequest(wanted(slot_id), "guest") for slot_id in slot_ids]
    orders = (forwards, forwards[::-1])
    return [*await each(pair, 2, lambda worker, number: worker.batches.hold(orders[number]))]


async def _confirm(pair: list[Worker], slot_ids: list[int]) -> list[object]:
    """Both workers confirm a hold of each slot in one batch, one of them backwards."""
    orders = [[ConfirmRequest(id_, None, None, "guest") for id_ in ids] for ids in await _held(pair, slot_ids)]
    return [*await each(pair, 2, lambda worker, number: worker.batches.confirm(orders[number]))]


async def _cancel(pair: list[Worker], slot_ids: list[int]) -> list[object]:
    """Both workers cancel a hold of each slot in one batch, one of them backwards."""
    orders = [[CancelRequest(id_, None, "guest") for id_ in ids] for ids in await _held(pair, slot_ids)]
    return [*await each(pair, 2, lambda worker, number: worker.batches.cancel(orders[number]))]


async def _held(pair: list[Worker], slot_ids: list[int]) -> tuple[list[int], list[int]]:
    """A hold of each slot for each worker, in opposite orders."""
    first, second = [
        [held.booking.id for held in await worker.batches.hold(requests) if isinstance(held, Held)]
        for worker in pair
        for requests in [[HoldRequest(wanted(slot_id), "guest") for slot_id in slot_ids]]
    ]
    return first, second[::-1]


async def _lock_slowly(connection: asyncpg.Connection, operation: str) -> None:
    """Half a millisecond before each lock, so that two batches meet while both are taking theirs."""
    await mutate(connection, operation, "PERFORM 1", "PERFORM pg_sleep(0.0005)")


COLLISIONS: dict[str, Callable[[list[Worker], list[int]], Awaitable[list[object]]]] = {
    "hold_seats_3": _hold,
    "confirm_bookings": _confirm,
    "cancel_bookings": _cancel,
}


@pytest.mark.parametrize("operation", COLLISIONS)
async def test_opposite_orders_never_deadlock(
    database_url: str, connection: asyncpg.Connection, operation: str
) -> None:
    await _lock_slowly(connection, operation)
    slot_ids = [await new_slot(connection, seats=1000) for _ in range(20)]
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            results = await COLLISIONS[operation](pair, slot_ids)
            assert not [result for result in results if isinstance(result, Exception)]
        assert await violations(pair[0].database) == []


@pytest.mark.parametrize("operation", COLLISIONS)
async def test_locking_in_no_order_deadlocks(database_url: str, connection: asyncpg.Connection, operation: str) -> None:
    """The negative control: with the order taken away, PostgreSQL has to break a deadlock.

    Without an ORDER BY the planner happens to walk an index in id order, hence the random one.
    """
    await _lock_slowly(connection, operation)
    await mutate(connection, operation, "ORDER BY s.id", "ORDER BY random()")
    slot_ids = [await new_slot(connection, seats=1000) for _ in range(20)]
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            if any(isinstance(result, Unavailable) for result in await COLLISIONS[operation](pair, slot_ids)):
                return
    pytest.fail("no deadlock without an order: the test above proves nothing")
