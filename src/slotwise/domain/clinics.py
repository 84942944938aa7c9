"""Clinics: the places that patients come to, each with its name, its time zone, and how to get there."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from zoneinfo import ZoneInfo

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import replace

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.fields import clean_email, clean_name
from slotwise.domain.time_zones import UTC_ZONE, find_zone, time_zone

# The clinic that is always there. What knows nothing of clinics means this one.
FIRST_CLINIC = 1
# Of a clinic that nobody has named yet: then the settings say its name and zone.
UNNAMED_VERSION = 0
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)

MAX_CLINIC_NAME = 60
MAX_TELEPHONE = 40
MAX_NOTE = 1000
_TELEPHONE = re.compile(r"\+?[0-9][0-9 ()/.-]{2,39}", re.ASCII)
_COLOUR = re.compile(r"#[0-9a-f]{6}", re.ASCII)


class Clinic(Struct, frozen=True):
    """`time_zone` is an IANA name. `version` grows with each change; see `UNNAMED_VERSION`.

    `evening_list` if its list of tomorrow is written each evening, where the settings say that lists are.
    """

    id: int
    name: str
    time_zone: str
    address: str | None = None
    telephone: str | None = None
    email: str | None = None
    directions: str | None = None
    opening_note: str | None = None
    colour: str | None = None
    active: bool = True
    evening_list: bool = True
    version: int = UNNAMED_VERSION
    created_at: datetime = _NEVER
    updated_at: datetime = _NEVER

    @property
    def zone(self) -> ZoneInfo:
        """UTC if this edition of the time zone database does not have the name."""
        return find_zone(self.time_zone) or UTC_ZONE

    @property
    def location(self) -> str:
        """Where an appointment is, in a calendar: the address, or the name if there is none."""
        return self.address or self.name

    @property
    def tells_more(self) -> bool:
        """Whether it has more for patients than its name and address."""
        return any((self.telephone, self.email, self.directions, self.opening_note))


class ClinicBook:
    """All clinics. What no clinic is named for is about the main one: the first that takes appointments."""

    def __init__(self, clinics: Sequence[Clinic]) -> None:
        self._keep(clinics)

    def _keep(self, clinics: Sequence[Clinic]) -> None:
        self._known = {clinic.id: clinic for clinic in clinics}
        self._active = [clinic for clinic in clinics if clinic.active] or list(clinics[:1])

    @classmethod
    def of_one(cls, zone: ZoneInfo = UTC_ZONE, name: str = "Clinic") -> "ClinicBook":
        return cls([Clinic(FIRST_CLINIC, name, zone.key)])

    @property
    def all(self) -> list[Clinic]:
        """By id, also those that take no appointments."""
        return list(self._known.values())

    @property
    def active(self) -> list[Clinic]:
        """Those that take appointments, by id; never empty. Another list after each change."""
        return self._active

    @property
    def zones(self) -> list[ZoneInfo]:
        """Of those that take appointments; each zone once."""
        return list(dict.fromkeys(clinic.zone for clinic in self._active))

    @property
    def main(self) -> Clinic:
        return self._active[0]

    @property
    def several(self) -> bool:
        return len(self._active) > 1

    def find(self, clinic_id: int | None) -> Clinic | None:
        return None if clinic_id is None else self._known.get(clinic_id)

    def get(self, clinic_id: int | None) -> Clinic:
        """The main one in place of none, and of one that another worker has added just now."""
        return self.find(clinic_id) or self.main

    def zone_of(self, clinic_id: int | None) -> ZoneInfo:
        return self.get(clinic_id).zone


class ClinicChange(Struct, frozen=True):
    """What to change; UNSET leaves a value as it is, None removes it."""

    name: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    address: str | UnsetType | None = UNSET
    telephone: str | UnsetType | None = UNSET
    email: str | UnsetType | None = UNSET
    directions: str | UnsetType | None = UNSET
    opening_note: str | UnsetType | None = UNSET
    colour: str | UnsetType | None = UNSET
    active: bool | UnsetType = UNSET
    evening_list: bool | UnsetType = UNSET

    def applied_to(self, clinic: Clinic) -> Clinic:
        """The changed clinic, with clean values. Raises `InvalidInput` with all faults."""
        values: dict[str, object] = {}
        faults: list[FieldError] = []
        for field in self.__struct_fields__:
            given = getattr(self, field)
            if given is UNSET:
                continue
            try:
                values[field] = given if isinstance(given, bool) else _clean(field, given)
            except InvalidInput as error:
                faults += error.errors
        if faults:
            raise InvalidInput(*faults)
        return replace(clinic, **values)


def _clean(field: str, text: str | None) -> str | None:
    """The clean value; None for an empty one that may be missing."""
    is_required = field in {"name", "time_zone"}
    if not is_required and (text is None or not text.strip()):
        return None
    return _CLEANERS[field](text or "")


def _clean_clinic_name(text: str) -> str:
    name = clean_name("name", text)
    if len(name) > MAX_CLINIC_NAME:
        raise InvalidInput.of("name", f"must have at most {MAX_CLINIC_NAME} characters")
    return name


def _clean_telephone(text: str) -> str:
    number = text.strip()
    if not _TELEPHONE.fullmatch(number):
        raise InvalidInput.of("telephone", "must be a telephone number, such as +44 20 7946 0000")
    return number


def _clean_colour(text: str) -> str:
    colour = text.strip().lower()
    if not _COLOUR.fullmatch(colour):
        raise InvalidInput.of("colour", "must be a colour such as #1b6e8c")
    return colour


def _clean_note(field: str, text: str) -> str:
    """Several lines. Each ends with a line feed, however it was typed."""
    lines = text.strip().replace("\r\n", "\n").replace("\r", "\n")
    if len(lines) > MAX_NOTE:
        raise InvalidInput.of(field, f"must have at most {MAX_NOTE} characters")
    for line in filter(str.strip, lines.split("\n")):
        _refuse_controls(field, line)
    return unicodedata.normalize("NFC", lines)


def _refuse_controls(field: str, line: str) -> None:
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in line):
        raise InvalidInput.of(field, "must not contain control characters")


_CLEANERS: dict[str, Callable[[str], str]] = {
    "name": _clean_clinic_name,
    "time_zone": lambda text: time_zone("time_zone", text.strip()).key,
    "address": partial(clean_name, "address"),
    "telephone": _clean_telephone,
    "email": partial(clean_email, "email"),
    "directions": partial(_clean_note, "directions"),
    "opening_note": partial(_clean_note, "opening_note"),
    "colour": _clean_colour,
}
