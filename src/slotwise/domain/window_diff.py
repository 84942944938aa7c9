"""What is to be done so that the windows that are open become those that a plan wants. Pure and idempotent."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.schedules import Closures, Plan, Rule, SkippedSlot, SkipReason, Taken, WantedWindow
from slotwise.domain.timetables import first_moment_from

# A rule and its hours on one day, by both clocks, and where.
Key: TypeAlias = tuple[int, int, datetime, datetime, datetime]


class ExistingWindow(Struct, frozen=True):
    """A window that is open."""

    id: int
    rule_id: int
    doctor_id: int
    clinic_id: int
    start_time: datetime
    end_time: datetime
    local_start: datetime


class OpenTime(Struct, frozen=True):
    """How much time some windows have, on how many days of a doctor by the clinics' clocks."""

    windows: int
    days: int
    minutes: int

    @classmethod
    def of(cls, windows: Sequence[ExistingWindow | WantedWindow]) -> "OpenTime":
        days = {(each.doctor_id, each.local_start.date()) for each in windows}
        length = sum((each.end_time - each.start_time for each in windows), timedelta())
        return cls(len(windows), len(days), length // timedelta(minutes=1))


NO_OPEN_TIME = OpenTime(0, 0, 0)


class OpenTimeChange(Struct, frozen=True):
    """A difference by day: what comes and goes, and, of days on which it does both, all open time before and after."""

    added: OpenTime
    closed: OpenTime
    before: OpenTime
    after: OpenTime


class WindowDifference(Struct, frozen=True):
    """What to do: close, then add. `open` are all windows afterwards, those that are over left out."""

    add: tuple[WantedWindow, ...] = ()
    close: tuple[ExistingWindow, ...] = ()
    open: tuple[ExistingWindow | WantedWindow, ...] = ()
    skipped: tuple[SkippedSlot, ...] = ()

    @property
    def touched(self) -> int:
        """How many windows it writes."""
        return len(self.add) + len(self.close)

    @property
    def time_added(self) -> OpenTime:
        return OpenTime.of(self.add)

    @property
    def time_closed(self) -> OpenTime:
        return OpenTime.of(self.close)

    @property
    def by_day(self) -> OpenTimeChange:
        moved = set(map(_day, self.add)) & set(map(_day, self.close))
        return OpenTimeChange(
            added=OpenTime.of([each for each in self.add if _day(each) not in moved]),
            closed=OpenTime.of([each for each in self.close if _day(each) not in moved]),
            before=OpenTime.of([each for each in (*self._kept, *self.close) if _day(each) in moved]),
            after=OpenTime.of([each for each in self.open if _day(each) in moved]),
        )

    @property
    def _kept(self) -> list[ExistingWindow | WantedWindow]:
        added = set(map(id, self.add))
        return [each for each in self.open if id(each) not in added]


def _day(window: WantedWindow | ExistingWindow) -> tuple[int, int, date]:
    return window.doctor_id, window.clinic_id, window.local_start.date()


def diff_windows(
    plan: Plan, existing: Iterable[ExistingWindow], now: datetime, published_until: date
) -> WindowDifference:
    """The way from the open windows to those of the plan.

    Nothing is added on days that are not published yet. Windows that are over stay as they are. One that has begun
    is replaced if its rule wants other hours on that day: what is left of them is offered. A window never changes in
    place, so a rule's other step or visit types leave it as it is.
    """
    wanted = {_key(window): window for window in plan.windows if window.end_time > now}
    close: list[ExistingWindow] = []
    kept: list[ExistingWindow] = []
    for window in sorted((each for each in existing if each.end_time > now), key=lambda each: each.id):
        is_wanted = wanted.pop(_key(window), None) is not None
        (kept if is_wanted or not plan.covers(window.local_start) else close).append(window)
    add, skipped = _fitting((each for each in wanted.values() if each.local_start.date() < published_until), kept)
    return WindowDifference(tuple(add), tuple(close), (*kept, *add), tuple(skipped))


def only_added(
    difference: WindowDifference, existing: Sequence[ExistingWindow], added: Iterable[WantedWindow]
) -> WindowDifference:
    """Of the difference, these windows to add, where no open window is, and nothing that closes."""
    add, _ = _fitting(added, existing)
    return WindowDifference(tuple(add), (), (*existing, *add), difference.skipped)


def _fitting(
    wanted: Iterable[WantedWindow], kept: Iterable[ExistingWindow]
) -> tuple[list[WantedWindow], list[SkippedSlot]]:
    """Those that overlap no window that stays, although the plan has no day for it, and what is told of the others."""
    taken: dict[int, list[ExistingWindow]] = defaultdict(list)
    for window in kept:
        taken[window.doctor_id].append(window)
    by_doctor = {doctor_id: Taken(windows) for doctor_id, windows in taken.items()}
    nothing = Taken[ExistingWindow](())
    add: list[WantedWindow] = []
    skipped: list[SkippedSlot] = []
    for each in wanted:
        other = by_doctor.get(each.doctor_id, nothing).find(each.start_time, each.end_time)
        if other is None:
            add.append(each)
        else:
            skipped.append(_skipped(each, other))
    return add, skipped


def _skipped(wanted: WantedWindow, other: ExistingWindow) -> SkippedSlot:
    return SkippedSlot(
        wanted.doctor_id, wanted.clinic_id, wanted.rule_id, wanted.local_start, wanted.start_time,
        SkipReason.OTHER_RULE, other_rule_id=other.rule_id,
    )  # fmt: skip


def _key(window: WantedWindow | ExistingWindow) -> Key:
    return window.rule_id, window.clinic_id, window.start_time, window.end_time, window.local_start


class OpenWindows:
    """Finds out whether a visit lies in open time. Windows of one doctor do not overlap."""

    def __init__(self, windows: Iterable[ExistingWindow | WantedWindow]) -> None:
        grouped: dict[tuple[int, int], list[ExistingWindow | WantedWindow]] = defaultdict(list)
        for window in windows:
            grouped[window.doctor_id, window.clinic_id].append(window)
        self._by_place = {place: Taken(each) for place, each in grouped.items()}

    def have(self, doctor_id: int, clinic_id: int, start: datetime, end: datetime) -> bool:
        """Whether one of the doctor's windows at this clinic has the whole period."""
        windows = self._by_place.get((doctor_id, clinic_id))
        found = windows.find(start, end) if windows else None
        return found is not None and found.start_time <= start and end <= found.end_time


def closed_time(
    windows: Iterable[ExistingWindow], before: Closures, after: Closures, now: datetime
) -> tuple[OpenTime, OpenTime]:
    """How much time of these windows is in closures afterwards that was not before, and the other way round."""
    ahead = [replace(each, start_time=max(each.start_time, now)) for each in windows if each.end_time > now]
    free_before = [piece for window in ahead for piece in _outside(window, before)]
    free_after = [piece for window in ahead for piece in _outside(window, after)]
    closed = OpenTime.of([part for piece in free_before for part in _inside(piece, after)])
    return closed, OpenTime.of([part for piece in free_after for part in _inside(piece, before)])


def _outside(window: ExistingWindow, closures: Closures) -> Iterator[ExistingWindow]:
    """The parts of the window that no closure covers."""
    start = window.start_time
    for part in _inside(window, closures):
        if part.start_time > start:
            yield replace(window, start_time=start, end_time=part.start_time)
        start = part.end_time
    if start < window.end_time:
        yield replace(window, start_time=start)


def _inside(window: ExistingWindow, closures: Closures) -> Iterator[ExistingWindow]:
    """The parts of the window that closures cover, each moment once."""
    start = window.start_time
    for each in closures.overlapping(window.doctor_id, window.clinic_id, window.start_time, window.end_time):
        begin, end = max(start, each.start_time), min(each.end_time, window.end_time)
        if begin < end:
            yield replace(window, start_time=begin, end_time=end)
            start = end


class MovedWindow(Struct, frozen=True):
    """An open window that by the zones of today begins at another moment than its wall time says."""

    window: ExistingWindow
    moment: datetime


def windows_moved_by_zone(
    windows: Iterable[ExistingWindow], rules: Iterable[Rule], zones: Mapping[int, tzinfo]
) -> list[MovedWindow]:
    """What would move by another edition of the time zone database, or by another zone of a clinic."""
    known = {rule.id for rule in rules if rule.removed_at is None}
    found = (
        MovedWindow(window, first_moment_from(window.local_start, zones[window.clinic_id]))
        for window in windows
        if window.rule_id in known
    )
    return [each for each in found if each.moment != each.window.start_time]
