"""Which of several hosts a connection goes to."""

import asyncio
import socket
import time
from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import pytest

import slotwise.db.hosts
from slotwise.db.hosts import Hosts, each_host
from slotwise.db.migrator import migrate
from slotwise.db.pool import Database
from slotwise.db.readiness import UnsuitableDatabase, wait_for_server
from slotwise.domain.errors import DatabaseUnavailable
from tests.clinic import PATIENCE_SECONDS, at_most, eventually, rows


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A machine whose kernel accepts connections, but which never answers."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        yield silent.getsockname()[1]


@pytest.fixture
def refusing_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def behind(port: int, database_url: str) -> str:
    """A URL with the test's database as the second host."""
    parts = urlsplit(database_url)
    path = parse_qs(parts.query)["host"][0]
    return f"postgresql://slotwise@{parts.path}?host=127.0.0.1,{path}&port={port},5432"


@pytest.mark.parametrize(
    ("url", "each"),
    [
        (
            "postgresql://u:p%40x@h1:5432,h2:5433/db?target_session_attrs=read-write&sslmode=require",
            [
                "postgresql://u:p%40x@h1:5432/db?sslmode=require",
                "postgresql://u:p%40x@h2:5433/db?sslmode=require",
            ],
        ),
        ("postgresql://u@[::1]:1,[::2]/db", ["postgresql://u@[::1]:1/db", "postgresql://u@[::2]/db"]),
        (
            "postgresql://u@/db?host=/a,/b&port=1,2",
            ["postgresql://u@/db?host=%2Fa&port=1", "postgresql://u@/db?host=%2Fb&port=2"],
        ),
        (
            "postgresql://u@/db?host=h1,h2&port=1",
            ["postgresql://u@/db?host=h1&port=1", "postgresql://u@/db?host=h2&port=1"],
        ),
        ("postgresql://u@h1/db?target_session_attrs=read-write", ["postgresql://u@h1/db"]),
        ("postgresql://u@/db?host=%2Fa%20b", ["postgresql://u@/db?host=%2Fa%20b"]),
        ("postgresql:///db", ["postgresql:///db"]),
    ],
)
def test_a_url_is_split_into_one_per_host(url: str, each: list[str]) -> None:
    assert each_host(url) == each


async def test_hosts_and_ports_that_do_not_match_are_refused_at_once() -> None:
    with pytest.raises(UnsuitableDatabase, match="3 hosts and 2 ports"):
        await wait_for_server("postgresql:///db?host=a,b,c&port=1,2", PATIENCE_SECONDS, pytest.fail)


async def test_an_unknown_role_is_refused_at_once() -> None:
    url = "postgresql://127.0.0.1/db?target_session_attrs=writable"
    with pytest.raises(UnsuitableDatabase, match="'writable' is not a valid"):
        await wait_for_server(url, PATIENCE_SECONDS, pytest.fail)


async def test_a_first_host_that_is_silent_costs_no_more_than_a_moment(silent_port: int, database_url: str) -> None:
    """The driver alone would wait for it until the timeout, and then fail."""
    database = await Database.connect(behind(silent_port, database_url), 1)
    began = time.monotonic()
    async with database.connection(at_most(2)) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert time.monotonic() - began < at_most(1)
    await database.close()


async def test_the_host_that_served_last_is_tried_first(silent_port: int, database_url: str) -> None:
    hosts = Hosts(behind(silent_port, database_url))
    (await hosts.connect(timeout=at_most(2))).terminate()
    began = time.monotonic()
    (await hosts.connect(timeout=at_most(2))).terminate()
    assert time.monotonic() - began < at_most(0.15)


async def test_a_host_that_refuses_is_skipped_at_once(refusing_port: int, database_url: str) -> None:
    began = time.monotonic()
    (await Hosts(behind(refusing_port, database_url)).connect(timeout=at_most(2))).terminate()
    assert time.monotonic() - began < at_most(0.15)


async def test_migrations_go_to_the_host_that_accepts_writes(refusing_port: int, database_url: str) -> None:
    """dbmate accepts only one host."""
    assert await migrate(behind(refusing_port, database_url)) == []


async def test_when_no_host_can_be_reached_the_answer_says_that_nothing_was_done(
    silent_port: int, refusing_port: int
) -> None:
    database = await Database.connect(f"postgresql://u@127.0.0.1:{refusing_port},127.0.0.1:{refusing_port}/db", 1)
    with pytest.raises(DatabaseUnavailable):
        async with database.connection():
            pass
    assert database.size == 0
    await database.close()


async def test_a_primary_that_is_fenced_by_its_default_is_not_written_to(database_url: str) -> None:
    parts = urlsplit(database_url)
    fence = f"ALTER DATABASE {parts.path[1:]} SET default_transaction_read_only = on"
    await asyncio.to_thread(rows, database_url, fence)
    database = await Database.connect(f"{database_url}&target_session_attrs=read-write", 1)
    with pytest.raises(DatabaseUnavailable):
        async with database.effect() as connection:
            await connection.execute("INSERT INTO doctors (name) VALUES ('Dr. Who')")
    await database.close()


@pytest.mark.filterwarnings("error::ResourceWarning")
async def test_a_connection_that_loses_the_race_is_closed_and_not_left_to_be_collected(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slotwise.db.hosts, "HEAD_START_SECONDS", 0)
    path = parse_qs(urlsplit(database_url).query)["host"][0]
    hosts = Hosts(f"postgresql://slotwise@{urlsplit(database_url).path}?host={path},{path}")
    kept = [await hosts.connect(timeout=at_most(2)) for _ in range(10)]
    looking = 1
    await asyncio.to_thread(eventually, lambda: sessions(database_url) == len(kept) + looking)
    for connection in kept:
        await connection.close()


def sessions(database_url: str) -> int:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
    )
    return int(rows(database_url, query)[0][0])
