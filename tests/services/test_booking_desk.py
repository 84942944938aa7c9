"""The desk's own reads: one booking's story, a doctor's day, and the export of many."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.pool import Database
from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import BookingNotFound
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.services import booking_desk
from slotwise.services.booking_desk import BookingDesk
from slotwise.services.booking_search import BookingFilter
from slotwise.services.bookings import Caller
from slotwise.services.expiry import SWEEP_HOLDS
from tests.workers import DESK, GUEST, Worker, holder_of, new_slot, wanted, workers

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

assert DESK.user is not None
READER = DESK.user
EVERYTHING = BookingFilter()


@pytest_asyncio.fixture
async def worker(database_url: str) -> AsyncIterator[Worker]:
    async with workers(database_url, 1) as [worker]:
        yield worker


@pytest.fixture
def desk(database: Database) -> BookingDesk:
    return BookingDesk(database)


async def test_a_story_tells_who_did_what_to_the_booking_and_to_its_slot_meanwhile(
    worker: Worker, desk: BookingDesk, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await connection.execute(
        "INSERT INTO users (id, email, name, role, password_hash) VALUES (7, 'a', 'Ada', 'staff', '')"
    )
    slot_id = await new_slot(connection, 5)
    desk_of_ada = Caller(READER.__class__(7, "a", "Ada", READER.role, True, 1, READER.created_at, READER.updated_at))
    await worker.bookings.hold_seats(GUEST, wanted(slot_id))
    held = await worker.bookings.hold_seats(GUEST, wanted(slot_id, 2))
    await worker.bookings.confirm_booking(desk_of_ada, held.booking.id)
    for kind in ("MOVED", "CLOSED"):
        await append(connection, slot_id, kind)
    await worker.bookings.cancel_booking(desk_of_ada, held.booking.id, "Rang to say she has moved")
    await append(connection, slot_id, "REOPENED")
    story = await desk.list_story(READER, held.booking.id)
    assert [(event.kind, event.of_slot, event.actor, event.actor_name) for event in story.events] == [
        ("HELD", False, "guest", None),
        ("CONFIRMED", False, "user:7", "Ada"),
        ("MOVED", True, "user:7", "Ada"),
        ("CLOSED", True, "user:7", "Ada"),
        ("CANCELLED", False, "user:7", "Ada"),
    ]
    assert [event.available_after for event in story.events if not event.of_slot] == [2, 2, 4]
    assert (story.booking.status, story.cancel_reason) == (BookingStatus.CANCELLED, "Rang to say she has moved")
    assert await connection.fetchval("SELECT subject FROM audit_log WHERE action = 'list_story'") == (
        f"booking:{held.booking.id}"
    )
    assert not story.cut_short
    monkeypatch.setattr(booking_desk, "MOST_CHANGES", 1)
    shorter = await desk.list_story(READER, held.booking.id)
    assert [event.kind for event in shorter.events] == ["HELD", "CONFIRMED", "MOVED", "CANCELLED"]
    assert shorter.cut_short


async def test_each_of_a_crowd_is_told_what_became_of_its_own_booking(
    worker: Worker, desk: BookingDesk, connection: Rows
) -> None:
    """Batches write many events at one moment, and sweeps those of many holds."""
    slot_id = await new_slot(connection, 60)
    requests = [wanted(slot_id, confirm=number % 3 == 0) for number in range(60)]
    made = await asyncio.gather(*(worker.bookings.hold_seats(GUEST, request) for request in requests))
    confirmed, cancelled, overdue = [[held.booking.id for held in made[start::3]] for start in range(3)]
    cancelling = (worker.bookings.cancel_booking(holder_of(held), held.booking.id) for held in made[1::3])
    await asyncio.gather(*cancelling)
    await connection.execute("UPDATE bookings SET expires_at = now() WHERE id = any($1::bigint[])", overdue)
    assert {await kinds(desk, booking_id) for booking_id in overdue} == {"HELD"}
    await SWEEP_HOLDS.all(connection, holds_looked_at=60, actor="sweeper")
    for booking_ids, expected in (
        (confirmed, "BOOKED"),
        (cancelled, "HELD CANCELLED"),
        (overdue, "HELD EXPIRED"),
    ):
        assert {await kinds(desk, booking_id) for booking_id in booking_ids} == {expected}


async def kinds(desk: BookingDesk, booking_id: int) -> str:
    """What happened to it, and that this is all."""
    story = await desk.list_story(READER, booking_id)
    assert not story.cut_short
    assert story.booking.id == booking_id
    return " ".join(event.kind for event in story.events)


async def test_what_the_ledger_does_not_have_within_reach_is_not_passed_over(
    worker: Worker, desk: BookingDesk, connection: Rows
) -> None:
    slot_id = await new_slot(connection, 1)
    held = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
    await connection.execute("UPDATE bookings SET status = 'FAILED' WHERE id = $1", held.booking.id)
    story = await desk.list_story(READER, held.booking.id)
    assert ([event.kind for event in story.events], story.cut_short) == (["HELD"], True)


async def append(connection: Rows, slot_id: int, kind: str) -> None:
    await connection.execute(
        "WITH s AS (UPDATE appointment_slots SET last_event = last_event + 1 WHERE id = $1"
        " RETURNING id, last_event, available_seats, total_seats)"
        " INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        " SELECT id, last_event, $2, total_seats, available_seats, total_seats, 'user:7', clock_timestamp() FROM s",
        slot_id,
        kind,
    )


async def test_nobody_is_told_a_story_of_no_booking(desk: BookingDesk, connection: Rows) -> None:
    with pytest.raises(BookingNotFound):
        await desk.list_story(READER, 404)
    assert not await connection.fetch("SELECT 1 FROM audit_log")


async def test_a_day_has_every_slot_by_start_and_those_who_come(
    worker: Worker, desk: BookingDesk, connection: Rows
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
    later = await desk.list_bookings_of_day(READER, doctor_id, start + timedelta(seconds=1), start + timedelta(days=1))
    assert later.slots == []


async def test_a_day_sheet_looks_for_those_who_come_only_so_far_and_says_so(
    worker: Worker, desk: BookingDesk, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot_id = await new_slot(connection, 5)
    doctor_id, start = (await connection.fetch("SELECT doctor_id, start_time FROM appointment_slots"))[0]
    made = [(await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=n == 3))).booking.id for n in range(5)]
    for booking_id in made[:3]:
        await worker.bookings.cancel_booking(DESK, booking_id)

    async def listed(looked_at: int, most: int = 2000) -> tuple[list[int], bool]:
        monkeypatch.setattr(booking_desk, "MOST_LOOKED_AT", looked_at)
        monkeypatch.setattr(booking_desk, "MOST_PATIENTS", most)
        sheet = await desk.list_bookings_of_day(READER, doctor_id, start, start + timedelta(seconds=1))
        return [booking.id for _, found in sheet.slots for booking in found], sheet.cut_short

    assert await listed(looked_at=4) == (made[3:], False)
    assert await listed(looked_at=3) == (made[4:], True)
    assert await listed(looked_at=4, most=1) == ([made[3]], True)


@pytest.mark.parametrize(("most", "shown", "cut_short"), [(3, 3, False), (2, 2, True)])
async def test_the_sheets_of_a_day_end_with_the_most_there_may_be_and_say_so(
    worker: Worker,
    desk: BookingDesk,
    connection: Rows,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
    shown: int,
    cut_short: bool,
) -> None:
    for _ in range(3):
        await worker.bookings.hold_seats(GUEST, wanted(await new_slot(connection, 1), confirm=True))
    period = FIRST_TIME, LAST_READABLE_TIME
    monkeypatch.setattr(booking_desk, "MOST_SHEETS", most)
    found = await desk.list_sheets_of_day(READER, *period)
    assert (len(found.days), found.cut_short) == (shown, cut_short)
    monkeypatch.setattr(booking_desk, "MOST_PATIENTS", 1)
    found = await desk.list_sheets_of_day(READER, *period)
    assert (len(found.days), found.cut_short) == (1, True)


async def exported(desk: BookingDesk, sought: BookingFilter = EVERYTHING) -> list[Booking]:
    return [one.booking async for page in desk.export_bookings(READER, sought) for one in page]


async def test_an_export_has_every_booking_once_and_is_noted_before_and_after(
    worker: Worker, desk: BookingDesk, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot_id = await new_slot(connection, 20)
    made = [(await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=True))).booking.id for _ in range(6)]
    for page in (1, 2, 4, 6, 7):
        monkeypatch.setattr(booking_desk, "EXPORT_PAGE", page)
        assert [booking.id for booking in await exported(desk)] == made[::-1], page
    assert not await exported(desk, BookingFilter(status=BookingStatus.CANCELLED))
    notes = await connection.fetch("SELECT details::text FROM audit_log WHERE action = 'export_bookings' ORDER BY id")
    assert [note[0] for note in notes[:2]] == ["{}", '{"bookings": 6}']
    assert [note[0] for note in notes[-2:]] == ['{"status": "CANCELLED"}', '{"status": "CANCELLED", "bookings": 0}']


async def test_an_export_holds_no_connection_while_somebody_reads_and_fails_when_the_database_does(
    worker: Worker, database_url: str, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(booking_desk, "EXPORT_PAGE", 2)
    slot_id = await new_slot(connection, 20)
    for _ in range(5):
        await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=True))
    database = await Database.connect(database_url, 1)
    try:
        pages = BookingDesk(database).export_bookings(READER, EVERYTHING)
        assert len(await anext(pages)) == 2
        assert database.size == database.idle == 1
        await connection.execute("ALTER TABLE bookings RENAME TO gone")
        with pytest.raises(asyncpg.UndefinedTableError):
            await anext(pages)
    finally:
        await database.close()
    notes = await connection.fetch("SELECT details::text FROM audit_log WHERE action = 'export_bookings'")
    assert [note[0] for note in notes] == ["{}"]
