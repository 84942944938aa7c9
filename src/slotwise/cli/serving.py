"""The command `serve`: everything that must be so before the first request, then the worker processes."""

import asyncio
import errno
import fcntl
import os
import resource
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import structlog
import uvicorn

from slotwise.app import embedded_server, operator_database, operator_users
from slotwise.cli.running import CommandFailed, progress_bar, screen
from slotwise.db.embedded import EmbeddedServer, EmbeddedServerError, StartGivenUp, claim_data_dir, was_killed
from slotwise.db.pool import Database
from slotwise.domain.errors import EmailTaken, SlotwiseError
from slotwise.domain.users import Role
from slotwise.http.connections import BoundedConnection
from slotwise.logs import configure_logs
from slotwise.server.supervisor import GRACE_SECONDS, Supervisor, WorkersFailed
from slotwise.services.demo import DemoPlan, is_empty, seed_demo
from slotwise.settings import Settings, load_settings
from slotwise.waiting import Waiting

DATABASE_WATCH_SECONDS = 1.0
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A worker whose supervisor was killed gives its port free within a second or so.
PORT_SECONDS = 3.0
# One that hangs does so after eight; one that is still importing, when it has done that.
KILLED_SECONDS = 120.0
# As many as the kernel lets: what does not fit is not refused but lost, and tried again after a second or more.
BACKLOG = 65_535
MAX_FILES = 65_536
IN_USE = "Stop what uses the port, or choose another: PORT=3001"
# Not what releases before this one used: they do not lock theirs.
METRICS = "slotwise-counters-"
DEMO_ADMIN = "admin@slotwise.example"


log = structlog.get_logger()


class FirstAdmin(NamedTuple):
    email: str
    password: str


def serve_forever(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP. Arguments that are given go before the environment."""
    settings = _settings(host, port, workers)
    configure_logs(settings.log_level, json_lines=settings.production)
    _end_on_signals()
    _allow_many_connections()
    with ExitStack() as stack:
        _listen(settings).close()  # a port that is taken is known before a database is made
        if settings.embedded:
            claim = stack.enter_context(claim_data_dir(settings.data_dir))
            stack.callback(claim.truncate, 0)
        # prometheus-client finds the other workers' counters by this variable only.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(_metrics_dir())
        if settings.embedded:
            stack.enter_context(_kept_running(embedded_server(settings, report=screen.print)))
        first_admin = asyncio.run(_prepare(settings))
        # Only now: what connects before there are workers to answer would wait without a word.
        listener = stack.enter_context(_listen(settings))
        greet = partial(_greet, settings, first_admin)
        _supervise(Supervisor(_uvicorn_config(settings), listener, settings.drain_seconds, greet, screen.print))


def _end_on_signals() -> None:
    """Until the workers' supervisor takes over: end as if interrupted, so that what was opened is closed.

    Once: a second signal must not cut the closing short, and leave a database behind.
    """

    def end(number: int, _: object) -> None:
        _pass_over_signals()
        sys.exit(128 + number)

    for number in ENDING:
        signal.signal(number, end)


def _pass_over_signals() -> None:
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _supervise(supervisor: Supervisor) -> None:
    try:
        supervisor.run()
    except WorkersFailed as error:
        raise CommandFailed(str(error)) from error


def _settings(host: str | None, port: int | None, workers: int | None) -> Settings:
    given = {"host": host, "port": port, "workers": workers}
    return msgspec.structs.replace(load_settings(), **{name: value for name, value in given.items() if value})


def _allow_many_connections() -> None:
    """Each is a file to the kernel, and the usual limit of 1,024 is less than those who may watch seats at a worker.

    It is a default for programs with select(), and any program may raise it up to the hard limit. Workers inherit it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, MAX_FILES)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _listen(settings: Settings) -> socket.socket:
    """The listening socket. A port that is taken is tried again for a while: workers of a killed server end soon."""
    where = f"{settings.host}:{settings.port}"
    killed = was_killed(settings.data_dir)
    waiting = Waiting(screen.print)
    while True:
        try:
            return _listener(settings)
        except OSError as error:
            in_use = error.errno == errno.EADDRINUSE
            if not in_use or waiting.seconds > (KILLED_SECONDS if killed else PORT_SECONDS):
                reason = os.strerror(error.errno or 0).lower()
                advice = IN_USE if in_use else "Choose another HOST or PORT"
                raise CommandFailed(f"cannot listen on {where}: {reason}. {advice}") from error
        if killed:
            waiting.say(f"Waiting for the workers of a killed server to give {where} free")
        time.sleep(0.1)


