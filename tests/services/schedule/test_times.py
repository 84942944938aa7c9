"""What is offered can be held, and what cannot be held is not offered: under a clock that stands still."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import Any, TypeAlias

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace
from torture.patching import mutate

from slotwise.domain import base64url
from slotwise.domain.errors import InvalidInput
from slotwise.domain.offered_times import OfferedTime
from slotwise.services.core.time_ids import TimeIds
from slotwise.services.schedule import times as times_of_services
from slotwise.services.schedule.time_searches import BEGIN, MAX_DAYS, READ_OFFERED_TYPES, TimesQuery
from slotwise.services.schedule.times import FreeTime, list_times
from tests.depth import many

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
MINUTE = timedelta(minutes=1)
EVERYTHING = TimesQuery()
IDS = TimeIds("a secret of at least 32 bytes, for tests")


async def stop_clock(connection: Connection) -> None:
    """In a transaction, now() stands still. Let the booking path read that clock."""
    for function in ("hold_times", "hold_seats_3"):
        await mutate(connection, function, "clock := clock_timestamp()", "clock := now()")


class House:
    """Doctors with open time, by chance, a few hours around the notice and the horizon of visit types."""

    def __init__(self, connection: Connection, chance: Random) -> None:
        self.connection, self.chance = connection, chance
        self.types: dict[int, asyncpg.Record] = {}
        self.windows: list[asyncpg.Record] = []

    async def furnish(self) -> None:
        self.now: datetime = await self.connection.fetchval("SELECT now()")
        self.day = self.now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
        for _ in range(3):
            await self._new_type()
        for _ in range(2):
            await self._new_doctor()

    async def open_mornings(self, doctors: int) -> None:
        """Each doctor is there from nine to twelve, for visits of ten minutes every half an hour."""
        self.now = await self.connection.fetchval("SELECT now()")
        self.day = self.now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
        row = await self.connection.fetchrow(
            "INSERT INTO visit_types (name, minutes) VALUES ('Visit', 10) RETURNING *, 0 AS buffer_minutes"
        )
        assert row is not None
        self.types[row["id"]] = row
        for _ in range(doctors):
            doctor_id = await self.connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
            begin = self.day + timedelta(hours=9)
            await self._new_window(doctor_id, begin, begin + timedelta(hours=3), [row["id"]], step=30)

    async def _new_type(self) -> None:
        soon = self.day + timedelta(hours=9) - self.now
        notice, horizon = self.chance.choice([(None, None), (soon + 40 * MINUTE, None), (None, 2), (None, 3)])
        row = await self.connection.fetchrow(
            "INSERT INTO visit_types (name, minutes, buffer_minutes, min_notice_minutes, horizon_days, bookable_by)"
            " VALUES ('Visit', $1, $2, $3, $4, $5) RETURNING *",
            self.chance.choice([10, 20, 30, 45]),
            self.chance.choice([0, 5, 15]),
            notice and notice // MINUTE,
            horizon,
            self.chance.choice(["ANYONE", "ANYONE", "ANYONE", "ACCOUNTS", "STAFF"]),
        )
        assert row is not None
        self.types[row["id"]] = row

    async def _new_doctor(self) -> None:
        doctor_id = await self.connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
        begin = self.day + timedelta(hours=9)
        for _ in range(self.chance.choice([1, 2])):
            end = begin + self.chance.choice([60, 90, 120]) * MINUTE
            ids = sorted(self.chance.sample(sorted(self.types), self.chance.choice([1, 2, 3])))
            await self._new_window(doctor_id, begin, end, ids, self.chance.choice([5, 10, 15, 30]))
            begin = end + self.chance.choice([0, 10, 60]) * MINUTE
        await self._fill(doctor_id)

    async def _new_window(self, doctor_id: int, begin: datetime, end: datetime, ids: Sequence[int], step: int) -> None:
        rule_id = await self.connection.fetchval(
            "INSERT INTO schedule_rules (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, kind,"
            " step_minutes, visit_type_ids) VALUES ($1, 1, $2, 1, 0, 60, 60, 'WINDOW', $3, $4) RETURNING id",
            doctor_id,
            begin.date(),
            step,
            ids,
        )
        row = await self.connection.fetchrow(
            "INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)"
            " VALUES ($1, 1, $2, $3, $4, $5) RETURNING *, $6::bigint[] AS visit_type_ids,"
            " (SELECT step_minutes FROM schedule_rules WHERE id = $2) AS step_minutes",
            doctor_id,
            rule_id,
            begin,
            end,
            begin.replace(tzinfo=None),
            ids,
        )
        assert row is not None
        self.windows.append(row)

    async def _fill(self, doctor_id: int) -> None:
        """Visits, a published slot, a closure, and holds that are overdue."""
        for window in [each for each in self.windows if each["doctor_id"] == doctor_id]:
            for _ in range(self.chance.choice([0, 1, 3])):
                start = window["start_time"] + 5 * MINUTE * self.chance.randrange(20)
                await self.hold(window, start, self.chance.choice(window["visit_type_ids"]), by_desk=True)
        await self.connection.execute(
            "UPDATE bookings SET expires_at = now() WHERE status = 'PENDING' AND id % 3 = $1", self.chance.randrange(3)
        )
        await self._publish(doctor_id)
        if self.chance.random() < 0.3:
            start = self.day + timedelta(hours=9) + 5 * MINUTE * self.chance.randrange(12)
            await self.close(doctor_id, start, start + 25 * MINUTE)

    async def _publish(self, doctor_id: int) -> None:
        start = self.day + timedelta(hours=9) + 5 * MINUTE * self.chance.randrange(-6, 30)
        types = self.chance.choice([None, sorted(self.types)[:2]])
        open_or_closed = self.chance.choice(["OPEN", "CLOSED"])
        await self.connection.execute(
            "INSERT INTO appointment_slots"
            " (doctor_id, start_time, end_time, total_seats, available_seats, visit_type_ids, status)"
            " SELECT $1::bigint, $2::timestamptz, $2::timestamptz + interval '20 minutes', 2, 2, $3, $4"
            " WHERE NOT EXISTS"
            " (SELECT FROM slots_in_the_way($1::bigint, $2::timestamptz, $2::timestamptz + interval '4 hours'))",
            doctor_id,
            start,
            types,
            open_or_closed,
        )

    async def close(self, doctor_id: int, start: datetime, end: datetime) -> None:
        await self.connection.execute(
            "INSERT INTO closures (doctor_id, start_time, end_time, kind) VALUES ($1, $2, $3, 'ABSENCE')",
            doctor_id,
            start,
            end,
        )

    async def hold(self, window: asyncpg.Record, start: datetime, type_id: int, *, by_desk: bool = False) -> str:
        end = start + self.types[type_id]["minutes"] * MINUTE
        outcome: str = await self.connection.fetchval(
            "SELECT outcome FROM hold_times(ARRAY[$1::bigint], ARRAY[$2::timestamptz], ARRAY[$3::timestamptz],"
            " ARRAY[$4::bigint], ARRAY[NULL::bigint], ARRAY['Ada'], ARRAY['ada@example.org'], ARRAY[FALSE],"
            " ARRAY['\\x00'::bytea], ARRAY['guest'], '{}', '{}', '{}', '{}', '{}', NULL, 60, 60, $5)",
            window["id"],
            start,
            end,
            type_id,
            by_desk,
        )
        return outcome

    async def can_hold(self, window: asyncpg.Record, start: datetime, type_id: int) -> bool:
        trial = self.connection.transaction()
        await trial.start()
        try:
            return await self.hold(window, start, type_id) == "held"
        finally:
            await trial.rollback()

    async def hold_offered(self, time: OfferedTime) -> bool:
        [window] = [each for each in self.windows if each["id"] == time.window_id]
        return await self.can_hold(window, time.start_time, time.visit_type_id or 0)

    async def taken(self, doctor_id: int) -> list[datetime]:
        rows = await self.connection.fetch(
            "SELECT coalesce(busy_until, end_time) AS free_from FROM slots_now WHERE doctor_id = $1", doctor_id
        )
        return [row["free_from"] for row in rows]

    async def starts_of(self, window: asyncpg.Record) -> list[datetime]:
        """Where a visit may begin: on the steps, and after what takes the doctor's time or closes it."""
        closed = await self.connection.fetch("SELECT end_time FROM closures WHERE doctor_id = $1", window["doctor_id"])
        steps = range(0, 180, window["step_minutes"])
        starts = {window["start_time"] + each * MINUTE for each in steps}
        starts |= {*await self.taken(window["doctor_id"]), *(row["end_time"] for row in closed)}
        return sorted(each for each in starts if window["start_time"] <= each < window["end_time"])


