"""The times that a person can book: of published slots, and in open time. What is offered, `hold_offered` accepts.

Two sources are read bit by bit, until both are known beyond the end of the page: slots by start, and the days with open
time by the earliest place that one of their times can have in the list.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from itertools import count, groupby
from operator import attrgetter, itemgetter
from typing import NamedTuple, Protocol

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Connection, Database
from slotwise.db.search_patterns import equal_to
from slotwise.db.statements import Statement
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.offered_times import OfferedTime
from slotwise.domain.open_times import OpenWindow, VisitTime, free_starts, offered_starts
from slotwise.domain.slots import Slot
from slotwise.domain.timetables import Period
from slotwise.domain.visit_types import VisitMode
from slotwise.services.core.time_ids import TimeIds
from slotwise.services.schedule.slot_lists import SlotQuery, list_slots

MAX_DAYS = 62
# Days with open time that are read at once, first and later. A page ends when something was read so often for it.
FIRST_DAYS, MOST_DAYS = 24, 96
MOST_READS = 60
# Slots that are read at once at most. The first time, no more than a page may need.
MOST_SLOTS = 500


class TimesQuery(Struct, frozen=True):
    """Which times to list, and who wants to book: a guest, an account, or the desk.

    The period of starts is half-open, in UTC. It begins now at the earliest; without an end it is `MAX_DAYS` long.
    """

    doctor_id: int | None = None
    specialization: str | None = None
    clinic_ids: frozenset[int] | None = None
    visit_type_id: int | None = None
    starts_from: datetime | None = None
    starts_before: datetime | None = None
    seats: int = 1
    user_id: int | None = None
    by_desk: bool = False

    def within(self, clinic_ids: frozenset[int] | None) -> "TimesQuery":
        """Only at these of the query's clinics; None changes nothing."""
        if clinic_ids is None:
            return self
        return replace(self, clinic_ids=clinic_ids if self.clinic_ids is None else clinic_ids & self.clinic_ids)


class Place(NamedTuple):
    """Where a time is in the list: its start, doctor, and visit type, 0 for none."""

    start_time: datetime
    doctor_id: int
    visit_type_id: int


BEGIN = Place(FIRST_TIME, 0, 0)
END = Place(LAST_READABLE_TIME, MAX_ID, MAX_ID)


class FreeTime(Struct, frozen=True):
    """In a slot or, if `slot_id` is None, in a window. A slot without visit types has neither type nor mode."""

    start_time: datetime
    end_time: datetime
    doctor_id: int
    doctor_name: str
    specialization: str | None
    clinic_id: int
    visit_type_id: int | None
    mode: VisitMode | None
    available_seats: int
    slot_id: int | None = None
    window_id: int | None = None
    total_seats: int = 1

    @property
    def place(self) -> Place:
        return Place(self.start_time, self.doctor_id, self.visit_type_id or 0)


class FoundTimes(Struct, frozen=True):
    """By place. `walked_to` is how far the list was read, if that ended early; `now` is the database's clock."""

    times: list[FreeTime]
    walked_to: Place | None
    now: datetime


class Counted(NamedTuple):
    """If the count is not whole, there may be more."""

    times: int
    whole: bool


class OfferedType(Struct, frozen=True):
    """A visit type. If it is `offered`, visits can begin from and until then; without a horizon, at any later time."""

    id: int
    minutes: int
    buffer_minutes: int
    mode: VisitMode
    now: datetime
    offered: bool
    starts_from: datetime
    starts_until: datetime | None

    @property
    def visit(self) -> VisitTime:
        return VisitTime(timedelta(minutes=self.minutes), timedelta(minutes=self.buffer_minutes))

    def can_begin(self, start: datetime) -> bool:
        return self.offered and self.earliest <= start <= self.latest

    @property
    def earliest(self) -> datetime:
        """A visit begins later than now, by a microsecond at least."""
        return max(self.starts_from, self.now + timedelta.resolution)

    @property
    def latest(self) -> datetime:
        return self.starts_until or LAST_READABLE_TIME


class OpenDay(Struct, frozen=True):
    """A doctor's day with open time at a clinic. No unread time of such a day comes before start and doctor."""

    bound: datetime
    doctor_id: int
    clinic_id: int
    day: date
    near: datetime


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


