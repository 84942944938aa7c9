"""Carries seat events between this worker and all others, over a connection of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from slotwise.db.channels import listening
from slotwise.db.hosts import Hosts
from slotwise.services.core.seat_events import CHANNEL, SeatEvents
from slotwise.worker.housekeeping import every

# Before a lost connection is made anew.
RECONNECT_SECONDS = 1.0
# A lone change goes out at once, and those of the time after it together.
TURN_SECONDS = 0.2
# A server that went without a word is missed after this, when nothing is to be told.
CHECK_SECONDS = 5.0


@asynccontextmanager
async def seat_relay(url: str, seat_events: SeatEvents) -> AsyncIterator[None]:
    """Keep the relay running for as long as the block runs."""
    hosts = Hosts(url)
    task = asyncio.create_task(every(RECONNECT_SECONDS, "relay_seats", lambda: relay_seats(hosts, seat_events)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def relay_seats(hosts: Hosts, seat_events: SeatEvents) -> None:
    """Relay until the connection ends, which raises one of the `Unavailable` errors."""
    async with listening(hosts, CHANNEL, seat_events.hear, seat_events.wake) as connection:
        # What was published while nobody here listened is lost.
        await seat_events.look_again()
        while True:
            await seat_events.relay(connection)
            await asyncio.sleep(TURN_SECONDS)
            await seat_events.work(CHECK_SECONDS)
