"""A real PostgreSQL for every test that touches data, and real servers in front of it.

SLOTWISE_TEST_POSTGRES_BIN, a directory of another version's binaries, chooses the PostgreSQL; SLOTWISE_TEST_ISOLATION,
such as `repeatable read`, what its sessions default to.
"""

import asyncio
import gc
import http.client
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import hypothesis
import psutil
import pytest
import pytest_asyncio
from harness.watchdog import temporary_folder, watch

from slotwise.db.embedded import EmbeddedServer
from slotwise.db.pool import Database
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, PATIENCE_SECONDS, Clinic, RunningServer
from tests.clusters import BIN_DIR, RUN_FOLDER, TEMPLATE, execute, named, new_cluster
from tests.databases import Databases
from tests.depth import many
from tests.zones import false_edition

# How long one example takes says more about what else the machine does than about the code.
hypothesis.settings.register_profile("slotwise", deadline=None, max_examples=many(50, 100))
hypothesis.settings.load_profile("slotwise")

# These begin first, the longest of them at the head: a process should not be left with a long one in the end.
LONGEST = ("torture", "browser", "tests", "faults", "http", "security", "cli", "db", "kit", "races", "accounts")
# Files of a group share servers or databases, which are made once when one process has them all.
GROUPS = {
    "tests/browser": ("tests/browser/",),
    "a filled database": ("tests/db/test_plans.py", "tests/db/test_booking_costs.py"),
    "a server without a sweeper": (
        "tests/http/booking/test_bookings.py",
        "tests/http/schedule/test_slots.py",
        "tests/web/booking/test_booking_pages.py",
    ),
    "a server as in production": ("tests/security/test_headers.py", "tests/security/test_canaries.py"),
}
# Each test of these brings its own installation, so that they can be spread over the processes.
APART = ("tests/harness/test_killed_runs.py",)

_numbers = itertools.count(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Each process imports and collects all tests, which stay: searching among them for garbage is in vain."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first, and give each test a name of its own: of two with one name, only one would run."""
    folders = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: folders.get(item.path.parent.name, len(LONGEST)))
    seen: Counter[str] = Counter()
    for item in items:
        seen[item.nodeid] += 1
        if seen[item.nodeid] > 1:
            item._nodeid = f"{item.nodeid}[{seen[item.nodeid]}]"  # type: ignore[attr-defined]  # there is no other way


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """All temporary files go to one folder, which is gone afterwards, `kill -9` included. A process that runs tests for
    another one has a part of that one's folder, whose first part it shares with the rest of the run."""
    stack = ExitStack()
    config.add_cleanup(stack.close)
    folder = stack.enter_context(temporary_folder("slotwise-" if RUN_FOLDER not in os.environ else "p-"))
    os.environ.setdefault(RUN_FOLDER, str(folder))
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    if config.option.basetemp is None:
        config.option.basetemp = str(folder / "t")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready() -> None:
    """The processes that run tests end when the one that deals them out is killed."""
    for child in psutil.Process().children():
        watch(child.pid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Deal out whole files, or what `GROUPS` and `APART` say."""
    from xdist.scheduler import LoadScopeScheduling  # noqa: PLC0415 - tests run without it too

    class ByWhatTheyShare(LoadScopeScheduling):  # type: ignore[misc]  # it has no types
        def _split_scope(self, nodeid: str) -> str:
            return scope_of(nodeid)

    return ByWhatTheyShare(config, log)


def scope_of(nodeid: str) -> str:
    """Tests of one scope run in one process."""
    file = nodeid.partition("::")[0]
    if file in APART:
        return nodeid
    return next((name for name, paths in GROUPS.items() if file.startswith(paths)), file)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server of its own for this process; gone afterwards."""
    with temporary_folder("db-") as folder:
        new_cluster(folder)
        with EmbeddedServer(folder, BIN_DIR) as server:
            asyncio.run(_default_to(server.url, os.environ.get("SLOTWISE_TEST_ISOLATION")))
            yield server.url


@pytest.fixture(scope="session")
def postgres_log(postgres_url: str) -> Path:
    """What the database server of this run has logged."""
    return Path(parse_qs(urlsplit(postgres_url).query)["host"][0]).parent / "postgres.log"


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """The name of a database with this version's schema and no rows, for the others to be copied from."""
    return TEMPLATE


@pytest.fixture(scope="session")
def databases(postgres_url: str, migrated_template: str) -> Databases:
    return Databases(postgres_url, migrated_template)


@pytest.fixture
def database_url(databases: Databases, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty, migrated database for one test. One that a server has used is not used again: a worker could outlive
    its test."""
    with databases.lent(again="start_server" not in request.fixturenames) as url:
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


@pytest.fixture(scope="session")
def unswept_server(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """No sweeper runs here: what is free again is free without it."""
    settings = {"HOLD_SECONDS": "60", "SWEEP_SECONDS": "3600"}
    with fresh_database(postgres_url, migrated_template) as url, running_server(url, settings) as server:
        yield server


@pytest.fixture
def clinic(server: RunningServer) -> Iterator[Clinic]:
    with Clinic(server) as clinic:
        yield clinic


@contextmanager
def fresh_database(postgres_url: str, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{next(_numbers)}"
    asyncio.run(execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log"))
    yield named(postgres_url, name)
    asyncio.run(execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@contextmanager
def running_server(database_url: str, settings: dict[str, str]) -> Iterator[RunningServer]:
    """`slotwise serve` as a process of its own, from its first answer to its end by SIGTERM."""
    port = free_port()
    with temporary_folder("server-") as folder:
        environment = {
            "PATH": os.environ["PATH"],
            "TMPDIR": str(folder),
            "DATABASE_URL": database_url,
            "SLOTWISE_DATA_DIR": str(folder / "data"),
            "PORT": str(port),
            "WORKERS": "1",
            "ADMIN_EMAIL": ADMIN_EMAIL,
            "ADMIN_PASSWORD": ADMIN_PASSWORD,
            "SEED_DEMO": "off",
            "DRAIN_SECONDS": "0",
            "PYTHONTZPATH": str(false_edition()),
            **settings,
        }
        log = folder / "log"
        with serving(log, environment) as process:
            running = RunningServer(f"http://127.0.0.1:{port}", process, log, database_url)
            _await_first_answer(running)
            yield running


@contextmanager
def serving(log: Path, environment: dict[str, str]) -> "Iterator[subprocess.Popen[bytes]]":
    """The process, not yet ready; what it says goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("slotwise"), "serve"],
            env=environment,
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
    try:
        watch(process.pid)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(PATIENCE_SECONDS)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _await_first_answer(server: RunningServer) -> None:
    """Raises as soon as it has ended; one that is slow is waited for."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=5)
        try:
            connection.request("GET", "/health")
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
        else:
            return
        finally:
            connection.close()
    raise RuntimeError(f"the server did not start:\n{server.log.read_text()}")


async def _default_to(url: str, isolation: str | None) -> None:
    """What every session gets that does not ask for another level, as an operator may have set it."""
    if isolation:
        set_level = f"ALTER SYSTEM SET default_transaction_isolation = '{isolation}'"
        await execute(url, set_level, "SELECT pg_reload_conf()")
