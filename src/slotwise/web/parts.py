"""The parts that handlers of pages get, by the names of their parameters."""

from collections.abc import Callable

from slotwise.web.kit.rendering import RenderingParts
from slotwise.web.schedule.free_times import FindPages


class PageRooms(RenderingParts, frozen=True):
    """All parts of the pages, with those of a single room."""

    find_pages: FindPages


def dependencies(web: Callable[[], PageRooms]) -> dict[str, Callable[[], object]]:
    return {
        "audit_log": lambda: web().services.audit_log,
        "booking_export": lambda: web().services.booking_export,
        "booking_history": lambda: web().services.booking_history,
        "booking_rate": lambda: web().booking_rate,
        "bookings": lambda: web().services.bookings,
        "calendars": lambda: web().services.calendars,
        "clinic_changes": lambda: web().services.clinic_changes,
        "clinics": lambda: web().services.clinics,
        "dashboard": lambda: web().services.dashboard,
        "day_sheets": lambda: web().services.day_sheets,
        "doctors": lambda: web().services.doctors,
        "explanations": lambda: web().services.explanations,
        "find_pages": lambda: web().find_pages,
        "free_times": lambda: web().services.free_times,
        "my_bookings": lambda: web().services.my_bookings,
        "offered_times": lambda: web().services.offered_times,
        "overbookings": lambda: web().services.overbookings,
        "page_holds": lambda: web().services.page_holds,
        "personal_data": lambda: web().services.personal_data,
        "renderer": lambda: web().renderer,
        "schedules": lambda: web().services.schedules,
        "setting_up": lambda: web().services.setting_up,
        "slots": lambda: web().services.slots,
        "visit_types": lambda: web().services.visit_types,
        "users": lambda: web().services.users,
    }