async def everything(connection: Connection, query: TimesQuery = EVERYTHING, limit: int = 7) -> list[FreeTime]:
    """All pages of the list."""
    after, times = BEGIN, list[FreeTime]()
    while True:
        page = await list_times(connection, query, limit, after)
        times += page.times[:limit]
        if len(page.times) <= limit and page.walked_to is None:
            return times
        after = page.times[limit - 1].place if len(page.times) > limit else page.walked_to or BEGIN


def by_day_and_type(times: Sequence[FreeTime]) -> dict[tuple[int, int], set[datetime]]:
    grouped = defaultdict(set)
    for time in times:
        if time.window_id is not None and time.visit_type_id is not None:
            grouped[time.doctor_id, time.visit_type_id].add(time.start_time)
    return grouped


@pytest.mark.parametrize("seed", range(many(4, 60)))
async def test_whatever_is_offered_can_be_held_and_nothing_else(connection: Connection, seed: int) -> None:
    async with connection.transaction():
        await stop_clock(connection)
        house = House(connection, Random(seed))
        await house.furnish()
        times = await everything(connection)
        assert [time.place for time in times] == sorted({time.place for time in times})
        windows = {window["id"]: window for window in house.windows}
        for time in times:
            if time.window_id is not None:
                assert await house.can_hold(windows[time.window_id], time.start_time, time.visit_type_id or 0), time
        offered = by_day_and_type(times)
        for key, free in (await holdable(house)).items():
            assert offered.get(key, set()) <= free
            assert bool(offered.get(key)) == bool(free), "what is free on that day is not offered"


