"""How busy the machine is with other programs. Time limits are for a quiet machine. On a busy machine a run extends
them by the factor by which it was slowed down."""

import asyncio
import os
import statistics
import time
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from torture.history import Attempt

SAMPLE_SECONDS = 0.5
# Processes of the run itself that want a core at a time: harness, workers and some database sessions.
OWN = 6
QUIET = 1.5


class Look(NamedTuple):
    """How many processes wanted to run at a moment by the wall clock."""

    at: float
    running: int


class Machine:
    """Its slowness is 1 on a quiet machine; on a busy one, the number of processes that want each core."""

    def __init__(self) -> None:
        self.looks: list[Look] = []

    @property
    def slowness(self) -> float:
        """Over the whole run."""
        return _slowness(self.looks)

    def slowness_between(self, began_at: float, ended_at: float) -> float:
        """Other programs may want the machine for a moment only. Never less than over the whole run."""
        first = bisect_left(self.looks, began_at - SAMPLE_SECONDS, key=lambda look: look.at)
        last = bisect_right(self.looks, ended_at + SAMPLE_SECONDS, key=lambda look: look.at)
        return max(self.slowness, _slowness(self.looks[first:last]))

    def was_busy(self, attempt: Attempt) -> bool:
        return self.slowness_between(attempt.began_at, attempt.ended_at) >= QUIET

    def look(self) -> None:
        """Note how many processes want to run now. Only Linux tells; other machines count as quiet."""
        with suppress(OSError):
            running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
            self.looks.append(Look(time.time(), running))

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(SAMPLE_SECONDS)


def _slowness(looks: Sequence[Look]) -> float:
    if not looks:
        return 1.0
    others = statistics.fmean(look.running for look in looks) - OWN
    return max(1.0, others / (os.cpu_count() or 1))
