"""How busy the machine is with other things. Limits of time are those of a quiet machine; on a busy one a run judges
what happened, and stretches them by as much as it was kept waiting."""

import asyncio
import os
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

SAMPLE_SECONDS = 0.5
# Of the run itself, at a time: the harness, the workers and some sessions of the database.
OWN = 6
QUIET = 1.5


class Machine:
    """`slowness` is 1 on a quiet machine, and on a busy one how many want each of its processors."""

    def __init__(self) -> None:
        self._running: list[int] = []

    @property
    def slowness(self) -> float:
        if not self._running:
            return 1.0
        others = statistics.fmean(self._running) - OWN
        return max(1.0, others / (os.cpu_count() or 1))

    @property
    def is_quiet(self) -> bool:
        return self.slowness < QUIET

    def look(self) -> None:
        """Linux tells how many want to run at this instant; elsewhere every machine passes for a quiet one."""
        with suppress(OSError):
            self._running.append(int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]))

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
