"""A separate connection that listens to a channel (LISTEN and NOTIFY), through which workers notify each other."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from slotwise.db.errors import connecting, translated
from slotwise.db.hosts import Hosts
from slotwise.db.pool import ACQUIRE_SECONDS, STATEMENT_SECONDS, Connection
from slotwise.db.sessions import open_session

# After this time without an answer the server counts as gone. No statement here takes a hundredth of it.
SILENCE_SECONDS = 5.0


@asynccontextmanager
async def listening(
    hosts: Hosts, channel: str, hear: Callable[[str], None], lost: Callable[[], None]
) -> AsyncIterator[Connection]:
    """A connection that calls `hear` with every message of a channel, and `lost` if the connection breaks.

    Use it only for statements outside transactions. If it breaks, the `Unavailable` errors are raised.
    """
    with connecting():
        connection = await open_session(
            hosts, STATEMENT_SECONDS, timeout=ACQUIRE_SECONDS, command_timeout=SILENCE_SECONDS
        )
    try:
        with translated():
            connection.add_termination_listener(lambda _: lost())
            await connection.add_listener(channel, lambda *notified: hear(str(notified[-1])))
            yield connection
    finally:
        connection.terminate()
