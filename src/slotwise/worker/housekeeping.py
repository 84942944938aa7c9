"""Loops that expire overdue holds, publish the times of rules, delete old answers and old log-in failures, and let
PostgreSQL look at tables that grow fast."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import structlog

from slotwise.db.pool import Database
from slotwise.domain.errors import Unavailable
from slotwise.observability.crash_points import CrashPoints
from slotwise.services.accounts.users import prune_login_attempts
from slotwise.services.core.expiry import sweep_holds
from slotwise.services.core.idempotency import prune_answers
from slotwise.services.core.seat_events import SeatsChanged
from slotwise.services.core.statistics import analyze_grown_tables
from slotwise.services.schedule.publishing import Publisher

PRUNE_SECONDS = 60.0
# When bookings open, thousands are made in a second.
ANALYZE_SECONDS = 1.0
# Most rounds find nothing to do: a day is due only once a day.
PUBLISH_SECONDS = 60.0

log = structlog.get_logger()


@asynccontextmanager
async def housekeeping(
    database: Database,
    sweep_seconds: float,
    crash_points: CrashPoints,
    seats_changed: SeatsChanged,
    publisher: Publisher,
) -> AsyncIterator[None]:
    """Run the loops while the block runs."""

    async def sweep() -> None:
        await sweep_holds(database, crash_points=crash_points, seats_changed=seats_changed)

    loops = [
        asyncio.create_task(every(sweep_seconds, "sweep_holds", sweep)),
        asyncio.create_task(every(PUBLISH_SECONDS, "publish_slots", publisher.publish_slots)),
        asyncio.create_task(every(ANALYZE_SECONDS, "analyze_grown_tables", lambda: analyze_grown_tables(database))),
        asyncio.create_task(every(PRUNE_SECONDS, "prune_answers", lambda: prune_answers(database))),
        asyncio.create_task(every(PRUNE_SECONDS, "prune_login_attempts", lambda: prune_login_attempts(database))),
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.cancel()
        await asyncio.gather(*loops, return_exceptions=True)


async def every(seconds: float, name: str, job: Callable[[], Awaitable[object]], *, at_once: bool = False) -> None:
    """Run `job` again and again, with a pause of `seconds`. A failure is logged and does not end the loop.

    The first round comes after a pause too, unless `at_once`.
    """
    pause = 0.0 if at_once else seconds
    # Check this every time: a job that is cancelled while its connection breaks may raise the connection's error.
    while not _cancelled():
        await asyncio.sleep(pause)
        pause = seconds
        try:
            await job()
        except Unavailable as error:
            log.warning("housekeeping_postponed", job=name, reason=error.code)
        except Exception as error:  # a defect in one round must not end the loop
            log.error("housekeeping_failed", job=name, error=type(error).__name__)  # noqa: TRY400 - see problems.py


def _cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
