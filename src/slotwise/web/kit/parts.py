"""What guards and rooms of the pages need of the application."""

from typing import Any, Protocol, cast

from litestar.connection import ASGIConnection
from msgspec import Struct

from slotwise.services import Services
from slotwise.services.core.rate_limits import BookingRate


class PageParts(Struct, frozen=True):
    """Beside the use cases: the rate limit of bookings, and where the pages are, if that is set."""

    services: Services
    booking_rate: BookingRate
    origin: str | None


class Application(Protocol):
    @property
    def web(self) -> PageParts: ...


def page_parts(connection: ASGIConnection[Any, Any, Any, Any]) -> PageParts:
    """Those of the application that serves this request."""
    return cast("Application", connection.app).web
