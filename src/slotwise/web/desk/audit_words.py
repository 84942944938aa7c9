"""An entry of the audit log in words: what was done, and which values were changed from what to what."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import msgspec

from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.services.core.audit import AuditEntry
from slotwise.web.kit.times import ClinicTime

# Each action of the log in words.
ACTIONS = {
    "apply_schedule": "Changed a schedule",
    "cancel_booking": "Cancelled a booking or released a hold",
    "change_doctor_clinics": "Changed where a doctor works",
    "change_rights": "Changed the rights of an account",
    "change_user_clinics": "Changed which clinics an account works for",
    "confirm_booking": "Confirmed a booking",
    "create_clinic": "Added a clinic",
    "create_doctor": "Added a doctor",
    "create_slot": "Added a slot",
    "create_slots": "Added many slots",
    "create_user": "Added an account",
    "create_visit_type": "Added a visit type",
    "erase_personal_data": "Erased personal data",
    "export_bookings": "Downloaded bookings",
    "export_personal_data": "Downloaded a person's data",
    "get_booking": "Looked at a booking",
    "get_managed_booking": "Looked at a booking by its link",
    "get_slip": "Looked at a patient's slip",
    "get_user": "Looked at an account",
    "hold_seats": "Booked or held a slot",
    "import_bookings": "Imported bookings from a file",
    "import_doctors": "Imported doctors from a file",
    "import_timetables": "Imported times from a file",
    "list_affected_bookings": "Looked at the bookings that a change affects",
    "list_audit": "Read this log",
    "list_bookings": "Looked through bookings",
    "list_bookings_of_day": "Looked at a day sheet",
    "list_bookings_of_slot": "Looked at the bookings of a slot",
    "list_cancelled_bookings": "Looked at appointments that the clinic cancelled",
    "list_bookings_of_user": "Looked at the bookings of an account",
    "list_latest_bookings": "Looked at the latest bookings",
    "get_history": "Looked at the history of a booking",
    "list_patients_to_tell": "Looked at the patients to tell of a holiday or an absence",
    "list_users": "Looked through accounts",
    "note_patients_told": "Told the patient what the clinic changed",
    "note_patients_wish": "Noted that the patient asked for it",
    "overbook_seats": "Overbooked a slot",
    "preview_schedule": "Looked at what a change of a schedule would do",
    "reset_password": "Set a new password",
    "take_over_slot": "Gave a slot to another doctor",
    "take_over_slots": "Gave the times of an absence to a colleague",
    "update_clinic": "Changed a clinic",
    "update_doctor": "Changed a doctor",
    "update_slot": "Changed a slot",
    "update_visit_type": "Changed a visit type",
    "write_evening_list": "Wrote the list of a day to a file",
}
# Actions whose details are pairs of an old and a new value.
_CHANGES = {
    "cancel_booking",
    "change_rights",
    "confirm_booking",
    "take_over_slot",
    "take_over_slots",
    "update_clinic",
    "update_doctor",
    "update_slot",
    "update_visit_type",
}
# Without details nothing was changed: the booking already was in that status, and was only shown.
_LOOKS = {
    "cancel_booking": "Looked at a cancelled booking or a released hold",
    "confirm_booking": "Looked at a confirmed booking",
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)")
_NAMES = {
    "added_seats": "people added",
    "ends_after": "from",
    "seats": "people",
    "specialization": "specialty",
    "starts_before": "before",
    "starts_from": "from",
    "text": "searched for a text:",
}
# Texts that a person typed keep their spelling.
_OWN_SPELLING = {
    "address", "directions", "doctor", "email", "name", "opening_note", "specialization", "telephone", "time_zone",
}  # fmt: skip
_VALUES = {"PENDING": "on hold"}
_PLAIN = {None: "none", True: "yes", False: "no"}
# Fields with two states, by kind, field and new value.
_TURNS = {
    ("slot", "status", "OPEN"): "opened for booking again",
    ("slot", "status", "CLOSED"): "closed for booking",
    ("clinic", "active", True): "takes appointments again",
    ("clinic", "active", False): "takes no appointments",
    ("clinic", "evening_list", True): "gets its list each evening",
    ("clinic", "evening_list", False): "gets no list in the evening",
    ("doctor", "active", True): "takes appointments again",
    ("doctor", "active", False): "takes no new appointments",
    ("user", "active", True): "reactivated",
    ("user", "active", False): "deactivated",
}


# A hold that is given up is CANCELLED in the tables, and released in words.
_RELEASE = ("PENDING", "CANCELLED")


def action_words(entry: AuditEntry) -> str:
    if entry.action in _LOOKS and entry.details == "{}":
        return _LOOKS[entry.action]
    if entry.action == "cancel_booking":
        released = tuple(_details_of(entry).get("status", ())) == _RELEASE
        return "Released a hold" if released else "Cancelled a booking"
    return ACTIONS.get(entry.action) or entry.action.replace("_", " ").capitalize()


def details_words(entry: AuditEntry, time: ClinicTime) -> str:
    """`seats from 4 to 6, closed for booking`; `bookings 12`."""
    return ", ".join(_detail_words(entry, name, value, time) for name, value in _details_of(entry).items())


def _details_of(entry: AuditEntry) -> dict[str, Any]:
    details: dict[str, Any] = msgspec.json.decode(entry.details)
    return details


def _detail_words(entry: AuditEntry, name: str, value: Any, time: ClinicTime) -> str:
    match value:
        case [was, now] if entry.action in _CHANGES:
            return _change_words(entry.subject.partition(":")[0], name, was, now, time)
        case True if name == "reason":
            return "with a reason"
        case [*types] if name == "visit_types":
            return ", ".join(_length_words(each, time) for each in types)
        case _:
            return f"{_NAMES.get(name, name.replace('_', ' '))} {_value_words(value, time)}".strip()


def _length_words(lengths: Mapping[str, Any], time: ClinicTime) -> str:
    pairs = ((name, pair) for name, pair in lengths.items() if name != "id")
    told = (_change_words("visit_type", name, was, now, time) for name, (was, now) in pairs)
    return f"visit type {lengths['id']}: {' and '.join(told)}"


def move_words(details: str, time: ClinicTime) -> str | None:
    """How a booking's history tells a move with these details; None if they do not have the times."""
    changed: Mapping[str, object] = msgspec.json.decode(details)
    told = list(_moved(changed, time))
    return f"The appointment {' and '.join(told)}" if told else None


