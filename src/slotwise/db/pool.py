"""Connections to PostgreSQL, and the one place where transactions open and close."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import asyncpg

from slotwise.db.connection import Connection
from slotwise.db.errors import connecting, outcome_told, translated
from slotwise.db.hosts import Hosts
from slotwise.db.sessions import open_session

__all__ = ["Connection", "Database"]

# For a request that uses one connection: answered within ten seconds, whatever becomes of the database.
ACQUIRE_SECONDS = 3.0
STATEMENT_SECONDS = 6.0
# What a connection's user has beyond the server's own limit for a statement, the wait for the connection included.
GRACE_SECONDS = 2.0
# However long the wait was: a server that lives says by then what became of the statement, and is not cut short.
ANSWER_SECONDS = 0.5
RELEASE_SECONDS = 1.0


async def _open(
    hosts: Hosts, statement_seconds: float, _dsn: str | None = None, **options: Any
) -> "asyncpg.Connection[asyncpg.Record]":
    """As the pool asks for a connection; it has no address of its own."""
    return await open_session(hosts, statement_seconds, **options)


async def _keep_session(_: Connection) -> None:
    """Nothing here changes a session, so returning its connection need not cost a round trip to reset it."""


class Database:
    """A pool of connections. A task that holds one must not ask for another: that is how pools deadlock."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", statement_seconds: float) -> None:
        self._pool = pool
        self._statement_seconds = statement_seconds

    @classmethod
    async def connect(cls, url: str, size: int, statement_seconds: float = STATEMENT_SECONDS) -> "Database":
        seconds = statement_seconds + GRACE_SECONDS
        with translated():
            hosts = Hosts(url)
            pool = await asyncpg.create_pool(
                connect=partial(_open, hosts, statement_seconds),
                # None at first: a worker that starts while the database restarts must not fail.
                min_size=0,
                max_size=size,
                # Never reached, for `connection` hangs up before. The driver would ask the server to cancel, which
                # ends a COMMIT's wait for its standby: it is seen by all then, and lost with the primary.
                command_timeout=seconds + 1,
                timeout=ACQUIRE_SECONDS,
                reset=_keep_session,
            )
        return cls(pool, statement_seconds)

    async def close(self) -> None:
        """Close the connections, politely if that takes less than a second."""
        try:
            async with asyncio.timeout(1):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        """A connection for statements that each stand alone, done within `seconds`, the wait for it included.

        After that time it is cut, and whatever waits for its answer raises `DatabaseUnavailable`. Who had to wait for
        it has `ANSWER_SECONDS` all the same, and without `seconds` those after the server's own limit.
        """
        loop = asyncio.get_running_loop()
        least = ANSWER_SECONDS if seconds is not None else self._statement_seconds + ANSWER_SECONDS
        seconds = self._statement_seconds + GRACE_SECONDS if seconds is None else seconds
        deadline = loop.time() + seconds
        with connecting():
            connection = await self._pool.acquire(timeout=min(ACQUIRE_SECONDS, seconds))
        got = loop.time()
        with translated():
            cut = loop.call_at(max(deadline, got + least), connection.terminate)
            try:
                yield connection
            except BaseException as error:
                # A short `seconds` that ran out says nothing of the server: it may just be busy.
                silent = loop.time() >= max(cut.when(), got + self._statement_seconds)
                if silent or isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                    # Or no longer the primary: so it is at the end of the other connections.
                    await self._pool.expire_connections()
                raise
            finally:
                cut.cancel()
                # When that fails the driver closes the connection, and what was done with it stays as it was.
                with suppress(Exception):
                    await self._pool.release(connection, timeout=RELEASE_SECONDS)

    @asynccontextmanager
    async def effect(self) -> AsyncIterator[Connection]:
        """A connection for one statement that is a transaction of its own.

        Raises `OutcomeUnknown` when the statement was sent and its answer was lost.
        """
        async with self.connection() as connection:
            with outcome_told():
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One READ COMMITTED transaction: commits at the end of the block, rolls back on any exception.

        Raises `DatabaseUnavailable` when nothing was done and `OutcomeUnknown` when the answer to COMMIT was lost.
        """
        async with self.connection() as connection:
            transaction = connection.transaction(isolation="read_committed")
            await transaction.start()
            try:
                yield connection
            except BaseException:
                # A rollback fails when the connection is gone, and so is the transaction then. What ended the
                # block must not be lost for it: a cancellation above all.
                with suppress(Exception):
                    await transaction.rollback()
                raise
            with outcome_told():
                await transaction.commit()

    @property
    def size(self) -> int:
        return self._pool.get_size()

    @property
    def idle(self) -> int:
        return self._pool.get_idle_size()
