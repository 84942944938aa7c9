"""Metrics of the database connections: how many are open and idle, and how long was waited for one."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from prometheus_client import multiprocess

from slotwise.db.pool import Database
from slotwise.observability.metrics import POOL_CONNECTIONS, POOL_WAITS
from slotwise.worker.housekeeping import every

SECONDS = 1.0


@asynccontextmanager
async def gauges(pools: Mapping[str, Database], shared: Path | None) -> AsyncIterator[None]:
    """Update the metrics of these pools while the block runs.

    `shared` is the directory with all workers' metrics; the metrics of killed workers are removed from it.
    """

    counted = dict.fromkeys(pools, 0.0)

    async def read() -> None:
        for name, pool in pools.items():
            waited = pool.waited_seconds
            POOL_WAITS.labels(name).inc(waited - counted[name])
            counted[name] = waited
            for state, connections in pool.by_state.items():
                POOL_CONNECTIONS.labels(name, state).set(connections)

    if shared is not None:
        _forget_dead_workers(shared)
    # The first look at the metrics shows them all, however early it comes.
    await read()
    task = asyncio.create_task(every(SECONDS, "gauges", read))
    try:
        yield
    finally:
        task.cancel()


def _forget_dead_workers(shared: Path) -> None:
    for pid in {int(path.stem.rpartition("_")[2]) for path in shared.glob("gauge_live*_*.db")}:
        if not _is_alive(pid):
            with suppress(FileNotFoundError):  # another worker that is starting has removed it first
                multiprocess.mark_process_dead(pid, str(shared))  # type: ignore[no-untyped-call]  # its types stop here


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
