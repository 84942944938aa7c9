"""Writes tomorrow's lists each evening, and looks every minute whether one is missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from slotwise.services.desk.evening_lists import EveningLists
from slotwise.worker.housekeeping import every

ROUND_SECONDS = 60.0


@asynccontextmanager
async def writing_lists(evening_lists: EveningLists) -> AsyncIterator[None]:
    """Now, and again while the block runs."""
    job = evening_lists.write_evening_lists
    loop = asyncio.create_task(every(ROUND_SECONDS, "write_evening_lists", job, at_once=True))
    try:
        yield
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
