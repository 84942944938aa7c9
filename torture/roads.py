"""All roads into Slotwise: the operations of the OpenAPI document and the forms of the pages. The load uses each road,
or `LEFT_OUT` says why not. tests/torture/test_roads.py compares both lists with the program."""

from typing import NamedTuple


class Road(NamedTuple):
    """`name` is the operation's id, or the method and path of a form."""

    name: str
    method: str
    path: str


def _form(path: str) -> Road:
    return Road(f"POST {path}", "POST", path)


HOLD_SEATS = Road("hold_seats", "POST", "/api/bookings")
CONFIRM_BOOKING = Road("confirm_booking", "POST", "/api/bookings/{booking_id}/confirm")
CANCEL_BOOKING = Road("cancel_booking", "DELETE", "/api/bookings/{booking_id}")
GET_BOOKING = Road("get_booking", "GET", "/api/bookings/{booking_id}")
LIST_BOOKINGS = Road("list_bookings", "GET", "/api/bookings")
LIST_BOOKINGS_OF_SLOT = Road("list_bookings_of_slot", "GET", "/api/bookings/slot/{slot_id}")
LIST_BOOKINGS_OF_USER = Road("list_bookings_of_user", "GET", "/api/bookings/my-bookings")
LIST_SLOTS = Road("list_slots", "GET", "/api/slots")
LIST_TIMES = Road("list_times", "GET", "/api/times")
GET_SLOT = Road("get_slot", "GET", "/api/slots/{slot_id}")
UPDATE_SLOT = Road("update_slot", "PATCH", "/api/slots/{slot_id}")
OVERBOOK_SEATS = Road("overbook_seats", "POST", "/api/slots/{slot_id}/overbookings")
CREATE_SLOT = Road("create_slot", "POST", "/api/slots")
CREATE_SLOTS = Road("create_slots", "POST", "/api/slots/batch")
CREATE_DOCTOR = Road("create_doctor", "POST", "/api/doctors")
UPDATE_DOCTOR = Road("update_doctor", "PATCH", "/api/doctors/{doctor_id}")
LIST_DOCTORS = Road("list_doctors", "GET", "/api/doctors")
GET_DOCTOR = Road("get_doctor", "GET", "/api/doctors/{doctor_id}")
LIST_RULES = Road("list_rules", "GET", "/api/doctors/{doctor_id}/rules")
LIST_CLOSURES = Road("list_closures", "GET", "/api/closures")
PREVIEW_SCHEDULE = Road("preview_schedule", "POST", "/api/schedule/preview")
APPLY_SCHEDULE = Road("apply_schedule", "POST", "/api/schedule/apply")
UPDATE_VISIT_TYPE = Road("update_visit_type", "PATCH", "/api/visit-types/{visit_type_id}")
GET_ACCOUNT = Road("get_account", "GET", "/api/auth/me")
GET_HEALTH = Road("get_health", "GET", "/health")
GET_READINESS = Road("get_readiness", "GET", "/health/ready")
GET_METRICS = Road("get_metrics", "GET", "/metrics")

HOLD_FORM = _form("/hold")
CONFIRM_FORM = _form("/bookings/{booking_id}/confirm")
SEATS_FORM = _form("/bookings/{booking_id}/seats")
RELEASE_FORM = _form("/bookings/{booking_id}/release")
CANCEL_FORM = _form("/bookings/{booking_id}/cancel")
DESK_BOOKING_FORM = _form("/admin/bookings/new")
DESK_CONFIRM_FORM = _form("/admin/bookings/{booking_id}/confirm")
DESK_CANCEL_FORM = _form("/admin/bookings/{booking_id}/cancel")
SLOT_FORM = _form("/admin/slots/{slot_id}")
OVERBOOKING_FORM = _form("/admin/slots/{slot_id}/overbook")
NEW_SLOT_FORM = _form("/admin/doctors/{doctor_id}/slots/one")
NEW_SLOTS_FORM = _form("/admin/doctors/{doctor_id}/slots/new")
NEW_DOCTOR_FORM = _form("/admin/doctors")
DOCTOR_FORM = _form("/admin/doctors/{doctor_id}/edit")
ACTIVE_DOCTOR_FORM = _form("/admin/doctors/{doctor_id}/active")
HOURS_FORM = _form("/admin/doctors/{doctor_id}/hours/{rule_id}")
SCHEDULE_FORM = _form("/admin/schedule")
# A page that is only read: the free times for patients.
FIND_PAGE = Road("GET /", "GET", "/")

