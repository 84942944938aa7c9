"""Timetables: on which days and at which hours, in the clinic's local time, a doctor's slots are."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo

from msgspec import Struct

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.domain.slots import MAX_DURATION_MINUTES

MAX_SLOTS_AT_ONCE = 2_000
MAX_DAYS_AT_ONCE = 366
MINUTES_OF_A_DAY = 24 * 60
EVERY_DAY = frozenset(range(1, 8))


class Hours(Struct, frozen=True):
    """A half-open part of a day, in minutes since midnight in local time; 1440 is the end of the day."""

    opens: int
    closes: int


class Timetable(Struct, frozen=True):
    """Weekdays are those of ISO 8601: 1 is Monday. First and last day are included."""

    first_day: date
    last_day: date
    weekdays: frozenset[int]
    hours: tuple[Hours, ...]
    duration_minutes: int
    break_minutes: int = 0


class Period(Struct, frozen=True):
    """Half-open, in UTC."""

    start_time: datetime
    end_time: datetime


class SkippedTime(Struct, frozen=True):
    """A local time without a slot: a clock change skips it, or the slot before has not ended yet, or the slot would
    end after its hours.
    """

    day: date
    time: time


class LaidOut(Struct, frozen=True):
    """Periods in order, without overlaps."""

    periods: list[Period]
    skipped: list[SkippedTime]


def lay_out(timetable: Timetable, zone: tzinfo) -> LaidOut:
    """The periods of a timetable.

    When clocks go forward, the missing local times are skipped, and so is a slot that would then end too late. When
    clocks go back, one hour comes twice; its slots are in the first one. Raises `InvalidInput`, also for a timetable
    without slots or with too many.
    """
    _check(timetable)
    laid = LaidOut([], [])
    length = timedelta(minutes=timetable.duration_minutes)
    for local, closes in _starts(timetable):
        start = first_moment(local, zone)
        if start is None or not _fits(laid.periods, Period(start, start + length), closes, zone):
            laid.skipped.append(SkippedTime(local.date(), time(local.hour, local.minute)))
        else:
            laid.periods.append(Period(start, start + length))
    return laid


def _fits(before: Sequence[Period], period: Period, closes: datetime, zone: tzinfo) -> bool:
    """Whether it begins after the periods before it, and ends, in local time, before its hours are over."""
    follows = not before or before[-1].end_time <= period.start_time
    return follows and ends_in_time(period.end_time, closes, zone)


def first_moment(local: datetime, zone: tzinfo) -> datetime | None:
    """The first moment with this local time in that zone, in UTC; None if a clock change skips it."""
    moment = local.replace(tzinfo=zone).astimezone(UTC)
    return moment if local_time(moment, zone) == local else None


def first_moment_from(local: datetime, zone: tzinfo) -> datetime:
    """The first moment at which clocks show this local time or a later one, in UTC: where they skip it, the change."""
    moment = first_moment(local, zone)
    if moment is not None:
        return moment
    # By the offset after the change it comes before the change, and by the one before it comes after.
    early, late = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (1, 0))
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        early, late = (middle, late) if local_time(middle, zone) < local else (early, middle)
    return late.replace(microsecond=0)


def local_time(moment: datetime, zone: tzinfo) -> datetime:
    """What the clock on the wall shows at that moment: a time without an offset."""
    return moment.astimezone(zone).replace(tzinfo=None)


def ends_in_time(end: datetime, closes: datetime, zone: tzinfo) -> bool:
    """Whether something that ends at that moment is over when hours end at this local time.

    Looks at its last microsecond: where clocks go forward at 02:00, the end of 01:30 to 02:00 is shown as 03:00.
    """
    return local_time(end - timedelta.resolution, zone) < closes


def slot_starts(hours: Hours, duration_minutes: int, break_minutes: int) -> range:
    """Starts of the slots that end within the hours, in minutes since midnight."""
    return range(hours.opens, hours.closes - duration_minutes + 1, duration_minutes + break_minutes)


def _starts(timetable: Timetable) -> Iterator[tuple[datetime, datetime]]:
    """Each start with the end of its hours, both in local time."""
    for day in _days(timetable):
        midnight = datetime.combine(day, time())
        for hours in timetable.hours:
            closes = midnight + timedelta(minutes=hours.closes)
            for minutes in _minutes(timetable, hours):
                yield midnight + timedelta(minutes=minutes), closes


def _days(timetable: Timetable) -> Iterator[date]:
    for number in range((timetable.last_day - timetable.first_day).days + 1):
        day = timetable.first_day + timedelta(days=number)
        if day.isoweekday() in timetable.weekdays:
            yield day


def _minutes(timetable: Timetable, hours: Hours) -> range:
    return slot_starts(hours, timetable.duration_minutes, timetable.break_minutes)


def _check(timetable: Timetable) -> None:
    faults = [FieldError(field, message) for field, message in _faults(timetable)]
    if faults:
        raise InvalidInput(*faults)
    each_day = sum(len(_minutes(timetable, hours)) for hours in timetable.hours)
    if each_day == 0:
        raise InvalidInput.of("duration_minutes", "does not fit into any of the periods")
    wanted = each_day * sum(1 for _ in _days(timetable))
    if wanted == 0:
        raise InvalidInput.of("weekdays", "must have at least one day from the first to the last day")
    if wanted > MAX_SLOTS_AT_ONCE:
        raise InvalidInput.of("last_day", f"makes {wanted} slots; at most {MAX_SLOTS_AT_ONCE} can be made at once")


def _faults(timetable: Timetable) -> Iterator[tuple[str, str]]:
    if not FIRST_TIME.year <= timetable.first_day.year < LAST_READABLE_TIME.year - 1:
        yield "first_day", "is out of range"
    elif timetable.last_day < timetable.first_day:
        yield "last_day", "must not be before the first day"
    elif (timetable.last_day - timetable.first_day).days >= MAX_DAYS_AT_ONCE:
        yield "last_day", f"must be within {MAX_DAYS_AT_ONCE} days of the first day"
    if not timetable.weekdays or not timetable.weekdays <= EVERY_DAY:
        yield "weekdays", "must have at least one of 1 (Monday) to 7 (Sunday)"
    if not 1 <= timetable.duration_minutes <= MAX_DURATION_MINUTES:
        yield "duration_minutes", f"must be from 1 to {MAX_DURATION_MINUTES}"
    if not 0 <= timetable.break_minutes <= MAX_DURATION_MINUTES:
        yield "break_minutes", f"must be from 0 to {MAX_DURATION_MINUTES}"
    if not _in_order(timetable.hours):
        yield "periods", "must be in order, must not overlap, and each must end after it begins"


def _in_order(hours: tuple[Hours, ...]) -> bool:
    edges = [edge for each in hours for edge in (each.opens, each.closes)]
    within = bool(hours) and edges[0] >= 0 and edges[-1] <= MINUTES_OF_A_DAY
    ends = all(each.opens < each.closes for each in hours)
    return within and ends and edges == sorted(edges)
