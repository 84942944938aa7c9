"""Time zones by the names that the IANA gives them, such as Europe/Berlin."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from slotwise.domain.errors import InvalidInput

UTC_ZONE = ZoneInfo("UTC")


def time_zone(field: str, name: str) -> ZoneInfo:
    # Looked up in the list first: a name is a path to the library, and not every file there is a zone.
    if name not in _known_names():
        raise InvalidInput.of(field, "must be the name of a time zone, such as Europe/Berlin")
    return ZoneInfo(name)


@cache
def _known_names() -> frozenset[str]:
    return frozenset(available_timezones())
