"""Time zones by the names that the IANA gives them, such as Europe/Berlin."""

from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from slotwise.domain.errors import InvalidInput

UTC_ZONE = ZoneInfo("UTC")
# They stand in the list, and mean whatever the machine is set to, and that nobody has set it.
NO_PLACES = frozenset({"localtime", "Factory"})


def find_zone(name: str) -> ZoneInfo | None:
    """None where nobody has named a zone so.

    Looked up in the list first: a name is a path to the library, and not every file there is a zone.
    """
    return ZoneInfo(name) if name in _known_names() else None


def time_zone(field: str, name: str) -> ZoneInfo:
    zone = find_zone(name)
    if zone is None:
        raise InvalidInput.of(field, "must be the name of a time zone, such as Europe/Berlin")
    return zone


@cache
def _known_names() -> frozenset[str]:
    return frozenset(available_timezones()) - NO_PLACES
