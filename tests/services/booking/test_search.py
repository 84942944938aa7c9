"""The desk's walk: it ends after its steps, says where, and continues there without gaps or repeats."""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pytest
from msgspec.structs import replace

from slotwise.domain.bookings import BookingStatus
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.services.booking import search as booking_search
from slotwise.services.booking.search import BookingQuery, find_bookings
from tests.workers import NOW, new_slot

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LAST = 2**62


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(booking_search, "STEPS", (2, 3))
    monkeypatch.setattr(booking_search, "STEPS_OF_STATUS", (2, 3))


async def plant(connection: Connection, booking_id: int, name: str = "Somebody", status: str = "CONFIRMED") -> None:
    slot_id = await connection.fetchval("SELECT max(id) FROM appointment_slots") or await new_slot(connection, 1000)
    await connection.execute(
        "INSERT INTO bookings (id, slot_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at,"
        " cancelled_at, manage_token_hash) VALUES ($1, $2, $3, 'x@example.org', 1, $4::text, now() + interval '1 hour',"
        " CASE WHEN $4::text = 'CONFIRMED' THEN now() END, CASE WHEN $4::text = 'CANCELLED' THEN now() END, '')",
        booking_id,
        slot_id,
        name,
        status,
    )


async def pages(connection: Connection, query: BookingQuery) -> list[list[int]]:
    """The ids of every page, each continued where the walk before it ended."""
    found, before = [], LAST
    while True:
        page = await find_bookings(connection, query, before, 100)
        found.append([booking.id for booking in page.bookings])
        if page.walked_to is None:
            return found
        assert page.walked_to < before
        before = page.walked_to


async def everything(connection: Connection, query: BookingQuery) -> list[int]:
    return [booking_id for page in await pages(connection, query) for booking_id in page]


async def test_a_rare_text_is_found_a_few_steps_at_a_time(connection: Connection) -> None:
    for booking_id in range(101, 113):
        await plant(connection, booking_id, "Rare Name" if booking_id in {102, 111} else "Somebody")
    assert await pages(connection, BookingQuery(text="rare")) == [[111], [], [102]]


