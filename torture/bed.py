"""The installation under test: a PostgreSQL and a server of its own, with a proxy in front of each."""

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
# On a busy machine all takes longer. What must be quick is judged by L2.
START_SECONDS = 120.0
RETURN_SECONDS = 60.0
LOOK_SECONDS = 15.0
WORKERS = 2
# What keeps a look at the tables from coming about while the database is broken, in the driver's words. The last is for
# an answer that it does not expect, as of a server that is killed in the middle of one.
NO_LOOK = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
SETTINGS = {
    "HOST": "127.0.0.1",
    "LOG_LEVEL": "warning",
    "SEED_DEMO": "off",
    "DRAIN_SECONDS": "0",
    "WORKERS": str(WORKERS),
    "HOLD_SECONDS": str(HOLD_SECONDS),
    # Forms and pages of times speak of days by the clinic's clock.
    "CLINIC_TIME_ZONE": "UTC",
    "ADMIN_EMAIL": ADMIN_EMAIL,
    "ADMIN_PASSWORD": ADMIN_PASSWORD,
}


# Debian's package `faketime`: where it is not installed, no clock jumps.
FAKETIME = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)


# The places of observability/crash_points.py that a worker passes under load.
CRASH_POINTS = (
    *(
        f"{operation}.{point}"
        for operation in ("hold_seats", "confirm_booking", "cancel_booking")
        for point in ("before_batch", "after_commit", "before_answer")
    ),
    "sweep_holds.before_batch",
    "sweep_holds.after_commit",
)


class NotServing(Exception):
    """The server did not start, or not again. The message has the end of its log."""


class Bed:
    """Only processes that this has started are ever signalled, by their pids."""

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
        """Past the proxy, for looking on."""
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
        """The wall clock as the file says, looked at every second; the clock that timers go by is left alone."""
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
        """Leave no process behind, however the run ended."""
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
        """Also after it was killed; nothing to do while it runs."""
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
        """Return when all workers are back; where the server has ended by itself, start it once more."""
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
        """The supervisor and its workers, those that are there now."""
        assert self.server is not None
        return [psutil.Process(self.server.pid), *self.workers()]

    def workers(self) -> list[psutil.Process]:
        assert self.server is not None
        children = psutil.Process(self.server.pid).children()
        return [child for child in children if _is_worker(child)]

    async def workers_back(self) -> None:
        """Return when there are as many workers as there should be and one answers."""

        async def back() -> bool:
            return await self.serves() and len(self.workers()) == WORKERS

        await self.until(back, RETURN_SECONDS)

    def postmaster(self) -> psutil.Process:
        """Raises `psutil.NoSuchProcess` while there is none."""
        file = self.folder / "database" / "postgres" / "postmaster.pid"
        words = file.read_text().split() if file.exists() else []
        return psutil.Process(int(words[0]) if words else NO_SUCH_PID)

    @asynccontextmanager
    async def look(self) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
        """A connection to the database past the proxy, as soon as there is one to have."""
        connection = await self._connection()
        try:
            yield connection
        finally:
            # Without good manners: whoever is called away in the middle of a question cannot say good-bye.
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
        """Start `slotwise` as an operator does, past the proxy."""
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
        """Poll until it is true; raise `NotServing` after so many seconds."""
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
