"""How busy the machine is with other programs. Time limits are for a quiet machine. On a busy machine a run extends
them by the factor by which it was slowed down."""

import asyncio
import os
import statistics
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

SAMPLE_SECONDS = 0.5
# Processes of the run itself that want a core at a time: harness, workers and some database sessions.
OWN = 6
QUIET = 1.5


class Machine:
    """`slowness` is 1 on a quiet machine; on a busy one, the number of processes that want each core."""

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
        """Note how many processes want to run now. Only Linux tells; other machines count as quiet."""
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
