"""Connections to PostgreSQL. Transactions open and close only here."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, TypeAlias

import asyncpg

from slotwise.db.connection import Connection
from slotwise.db.errors import connecting, translated, unknown_if_lost, unsent_if_cut
from slotwise.db.hosts import Hosts
from slotwise.db.sessions import open_session

__all__ = ["Connection", "Database", "Share"]

_Acquired: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"

# Together, a request that uses one connection is answered within ten seconds, whatever happens to the database.
ACQUIRE_SECONDS = 3.0
STATEMENT_SECONDS = 6.0
# Time for using a connection beyond the server's own statement limit, including the wait for the connection.
GRACE_SECONDS = 2.0
# The least time after the wait for a connection: by then, a live server has answered and is not cut off.
ANSWER_SECONDS = 0.5
RELEASE_SECONDS = 1.0


async def _open(
    hosts: Hosts, statement_seconds: float, _dsn: str | None = None, **options: Any
) -> "asyncpg.Connection[asyncpg.Record]":
    """The pool's `connect`. Ignores the pool's DSN, because `hosts` has the URLs."""
    return await open_session(hosts, statement_seconds, **options)


async def _keep_session(_: Connection) -> None:
    """Do not reset a returned connection: nothing here changes a session, and a reset costs a round trip."""


class Database:
    """A pool of connections. A task that holds one must not acquire another: that could deadlock the pool."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", statement_seconds: float) -> None:
        self._pool = pool
        self._statement_seconds = statement_seconds
        # Of all callers together, for a connection.
        self.waited_seconds = 0.0

    @classmethod
    async def connect(cls, url: str, size: int, statement_seconds: float = STATEMENT_SECONDS) -> "Database":
        seconds = statement_seconds + GRACE_SECONDS
        with translated():
            hosts = Hosts(url)
            pool = await asyncpg.create_pool(
                connect=partial(_open, hosts, statement_seconds),
                # Open no connection yet: a worker that starts while the database restarts must not fail.
                min_size=0,
                max_size=size,
                # Never reached, because `connection` hangs up before. Here the driver would send a cancel, which ends
                # a COMMIT's wait for its standby: the commit is then visible to all, but lost with the primary.
                command_timeout=seconds + 1,
                timeout=ACQUIRE_SECONDS,
                reset=_keep_session,
            )
        return cls(pool, statement_seconds)

    async def close(self) -> None:
        """Close the connections; after one second, cut them."""
        try:
            async with asyncio.timeout(1):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        """A connection for statements outside transactions, for `seconds` including the wait for the connection.

        After that time the connection is cut, and a statement that is still running raises `DatabaseUnavailable`.
        However long the wait was, a caller has at least `ANSWER_SECONDS`; without `seconds`, the server's statement
        limit and `ANSWER_SECONDS`.
        """
        loop = asyncio.get_running_loop()
        least = ANSWER_SECONDS if seconds is not None else self._statement_seconds + ANSWER_SECONDS
        seconds = self._statement_seconds + GRACE_SECONDS if seconds is None else seconds
        asked = loop.time()
        try:
            with connecting():
                connection = await self._acquire(min(ACQUIRE_SECONDS, seconds))
        finally:
            got = loop.time()
            self.waited_seconds += got - asked
        with translated():
            cut = loop.call_at(max(asked + seconds, got + least), connection.terminate)
            try:
                with unsent_if_cut(connection):
                    yield connection
            except BaseException as error:
                # If a short `seconds` is over, that says nothing about the server: it may only be busy.
                silent = loop.time() >= max(cut.when(), got + self._statement_seconds)
                if silent or isinstance(error, asyncpg.ReadOnlySQLTransactionError):
                    # The server is silent or no longer the primary, so the other connections are useless too.
                    await self._pool.expire_connections()
                raise
            finally:
                cut.cancel()
                # If the release fails, the driver closes the connection. That does not change the outcome of the block.
                with suppress(Exception):
                    await self._release(connection)

    async def _acquire(self, seconds: float) -> _Acquired:
        return await self._pool.acquire(timeout=seconds)

    async def _release(self, connection: _Acquired) -> None:
        await self._pool.release(connection, timeout=RELEASE_SECONDS)

    @asynccontextmanager
    async def effect(self) -> AsyncIterator[Connection]:
        """A connection for one statement that is a whole transaction.

        Raises `OutcomeUnknown` if the statement was sent and its answer is lost.
        """
        async with self.connection() as connection:
            with unknown_if_lost():
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One READ COMMITTED transaction: commits at the end of the block, rolls back on any exception.

        Raises `DatabaseUnavailable` if nothing was done, and `OutcomeUnknown` if the answer to COMMIT is lost.
        """
        async with self.connection() as connection:
            transaction = connection.transaction(isolation="read_committed")
            await transaction.start()
            try:
                yield connection
            except BaseException:
                # The rollback fails if the connection is gone; then the transaction is gone too. Its error must not
                # replace the one that ended the block, above all a cancellation.
                with suppress(Exception):
                    await transaction.rollback()
                raise
            with unknown_if_lost():
                await transaction.commit()

    @property
    def size(self) -> int:
        return self._pool.get_size()

    @property
    def idle(self) -> int:
        return self._pool.get_idle_size()

    @property
    def by_state(self) -> Mapping[str, int]:
        """How many connections there are."""
        return {"open": self.size, "idle": self.idle}

    def share(self, most: int) -> "Share":
        return Share(self._pool, self._statement_seconds, most)


class Share(Database):
    """A pool's connections for callers that may hold only so many of them at once. The others are left for the rest.

    A caller that has no turn after `ACQUIRE_SECONDS` gets `DatabaseBusy`, as if the pool itself had none for it.
    """

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]", statement_seconds: float, most: int) -> None:
        super().__init__(pool, statement_seconds)
        self._turns = asyncio.Semaphore(most)

    async def _acquire(self, seconds: float) -> _Acquired:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        async with asyncio.timeout_at(deadline):
            await self._turns.acquire()
        try:
            return await super()._acquire(deadline - loop.time())
        except BaseException:
            self._turns.release()
            raise

    async def _release(self, connection: _Acquired) -> None:
        try:
            await super()._release(connection)
        finally:
            self._turns.release()

    @property
    def by_state(self) -> Mapping[str, int]:
        """None of its own: they count as the pool's."""
        return {}
