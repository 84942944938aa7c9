"""The clinic's day: what counts as taken, free, nearly full and about to expire."""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg

from slotwise.db.pool import Database
from slotwise.domain.bookings import BookingStatus
from slotwise.domain.users import Role, User
from slotwise.services.desk.dashboard import Dashboard, Day

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

NOW = datetime.now(UTC)
DAY = (NOW - timedelta(hours=6), NOW + timedelta(hours=18))
RECEPTIONIST = User(1, "rita@example.org", "Rita", Role.STAFF, True, 1, NOW, NOW, True)

SLOT = """
INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats, status)
VALUES ($1, $2, $2::timestamptz + interval '30 minutes', $3, $3, $4) RETURNING id
"""
BOOK = """
WITH booked AS (
    INSERT INTO bookings (
        slot_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at, cancelled_at, manage_token_hash
    ) VALUES (
        $1, 'Ada', 'ada@example.org', $2, $3, now() + $4::interval,
        CASE WHEN $3 IN ('CONFIRMED', 'CANCELLED') THEN now() END,
        CASE WHEN $3 = 'CANCELLED' THEN now() END, '\\x00'
    ) RETURNING slot_id, seats_booked, status
)
UPDATE appointment_slots AS s SET available_seats = s.available_seats - b.seats_booked
FROM booked AS b WHERE s.id = b.slot_id AND b.status IN ('PENDING', 'CONFIRMED')
"""
WINDOW = """
WITH rule AS (
    INSERT INTO schedule_rules (
        doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, kind, step_minutes, visit_type_ids
    ) VALUES ($1, 1, $2::timestamptz::date, 1, 0, 720, 720, 'WINDOW', 15, '{1}') RETURNING id
)
INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)
SELECT $1, 1, r.id, $2::timestamptz, $2::timestamptz + interval '12 hours', $2::timestamptz AT TIME ZONE 'UTC'
FROM rule AS r RETURNING id
"""
TOO_LATE = timedelta(seconds=-1)


async def add_doctor(connection: Connection, name: str) -> int:
    return int(await connection.fetchval("INSERT INTO doctors (name) VALUES ($1) RETURNING id", name))


async def add_slot(connection: Connection, doctor: int, hours: float, seats: int, status: str = "OPEN") -> int:
    return int(await connection.fetchval(SLOT, doctor, NOW + timedelta(hours=hours), seats, status))


async def book(
    connection: Connection, slot: int, seats: int, status: str, left: timedelta = timedelta(minutes=2)
) -> None:
    await connection.execute(BOOK, slot, seats, status, left)


async def day_of(database: Database) -> Day:
    return await Dashboard(database).get_day(*DAY)


async def test_each_doctor_has_the_days_seats_by_status(database: Database, connection: Connection) -> None:
    busy, idle = await add_doctor(connection, "Dr. Busy"), await add_doctor(connection, "Dr. Idle")
    await add_doctor(connection, "Dr. Away")
    slot = await add_slot(connection, busy, 1, 10)
    for seats, status, left in (
        (3, "CONFIRMED", timedelta(minutes=2)),
        (2, "PENDING", timedelta(minutes=2)),
        (1, "PENDING", TOO_LATE),
        (1, "FAILED", TOO_LATE),
        (1, "CANCELLED", timedelta(minutes=2)),
    ):
        await book(connection, slot, seats, status, left)
    await add_slot(connection, idle, 2, 4)
    await add_slot(connection, idle, 20, 50)  # not that day
    await add_slot(connection, idle, -2, 6)  # past: offered, and free no more
    day = await day_of(database)
    busiest, other = day.utilisation
    assert (busiest.doctor_name, busiest.slots, busiest.percent) == ("Dr. Busy", 1, 50)
    seats_of_each = [
        (one.offered_seats, one.confirmed_seats, one.held_seats, one.free_seats) for one in (busiest, other)
    ]
    assert seats_of_each == [(10, 3, 2, 5), (10, 0, 0, 4)]
    assert (day.total.offered_seats, day.total.taken_seats, day.total.free_seats, day.total.slots) == (20, 5, 9, 3)
    assert (day.count.confirmed, day.count.cancelled, day.count.running_holds) == (1, 1, 1)


