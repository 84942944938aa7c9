"""Seat events within a worker: what listeners get, how slow they may be, and how many there may be."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, ExitStack

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.channels import listening
from slotwise.db.hosts import Hosts
from slotwise.db.pool import Connection, Database
from slotwise.domain.errors import DatabaseUnavailable, Overloaded, TooManyRequests
from slotwise.domain.slots import SlotStatus
from slotwise.services.booking.batches import BookingBatches, CancelRequest, Held, HoldRequest
from slotwise.services.core.expiry import sweep_holds
from slotwise.services.core.manage_tokens import ManageTokens
from slotwise.services.core.seat_events import (
    CHANNEL,
    IDS_IN_MESSAGE,
    LOOK_AGAIN,
    MOST_SLOTS,
    Listener,
    News,
    SeatEvents,
    Seats,
)
from slotwise.worker.seat_relay import relay_seats
from tests.workers import new_slot, wanted

LARGEST_ID = 2**63 - 1
PATIENCE = 5.0


def seats(slot_id: int, available: int = 1) -> News:
    return News({slot_id: Seats(slot_id, available, 9, SlotStatus.OPEN)})


async def next_news(listener: Listener) -> News:
    """The listener's next news. The test fails if there is none."""
    news = await listener.news(PATIENCE)
    assert news is not None, "nothing came"
    return news


async def test_a_slow_listener_gets_only_the_newest_state_of_each_slot_and_once() -> None:
    listener = Listener()
    for available in range(9, 0, -1):
        listener.tell(seats(1, available))
    listener.tell(seats(2))
    assert {slot: now.available_seats for slot, now in (await next_news(listener)).seats.items()} == {1: 1, 2: 1}
    assert await listener.news(0) is None


async def test_the_news_of_a_slow_listener_is_bounded() -> None:
    listener = Listener()
    for slot_id in range(MOST_SLOTS):
        listener.tell(seats(slot_id))
    assert len((await next_news(listener)).seats) == MOST_SLOTS
    for slot_id in range(MOST_SLOTS + 1):
        listener.tell(seats(slot_id))
    assert await next_news(listener) is LOOK_AGAIN
    listener.tell(LOOK_AGAIN)
    listener.tell(seats(1))
    assert await next_news(listener) is LOOK_AGAIN


async def test_ending_a_listener_ends_its_wait_for_news() -> None:
    listener = Listener()
    waiting = asyncio.create_task(listener.news(60))
    await asyncio.sleep(0)
    listener.end()
    assert await asyncio.wait_for(waiting, PATIENCE) is None
    assert listener.over
    assert await asyncio.wait_for(listener.news(60), PATIENCE) is None


async def test_listeners_are_limited_and_a_leaving_one_makes_room() -> None:
    events = SeatEvents(3, 20)
    with ExitStack() as stack:
        for number in range(2):
            stack.enter_context(events.watch_seats(f"client {number}"))
        with events.watch_seats("a third"), pytest.raises(Overloaded), events.watch_seats("a fourth"):
            pass
        with events.watch_seats("a fourth"):
            pass


async def test_one_client_cannot_take_more_than_its_share_of_listeners() -> None:
    events = SeatEvents(1000, 2)
    with events.watch_seats("greedy"), events.watch_seats("greedy"):
        with pytest.raises(TooManyRequests), events.watch_seats("greedy"):
            pass
        with events.watch_seats("modest"):
            pass
    with events.watch_seats("greedy"):
        pass


class Beside:
    """Two workers on one database, each with a listener and a connection for its relay."""

    def __init__(self, first: SeatEvents, second: SeatEvents, connections: list[Connection]) -> None:
        self.first, self.second = first, second
        self._connections = connections

    async def relay(self) -> None:
        """Run each relay once: the second hears what the first publishes."""
        await self.first.relay(self._connections[0])
        await self.second.work(PATIENCE)
        await self.second.relay(self._connections[1])


@pytest_asyncio.fixture
async def beside(database_url: str) -> AsyncIterator[Beside]:
    async with AsyncExitStack() as stack:
        first, second = SeatEvents(1000, 20), SeatEvents(1000, 20)
        connections = [
            await stack.enter_async_context(listening(Hosts(database_url), CHANNEL, each.hear, each.wake))
            for each in (first, second)
        ]
        yield Beside(first, second, connections)


