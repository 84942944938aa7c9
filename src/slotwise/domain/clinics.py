"""Clinics: the places that patients come to, each with its name, its time zone, and how to get there."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from msgspec import Struct

from slotwise.domain.time_zones import UTC_ZONE, find_zone

# The clinic that is always there. What knows nothing of clinics means this one.
FIRST_CLINIC = 1
# Of a clinic that nobody has named yet: then the settings say its name and zone.
UNNAMED_VERSION = 0
_NEVER = datetime(2000, 1, 1, tzinfo=UTC)


class Clinic(Struct, frozen=True):
    """`time_zone` is an IANA name. `version` grows with each change; see `UNNAMED_VERSION`."""

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
