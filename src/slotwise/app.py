"""The composition root: builds every part from the settings and connects them. Only this module knows all others."""

import gc
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp

from slotwise.db.embedded import EmbeddedServer
from slotwise.db.migrator import migrate
from slotwise.db.pool import Database
from slotwise.db.readiness import wait_for_server
from slotwise.db.schema import SchemaCheck
from slotwise.http.accounts.auth import AuthController
from slotwise.http.api_docs import OPENAPI, ApiDocsController
from slotwise.http.booking.bookings import BookingController
from slotwise.http.health import HealthController
from slotwise.http.kit.problems import EXCEPTION_HANDLERS as PROBLEMS
from slotwise.http.kit.problems import write_refusal
from slotwise.http.privacy.personal_data import PrivacyController
from slotwise.http.schedule.doctors import DoctorController
from slotwise.http.schedule.seat_events import SeatEventController
from slotwise.http.schedule.slots import SlotController, SlotPages
from slotwise.observability.crash_points import CrashPoints
from slotwise.observability.logs import configure_logs
from slotwise.observability.metrics_report import MetricsReport
from slotwise.server.requests import Requests
from slotwise.services.accounts.passwords import Passwords
from slotwise.services.accounts.tokens import AccessTokens
from slotwise.services.accounts.users import Users
from slotwise.services.booking.batches import BookingBatches
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.calendars import Calendars
from slotwise.services.booking.my_bookings import MyBookings
from slotwise.services.booking.page_holds import HeldTimes
from slotwise.services.core.audit import AuditLog
from slotwise.services.core.manage_tokens import ManageTokens
from slotwise.services.core.rate_limits import BookingRate
from slotwise.services.core.seat_events import SeatEvents
from slotwise.services.desk.dashboard import Today
from slotwise.services.desk.day_sheets import DaySheets
from slotwise.services.desk.export import BookingExport
from slotwise.services.desk.history import BookingHistory
from slotwise.services.privacy.personal_data import Privacy
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.free_times import FreeTimes
from slotwise.services.schedule.slots import Slots
from slotwise.settings import Settings, load_settings, signing_secret
from slotwise.web.kit.errors import EXCEPTION_HANDLERS as ERROR_PAGES
from slotwise.web.kit.errors import recognize_visitor, show_framework_error
from slotwise.web.kit.pages import Pages
from slotwise.web.kit.times import ClinicTime
from slotwise.web.routes import PAGES
from slotwise.web.schedule.find import FindPages
from slotwise.worker.gauges import gauges
from slotwise.worker.housekeeping import housekeeping
from slotwise.worker.seat_relay import seat_relay

MAX_BODY_BYTES = 64 * 1024
# One connection for each queue of the booking path: a batch of confirms does not wait for a batch of holds.
WRITER_CONNECTIONS = 3
OPERATOR_CONNECTIONS = 2
# New objects before the youngest generation is collected, and collections of one before the next older is.
GARBAGE_THRESHOLDS = (50_000, 20, 50)
OPERATOR_STATEMENT_SECONDS = 3600.0
SERVICES = (
    "audit_log",
    "booking_export",
    "booking_history",
    "day_sheets",
    "booking_rate",
    "bookings",
    "calendars",
    "database",
    "doctors",
    "find_pages",
    "free_times",
    "held_times",
    "metrics_report",
    "my_bookings",
    "pages",
    "privacy",
    "schema_check",
    "seat_events",
    "slot_pages",
    "slots",
    "today",
    "users",
)


def create_app() -> ASGIApp:
    """What a worker process serves. Reads the environment."""
    settings = load_settings()
    configure_logs(settings.log_level, json_lines=settings.production)
    return Requests(build(settings), write_refusal, hsts=settings.production)


def build(settings: Settings) -> Litestar:
    """The API over the database that `settings` names, connected when it starts."""
    services: dict[str, object] = {}
    return Litestar(
        route_handlers=[
            AuthController,
            PrivacyController,
            DoctorController,
            SlotController,
            SeatEventController,
            BookingController,
            HealthController,
            ApiDocsController,
            Router("/", route_handlers=PAGES, exception_handlers=ERROR_PAGES),
        ],
        lifespan=[lambda app: _lifespan(app, settings, services)],
        dependencies={name: Provide(_one_of(services, name), sync_to_thread=False) for name in SERVICES},
        exception_handlers={**PROBLEMS, HTTPException: _answer_unmatched},
        after_exception=[recognize_visitor],
        openapi_config=OPENAPI,
        cors_config=_cors(settings),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        pdb_on_exception=False,
    )


