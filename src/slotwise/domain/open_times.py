"""Open time: when a visit can begin in a window, so that no time is left which is too short for any visit.

Pure: it depends on the window, on what is taken or closed, and on the lengths of visits. Periods are half-open, in UTC.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from slotwise.domain.timetables import Period


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


def free_starts(window: OpenWindow, visit: VisitTime) -> list[FreeStart]:
    """When the visit can begin, in order."""
    return [start for part in _open_parts(window) for start in _starts_in(part, window, visit)]


def offered_starts(free: Iterable[FreeStart]) -> list[datetime]:
    """Those that a patient chooses from, of one day: without the wasteful ones, unless there are no others."""
    starts = list(free)
    return [each.start for each in starts if not each.wasteful] or [each.start for each in starts]


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
    starts, ends = [each.start_time for each in window.taken], [each.end_time for each in window.taken]
    for start in sorted({part.start_time, *_after_visits(part, ends), *_on_steps(part, window)}):
        place = bisect_right(ends, start)
        before = max(part.start_time, ends[place - 1]) if place > 0 else part.start_time
        following = starts[place] if place < len(starts) else None
        if start + visit.length <= part.end_time and (following is None or start + visit.whole <= following):
            yield FreeStart(start, _is_wasteful(window, before, start, start + visit.whole, following, part.end_time))


def _after_visits(part: Period, ends: Sequence[datetime]) -> Sequence[datetime]:
    return ends[bisect_left(ends, part.start_time) : bisect_left(ends, part.end_time)]


def _on_steps(part: Period, window: OpenWindow) -> Iterator[datetime]:
    missing = part.start_time - window.period.start_time
    start = window.period.start_time - window.step * (-missing // window.step)
    while start < part.end_time:
        yield start
        start += window.step


def _is_wasteful(
    window: OpenWindow,
    before: datetime,
    start: datetime,
    busy_until: datetime,
    following: datetime | None,
    closes: datetime,
) -> bool:
    """Whether the visit leaves a gap that nothing fits. At the end of open time, a buffer needs no room."""
    with_buffer = min(visit.whole for visit in window.visits)
    if timedelta() < start - before < with_buffer:
        return True
    if following is not None and following < closes:
        return timedelta() < following - busy_until < with_buffer
    return timedelta() < closes - busy_until < min(visit.length for visit in window.visits)
