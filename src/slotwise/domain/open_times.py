"""Open time: when a visit can begin in a window, so that no time is left which is too short for any visit.

Pure: it depends on the window, on what is taken or closed, and on the lengths of visits. Periods are half-open, in UTC.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from slotwise.domain.timetables import Period

_NOTHING = timedelta()


class VisitTime(Struct, frozen=True):
    """How long a visit takes, and how long the doctor is busy afterwards."""

    length: timedelta
    buffer: timedelta = timedelta()

    @property
    def whole(self) -> timedelta:
        return self.length + self.buffer


class OpenWindow(Struct, frozen=True):
    """A doctor's open time.

    Visits are offered every `step` from its beginning on, and after other visits. `visits` are those that it is for.
    `closed` are the closures that touch it. `taken` is what takes the doctor's time, with buffers, in order and without
    overlaps; also what the buffer of a visit in the window could reach.
    """

    period: Period
    step: timedelta
    visits: Sequence[VisitTime]
    taken: Sequence[Period] = ()
    closed: Sequence[Period] = ()


class FreeStart(Struct, frozen=True):
    """`wasteful` if a gap before or after the visit would be too short for any visit."""

    start: datetime
    wasteful: bool


def free_starts(window: OpenWindow, visit: VisitTime) -> Iterator[FreeStart]:
    """When the visit can begin, in order. Each is found when it is asked for."""
    for part in _open_parts(window):
        yield from _starts_in(part, window, visit)


def offered_starts(free: Iterable[FreeStart]) -> Iterator[datetime]:
    """Those that a patient chooses from, of one day: without the wasteful ones, unless there are no others.

    Each is found when it is asked for; as long as all are wasteful, the next one is looked at.
    """
    wasteful, only_wasteful = [], True
    for each in free:
        if not each.wasteful:
            only_wasteful = False
            yield each.start
        elif only_wasteful:
            wasteful.append(each.start)
    if only_wasteful:
        yield from wasteful


def steps_of(window: OpenWindow, visit: VisitTime) -> list[datetime]:
    """When the visit would begin if nothing were taken or closed: at the beginning and on the steps, in order."""
    latest = window.period.end_time - visit.length
    return [start for start in _on_steps(window.period, window) if start <= latest]


def gap_beside(window: OpenWindow, visit: VisitTime, start: datetime) -> Period:
    """The gap that makes a free start wasteful: the one before the visit, otherwise the one after it."""
    part = next(each for each in _open_parts(window) if each.start_time <= start < each.end_time)
    before = max((each.end_time for each in window.taken if each.end_time <= start), default=part.start_time)
    begin = max(before, part.start_time)
    if _NOTHING < start - begin < min(each.whole for each in window.visits):
        return Period(begin, start)
    following = min((each.start_time for each in window.taken if each.start_time > start), default=part.end_time)
    return Period(start + visit.whole, min(following, part.end_time))


def _open_parts(window: OpenWindow) -> Iterator[Period]:
    """The window without its closures."""
    begin, end = window.period.start_time, window.period.end_time
    for closure in sorted(window.closed, key=lambda closure: closure.start_time):
        if begin < min(closure.start_time, end):
            yield Period(begin, min(closure.start_time, end))
        begin = max(begin, closure.end_time)
    if begin < end:
        yield Period(begin, end)


def _starts_in(part: Period, window: OpenWindow, visit: VisitTime) -> Iterator[FreeStart]:
    """Each step and each end of a visit is looked at, for every list of times: this must be quick."""
    taken_from, taken_until = [each.start_time for each in window.taken], [each.end_time for each in window.taken]
    shortest = min(each.length for each in window.visits), min(each.whole for each in window.visits)
    latest, whole = part.end_time - visit.length, visit.whole
    for start in _candidates(part, window, taken_until):
        if start > latest:
            break
        place = bisect_right(taken_until, start)
        before = max(part.start_time, taken_until[place - 1]) if place > 0 else part.start_time
        following = taken_from[place] if place < len(taken_from) else None
        if following is None or start + whole <= following:
            wasteful = _is_wasteful(start - before, following, start + whole, part.end_time, shortest)
            yield FreeStart(start, wasteful)


def _candidates(part: Period, window: OpenWindow, taken_until: Sequence[datetime]) -> Sequence[datetime]:
    """Where a visit may begin if it has room: the begin of open time, the steps, and the ends of visits."""
    ends = taken_until[bisect_left(taken_until, part.start_time) : bisect_left(taken_until, part.end_time)]
    steps = list(_on_steps(part, window))
    if not ends and steps and steps[0] == part.start_time:
        return steps
    return sorted({part.start_time, *ends, *steps})


def _on_steps(part: Period, window: OpenWindow) -> Iterator[datetime]:
    missing = part.start_time - window.period.start_time
    start = window.period.start_time - window.step * (-missing // window.step)
    while start < part.end_time:
        yield start
        start += window.step


def _is_wasteful(
    before: timedelta,
    following: datetime | None,
    busy_until: datetime,
    closes: datetime,
    shortest: tuple[timedelta, timedelta],
) -> bool:
    """Whether the visit leaves a gap that nothing fits, before it or after it. `shortest` is the shortest visit without
    and with its buffer: at the end of open time, a buffer needs no room.
    """
    length, whole = shortest
    if _NOTHING < before < whole:
        return True
    if following is not None and following < closes:
        return _NOTHING < following - busy_until < whole
    return _NOTHING < closes - busy_until < length
