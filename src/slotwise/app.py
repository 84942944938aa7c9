"""The composition root: builds every part from the settings and connects them. Only this module knows all others."""

import gc
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, NamedTuple, cast

from litestar import Litestar, Request, Response, Router
from litestar.config.cors import CORSConfig
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.plugins import PluginProtocol
from litestar.plugins.core import MsgspecDIPlugin
from litestar.types import ASGIApp, Scope
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from slotwise.db.embedded import EmbeddedServer
from slotwise.db.pool import Database
from slotwise.db.schema import SchemaCheck
from slotwise.db.time_zones import ZoneCheck
from slotwise.domain.errors import SlotwiseError
from slotwise.http.kit.cross_origin import cors_of, fault_of_preflight
from slotwise.http.kit.problems import EXCEPTION_HANDLERS as PROBLEMS
from slotwise.http.kit.problems import write_refusal as write_problem
from slotwise.http.kit.schemas import StructSchemas
from slotwise.http.parts import ApiRooms
from slotwise.http.parts import dependencies as api_dependencies
from slotwise.http.routes import API
from slotwise.http.schedule.doctors import DoctorLists
from slotwise.http.schedule.slots import SlotLists
from slotwise.http.schedule.times import TimeLists
from slotwise.observability.crash_points import CrashPoints
from slotwise.observability.logs import configure_logs
from slotwise.observability.metrics_report import MetricsReport
from slotwise.observability.request_meters import REQUEST_METERS
from slotwise.server.direct import DirectRoutes, declared_in
from slotwise.server.refusals import WriteRefusal, Written
from slotwise.server.requests import Requests
from slotwise.services import Services
from slotwise.services.accounts.passwords import Passwords
from slotwise.services.accounts.tokens import AccessTokens
from slotwise.services.accounts.users import Users
from slotwise.services.booking.batches import BookingBatches
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.calendars import Calendars
from slotwise.services.booking.clinic_changes import ClinicChanges
from slotwise.services.booking.my_bookings import MyBookings
from slotwise.services.booking.offered_times import OfferedTimes
from slotwise.services.booking.overbookings import Overbookings
from slotwise.services.booking.page_holds import PageHolds
from slotwise.services.booking.queues import BookingQueues
from slotwise.services.core.audit import AuditLog
from slotwise.services.core.clinics import ClinicDirectory
from slotwise.services.core.manage_tokens import ManageTokens
from slotwise.services.core.rate_limits import BookingRate
from slotwise.services.core.seals import Seals
from slotwise.services.core.seat_events import SeatEvents, SeatsChanged
from slotwise.services.core.time_ids import TimeIds
from slotwise.services.desk.dashboard import Dashboard
from slotwise.services.desk.day_sheets import DaySheets
from slotwise.services.desk.evening_lists import Evening, EveningLists
from slotwise.services.desk.export import BookingExport
from slotwise.services.desk.history import BookingHistory
from slotwise.services.desk.list_folder import ListFolder
from slotwise.services.desk.set_up import SettingUp
from slotwise.services.privacy.personal_data import PersonalData
from slotwise.services.schedule.clinics import Clinics
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.explanations import Explanations
from slotwise.services.schedule.free_times import FreeTimes
from slotwise.services.schedule.publishing import Publisher
from slotwise.services.schedule.schedules import Schedules
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.times import Times
from slotwise.services.schedule.visit_types import VisitTypes
from slotwise.settings import Settings, load_settings, signing_secret
from slotwise.web.desk.evening_lists import PrintedLists
from slotwise.web.kit.errors import EXCEPTION_HANDLERS as ERROR_PAGES
from slotwise.web.kit.errors import recognize_visitor, show_framework_error
from slotwise.web.kit.errors import write_refusal as write_page
from slotwise.web.kit.rendering import Renderer
from slotwise.web.parts import PageRooms
from slotwise.web.parts import dependencies as page_dependencies
from slotwise.web.routes import PAGE_CONTROLLERS
from slotwise.web.schedule.free_times import FindPages
from slotwise.worker.clinics import refreshing
from slotwise.worker.evening_lists import writing_lists
from slotwise.worker.gauges import gauges
from slotwise.worker.housekeeping import housekeeping
from slotwise.worker.seat_relay import seat_relay

MAX_BODY_BYTES = 64 * 1024
# The four queues of patients share three: a worker rarely has a batch of each at a time.
PATIENTS_CONNECTIONS = 3
# The desk's three queues share two: a worker rarely has more than one change of the desk at a time.
DESK_CONNECTIONS = 2
# Searches of times hold at most half of the connections for requests, so that log-ins and the rest always get one.
SEARCHES_SHARE = 2
# After how many new objects the youngest generation is collected, and after how many collections the next older one.
GARBAGE_THRESHOLDS = (50_000, 20, 50)


