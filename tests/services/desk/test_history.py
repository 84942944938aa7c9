"""A booking's history and slip, as the desk reads them."""

import asyncio
from typing import TypeAlias

import asyncpg
import pytest

from slotwise.db.pool import Database
from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import BookingNotFound
from slotwise.services.booking.search import BookingQuery
from slotwise.services.core.callers import Caller
from slotwise.services.core.expiry import SWEEP_HOLDS
from slotwise.services.desk import history
from slotwise.services.desk.history import BookingHistory
from tests.workers import DESK, GUEST, Worker, holder_of, new_slot, wanted

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

assert DESK.user is not None
READER = DESK.user
EVERYTHING = BookingQuery()


@pytest.fixture
def desk(database: Database) -> BookingHistory:
    return BookingHistory(database)


async def test_a_history_shows_who_changed_the_booking_and_its_slot(
    worker: Worker, desk: BookingHistory, connection: Rows, monkeypatch: pytest.MonkeyPatch
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
    shown = await desk.get_history(READER, held.booking.id)
    assert [(event.kind, event.of_slot, event.actor, event.actor_name) for event in shown.events] == [
        ("HELD", False, "guest", None),
        ("CONFIRMED", False, "user:7", "Ada"),
        ("MOVED", True, "user:7", "Ada"),
        ("CLOSED", True, "user:7", "Ada"),
        ("CANCELLED", False, "user:7", "Ada"),
    ]
    assert [event.available_after for event in shown.events if not event.of_slot] == [2, 2, 4]
    assert (shown.booking.status, shown.cancel_reason) == (BookingStatus.CANCELLED, "Rang to say she has moved")
    assert await connection.fetchval("SELECT subject FROM audit_log WHERE action = 'get_history'") == (
        f"booking:{held.booking.id}"
    )
    assert not shown.cut_short
    monkeypatch.setattr(history, "MOST_CHANGES", 1)
    shorter = await desk.get_history(READER, held.booking.id)
    assert [event.kind for event in shorter.events] == ["HELD", "CONFIRMED", "MOVED", "CANCELLED"]
    assert shorter.cut_short


async def test_in_a_crowded_slot_each_booking_has_its_own_history(
    worker: Worker, desk: BookingHistory, connection: Rows
) -> None:
    """Batches write many events at the same moment, and so do sweeps of many holds."""
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


async def kinds(desk: BookingHistory, booking_id: int) -> str:
    """The kinds of its events; the history must not be cut short."""
    shown = await desk.get_history(READER, booking_id)
    assert not shown.cut_short
    assert shown.booking.id == booking_id
    return " ".join(event.kind for event in shown.events)


async def test_a_history_says_if_the_ledger_lacks_an_event(
    worker: Worker, desk: BookingHistory, connection: Rows
) -> None:
    slot_id = await new_slot(connection, 1)
    held = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
    await connection.execute("UPDATE bookings SET status = 'FAILED' WHERE id = $1", held.booking.id)
    shown = await desk.get_history(READER, held.booking.id)
    assert ([event.kind for event in shown.events], shown.cut_short) == (["HELD"], True)


async def append(connection: Rows, slot_id: int, kind: str) -> None:
    await connection.execute(
        "WITH s AS (UPDATE appointment_slots SET last_event = last_event + 1 WHERE id = $1"
        " RETURNING id, last_event, available_seats, total_seats)"
        " INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        " SELECT id, last_event, $2, total_seats, available_seats, total_seats, 'user:7', clock_timestamp() FROM s",
        slot_id,
        kind,
    )


async def test_an_unknown_booking_has_no_history(desk: BookingHistory, connection: Rows) -> None:
    with pytest.raises(BookingNotFound):
        await desk.get_history(READER, 404)
    assert not await connection.fetch("SELECT 1 FROM audit_log")