def _moved(changed: Mapping[str, object], time: ClinicTime) -> Iterator[str]:
    match changed.get("doctor"):
        case [was, now]:
            yield f"went from {was} to {now}"
    match changed.get("start_time"):
        case [was, now]:
            yield f"was {_change_words('slot', 'start_time', was, now, time)}"
    match changed.get("duration_minutes"):
        case [was, now]:
            yield _change_words("slot", "duration_minutes", was, now, time)


def _change_words(kind: str, name: str, was: object, now: object, time: ClinicTime) -> str:
    if isinstance(now, str | bool) and (kind, name, now) in _TURNS:
        return _TURNS[kind, name, now]
    if name in _OWN_SPELLING:
        return f"{_NAMES.get(name, name)} from {was or 'none'} to {now or 'none'}"
    if (was, now) == _RELEASE:
        now = "released"
    told = f"from {_value_words(was, time)} to {_value_words(now, time)}"
    match name:
        case "start_time":
            return f"moved {told}"
        case "duration_minutes":
            return f"lasts {now} minutes instead of {was}"
        case "total_seats":
            return f"seats {told}"
        case _:
            return f"{_NAMES.get(name, name.replace('_', ' '))} {told}"


def _value_words(value: object, time: ClinicTime) -> str:
    match value:
        case None | True | False:
            return _PLAIN[value]
        case [*values]:
            return " ".join(map(str, values))
        case str() if (moment := _moment(value)) is not None:
            return time.short_moment(moment)
        case str() if value in _VALUES:
            return _VALUES[value]
        case _:
            return str(value).lower()


def _moment(text: str) -> datetime | None:
    """None for a time that some zone cannot show: an old entry must not break the page."""
    if _TIME.fullmatch(text) is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if FIRST_TIME <= moment < LAST_READABLE_TIME else None
