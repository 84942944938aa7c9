"""A person's own appointments in the order of their times, page by page."""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.pool import Database
from slotwise.domain.bookings import Booking
from slotwise.domain.users import Role, User
from slotwise.services.booking.my_bookings import FIRST, LAST, LOOKED_AT, MyBookings, Position
from tests.workers import NOW

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

OWN, OTHERS = "pat@example.org", "somebody@example.org"
BY_STATUS = """
INSERT INTO bookings (
    slot_id, user_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at, cancelled_at,
    manage_token_hash
) VALUES (
    $1, $2, 'Pat', $3, 1, $4::text, now() + $5::interval,
    CASE WHEN $4::text IN ('CONFIRMED', 'CANCELLED') THEN now() END, CASE WHEN $4::text = 'CANCELLED' THEN now() END, ''
) RETURNING id
"""
MANY = BY_STATUS.replace("VALUES (", "SELECT").replace(") RETURNING id", f"FROM generate_series(1, {LOOKED_AT})")


class Diary:
    """One doctor, and an account whose bookings are planted."""

    def __init__(self, connection: Connection, doctor_id: int, user_id: int) -> None:
        self.connection = connection
        self.doctor_id = doctor_id
        self.user = User(user_id, OWN, "Pat", Role.PATIENT, True, 1, NOW, NOW)

    async def slot(self, hours: float) -> int:
        """One of an hour, so many hours after now: not after the start of all tests, which may be long ago."""
        start = datetime.now(UTC) + timedelta(hours=hours)
        slot_id: int = await self.connection.fetchval(
            "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats, status)"
            " VALUES ($1, $2, $3, 9, 9, 'CLOSED') RETURNING id",
            self.doctor_id,
            start,
            start + timedelta(hours=1),
        )
        return slot_id

    async def book(self, slot_id: int, status: str = "CONFIRMED", left: float = 60, email: str = OWN) -> int:
        """`left` is how many more seconds a hold lasts."""
        booking_id: int = await self.connection.fetchval(
            BY_STATUS, slot_id, self.user.id, email, status, timedelta(seconds=left)
        )
        return booking_id


@pytest_asyncio.fixture
async def diary(connection: Connection) -> Diary:
    doctor_id = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    user_id = await connection.fetchval(
        "INSERT INTO users (email, name, role, password_hash) VALUES ($1, 'Pat', 'patient', 'none') RETURNING id", OWN
    )
    return Diary(connection, doctor_id, user_id)


async def in_pages(of: MyBookings, user: User, limit: int) -> tuple[list[list[int]], list[list[int]]]:
    """The ids of every page of upcoming and of past appointments."""
    coming: list[list[Booking]] = [await of.list_coming_bookings(user, limit, FIRST)]
    while coming[-1]:
        coming.append(await of.list_coming_bookings(user, limit, Position.of(coming[-1][-1])))
    past = [await of.list_past_bookings(user, limit, LAST)]
    while past[-1]:
        past.append(await of.list_past_bookings(user, limit, Position.of(past[-1][-1])))
    return [[booking.id for booking in page] for page in coming], [[booking.id for booking in page] for page in past]


async def test_upcoming_bookings_are_soonest_first_and_past_ones_latest_first(database: Database, diary: Diary) -> None:
    """They are booked in another order, several start together, and one that is running now has not ended."""
    booked = {hours: await diary.book(await diary.slot(hours)) for hours in (30, -5, 2, -0.5, 700, -900, -30)}
    twice = await diary.slot(50)
    together = [await diary.book(twice) for _ in range(3)]
    coming, past = await in_pages(MyBookings(database), diary.user, 2)
    soonest, now, later, last = booked[2], booked[-0.5], booked[30], booked[700]
    assert coming == [[now, soonest], [later, together[0]], together[1:], [last], []]
    assert past == [[booked[-5], booked[-30]], [booked[-900]], []]


async def test_a_released_hold_was_no_appointment(database: Database, diary: Diary) -> None:
    released = await diary.book(await diary.slot(5), "CANCELLED")
    await diary.connection.execute("UPDATE bookings SET confirmed_at = NULL WHERE id = $1", released)
    assert await MyBookings(database).list_past_bookings(diary.user, 9, LAST) == []


async def test_live_bookings_are_upcoming_and_cancelled_ones_are_past(database: Database, diary: Diary) -> None:
    """Live holds are upcoming. An overdue hold is in neither list."""
    coming, past = await diary.slot(3), await diary.slot(-3)
    expected = [await diary.book(coming), await diary.book(coming, "PENDING")]
    cancelled = await diary.book(coming, "CANCELLED")
    await diary.book(coming, "PENDING", left=-1)
    await diary.book(coming, "FAILED", left=-1)
    ended = [await diary.book(past, "CANCELLED"), await diary.book(past)]
    await diary.book(past, "FAILED", left=-1)
    assert await in_pages(MyBookings(database), diary.user, 2) == (
        [expected, []],
        [[cancelled, ended[1]], [ended[0]], []],
    )


@pytest.mark.parametrize(("role", "was_desk"), [(Role.STAFF, True), (Role.ADMIN, True), (Role.PATIENT, True)])
async def test_bookings_that_the_desk_made_for_others_are_not_its_own(
    database: Database, diary: Diary, role: Role, was_desk: bool
) -> None:
    """The same after the user left the desk. No read is recorded, because no other person's name is shown."""
    user = User(diary.user.id, OWN.upper(), "Pat", role, True, 1, NOW, NOW, was_desk)
    own = {}
    for hours in (3, -3):
        slot_id = await diary.slot(hours)
        await diary.book(slot_id, email=OTHERS)
        own[hours] = await diary.book(slot_id)
    await diary.connection.execute(MANY, slot_id, diary.user.id, OTHERS, "CONFIRMED", timedelta(seconds=60))
    of = MyBookings(database)
    assert [booking.id for booking in await of.list_coming_bookings(user, 9)] == [own[3]]
    assert [booking.id for booking in await of.list_past_bookings(user, 9)] == [own[-3]]
    assert await diary.connection.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_bookings_of_other_accounts_are_not_shown(database: Database, diary: Diary) -> None:
    for hours in (3, -3):
        await diary.book(await diary.slot(hours))
    stranger = User(diary.user.id + 1, OWN, "Pat", Role.PATIENT, True, 1, NOW, NOW)
    assert await in_pages(MyBookings(database), stranger, 9) == ([[]], [[]])


async def test_only_the_newest_of_many_bookings_are_searched(database: Database, diary: Diary) -> None:
    slots = {hours: await diary.slot(hours) for hours in (3, -3)}
    for slot_id in slots.values():
        await diary.book(slot_id)
    await diary.connection.execute(MANY, slots[3], diary.user.id, OWN, "CONFIRMED", timedelta(seconds=60))
    of = MyBookings(database)
    assert len(await of.list_coming_bookings(diary.user, 2 * LOOKED_AT)) == LOOKED_AT
    assert not await of.list_past_bookings(diary.user, 9)