DRIVEN = (
    HOLD_SEATS, CONFIRM_BOOKING, CANCEL_BOOKING, GET_BOOKING, LIST_BOOKINGS, LIST_BOOKINGS_OF_SLOT,
    LIST_BOOKINGS_OF_USER, LIST_SLOTS, LIST_TIMES, GET_SLOT, UPDATE_SLOT, OVERBOOK_SEATS, CREATE_SLOT, CREATE_SLOTS,
    CREATE_DOCTOR, UPDATE_DOCTOR, LIST_DOCTORS, GET_DOCTOR, GET_ACCOUNT, GET_HEALTH, GET_READINESS, GET_METRICS,
    LIST_RULES, LIST_CLOSURES, PREVIEW_SCHEDULE, APPLY_SCHEDULE, UPDATE_VISIT_TYPE,
    HOLD_FORM, CONFIRM_FORM, SEATS_FORM, RELEASE_FORM, CANCEL_FORM, DESK_BOOKING_FORM, DESK_CONFIRM_FORM,
    DESK_CANCEL_FORM, SLOT_FORM, OVERBOOKING_FORM, NEW_SLOT_FORM, NEW_SLOTS_FORM, NEW_DOCTOR_FORM, DOCTOR_FORM,
    ACTIVE_DOCTOR_FORM, HOURS_FORM, SCHEDULE_FORM,
)  # fmt: skip
# The roads to a time in open time.
CARVING = (HOLD_SEATS, HOLD_FORM, DESK_BOOKING_FORM)

_BEFORE_THE_LOAD = "every run uses it once for each account, before its load begins"
_NO_SEAT = "it changes no slot and no booking"
_PREVIEW = "it only shows what a change would do"
LEFT_OUT = {
    "explain_times": "it only reads; what it says is left is compared with list_times in tests/services",
    "register": _BEFORE_THE_LOAD,
    "log_in": _BEFORE_THE_LOAD,
    "log_out": "it would end the sessions that the load needs; no seat depends on it",
    "change_password": "it would end the sessions that the load needs; no seat depends on it",
    "erase_personal_data": "it erases the names by which the verdict knows bookings; tests/services has it",
    "export_personal_data": "it answers with a whole account, and what it reads is read by list_bookings_of_user",
    "create_clinic": _NO_SEAT,
    "update_clinic": _NO_SEAT,
    "list_clinics": _NO_SEAT,
    "get_clinic": _NO_SEAT,
    "create_visit_type": _NO_SEAT,
    "list_visit_types": _NO_SEAT,
    "get_visit_type": _NO_SEAT,
    "watch_seats": "it is a stream without an end; tests/http has it",
    "POST /log-in": "the operation log_in does the same; it changes no slot and no booking",
    "POST /register": "the operation register does the same; it changes no slot and no booking",
    "POST /log-out": "the operation log_out does the same, and is left out too",
    "POST /account/password": "the operation change_password does the same, and is left out too",
    "POST /account/delete": "the operation erase_personal_data does the same, and is left out too",
    "POST /admin/closures/new": _PREVIEW,
    "POST /admin/closures/public": _PREVIEW,
    "POST /admin/closures/{closure_id}/patients": _NO_SEAT,
    "POST /admin/closures/{closure_id}": _PREVIEW,
    "POST /admin/doctors/{doctor_id}/hours/new": _PREVIEW,
    "POST /admin/visit-types/new": _NO_SEAT,
    "POST /admin/visit-types/{visit_type_id}": "the operation update_visit_type does the same",
    "POST /admin/clinics/new": _NO_SEAT,
    "POST /admin/clinics/{clinic_id}": _NO_SEAT,
    "POST /admin/clinics/{clinic_id}/active": _NO_SEAT,
    "POST /admin/doctors/{doctor_id}/clinics": _NO_SEAT,
    "POST /admin/users/{user_id}/clinics": _NO_SEAT,
    "POST /admin/users/new": _NO_SEAT,
    "POST /admin/users/{user_id}/rights": _NO_SEAT,
    "POST /admin/users/{user_id}/password": _NO_SEAT,
}
