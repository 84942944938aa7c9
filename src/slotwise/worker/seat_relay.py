"""Relays seat events between this worker and the others, over a separate connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from slotwise.db.channels import listening
from slotwise.db.hosts import Hosts
from slotwise.services.core.seat_events import CHANNEL, SeatEvents
from slotwise.worker.housekeeping import every

# Pause before reconnecting.
RECONNECT_SECONDS = 1.0
# The first change goes out at once. Changes within this time after it go out together.
TURN_SECONDS = 0.2
# If there is nothing to send, how often to check that the server still answers.
CHECK_SECONDS = 5.0


@asynccontextmanager
async def seat_relay(url: str, seat_events: SeatEvents) -> AsyncIterator[None]:
    """Run the relay while the block runs."""
    hosts = Hosts(url)
    task = asyncio.create_task(every(RECONNECT_SECONDS, "relay_seats", lambda: relay_seats(hosts, seat_events)))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def relay_seats(hosts: Hosts, seat_events: SeatEvents) -> None:
    """Relay until the connection breaks, which raises one of the `Unavailable` errors."""
    async with listening(hosts, CHANNEL, seat_events.hear, seat_events.wake) as connection:
        # Events that were published while this worker was not listening are lost.
        await seat_events.look_again()
        while True:
            await seat_events.relay(connection)
            await asyncio.sleep(TURN_SECONDS)
            await seat_events.work(CHECK_SECONDS)
