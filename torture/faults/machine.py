"""A machine that is busy with other programs, and a slow start of a worker."""

import asyncio
import sys
from collections.abc import AsyncIterator
from random import Random

from harness.watchdog import watch

from torture.bed import Bed
from torture.faults.fault import Fault, blow

BUSY_LOOPS = 20
IMPORT_SECONDS = 7.0
# It ends by itself when its parent process is gone.
BUSY_LOOP = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(100_000))"


async def busy_machine(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Run many busy loops beside the server."""
    loops = [await asyncio.create_subprocess_exec(sys.executable, "-S", "-c", BUSY_LOOP) for _ in range(BUSY_LOOPS)]
    try:
        for loop in loops:
            watch(loop.pid)
        yield
    finally:
        for loop in loops:
            loop.kill()
        await asyncio.gather(*(loop.wait() for loop in loops))


async def slow_imports(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Kill a worker, and let the next one take long to import."""
    bed.slow_imports.write_text(f"{IMPORT_SECONDS}")
    random.choice(bed.workers()).kill()
    try:
        yield
    finally:
        bed.slow_imports.unlink(missing_ok=True)


FAULTS = (
    Fault("busy-machine", "twenty programs beside it that take all the machine has", blow(busy_machine), (2.0, 4.0)),
    Fault("slow-imports", "a worker dies, and the next takes 7 s to import", blow(slow_imports), (1.0, 2.0)),
)
