"""The parts of the application that all rooms of the pages need."""

from typing import Any, Protocol, cast

from litestar.connection import ASGIConnection
from msgspec import Struct

from slotwise.services import Services
from slotwise.services.core.rate_limits import BookingRate
from slotwise.services.core.seals import Seals


class PageParts(Struct, frozen=True):
    """`origin` is the public URL of the pages, if the settings have one."""

    services: Services
    booking_rate: BookingRate
    origin: str | None
    seals: Seals


class Application(Protocol):
    @property
    def web(self) -> PageParts: ...


def page_parts(connection: ASGIConnection[Any, Any, Any, Any]) -> PageParts:
    """The parts of the application that serves this request."""
    return cast("Application", connection.app).web
