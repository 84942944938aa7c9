"""Shared reads: which callers share a read, and what happens on errors, cancelled callers and too many callers."""

import asyncio

import pytest

from slotwise.batching.shared_reads import SharedReads
from slotwise.db.pool import STATEMENT_SECONDS
from slotwise.domain.errors import DatabaseUnavailable, Overloaded
from tests.clinic import PATIENCE_SECONDS


class Shelf:
    """Has a number under every name. A read sees the value at its start and lasts until the gate opens.

    One read fails with `error`, if there is one.
    """

    def __init__(self) -> None:
        self.number = 0
        self.readings: list[str] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def read(self, name: str) -> int:
        self.readings.append(name)
        seen = self.number
        await self.gate.wait()
        error, self.error = self.error, None
        if error:
            raise error
        return seen


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def reads(shelf: Shelf) -> SharedReads[str, int]:
    return SharedReads(shelf.read)


async def asking(reads: SharedReads[str, int], name: str, callers: int = 1) -> list[asyncio.Task[int]]:
    """Start callers. Their read, if it need not wait, has started on return."""
    tasks = [asyncio.create_task(reads.read(name)) for _ in range(callers)]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_a_lone_caller_does_not_wait(reads: SharedReads[str, int], shelf: Shelf) -> None:
    shelf.gate.set()
    assert await reads.read("a") == 0
    shelf.number = 1
    assert await reads.read("a") == 1
    assert shelf.readings == ["a", "a"]


async def test_callers_during_a_read_share_the_next_read(reads: SharedReads[str, int], shelf: Shelf) -> None:
    first = await asking(reads, "a")
    others = await asking(reads, "a", 5) + await asking(reads, "a", 5)
    assert shelf.readings == ["a"], "the next waits for the one in flight"
    shelf.gate.set()
    await asyncio.gather(*first, *others)
    assert shelf.readings == ["a", "a"]


async def test_a_caller_never_gets_a_read_that_began_before_its_call(
    reads: SharedReads[str, int], shelf: Shelf
) -> None:
    before = await asking(reads, "a")
    shelf.number = 1
    after = await asking(reads, "a", 2)
    shelf.gate.set()
    assert await asyncio.gather(*before, *after) == [0, 1, 1]


async def test_a_read_that_waited_returns_the_state_at_its_start(reads: SharedReads[str, int], shelf: Shelf) -> None:
    await asking(reads, "a")
    [second] = await asking(reads, "a")
    shelf.number = 1
    shelf.gate.set()
    assert await second == 1


async def test_different_things_are_read_side_by_side(reads: SharedReads[str, int], shelf: Shelf) -> None:
    tasks = await asking(reads, "a") + await asking(reads, "b")
    assert shelf.readings == ["a", "b"]
    shelf.gate.set()
    await asyncio.gather(*tasks)


async def test_an_error_goes_to_all_callers_of_the_read_and_to_no_later_caller(
    reads: SharedReads[str, int], shelf: Shelf
) -> None:
    error = shelf.error = DatabaseUnavailable()
    tasks = await asking(reads, "a", 3)
    shelf.gate.set()
    assert await asyncio.gather(*tasks, return_exceptions=True) == [error] * 3
    assert await reads.read("a") == 0


async def test_an_error_of_the_read_in_flight_does_not_affect_the_next(
    reads: SharedReads[str, int], shelf: Shelf
) -> None:
    shelf.error = DatabaseUnavailable()
    [first] = await asking(reads, "a")
    [second] = await asking(reads, "a")
    shelf.gate.set()
    with pytest.raises(DatabaseUnavailable):
        await first
    assert await second == 0


async def test_a_caller_that_goes_away_does_not_stop_the_read_for_others(
    reads: SharedReads[str, int], shelf: Shelf
) -> None:
    in_flight = await asking(reads, "a", 2)
    waiting = await asking(reads, "a", 2)
    in_flight[0].cancel()
    waiting[0].cancel()
    shelf.gate.set()
    assert [await in_flight[1], await waiting[1]] == [0, 0]


async def test_beyond_the_limit_a_new_read_is_refused_but_sharing_one_is_not(shelf: Shelf) -> None:
    reads = SharedReads(shelf.read, limit=2)
    tasks = await asking(reads, "a") + await asking(reads, "a")
    tasks += await asking(reads, "a", 9)
    with pytest.raises(Overloaded):
        await reads.read("b")
    shelf.gate.set()
    await asyncio.gather(*tasks)
    assert await reads.read("b") == 0


async def test_nothing_is_cached_afterwards(reads: SharedReads[str, int], shelf: Shelf) -> None:
    tasks = await asking(reads, "a", 2) + await asking(reads, "a", 2)
    shelf.gate.set()
    await asyncio.gather(*tasks)
    assert not reads._in_flight
    assert not reads._next


async def test_a_read_that_never_ends_holds_up_only_its_own_callers(shelf: Shelf) -> None:
    reads = SharedReads(shelf.read, patience_seconds=0.05)
    [stuck] = await asking(reads, "a")
    shelf.gate = asyncio.Event()
    shelf.gate.set()
    shelf.number = 1
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reads.read("a") == 1
    assert not stuck.done()
    stuck.cancel()


def test_every_read_is_impatient() -> None:
    assert SharedReads(Shelf().read)._patience_seconds < STATEMENT_SECONDS