class Application(Litestar):
    """`api` and `web` are set once it has started."""

    api: ApiRooms
    web: PageRooms
    direct: DirectRoutes

    @staticmethod
    def _get_default_plugins(plugins: list[PluginProtocol]) -> list[PluginProtocol]:
        """Those for msgspec alone. The framework adds those for pydantic if it is installed, as development tools do.

        Its import is a fifth of a worker's start, and no route takes a model of pydantic.
        """
        return [*plugins, MsgspecDIPlugin()]


def create_app() -> ASGIApp:
    """What a worker process serves. Reads the environment."""
    settings = load_settings()
    log_request, _ = configure_logs(settings.log_level, json_lines=settings.production)
    application = build(settings)
    refusals = _readable_refusals(application.cors_config)
    proxies = (
        ProxyHeadersMiddleware(cast("Any", application), settings.trusted_proxies) if settings.trusted_proxies else None
    )
    direct = lambda: application.direct  # noqa: E731
    fault_of = partial(fault_of_preflight, application.cors_config)
    return Requests(application, refusals, log_request, direct, proxies, fault_of, hsts=settings.production)


def build(settings: Settings) -> Application:
    """The API and the pages over the database that `settings` names, connected when the application starts."""
    application = Application(
        route_handlers=[
            Router("/", route_handlers=API, dependencies=_provided(api_dependencies(lambda: application.api))),
            Router(
                "/",
                route_handlers=PAGE_CONTROLLERS,
                dependencies=_provided(page_dependencies(lambda: application.web)),
                exception_handlers=ERROR_PAGES,
            ),
        ],
        lifespan=[lambda _: _lifespan(application, settings)],
        exception_handlers={**PROBLEMS, HTTPException: _answer_unmatched},
        after_exception=[recognize_visitor],
        openapi_config=None,  # the one document is made and served by http/api_docs
        plugins=[StructSchemas()],
        cors_config=_cors(settings),
        request_max_body_size=MAX_BODY_BYTES,
        logging_config=None,
        pdb_on_exception=False,
    )
    return application


@asynccontextmanager
async def _lifespan(application: Application, settings: Settings) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        stack.callback(REQUEST_METERS.flush)
        url = settings.database_url or stack.enter_context(EmbeddedServer(settings.data_dir, settings.postgres_bin)).url
        pools = await _connect(stack, url, settings.db_pool_size)
        passwords = Passwords()
        stack.callback(passwords.close)
        crash_points = CrashPoints(settings.crash_points_dir)
        services = _services(settings, pools, passwords, crash_points)
        booking_rate = BookingRate(settings.booking_rate)
        renderer = Renderer(services.directory, settings.public_origin, settings.clinic_name)
        evening_lists = EveningLists(
            pools.requests,
            services.directory,
            PrintedLists(renderer),
            _evening(settings),
            settings.name_order,
            crash_points,
        )
        application.api = ApiRooms(
            services=services,
            database=pools.requests,
            schema_check=SchemaCheck(),
            zone_check=ZoneCheck(lambda: services.directory.zones),
            metrics_report=MetricsReport(settings.metrics_dir),
            booking_rate=booking_rate,
            crash_points=crash_points,
            doctor_lists=DoctorLists(services.doctors),
            evening_lists=evening_lists,
            slot_lists=SlotLists(services.slots),
            time_lists=TimeLists(services.times),
        )
        application.web = PageRooms(
            services=services,
            booking_rate=booking_rate,
            origin=settings.public_origin,
            seals=Seals(signing_secret(settings)),
            renderer=renderer,
            find_pages=FindPages(services.free_times, services.bookings, renderer),
        )
        application.direct = declared_in(application)
        stack.push_async_callback(services.bookings.drained)
        seats_changed = services.seat_events.seats_changed
        publisher = Publisher(pools.requests, settings.publish_days, seats_changed)
        await stack.enter_async_context(
            housekeeping(pools.requests, settings.sweep_seconds, crash_points, seats_changed, publisher)
        )
        await stack.enter_async_context(refreshing(services.directory))
        await stack.enter_async_context(writing_lists(evening_lists))
        await stack.enter_async_context(seat_relay(url, services.seat_events))
        await stack.enter_async_context(gauges(pools._asdict(), settings.metrics_dir))
        _freeze_what_stays()
        yield


def _evening(settings: Settings) -> Evening | None:
    path = settings.evening_list_path
    return Evening(ListFolder(path), settings.evening, settings.evening_list_keep_days) if path else None


class _Pools(NamedTuple):
    """The connections of one worker. Those for batches serve nothing else. `searches` are some of the requests'."""

    requests: Database
    batches: Database
    desk: Database
    searches: Database