@pytest.mark.parametrize("seed", range(many(4, 60)))
async def test_a_list_that_begins_later_is_the_end_of_the_whole_list(
    connection: Connection, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it begins within windows, and although few days are read at once."""
    async with connection.transaction():
        await stop_clock(connection)
        house = House(connection, Random(seed))
        await house.furnish()
        whole = await everything(connection)
        monkeypatch.setattr(times_of_services, "FIRST_DAYS", 1)
        for minutes in house.chance.sample(range(300), 12):
            begins = house.day + timedelta(hours=9, minutes=minutes - 60)
            listed = await everything(connection, TimesQuery(starts_from=begins), limit=house.chance.choice([1, 3, 50]))
            assert listed == [time for time in whole if time.start_time >= begins], minutes


@pytest.mark.parametrize("before", ["a visit", "a closure", "nothing"])
async def test_what_is_free_after_a_visit_or_a_closure_comes_before_the_next_step_of_others(
    connection: Connection, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a day read at once, two other doctors are known when the page could end."""
    monkeypatch.setattr(times_of_services, "FIRST_DAYS", 1)
    monkeypatch.setattr(times_of_services, "MOST_DAYS", 1)
    async with connection.transaction():
        await stop_clock(connection)
        house = House(connection, Random(0))
        await house.open_mornings(doctors=3)
        last, nine = house.windows[-1], house.day + timedelta(hours=9)
        if before == "a visit":
            assert await house.hold(last, nine, last["visit_type_ids"][0]) == "held"
        if before == "a closure":
            await house.close(last["doctor_id"], nine, nine + 10 * MINUTE)
        found = await list_times(connection, TimesQuery(starts_from=nine + 5 * MINUTE), 1)
    first = found.times[0]
    expected = (house.windows[0]["doctor_id"], 30) if before == "nothing" else (last["doctor_id"], 10)
    assert (first.doctor_id, (first.start_time - nine) // MINUTE) == expected


@pytest.mark.parametrize("seed", range(many(4, 60)))
async def test_nobody_can_ask_for_a_start_that_was_not_offered(connection: Connection, seed: int) -> None:
    """The database would accept some of them, which leave a gap that nothing fits. A client that puts one into the id
    of a time that was offered has an id that the server has not made."""
    async with connection.transaction():
        await stop_clock(connection)
        house = House(connection, Random(seed))
        await house.furnish()
        windows = {window["id"]: window for window in house.windows}
        times = [time for time in await everything(connection) if time.window_id is not None]
        starts = by_day_and_type(times)
        for time in times:
            offered = offered_by(time, house.now)
            assert IDS.read(IDS.id_of(offered)) == offered
            assert await house.hold_offered(offered)
            for start in await house.starts_of(windows[time.window_id or 0]):
                if start not in starts[time.doctor_id, time.visit_type_id or 0]:
                    end = start + (time.end_time - time.start_time)
                    with pytest.raises(InvalidInput):
                        IDS.read(altered(IDS.id_of(offered), replace(offered, start_time=start, end_time=end)))


def offered_by(time: FreeTime, now: datetime) -> OfferedTime:
    return OfferedTime(time.window_id, None, time.start_time, time.end_time, time.visit_type_id, now)


def altered(time_id: str, wanted: OfferedTime) -> str:
    """The id with another content: all that a client can make of it."""
    return f"{base64url.encode(msgspec.msgpack.encode(wanted))}.{time_id.partition('.')[2]}"


async def holdable(house: House) -> dict[tuple[int, int], set[datetime]]:
    """By doctor and type, the starts that the database accepts from a guest."""
    found: dict[tuple[int, int], set[datetime]] = defaultdict(set)
    for window in house.windows:
        for type_id in window["visit_type_ids"]:
            for start in await house.starts_of(window):
                accepted = await house.can_hold(window, start, type_id)
                if accepted:
                    found[window["doctor_id"], type_id].add(start)
    return found


async def test_notice_and_horizon_of_the_search_are_those_of_the_hold(connection: Connection) -> None:
    async with connection.transaction():
        for notice, horizon in ((None, None), (0, 1), (90, 3)):
            await connection.execute(
                "INSERT INTO visit_types (name, minutes, min_notice_minutes, horizon_days)"
                " VALUES ('Visit', 20, $1, $2)",
                notice,
                horizon,
            )
        for by_desk in (True, False):
            for each in await READ_OFFERED_TYPES.all(connection, by_desk=by_desk, user_id=None):
                edges = [each.starts_from, each.starts_until or each.starts_from + timedelta(days=MAX_DAYS)]
                for start in [edge + near for edge in edges for near in (-STEP, timedelta(), STEP)]:
                    refusal = await connection.fetchval(
                        "SELECT refusal FROM check_types(ARRAY[$1::bigint], $2, now(), $3)", each.id, start, by_desk
                    )
                    assert each.can_begin(start) == (refusal is None and start > each.now), (each, start)


STEP = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("bookable_by", "patients", "offered"),
    [
        ("ANYONE", "ANY", {"guest", "new", "returning", "desk"}),
        ("ACCOUNTS", "ANY", {"new", "returning", "desk"}),
        ("STAFF", "ANY", {"desk"}),
        ("ANYONE", "NEW", {"guest", "new", "desk"}),
        ("ANYONE", "RETURNING", {"guest", "returning", "desk"}),
    ],
)
async def test_a_type_is_offered_to_those_who_can_book_it(
    connection: Connection, bookable_by: str, patients: str, offered: set[str]
) -> None:
    type_id = await connection.fetchval(
        "INSERT INTO visit_types (name, minutes, bookable_by, patients) VALUES ('Visit', 20, $1, $2) RETURNING id",
        bookable_by,
        patients,
    )
    people = {"guest": None, "new": await account(connection), "returning": await account(connection), "desk": None}
    await earlier_visit(connection, people["returning"])
    for who, user_id in people.items():
        [read] = await READ_OFFERED_TYPES.all(connection, by_desk=who == "desk", user_id=user_id)
        assert (read.id, read.offered) == (type_id, who in offered), who


async def account(connection: Connection) -> int:
    user_id: int = await connection.fetchval(
        "INSERT INTO users (email, name, role, password_hash)"
        " VALUES (gen_random_uuid() || '@example.org', 'Ada', 'patient', '') RETURNING id"
    )
    return user_id


async def earlier_visit(connection: Connection, user_id: Any) -> None:
    await connection.execute(
        "WITH d AS (INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id),"
        " s AS (INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
        " SELECT id, now() - interval '2 hours', now() - interval '1 hour', 1, 0 FROM d RETURNING id)"
        " INSERT INTO bookings (slot_id, user_id, user_name, user_email, seats_booked, status, confirmed_at,"
        " manage_token_hash) SELECT id, $1, 'Ada', 'ada@example.org', 1, 'CONFIRMED', now(), '\\x00' FROM s",
        user_id,
    )
