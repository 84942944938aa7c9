"""How many times can be booked on each of some days, in one pass for all of them.

A day is counted up to a limit, for which any of its times will do. So a few windows of each day are read first, then
more of the days that are not full yet, and in the end the slots of those that are still not full.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from msgspec import Struct

from slotwise.db.pool import Connection
from slotwise.db.search_patterns import equal_to
from slotwise.db.statements import Statement
from slotwise.services.schedule.bookable_times import Found, not_seen, read_days, times_in, times_of_slot
from slotwise.services.schedule.slot_lists import list_slots
from slotwise.services.schedule.time_searches import Search

# Windows that are looked at on each day: first, then twice as many, and so on. A day with more than the most that is
# not full by then has a count that is not whole.
FIRST_WINDOWS, MOST_WINDOWS = 16, 2048
# Days of doctors that are read by one statement.
MOST_DAYS = 200


class Counted(NamedTuple):
    """If the count is not whole, there may be more."""

    times: int
    whole: bool


class WindowOfPeriod(Struct, frozen=True):
    """Of the period with this place, from 0. See `DayToRead`."""

    place: int
    doctor_id: int
    clinic_id: int
    day: date
    near: datetime


LIST_WINDOWS_OF_PERIODS = Statement("schedule/times.list_windows_of_periods", WindowOfPeriod)
LIST_WINDOWS_OF_DOCTORS = Statement("schedule/times.list_windows_of_doctors", WindowOfPeriod)


class _Periods:
    """Between each two moments: how many times were found, and whether that is all."""

    def __init__(self, search: Search, moments: Sequence[datetime], limit: int) -> None:
        self.search = search
        self.moments = moments
        self.unread: Collection[int] = ()
        self._limit = limit
        self._found = [0] * (len(moments) - 1)

    def add(self, times: Iterable[Found]) -> None:
        for time in times:
            if self.search.takes(time.place):
                self._found[self.place_of(time.place.start_time)] += 1

    def place_of(self, start: datetime) -> int:
        return bisect_right(self.moments, start) - 1

    def open_from(self, place: int) -> list[int]:
        """The periods from this one on that are not full."""
        return [each for each in range(place, len(self._found)) if self._found[each] <= self._limit]

    def counted(self) -> list[Counted]:
        return [
            Counted(min(found, self._limit), found <= self._limit and place not in self.unread)
            for place, found in enumerate(self._found)
        ]


async def count_times(connection: Connection, search: Search, moments: Sequence[datetime], limit: int) -> list[Counted]:
    """See `Times.count_times`. The period of the search is that of the moments."""
    periods = _Periods(search, moments, limit)
    if search.finds_nothing:
        return periods.counted()
    if search.has_open_time:
        await _count_in_windows(connection, periods)
    await _count_in_slots(connection, periods, limit + 1)
    return periods.counted()


async def _count_in_windows(connection: Connection, periods: _Periods) -> None:
    seen: set[tuple[int, int, date]] = set()
    at_once, places = FIRST_WINDOWS, periods.open_from(0)
    while places and at_once <= MOST_WINDOWS:
        listed = await _list_windows(connection, periods, places, at_once)
        days = not_seen(listed, seen)
        for first in range(0, len(days), MOST_DAYS):
            for windows in await read_days(connection, days[first : first + MOST_DAYS]):
                for times in times_in(windows, periods.search):
                    periods.add(times)
        read = Counter(each.place for each in listed)
        places = [place for place in periods.open_from(0) if read[place] == at_once]
        at_once *= 2
    periods.unread = places


async def _list_windows(
    connection: Connection, periods: _Periods, places: Sequence[int], at_once: int
) -> list[WindowOfPeriod]:
    query = periods.search.query
    where = _where(periods, places, at_once)
    if query.doctor_id is None and query.specialization is None:
        return await LIST_WINDOWS_OF_PERIODS.all(connection, **where)
    return await LIST_WINDOWS_OF_DOCTORS.all(
        connection, **where, doctor_id=query.doctor_id, specialization=equal_to(query.specialization)
    )


def _where(periods: _Periods, places: Sequence[int], at_once: int) -> dict[str, object]:
    """Windows in which a visit can begin in these periods, and within notice and horizon."""
    search, moments = periods.search, periods.moments
    return {
        "places": places,
        "periods_from": [max(moments[place], search.earliest) for place in places],
        "periods_to": [min(moments[place + 1], search.latest + datetime.resolution) for place in places],
        "type_ids": search.wanted,
        "clinic_ids": search.query.clinic_ids,
        "limit": at_once,
    }


async def _count_in_slots(connection: Connection, periods: _Periods, at_once: int) -> None:
    """Reads on after the last slot or, where that one's period is full, from the next period on that is not."""
    places, read_to = periods.open_from(0), (periods.search.starts_from, 0)
    while places:
        read_to = max(read_to, (periods.moments[places[0]], 0))
        slots = await list_slots(connection, periods.search.slots, at_once, read_to)
        for slot in slots:
            periods.add(times_of_slot(slot, periods.search))
        if len(slots) < at_once:
            break
        read_to = slots[-1].start_time, slots[-1].id
        places = periods.open_from(periods.place_of(read_to[0]))
