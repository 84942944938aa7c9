"""Schedules: the times and the open time that rules want. Closures close times; open time stays as it is.

Pure: a plan depends on rules, closures, days and zones only.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from itertools import accumulate
from operator import attrgetter
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from slotwise.domain.timetables import (
    Hours,
    ends_in_time,
    first_moment,
    first_moment_from,
    local_time,
    slot_starts,
)

# How many days before its first day a plan looks at, because slots that begin earlier may overlap those of that day.
_DAYS_BEFORE = 7


class RuleKind(StrEnum):
    """What a rule makes: slots of one length, or windows, out of which visits of any length are carved."""

    FIXED = "FIXED"
    WINDOW = "WINDOW"


class Rule(Struct, frozen=True):
    """On one weekday, between two hours of wall time, a doctor has slots, or open time, at a clinic.

    First and last day are included. `weekday` is that of ISO 8601: 1 is Monday. Weeks are counted from the Monday of
    the first day's week. `opens` and `closes` are minutes since midnight of that day; from 1440 on they are on the next
    day. `slot_minutes` of a window are all its hours; `step_minutes`, which only windows have, is how often a visit may
    begin in it.
    """

    id: int
    doctor_id: int
    clinic_id: int
    first_day: date
    last_day: date | None
    every_weeks: int
    weekday: int
    opens: int
    closes: int
    slot_minutes: int
    break_minutes: int
    total_seats: int
    visit_type_ids: tuple[int, ...] | None = None
    version: int = 1
    removed_at: datetime | None = None
    kind: RuleKind = RuleKind.FIXED
    step_minutes: int | None = None

    @property
    def is_window(self) -> bool:
        return self.kind is RuleKind.WINDOW


class ClosureKind(StrEnum):
    HOLIDAY = "HOLIDAY"
    ABSENCE = "ABSENCE"


class Closure(Struct, frozen=True):
    """A time without visits, half-open, in UTC: of a doctor, of a clinic, of a doctor at a clinic, or of all.

    The reason is for the desk, the message for patients.
    """

    id: int
    doctor_id: int | None
    clinic_id: int | None
    start_time: datetime
    end_time: datetime
    kind: ClosureKind
    reason: str | None = None
    message: str | None = None
    version: int = 1
    removed_at: datetime | None = None

    def applies_to(self, doctor_id: int, clinic_id: int) -> bool:
        return self.doctor_id in {None, doctor_id} and self.clinic_id in {None, clinic_id}


class WantedSlot(Struct, frozen=True):
    """A slot that a rule wants. Start and end are in UTC; `local_start` is the wall time at the clinic.

    `busy_until` is None if its visit types have no buffer.
    """

    rule_id: int
    rule_version: int
    doctor_id: int
    clinic_id: int
    start_time: datetime
    end_time: datetime
    local_start: datetime
    total_seats: int
    visit_type_ids: tuple[int, ...] | None
    busy_until: datetime | None = None

    @property
    def busy_end(self) -> datetime:
        """Until when it takes the doctor's time."""
        return self.busy_until or self.end_time


class WantedWindow(Struct, frozen=True):
    """Open time that a rule wants. Start and end are in UTC; `local_start` is the wall time at the clinic."""

    rule_id: int
    doctor_id: int
    clinic_id: int
    start_time: datetime
    end_time: datetime
    local_start: datetime


class ClosedTime(Struct, frozen=True):
    """A slot that a rule would want if it were not for a closure."""

    wanted: WantedSlot
    closure_id: int


class SkipReason(StrEnum):
    """Why a time of a rule gets no slot."""

    CLOCK_CHANGE = "CLOCK_CHANGE"  # clocks go forward, and no clock shows this time
    BEFORE_LASTS = "BEFORE_LASTS"  # after a clock change, the slot before has not ended
    AFTER_HOURS = "AFTER_HOURS"  # after a clock change, it would end after the rule's hours
    OTHER_RULE = "OTHER_RULE"  # a rule with a lower id has a slot or a window in this time
    OTHER_SLOT = "OTHER_SLOT"  # a slot that is not this rule's, or is booked, takes the doctor's time
    CHANGED_BY_HAND = "CHANGED_BY_HAND"  # a person closed, moved or changed the slot of this time
    CLINIC_INACTIVE = "CLINIC_INACTIVE"  # its closure is gone, but its clinic takes no appointments


