"""The parts that handlers of pages get, by the names of their parameters."""

from collections.abc import Callable

from litestar.di import Provide

from slotwise.web.kit.rendering import RenderingParts
from slotwise.web.schedule.free_times import FindPages


class PageRooms(RenderingParts, frozen=True):
    """All parts of the pages, with those of a single room."""

    find_pages: FindPages


def dependencies(web: Callable[[], PageRooms]) -> dict[str, Provide]:
    return {
        "audit_log": _provide(lambda: web().services.audit_log),
        "booking_export": _provide(lambda: web().services.booking_export),
        "booking_history": _provide(lambda: web().services.booking_history),
        "booking_rate": _provide(lambda: web().booking_rate),
        "bookings": _provide(lambda: web().services.bookings),
        "calendars": _provide(lambda: web().services.calendars),
        "dashboard": _provide(lambda: web().services.dashboard),
        "day_sheets": _provide(lambda: web().services.day_sheets),
        "doctors": _provide(lambda: web().services.doctors),
        "find_pages": _provide(lambda: web().find_pages),
        "free_times": _provide(lambda: web().services.free_times),
        "my_bookings": _provide(lambda: web().services.my_bookings),
        "page_holds": _provide(lambda: web().services.page_holds),
        "personal_data": _provide(lambda: web().services.personal_data),
        "renderer": _provide(lambda: web().renderer),
        "slots": _provide(lambda: web().services.slots),
        "users": _provide(lambda: web().services.users),
    }


def _provide(part: Callable[[], object]) -> Provide:
    def provide() -> object:
        return part()

    return Provide(provide, sync_to_thread=False)
