"""A pooler between Slotwise and PostgreSQL: session pooling works, any other mode is refused with a message."""

import asyncio
import re
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest

from slotwise.db.channels import listening
from slotwise.db.connection import Connection
from slotwise.db.hosts import Hosts
from slotwise.db.migrator import migrate
from slotwise.db.pool import Database
from slotwise.db.pooling import NO_SECOND, REFUSAL, SharedSessions, require_own_sessions
from slotwise.db.readiness import UnsuitableDatabase, wait_for_server
from slotwise.db.sessions import SESSION, open_session
from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer, at_most
from tests.db.pgbouncer import PGBOUNCER, pgbouncer
from tests.db.test_migrations import NAMES, empty_url
from tests.db.test_readiness import serve

__all__ = ["empty_url"]

needs_pgbouncer = pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed: apt-get install pgbouncer")

LEFT_BEHIND = (
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


async def kept(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch(
        "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS w (name)",
        [*SESSION, "statement_timeout"],
    )
    return {row["name"]: row["value"] for row in rows}


async def refusal(url: str, seconds: float = 0) -> str:
    with pytest.raises(UnsuitableDatabase) as refused:
        await wait_for_server(url, seconds, report=lambda _: None)
    return str(refused.value)


async def set_otherwise(connection: Connection, url: str) -> None:
    name = urlsplit(url).path[1:]
    for setting in ("default_transaction_isolation = 'serializable'", "lock_timeout = '1h'", "datestyle = 'German'"):
        await connection.execute(f"ALTER DATABASE {name} SET {setting}")


# Without a pooler.


async def test_every_session_has_what_slotwise_relies_on(database_url: str, connection: Connection) -> None:
    await set_otherwise(connection, database_url)
    database = await Database.connect(database_url, 1)
    async with database.connection() as pooled:
        assert await kept(pooled) == SESSION | {"statement_timeout": "6s"}
    await database.close()
    async with listening(Hosts(database_url), "seats", lambda _: None, lambda: None) as listener:
        assert await kept(listener) == SESSION | {"statement_timeout": "6s"}


async def test_a_direct_connection_has_its_own_session(database_url: str) -> None:
    await require_own_sessions(Hosts(database_url), 5)


async def test_a_session_that_cannot_be_set_is_closed(database_url: str, connection: Connection) -> None:
    name = urlsplit(database_url).path[1:]
    before = await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name)
    with pytest.raises(asyncpg.PostgresError):
        await open_session(Hosts(database_url), 1e9, timeout=PATIENCE_SECONDS)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name) > before:  # noqa: ASYNC110 - another process is waited for
            await asyncio.sleep(0.02)


# Session pooling.


@needs_pgbouncer
@pytest.mark.parametrize("wish", ["", "?target_session_attrs=read-write", "?target_session_attrs=primary"])
async def test_session_pooling_serves_in_the_default_configuration(empty_url: str, wish: str) -> None:
    connection = await asyncpg.connect(empty_url)
    await set_otherwise(connection, empty_url)
    with pgbouncer(empty_url) as pooler_url:
        pooled_url = pooler_url + wish
        await wait_for_server(pooled_url, 5, report=lambda _: None)
        assert await migrate(pooled_url) == NAMES
        database = await Database.connect(pooled_url, 2)
        async with database.connection() as pooled, database.connection() as other:
            for session in (pooled, other):
                found = await kept(session)
                assert (found["default_transaction_isolation"], found["lock_timeout"]) == ("read committed", "5s")
        await database.close()
        heard: asyncio.Queue[str] = asyncio.Queue()
        async with listening(Hosts(pooled_url), "seats", heard.put_nowait, lambda: None):
            await connection.execute("NOTIFY seats, '7'")
            assert await asyncio.wait_for(heard.get(), 10) == "7"
    assert await connection.fetchval(LEFT_BEHIND) == 0
    await connection.close()


@needs_pgbouncer
@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_server_behind_session_pooling_books(start_server: Callable[..., RunningServer], database_url: str) -> None:
    with (
        pgbouncer(database_url, default_pool_size=60) as pooled_url,
        Clinic(start_server(DATABASE_URL=pooled_url)) as clinic,
    ):
        assert clinic.http.get("/health/ready").json()["status"] == "ready"
        assert clinic.book(clinic.slot()["id"]).status_code == 201


@needs_pgbouncer
@pytest.mark.slow(reason="it waits as long as an operator would")
async def test_a_pool_of_one_session_is_refused_after_a_limited_wait(database_url: str) -> None:
    with pgbouncer(database_url, default_pool_size=1) as pooled_url:
        began = time.monotonic()
        assert NO_SECOND in await refusal(pooled_url)
        assert time.monotonic() - began < at_most(20)


# Other pooling.


@needs_pgbouncer
@pytest.mark.parametrize("size", [1, 2, 20])
@pytest.mark.parametrize("mode", ["transaction", "statement"])
async def test_pooling_by_transaction_is_refused_at_once(
    database_url: str, connection: Connection, mode: str, size: int
) -> None:
    with pgbouncer(database_url, pool_mode=mode, default_pool_size=size) as pooled_url:
        began = time.monotonic()
        assert REFUSAL in await refusal(pooled_url, seconds=60)
        assert time.monotonic() - began < at_most(20)
        assert await connection.fetchval(LEFT_BEHIND) == 0


@needs_pgbouncer
async def test_pooling_by_transaction_is_noticed_beside_other_clients(database_url: str) -> None:
    with pgbouncer(database_url, pool_mode="transaction", default_pool_size=5) as pooled_url:

        async def busy() -> None:
            other = await asyncpg.connect(pooled_url, statement_cache_size=0)
            while True:
                await other.execute("SELECT pg_sleep(0.001)")

        others = [asyncio.create_task(busy()) for _ in range(4)]
        for _ in range(10):
            with pytest.raises(SharedSessions):
                await require_own_sessions(Hosts(pooled_url), 5)
        for other in others:
            other.cancel()
        await asyncio.gather(*others, return_exceptions=True)


@needs_pgbouncer
def test_the_command_ends_with_a_sentence_and_nothing_is_migrated(empty_url: str, tmp_path: Path) -> None:
    with pgbouncer(empty_url, pool_mode="transaction") as pooled_url:
        ended = serve(pooled_url, tmp_path)
    assert ended.status == 1
    assert "set pool_mode = session" in ended.said.replace("\n", " ")
    assert asyncio.run(_tables(empty_url)) == 0


async def _tables(url: str) -> int:
    connection = await asyncpg.connect(url)
    count: int = await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    return count


# What goes wrong.


@needs_pgbouncer
@pytest.mark.parametrize(
    ("settings", "query", "said"),
    [
        ({}, "?lock_timeout=5s", r"DATABASE_URL sets lock_timeout, which the pooler .* refuses: remove it"),
        ({"auth_type": "md5"}, "", r"password authentication failed"),
        ({"max_client_conn": 0}, "", r"gives no connection: no more connections allowed"),
    ],
    ids=["parameter", "user", "full"],
)
async def test_what_a_pooler_refuses_is_named(
    database_url: str, settings: dict[str, object], query: str, said: str
) -> None:
    with pgbouncer(database_url, **settings) as pooled_url:
        message = await refusal(pooled_url + query)
    assert "cannot be reached" not in message
    assert re.search(said, message), message