class SkippedSlot(Struct, frozen=True):
    """A time without a slot, or a day without its window.

    `rule_id` is None for a slot made by hand that a closure closed and that stays closed.
    `other_rule_id` or `other_slot_id` says what is in the way.
    """

    doctor_id: int
    clinic_id: int
    rule_id: int | None
    local_start: datetime | None
    start_time: datetime | None
    reason: SkipReason
    other_rule_id: int | None = None
    other_slot_id: int | None = None


class Plan(Struct, frozen=True):
    """What rules want on the days from first to last, by the wall clocks of the clinics. Both days are included.

    Wanted slots and windows of a doctor do not overlap; both are in order of doctor and time. A slot's buffer may reach
    into a window: nothing is carved there.
    """

    first_day: date
    last_day: date
    wanted: tuple[WantedSlot, ...] = ()
    closed: tuple[ClosedTime, ...] = ()
    skipped: tuple[SkippedSlot, ...] = ()
    windows: tuple[WantedWindow, ...] = ()

    def covers(self, local_start: datetime) -> bool:
        return self.first_day <= local_start.date() <= self.last_day


class Closures:
    """Finds the closure of a period. Removed closures close nothing."""

    def __init__(self, closures: Iterable[Closure]) -> None:
        self._live = [closure for closure in closures if closure.removed_at is None]
        self._by_place: dict[tuple[int, int], Taken[Closure]] = {}

    def find(self, doctor_id: int, clinic_id: int, start: datetime, end: datetime) -> Closure | None:
        """The closure with the lowest id that overlaps the period of this doctor at this clinic."""
        return min(self.overlapping(doctor_id, clinic_id, start, end), key=attrgetter("id"), default=None)

    def overlapping(self, doctor_id: int, clinic_id: int, start: datetime, end: datetime) -> list[Closure]:
        """The closures that overlap the period of this doctor at this clinic, by start."""
        closures = self._of(doctor_id, clinic_id)
        if closures.find(start, end) is None:
            return []
        return [each for each in closures.periods if each.start_time < end and each.end_time > start]

    def close(self, closure_id: int, doctor_id: int, clinic_id: int, start: datetime, end: datetime) -> bool:
        """Whether this closure overlaps the period of this doctor at this clinic."""
        closures = self._of(doctor_id, clinic_id).periods
        return any(each.id == closure_id and each.start_time < end and each.end_time > start for each in closures)

    def _of(self, doctor_id: int, clinic_id: int) -> "Taken[Closure]":
        place = (doctor_id, clinic_id)
        if place not in self._by_place:
            self._by_place[place] = Taken(each for each in self._live if each.applies_to(doctor_id, clinic_id))
        return self._by_place[place]


def plan(
    rules: Iterable[Rule],
    closures: Iterable[Closure],
    first_day: date,
    last_day: date,
    zones: Mapping[int, tzinfo],
    buffers: Mapping[int, int] = {},
) -> Plan:
    """The slots and windows that rules want on these days. `zones` has the zone of each clinic by its id.

    `buffers` has the minutes of visit types by their ids. A rule's break is at least the longest of its types.

    Where clocks go forward, the missing times are skipped; where they go back, the first of two equal times is taken.
    Of two rules of a doctor whose slots or windows overlap, the one with the lower id wins; a window that overlaps is
    left out as a whole. Closures are looked at last, so they only take times away: a closed time of one rule is not
    given to another. They leave windows as they are.
    """
    made = _Making(Closures(closures), zones, buffers, first_day, last_day)
    live = sorted((rule for rule in rules if rule.removed_at is None), key=lambda rule: (rule.doctor_id, rule.id))
    for rule in live:
        made.add(rule)
    return made.plan()


