"""A worker without its supervisor must not go on holding the port."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing import parent_process
from multiprocessing.process import BaseProcess

CHECK_SECONDS = 1.0


@asynccontextmanager
async def end_with_parent() -> AsyncIterator[None]:
    """Ask this process to end gracefully once the one that started it has died, as by `kill -9`."""
    parent = parent_process()
    task = asyncio.create_task(_watch(parent)) if parent else None
    try:
        yield
    finally:
        if task:
            task.cancel()


async def _watch(parent: BaseProcess) -> None:
    while parent.is_alive():  # noqa: ASYNC110 - no event tells of a parent's death
        await asyncio.sleep(CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
