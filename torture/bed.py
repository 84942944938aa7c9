"""The installation under test: its own PostgreSQL and its own server, with a proxy in front of each."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import asyncpg
import psutil
from harness.watchdog import watch

from slotwise.db.embedded import NO_SUCH_PID, EmbeddedServer
from torture.proxy import Proxy, to_port, to_socket

SLOTWISE = Path(sys.executable).with_name("slotwise")
PATCHES = Path(__file__).parent / "patches"
ADMIN_EMAIL = "admin@slotwise.example"
ADMIN_PASSWORD = "a fine admin password"
HOLD_SECONDS = 2
# Generous, because a busy machine is slow. Rule L2 judges how quick the server is.
START_SECONDS = 120.0
RETURN_SECONDS = 60.0
LOOK_SECONDS = 15.0
WORKERS = 2
# The driver's errors when the tables cannot be read because the database is broken. The last one is for an unexpected
# answer, for example from a server that is killed while it answers.
NO_LOOK = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
SETTINGS = {
    "HOST": "127.0.0.1",
    "LOG_LEVEL": "warning",
    "SEED_DEMO": "off",
    "DRAIN_SECONDS": "0",
    "WORKERS": str(WORKERS),
    "HOLD_SECONDS": str(HOLD_SECONDS),
    # Forms and pages use days in the clinic's time zone.
    "CLINIC_TIME_ZONE": "UTC",
    "ADMIN_EMAIL": ADMIN_EMAIL,
    "ADMIN_PASSWORD": ADMIN_PASSWORD,
}


# From Debian's package `faketime`. Without it, the fault "clock" is left out.
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


# The crash points (observability/crash_points.py) that a worker reaches under load.
CRASH_POINTS = (
    *(
        f"{operation}.{point}"
        for operation in ("hold_seats", "hold_times", "confirm_booking", "cancel_booking")
        for point in ("before_batch", "after_commit", "before_answer")
    ),
    "sweep_holds.before_batch",
    "sweep_holds.after_commit",
)


class NotServing(Exception):
    """The server did not start, or did not come back. The message has the end of its log."""


class Bed:
    """The installation under test. It signals only processes that it has started, by their pids."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.crash_points = folder / "crash-points"
        self.clock = folder / "clock"
        self.slow_imports = folder / "slow-imports"
        self.log = folder / "server.log"
        binaries = os.environ.get("SLOTWISE_TEST_POSTGRES_BIN")
        self.postgres = EmbeddedServer(folder / "database", Path(binaries) if binaries else None)
        self.port = free_port()
        self.to_database = Proxy(to_socket(_socket_of(self.postgres.url)))
        self.to_server = Proxy(to_port(lambda: self.port))
        self.server: subprocess.Popen[bytes] | None = None
        self._settings = settings

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def proxied_url(self) -> str:
        return f"http://127.0.0.1:{self.to_server.port}"

    @property
    def database_url(self) -> str:
        """The database's URL without the proxy, for observing."""
        return self.postgres.url

    @property
    def environment(self) -> dict[str, str]:
        parts = urlsplit(self.postgres.url)
        proxied = f"postgresql://{parts.username}@127.0.0.1:{self.to_database.port}{parts.path}?sslmode=disable"
        return {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": proxied,
            "SLOTWISE_DATA_DIR": str(self.folder / "server"),
            "TMPDIR": str(self.folder),
            "PORT": str(self.port),
            "CRASH_POINTS": str(self.crash_points),
            "PYTHONPATH": str(PATCHES / "slow_imports"),
            "SLOW_IMPORTS": str(self.slow_imports),
            **SETTINGS,
            **self._faked_clock(),
            **self._settings,
        }

    def _faked_clock(self) -> dict[str, str]:
        """Shift the wall clock by what the file says, read every second. The monotonic clock is not changed."""
        if FAKETIME is None:
            return {}
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    async def start(self) -> None:
        self.crash_points.mkdir(exist_ok=True)
        self.clock.write_text("+0")
        await self.start_database()
        await self.to_database.start()
        await self.to_server.start()
        await self.start_server()

    async def stop(self) -> None:
        """Stop all processes, however the run ended."""
        try:
            await self._stop_server()
        finally:
            await self.to_server.stop()
            await self.to_database.stop()
            await asyncio.to_thread(self.postgres.release)

    async def _stop_server(self) -> None:
        if self.server is None or self.server.poll() is not None:
            return
        family = self.processes()
        self.server.terminate()
        _, alive = await asyncio.to_thread(psutil.wait_procs, family, RETURN_SECONDS)
        for process in alive:
            process.kill()
        self.server.wait()

    async def start_database(self) -> None:
        """Start the database, also after it was killed. Does nothing if it runs."""
        await asyncio.to_thread(self.postgres.acquire)

    async def start_server(self) -> None:
        with self.log.open("ab") as log:
            self.server = subprocess.Popen(  # noqa: ASYNC220 - it outlives this call
                [SLOTWISE, "serve"],
                env=self.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        watch(self.server.pid)
        await self.until(self.serves, START_SECONDS)

    async def serve_again(self) -> None:
        """Return when all workers are back. If the server has ended by itself, start it again first."""
        if self.server is None or self.server.poll() is not None:
            await self.start_server()
        await self.workers_back()

    async def serves(self) -> bool:
        if self.server is None or self.server.poll() is not None:
            raise NotServing(f"the server has ended; its log ends:\n{self.log.read_text()[-3000:]}")
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/health", timeout=_QUICK) as answer:
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def processes(self) -> list[psutil.Process]:
        """The supervisor and its present workers."""
        assert self.server is not None
        return [psutil.Process(self.server.pid), *self.workers()]

    def workers(self) -> list[psutil.Process]:
        assert self.server is not None
        children = psutil.Process(self.server.pid).children()
        return [child for child in children if _is_worker(child)]

    async def workers_back(self) -> None:
        """Return when all workers run and one of them answers."""

        async def back() -> bool:
            return await self.serves() and len(self.workers()) == WORKERS

        await self.until(back, RETURN_SECONDS)

    def postmaster(self) -> psutil.Process:
        """Raises `psutil.NoSuchProcess` if there is none."""
        file = self.folder / "database" / "postgres" / "postmaster.pid"
        words = file.read_text().split() if file.exists() else []
        return psutil.Process(int(words[0]) if words else NO_SUCH_PID)

    @asynccontextmanager
    async def look(self) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        """A connection to the database without the proxy, as soon as one can be made."""
        connection = await self._connection()
        try:
            yield connection
        finally:
            # Terminate instead of close: a task that is cancelled during a query cannot close politely.
            connection.terminate()

    async def _connection(self) -> "asyncpg.Connection[asyncpg.Record]":
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOOK_SECONDS
        while True:
            try:
                return await asyncpg.connect(self.database_url, timeout=5)
            except NO_LOOK:
                if loop.time() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def command(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a `slotwise` command as an operator does, without the proxy."""
        process = await asyncio.create_subprocess_exec(
            SLOTWISE,
            *arguments,
            env=self.environment | {"DATABASE_URL": self.database_url},
            cwd=self.folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        watch(process.pid)
        return process

    async def until(self, true: Callable[[], Awaitable[bool]], seconds: float) -> None:
        """Poll until it is true. Raises `NotServing` after `seconds`."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not await true():
            if loop.time() > deadline:
                raise NotServing(f"not within {seconds:g} s; the server's log ends:\n{self.log.read_text()[-3000:]}")
            await asyncio.sleep(0.05)


_QUICK = aiohttp.ClientTimeout(total=2)


def _is_worker(child: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(child.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _socket_of(url: str) -> str:
    return f"{parse_qs(urlsplit(url).query)['host'][0]}/.s.PGSQL.5432"
