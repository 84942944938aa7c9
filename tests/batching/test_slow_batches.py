"""A queue whose batches are slow: when it counts as full. The loop's clock goes on only as far as a batch takes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from slotwise.batching.group_commit import GroupCommit
from slotwise.domain.errors import Overloaded

CLIENTS = 64
FAST, SLOW, STALL = 0.001, 0.02, 2.0


class Crowd:
    """Clients that submit again as soon as they have their answer, to a queue whose batches last as long as told."""

    def __init__(self, go_on: Callable[[float], None]) -> None:
        self.queue = GroupCommit("test", self._commit, batch_limit=1, refusal_seconds=0)
        self.refused = 0
        self._go_on = go_on
        self._begun = asyncio.Semaphore(0)
        self._durations: asyncio.Queue[float] = asyncio.Queue()
        self._clients = [asyncio.create_task(self._submit_on_and_on(), name=f"client {n}") for n in range(CLIENTS)]

    async def arrive(self) -> None:
        """Wait until the first batch has begun."""
        await self._begun.acquire()

    async def batches(self, *durations: float) -> None:
        """Let so many batches end, each after its seconds. The next one has begun when this returns."""
        for seconds in durations:
            self._durations.put_nowait(seconds)
            await self._begun.acquire()

    async def leave(self) -> None:
        for client in self._clients:
            client.cancel()
        self._durations.put_nowait(FAST)
        await self.queue.drained()

    async def _commit(self, requests: Sequence[int]) -> Sequence[int]:
        self._begun.release()
        self._go_on(await self._durations.get())
        return requests

    async def _submit_on_and_on(self) -> None:
        while True:
            try:
                await self.queue.submit(0)
            except Overloaded:
                self.refused += 1
                return


@pytest.fixture
async def newcomers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Crowd]:
    """A crowd at a new queue, whose first batch has begun."""
    loop = asyncio.get_running_loop()
    now = loop.time()

    def go_on(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr(loop, "time", lambda: now)
    crowd = Crowd(go_on)
    await crowd.arrive()
    yield crowd
    await crowd.leave()


@pytest.fixture
async def crowd(newcomers: Crowd) -> Crowd:
    """A crowd at a queue that has been fast so far."""
    await newcomers.batches(*[FAST] * 500)
    assert newcomers.refused == 0
    return newcomers


async def test_one_slow_batch_among_fast_ones_refuses_no_request(crowd: Crowd) -> None:
    await crowd.batches(SLOW, *[FAST] * 100, SLOW, SLOW, *[FAST] * 100)
    assert crowd.refused == 0


async def test_slow_first_batches_of_a_new_queue_refuse_no_request(newcomers: Crowd) -> None:
    await newcomers.batches(SLOW, SLOW, *[FAST] * 100)
    assert newcomers.refused == 0


async def test_a_queue_that_stays_slow_refuses_within_a_second_and_keeps_those_it_can_serve_in_time(
    crowd: Crowd,
) -> None:
    await crowd.batches(*[SLOW] * 50)
    assert crowd.refused > 0
    await crowd.batches(*[SLOW] * 100)
    assert 0.25 / SLOW - 1 <= CLIENTS - crowd.refused <= 0.25 / SLOW + 2


async def test_a_long_stall_refuses_as_soon_as_it_is_over_until_a_batch_is_fast(crowd: Crowd) -> None:
    await crowd.batches(STALL)
    assert not crowd.queue.has_room()
    await crowd.batches(FAST)
    assert crowd.queue.has_room()


async def test_a_slow_queue_takes_requests_again_after_one_fast_batch(crowd: Crowd) -> None:
    await crowd.batches(*[SLOW] * 50)
    assert not crowd.queue.has_room()
    await crowd.batches(FAST)
    refused = crowd.refused
    await crowd.batches(*[FAST] * 100)
    assert crowd.refused == refused
