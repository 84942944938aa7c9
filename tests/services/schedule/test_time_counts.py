"""The counts of days are those of the lists of their times: under a clock that stands still."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random
from typing import TypeAlias

import asyncpg
import pytest
from msgspec.structs import replace

from slotwise.services.schedule import time_counts
from slotwise.services.schedule.time_counts import Counted, count_times
from slotwise.services.schedule.time_searches import TimesQuery, read_search
from tests.depth import many
from tests.services.schedule.test_times import MINUTE, House, everything, stop_clock

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SLOT = (
    "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats, visit_type_ids)"
    " VALUES ($1, $2, $2::timestamptz + interval '10 minutes', 1, 1, ARRAY[$3::bigint])"
)

# Of slots, in this transaction.
SCANS = "SELECT seq_scan + idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'appointment_slots'"


async def counted(connection: Connection, query: TimesQuery, moments: Sequence[datetime], limit: int) -> list[Counted]:
    search = await read_search(connection, query)
    return await count_times(connection, search, moments, limit)


async def listed(connection: Connection, query: TimesQuery, moments: Sequence[datetime], limit: int) -> list[Counted]:
    """By the list of all times."""
    times = Counter(bisect_right(moments, time.start_time) - 1 for time in await everything(connection, query))
    return [Counted(min(times[place], limit), times[place] <= limit) for place in range(len(moments) - 1)]


def query_of(house: House, moments: Sequence[datetime]) -> TimesQuery:
    """For one of the types, and sometimes for a doctor, a specialty or a clinic, or for two."""
    chance = house.chance
    doctor_id, specialization = chance.choice([(None, None), (None, "Eyes"), (house.windows[0]["doctor_id"], None)])
    return TimesQuery(
        doctor_id,
        specialization,
        chance.choice([None, None, frozenset({1}), frozenset({2})]),
        chance.choice(sorted(house.types)),
        moments[0],
        moments[-1],
        chance.choice([1, 1, 1, 2]),
    )


@pytest.mark.parametrize("seed", range(many(6, 60)))
async def test_periods_have_as_many_times_as_their_lists(
    connection: Connection, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that begin and end within windows, and although few windows are read at once."""
    monkeypatch.setattr(time_counts, "FIRST_WINDOWS", 1)
    monkeypatch.setattr(time_counts, "MOST_DAYS", 1)
    async with connection.transaction():
        await stop_clock(connection)
        house = House(connection, Random(seed))
        for _ in range(3):
            await house.furnish()
        await connection.execute("UPDATE doctors SET specialization = 'Eyes' WHERE id % 2 = 0")
        for _ in range(12):
            edges = [house.day + timedelta(hours=8), *(house.day + timedelta(days=days) for days in (-2, -1, 0, 1, 2))]
            edges += [
                house.day + timedelta(hours=9) + 5 * MINUTE * place for place in house.chance.sample(range(60), 4)
            ]
            moments, limit = sorted(edges), house.chance.choice([1, 3, 10, 100])
            query = query_of(house, moments)
            assert await counted(connection, query, moments, limit) == await listed(connection, query, moments, limit)


@pytest.mark.parametrize(("most", "expected"), [(1, Counted(6, whole=False)), (4, Counted(18, whole=True))])
async def test_a_count_that_has_not_looked_at_all_windows_is_not_whole(
    connection: Connection, most: int, expected: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_counts, "FIRST_WINDOWS", 1)
    monkeypatch.setattr(time_counts, "MOST_WINDOWS", most)
    async with connection.transaction():
        house = House(connection, Random(0))
        await house.open_mornings(doctors=3)
        query = TimesQuery(visit_type_id=min(house.types), starts_from=house.day)
        assert await counted(connection, query, [house.day, house.day + timedelta(days=1)], 100) == [expected]


async def test_times_of_a_type_that_one_cannot_book_are_not_looked_for(connection: Connection) -> None:
    """Anybody can ask for a type that is for accounts or for the desk, and a clinic has many slots."""
    async with connection.transaction():
        house = House(connection, Random(0))
        await house.open_mornings(doctors=1)
        kind = min(house.types)
        await connection.execute(SLOT, house.windows[0]["doctor_id"], house.day + timedelta(hours=14), kind)
        await connection.execute("UPDATE visit_types SET bookable_by = 'ACCOUNTS' WHERE id = $1", kind)
        query, days = TimesQuery(visit_type_id=kind), [house.day, house.day + timedelta(days=1)]
        before = await connection.fetchval(SCANS)
        assert await counted(connection, query, days, 10) == [Counted(0, whole=True)]
        assert await everything(connection, query) == []
        assert await connection.fetchval(SCANS) == before
        assert await counted(connection, replace(query, by_desk=True), days, 10) == [Counted(7, whole=True)]
