"""A connection of its own that hears what is told to all workers, through LISTEN and NOTIFY."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from slotwise.db.errors import connecting, translated
from slotwise.db.hosts import Hosts
from slotwise.db.pool import ACQUIRE_SECONDS, STATEMENT_SECONDS, Connection
from slotwise.db.sessions import open_session

# After it the server counts as gone: nothing that is done here takes a hundredth of it.
SILENCE_SECONDS = 5.0


@asynccontextmanager
async def listening(
    hosts: Hosts, channel: str, hear: Callable[[str], None], lost: Callable[[], None]
) -> AsyncIterator[Connection]:
    """A connection that calls `hear` with every message of a channel, and `lost` when it ends by itself.

    It serves for statements that each stand alone. Raises the `Unavailable` errors for whatever ends it.
    """
    with connecting():
        connection = await open_session(
            hosts, STATEMENT_SECONDS, timeout=ACQUIRE_SECONDS, command_timeout=SILENCE_SECONDS
        )
    try:
        with translated():
            connection.add_termination_listener(lambda _: lost())
            await connection.add_listener(channel, lambda *told: hear(str(told[-1])))
            yield connection
    finally:
        connection.terminate()
