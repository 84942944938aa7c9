"""Schedules in all time zones: a planned slot has the wall time of its rule, whatever the clocks do.

There are two oracles. One goes through a day minute by minute and notes when each wall time is shown first. The other
is `zdump -v`, a program that reads the same files and says when clocks change.
"""

import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from itertools import chain, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotwise.domain.schedules import Plan, Rule, SkipReason, plan
from slotwise.domain.time_zones import known_names
from slotwise.domain.timetables import ends_in_time
from tests.depth import many
from tests.domain.schedule_worlds import rule

FIRST_DAY, LAST_DAY = date(2026, 1, 1), date(2035, 12, 31)
FOLDER = files("tzdata") / "zoneinfo"
ZONE_NAMES = sorted(known_names())
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
# Zones whose clocks change in unusual ways: by half an hour, at midnight, in Ramadan, and never.
UNUSUAL = (
    "Australia/Lord_Howe",
    "America/Asuncion",
    "Asia/Beirut",
    "Africa/Casablanca",
    "America/Nuuk",
    "Asia/Kolkata",
)


@cache
def different_zones() -> list[str]:
    """A name of each of the zones that differ: many of the names are of the same data."""
    return sorted({(FOLDER / name).read_bytes(): name for name in ZONE_NAMES}.values())


@cache
def alike() -> dict[object, list[str]]:
    """The zones by what their clocks show in the ten years: their distance from UTC, and when it changes.

    A plan knows a zone by what its clocks show, so one of those that show the same stands for all.
    """
    found: dict[object, list[str]] = defaultdict(list)
    for name in different_zones():
        zone = ZoneInfo(name)
        moments = [datetime(FIRST_DAY.year, 1, 1, tzinfo=UTC)]
        moments += [moment + number * MINUTE for moment in changes(name) for number in range(61)]
        found[tuple((moment, offset(moment, zone)) for moment in moments)].append(name)
    return found


@cache
def changes(zone_name: str) -> tuple[datetime, ...]:
    """The moments of the ten years at which the zone's clocks change, to the hour before."""
    zone = ZoneInfo(zone_name)
    start = datetime(FIRST_DAY.year, 1, 1, tzinfo=UTC)
    days = [start + timedelta(days=number) for number in range((LAST_DAY - FIRST_DAY).days + 2)]
    found = []
    for before, after in pairwise(days):
        if before.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            hours = [before + number * HOUR for number in range(25)]
            found += [one for one, next_one in pairwise(hours) if offset(one, zone) != offset(next_one, zone)]
    return tuple(found)


def offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def first_moments(day: date, zone: ZoneInfo) -> dict[datetime, datetime]:
    """The first moment of each wall time from this day to the second after it, found minute by minute."""
    midnight = datetime.combine(day, time(), UTC)
    shown: dict[datetime, datetime] = {}
    for number in range(-16 * 60, 64 * 60):
        moment = midnight + number * MINUTE
        shown.setdefault(moment.astimezone(zone).replace(tzinfo=None), moment)
    return shown


def check_day(wanting: Rule, day: date, zone: ZoneInfo, shown: dict[datetime, datetime]) -> None:
    """Compares the slots of the hours that begin on this day with what the oracle says."""
    made = plan([wanting], (), day, day + timedelta(days=1), {1: zone})
    midnight = datetime.combine(day, time())
    expected: list[tuple[datetime, datetime]] = []
    skipped = set()
    for minutes in range(wanting.opens, wanting.closes - wanting.slot_minutes + 1, wanting.slot_minutes):
        local = midnight + minutes * MINUTE
        start = shown.get(local)
        end = None if start is None else start + wanting.slot_minutes * MINUTE
        begins = expected[-1][1] if expected else datetime.min.replace(tzinfo=UTC)
        closes = midnight + wanting.closes * MINUTE
        if start is None or end is None or start < begins or not ends_in_time(end, closes, zone):
            skipped.add((local, start))
        else:
            expected.append((start, end))
    of_day = [
        wanted for wanted in made.wanted if wanted.start_time >= (expected[0][0] if expected else wanted.end_time)
    ]
    assert [(wanted.start_time, wanted.end_time) for wanted in of_day] == expected
    assert {(each.local_start, each.start_time) for each in made.skipped} == skipped
    assert all((each.start_time is None) == (each.reason is SkipReason.CLOCK_CHANGE) for each in made.skipped)


def hours_of(day: date, opens: int, closes: int, minutes: int) -> Rule:
    """Hours on this day only."""
    return rule(first_day=day, last_day=day, weekday=day.isoweekday(), opens=opens, closes=closes, slot_minutes=minutes)


def days_of_change(zone_name: str) -> list[date]:
    """Days on which, or on the day after or before, clocks change; an ordinary day if they never do."""
    found = {moment.date() + timedelta(days=number) for moment in changes(zone_name) for number in (-1, 0, 1)}
    return sorted(found) or [FIRST_DAY]


@settings(max_examples=many(15, 300))
@given(
    zone_name=st.sampled_from(ZONE_NAMES) | st.sampled_from(UNUSUAL),
    place=st.integers(0, 10_000),
    opens=st.integers(0, 1439),
    length=st.integers(1, 1440),
    minutes=st.integers(1, 120),
)
def test_every_slot_has_the_wall_time_of_its_rule_around_every_clock_change(
    zone_name: str, place: int, opens: int, length: int, minutes: int
) -> None:
    """None lies in a gap, none is doubled in a fold, no two overlap: all that follows from the oracle's list."""
    days, zone = days_of_change(zone_name), ZoneInfo(zone_name)
    day = days[place % len(days)]
    wanting = hours_of(day, opens, min(opens + length, 2879), minutes)
    check_day(wanting, day, zone, first_moments(day, zone))


