"""The query of the page for finding a time: read from its URL, and the one URL of each query."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID, clean_name
from slotwise.services.schedule.found_times import TimeQuery
from slotwise.services.schedule.slot_lists import Position
from slotwise.web.kit.time_filters import ANY_VISIT

MOST_SEATS = 20
_ID = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SEATS = re.compile(r"[1-9][0-9]?", re.ASCII)
_AFTER = re.compile(r"([0-9]{8}T[0-9]{6}(?:\.[0-9]{6})?Z)-([0-9]{1,19})", re.ASCII)


class FindQuery(Struct, frozen=True):
    """What the URL asks for; `unread` if a part of the URL could not be read."""

    times: TimeQuery
    unread: bool


EMPTY_QUERY = FindQuery(TimeQuery(), unread=False)


def find_query_in(query: Mapping[str, str]) -> FindQuery:
    """Never fails: an old or broken link still finds times."""
    given = {name: value for name, value in query.items() if value.strip()}
    read = TimeQuery(
        specialization=_read_name(given.get("speciality", "")),
        doctor_id=_read_id(given.get("doctor", "")),
        day=_read_day(given.get("day", "")),
        seats=_read_seats(given.get("seats", "")) or 1,
        after=_read_position(given.get("after", "")),
        clinic_id=_read_id(given.get("clinic", "")),
        visit_type_id=_read_id(given.get("visit", "")),
        any_visit=given.get("visit", "").strip() == ANY_VISIT,
    )
    unread = (
        ("speciality" in given and read.specialization is None)
        or ("clinic" in given and read.clinic_id is None)
        or ("doctor" in given and read.doctor_id is None)
        or ("visit" in given and read.visit_type_id is None and not read.any_visit)
        or ("day" in given and read.day is None)
        or ("seats" in given and _read_seats(given["seats"]) is None)
    )
    return FindQuery(read, unread)


def url_of(query: TimeQuery, path: str = "/") -> str:
    """The URL that people share and bookmark: the same for the same query, and as short as possible."""
    parameters = {
        "clinic": query.clinic_id,
        "visit": ANY_VISIT if query.any_visit else query.visit_type_id,
        "speciality": query.specialization,
        "doctor": query.doctor_id,
        "day": query.day,
        "seats": query.seats if query.seats > 1 else None,
        "after": None if query.after is None else _position_words(query.after),
    }
    given = {name: str(value) for name, value in parameters.items() if value is not None}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def is_url_of(query: TimeQuery, text: str) -> bool:
    """Compares the decoded fields, so characters may be escaped or not."""
    return parse_qsl(text, keep_blank_values=True) == parse_qsl(urlsplit(url_of(query)).query)


def on(query: TimeQuery, day: date) -> TimeQuery:
    return replace(query, day=day, after=None)


def _read_name(text: str) -> str | None:
    try:
        return clean_name("speciality", text)
    except InvalidInput:
        return None


def _read_id(text: str) -> int | None:
    number = int(text) if _ID.fullmatch(text) else None
    return number if number is not None and number <= MAX_ID else None


def _read_seats(text: str) -> int | None:
    seats = int(text) if _SEATS.fullmatch(text) else None
    return seats if seats is not None and seats <= MOST_SEATS else None


def _read_day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        return None


def _read_position(text: str) -> Position | None:
    parts = _AFTER.fullmatch(text)
    try:
        position = (datetime.fromisoformat(parts[1]), int(parts[2])) if parts else None
    except ValueError:
        return None
    return position if position is not None and _can_be(position) else None


def _can_be(position: Position) -> bool:
    """All slots start within these times. Near the ends of the calendar some zones cannot show a time."""
    start, slot_id = position
    return FIRST_TIME <= start < LAST_READABLE_TIME and slot_id <= MAX_ID


def _position_words(position: Position) -> str:
    start = position[0].astimezone(UTC)
    fraction = ".%f" if start.microsecond else ""
    return f"{start.strftime(f'%Y%m%dT%H%M%S{fraction}Z')}-{position[1]}"
