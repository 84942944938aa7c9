"""People find what they can book: days, times and counts, and alternatives if nothing is free."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from msgspec.structs import replace

from slotwise.db.pool import Connection, Database
from slotwise.domain.clinics import Clinic, ClinicBook
from slotwise.domain.errors import SlotwiseError
from slotwise.services.schedule.found_times import LAST_DAY, Day, FreeDay, Ignored, NextTimes, TimeQuery, Why
from slotwise.services.schedule.free_times import MOST_TIMES, FreeTimes
from slotwise.services.schedule.slot_searches import MOST_COUNTED, MOST_LOOKED_AT
from tests.open_time import times_in
from tests.workers import GUEST, wanted, workers

ZONE = ZoneInfo("Europe/Berlin")
TODAY = datetime.now(ZONE).date()
TOMORROW = TODAY + timedelta(days=1)


class Planted:
    """A clinic made with plain rows."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]", database: Database) -> None:
        self._connection = connection
        self._database = database
        self.free_times = FreeTimes(database, ClinicBook.of_one(ZONE), times_in(database))

    def end_searches_after(self, slots: int) -> None:
        self.free_times = FreeTimes(self._database, ClinicBook.of_one(ZONE), times_in(self._database), slots)

    async def doctor(self, name: str = "Dr. Who", kind: str | None = None, active: bool = True) -> int:
        query = "INSERT INTO doctors (name, specialization, active) VALUES ($1, $2, $3) RETURNING id"
        return int(await self._connection.fetchval(query, name, kind, active))

    async def slot(self, doctor: int, start: datetime, seats: int = 1, free: int | None = None, **fields: str) -> int:
        slot_id: int = await self._connection.fetchval(
            "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats, status)"
            " VALUES ($1, $2::timestamptz, $2::timestamptz + interval '1 minute', $3, $4, $5) RETURNING id",
            doctor, start, seats, seats if free is None else free, fields.get("status", "OPEN"),
        )  # fmt: skip
        await self._connection.execute(
            "INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor,"
            " created_at) VALUES ($1, 1, 'CREATED', $2, $3, $2, 'test', now())",
            slot_id, seats, seats if free is None else free,
        )  # fmt: skip
        return slot_id

    async def slots(self, doctor: int, start: datetime, number: int, seats: int, free: int) -> None:
        """One slot each minute."""
        await self._connection.execute(
            "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
            " SELECT $1, start, start + interval '1 minute', $3, $4"
            " FROM generate_series($2::timestamptz, $5, interval '1 minute') AS start",
            doctor, start, seats, free, start + timedelta(minutes=number - 1),
        )  # fmt: skip

    async def hold(self, slot_id: int, seats: int, seconds: int) -> None:
        """A hold of seats that the slot does not count as free."""
        await self._connection.execute(
            "INSERT INTO bookings (slot_id, seats_booked, status, expires_at, manage_token_hash)"
            " VALUES ($1, $2, 'PENDING', now() + $3 * interval '1 second', '')",
            slot_id, seats, seconds,
        )  # fmt: skip

    async def find(self, **query: object) -> FreeDay:
        found = await self.free_times.find_times(replace(TimeQuery(), **query))
        assert isinstance(found, FreeDay)
        return found

    async def next_times(self, query: TimeQuery) -> NextTimes:
        found = await self.free_times.list_next_times(query)
        assert isinstance(found, NextTimes)
        return found

    async def ids(self, **query: object) -> list[int | None]:
        return [slot.slot_id for slot in (await self.find(**query)).times]


@pytest.fixture
def clinic(connection: "asyncpg.Connection[asyncpg.Record]", database: Database) -> Planted:
    return Planted(connection, database)


def at(day: date, hour: int = 9, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=ZONE)


def counts(found: FreeDay) -> dict[date, int]:
    return {day.date: day.times for day in found.strip if day.times}


