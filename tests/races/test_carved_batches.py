"""Times of one batch that get in each other's way: what is refused to one is free to the next."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple, TypeAlias

import asyncpg
import pytest
from torture.patching import mutate

from slotwise.db.pool import Database
from tests.races.test_carving import OpenMorning, open_morning
from tests.workers import violations

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
HOLD = """
    SELECT h.place, h.outcome FROM hold_times(
        $1::bigint[], $2::timestamptz[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
        $8::boolean[], $9::bytea[], $10::text[], '{}', '{}', '{}', '{}', '{}', NULL, 3600, 86400, FALSE
    ) AS h ORDER BY h.place
"""


class Wish(NamedTuple):
    """Of a patient for ten minutes, so many minutes after the window's beginning."""

    patient: str
    after: int
    visit_type_id: int | None = None


async def hold_batch(connection: Connection, morning: OpenMorning, wishes: Sequence[Wish]) -> list[str]:
    """The outcomes, in order of arrival."""
    times, count = [morning.time(wish.after, 10) for wish in wishes], len(wishes)
    rows = await connection.fetch(
        HOLD,
        [time.window_id for time in times],
        [time.start_time for time in times],
        [time.end_time for time in times],
        [wish.visit_type_id or time.visit_type_id for wish, time in zip(wishes, times, strict=True)],
        [None] * count,
        ["Ada Lovelace"] * count,
        [f"{wish.patient}@example.org" for wish in wishes],
        [False] * count,
        [b"\0"] * count,
        ["guest"] * count,
    )
    return [row["outcome"] for row in rows]


async def morning_with_a_limit(connection: Connection) -> OpenMorning:
    """Each patient can have one visit of ten minutes; Eve has hers."""
    morning = await open_morning(connection)
    await connection.execute("UPDATE visit_types SET max_live_per_patient = 1 WHERE id = $1", morning.types[10])
    assert await hold_batch(connection, morning, [Wish("eve", 150)]) == ["held"]
    return morning


async def free_slots(connection: Connection) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM appointment_slots WHERE status = 'OPEN' AND available_seats = 1 AND last_event = 1"
    )
    return count


async def broken(database_url: str) -> list[str]:
    database = await Database.connect(database_url, 1)
    try:
        return await violations(database)
    finally:
        await database.close()


@pytest.mark.parametrize(
    ("wishes", "outcomes", "left_free"),
    [
        ([Wish("eve", 0)], ["booking_limit_reached"], 1),
        ([Wish("eve", 0), Wish("ada", 0)], ["booking_limit_reached", "held"], 0),
        ([Wish("eve", 0), Wish("ada", 0), Wish("bob", 0)], ["booking_limit_reached", "held", "slot_full"], 0),
        # Whether the first is held is decided after all have their slots.
        ([Wish("eve", 0), Wish("ada", 5)], ["booking_limit_reached", "again"], 1),
        ([Wish("ada", 0), Wish("bob", 5)], ["held", "again"], 0),
        ([Wish("ada", 0), Wish("bob", 15)], ["held", "held"], 0),
        # What is undecided itself is in nobody's way.
        ([Wish("eve", 0), Wish("ada", 5), Wish("bob", 0)], ["booking_limit_reached", "again", "held"], 0),
        ([Wish("ada", 0), Wish("bob", 10), Wish("cy", 20)], ["held", "again", "held"], 0),
    ],
)
async def test_a_time_that_is_refused_to_a_patient_is_free_to_the_next(
    database_url: str, connection: Connection, wishes: list[Wish], outcomes: list[str], left_free: int
) -> None:
    morning = await morning_with_a_limit(connection)
    assert await hold_batch(connection, morning, wishes) == outcomes
    assert await free_slots(connection) == left_free
    assert await broken(database_url) == []
    if left_free:
        assert await hold_batch(connection, morning, [Wish("zoe", 0)]) == ["held"]


@pytest.mark.parametrize(
    ("function", "text", "replacement"),
    [
        ("hold_times", "SET available_seats = s.total_seats", "SET available_seats = s.available_seats"),
        ("hold_seats_3", "ELSE wanted.total_seats END", "ELSE wanted.available_seats END"),
    ],
)
async def test_without_each_of_its_two_rules_it_is_not(
    database_url: str, connection: Connection, function: str, text: str, replacement: str
) -> None:
    """A new slot counts as taken until it is held; both rules make up for that."""
    morning = await morning_with_a_limit(connection)
    await mutate(connection, function, text, replacement)
    outcomes = await hold_batch(connection, morning, [Wish("eve", 0), Wish("ada", 0), Wish("eve", 60)])
    right = outcomes == ["booking_limit_reached", "held", "booking_limit_reached"] and not await broken(database_url)
    assert not right


@pytest.mark.parametrize("apart", [True, False])
async def test_of_two_types_of_one_length_the_first_gets_the_time(connection: Connection, apart: bool) -> None:
    """They are not the same visit. As a negative control, they are: then each would get a slot of its own."""
    morning = await open_morning(connection)
    if not apart:
        await mutate(connection, "hold_times", "e.visit_type_id", "NULL")
    await connection.execute("UPDATE visit_types SET minutes = 10 WHERE id = $1", morning.types[20])
    wishes = [Wish("ada", 0), Wish("bob", 0, morning.types[20])]
    with nullcontext() if apart else pytest.raises(asyncpg.ExclusionViolationError):
        assert await hold_batch(connection, morning, wishes) == ["held", "again"]
        assert await hold_batch(connection, morning, wishes[1:]) == ["slot_full"]
