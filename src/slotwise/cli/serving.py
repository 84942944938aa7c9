"""The command `serve`: prepare the database and the port, then run the worker processes."""

import asyncio
import os
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import IO, NamedTuple, cast

import msgspec
import structlog
import uvicorn

from slotwise.cli.accounts import operator_users
from slotwise.cli.running import (
    CommandFailed,
    embedded_server,
    operator_database,
    plain_errors,
    progress_bar,
    screen,
)
from slotwise.db.embedded import EmbeddedServer, EmbeddedServerError, StartGivenUp, claim_data_dir, was_killed
from slotwise.db.pool import Database
from slotwise.db.time_zones import ZoneCheck
from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import EmailTaken, SlotwiseError
from slotwise.domain.time_zones import EDITION
from slotwise.domain.users import Role
from slotwise.observability.logs import configure_logs
from slotwise.observability.metrics_directory import metrics_directory
from slotwise.server.listener import BACKLOG, ListenFailed, allow_many_connections, listen
from slotwise.server.supervisor import GRACE_SECONDS, Supervisor, WorkersFailed
from slotwise.services.core.clinics import ClinicDirectory
from slotwise.services.desk.list_folder import ListFolder
from slotwise.services.schedule.clinics import fill_first_clinic
from slotwise.services.schedule.demo import DemoPlan, is_empty, seed_demo
from slotwise.services.schedule.doctors import sort_doctors
from slotwise.settings import Settings, load_settings

DATABASE_WATCH_SECONDS = 1.0
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DEMO_ADMIN = "admin@slotwise.example"


log = structlog.get_logger()


class FirstAdmin(NamedTuple):
    email: str
    password: str


@plain_errors()
def serve_forever(host: str | None, port: int | None, workers: int | None) -> None:
    """Serve until SIGTERM, SIGINT or SIGHUP. Arguments override the environment."""
    settings = _settings(host, port, workers)
    logs = configure_logs(settings.log_level, json_lines=settings.production)
    screen.file = cast("IO[str]", logs.output)  # as much of a file as a screen uses
    _end_on_signals()
    allow_many_connections()
    with ExitStack() as stack:
        _listener(settings).close()  # if the port is taken, fail before creating a database
        if settings.embedded:
            claim = stack.enter_context(claim_data_dir(settings.data_dir))
            stack.callback(claim.truncate, 0)
        # prometheus-client finds the other workers' counters only by this variable.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = stack.enter_context(metrics_directory())
        if settings.embedded:
            stack.enter_context(_kept_running(embedded_server(settings, screen.print)))
        first_admin = asyncio.run(_prepare(settings))
        # Listen only now: clients that connected before there are workers would wait without an answer.
        listener = stack.enter_context(_listener(settings))
        greet = partial(_greet, settings, first_admin)
        _supervise(Supervisor(_uvicorn_config(settings), listener, settings.drain_seconds, greet, screen.print))


def _end_on_signals() -> None:
    """Until the supervisor takes over, end by SystemExit, so that everything that was opened is closed.

    Only the first signal counts: a second one must not interrupt the closing and leave a database running.
    """

    def end(number: int, _: object) -> None:
        _ignore_signals()
        sys.exit(128 + number)

    for number in ENDING:
        signal.signal(number, end)


def _ignore_signals() -> None:
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


def _listener(settings: Settings) -> socket.socket:
    try:
        return listen(settings.host, settings.port, screen.print, after_kill=was_killed(settings.data_dir))
    except ListenFailed as error:
        raise CommandFailed(str(error)) from error


@contextmanager
def _kept_running(server: EmbeddedServer) -> Iterator[None]:
    """Run the embedded server. If it dies, start it again within about a second."""
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
            _ignore_signals()  # a signal here would leave the database running
            over.set()
            if watcher.ident is not None:
                watcher.join()


async def _prepare(settings: Settings) -> FirstAdmin | None:
    async with operator_database(settings, screen.print) as database:
        _report_lists(settings)
        await fill_first_clinic(database, settings.first_clinic)
        await _report_zones(database, settings.first_clinic)
        await sort_doctors(database, settings.name_order, screen.print)
        first_admin = await _ensure_admin(settings, database)
        if settings.seeds_demo and await is_empty(database):
            await _seed(database, settings)
    return first_admin


async def _report_zones(database: Database, first: Clinic) -> None:
    """Log the edition of the time zone database, and a warning if PostgreSQL's differs for the zone of a clinic."""
    clinics = ClinicDirectory(database, first)
    await clinics.refresh()
    log.info("time_zones", edition=EDITION, zone=",".join(zone.key for zone in clinics.zones))
    async with database.connection() as connection:
        await ZoneCheck(lambda: clinics.zones).warnings(connection)


def _report_lists(settings: Settings) -> None:
    """Say at once if tomorrow's lists cannot be written. Bookings do not wait for that."""
    path = settings.evening_list_path
    problem = ListFolder(path).problem() if path else None
    if problem:
        screen.print(
            f"EVENING_LIST_DIR: cannot write to {path}: {problem}. No lists are written until this is mended.",
            markup=False,
        )


async def _ensure_admin(settings: Settings, database: Database) -> FirstAdmin | None:
    """Create the admin from the settings; in development without one, generate an admin and return its password.

    Does nothing if there is an admin already.
    """
    users = operator_users(database)
    if await users.has_admin():
        return None
    if settings.admin_email and settings.admin_password:
        try:
            await users.register("Administrator", settings.admin_email, settings.admin_password, Role.ADMIN, "operator")
        except SlotwiseError as error:
            # Another server that is starting on the same database may have created the admin first.
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
        screen.print(f"No admin is active. Activate one: slotwise user activate {DEMO_ADMIN}", style="yellow")
        return None
    return generated


async def _seed(database: Database, settings: Settings) -> None:
    """Start today, so that the clinic's first page has a day to show."""
    zone = settings.time_zone
    plan = DemoPlan(doctors=12, days=28, first_day=datetime.now(zone).date(), zone=zone, order=settings.name_order)
    with progress_bar("Adding demo doctors and slots") as progress:
        await seed_demo(database, plan, progress)


def _greet(settings: Settings, first_admin: FirstAdmin | None) -> None:
    host = "localhost" if settings.host in {"127.0.0.1", "0.0.0.0", "::", "::1"} else settings.host  # noqa: S104
    url = f"http://{host}:{settings.port}"
    screen.print(f"Slotwise    {url}")
    screen.print(f"Clinic      {url}/admin")
    screen.print(f"API docs    {url}/api-docs")
    if first_admin:
        screen.print(f"Admin       {first_admin.email}   password  {first_admin.password}", markup=False)
        screen.print(f"            Shown this once. Change it: {url}/account/password, or slotwise user set-password")


def _uvicorn_config(settings: Settings) -> uvicorn.Config:
    # The workers import the application; this process does without.
    return uvicorn.Config(
        "slotwise.app:create_app",
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        http="slotwise.server.direct_connection:DirectConnection",
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