@pytest.mark.parametrize("way", ["walk", "walk of a status", "slots", "slots of a doctor", "one slot"])
async def test_an_appointment_is_found_on_each_day_that_it_takes_place_on(
    connection: Connection, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    await plant(connection, 101, "Room 101", "PENDING")
    slot_id, doctor_id = (await connection.fetch("SELECT id, doctor_id FROM appointment_slots"))[0]
    monkeypatch.setattr(booking_search, "MOST_SLOTS", 0 if "walk" in way else 10)
    query = BookingQuery(
        status=BookingStatus.PENDING if "status" in way else None,
        doctor_id=doctor_id if "doctor" in way else None,
        slot_id=slot_id if way == "one slot" else None,
    )
    midnights = {day: datetime(2031, 3, day, tzinfo=UTC) for day in range(14, 19)}
    for start, minutes, days in (("15T23:45", 60, [15, 16]), ("15T23:00", 60, [15]), ("16T00:00", 1440, [16])):
        begins = datetime.fromisoformat(f"2031-03-{start}:00+00:00")
        move = "UPDATE appointment_slots SET start_time = $1, end_time = $2"
        await connection.execute(move, begins, begins + timedelta(minutes=minutes))
        for asked in (query, replace(query, text="#101", number=101)):
            found = {
                day: (await find_bookings(connection, asked.during(begin, begin + timedelta(days=1)), MAX_ID, 9)).first(
                    9
                )
                for day, begin in midnights.items()
            }
            assert [day for day in found if found[day]] == days
        assert await everything(connection, query.during(midnights[days[-1]], LAST_READABLE_TIME)) == [101]
        assert await everything(connection, query.during(FIRST_TIME, midnights[days[0]])) == []


async def test_the_numbered_booking_comes_first_and_once_if_it_matches_the_rest(
    connection: Connection,
) -> None:
    """However far back it is. Bookings with the number in their names are found too."""
    for booking_id in range(101, 121):
        await plant(connection, booking_id, "Room 102" if booking_id in {102, 103, 120} else "Somebody")
    query = BookingQuery(text="102", number=102)
    page = await find_bookings(connection, query, MAX_ID, 100)
    assert [booking.id for booking in page.first(100)] == [102, 120]
    rest = await find_bookings(connection, query, 106, 100)
    assert [booking.id for booking in rest.first(100)] == [103]
    slot_id = await connection.fetchval("SELECT max(id) FROM appointment_slots")
    for fits in (BookingQuery(slot_id=slot_id), BookingQuery(status=BookingStatus.CONFIRMED)):
        found = await find_bookings(connection, replace(fits, text="#102", number=102), MAX_ID, 100)
        assert [booking.id for booking in found.first(100)] == [102]
    for fails in (
        BookingQuery(slot_id=slot_id + 1),
        BookingQuery(doctor_id=10**9),
        BookingQuery(status=BookingStatus.CANCELLED),
        BookingQuery(starts_from=NOW + timedelta(days=60)),
    ):
        found = await find_bookings(connection, replace(fails, text="#102", number=102), MAX_ID, 100)
        assert found.first(100) == []


async def test_a_full_page_ends_the_walk(connection: Connection) -> None:
    for booking_id in range(1, 9):
        await plant(connection, booking_id)
    page = await find_bookings(connection, BookingQuery(), LAST, 2)
    assert [booking.id for booking in page.bookings] == [8, 7]
    assert page.walked_to is None


async def test_the_walk_ends_with_the_oldest_booking_whatever_its_id(connection: Connection) -> None:
    for booking_id in (1_000_001, 1_000_002):
        await plant(connection, booking_id)
    assert await pages(connection, BookingQuery(text="nobody")) == [[]]
    assert await pages(connection, BookingQuery()) == [[1_000_002, 1_000_001]]


async def test_without_bookings_there_is_one_empty_page(connection: Connection) -> None:
    assert await pages(connection, BookingQuery()) == [[]]
    assert await pages(connection, BookingQuery(status=BookingStatus.FAILED)) == [[]]


@pytest.mark.parametrize("status", list(BookingStatus))
async def test_every_status_is_found_and_an_overdue_hold_is_failed(
    connection: Connection, status: BookingStatus
) -> None:
    kinds = ["PENDING", "CONFIRMED", "FAILED", "CANCELLED", "PENDING"]
    for booking_id, kind in enumerate(kinds, 1):
        await plant(connection, booking_id, status=kind)
    await connection.execute("UPDATE bookings SET expires_at = now() WHERE id = 5")
    expected = {"PENDING": [1], "CONFIRMED": [2], "FAILED": [5, 3], "CANCELLED": [4]}[status]
    assert await everything(connection, BookingQuery(status=status)) == expected
    slot_id = await connection.fetchval("SELECT max(id) FROM appointment_slots")
    assert await pages(connection, BookingQuery(status=status, slot_id=slot_id)) == [expected]


async def test_a_walk_over_a_long_period_finds_the_same_bookings(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for booking_id in range(1, 9):
        await plant(connection, booking_id)
    around = BookingQuery(starts_from=NOW, starts_before=NOW + timedelta(days=60))
    after = BookingQuery(starts_from=NOW + timedelta(days=60))
    for most in (1, 0):
        monkeypatch.setattr(booking_search, "MOST_SLOTS", most)
        assert await everything(connection, around) == [8, 7, 6, 5, 4, 3, 2, 1]
        assert not await everything(connection, after)


async def test_bookings_of_several_slots_are_merged_newest_first(connection: Connection) -> None:
    slots = [await new_slot(connection, 1000) for _ in range(3)]
    for booking_id in range(1, 31):
        await plant(connection, booking_id)
        await connection.execute(
            "UPDATE bookings SET slot_id = $2 WHERE id = $1",
            booking_id,
            slots[0 if booking_id < 20 else booking_id % 3],
        )
    query = BookingQuery(starts_from=NOW)
    made = list(range(30, 0, -1))
    for limit in (1, 2, 5, 29, 30, 31, 100):
        assert [b.id for b in (await find_bookings(connection, query, LAST, limit)).bookings] == made[:limit]
    assert [b.id for b in (await find_bookings(connection, query, 20, 5)).bookings] == [19, 18, 17, 16, 15]


@pytest.mark.parametrize(
    ("stored", "typed"), [("Zoë", "Zoe\u0308"), ("O\u2019Hara", "o'hara"), ("Ada Groß", "GROSS ada"), ("İpek", "ipek")]
)
async def test_a_name_is_found_however_it_is_typed_on_every_way_of_the_search(
    connection: Connection, stored: str, typed: str
) -> None:
    await plant(connection, 1, stored)
    await plant(connection, 2, stored, "CANCELLED")
    slot_id = await connection.fetchval("SELECT max(id) FROM appointment_slots")
    assert await everything(connection, BookingQuery(text=typed)) == [2, 1]
    assert await everything(connection, BookingQuery(text=typed, status=BookingStatus.CANCELLED)) == [2]
    assert await everything(connection, BookingQuery(text=typed, slot_id=slot_id)) == [2, 1]
