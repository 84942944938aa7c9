"""The times that a person can book: of published slots, and in open time. What is offered, `hold_offered` accepts.

Two sources are read bit by bit, until both are known beyond the end of the page: slots by start, and the days with open
time by the earliest place that one of their times can have in the list.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from operator import attrgetter, itemgetter
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Connection, Database
from slotwise.db.search_patterns import equal_to
from slotwise.db.statements import Statement
from slotwise.domain.fields import MAX_ID
from slotwise.domain.offered_times import OfferedTime
from slotwise.domain.slots import Slot
from slotwise.domain.visit_types import VisitMode
from slotwise.services.core.time_ids import TimeIds
from slotwise.services.schedule.bookable_times import Found, not_seen, read_days, times_in, times_of_slot
from slotwise.services.schedule.slot_lists import list_slots
from slotwise.services.schedule.time_counts import Counted, count_times
from slotwise.services.schedule.time_searches import BEGIN, END, Place, Search, TimesQuery, read_search

# Days with open time that are read at once, first and later. A page ends when something was read so often for it.
FIRST_DAYS, MOST_DAYS = 24, 96
MOST_READS = 60
# Slots that are read at once at most. The first time, no more than a page may need.
MOST_SLOTS = 500


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


class OpenDay(Struct, frozen=True):
    """A doctor's day with open time at a clinic. No unread time of such a day comes before start and doctor."""

    bound: datetime
    doctor_id: int
    clinic_id: int
    day: date
    near: datetime


LIST_OPEN_DAYS = Statement("schedule/times.list_open_days", OpenDay)
LIST_OPEN_DAYS_OF_DOCTORS = Statement("schedule/times.list_open_days_of_doctors", OpenDay)


class Times:
    def __init__(self, database: Database, time_ids: TimeIds) -> None:
        self._database = database
        self._time_ids = time_ids

    async def list_times(self, query: TimesQuery, limit: int, after: Place = BEGIN) -> FoundTimes:
        """At most `limit` and one more, after that place."""
        async with self._database.connection() as connection:
            return await list_times(connection, query, limit, after)

    async def count_times(self, query: TimesQuery, moments: Sequence[datetime], limit: int) -> list[Counted]:
        """How many times begin between each two moments, which are in order, up to the limit."""
        within = replace(query, starts_from=moments[0], starts_before=moments[-1])
        async with self._database.connection() as connection:
            return await count_times(connection, await read_search(connection, within), moments, limit)

    async def offers(self, query: TimesQuery) -> bool:
        """Whether who asks can book the visit type of the query at all, at any time."""
        async with self._database.connection() as connection:
            return query.visit_type_id in (await read_search(connection, query)).wanted

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
    return await _read(connection, await read_search(connection, query, after), limit)


class _Source(Protocol):
    """All its times up to `known_to` have been read."""

    known_to: Place

    def first_to(self, place: Place, most: int) -> Sequence[Found]:
        """The first of its times, up to this place. There may be more than `most`."""

    async def read_more(self, connection: Connection) -> None: ...


async def _read(connection: Connection, search: Search, limit: int) -> FoundTimes:
    if search.finds_nothing:
        return FoundTimes([], None, search.now)
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


def _first(found: list[Found], limit: int) -> list[FreeTime]:
    return [_time_of(each) for each in sorted(found, key=itemgetter(0))[:limit]]


class _SlotTimes:
    """Times of published slots. `list_slots` sorts those of one start by id, so a start is known when the next is."""

    def __init__(self, search: Search, at_once: int) -> None:
        self.known_to = search.after
        self._found: list[Found] = []
        self._search = search
        self._at_once = at_once
        self._read_to = (search.after.start_time, 0)

    def first_to(self, place: Place, most: int) -> Sequence[Found]:  # noqa: ARG002 - they are there anyway
        return [each for each in self._found if each.place <= place]

    async def read_more(self, connection: Connection) -> None:
        found = await list_slots(connection, self._search.slots, self._at_once, self._read_to)
        times = (time for slot in found for time in times_of_slot(slot, self._search))
        self._found += [time for time in times if self._search.takes(time.place)]
        if len(found) < self._at_once:
            self.known_to = END
            return
        self._at_once = min(4 * self._at_once, MOST_SLOTS)
        self._read_to = (found[-1].start_time, found[-1].id)
        self.known_to = max(self.known_to, Place(found[-1].start_time, 0, 0))


class _WindowTimes:
    """Times in windows, each for one person, day by day and doctor by doctor.

    A day has many times, of which few are on a page: the next one of a day is found when the one before it is taken.
    """

    def __init__(self, search: Search) -> None:
        self._found: list[Found] = []
        # The next time of each day and type, with a number so that no two are equal, and those after it.
        self._next: list[tuple[Place, int, Found, Iterator[Found]]] = []
        self._search = search
        self._from = max(search.after, Place(search.earliest, 0, 0))
        open_time = search.has_open_time and self._from.start_time < search.starts_before
        self.known_to = search.after if open_time else END
        self._read_to = (self._from.start_time - timedelta(microseconds=1), 0)
        self._seen: set[tuple[int, int, date]] = set()
        self._numbers = count()
        self._at_once = FIRST_DAYS

    def first_to(self, place: Place, most: int) -> Sequence[Found]:
        while self._next and self._next[0][0] <= place and len(self._found) < most:
            _, number, found, following = heappop(self._next)
            self._found.append(found)
            self._wait_for(following, number)
        return self._found

    def _wait_for(self, times: Iterator[Found], number: int) -> None:
        found = next((each for each in times if self._search.takes(each.place)), None)
        if found is not None:
            heappush(self._next, (found.place, number, found, times))

    async def read_more(self, connection: Connection) -> None:
        days = await self._list_days(connection)
        for windows in await read_days(connection, not_seen(days, self._seen)):
            for times in times_in(windows, self._search):
                self._wait_for(times, next(self._numbers))
        if len(days) < self._at_once:
            self.known_to = END
            return
        self._at_once = min(2 * self._at_once, MOST_DAYS)
        self._read_to = (days[-1].bound, days[-1].doctor_id)
        self.known_to = max(self.known_to, Place(*self._read_to, MAX_ID))

    async def _list_days(self, connection: Connection) -> list[OpenDay]:
        query = self._search.query
        where = self._where()
        if query.doctor_id is None and query.specialization is None:
            return await LIST_OPEN_DAYS.all(connection, **where)
        return await LIST_OPEN_DAYS_OF_DOCTORS.all(
            connection, **where, doctor_id=query.doctor_id, specialization=equal_to(query.specialization)
        )

    def _where(self) -> dict[str, object]:
        return {
            "from_time": self._from.start_time,
            "from_doctor": self._from.doctor_id,
            "after_time": self._read_to[0],
            "after_doctor": self._read_to[1],
            "starts_before": self._search.starts_before,
            "type_ids": self._search.wanted,
            "clinic_ids": self._search.query.clinic_ids,
            "limit": self._at_once,
        }


def _time_of(found: Found) -> FreeTime:
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
