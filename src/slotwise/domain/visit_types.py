"""Visit types: the kinds of visits that patients choose from, and the rules of each."""

import re
from datetime import datetime
from enum import StrEnum

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict, replace

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.fields import clean_name
from slotwise.domain.slots import MAX_DURATION_MINUTES
from slotwise.domain.url_hosts import is_host

MAX_BUFFER_MINUTES = 240
MAX_RULE_MINUTES = 525_600  # a year
MAX_HORIZON_DAYS = 3650
MAX_LIVE_PER_PATIENT = 1000
MAX_INSTRUCTIONS_CHARACTERS = 2000
MAX_VIDEO_LINK_CHARACTERS = 500
# Of one slot.
MAX_VISIT_TYPES = 20


class VisitMode(StrEnum):
    IN_PERSON = "IN_PERSON"
    VIDEO = "VIDEO"
    TELEPHONE = "TELEPHONE"


class Patients(StrEnum):
    """A patient is returning if an earlier appointment of theirs has taken place."""

    ANY = "ANY"
    NEW = "NEW"
    RETURNING = "RETURNING"


class BookableBy(StrEnum):
    ANYONE = "ANYONE"
    ACCOUNTS = "ACCOUNTS"
    STAFF = "STAFF"


class VisitType(Struct, frozen=True):
    """A rule that is None does not apply. `version` grows with each change."""

    id: int
    name: str
    minutes: int
    buffer_minutes: int
    mode: VisitMode
    video_link: str | None
    instructions: str | None
    min_notice_minutes: int | None
    horizon_days: int | None
    change_deadline_minutes: int | None
    max_live_per_patient: int | None
    patients: Patients
    bookable_by: BookableBy
    active: bool
    version: int
    created_at: datetime
    updated_at: datetime


class BookedVisit(Struct, frozen=True):
    """What a visit type says to those who have booked it. `video_link` only once the booking is confirmed."""

    name: str
    mode: VisitMode
    instructions: str | None
    video_link: str | None

    def without_link(self) -> "BookedVisit":
        return replace(self, video_link=None)


class VisitTypeFields(Struct, frozen=True):
    """What people choose about a visit type."""

    name: str
    minutes: int
    buffer_minutes: int = 0
    mode: VisitMode = VisitMode.IN_PERSON
    video_link: str | None = None
    instructions: str | None = None
    min_notice_minutes: int | None = None
    horizon_days: int | None = None
    change_deadline_minutes: int | None = None
    max_live_per_patient: int | None = None
    patients: Patients = Patients.ANY
    bookable_by: BookableBy = BookableBy.ANYONE
    active: bool = True


class VisitTypeChange(Struct, frozen=True):
    """What to change; UNSET leaves a value as it is."""

    name: str | UnsetType = UNSET
    minutes: int | UnsetType = UNSET
    buffer_minutes: int | UnsetType = UNSET
    mode: VisitMode | UnsetType = UNSET
    video_link: str | UnsetType | None = UNSET
    instructions: str | UnsetType | None = UNSET
    min_notice_minutes: int | UnsetType | None = UNSET
    horizon_days: int | UnsetType | None = UNSET
    change_deadline_minutes: int | UnsetType | None = UNSET
    max_live_per_patient: int | UnsetType | None = UNSET
    patients: Patients | UnsetType = UNSET
    bookable_by: BookableBy | UnsetType = UNSET
    active: bool | UnsetType = UNSET

    def applied_to(self, fields: VisitTypeFields) -> VisitTypeFields:
        return replace(fields, **{name: value for name, value in asdict(self).items() if value is not UNSET})


FIELDS = VisitTypeFields.__struct_fields__


def fields_of(visit_type: VisitType) -> VisitTypeFields:
    return VisitTypeFields(**{name: getattr(visit_type, name) for name in FIELDS})


# From and to, both included, of each number that is not None.
RANGES = {
    "minutes": (1, MAX_DURATION_MINUTES),
    "buffer_minutes": (0, MAX_BUFFER_MINUTES),
    "min_notice_minutes": (0, MAX_RULE_MINUTES),
    "horizon_days": (1, MAX_HORIZON_DAYS),
    "change_deadline_minutes": (0, MAX_RULE_MINUTES),
    "max_live_per_patient": (1, MAX_LIVE_PER_PATIENT),
}


def clean_visit_type(fields: VisitTypeFields) -> VisitTypeFields:
    """With trimmed texts; empty ones are None. Raises `InvalidInput` with all faults."""
    faults = [
        FieldError(name, f"must be a whole number from {lowest} to {highest}")
        for name, (lowest, highest) in RANGES.items()
        if (number := getattr(fields, name)) is not None and not lowest <= number <= highest
    ]
    cleaned: dict[str, str | None] = {}
    for name, clean in (("name", clean_name), ("instructions", _clean_text), ("video_link", _clean_link)):
        try:
            cleaned[name] = clean(name, getattr(fields, name) or "")
        except InvalidInput as error:
            faults += error.errors
    if _days(fields.min_notice_minutes) > (fields.horizon_days or MAX_HORIZON_DAYS):
        faults.append(FieldError("horizon_days", "must not be shorter than the notice"))
    if faults:
        raise InvalidInput(*faults)
    return replace(fields, **cleaned)


def clean_visit_type_ids(ids: list[int] | None) -> list[int] | None:
    """Each once, in order; None if there are none. Whether they exist, only the database knows."""
    if not ids:
        return None
    if len(set(ids)) > MAX_VISIT_TYPES:
        raise InvalidInput.of("visit_type_ids", f"must be at most {MAX_VISIT_TYPES}")
    return sorted(set(ids))


def _days(minutes: int | None) -> float:
    return (minutes or 0) / (24 * 60)


def _clean_text(field: str, text: str) -> str | None:
    """Several lines, free of other control characters."""
    cleaned = text.replace("\r\n", "\n").strip()
    if len(cleaned) > MAX_INSTRUCTIONS_CHARACTERS:
        raise InvalidInput.of(field, f"must have at most {MAX_INSTRUCTIONS_CHARACTERS} characters")
    # Each line keeps the rules of a name, apart from its length.
    for line in cleaned.split("\n"):
        for start in range(0, len(line), _PIECE):
            if piece := line[start : start + _PIECE].strip():
                clean_name(field, piece)
    return cleaned or None


_PIECE = 200


def _clean_link(field: str, text: str) -> str | None:
    """A URL that a browser opens. Others, such as `javascript:`, would run in the page that shows them."""
    link = text.strip()
    if not link:
        return None
    parts = _LINK.fullmatch(link)
    if parts is None or len(link) > MAX_VIDEO_LINK_CHARACTERS or not is_host(parts["host"].encode()):
        raise InvalidInput.of(field, f"must be a link such as https://video.example.org/room, of at most {_LONGEST}")
    return link


# Visible ASCII without the characters that end a URL in a text or in HTML. No user before the host: it hides the host.
_LINK = re.compile(r"""https?://(?P<host>[^/?#@"<>\\^`{|}\s]+)([/?#][!#-;=?-\[\]_a-z~]*)?""", re.ASCII)
_LONGEST = f"{MAX_VIDEO_LINK_CHARACTERS} characters"
