"""Compares PostgreSQL's time zone database with the one that Slotwise computes local times with."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import msgspec
import structlog

from slotwise.db.connection import Connection
from slotwise.db.statements import Statement
from slotwise.domain.time_zones import EDITION

# Each hour of three years, counted from now: editions may disagree on the day of a change, or on its hour.
MOMENTS_COMPARED = [timedelta(hours=hours) for hours in range(-366 * 24, 2 * 366 * 24)]

log = structlog.get_logger()


class ZoneOffset(msgspec.Struct, frozen=True):
    """By how many seconds a zone's clocks are ahead of UTC at a moment."""

    moment: datetime
    seconds: int


READ_OFFSETS = Statement("database/time_zones.read_offsets", ZoneOffset)


class ZoneCheck:
    """Compares once whether PostgreSQL knows the clinic's zone as Slotwise does.

    Slotwise does not need PostgreSQL's zones. A person who queries the
    database with them sees other local times.
    """

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone
        self._warnings: list[str] | None = None

    async def warnings(self, connection: Connection) -> list[str]:
        """What differs, as sentences. The first call also logs them."""
        if self._warnings is None:
            self._warnings = await compare_zone(connection, self._zone)
            for warning in self._warnings:
                log.warning("time_zones_differ", zone=self._zone.key, edition=EDITION, warning=warning)
        return self._warnings


async def compare_zone(connection: Connection, zone: ZoneInfo) -> list[str]:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    moments = [now + distance for distance in MOMENTS_COMPARED]
    try:
        offsets = await READ_OFFSETS.all(connection, zone=zone.key, moments=moments)
    except asyncpg.InvalidParameterValueError:
        return [f"PostgreSQL's time zone database has no {zone.key}"]
    differing = next((offset for offset in offsets if timedelta(seconds=offset.seconds) != _ahead(offset, zone)), None)
    if differing is None:
        return []
    return [
        f"PostgreSQL's time zone database differs from Slotwise's ({EDITION}) for {zone.key}, for example at"
        f" {differing.moment:%Y-%m-%d %H:%M} UTC: Slotwise shows {differing.moment.astimezone(zone):%H:%M}, PostgreSQL"
        f" {differing.moment + timedelta(seconds=differing.seconds):%H:%M}"
    ]


def _ahead(offset: ZoneOffset, zone: ZoneInfo) -> timedelta | None:
    return offset.moment.astimezone(zone).utcoffset()