async def test_changes_at_one_worker_reach_the_listeners_of_all_workers(
    beside: Beside, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    slot_id = await new_slot(connection, 3)
    with beside.first.watch_seats("a") as here, beside.second.watch_seats("b") as there:
        beside.first.seats_changed([slot_id, LARGEST_ID])
        await beside.relay()
        expected = {slot_id: Seats(slot_id, 3, 3, SlotStatus.OPEN)}
        assert (await next_news(here)).seats == (await next_news(there)).seats == expected


async def test_changes_that_need_several_messages_all_arrive(
    beside: Beside, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    slot_ids = [await new_slot(connection, 1) for _ in range(3)]
    # The longest possible ids, beside those of the existing slots.
    filling = range(LARGEST_ID - 2 * IDS_IN_MESSAGE, LARGEST_ID)
    with beside.second.watch_seats("b") as there:
        beside.first.seats_changed([*slot_ids, *filling])
        await beside.relay()
        assert set((await next_news(there)).seats) == set(slot_ids)


async def test_after_too_many_changes_listeners_read_everything_again(beside: Beside) -> None:
    with beside.second.watch_seats("b") as there:
        beside.first.seats_changed(range(1, MOST_SLOTS + 2))
        await beside.relay()
        assert await next_news(there) is LOOK_AGAIN


async def test_an_unreadable_message_counts_as_a_change_of_every_slot(beside: Beside) -> None:
    with beside.second.watch_seats("b") as there:
        beside.second.hear('{"from": "a later version"}')
        await beside.relay()
        assert await next_news(there) is LOOK_AGAIN


async def test_unpublished_changes_are_published_on_the_next_connection(
    database_url: str, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    slot_id = await new_slot(connection, 1)
    events = SeatEvents(1000, 20)
    events.seats_changed([slot_id])
    async with listening(Hosts(database_url), CHANNEL, events.hear, events.wake) as broken:
        broken.terminate()
        with pytest.raises(asyncpg.InterfaceError):
            await events.relay(broken)
    with events.watch_seats("a") as listener:
        async with listening(Hosts(database_url), CHANNEL, events.hear, events.wake) as whole:
            await events.relay(whole)
        assert set((await next_news(listener)).seats) == {slot_id}


async def test_the_relay_leaves_a_read_only_server(database_url: str) -> None:
    """Like an old primary that was fenced: bookings and their messages go to the new one."""
    events = SeatEvents(1000, 20)
    hosts = Hosts(f"{database_url}&target_session_attrs=read-write")
    async with listening(hosts, CHANNEL, events.hear, events.wake) as connection:
        await events.relay(connection)
        await connection.execute("SET default_transaction_read_only = on")
        with pytest.raises(DatabaseUnavailable):
            await events.relay(connection)


async def test_after_a_lost_connection_listeners_read_everything_again(database_url: str) -> None:
    events = SeatEvents(1000, 20)
    with events.watch_seats("a") as listener:
        relaying = asyncio.create_task(relay_seats(Hosts(database_url), events))
        assert await next_news(listener) is LOOK_AGAIN
        await _run(
            database_url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        with pytest.raises(DatabaseUnavailable):
            await asyncio.wait_for(relaying, PATIENCE)
        relaying = asyncio.create_task(relay_seats(Hosts(database_url), events))
        assert await next_news(listener) is LOOK_AGAIN
        relaying.cancel()


async def test_only_a_change_of_seats_is_news(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Otherwise a client that repeats impossible requests would make all workers read."""
    changed: list[Collection[int]] = []
    batches = BookingBatches(database, ManageTokens("a secret for tests"), 60, seats_changed=changed.append)
    slot_id, full = await new_slot(connection, 5), await new_slot(connection, 1)
    [held, _] = await batches.hold([HoldRequest(wanted(slot, 1), "guest") for slot in (slot_id, full)])
    assert isinstance(held, Held)
    await batches.hold([HoldRequest(wanted(full, 1), "guest"), HoldRequest(wanted(LARGEST_ID, 1), "guest")])
    cancel = CancelRequest(held.booking.id, None, "guest")
    for _ in range(2):
        await batches.cancel([cancel])
    await sweep_holds(database, seats_changed=changed.append)
    await connection.execute("UPDATE bookings SET expires_at = clock_timestamp() WHERE slot_id = $1", full)
    await sweep_holds(database, seats_changed=changed.append)
    assert [set(slots) for slots in changed if slots] == [{slot_id, full}, {slot_id}, {full}]


async def _run(database_url: str, query: str) -> "list[asyncpg.Record]":
    connection = await asyncpg.connect(database_url)
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()
