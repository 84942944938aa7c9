"""What the API's handlers are given, by the names of their parameters."""

from collections.abc import Callable

from slotwise.http.kit.parts import ApiParts
from slotwise.http.schedule.doctors import DoctorLists
from slotwise.http.schedule.slots import SlotLists
from slotwise.http.schedule.times import TimeLists
from slotwise.services.desk.evening_lists import EveningLists


class ApiRooms(ApiParts, frozen=True):
    """All parts of the API, with those of a single room."""

    doctor_lists: DoctorLists
    evening_lists: EveningLists
    slot_lists: SlotLists
    time_lists: TimeLists


def dependencies(api: Callable[[], ApiRooms]) -> dict[str, Callable[[], object]]:
    return {
        "bookings": lambda: api().services.bookings,
        "clinics": lambda: api().services.clinics,
        "database": lambda: api().database,
        "doctors": lambda: api().services.doctors,
        "evening_lists": lambda: api().evening_lists,
        "explanations": lambda: api().services.explanations,
        "metrics_report": lambda: api().metrics_report,
        "overbookings": lambda: api().services.overbookings,
        "personal_data": lambda: api().services.personal_data,
        "schema_check": lambda: api().schema_check,
        "schedules": lambda: api().services.schedules,
        "seat_events": lambda: api().services.seat_events,
        "slot_lists": lambda: api().slot_lists,
        "slots": lambda: api().services.slots,
        "visit_types": lambda: api().services.visit_types,
        "users": lambda: api().services.users,
        "zone_check": lambda: api().zone_check,
    }
