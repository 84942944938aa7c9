"""What Slotwise requires of a database server, and what an operator reads if a requirement is not met."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from msgspec.structs import replace

from slotwise.db.embedded import EmbeddedServer
from slotwise.db.pool import Database
from slotwise.db.readiness import (
    READ_SERVER_FACTS,
    ServerFacts,
    UnsuitableDatabase,
    check_server,
    problems_of,
    wait_for_server,
)
from tests.clinic import PATIENCE_SECONDS, at_most

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_given = os.environ.get("SLOTWISE_TEST_POSTGRES_BIN")
BIN_DIR = Path(_given) if _given else None

GOOD = ServerFacts(
    version=150000,
    version_name="15.0",
    fsync="on",
    full_page_writes="on",
    synchronous_commit="on",
    read_only=False,
    has_btree_gist=True,
)


class Ended(NamedTuple):
    """A `slotwise serve` that did not start."""

    status: int
    said: str
    seconds: float


def serve(database_url: str, folder: Path, **settings: str) -> Ended:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "SLOTWISE_DATA_DIR": str(folder / "data"),
        "PORT": str(port),
        "SEED_DEMO": "off",
        "DATABASE_WAIT_SECONDS": "1",
        **settings,
    }
    began = time.monotonic()
    done = subprocess.run(
        [Path(sys.executable).with_name("slotwise"), "serve"],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout + done.stderr, time.monotonic() - began)


def renamed(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port of this machine that nothing listens on during the test."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedServer:
    """A stopped server for this module alone, for a late start and for password tests."""
    server = EmbeddedServer(tmp_path_factory.mktemp("own") / "data", BIN_DIR)
    with server:
        return server


# Problems of a server.


def test_a_server_without_problems_is_suitable() -> None:
    assert problems_of(GOOD) == []


@pytest.mark.parametrize(
    ("fact", "said"),
    [
        ({"version": 149999, "version_name": "14.12"}, r"PostgreSQL 14\.12 is too old: .* 15"),
        ({"fsync": "off"}, r"fsync is off, .* set fsync = on"),
        ({"full_page_writes": "off"}, r"full_page_writes is off, .* set full_page_writes = on"),
        ({"synchronous_commit": "off"}, r"synchronous_commit is off, .* set synchronous_commit = on"),
        ({"read_only": True}, r"read-only standby: DATABASE_URL must name the primary"),
        ({"has_btree_gist": False}, r"btree_gist is missing: install .*contrib"),
    ],
    ids=["too old", "fsync", "full_page_writes", "synchronous_commit", "standby", "btree_gist"],
)
def test_each_problem_of_a_server_is_one_sentence_with_its_remedy(fact: dict[str, object], said: str) -> None:
    [problem] = problems_of(replace(GOOD, **fact))
    assert re.search(said, problem)
    assert "\n" not in problem


@pytest.mark.parametrize("value", ["on", "local", "remote_write", "remote_apply"])
def test_every_setting_that_flushes_a_commit_here_is_safe(value: str) -> None:
    assert problems_of(replace(GOOD, synchronous_commit=value)) == []


def test_all_problems_of_a_server_are_reported_together() -> None:
    facts = replace(GOOD, fsync="off", read_only=True, has_btree_gist=False)
    assert len(problems_of(facts)) == 3


# Real servers.


async def test_this_server_is_suitable_and_names_its_version(connection: Connection) -> None:
    await check_server(connection)
    facts = await READ_SERVER_FACTS.one(connection)
    assert facts.version // 10000 == connection.get_server_version().major
    assert facts.version_name.startswith(f"{connection.get_server_version().major}.")


async def test_a_database_that_answers_before_its_commits_are_safe_is_refused_at_once(database_url: str) -> None:
    await set_for_database(database_url, "synchronous_commit = off")
    said: list[str] = []
    with pytest.raises(UnsuitableDatabase, match="synchronous_commit is off"):
        await wait_for_server(database_url, PATIENCE_SECONDS, said.append)
    assert said == [], "it was waited for"


async def test_serve_ends_with_one_plain_line_on_an_unsafe_database(database_url: str, tmp_path: Path) -> None:
    await set_for_database(database_url, "synchronous_commit = off")
    ended = serve(database_url, tmp_path)
    assert ended.status == 1
    assert is_plain(ended.said)
    assert "error: database: synchronous_commit is off" in ended.said
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM users") == 0, "it began to work all the same"
    await connection.close()


async def test_a_pool_sees_an_unsafe_setting_too(database_url: str) -> None:
    """Readiness reads through the pool, whose session settings must not hide the database's commit settings."""
    await set_for_database(database_url, "synchronous_commit = off")
    database = await Database.connect(database_url, 1)
    async with database.connection() as connection:
        with pytest.raises(UnsuitableDatabase):
            await check_server(connection)
    await database.close()


