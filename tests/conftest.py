"""A real PostgreSQL for every test that touches data, and real servers in front of it.

SLOTWISE_TEST_POSTGRES_BIN, a directory of another version's binaries, chooses the PostgreSQL; SLOTWISE_TEST_ISOLATION,
such as `repeatable read`, what its sessions default to.
"""

import asyncio
import itertools
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import asyncpg
import httpx
import hypothesis
import pytest
import pytest_asyncio

from slotwise.db.embedded import EmbeddedServer
from slotwise.db.migrator import migrate
from slotwise.db.pool import Database
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer

# How long one example takes says more about what else the machine does than about the code.
hypothesis.settings.register_profile("slotwise", deadline=None)
hypothesis.settings.load_profile("slotwise")

LONGEST = {"torture", "faults", "races", "browser"}

_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, lest a process be left with one in the end.

    Tests are dealt out to processes by their names: of two with one name, only one would run.
    """
    items.sort(key=lambda item: item.path.parent.name not in LONGEST)
    seen: Counter[str] = Counter()
    for item in items:
        seen[item.nodeid] += 1
        if seen[item.nodeid] > 1:
            item._nodeid = f"{item.nodeid}[{seen[item.nodeid]}]"  # type: ignore[attr-defined]  # there is no other way


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server of its own for this run; gone afterwards."""
    binaries = os.environ.get("SLOTWISE_TEST_POSTGRES_BIN")
    folder = Path(tempfile.mkdtemp(prefix="slotwise-tests-"))
    with EmbeddedServer(folder, Path(binaries) if binaries else None) as server:
        asyncio.run(_default_to(server.url, os.environ.get("SLOTWISE_TEST_ISOLATION")))
        yield server.url
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_log(postgres_url: str) -> Path:
    """What the database server of this run has logged."""
    return Path(parse_qs(urlsplit(postgres_url).query)["host"][0]).parent / "postgres.log"


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """The name of a database with this version's schema and no rows, for the others to be copied from."""
    asyncio.run(_execute(postgres_url, "CREATE DATABASE template_slotwise"))
    asyncio.run(migrate(_with_name(postgres_url, "template_slotwise")))
    return "template_slotwise"


@pytest.fixture
def database_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """An empty, migrated database for one test."""
    with fresh_database(postgres_url, migrated_template) as url:
        yield url


@pytest_asyncio.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.connect(database_url, 10)
    yield database
    await database.close()


@pytest_asyncio.fixture
async def connection(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection beside the program's own, for looking at tables and for planting things."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
def start_server(database_url: str) -> Iterator[Callable[..., RunningServer]]:
    """Starts real `slotwise serve` processes on this test's database; arguments are environment variables."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(running_server(database_url, settings))


@pytest.fixture(scope="session")
def server(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """One server for all the tests that bring their own doctors and slots and mind nobody else's."""
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, {"HOLD_SECONDS": "60", "WORKERS": "2"}) as server,
    ):
        yield server


@pytest.fixture
def clinic(server: RunningServer) -> Iterator[Clinic]:
    with Clinic(server) as clinic:
        yield clinic


@contextmanager
def fresh_database(postgres_url: str, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield _with_name(postgres_url, name)
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def running_server(database_url: str, settings: dict[str, str]) -> Iterator[RunningServer]:
    """`slotwise serve` as a process of its own, from its first answer to its end by SIGTERM."""
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="slotwise-server-"))
    environment = {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": database_url,
        "SLOTWISE_DATA_DIR": str(folder / "data"),
        "PORT": str(port),
        "WORKERS": "1",
        "ADMIN_EMAIL": ADMIN_EMAIL,
        "ADMIN_PASSWORD": ADMIN_PASSWORD,
        "SEED_DEMO": "off",
        "DRAIN_SECONDS": "0",
        **settings,
    }
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("slotwise"), "serve"], env=environment, cwd=folder, stderr=output
        )
    try:
        running = RunningServer(f"http://127.0.0.1:{port}", process, log, database_url)
        _await_first_answer(running)
        yield running
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(15)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _await_first_answer(server: RunningServer) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            # Without certificates, which take longer to load than the server does to answer.
            httpx.get(f"{server.url}/health", verify=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the server did not start:\n{server.log.read_text()}")


async def _default_to(url: str, isolation: str | None) -> None:
    """What every session gets that does not ask for another level, as an operator may have set it."""
    if isolation:
        await _execute(url, f"ALTER SYSTEM SET default_transaction_isolation = '{isolation}'")
        await _execute(url, "SELECT pg_reload_conf()")


async def _execute(url: str, command: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(command)
    finally:
        await connection.close()


def _with_name(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
