"""Batched reads: which callers share a read, and that each gets what it wants."""

import asyncio
from collections.abc import Mapping

import pytest

from slotwise.batching.batched_reads import PATIENCE_SECONDS, BatchedReads
from slotwise.domain.errors import DatabaseUnavailable


class Shelf:
    """Has a number under the names `a` to `c`. A read lasts until the gate opens."""

    def __init__(self) -> None:
        self.numbers = {"a": 1, "b": 2, "c": 3}
        self.readings: list[list[str]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def read(self, names: list[str]) -> Mapping[str, int]:
        self.readings.append(sorted(names))
        seen = {name: self.numbers[name] for name in names if name in self.numbers}
        await self.gate.wait()
        error, self.error = self.error, None
        if error:
            raise error
        return seen


async def asking(reads: BatchedReads[str, int], *names: str) -> list[asyncio.Task[int | None]]:
    """Start callers. Their read, if it need not wait, has started on return."""
    tasks = [asyncio.create_task(reads.read(name)) for name in names]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_a_lone_caller_does_not_wait() -> None:
    shelf = Shelf()
    shelf.gate.set()
    reads = BatchedReads(shelf.read)
    assert [await reads.read(name) for name in ("a", "b", "z")] == [1, 2, None]
    assert shelf.readings == [["a"], ["b"], ["z"]]


async def test_callers_during_a_read_share_the_next_one_which_sees_what_was_written_before() -> None:
    shelf = Shelf()
    reads = BatchedReads(shelf.read)
    first = await asking(reads, "a")
    shelf.numbers["a"] = 10
    others = await asking(reads, "a", "b", "c", "z", "b")
    shelf.gate.set()
    assert await asyncio.gather(*first, *others) == [1, 10, 2, 3, None, 2]
    assert shelf.readings == [["a"], ["a", "b", "c", "z"]]


async def test_an_error_goes_to_those_who_share_the_read_and_no_further() -> None:
    shelf = Shelf()
    reads = BatchedReads(shelf.read)
    shelf.error = DatabaseUnavailable()
    first = await asking(reads, "a", "b")
    later = await asking(reads, "c")
    shelf.gate.set()
    for failed in first:
        with pytest.raises(DatabaseUnavailable):
            await failed
    assert await later[0] == 3


async def test_a_caller_that_goes_away_takes_nothing_from_the_others() -> None:
    shelf = Shelf()
    reads = BatchedReads(shelf.read)
    await asking(reads, "a")
    gone, stays = await asking(reads, "b", "c")
    gone.cancel()
    shelf.gate.set()
    assert await stays == 3


async def test_a_read_that_never_ends_holds_up_only_its_own_callers() -> None:
    shelf = Shelf()
    reads = BatchedReads(shelf.read)
    [stuck] = await asking(reads, "a")
    stuck_gate, shelf.gate = shelf.gate, asyncio.Event()
    shelf.gate.set()
    async with asyncio.timeout(PATIENCE_SECONDS + 1):
        assert [await task for task in await asking(reads, "b", "c")] == [2, 3]
        assert await reads.read("a") == 1
    assert not stuck.done()
    # It ends at last, while another one is in flight, for which the next one waits as usual.
    shelf.gate.clear()
    later = await asking(reads, "b")
    stuck_gate.set()
    assert await stuck == 1
    later += await asking(reads, "c")
    assert shelf.readings[-1] == ["b"]
    shelf.gate.set()
    assert [await task for task in later] == [2, 3]
