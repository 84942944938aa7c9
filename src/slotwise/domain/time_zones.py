"""Time zones by their IANA names, such as Europe/Berlin."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from tzdata import IANA_VERSION

from slotwise.domain.errors import InvalidInput

# The edition of the time zone database that all local times are computed with, such as 2026f.
EDITION: str = IANA_VERSION
# The longest name has 32: America/Argentina/ComodRivadavia.
MAX_ZONE_CHARACTERS = 64
UTC_ZONE = ZoneInfo("UTC")
# Names in the list that are no zones: "localtime" is the machine's setting, "Factory" means that it was never set.
NO_PLACES = frozenset({"localtime", "Factory"})


def find_zone(name: str) -> ZoneInfo | None:
    """The zone with this name; None if there is none.

    Looks the name up in the list first: ZoneInfo takes a name as a file path, and not every file there is a zone.
    """
    return ZoneInfo(name) if name in known_names() else None


def time_zone(field: str, name: str) -> ZoneInfo:
    zone = find_zone(name)
    if zone is None:
        raise InvalidInput.of(field, "must be the name of a time zone, such as Europe/Berlin")
    return zone


@cache
def known_names() -> frozenset[str]:
    return frozenset(available_timezones()) - NO_PLACES
