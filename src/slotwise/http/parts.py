"""What the API's handlers are given, by the names of their parameters."""

from collections.abc import Callable

from litestar.di import Provide

from slotwise.http.kit.parts import ApiParts
from slotwise.http.schedule.slots import SlotLists


class ApiRooms(ApiParts, frozen=True):
    """With what a room has for itself."""

    slot_lists: SlotLists


def dependencies(api: Callable[[], ApiRooms]) -> dict[str, Provide]:
    return {
        "bookings": _provide(lambda: api().services.bookings),
        "database": _provide(lambda: api().database),
        "doctors": _provide(lambda: api().services.doctors),
        "metrics_report": _provide(lambda: api().metrics_report),
        "personal_data": _provide(lambda: api().services.personal_data),
        "schema_check": _provide(lambda: api().schema_check),
        "seat_events": _provide(lambda: api().services.seat_events),
        "slot_lists": _provide(lambda: api().slot_lists),
        "slots": _provide(lambda: api().services.slots),
        "users": _provide(lambda: api().services.users),
    }


def _provide(part: Callable[[], object]) -> Provide:
    def provide() -> object:
        return part()

    return Provide(provide, sync_to_thread=False)
