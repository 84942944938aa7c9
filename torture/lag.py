"""How late the harness itself is: on a machine that a fault keeps busy, its own clients wait for a processor too.

A client that does not run cannot notice that its answer has come. What it was late by is no time of the server's.
"""

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

TICK_SECONDS = 0.05


class Tick(NamedTuple):
    """When the harness looked at the clock, and by how much later than it meant to; in seconds."""

    at: float
    late: float


class Lag:
    """By the monotonic clock, which attempts have too."""

    def __init__(self) -> None:
        self.ticks: list[Tick] = []

    @property
    def most(self) -> float:
        return max((tick.late for tick in self.ticks), default=0.0)

    @asynccontextmanager
    async def measured(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._measure())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _measure(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            self.ticks.append(Tick(now, now - due))

    def of(self, began: float, ended: float) -> float:
        """By how much an attempt may seem longer than it was: when it was sent, and when its answer was read."""
        return self._around(began) + self._around(ended)

    def _around(self, moment: float) -> float:
        """The most that a tick was late which was due before the moment, or came next after it."""
        first = bisect_left(self.ticks, moment - TICK_SECONDS, key=lambda tick: tick.at)
        last = bisect_right(self.ticks, moment, key=lambda tick: tick.at)
        return max((tick.late for tick in self.ticks[first : last + 1]), default=0.0)