class _Making:
    """A plan in the making. Rules are added in order of doctor and id."""

    def __init__(
        self,
        closures: Closures,
        zones: Mapping[int, tzinfo],
        buffers: Mapping[int, int],
        first_day: date,
        last_day: date,
    ) -> None:
        self._closures, self._zones, self._buffers = closures, zones, buffers
        self._first_day, self._last_day = first_day, last_day
        self._doctors: dict[int, Taken[WantedSlot]] = {}
        self._windows: dict[int, Taken[WantedWindow]] = {}
        self._skipped: list[SkippedSlot] = []

    def add(self, rule: Rule) -> None:
        if rule.is_window:
            self._add_windows(rule)
        else:
            self._add_slots(rule)

    def _add_windows(self, rule: Rule) -> None:
        """Buffers of slots may reach into a window. So hours may begin where the hours before end."""
        taken = Taken(self._taken(rule).periods)
        windows = self._windows_of(rule)
        kept = []
        for window in self._windows_wanted(rule):
            other = taken.find(window.start_time, window.end_time) or windows.find(window.start_time, window.end_time)
            if other is None:
                kept.append(window)
            else:
                self._skipped.append(_skipped(window, other))
        self._windows[rule.doctor_id] = Taken([*windows.periods, *kept])

    def _windows_wanted(self, rule: Rule) -> Iterator[WantedWindow]:
        zone = self._zones[rule.clinic_id]
        for day in days_of(rule, self._first_day - timedelta(days=_DAYS_BEFORE), self._last_day):
            window = window_on(rule, day, zone)
            if window is None:
                opens = datetime.combine(day, time()) + timedelta(minutes=rule.opens)
                self._skip(rule, opens, None, SkipReason.CLOCK_CHANGE)
            else:
                yield window

    def _taken(self, rule: Rule) -> "Taken[WantedSlot]":
        return self._doctors.get(rule.doctor_id) or Taken[WantedSlot](())

    def _windows_of(self, rule: Rule) -> "Taken[WantedWindow]":
        return self._windows.get(rule.doctor_id) or Taken[WantedWindow](())

    def _add_slots(self, rule: Rule) -> None:
        taken, windows = self._taken(rule), self._windows_of(rule)
        kept = []
        for wanted in self._slots(rule):
            other = taken.find(wanted.start_time, wanted.busy_end) or windows.find(wanted.start_time, wanted.end_time)
            if other is None:
                kept.append(wanted)
            else:
                self._skipped.append(_skipped(wanted, other))
        self._doctors[rule.doctor_id] = Taken([*taken.periods, *kept], BUSY_END)

    def plan(self) -> Plan:
        wanted, closed = [], []
        for slot in (
            slot for taken in self._doctors.values() for slot in taken.periods if self._covers(slot.local_start)
        ):
            closure = self._closures.find(slot.doctor_id, slot.clinic_id, slot.start_time, slot.end_time)
            if closure is None:
                wanted.append(slot)
            else:
                closed.append(ClosedTime(slot, closure.id))
        skipped = (each for each in self._skipped if each.local_start and self._covers(each.local_start))
        windows = (
            window for taken in self._windows.values() for window in taken.periods if self._covers(window.local_start)
        )
        return Plan(self._first_day, self._last_day, tuple(wanted), tuple(closed), tuple(skipped), tuple(windows))

    def _covers(self, local_start: datetime) -> bool:
        return self._first_day <= local_start.date() <= self._last_day

    def _slots(self, rule: Rule) -> Iterator[WantedSlot]:
        zone, hours = self._zones[rule.clinic_id], Hours(rule.opens, rule.closes)
        buffer = buffer_of(rule, self._buffers)
        starts = slot_starts(hours, rule.slot_minutes, max(rule.break_minutes, buffer))
        for day in days_of(rule, self._first_day - timedelta(days=_DAYS_BEFORE), self._last_day):
            midnight = datetime.combine(day, time())
            offset = _steady_offset(midnight, hours, zone)
            if offset is None:
                yield from self._slots_beside_change(rule, midnight, starts, zone, buffer)
            else:
                yield from _slots_of_day(rule, midnight, starts, offset, buffer)

    def _slots_beside_change(
        self, rule: Rule, midnight: datetime, starts: Iterable[int], zone: tzinfo, buffer: int
    ) -> Iterator[WantedSlot]:
        """The slots of a day on which clocks change during the hours."""
        length, end_before = timedelta(minutes=rule.slot_minutes), None
        closes = midnight + timedelta(minutes=rule.closes)
        for minutes in starts:
            local = midnight + timedelta(minutes=minutes)
            start = first_moment(local, zone)
            reason = _why_skipped(start, length, end_before, closes, zone)
            if start is None or reason is not None:
                self._skip(rule, local, start, reason or SkipReason.CLOCK_CHANGE)
                continue
            end_before = start + length + timedelta(minutes=buffer)
            yield _wanted(rule, start, start + length, local, buffer)

    def _skip(self, rule: Rule, local: datetime, start: datetime | None, reason: SkipReason) -> None:
        self._skipped.append(SkippedSlot(rule.doctor_id, rule.clinic_id, rule.id, local, start, reason))


def window_on(rule: Rule, day: date, zone: tzinfo) -> WantedWindow | None:
    """The window of a rule on one of its days; None if clocks go forward over all its hours.

    Of an hour that comes twice it begins and ends in the first pass. Where clocks go forward over its beginning or its
    end, it begins or ends when they do.
    """
    midnight = datetime.combine(day, time())
    start = first_moment_from(midnight + timedelta(minutes=rule.opens), zone)
    end = first_moment_from(midnight + timedelta(minutes=rule.closes), zone)
    if start >= end:
        return None
    return WantedWindow(rule.id, rule.doctor_id, rule.clinic_id, start, end, local_time(start, zone))


