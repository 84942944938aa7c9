"""Compares PostgreSQL's time zone database with the one that Slotwise computes local times with."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import structlog

from slotwise.db.connection import Connection
from slotwise.db.statements import Statement
from slotwise.domain.time_zones import EDITION

# What is compared, by the hour: editions may disagree on the day of a change, or on its hour.
LOOK_BACK = timedelta(days=366)
LOOK_AHEAD = timedelta(days=2 * 366)

log = structlog.get_logger()


class ZoneChange(msgspec.Struct, frozen=True):
    """By how many seconds a zone's clocks are ahead of UTC from a moment on."""

    moment: datetime
    seconds: int


READ_CHANGES = Statement("database/time_zones.read_changes", ZoneChange)


class ZoneCheck:
    """Compares whether PostgreSQL knows the zones of the clinics as Slotwise does: each zone once.

    Slotwise does not need PostgreSQL's zones. A person who queries the
    database with them sees other local times.
    """

    def __init__(self, zones: Callable[[], Iterable[ZoneInfo]]) -> None:
        self._zones = zones
        self._warnings: dict[str, list[str]] = {}

    async def warnings(self, connection: Connection) -> list[str]:
        """What differs, as sentences. The first call that finds a difference also logs it."""
        zones = {zone.key: zone for zone in self._zones()}
        for key in zones.keys() - self._warnings.keys():
            self._warnings[key] = await compare_zone(connection, zones[key])
            for warning in self._warnings[key]:
                log.warning("time_zones_differ", zone=key, edition=EDITION, warning=warning)
        return [warning for key in zones for warning in self._warnings[key]]


async def compare_zone(connection: Connection, zone: ZoneInfo) -> list[str]:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    first, last = now - LOOK_BACK, now + LOOK_AHEAD
    try:
        changes = await READ_CHANGES.all(connection, zone=zone.key, first=first, last=last)
    except asyncpg.InvalidParameterValueError:
        return [f"PostgreSQL's time zone database has no {zone.key}"]
    differing = min((change.moment for change in {*changes} ^ {*changes_of(zone, first, last)}), default=None)
    if differing is None:
        return []
    ahead = timedelta(seconds=[change.seconds for change in changes if change.moment <= differing][-1])
    return [
        f"PostgreSQL's time zone database differs from Slotwise's ({EDITION}) for {zone.key}, for example at"
        f" {differing:%Y-%m-%d %H:%M} UTC: Slotwise shows {differing.astimezone(zone):%H:%M}, PostgreSQL"
        f" {differing + ahead:%H:%M}"
    ]


def changes_of(zone: ZoneInfo, first: datetime, last: datetime) -> list[ZoneChange]:
    """As `READ_CHANGES`, by Slotwise's database. Looks at the hours of only those days at whose ends clocks differ."""
    changes = [ZoneChange(first, _ahead(first, zone))]
    day = first
    while day < last:
        next_day = min(day + timedelta(days=1), last)
        if _ahead(next_day, zone) != changes[-1].seconds:
            for hour in _hours(day, next_day):
                if (seconds := _ahead(hour, zone)) != changes[-1].seconds:
                    changes.append(ZoneChange(hour, seconds))
        day = next_day
    return changes


def _hours(after: datetime, last: datetime) -> list[datetime]:
    return [after + timedelta(hours=hours) for hours in range(1, (last - after) // timedelta(hours=1) + 1)]


def _ahead(moment: datetime, zone: ZoneInfo) -> int:
    offset = moment.astimezone(zone).utcoffset()
    assert offset is not None
    return int(offset.total_seconds())