class Now(Struct, frozen=True):
    now: datetime


READ_CLOCK = Statement("schedule/times.read_clock", Now)
READ_OFFERED_TYPES = Statement("schedule/times.read_offered_types", OfferedType)
LIST_OPEN_DAYS = Statement("schedule/times.list_open_days", OpenDay)
LIST_OPEN_DAYS_OF_DOCTORS = Statement("schedule/times.list_open_days_of_doctors", OpenDay)
READ_OPEN_DAYS = Statement("schedule/times.read_open_days", WindowOfDay)


class Times:
    def __init__(self, database: Database, time_ids: TimeIds) -> None:
        self._database = database
        self._time_ids = time_ids

    async def list_times(self, query: TimesQuery, limit: int, after: Place = BEGIN) -> FoundTimes:
        """At most `limit` and one more, after that place."""
        async with self._database.connection() as connection:
            return await list_times(connection, query, limit, after)

    async def count_times(self, query: TimesQuery, periods: Sequence[Period], limit: int) -> list[Counted]:
        """How many times begin in each of the periods, up to the limit."""
        async with self._database.connection() as connection:
            now, types = await _read_offers(connection, query)
            return [
                await _count(connection, _Search.of(_in(period, query), types, now, BEGIN), limit) for period in periods
            ]

    async def offers(self, query: TimesQuery) -> bool:
        """Whether who asks can book the visit type of the query at all, at any time."""
        async with self._database.connection() as connection:
            _, types = await _read_offers(connection, query)
        return any(each.offered for each in types if each.id == query.visit_type_id)

    def id_of(self, time: FreeTime, query: TimesQuery, now: datetime) -> str:
        """Changes once a minute, so that a list stays the same as long as nothing else in it changes."""
        return self._time_ids.id_of(
            OfferedTime(
                time.window_id,
                time.slot_id,
                time.start_time,
                time.end_time,
                time.visit_type_id,
                now.replace(second=0, microsecond=0),
                query.by_desk,
            )
        )


async def list_times(connection: Connection, query: TimesQuery, limit: int, after: Place = BEGIN) -> FoundTimes:
    """See `Times.list_times`."""
    now, types = await _read_offers(connection, query)
    return await _read(connection, _Search.of(query, types, now, after), limit)


async def _read_offers(connection: Connection, query: TimesQuery) -> tuple[datetime, list[OfferedType]]:
    now = (await READ_CLOCK.one(connection)).now
    return now, await READ_OFFERED_TYPES.all(connection, by_desk=query.by_desk, user_id=query.user_id)


def _in(period: Period, query: TimesQuery) -> TimesQuery:
    return replace(query, starts_from=period.start_time, starts_before=period.end_time)


async def _count(connection: Connection, search: "_Search", limit: int) -> Counted:
    found = await _read(connection, search, limit)
    return Counted(min(len(found.times), limit), whole=len(found.times) <= limit and found.walked_to is None)


class _Search(Struct, frozen=True):
    """A query with all that it depends on. `types` has the active types, `wanted` those that it may offer."""

    query: TimesQuery
    now: datetime
    starts_from: datetime
    starts_before: datetime
    after: Place
    types: Mapping[int, OfferedType]
    wanted: frozenset[int]

    @classmethod
    def of(cls, query: TimesQuery, types: Sequence[OfferedType], now: datetime, after: Place) -> "_Search":
        starts_from = max(query.starts_from or now, now)
        only = query.visit_type_id
        return cls(
            query,
            now,
            starts_from,
            query.starts_before or min(starts_from + timedelta(days=MAX_DAYS), LAST_READABLE_TIME),
            max(after, Place(starts_from, 0, 0)),
            {each.id: each for each in types},
            frozenset(each.id for each in types if each.offered and only in {None, each.id}),
        )

    def takes(self, place: Place) -> bool:
        return self.now < place.start_time < self.starts_before and place > self.after

    def visits_of(self, type_ids: Iterable[int]) -> list[VisitTime]:
        return [self.types[each].visit for each in type_ids if each in self.types]