@asynccontextmanager
async def _lifespan(app: Litestar, settings: Settings, services: dict[str, object]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        url = settings.database_url or stack.enter_context(embedded_server(settings)).url
        database = await Database.connect(url, settings.db_pool_size)
        stack.push_async_callback(database.close)
        writers = await Database.connect(url, WRITER_CONNECTIONS)
        stack.push_async_callback(writers.close)
        passwords = Passwords()
        stack.callback(passwords.close)
        services |= _services(settings, database, writers, passwords)
        app.state.update(services)
        stack.push_async_callback(app.state.bookings.drained)
        state = app.state
        await stack.enter_async_context(
            housekeeping(database, settings.sweep_seconds, state.crash_points, state.seat_events.seats_changed)
        )
        await stack.enter_async_context(seat_relay(url, state.seat_events))
        await stack.enter_async_context(gauges({"requests": database, "batches": writers}, settings.metrics_dir))
        # What was made so far lives as long as the process: the collector need not look at it with every request. And
        # it need not look so often: with thousands of requests waiting it would go through all they have, again and
        # again, for a quarter of the time.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        yield


def _services(settings: Settings, database: Database, writers: Database, passwords: Passwords) -> dict[str, object]:
    secret = signing_secret(settings)
    manage_tokens = ManageTokens(secret)
    seat_events = SeatEvents()
    slots = Slots(database, settings.time_zone, seat_events.seats_changed)
    pages = Pages(settings.clinic_name, ClinicTime(settings.time_zone), settings.public_origin)
    crash_points = CrashPoints(settings.crash_points_dir)
    batches = BookingBatches(writers, manage_tokens, settings.hold_seconds, crash_points, seat_events.seats_changed)
    bookings = Bookings(database, batches, settings.batch_limit)
    free_times = FreeTimes(database, settings.time_zone)
    return {
        "database": database,
        "audit_log": AuditLog(database),
        "booking_export": BookingExport(database),
        "booking_history": BookingHistory(database),
        "day_sheets": DaySheets(database),
        "booking_rate": BookingRate(settings.booking_rate),
        "bookings": bookings,
        "crash_points": crash_points,
        "doctors": Doctors(database, seat_events.seats_changed),
        "held_times": HeldTimes(bookings),
        "metrics_report": MetricsReport(settings.metrics_dir),
        "find_pages": FindPages(free_times, bookings, pages),
        "free_times": free_times,
        "pages": pages,
        "calendars": Calendars(database),
        "my_bookings": MyBookings(database),
        "privacy": Privacy(database, seat_events.seats_changed),
        "schema_check": SchemaCheck(),
        "seat_events": seat_events,
        "slot_pages": SlotPages(slots),
        "slots": slots,
        "today": Today(database),
        "users": Users(database, passwords, AccessTokens(secret, settings.token_seconds)),
    }


def _answer_unmatched(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What no route takes: a page for whoever looks with a browser, problem details for all others."""
    reads_pages = "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/")
    return show_framework_error(request, error) if reads_pages else PROBLEMS[HTTPException](request, error)


def _one_of(services: Mapping[str, object], name: str) -> Callable[[], object]:
    def provide() -> object:
        return services[name]

    return provide


def _cors(settings: Settings) -> CORSConfig | None:
    """Off unless origins are named. Credentials are headers here, never cookies, so none need be allowed."""
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    if not origins:
        return None
    headers = ["Authorization", "Booking-Token", "Content-Type", "Idempotency-Key", "X-Request-ID"]
    return CORSConfig(
        allow_origins=origins, allow_headers=headers, expose_headers=["X-Request-ID", "ETag", "Location", "Retry-After"]
    )


def embedded_server(settings: Settings, report: Callable[[str], None] | None = None) -> EmbeddedServer:
    """The PostgreSQL that Slotwise brings along, running for as long as somebody is inside its context.

    `report` is told what is waited for; the log is, where it is not given.
    """
    return EmbeddedServer(settings.data_dir, settings.postgres_bin, report)


@asynccontextmanager
async def operator_database(settings: Settings, report: Callable[[str], None]) -> AsyncIterator[Database]:
    """A checked and migrated database for a command; `report` is told while it waits for the server."""
    async with AsyncExitStack() as stack:
        url = settings.database_url or stack.enter_context(embedded_server(settings, report)).url
        await wait_for_server(url, settings.database_wait_seconds, report)
        for name in await migrate(url, report):
            report(f"Applied migration {name}")
        database = await Database.connect(url, OPERATOR_CONNECTIONS, statement_seconds=OPERATOR_STATEMENT_SECONDS)
        stack.push_async_callback(database.close)
        yield database


def operator_users(database: Database) -> Users:
    """Accounts as a command sees them: it gives out no tokens."""
    return Users(database, Passwords(), AccessTokens(secrets.token_urlsafe(), 60))
