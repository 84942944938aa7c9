"""What can be booked, as a search wants it: in a published slot, and on a doctor's day with open time."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import NamedTuple, Protocol, TypeVar

from msgspec import Struct

from slotwise.db.pool import Connection
from slotwise.db.statements import Statement
from slotwise.domain.open_times import OpenWindow, free_starts, offered_starts
from slotwise.domain.slots import Slot
from slotwise.domain.timetables import Period
from slotwise.services.schedule.time_searches import OfferedType, Place, Search


class DayToRead(Protocol):
    """A doctor's day with open time at a clinic. `near` is the start of one of its windows."""

    @property
    def doctor_id(self) -> int: ...
    @property
    def clinic_id(self) -> int: ...
    @property
    def day(self) -> date: ...
    @property
    def near(self) -> datetime: ...


Day = TypeVar("Day", bound=DayToRead)


class WindowOfDay(Struct, frozen=True):
    """A window with the types of its rule, what takes the doctor's time, and the closures that touch it."""

    id: int
    doctor_id: int
    clinic_id: int
    day: date
    start_time: datetime
    end_time: datetime
    step_minutes: int
    visit_type_ids: list[int]
    doctor_name: str
    specialization: str | None
    busy_from: list[datetime]
    busy_until: list[datetime]
    closed_from: list[datetime]
    closed_until: list[datetime]


class Found(NamedTuple):
    """A time that was found, without all that is said about it: most are not on the page."""

    place: Place
    where: Slot | WindowOfDay
    offered: OfferedType | None


READ_OPEN_DAYS = Statement("schedule/times.read_open_days", WindowOfDay)


def times_of_slot(slot: Slot, search: Search) -> Iterator[Found]:
    if slot.visit_type_ids is None:
        yield Found(Place(slot.start_time, slot.doctor_id, 0), slot, None)
    for type_id in slot.visit_type_ids or ():
        if type_id in search.wanted and (offered := search.types[type_id]).can_begin(slot.start_time):
            yield Found(Place(slot.start_time, slot.doctor_id, type_id), slot, offered)


def _day_of(part: DayToRead | WindowOfDay) -> tuple[int, int, date]:
    return part.doctor_id, part.clinic_id, part.day


def not_seen(days: Sequence[Day], seen: set[tuple[int, int, date]]) -> list[Day]:
    """Those that were not seen yet, each once: a day with several windows is read as a whole with the first of them."""
    new = {key: day for day in reversed(days) if (key := _day_of(day)) not in seen}
    seen.update(new)
    return list(new.values())


async def read_days(connection: Connection, days: Sequence[DayToRead]) -> list[list[WindowOfDay]]:
    """The windows of each of the days."""
    if not days:
        return []
    windows = await READ_OPEN_DAYS.all(
        connection,
        doctor_ids=[day.doctor_id for day in days],
        clinic_ids=[day.clinic_id for day in days],
        days=[day.day for day in days],
        near=[day.near for day in days],
    )
    return [list(group) for _, group in groupby(sorted(windows, key=_day_of), _day_of)]


def times_in(windows: Sequence[WindowOfDay], search: Search) -> Iterator[Iterator[Found]]:
    """What can be booked on a day, by type: of the starts that are free, those that are offered."""
    parts = [(window, _open_window(window, search)) for window in windows]
    for type_id in sorted({each for window in windows for each in window.visit_type_ids} & search.wanted):
        offered = search.types[type_id]
        yield _times_of_type([each for each in parts if type_id in each[0].visit_type_ids], offered)


def _times_of_type(parts: Sequence[tuple[WindowOfDay, OpenWindow]], offered: OfferedType) -> Iterator[Found]:
    """Of a doctor's windows, in order."""
    earliest, latest = offered.earliest, offered.latest
    free = (
        start for _, part in parts for start in free_starts(part, offered.visit) if earliest <= start.start <= latest
    )
    for start in offered_starts(free):
        window = next(window for window, _ in parts if start < window.end_time)
        yield Found(Place(start, window.doctor_id, offered.id), window, offered)


def _open_window(window: WindowOfDay, search: Search) -> OpenWindow:
    return OpenWindow(
        Period(window.start_time, window.end_time),
        timedelta(minutes=window.step_minutes),
        search.visits_of(window.visit_type_ids),
        taken=_merged(window.busy_from, window.busy_until),
        closed=[Period(*each) for each in zip(window.closed_from, window.closed_until, strict=True)],
    )


def _merged(starts: Iterable[datetime], ends: Iterable[datetime]) -> list[Period]:
    """Periods in order of their starts, without overlaps."""
    merged: list[Period] = []
    for start, end in zip(starts, ends, strict=True):
        if merged and start <= merged[-1].end_time:
            merged[-1] = Period(merged[-1].start_time, max(end, merged[-1].end_time))
        else:
            merged.append(Period(start, end))
    return merged