def _listener(settings: Settings) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
        # Listening now, and not when the workers do: a second server must fail here and not share the port.
        listener.listen(BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


@contextmanager
def _metrics_dir() -> Iterator[str]:
    """A directory for this server's metrics, locked while it lives; those of servers that were killed are removed."""
    for left in Path(tempfile.gettempdir()).glob(f"{METRICS}*"):
        with suppress(OSError):
            os.close(_lock_directory(left))
            shutil.rmtree(left, ignore_errors=True)
    directory, lock = _new_locked_directory()
    try:
        yield str(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _new_locked_directory() -> tuple[Path, int]:
    """Another start may take it for one that was left, before it is locked: then there is another."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=METRICS))
        with suppress(BlockingIOError, FileNotFoundError):
            lock = _lock_directory(directory)
            if directory.exists():
                return directory, lock
            os.close(lock)


def _lock_directory(directory: Path) -> int:
    """Hold it until the returned descriptor is closed. Raises `OSError` when it is gone or another process has it."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextmanager
def _kept_running(server: EmbeddedServer) -> Iterator[None]:
    """The embedded server, started again within a second or so whenever it dies."""
    over = threading.Event()

    def watch() -> None:
        said = ""
        while not over.wait(DATABASE_WATCH_SECONDS):
            try:
                server.acquire(over)
            except StartGivenUp:
                return
            except EmbeddedServerError as error:
                if str(error) != said:
                    log.error("embedded_postgres_does_not_start", reason=(said := str(error)))  # noqa: TRY400

    with server:
        watcher = threading.Thread(target=watch, name="embedded postgres watch")
        try:
            watcher.start()
            yield
        finally:
            _pass_over_signals()  # the database must not be left behind
            over.set()
            if watcher.ident is not None:
                watcher.join()


async def _prepare(settings: Settings) -> FirstAdmin | None:
    async with operator_database(settings, report=screen.print) as database:
        first_admin = await _ensure_admin(settings, database)
        if settings.seeds_demo and await is_empty(database):
            await _seed(database, settings.time_zone)
    return first_admin


async def _ensure_admin(settings: Settings, database: Database) -> FirstAdmin | None:
    """The admin from the settings; in development, one made up at the first start, whose password is returned."""
    users = operator_users(database)
    if await users.has_admin():
        return None
    if settings.admin_email and settings.admin_password:
        try:
            await users.register("Administrator", settings.admin_email, settings.admin_password, Role.ADMIN, "operator")
        except SlotwiseError as error:
            # Another server that starts now on the same database may have been first: then all is well.
            if not await users.has_admin():
                raise CommandFailed(f"ADMIN_EMAIL and ADMIN_PASSWORD: {error.detail}") from error
        return None
    if settings.production:
        screen.print("There is no admin yet. Create one: slotwise admin create", style="yellow")
        return None
    generated = FirstAdmin(DEMO_ADMIN, secrets.token_urlsafe(12))
    try:
        await users.register("Administrator", generated.email, generated.password, Role.ADMIN, "operator")
    except EmailTaken:
        if await users.has_admin():
            return None
        screen.print(f"No admin is active. Let one in again: slotwise user activate {DEMO_ADMIN}", style="yellow")
        return None
    return generated


async def _seed(database: Database, zone: ZoneInfo) -> None:
    """From today on, so that the clinic's first page has a day to show."""
    today = datetime.now(zone).date()
    with progress_bar("Adding demo doctors and slots") as progress:
        await seed_demo(database, DemoPlan(doctors=12, days=28, first_day=today, zone=zone), progress)


def _greet(settings: Settings, first_admin: FirstAdmin | None) -> None:
    host = "localhost" if settings.host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else settings.host  # noqa: S104
    address = f"http://{host}:{settings.port}"
    screen.print(f"Slotwise    {address}")
    screen.print(f"Clinic      {address}/admin")
    screen.print(f"API docs    {address}/api-docs")
    if first_admin:
        screen.print(f"Admin       {first_admin.email}   password  {first_admin.password}", markup=False)
        screen.print(
            f"            Shown this once. Change it: {address}/account/password, or slotwise user set-password"
        )


def _uvicorn_config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "slotwise.app:create_app",
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http=BoundedConnection,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
