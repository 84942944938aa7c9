"""A doctor's day on paper: every slot with its patients."""

from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest

from slotwise.db.pool import Database
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.domain.name_order import ENGLISH
from slotwise.services.booking.search import BookingQuery
from slotwise.services.desk import day_sheets
from slotwise.services.desk.dashboard import Dashboard
from slotwise.services.desk.day_sheets import DaySheets
from slotwise.services.schedule.doctors import sort_doctors
from slotwise.services.schedule.slots import Slots
from tests.workers import DESK, GUEST, Worker, new_slot, wanted

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

assert DESK.user is not None
READER = DESK.user
EVERYTHING = BookingQuery()


@pytest.fixture
def desk(database: Database) -> DaySheets:
    return DaySheets(database)


async def test_a_day_sheet_has_every_slot_by_start_with_its_patients(
    worker: Worker, desk: DaySheets, connection: Rows
) -> None:
    slot_id = await new_slot(connection, 5)
    doctor_id, start = (await connection.fetch("SELECT doctor_id, start_time FROM appointment_slots"))[0]
    free = await connection.fetchval(
        "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
        " SELECT doctor_id, start_time - interval '1 hour', start_time, 1, 1 FROM appointment_slots RETURNING id"
    )
    made = [(await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=n < 2))).booking.id for n in range(4)]
    await worker.bookings.cancel_booking(DESK, made[0])
    await connection.execute("UPDATE bookings SET expires_at = now() WHERE id = $1", made[3])
    sheet = await desk.list_bookings_of_day(READER, doctor_id, start - timedelta(hours=1), start + timedelta(seconds=1))
    assert [(slot.id, [booking.id for booking in found]) for slot, found in sheet.slots] == [
        (free, []),
        (slot_id, [made[1], made[2]]),
    ]
    assert not sheet.cut_short
    note = await connection.fetchrow("SELECT subject, details ->> 'bookings' FROM audit_log WHERE action LIKE '%day'")
    assert note is not None
    assert tuple(note) == (f"doctor:{doctor_id}", "2")
    end = start + timedelta(minutes=30)
    later = await desk.list_bookings_of_day(READER, doctor_id, end, end + timedelta(days=1))
    assert later.slots == []


@pytest.mark.parametrize("status", ["OPEN", "CLOSED"])
@pytest.mark.parametrize(
    ("before", "minutes", "shown"),
    [(15, 60, True), (15, 15, False), (1439, 1440, True), (1440, 1440, False), (0, 1, True)],
    ids=["across", "until midnight", "a minute after", "a whole day before", "at midnight"],
)
async def test_a_visit_across_midnight_is_on_both_days(
    worker: Worker, desk: DaySheets, connection: Rows, status: str, before: int, minutes: int, shown: bool
) -> None:
    slot_id = await new_slot(connection, 1)
    booking_id = (await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=True))).booking.id
    midnight = FIRST_TIME.replace(year=2031)
    doctor_id = await connection.fetchval(
        "UPDATE appointment_slots SET start_time = $2, end_time = $3, status = $4 WHERE id = $1 RETURNING doctor_id",
        slot_id,
        midnight - timedelta(minutes=before),
        midnight + timedelta(minutes=minutes - before),
        status,
    )
    day = midnight, midnight + timedelta(days=1)
    sheet = await desk.list_bookings_of_day(READER, doctor_id, *day)
    assert [booking.id for _, found in sheet.slots for booking in found] == [booking_id] * shown
    assert [one.doctor.id for one in (await desk.list_sheets_of_day(READER, *day)).days] == [doctor_id] * shown
    first = await desk.list_bookings_of_day(READER, doctor_id, midnight - timedelta(days=1), midnight)
    assert len(first.slots) == (before > 0)
    board = await Dashboard(worker.database).get_day(*day)
    assert (board.count.confirmed, board.total.confirmed_seats) == (shown, shown)
    week = await Slots(worker.database).list_week(doctor_id, midnight, midnight + timedelta(days=7))
    assert [slot.id for slot in week.slots] == [slot_id] * shown


async def test_a_day_sheet_that_searched_only_a_part_says_so(
    worker: Worker, desk: DaySheets, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot_id = await new_slot(connection, 5)
    doctor_id, start = (await connection.fetch("SELECT doctor_id, start_time FROM appointment_slots"))[0]
    made = [(await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=n == 3))).booking.id for n in range(5)]
    for booking_id in made[:3]:
        await worker.bookings.cancel_booking(DESK, booking_id)

    async def listed(looked_at: int, most: int = 2000) -> tuple[list[int], bool]:
        monkeypatch.setattr(day_sheets, "MOST_LOOKED_AT", looked_at)
        monkeypatch.setattr(day_sheets, "MOST_PATIENTS", most)
        sheet = await desk.list_bookings_of_day(READER, doctor_id, start, start + timedelta(seconds=1))
        return [booking.id for _, found in sheet.slots for booking in found], sheet.cut_short

    assert await listed(looked_at=4) == (made[3:], False)
    assert await listed(looked_at=3) == (made[4:], True)
    assert await listed(looked_at=4, most=1) == ([made[3]], True)


async def test_patients_of_one_time_stand_by_name_and_doctors_too(
    worker: Worker, desk: DaySheets, connection: Rows
) -> None:
    slot_id = await new_slot(connection, 9)
    names = ["Zoe", "Ärger", "adam", "Ohm", "Øberg", "Zoe", None]
    held = [await worker.bookings.hold_seats(GUEST, wanted(slot_id)) for _ in names]
    made = [each.booking.id for each in held]
    for booking_id, name in zip(made, names, strict=True):
        await connection.execute("UPDATE bookings SET user_name = $2 WHERE id = $1", booking_id, name)
    await connection.execute("UPDATE doctors SET name = 'Zoe'")
    await new_slot(connection, 1)
    await connection.execute("UPDATE doctors SET name = 'Ärger' WHERE id = (SELECT max(id) FROM doctors)")
    await sort_doctors(worker.database, ENGLISH, print)
    found = await desk.list_sheets_of_day(READER, FIRST_TIME, LAST_READABLE_TIME)
    assert [day.doctor.name for day in found.days] == ["Ärger", "Zoe"]
    [(_, listed)] = found.days[1].sheet.slots
    assert [booking.id for booking in listed] == [made[place] for place in (2, 1, 4, 3, 0, 5, 6)]


@pytest.mark.parametrize(("most", "shown", "cut_short"), [(3, 3, False), (2, 2, True)])
async def test_the_sheets_of_a_day_end_at_the_limit_and_say_so(
    worker: Worker,
    desk: DaySheets,
    connection: Rows,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    shown: int,
    cut_short: bool,
) -> None:
    for _ in range(3):
        await worker.bookings.hold_seats(GUEST, wanted(await new_slot(connection, 1), confirm=True))
    period = FIRST_TIME, LAST_READABLE_TIME
    monkeypatch.setattr(day_sheets, "MOST_SHEETS", most)
    found = await desk.list_sheets_of_day(READER, *period)
    assert (len(found.days), found.cut_short) == (shown, cut_short)
    monkeypatch.setattr(day_sheets, "MOST_PATIENTS", 1)
    found = await desk.list_sheets_of_day(READER, *period)
    assert (len(found.days), found.cut_short) == (1, True)
