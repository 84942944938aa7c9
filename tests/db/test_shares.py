"""Shares of a pool: callers that may hold only some of its connections at once."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
import pytest_asyncio

import slotwise.db.pool
from slotwise.db.pool import Database, Share
from slotwise.domain.errors import DatabaseBusy, DatabaseUnavailable
from tests.clinic import PATIENCE_SECONDS


@pytest_asyncio.fixture
async def pool(database_url: str) -> AsyncIterator[Database]:
    """Of two connections."""
    database = await Database.connect(database_url, 2)
    yield database
    await database.close()


@pytest.fixture
def share(pool: Database) -> Share:
    """One connection of the pool's."""
    return pool.share(1)


async def use(database: Database) -> int:
    async with database.connection() as connection:
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


async def test_a_share_leaves_the_other_connections(
    pool: Database, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slotwise.db.pool, "ACQUIRE_SECONDS", 0.3)
    async with share.connection():
        with pytest.raises(DatabaseBusy):
            await use(share)
        await use(pool)
    assert share.waited_seconds >= 0.3


async def test_callers_of_a_share_take_turns(share: Share) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert len(set(await asyncio.gather(*(use(share) for _ in range(64))))) == 1


async def test_a_turn_ends_with_a_lost_connection(
    share: Share, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def lose_connection() -> None:
        async with share.connection() as inside:
            await connection.execute(
                "SELECT pg_terminate_backend($1)", await inside.fetchval("SELECT pg_backend_pid()")
            )
            await inside.execute("SELECT 1")

    with pytest.raises(DatabaseUnavailable):
        await lose_connection()
    await use(share)


async def test_a_turn_ends_if_the_pool_has_no_connection_for_it(
    pool: Database, share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slotwise.db.pool, "ACQUIRE_SECONDS", 0.3)
    async with pool.connection(), pool.connection():
        with pytest.raises(DatabaseBusy):
            await use(share)
    await use(share)


async def test_a_caller_that_hangs_up_while_it_waits_has_no_turn(share: Share) -> None:
    async with share.connection():
        waiting = asyncio.create_task(use(share))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await use(share)
