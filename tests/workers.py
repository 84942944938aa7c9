"""Two worker processes' booking paths in one test process: each has its own connections and its own batches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeVar

import asyncpg

from slotwise.cli.checking import place_of
from slotwise.db.pool import Database
from slotwise.domain.bookings import SeatRequest
from slotwise.domain.users import Role, User
from slotwise.services.booking.batches import BookingBatches, Held
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.queues import BookingQueues
from slotwise.services.core.callers import Caller
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.core.invariants import find_violations
from slotwise.services.core.manage_tokens import ManageTokens
from tests.clinic import PATIENCE_SECONDS

Result = TypeVar("Result")

NOW = datetime.now(UTC)
DESK = Caller(User(0, "desk@example.org", "Desk", Role.STAFF, True, 1, NOW, NOW))
GUEST = Caller()


def holder_of(held: Held) -> Caller:
    """Who made it, by its manage token: on the patients' road, which is not the desk's."""
    return Caller(manage_token=held.manage.token)


class Worker(NamedTuple):
    database: Database
    batches: BookingBatches
    bookings: Bookings


def booking_path(database: Database, hold_seconds: int) -> tuple[BookingBatches, Bookings]:
    """The batches of patients, and the use cases over them and the desk's."""
    tokens = ManageTokens("a secret of at least 32 bytes, for tests")
    batches = BookingBatches(database, tokens, hold_seconds)
    at_desk = BookingBatches(database, tokens, hold_seconds, noted=True)
    return batches, Bookings(database, BookingQueues(batches), BookingQueues(at_desk))


@asynccontextmanager
async def workers(url: str, count: int = 2, hold_seconds: int = 60) -> AsyncIterator[list[Worker]]:
    async with AsyncExitStack() as stack:
        started = []
        for _ in range(count):
            database = await Database.connect(url, 6)
            stack.push_async_callback(database.close)
            batches, bookings = booking_path(database, hold_seconds)
            started.append(Worker(database, batches, bookings))
        yield started


async def new_slot(connection: "asyncpg.Connection[asyncpg.Record]", seats: int) -> int:
    """A slot far in the future, with its ledger begun, of a doctor of its own."""
    doctor_id = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    start = NOW + timedelta(days=30)
    slot_id: int = await connection.fetchval(
        "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
        " VALUES ($1, $2, $3, $4, $4) RETURNING id",
        doctor_id,
        start,
        start + timedelta(minutes=30),
        seats,
    )
    await connection.execute(
        "INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        " VALUES ($1, 1, 'CREATED', $2, $2, $2, 'test', now())",
        slot_id,
        seats,
    )
    return slot_id


def wanted(slot_id: int, seats: int = 1, confirm: bool = False) -> SeatRequest:
    return SeatRequest(slot_id, seats, None, "Ada Lovelace", "ada@example.org", confirm)


async def at_once(attempts: Sequence[Callable[[], Awaitable[Result]]]) -> list[Result | Exception]:
    """Start all attempts at one barrier; return what each gave or raised."""
    barrier = asyncio.Barrier(len(attempts))

    async def attempt(work: Callable[[], Awaitable[Result]]) -> Result:
        await barrier.wait()
        return await work()

    results = await asyncio.gather(*(attempt(work) for work in attempts), return_exceptions=True)
    ended = [result for result in results if not isinstance(result, BaseException) or isinstance(result, Exception)]
    assert len(ended) == len(results)
    return ended


async def each(
    workers: Sequence[Worker], count: int, attempt: Callable[[Worker, int], Awaitable[Result]]
) -> list[Result | Exception]:
    """`count` attempts at once, dealt out to the workers in turn."""
    return await at_once([partial(attempt, workers[number % len(workers)], number) for number in range(count)])


def holding(*attempts: tuple[SeatRequest, IdempotencyKey | None]) -> Callable[[Worker, int], Awaitable[Held]]:
    """An attempt for `each`: the attempts given, in turn."""

    async def attempt(worker: Worker, number: int) -> Held:
        request, key = attempts[number % len(attempts)]
        return await worker.bookings.hold_seats(GUEST, request, key)

    return attempt


async def waiting_for_a_lock(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    """How many other sessions of this database wait for a lock. Other databases of the server do not count."""
    # Inside a transaction, PostgreSQL otherwise shows the sessions that there were when it was first asked.
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    count: int = await connection.fetchval(
        "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE NOT granted AND datname = current_database()"
    )
    return count


async def until_waiting_for_a_lock(connection: "asyncpg.Connection[asyncpg.Record]", count: int = 1) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await waiting_for_a_lock(connection) < count:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)


async def in_turn(
    connection: "asyncpg.Connection[asyncpg.Record]",
    lock: str,
    attempts: Sequence[Callable[[], Awaitable[object]]],
    *,
    ends: bool = False,
) -> list[object]:
    """Start each attempt when the one before it waits, for the lock or for another attempt. Then release the lock.

    With `ends`, the last one does not wait: it ends while the others do.
    """
    running = []
    async with connection.transaction():
        await connection.execute(lock)
        for place, attempt in enumerate(attempts, 1):
            running.append(asyncio.ensure_future(attempt()))
            if ends and place == len(attempts):
                await asyncio.wait(running[-1:], timeout=PATIENCE_SECONDS)
            else:
                await until_waiting_for_a_lock(connection, place)
    return [*await asyncio.gather(*running, return_exceptions=True)]


async def violations(database: Database) -> list[str]:
    found = await find_violations(database)
    return [f"{one.rule} {place_of(one)}: {one.found}; expected {one.expected}" for one in found]