@settings(max_examples=many(10, 300))
@given(zone_name=st.sampled_from(ZONE_NAMES), number=st.integers(0, 3651), opens=st.integers(0, 1439))
def test_every_slot_has_the_wall_time_of_its_rule_on_any_day(zone_name: str, number: int, opens: int) -> None:
    day, zone = FIRST_DAY + timedelta(days=number), ZoneInfo(zone_name)
    check_day(hours_of(day, opens, opens + 480, 20), day, zone, first_moments(day, zone))


@pytest.mark.slow(reason="ten years of all zones take half a minute")
def test_every_slot_of_ten_years_in_all_zones_has_the_wall_time_of_its_rule() -> None:
    """Around the clock, in four hours; and around each clock change in quarters of an hour."""
    always = [
        rule(id=day, weekday=day, first_day=FIRST_DAY, opens=0, closes=1440, slot_minutes=240) for day in range(1, 8)
    ]
    count = (LAST_DAY - FIRST_DAY).days + 1
    for zone_name, *_ in alike().values():
        zone = ZoneInfo(zone_name)
        made = plan(always, (), FIRST_DAY, LAST_DAY, {1: zone})
        assert len(made.wanted) + len(made.skipped) == count * 6
        check_plan(made, zone)
        for day in days_of_change(zone_name):
            quarters = hours_of(day, 0, 1440, 15)
            check_day(quarters, day, zone, quarter_moments(day, zone))


def quarter_moments(day: date, zone: ZoneInfo) -> dict[datetime, datetime]:
    """As `first_moments`, for quarters of an hour only."""
    midnight = datetime.combine(day, time(), UTC)
    shown: dict[datetime, datetime] = {}
    for number in range(-16 * 4, 64 * 4):
        moment = midnight + number * 15 * MINUTE
        shown.setdefault(moment.astimezone(zone).replace(tzinfo=None), moment)
    return shown


def check_plan(made: Plan, zone: ZoneInfo) -> None:
    for wanted in made.wanted:
        local = wanted.start_time.astimezone(zone)
        assert local.replace(tzinfo=None) == wanted.local_start
        assert local.fold == 0
    assert all(one.end_time <= other.start_time for one, other in pairwise(made.wanted))


@cache
def zdump(*zone_names: str) -> dict[str, list[tuple[datetime, int, int]]]:
    """Of each zone, when its clocks change, and its offsets before and after in seconds, by another program."""
    years = f"{FIRST_DAY.year},{LAST_DAY.year + 1}"
    command = ["zdump", "-v", "-c", years, *(str(FOLDER / name) for name in zone_names)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    offsets: dict[str, list[tuple[datetime, int]]] = defaultdict(list)
    for name, moment, seconds in re.findall(rf"{FOLDER}/(\S+)\s+\w+ (.+) UT = .* gmtoff=(-?\d+)", printed):
        at = datetime.strptime(moment, "%b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        offsets[name].append((at, int(seconds)))
    # Two lines for each change: the second before it, and its own.
    return {
        name: [(after, old, new) for (_, old), (after, new) in zip(lines[::2], lines[1::2], strict=True) if old != new]
        for name, lines in offsets.items()
    }


def jumps(made: Plan) -> Iterator[tuple[datetime, int, int]]:
    """Where the distance between wall time and UTC differs between one slot and the next."""
    offsets = [
        (each.end_time, (each.local_start.replace(tzinfo=UTC) - each.start_time).total_seconds())
        for each in made.wanted
    ]
    return ((end, int(old), int(new)) for (end, old), (_, new) in pairwise(offsets) if old != new)


def check_with_zdump(like: Iterable[Sequence[str]], last_day: date = LAST_DAY) -> None:
    """Of zones that are alike, one is planned, and all are compared."""
    if shutil.which("zdump") is None:
        pytest.skip("zdump is not installed")
    groups = list(like)
    changed = zdump(*chain.from_iterable(groups))
    assert changed
    always = [
        rule(id=day, weekday=day, first_day=FIRST_DAY, opens=0, closes=1440, slot_minutes=240) for day in range(1, 8)
    ]
    for names in groups:
        told = list(jumps(plan(always, (), FIRST_DAY, last_day, {1: ZoneInfo(names[0])})))
        for name in names:
            known = [each for each in changed.get(name, []) if FIRST_DAY < each[0].date() < last_day]
            assert [each[1:] for each in told] == [each[1:] for each in known], name
            assert all(abs(end - at) <= 4 * HOUR for (end, *_), (at, *_) in zip(told, known, strict=True)), name


def test_slots_change_their_distance_from_utc_when_zdump_says_so() -> None:
    check_with_zdump([[name] for name in UNUSUAL[:4]], date(2026, 12, 30))


@pytest.mark.slow(reason="ten years of all zones take half a minute")
def test_slots_of_all_zones_change_their_distance_from_utc_when_zdump_says_so() -> None:
    check_with_zdump(alike().values())