async def test_a_closed_slot_counts_only_its_booked_seats_as_offered(
    database: Database, connection: Connection
) -> None:
    slot = await add_slot(connection, await add_doctor(connection, "Dr. Who"), 1, 10, "CLOSED")
    await book(connection, slot, 4, "CONFIRMED")
    [one] = (await day_of(database)).utilisation
    assert (one.offered_seats, one.confirmed_seats, one.free_seats, one.percent) == (4, 4, 0, 100)


async def test_visits_in_open_time_are_no_seats_and_empty_ones_are_not_there(
    database: Database, connection: Connection
) -> None:
    doctor = await add_doctor(connection, "Dr. Open")
    window = await connection.fetchval(WINDOW, doctor, NOW)
    for hours, status, left in (
        (1, "CONFIRMED", timedelta(minutes=2)), (2, "CONFIRMED", timedelta(minutes=2)),
        (3, "PENDING", timedelta(minutes=2)), (4, "PENDING", TOO_LATE), (5, None, TOO_LATE),
    ):  # fmt: skip
        slot = await add_slot(connection, doctor, hours, 1)
        await connection.execute("UPDATE appointment_slots SET window_id = $2 WHERE id = $1", slot, window)
        if status:
            await book(connection, slot, 1, status, left)
    day = await day_of(database)
    assert [(one.slots, one.confirmed_visits, one.held_visits) for one in day.utilisation] == [(3, 2, 1)]
    total = day.total
    assert (total.offered_seats, total.taken_seats, total.free_seats, total.percent) == (0, 0, 0, 0)
    assert (total.confirmed_visits, total.held_visits) == (2, 1)


async def test_a_day_without_slots_is_empty(database: Database) -> None:
    day = await day_of(database)
    assert (day.utilisation, day.nearly_full, day.expiring_holds, day.total.percent) == ([], [], [], 0)


async def test_nearly_full_is_a_group_with_one_seat_left_or_a_fifth(database: Database, connection: Connection) -> None:
    doctor = await add_doctor(connection, "Dr. Who")
    taken = {"last seat": (2, 1), "a fifth": (10, 8), "more": (10, 7), "sold out": (3, 3), "single": (1, 0)}
    ids = {}
    for number, (name, (seats, booked)) in enumerate(taken.items(), 1):
        ids[name] = await add_slot(connection, doctor, number, seats)
        if booked:
            await book(connection, ids[name], booked, "CONFIRMED")
    freed = await add_slot(connection, doctor, 9, 10)
    await book(connection, freed, 9, "PENDING", TOO_LATE)
    far = await add_slot(connection, doctor, 24 * 8, 2)
    await book(connection, far, 1, "CONFIRMED")
    found = [slot.id for slot in (await day_of(database)).nearly_full]
    assert found == [ids["last seat"], ids["a fifth"]]


async def test_the_holds_that_expire_first_come_first(database: Database, connection: Connection) -> None:
    slot = await add_slot(connection, await add_doctor(connection, "Dr. Who"), 1, 100)
    for seats, seconds in ((3, 90), (1, 30), (9, -1), (2, 60)):
        await book(connection, slot, seats, "PENDING", timedelta(seconds=seconds))
    holds = (await day_of(database)).expiring_holds
    assert [hold.seats_booked for hold in holds] == [1, 2, 3]
    assert 20 < holds[0].seconds_left <= 30


async def test_a_read_of_the_latest_bookings_is_recorded_only_if_they_changed(
    database: Database, connection: Connection
) -> None:
    dashboard = Dashboard(database)
    slot = await add_slot(connection, await add_doctor(connection, "Dr. Who"), 1, 100)
    for _ in range(21):
        await book(connection, slot, 1, "CONFIRMED")
    latest = await dashboard.list_latest_bookings(RECEPTIONIST)
    assert latest is not None
    assert [booking.id for booking in latest.bookings] == list(range(21, 1, -1))
    assert {booking.status for booking in latest.bookings} == {BookingStatus.CONFIRMED}
    assert await dashboard.list_latest_bookings(RECEPTIONIST, latest.mark) is None
    await connection.execute("UPDATE bookings SET status = 'CANCELLED', cancelled_at = now() WHERE id = 21")
    again = await dashboard.list_latest_bookings(RECEPTIONIST, latest.mark)
    assert again is not None
    noted = await connection.fetch("SELECT actor, action, subject, details::text AS details FROM audit_log")
    assert [tuple(row) for row in noted] == [
        ("user:1", "list_latest_bookings", "bookings", '{"bookings": 20}'),
    ] * 2