async def _connect(stack: AsyncExitStack, url: str, size: int) -> _Pools:
    async def connected(connections: int) -> Database:
        pool = await Database.connect(url, connections)
        stack.push_async_callback(pool.close)
        return pool

    requests = await connected(size)
    batches, desk = await connected(PATIENTS_CONNECTIONS), await connected(DESK_CONNECTIONS)
    return _Pools(requests, batches, desk, searches=requests.share(max(1, size // SEARCHES_SHARE)))


def _freeze_what_stays() -> None:
    """Hide all objects made so far from the garbage collector: they live as long as the process.

    Also make the collector run less often. With thousands of requests waiting, it went through all their objects again
    and again, which took a quarter of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)
    gc.enable()  # a worker starts without


def _services(settings: Settings, pools: _Pools, passwords: Passwords, crash_points: CrashPoints) -> Services:
    database, searches = pools.requests, pools.searches
    directory = ClinicDirectory(database, settings.first_clinic)
    secret = signing_secret(settings)
    seat_events = SeatEvents(settings.seat_streams, settings.seat_streams_per_client)
    bookings = _bookings(settings, pools, ManageTokens(secret), crash_points, seat_events.seats_changed)
    times, offered_times = Times(searches, TimeIds(secret)), OfferedTimes(database, bookings, TimeIds(secret))
    return Services(
        audit_log=AuditLog(database),
        booking_export=BookingExport(database),
        booking_history=BookingHistory(database),
        bookings=bookings,
        calendars=Calendars(database),
        clinics=Clinics(database, directory.refresh),
        clinic_changes=ClinicChanges(database, settings.name_order),
        dashboard=Dashboard(database),
        directory=directory,
        day_sheets=DaySheets(database, settings.name_order),
        doctors=Doctors(database, seat_events.seats_changed, settings.name_order),
        explanations=Explanations(searches),
        free_times=FreeTimes(searches, directory, times, order=settings.name_order),
        my_bookings=MyBookings(database),
        offered_times=offered_times,
        overbookings=Overbookings(pools.desk, ManageTokens(secret), seat_events.seats_changed),
        page_holds=PageHolds(bookings, offered_times),
        personal_data=PersonalData(database, seat_events.seats_changed),
        schedules=Schedules(database, settings.publish_days, seat_events.seats_changed),
        seat_events=seat_events,
        setting_up=SettingUp(database),
        slots=Slots(database, directory, seat_events.seats_changed, settings.name_order, searches),
        times=times,
        users=Users(database, passwords, AccessTokens(secret, settings.token_seconds), directory.limits_of),
        visit_types=VisitTypes(database, seat_events.seats_changed),
    )


def _bookings(
    settings: Settings,
    pools: _Pools,
    manage_tokens: ManageTokens,
    crash_points: CrashPoints,
    seats_changed: SeatsChanged,
) -> Bookings:
    """With queues for patients and for the desk. The desk's changes are recorded in the audit log."""
    shared = (manage_tokens, settings.hold_seconds, crash_points, seats_changed)
    patients = BookingQueues(BookingBatches(pools.batches, *shared), settings.batch_limit)
    desk = BookingQueues(BookingBatches(pools.desk, *shared, noted=True), settings.batch_limit, "desk_")
    return Bookings(pools.requests, patients, desk)


def _provided(parts: Mapping[str, Callable[[], object]]) -> dict[str, Provide]:
    """For the framework, which reads what a provider returns from its annotation: a lambda has none."""

    def provider(part: Callable[[], object]) -> Provide:
        def provide() -> object:
            return part()

        return Provide(provide, sync_to_thread=False)

    return {name: provider(part) for name, part in parts.items()}


def write_refusal(error: SlotwiseError, scope: Scope) -> Written:
    """For the server: a page where the route's own errors are pages, problem details everywhere else."""
    route = scope.get("route_handler")
    is_page = route is not None and route.resolve_exception_handlers()[SlotwiseError] is ERROR_PAGES[SlotwiseError]
    return write_page(error, scope) if is_page else write_problem(error, scope)


def _answer_unmatched(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """Answer a request that no route takes: a page for browsers, problem details for all others."""
    reads_pages = "text/html" in request.headers.get("accept", "") and not request.scope["path"].startswith("/api/")
    return show_framework_error(request, error) if reads_pages else PROBLEMS[HTTPException](request, error)


def _cors(settings: Settings) -> CORSConfig | None:
    return cors_of([origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()])


def _readable_refusals(cors: CORSConfig | None) -> WriteRefusal:
    """Refusals by the server, which pages of named origins may read like the application's own."""

    def write(error: SlotwiseError, scope: Scope) -> Written:
        written = write_refusal(error, scope)
        origin = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"origin"), None)
        if cors is None or origin is None or not cors.is_origin_allowed(origin):
            return written
        allowed = {**cors.simple_headers, "Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        return written._replace(headers=[*written.headers, *allowed.items()])

    return write