async def test_exactly_the_found_times_can_be_held(clinic: Planted, database_url: str) -> None:
    """One slot of each kind: it is found if and only if a hold of it succeeds (promise P7)."""
    day = TODAY + timedelta(days=2)
    doctor, gone = await clinic.doctor(kind="Cardiology"), await clinic.doctor(kind="Cardiology", active=False)
    slots = [
        await clinic.slot(doctor, at(day, 9)),
        await clinic.slot(doctor, at(day, 10), free=0),
        await clinic.slot(doctor, at(day, 11), status="CLOSED"),
        await clinic.slot(gone, at(day, 12)),
        await clinic.slot(doctor, datetime.now(UTC) - timedelta(minutes=2)),
        overdue := await clinic.slot(doctor, at(day, 13), seats=2, free=0),
        live := await clinic.slot(doctor, at(day, 14), free=0),
        await clinic.slot(doctor, at(day, 15), seats=30, free=2),
    ]
    await clinic.hold(overdue, 2, seconds=-5)
    await clinic.hold(live, 1, seconds=60)
    queries: list[dict[str, object]] = [{}, {"specialization": "cardiology"}, {"doctor_id": doctor}]
    found = [await clinic.find(**query, seats=seats) for query in queries for seats in (1, 2)]
    async with workers(database_url, 1) as [worker]:
        for each in found:
            assert each.day == day
            assert counts(each) == {day: len(each.times)}
        for place, seats in enumerate((2, 1)):
            offered = {slot.slot_id for slot in found[1 - place].times}
            assert all({slot.slot_id for slot in each.times} == offered for each in found[1 - place :: 2])
            for slot_id in slots:
                try:
                    held = await worker.bookings.hold_seats(GUEST, wanted(slot_id, seats))
                    await worker.bookings.cancel_booking(
                        replace(GUEST, manage_token=held.manage.token), held.booking.id
                    )
                except SlotwiseError:
                    assert slot_id not in offered
                else:
                    assert slot_id in offered


async def test_days_are_the_clinics_and_have_23_or_25_hours_twice_a_year(clinic: Planted) -> None:
    doctor = await clinic.doctor()
    years = range(TODAY.year + 1, TODAY.year + 3)
    changes = [_last_sunday(year, month) for year in years for month in (3, 10)]
    for number, day in enumerate(changes):
        first, last = at(day, 0), at(day + timedelta(days=1), 0) - timedelta(minutes=1)
        of_day = [await clinic.slot(doctor, first), await clinic.slot(doctor, last.astimezone(UTC))]
        await clinic.slot(doctor, first - timedelta(minutes=1))
        await clinic.slot(doctor, at(day + timedelta(days=1), 0))
        found = await clinic.find(day=day)
        assert [slot.slot_id for slot in found.times] == of_day
        assert found.times[-1].start_time - found.times[0].start_time == timedelta(hours=24 - 1 + 2 * (number % 2)) - (
            timedelta(minutes=1)
        )
        around = {day - timedelta(days=1): 1, day: 2, day + timedelta(days=1): 1}
        assert counts(found).items() <= around.items()
        assert counts(found)[day] == 2


def _last_sunday(year: int, month: int) -> date:
    last = date(year, month, 31)
    return last - timedelta(days=(last.weekday() + 1) % 7)


async def test_the_next_page_of_a_long_day_continues_where_the_first_ended(clinic: Planted) -> None:
    doctor = await clinic.doctor()
    made = [await clinic.slot(doctor, at(TOMORROW, 8) + timedelta(minutes=5 * n)) for n in range(MOST_TIMES + 2)]
    await clinic.slot(doctor, at(TOMORROW + timedelta(days=1), 8))
    first = await clinic.find()
    assert (first.day, [slot.slot_id for slot in first.times], first.more) == (TOMORROW, made[:MOST_TIMES], True)
    last = first.times[-1]
    rest = await clinic.find(day=TOMORROW, after=last.position)
    assert ([slot.slot_id for slot in rest.times], rest.more) == (made[MOST_TIMES:], False)
    end = rest.times[-1]
    again = await clinic.find(day=TOMORROW, after=end.position)
    assert ([slot.slot_id for slot in again.times], set(again.ignored)) == (made[:MOST_TIMES], {Ignored.AFTER})
    assert await clinic.ids(day=TOMORROW + timedelta(days=1), after=end.position) == [made[-1] + 1]


async def test_a_count_ends_at_a_hundred(clinic: Planted) -> None:
    doctors = [await clinic.doctor(kind="Cardiology") for _ in range(3)]
    for doctor in doctors:
        for number in range(45):
            await clinic.slot(doctor, at(TOMORROW, 8) + timedelta(minutes=5 * number), seats=1 + number % 3)
    assert counts(await clinic.find()) == {TOMORROW: MOST_COUNTED}
    assert counts(await clinic.find(specialization="Cardiology")) == {TOMORROW: MOST_COUNTED}
    assert counts(await clinic.find(doctor_id=doctors[0])) == {TOMORROW: 45}
    assert counts(await clinic.find(seats=2)) == {TOMORROW: 90}
    assert counts(await clinic.find(seats=3, specialization="Cardiology")) == {TOMORROW: 45}


