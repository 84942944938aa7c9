"""Connections to PostgreSQL, and the one place where transactions open and close."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from slotwise.db.errors import commit_outcome, outcome_told, translated
from slotwise.domain.errors import DatabaseBusy, DatabaseUnavailable, OutcomeUnknown, SlotwiseError

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]"

ACQUIRE_SECONDS = 5.0
STATEMENT_SECONDS = 8.0

SESSION = {
    "application_name": "slotwise",
    # Every booking statement locks first and acts in the next statement; that reads what the lock's last holder
    # wrote only under READ COMMITTED. Set for the session, so that a database default cannot undo it.
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    "timezone": "UTC",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
    # A statement is planned once for a connection, for all values to come. Each is written so that one plan fits
    # them all, which tests/db/test_plans.py sees to; planning anew costs more than running.
    "plan_cache_mode": "force_generic_plan",
    # The rows of today's appointments are in memory: reading one by an index costs no more than the next in a scan.
    "random_page_cost": "1.1",
}


async def _keep_session(_: Connection) -> None:
    """Nothing here changes a session, so returning its connection need not cost a round trip to reset it."""


class Database:
    """A pool of connections. A task that holds one must not ask for another: that is how pools deadlock."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def connect(cls, url: str, size: int, statement_seconds: float = STATEMENT_SECONDS) -> "Database":
        with translated():
            pool = await asyncpg.create_pool(
                url,
                # None at first: a worker that starts while the database restarts must not fail.
                min_size=0,
                max_size=size,
                server_settings={**SESSION, "statement_timeout": f"{statement_seconds}s"},
                command_timeout=statement_seconds + 1,
                timeout=ACQUIRE_SECONDS,
                reset=_keep_session,
            )
        return cls(pool)

    async def close(self) -> None:
        """Close the connections, politely if that takes less than a second."""
        try:
            async with asyncio.timeout(1):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for statements that each stand alone."""
        with translated():
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection

    @asynccontextmanager
    async def effect(self) -> AsyncIterator[Connection]:
        """A connection for one statement that is a transaction of its own.

        Raises `OutcomeUnknown` when the statement was sent and its answer was lost.
        """
        sent, failure = False, None
        try:
            async with self.connection() as connection:
                sent = True
                try:
                    with translated(), outcome_told():
                        yield connection
                except SlotwiseError as error:
                    failure = error
        except (DatabaseBusy, DatabaseUnavailable):
            # Once the statement was sent, only giving the connection back can fail so, which changes nothing.
            if not sent:
                raise
        if failure is not None:
            raise failure

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One READ COMMITTED transaction: commits at the end of the block, rolls back on any exception.

        Raises `DatabaseUnavailable` when nothing was done and `OutcomeUnknown` when the answer to COMMIT was lost.
        """
        sent = False
        try:
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
                sent = True
                try:
                    await transaction.commit()
                except Exception as error:
                    raise commit_outcome(error) from error
        except (DatabaseBusy, DatabaseUnavailable) as error:
            # Giving the connection back can fail too, and must not turn an unknown outcome into "nothing was done".
            if sent:
                raise OutcomeUnknown from error
            raise

    @property
    def size(self) -> int:
        return self._pool.get_size()

    @property
    def idle(self) -> int:
        return self._pool.get_idle_size()
