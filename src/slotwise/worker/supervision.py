"""A worker without its supervisor must not go on holding the port."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHECK_SECONDS = 1.0


@asynccontextmanager
async def end_with_parent() -> AsyncIterator[None]:
    """Ask this process to end gracefully when the one that started it has died, as by `kill -9`."""
    task = asyncio.create_task(_watch(os.getppid()))
    try:
        yield
    finally:
        task.cancel()


async def _watch(parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells of a parent's death
        await asyncio.sleep(CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