async def test_a_count_reads_a_limited_number_of_slots_and_says_if_there_may_be_more(clinic: Planted) -> None:
    """On a day, nearly all slots have one free seat and few have two: the list has these, and agrees with the strip."""
    doctors = [await clinic.doctor(kind="Cardiology") for _ in range(2)]
    days = [TODAY + timedelta(days=number) for number in (1, 2)]
    for day, doctor in itertools.product(days, doctors):
        await clinic.slots(doctor, at(day, 2), MOST_LOOKED_AT // 2 + 50, seats=3, free=1)
    await clinic.slot(doctors[0], at(days[1], 1), seats=3)
    last = await clinic.slot(doctors[1], at(days[0], 12), seats=3)
    for query in ({}, {"specialization": "Cardiology"}):
        found = await clinic.find(**query, seats=2)
        assert [slot.slot_id for slot in found.times] == [last]
        assert found.strip[1:4] == [Day(days[0], 1), Day(days[1], 1, whole=False), Day(TODAY + timedelta(days=3), 0)]
        other = await clinic.find(**query, seats=2, day=days[1])
        assert other.strip[1:3] == [Day(days[0], 0, whole=False), Day(days[1], 1)]
        for_one = await clinic.find(**query, day=days[1])
        assert for_one.strip[1:3] == [Day(day, MOST_COUNTED, whole=False) for day in days]
    assert (await clinic.find(doctor_id=doctors[1], seats=2, day=days[1])).strip[1] == Day(days[0], 1)


async def test_a_search_for_several_seats_ends_early_and_can_be_continued(clinic: Planted) -> None:
    doctor = await clinic.doctor(kind="Cardiology")
    days = [TODAY + timedelta(days=number) for number in (1, 3, 5)]
    for day in days[:2]:
        await clinic.slots(doctor, at(day, 8), 70, seats=3, free=1)
    last = await clinic.slot(doctor, at(days[2], 8), seats=3)
    clinic.end_searches_after(50)
    for query in ({}, {"specialization": "Cardiology"}):
        answers = [await clinic.find(**query, seats=2, day=day) for day in (None, *days)]
        empty = [answer.nothing for answer in answers if answer.nothing is not None]
        assert [nothing.looked_to for nothing in empty] == [days[0], days[1], None]
        assert [nothing.nearest.slot_id if nothing.nearest else None for nothing in empty] == [None, None, last]
        assert [nothing.why for nothing in empty] == [Why.DAY_UNPUBLISHED, Why.DAY_TAKEN, Why.DAY_TAKEN]
        assert all(nothing.for_one for nothing in empty[:2])
        assert [slot.slot_id for slot in answers[-1].times] == [last]
    clinic.end_searches_after(150)
    assert await clinic.ids(seats=2) == [last]


async def test_the_desks_search_for_several_seats_continues_without_missing_any(clinic: Planted) -> None:
    doctor = await clinic.doctor(kind="Cardiology")
    days = [TODAY + timedelta(days=number) for number in (1, 3, 5)]
    for day in days[:2]:
        await clinic.slots(doctor, at(day, 8), 70, seats=3, free=1)
    await clinic.slots(doctor, at(days[2], 8), 70, seats=3, free=2)
    clinic.end_searches_after(50)
    for query in (TimeQuery(seats=2), TimeQuery(specialization="Cardiology", seats=2)):
        pages = [await clinic.next_times(query)]
        while pages[-1].rest:
            pages.append(await clinic.next_times(replace(query, after=pages[-1].rest)))
        assert [page.looked_to for page in pages[:2]] == days[:2]
        assert (pages[-1].looked_to, max(len(page.times) for page in pages)) == (None, MOST_TIMES)
        starts = [slot.start_time for page in pages for slot in page.times]
        assert starts == [at(days[2], 8) + timedelta(minutes=number) for number in range(70)]
        assert [page.times for page in pages[:2]] == [[], []]
        assert (await clinic.next_times(replace(query, day=days[1]))).looked_to == days[1]
        assert (await clinic.next_times(replace(query, seats=1))).looked_to is None


async def test_continuing_a_search_does_not_lead_back_to_its_start(clinic: Planted) -> None:
    """If nothing is after the day, the search from now on may end before it. Only searched slots count as taken."""
    doctor = await clinic.doctor(kind="Cardiology")
    days = [TODAY + timedelta(days=number) for number in (1, 3, 5)]
    clinic.end_searches_after(50)

    async def reasons(query: dict[str, object]) -> list[tuple[Why, date | None]]:
        found = [(await clinic.find(**query, seats=2, day=day)).nothing for day in days]
        return [(nothing.why, nothing.looked_to) for nothing in found if nothing is not None]

    queries: list[dict[str, object]] = [{}, {"specialization": "Cardiology"}]
    await clinic.slots(doctor, at(days[0], 8), 70, seats=3, free=1)
    of_one_day = [(Why.ALL_TAKEN, None), (Why.DAY_UNPUBLISHED, days[0]), (Why.DAY_UNPUBLISHED, days[0])]
    assert [await reasons(query) for query in queries] == [of_one_day] * 2
    await clinic.slots(doctor, at(days[1], 8), 70, seats=3, free=1)
    of_two_days = [(Why.DAY_TAKEN, days[1]), (Why.DAY_TAKEN, days[0]), (Why.DAY_UNPUBLISHED, days[0])]
    assert [await reasons(query) for query in queries] == [of_two_days] * 2


async def test_the_strip_moves_to_earlier_and_later_days_but_not_into_the_past(clinic: Planted) -> None:
    doctor = await clinic.doctor()
    await clinic.slot(doctor, at(TODAY + timedelta(days=40)))
    first = await clinic.find(day=TODAY)
    assert (first.earlier, first.later) == (None, TODAY + timedelta(days=14))
    found = await clinic.find()
    assert (found.day, found.strip[0].date) == (TODAY + timedelta(days=40), TODAY + timedelta(days=28))
    assert (found.earlier, found.later) == (TODAY + timedelta(days=14), TODAY + timedelta(days=42))
    assert counts(found) == {TODAY + timedelta(days=40): 1}
    assert (await clinic.find(day=LAST_DAY)).day == LAST_DAY


async def test_a_day_without_a_free_time_says_why_and_what_is_nearest(clinic: Planted) -> None:
    doctor = await clinic.doctor(kind="Cardiology")
    days = [TODAY + timedelta(days=number) for number in range(1, 6)]
    await clinic.slot(doctor, at(days[1]), free=0)
    await clinic.slot(doctor, at(days[2], 11))
    free = await clinic.slot(doctor, at(days[2], 10))
    for day, why in ((days[0], Why.DAY_UNPUBLISHED), (days[1], Why.DAY_TAKEN), (days[3], Why.DAY_UNPUBLISHED)):
        for query in ({}, {"doctor_id": doctor}, {"specialization": "Cardiology"}):
            nothing = (await clinic.find(day=day, **query)).nothing
            assert nothing is not None
            assert nothing.why == why
            assert nothing.nearest is not None
            assert nothing.nearest.slot_id == free


async def test_a_doctor_without_free_times_is_fully_booked_or_has_published_none(clinic: Planted) -> None:
    taken, idle = await clinic.doctor(kind="Cardiology"), await clinic.doctor(kind="Cardiology")
    await clinic.slot(taken, at(TOMORROW), seats=3, free=0)
    soon, later = [await clinic.doctor(name, "cardiology") for name in ("Dr. Soon", "Dr. Later")]
    await clinic.slot(later, at(TOMORROW, 10))
    of_soon = await clinic.slot(soon, at(TOMORROW, 9), free=0)
    await clinic.hold(of_soon, 1, seconds=-5)
    await clinic.slot(await clinic.doctor(kind="Surgery"), at(TOMORROW, 8))
    for doctor, why in ((taken, Why.ALL_TAKEN), (idle, Why.UNPUBLISHED)):
        nothing = (await clinic.find(doctor_id=doctor)).nothing
        assert nothing is not None
        assert (nothing.why, nothing.nearest) == (why, None)
        assert [(other.name, other.start_time) for other in nothing.others] == [
            ("Dr. Soon", at(TOMORROW, 9)),
            ("Dr. Later", at(TOMORROW, 10)),
        ]
    for_two = (await clinic.find(doctor_id=later, seats=2)).nothing
    assert for_two is not None
    assert for_two.why == Why.ALL_TAKEN
    assert for_two.for_one is not None
    assert for_two.for_one.start_time == at(TOMORROW, 10)


class BusyDatabase(Database):
    """Another connection runs a command just before one of the reads, counted from 1."""

    others: "asyncpg.Connection[asyncpg.Record]"
    quicker_than: int
    command: str

    @asynccontextmanager
    async def connection(self, seconds: float | None = None) -> AsyncIterator[Connection]:
        self.quicker_than -= 1
        if self.quicker_than == 0:
            await self.others.execute(self.command)
        async with super().connection(seconds) as connection:
            yield connection


async def test_the_times_of_a_doctor_who_no_longer_works_at_a_clinic_are_not_all_taken_there(
    clinic: Planted, connection: "asyncpg.Connection[asyncpg.Record]", database: Database
) -> None:
    await connection.execute("INSERT INTO clinics (id, name, time_zone) VALUES (2, 'East', 'UTC')")
    clinic.free_times = FreeTimes(
        database, ClinicBook([Clinic(1, "West", "UTC"), Clinic(2, "East", "UTC")]), times_in(database)
    )
    doctor, _ = await clinic.doctor(), await clinic.doctor("Dr. Here")
    await clinic.slot(doctor, at(TOMORROW), free=0)

    async def why() -> Why | None:
        found = await clinic.find(clinic_id=1)
        return found.nothing.why if found.nothing else None

    assert await why() is Why.ALL_TAKEN
    await connection.execute("INSERT INTO doctor_clinics (doctor_id, clinic_id) VALUES ($1, 2)", doctor)
    assert await why() is Why.UNPUBLISHED


async def test_a_time_taken_while_its_day_is_read_is_replaced_by_the_next(
    clinic: Planted, connection: "asyncpg.Connection[asyncpg.Record]", database_url: str
) -> None:
    doctor = await clinic.doctor()
    first, second = [await clinic.slot(doctor, at(TODAY + timedelta(days=number)), seats=2) for number in (1, 2)]
    database = await BusyDatabase.connect(database_url, 1)
    assert isinstance(database, BusyDatabase)
    # After the choices and the search that finds it, just before its day is listed.
    database.others, database.quicker_than = connection, 3
    database.command = f"UPDATE appointment_slots SET available_seats = 1 WHERE id = {first}"
    try:
        free_times = FreeTimes(database, ClinicBook.of_one(ZONE), times_in(database))
        found = await free_times.find_times(TimeQuery(doctor_id=doctor, seats=2))
    finally:
        await database.close()
    assert isinstance(found, FreeDay)
    assert (found.day, found.times) == (TODAY, [])
    assert found.nothing is not None
    assert found.nothing.why == Why.DAY_UNPUBLISHED
    assert found.nothing.nearest is not None
    assert found.nothing.nearest.slot_id == second


async def test_parts_of_a_query_that_cannot_be_met_are_ignored_and_named(clinic: Planted) -> None:
    cardiologist, surgeon = await clinic.doctor("Dr. B", "Cardiology"), await clinic.doctor("Dr. A", "surgery")
    gone = await clinic.doctor("Dr. C", "Dermatology", active=False)
    for doctor in (cardiologist, surgeon):
        await clinic.slot(doctor, at(TOMORROW))
    queries: list[tuple[dict[str, object], dict[str, object], set[Ignored]]] = [
        ({"specialization": "CARDIOLOGY"}, {"specialization": "Cardiology"}, set()),
        ({"specialization": "Dermatology"}, {}, {Ignored.SPECIALIZATION}),
        ({"specialization": "Dermatology", "doctor_id": surgeon}, {"doctor_id": surgeon}, {Ignored.SPECIALIZATION}),
        ({"specialization": "Surgery", "doctor_id": cardiologist}, {"specialization": "surgery"}, {Ignored.DOCTOR}),
        ({"doctor_id": gone}, {}, {Ignored.DOCTOR}),
        ({"day": TODAY - timedelta(days=1)}, {}, {Ignored.DAY}),
        ({"day": LAST_DAY + timedelta(days=1)}, {}, {Ignored.DAY}),
    ]
    for asked, understood, ignored in queries:
        found = await clinic.find(**asked)
        assert (found.query, set(found.ignored)) == (replace(TimeQuery(), **understood), ignored), asked
        assert found.times
    choices = (await clinic.find(specialization="surgery", doctor_id=cardiologist)).choices
    assert choices.specializations == ["Cardiology", "surgery"]
    assert [doctor.name for doctor in choices.doctors] == ["Dr. A"]


async def test_without_an_active_doctor_nothing_is_found(clinic: Planted) -> None:
    await clinic.doctor(active=False)
    assert await clinic.free_times.find_times(TimeQuery(specialization="Cardiology", day=TODAY)) is None
