"""People find times for a kind of visit: of published slots and in open time, by the clock of the clinic."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from slotwise.db.pool import Database
from slotwise.domain.clinics import Clinic, ClinicBook
from slotwise.services.schedule.found_times import FreeDay, KindsToChoose, NextTimes, TimeQuery, Why
from slotwise.services.schedule.free_times import FreeTimes
from tests.open_time import open_time, times_in, visit_type

ZONE = ZoneInfo("Asia/Tokyo")
DAY = datetime.now(ZONE).date() + timedelta(days=3)


class Finder:
    """A clinic in Tokyo."""

    def __init__(self, database: Database, database_url: str) -> None:
        self.free_times = FreeTimes(database, ClinicBook.of_one(ZONE), times_in(database))
        self.url = database_url
        self.kind = visit_type(database_url, 30, name="Check-up", buffer_minutes=0)

    def open(self, day: date, hour: int = 8, minutes: int = 120, **more: int) -> int:
        """Open time with visits each half an hour; returns its doctor."""
        start = datetime.combine(day, time(hour), ZONE).astimezone(UTC)
        return open_time(self.url, {30: self.kind}, start, minutes, 30, **more).doctor_id

    async def find(self, **query: object) -> FreeDay:
        found = await self.free_times.find_times(replace(TimeQuery(visit_type_id=self.kind), **query))
        assert isinstance(found, FreeDay)
        return found


@pytest.fixture
def finder(database: Database, database_url: str) -> Finder:
    return Finder(database, database_url)


def clocks(found: FreeDay | NextTimes) -> list[str]:
    return [f"{each.start_time.astimezone(ZONE):%H:%M}" for each in found.times]


async def test_days_and_counts_are_by_the_clock_of_the_clinic(finder: Finder) -> None:
    """8:00 in Tokyo is the day before in UTC."""
    finder.open(DAY)
    finder.open(DAY + timedelta(days=2), minutes=60)
    found = await finder.find()
    assert (found.day, clocks(found)) == (DAY, ["08:00", "08:30", "09:00", "09:30"])
    assert {each.date: each.times for each in found.strip if each.times} == {DAY: 4, DAY + timedelta(days=2): 2}


async def test_an_empty_day_names_the_next_free_time_and_why_it_is_empty(finder: Finder, database: Database) -> None:
    doctor = finder.open(DAY)
    nothing = (await finder.find(day=DAY - timedelta(days=1))).nothing
    assert nothing is not None
    assert nothing.nearest is not None
    assert (nothing.why, nothing.nearest.start_time.astimezone(ZONE).date()) == (Why.DAY_UNPUBLISHED, DAY)
    async with database.connection() as connection:
        await connection.execute("UPDATE visit_types SET min_notice_minutes = 14400 WHERE id = $1", finder.kind)
    nothing = (await finder.find(doctor_id=doctor)).nothing
    assert nothing is not None
    assert (nothing.why, nothing.nearest) == (Why.UNPUBLISHED, None)


async def test_a_kind_is_asked_for_where_times_are_missing_without_it(finder: Finder) -> None:
    doctor, none = finder.open(DAY), TimeQuery()
    for query in (none, replace(none, doctor_id=doctor), replace(none, day=DAY)):
        for asked in (await finder.free_times.find_times(query), await finder.free_times.list_next_times(query)):
            assert isinstance(asked, KindsToChoose), query
            assert [kind.id for kind in asked.choices.visit_types] == [finder.kind]
    for query in (replace(none, seats=2), replace(none, any_visit=True)):
        assert isinstance(await finder.free_times.find_times(query), FreeDay), query


async def test_others_of_the_specialty_are_named_with_their_first_time(finder: Finder, database: Database) -> None:
    doctors = [finder.open(DAY + timedelta(days=number)) for number in (5, 1, 2)]
    async with database.connection() as connection:
        await connection.execute("UPDATE doctors SET specialization = 'Dermatology' WHERE id = any($1)", doctors)
    nothing = (await finder.find(doctor_id=doctors[0], day=DAY)).nothing
    assert nothing is not None
    assert [other.id for other in nothing.others] == [doctors[1], doctors[2]]


async def test_the_desk_reads_on_where_its_page_ends(finder: Finder) -> None:
    for number in range(6):
        finder.open(DAY + timedelta(days=number), minutes=240)
    first = await finder.free_times.list_next_times(TimeQuery(visit_type_id=finder.kind))
    assert isinstance(first, NextTimes)
    rest = await finder.free_times.list_next_times(replace(first.query, after=first.rest))
    assert isinstance(rest, NextTimes)
    assert (len(first.times), len(rest.times), rest.rest) == (36, 12, None)
    assert clocks(rest)[-1] == "11:30"


async def test_a_clinic_with_open_time_only_has_free_times(finder: Finder, database: Database) -> None:
    finder.open(DAY)
    book = ClinicBook([Clinic(1, "West", "UTC"), Clinic(2, "East", "UTC")])
    free_times = FreeTimes(database, book, times_in(database))
    assert await free_times.find_clinics_with_times(frozenset({1, 2})) == {1}