def buffer_of(rule: Rule, buffers: Mapping[int, int]) -> int:
    """How many minutes the doctor is busy after each slot of the rule, at most."""
    return max((buffers.get(each, 0) for each in rule.visit_type_ids or ()), default=0)


def days_of(rule: Rule, first_day: date, last_day: date) -> Iterator[date]:
    """The days of a rule from the first to the last, both included."""
    monday = rule.first_day - timedelta(days=rule.first_day.isoweekday() - 1)
    origin = (monday + timedelta(days=rule.weekday - 1)).toordinal()
    earliest = max(first_day, rule.first_day).toordinal()
    latest = min(last_day, rule.last_day or last_day).toordinal()
    step = 7 * rule.every_weeks
    nearest = origin + max(0, -((origin - earliest) // step)) * step
    return (date.fromordinal(day) for day in range(nearest, latest + 1, step))


def _steady_offset(midnight: datetime, hours: Hours, zone: tzinfo) -> timedelta | None:
    """How far the clocks are ahead of UTC during these hours; None if they change.

    It looks at their beginning and end: no zone changes its clocks and changes them back within two days. Most days
    are steady, and need no look at each slot.
    """
    opens, length = midnight + timedelta(minutes=hours.opens), timedelta(minutes=hours.closes - hours.opens)
    begin = first_moment(opens, zone)
    if begin is None or local_time(begin + length, zone) != opens + length:
        return None
    return opens.replace(tzinfo=UTC) - begin


def _slots_of_day(
    rule: Rule, midnight: datetime, starts: Iterable[int], offset: timedelta, buffer: int
) -> Iterator[WantedSlot]:
    begin, length = midnight.replace(tzinfo=UTC) - offset, timedelta(minutes=rule.slot_minutes)
    for minutes in starts:
        after = timedelta(minutes=minutes)
        start = begin + after
        yield _wanted(rule, start, start + length, midnight + after, buffer)


def _why_skipped(
    start: datetime | None, length: timedelta, end_before: datetime | None, closes: datetime, zone: tzinfo
) -> SkipReason | None:
    if start is None:
        return SkipReason.CLOCK_CHANGE
    if end_before is not None and end_before > start:
        return SkipReason.BEFORE_LASTS
    return None if ends_in_time(start + length, closes, zone) else SkipReason.AFTER_HOURS


def _wanted(rule: Rule, start: datetime, end: datetime, local_start: datetime, buffer: int) -> WantedSlot:
    return WantedSlot(
        rule.id, rule.version, rule.doctor_id, rule.clinic_id, start, end, local_start, rule.total_seats,
        rule.visit_type_ids, end + timedelta(minutes=buffer) if buffer else None,
    )  # fmt: skip


def _skipped(wanted: WantedSlot | WantedWindow, other: WantedSlot | WantedWindow) -> SkippedSlot:
    return SkippedSlot(
        wanted.doctor_id, wanted.clinic_id, wanted.rule_id, wanted.local_start, wanted.start_time,
        SkipReason.OTHER_RULE, other_rule_id=other.rule_id,
    )  # fmt: skip


# Of slots: with their buffers.
BUSY_END = attrgetter("busy_end")


class HasPeriod(Protocol):
    """Something half-open, in UTC."""

    @property
    def start_time(self) -> datetime: ...

    @property
    def end_time(self) -> datetime: ...


Taker = TypeVar("Taker", bound=HasPeriod)


class Taken(Generic[Taker]):
    """A doctor's time that is taken, in order of its starts. Periods may overlap one another.

    `end` says until when a period takes the time.
    """

    def __init__(self, periods: Iterable[Taker], end: Callable[[Taker], datetime] = attrgetter("end_time")) -> None:
        self._end = end
        self.periods = sorted(periods, key=attrgetter("start_time"))
        self._starts = [period.start_time for period in self.periods]
        # Of each period, the place of the one that ends last among it and those before it.
        self._latest = list(accumulate(range(len(self.periods)), self._later))

    def find(self, start: datetime, end: datetime) -> Taker | None:
        """A period that overlaps this one; None if nothing does."""
        place = bisect_left(self._starts, end)
        if place == 0:
            return None
        latest = self.periods[self._latest[place - 1]]
        return latest if self._end(latest) > start else None

    def _later(self, one: int, other: int) -> int:
        return one if self._end(self.periods[one]) > self._end(self.periods[other]) else other
