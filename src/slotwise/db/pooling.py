"""Whether a session is ours alone. Behind a pooler that lends one for each transaction it is not.

Then settings are lost between two statements, and locks and notifications of a session are another client's.
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
# No pooler with a connection to give takes so long.
PATIENCE_SECONDS = 10.0
REFUSAL = (
    "the pooler before it lends a connection for each transaction or statement, and Slotwise needs sessions of its own:"
    " set pool_mode = session for this database, or let DATABASE_URL name PostgreSQL itself"
)
NO_SECOND = (
    f"the pooler before it gave no second connection within {PATIENCE_SECONDS:g} seconds: raise its pool size"
    " (default_pool_size) to what all workers of all servers need, DB_POOL_SIZE + 4 each, and a few for commands"
)


class SharedSessions(Exception):
    """The message says what the pooler does and what to change."""


class Mark(msgspec.Struct, frozen=True):
    mark: str
    pid: int


MARK_SESSION = Statement("database/sessions.mark_session", Mark)
READ_MARK = Statement("database/sessions.read_mark", Mark)

# The statement that was prepared a moment ago is in another session, or one of that name is there already.
_LENT = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)


async def require_own_sessions(hosts: Hosts, seconds: float) -> None:
    """Raise `SharedSessions` for a pooler that lends connections by transaction or statement. Costs a direct
    connection one statement: a pooler is told by its telling other pids than PostgreSQL's.
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
    """A mark in the first session must be there after the second has begun a transaction, which takes a connection.

    With one connection to lend, the second is given that of the first, or has to wait: then it is the first's own.
    With more, the first is given another while the second has the one with the mark, or has to wait itself.
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
        # Who lends by statement hangs up on whoever begins a transaction. A server that went down hangs up on all.
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
    """Without prepared statements that outlive one call: on a lent connection they would be in others' way."""
    connection = await hosts.connect(timeout=seconds, statement_cache_size=0)
    try:
        yield connection
    finally:
        connection.terminate()
