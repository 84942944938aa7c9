"""A year as twelve months, with the days on which a clinic is closed or a doctor is away."""

import calendar
from collections.abc import Sequence
from datetime import date, datetime
from typing import NamedTuple

from slotwise.domain.schedules import Closure, ClosureKind
from slotwise.web.kit.times import ClinicTime

_MONTHS = calendar.Calendar()
# The strongest mark of a day is shown: closed before closed in part before away.
MARKS = {"closed": "closed", "part": "closed for a part of the day", "away": "a doctor is away"}


class MarkedDay(NamedTuple):
    """`mark` is one of `MARKS`, or empty. A day of another month is None."""

    day: date | None
    mark: str


class Month(NamedTuple):
    first: date
    weeks: list[list[MarkedDay]]


def year_of(year: int, closures: Sequence[Closure], time: ClinicTime) -> list[Month]:
    marks: dict[date, set[str]] = {}
    for closure in closures:
        _mark(marks, year, closure, time)
    return [_month(year, month, marks) for month in range(1, 13)]


def _mark(marks: dict[date, set[str]], year: int, closure: Closure, time: ClinicTime) -> None:
    first = max(time.day_of(closure.start_time), date(year, 1, 1))
    last = min(time.last_day(closure.end_time), date(year, 12, 31))
    for number in range(first.toordinal(), last.toordinal() + 1):
        day = date.fromordinal(number)
        marks.setdefault(day, set()).add(_mark_of(closure, time.bounds(day)))


def _mark_of(closure: Closure, bounds: tuple[datetime, datetime]) -> str:
    if closure.kind is ClosureKind.ABSENCE or closure.doctor_id is not None:
        return "away"
    whole = closure.start_time <= bounds[0] and closure.end_time >= bounds[1]
    return "closed" if whole else "part"


def _month(year: int, month: int, marks: dict[date, set[str]]) -> Month:
    weeks = _MONTHS.monthdatescalendar(year, month)
    return Month(date(year, month, 1), [[_day(day, month, marks) for day in week] for week in weeks])


def _day(day: date, month: int, marks: dict[date, set[str]]) -> MarkedDay:
    found = marks.get(day, set())
    mark = next((each for each in MARKS if each in found), "")
    return MarkedDay(day, mark) if day.month == month else MarkedDay(None, "")
