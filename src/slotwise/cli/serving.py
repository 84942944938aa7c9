"""The command `serve`: everything that must be so before the first request, then the worker processes."""

import asyncio
import errno
import os
import resource
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

import msgspec
import structlog
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from slotwise.app import embedded_server, operator_database, operator_users
from slotwise.cli.running import CommandFailed, progress_bar, screen
from slotwise.db.embedded import EmbeddedServer, EmbeddedServerError, claim_data_dir
from slotwise.db.pool import Database
from slotwise.domain.errors import EmailTaken, SlotwiseError
from slotwise.domain.users import Role
from slotwise.http.connections import BoundedConnection
from slotwise.logs import configure_logs
from slotwise.services.demo import DemoPlan, is_empty, seed_demo
from slotwise.settings import Settings, load_settings

DRAIN_SECONDS = 6
STOP_SECONDS = 8.5
DATABASE_WATCH_SECONDS = 1.0
# As many as the kernel lets: what does not fit is not refused but lost, and tried again after a second or more.
BACKLOG = 65_535
MAX_FILES = 65_536
DEMO_ADMIN = "admin@slotwise.example"


log = structlog.get_logger()


class FirstAdmin(NamedTuple):
    email: str
    password: str


def serve_forever(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve until SIGTERM or SIGINT. Arguments that are given go before the environment."""
    settings = _settings(host, port, workers)
    configure_logs(settings.log_level, json_lines=settings.production)
    # Until the workers' supervisor takes over: end as if interrupted, so that what was opened is closed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    _allow_many_connections()
    with ExitStack() as stack:
        listener = stack.enter_context(_listen(settings))
        if settings.embedded:
            stack.enter_context(claim_data_dir(settings.data_dir))
        metrics_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="slotwise-metrics-"))
        # prometheus-client finds the other workers' counters by this variable only.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics_dir
        if settings.embedded:
            stack.enter_context(_kept_running(embedded_server(settings)))
        first_admin = asyncio.run(_prepare(settings))
        _greet(settings, first_admin)
        _supervise(_uvicorn_config(settings), listener)


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
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        # Listening now, and not when the workers do: a second server must fail here and not share the port.
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        reason = os.strerror(error.errno or 0).lower()
        in_use = error.errno == errno.EADDRINUSE
        advice = "Stop what uses the port, or choose another: PORT=3001" if in_use else "Choose another HOST or PORT"
        raise CommandFailed(f"cannot listen on {settings.host}:{settings.port}: {reason}. {advice}") from error
    return listener


@contextmanager
def _kept_running(server: EmbeddedServer) -> Iterator[None]:
    """The embedded server, started again within a second or so whenever it dies."""
    over = threading.Event()

    def watch() -> None:
        said = ""
        while not over.wait(DATABASE_WATCH_SECONDS):
            try:
                server.acquire()
            except EmbeddedServerError as error:
                if str(error) != said:
                    log.error("embedded_postgres_does_not_start", reason=(said := str(error)))  # noqa: TRY400

    with server:
        watcher = threading.Thread(target=watch, name="embedded postgres watch")
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join(timeout=2)


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


class _Supervisor(Multiprocess):
    """Ends when its terminal is closed. The usual meaning of SIGHUP, new settings, needs a new start here."""

    def join_all(self) -> None:
        """Wait for the workers to end; those that hang are killed, so that a stop takes ten seconds at most."""
        deadline = time.monotonic() + STOP_SECONDS
        for worker in self.processes:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.exitcode is None:
                log.error("worker_killed", pid=worker.pid, after_seconds=STOP_SECONDS)
                worker.process.kill()
        super().join_all()

    def handle_hup(self) -> None:
        self.handle_term()


def _supervise(config: uvicorn.Config, listener: socket.socket) -> None:
    supervisor = _Supervisor(config, sockets=[listener])
    supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise CommandFailed("a worker process could not start; the lines above say why")


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
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
