"""What the API is made of, for its rooms and guards."""

from typing import Protocol, cast

from litestar.types import Scope
from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.schema import SchemaCheck
from slotwise.db.time_zones import ZoneCheck
from slotwise.observability.crash_points import CrashPoints
from slotwise.observability.metrics_report import MetricsReport
from slotwise.services import Services
from slotwise.services.core.rate_limits import BookingRate


class ApiParts(Struct, frozen=True):
    """Beside the use cases: what health and metrics are read from, the rate limit of bookings, and crash points."""

    services: Services
    database: Database
    schema_check: SchemaCheck
    zone_check: ZoneCheck
    metrics_report: MetricsReport
    booking_rate: BookingRate
    crash_points: CrashPoints


class Application(Protocol):
    @property
    def api(self) -> ApiParts: ...


def api_parts(scope: Scope) -> ApiParts:
    """The parts of the application that serves this request."""
    return cast("Application", scope["litestar_app"]).api