async def set_for_database(url: str, setting: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(f"ALTER DATABASE {urlsplit(url).path[1:]} SET {setting}")
    await connection.close()


def is_plain(said: str) -> bool:
    """Whether the output is readable lines without a traceback."""
    return "Traceback" not in said and 'File "' not in said


# Servers that cannot be used.


def test_serve_ends_after_waiting_for_an_unreachable_server(closed_port: int, tmp_path: Path) -> None:
    ended = serve(f"postgresql://slotwise:open-sesame@127.0.0.1:{closed_port}/slotwise", tmp_path)
    assert ended.status == 1
    assert 1 <= ended.seconds < at_most(10)
    assert is_plain(ended.said)
    assert re.search(rf"error: database: 127\.0\.0\.1:{closed_port}/slotwise cannot be reached: ", ended.said)
    assert "open-sesame" not in ended.said


async def test_a_wait_is_reported_with_its_reason(closed_port: int) -> None:
    said: list[str] = []
    with pytest.raises(UnsuitableDatabase, match="cannot be reached"):
        await wait_for_server(f"postgresql://x@127.0.0.1:{closed_port}/x", 1, said.append)
    assert said
    assert all(re.search(r"not reachable yet.*127\.0\.0\.1", line) for line in said)


async def test_an_unknown_database_is_named_without_waiting(postgres_url: str) -> None:
    said: list[str] = []
    with pytest.raises(UnsuitableDatabase, match='database "nowhere" does not exist'):
        await wait_for_server(renamed(postgres_url, "nowhere"), PATIENCE_SECONDS, said.append)
    assert said == [], "it was waited for"


def test_serve_names_an_unknown_database(postgres_url: str, tmp_path: Path) -> None:
    ended = serve(renamed(postgres_url, "nowhere"), tmp_path)
    assert ended.status == 1
    assert is_plain(ended.said)
    assert 'error: database: DATABASE_URL: database "nowhere" does not exist' in ended.said


@pytest.mark.parametrize("url", ["mysql://root@127.0.0.1/slotwise", "postgresql://x@[::1/slotwise", "localhost"])
async def test_an_invalid_url_is_refused_at_once(url: str) -> None:
    with pytest.raises(UnsuitableDatabase):
        await wait_for_server(url, PATIENCE_SECONDS, pytest.fail)


async def test_a_wrong_password_is_named_as_that_without_waiting(own_server: EmbeddedServer) -> None:
    with own_server:
        await ask_for_a_password(own_server)
        await wait_for_server(
            own_server.url.replace("slotwise@", "guarded:right@"), PATIENCE_SECONDS, report=lambda _: None
        )
        wrong = own_server.url.replace("slotwise@", "guarded:wrong@")
        with pytest.raises(UnsuitableDatabase, match='password authentication failed for user "guarded"') as refusal:
            await wait_for_server(wrong, PATIENCE_SECONDS, pytest.fail)
        assert "wrong" not in str(refusal.value)


async def ask_for_a_password(server: EmbeddedServer) -> None:
    connection = await asyncpg.connect(server.url)
    put_first(Path(await connection.fetchval("SHOW hba_file")), "local all guarded scram-sha-256")
    await connection.execute("CREATE ROLE guarded LOGIN PASSWORD 'right'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()


def put_first(path: Path, line: str) -> None:
    path.write_text(f"{line}\n{path.read_text()}")


async def test_a_server_that_starts_late_is_waited_for(own_server: EmbeddedServer) -> None:
    said: list[str] = []
    waiting = asyncio.create_task(wait_for_server(own_server.url, PATIENCE_SECONDS, said.append))
    while not said:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)
    assert not waiting.done()
    await asyncio.to_thread(own_server.acquire)
    try:
        await waiting
    finally:
        await asyncio.to_thread(own_server.release)
    assert said