class _Found(NamedTuple):
    """A time that was found, without all that is said about it: most are not on the page."""

    place: Place
    where: Slot | WindowOfDay
    offered: OfferedType | None


class _Source(Protocol):
    """All its times up to `known_to` have been read."""

    known_to: Place

    def first_to(self, place: Place, most: int) -> Sequence[_Found]:
        """The first of its times, up to this place. There may be more than `most`."""

    async def read_more(self, connection: Connection) -> None: ...


async def _read(connection: Connection, search: _Search, limit: int) -> FoundTimes:
    sources: list[_Source] = [_SlotTimes(search, limit + 1), _WindowTimes(search)]
    reads = 0
    while True:
        known = min(source.known_to for source in sources)
        found = [each for source in sources for each in source.first_to(known, limit + 1)]
        if len(found) > limit or known == END:
            return FoundTimes(_first(found, limit + 1), None, search.now)
        if reads >= MOST_READS and known > search.after:
            return FoundTimes(_first(found, limit), known, search.now)
        await min(sources, key=attrgetter("known_to")).read_more(connection)
        reads += 1


def _first(found: list[_Found], limit: int) -> list[FreeTime]:
    return [_time_of(each) for each in sorted(found, key=itemgetter(0))[:limit]]


class _SlotTimes:
    """Times of published slots. `list_slots` sorts those of one start by id, so a start is known when the next is."""

    def __init__(self, search: _Search, at_once: int) -> None:
        self.known_to = search.after
        self._found: list[_Found] = []
        self._search = search
        self._at_once = at_once
        self._read_to = (search.after.start_time, 0)

    def first_to(self, place: Place, most: int) -> Sequence[_Found]:  # noqa: ARG002 - they are there anyway
        return [each for each in self._found if each.place <= place]

    async def read_more(self, connection: Connection) -> None:
        found = await list_slots(connection, self._query(), self._at_once, self._read_to)
        self._found += [time for slot in found for time in self._times_of(slot) if self._search.takes(time.place)]
        if len(found) < self._at_once:
            self.known_to = END
            return
        self._at_once = min(4 * self._at_once, MOST_SLOTS)
        self._read_to = (found[-1].start_time, found[-1].id)
        self.known_to = max(self.known_to, Place(found[-1].start_time, 0, 0))

    def _query(self) -> SlotQuery:
        query = self._search.query
        return SlotQuery(
            query.doctor_id,
            query.specialization,
            self._search.starts_from,
            self._search.starts_before,
            query.seats,
            query.clinic_ids,
            query.visit_type_id,
            query.by_desk,
        )

    def _times_of(self, slot: Slot) -> Iterator[_Found]:
        if slot.visit_type_ids is None:
            yield _Found(Place(slot.start_time, slot.doctor_id, 0), slot, None)
        for type_id in slot.visit_type_ids or ():
            if type_id in self._search.wanted and (offered := self._search.types[type_id]).can_begin(slot.start_time):
                yield _Found(Place(slot.start_time, slot.doctor_id, type_id), slot, offered)


