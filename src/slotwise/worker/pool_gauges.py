"""Shows an operator how many database connections are open, and how many of them are idle."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from slotwise.db.pool import Database
from slotwise.services.metrics import POOL_CONNECTIONS
from slotwise.worker.housekeeping import every

SECONDS = 1.0


@asynccontextmanager
async def watch_pools(pools: Mapping[str, Database]) -> AsyncIterator[None]:
    """Keep the gauges of these pools fresh for as long as the block runs."""

    async def read() -> None:
        for name, pool in pools.items():
            POOL_CONNECTIONS.labels(name, "open").set(pool.size)
            POOL_CONNECTIONS.labels(name, "idle").set(pool.idle)

    task = asyncio.create_task(every(SECONDS, "pool_gauges", read))
    try:
        yield
    finally:
        task.cancel()
