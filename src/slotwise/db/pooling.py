"""Checks that Slotwise has sessions of its own. A pooler in transaction mode lends a session for one transaction.

Then settings get lost between two statements, and a session's locks and notifications go to another client.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import msgspec

from slotwise.db.connection import Connection
from slotwise.db.hosts import Hosts
from slotwise.db.statements import Statement

ROUNDS = 5
# A pooler with a free connection never takes this long.
PATIENCE_SECONDS = 10.0
REFUSAL = (
    "the pooler in front of it lends a connection for each transaction or statement, but Slotwise needs sessions of its"
    " own: set pool_mode = session for this database, or let DATABASE_URL name PostgreSQL itself"
)
NO_SECOND = (
    f"the pooler in front of it gave no second connection within {PATIENCE_SECONDS:g} seconds: raise its pool size"
    " (default_pool_size) to DB_POOL_SIZE + 6 for each worker of each server, and a few more for commands"
)


class SharedSessions(Exception):
    """The pooler shares sessions between clients. The message says what to change."""


class Mark(msgspec.Struct, frozen=True):
    mark: str
    pid: int


MARK_SESSION = Statement("database/sessions.mark_session", Mark)
READ_MARK = Statement("database/sessions.read_mark", Mark)

# A statement that was just prepared is in another session, or another client's statement already has its name.
_LENT = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


async def require_own_sessions(hosts: Hosts, seconds: float) -> None:
    """Raise `SharedSessions` for a pooler that lends connections per transaction or statement.

    Costs one statement on a direct connection. A pooler is recognised by its pids, which are not PostgreSQL's.
    """
    try:
        async with _connected(hosts, seconds) as first:
            mark = await _mark(first, "")
            if mark.pid == first.get_server_pid():
                return
            async with _connected(hosts, seconds) as second:
                for _ in range(ROUNDS):
                    await _require_kept(first, second)
    except _LENT as error:
        raise SharedSessions(REFUSAL) from error


async def _require_kept(first: Connection, second: Connection) -> None:
    """Check that the first session keeps its mark while the second is in a transaction, which occupies a connection.

    If the pooler has one connection, the second session is given the first one's, so it is shared; or it has to wait,
    so the first session owns it. If the pooler has more, a shared first session is given a connection without the mark
    while the second has the marked one, or it has to wait itself.
    """
    mark = secrets.token_hex(8)
    marked = await _mark(first, mark)
    transaction = second.transaction()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await transaction.start()
            taken = await _read(second)
    except TimeoutError as error:
        raise SharedSessions(NO_SECOND) from error
    except asyncpg.ConnectionDoesNotExistError as error:
        # A pooler in statement mode hangs up when a client begins a transaction. A server that went down hangs up on
        # all clients, so then this read fails too.
        await _read(first)
        raise SharedSessions(REFUSAL) from error
    if taken.pid == marked.pid:
        raise SharedSessions(REFUSAL)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            found = await _read(first)
    except TimeoutError as error:
        raise SharedSessions(REFUSAL) from error
    if found != marked:
        raise SharedSessions(REFUSAL)
    await transaction.rollback()


async def _mark(connection: Connection, mark: str) -> Mark:
    return await MARK_SESSION.one(connection, mark=mark)


async def _read(connection: Connection) -> Mark:
    return await READ_MARK.one(connection)


@asynccontextmanager
async def _connected(hosts: Hosts, seconds: float) -> AsyncIterator[Connection]:
    """Without cached prepared statements: on a lent connection they would collide with those of other clients."""
    connection = await hosts.connect(timeout=seconds, statement_cache_size=0)
    try:
        yield connection
    finally:
        connection.terminate()