class _WindowTimes:
    """Times in windows, each for one person, day by day and doctor by doctor.

    A day has many times, of which few are on a page: the next one of a day is found when the one before it is taken.
    """

    def __init__(self, search: _Search) -> None:
        self._found: list[_Found] = []
        # The next time of each day and type, with a number so that no two are equal, and those after it.
        self._next: list[tuple[Place, int, _Found, Iterator[_Found]]] = []
        self._search = search
        first = min((search.types[each].starts_from for each in search.wanted), default=LAST_READABLE_TIME)
        self._from = search.after if first <= search.after.start_time else Place(first, 0, 0)
        nothing = not search.wanted or search.query.seats > 1 or self._from.start_time >= search.starts_before
        self.known_to = END if nothing else search.after
        self._read_to = (self._from.start_time - timedelta(microseconds=1), 0)
        self._seen: set[tuple[int, int, date]] = set()
        self._numbers = count()
        self._at_once = FIRST_DAYS

    def first_to(self, place: Place, most: int) -> Sequence[_Found]:
        while self._next and self._next[0][0] <= place and len(self._found) < most:
            _, number, found, following = heappop(self._next)
            self._found.append(found)
            self._wait_for(following, number)
        return self._found

    def _wait_for(self, times: Iterator[_Found], number: int) -> None:
        found = next((each for each in times if self._search.takes(each.place)), None)
        if found is not None:
            heappush(self._next, (found.place, number, found, times))

    async def read_more(self, connection: Connection) -> None:
        days = await self._list_days(connection)
        for windows in await _read_days(connection, self._not_seen(days)):
            for times in _times_in(windows, self._search):
                self._wait_for(times, next(self._numbers))
        if len(days) < self._at_once:
            self.known_to = END
            return
        self._at_once = min(2 * self._at_once, MOST_DAYS)
        self._read_to = (days[-1].bound, days[-1].doctor_id)
        self.known_to = max(self.known_to, Place(*self._read_to, MAX_ID))

    async def _list_days(self, connection: Connection) -> list[OpenDay]:
        query = self._search.query
        if query.doctor_id is None and query.specialization is None:
            return await LIST_OPEN_DAYS.all(
                connection,
                from_time=self._from.start_time,
                from_doctor=self._from.doctor_id,
                after_time=self._read_to[0],
                after_doctor=self._read_to[1],
                starts_before=self._search.starts_before,
                type_ids=self._search.wanted,
                clinic_ids=query.clinic_ids,
                limit=self._at_once,
            )
        return await LIST_OPEN_DAYS_OF_DOCTORS.all(
            connection,
            doctor_id=query.doctor_id,
            specialization=equal_to(query.specialization),
            from_time=self._from.start_time,
            from_doctor=self._from.doctor_id,
            after_time=self._read_to[0],
            after_doctor=self._read_to[1],
            starts_before=self._search.starts_before,
            type_ids=self._search.wanted,
            clinic_ids=query.clinic_ids,
            limit=self._at_once,
        )

    def _not_seen(self, days: Iterable[OpenDay]) -> list[OpenDay]:
        """A day with several windows is read as a whole with the first of them."""
        new = {key: day for day in reversed(list(days)) if (key := _day_of(day)) not in self._seen}
        self._seen |= new.keys()
        return list(new.values())


def _day_of(part: OpenDay | WindowOfDay) -> tuple[int, int, date]:
    return part.doctor_id, part.clinic_id, part.day


async def _read_days(connection: Connection, days: Sequence[OpenDay]) -> list[list[WindowOfDay]]:
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


def _times_in(windows: Sequence[WindowOfDay], search: _Search) -> Iterator[Iterator[_Found]]:
    """What can be booked on a day, by type: of the starts that are free, those that are offered."""
    parts = [(window, _open_window(window, search)) for window in windows]
    for type_id in sorted({each for window in windows for each in window.visit_type_ids} & search.wanted):
        offered = search.types[type_id]
        yield _times_of_type([each for each in parts if type_id in each[0].visit_type_ids], offered)


def _times_of_type(parts: Sequence[tuple[WindowOfDay, OpenWindow]], offered: OfferedType) -> Iterator[_Found]:
    """Of a doctor's windows, in order."""
    earliest, latest = offered.earliest, offered.latest
    free = (
        start for _, part in parts for start in free_starts(part, offered.visit) if earliest <= start.start <= latest
    )
    for start in offered_starts(free):
        window = next(window for window, _ in parts if start < window.end_time)
        yield _Found(Place(start, window.doctor_id, offered.id), window, offered)


def _open_window(window: WindowOfDay, search: _Search) -> OpenWindow:
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


def _time_of(found: _Found) -> FreeTime:
    start, where, offered = found.place.start_time, found.where, found.offered
    in_slot = isinstance(where, Slot)
    return FreeTime(
        start,
        where.end_time if offered is None or in_slot else start + offered.visit.length,
        where.doctor_id,
        where.doctor_name,
        where.specialization,
        where.clinic_id,
        None if offered is None else offered.id,
        None if offered is None else offered.mode,
        where.available_seats if isinstance(where, Slot) else 1,
        slot_id=where.id if in_slot else None,
        window_id=None if in_slot else where.id,
        total_seats=where.total_seats if isinstance(where, Slot) else 1,
    )
