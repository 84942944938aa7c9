"""The buffer of a slot's visit types reaches into a neighbouring time of its doctor. Unlike two open slots that overlap
by their own times, no constraint refuses that: only the locks do."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import asyncpg
import pytest
from torture.patching import drop_rules, mutate

from slotwise.domain.errors import SlotClosed, SlotOverlaps
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.users import Role, User
from slotwise.services.booking.batches import Held
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.visit_types import VisitTypes
from tests.depth import many
from tests.workers import (
    GUEST,
    NOW,
    Worker,
    at_once,
    in_turn,
    new_slot,
    violations,
    wanted,
    workers,
)

ADMIN = User(0, "admin@example.org", "Admin", Role.ADMIN, True, 1, NOW, NOW)
ROUNDS = many(3, 20)
START = NOW + timedelta(days=30)
# After the end of the slot, and within its buffer of 30 minutes.
IN_BUFFER = START + timedelta(minutes=40)

Act = Callable[[], Awaitable[object]]


async def new_type(connection: asyncpg.Connection) -> int:
    kind: int = await connection.fetchval(
        "INSERT INTO visit_types (name, minutes, buffer_minutes) VALUES ('Surgery', 30, 30) RETURNING id"
    )
    return kind


async def new_neighbour(connection: asyncpg.Connection, slot_id: int, way: str) -> int:
    """Another slot of the doctor: on another day, or closed, if it is to be opened."""
    start, status = (IN_BUFFER, "CLOSED") if way == "opening" else (START + timedelta(days=1), "OPEN")
    other_id = await new_slot(connection, seats=1)
    await connection.execute(
        "UPDATE appointment_slots SET doctor_id = (SELECT doctor_id FROM appointment_slots WHERE id = $2),"
        " start_time = $3, end_time = $4, status = $5 WHERE id = $1",
        other_id,
        slot_id,
        start,
        start + timedelta(minutes=30),
        status,
    )
    return other_id


async def _create(slots: Slots, slot_id: int, other_id: int) -> object:
    doctor_id = (await slots.get_slot(slot_id)).doctor_id
    return await slots.create_slot(ADMIN, doctor_id, IN_BUFFER, 1, 30)


async def _move(slots: Slots, slot_id: int, other_id: int) -> object:
    return await slots.update_slot(ADMIN, other_id, SlotChange(start_time=IN_BUFFER))


async def _open(slots: Slots, slot_id: int, other_id: int) -> object:
    return await slots.update_slot(ADMIN, other_id, SlotChange(status=SlotStatus.OPEN))


WAYS = {"creating": _create, "moving": _move, "opening": _open}


async def _give_and_come(pair: list[Worker], connection: asyncpg.Connection, way: str) -> list[Act]:
    """One gives a slot a type with a buffer, the other lets a neighbour come into the time of that buffer."""
    slot_id = await new_slot(connection, seats=1)
    other_id = await new_neighbour(connection, slot_id, way)
    kind = await new_type(connection)
    slot = await Slots(pair[0].database).get_slot(slot_id)
    give = partial(VisitTypes(pair[0].database).set_visit_types, ADMIN, slot, [kind])
    return [give, partial(WAYS[way], Slots(pair[1].database), slot_id, other_id)]


async def overlaps_by_buffer(connection: asyncpg.Connection) -> int:
    count: int = await connection.fetchval(
        "SELECT count(*) FROM appointment_slots AS s JOIN appointment_slots AS o"
        " ON s.doctor_id = o.doctor_id AND s.id <> o.id AND o.start_time >= s.start_time"
        " AND o.start_time < s.busy_until"
        " WHERE (s.status = 'OPEN' OR s.available_seats < s.total_seats) AND o.status = 'OPEN'"
    )
    return count


@pytest.mark.parametrize("way", WAYS)
async def test_of_a_buffer_and_a_neighbour_in_its_time_one_is_refused(
    database_url: str, connection: asyncpg.Connection, way: str
) -> None:
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            results = await at_once(await _give_and_come(pair, connection, way))
            assert sum(isinstance(result, SlotOverlaps) for result in results) == 1, results
        assert await overlaps_by_buffer(connection) == 0


LOCKS_DOCTOR = "PERFORM 1 FROM doctors AS d WHERE d.id = owner FOR NO KEY UPDATE;"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("locked", [True, False])
async def test_one_of_both_is_refused_only_because_of_the_doctors_lock(
    database_url: str, connection: asyncpg.Connection, way: str, locked: bool
) -> None:
    """With the lock, and as a negative control without it: each has decided before the other commits."""
    if not locked:
        await mutate(connection, "set_visit_types", LOCKS_DOCTOR, "")
    async with workers(database_url) as pair:
        # Both changes end with a row of this table.
        results = await in_turn(
            connection, "LOCK TABLE audit_log IN SHARE MODE", await _give_and_come(pair, connection, way)
        )
        assert [type(result) for result in results if isinstance(result, Exception)] == [SlotOverlaps] * locked
        assert await overlaps_by_buffer(connection) == (not locked)


async def _hold_and_open(pair: list[Worker], connection: asyncpg.Connection) -> list[Act]:
    """One holds a slot with a buffer. The other closes that slot, and opens a neighbour in the time of the buffer."""
    slot_id = await new_slot(connection, seats=1)
    other_id = await new_neighbour(connection, slot_id, "opening")
    kind = await new_type(connection)
    slots = Slots(pair[1].database)
    slot = await slots.get_slot(slot_id)
    await VisitTypes(pair[1].database).set_visit_types(ADMIN, slot, [kind])

    async def open_instead() -> object:
        await slots.update_slot(ADMIN, slot_id, SlotChange(status=SlotStatus.CLOSED))
        return await _open(slots, slot_id, other_id)

    return [partial(pair[0].bookings.hold_seats, GUEST, wanted(slot_id)), open_instead]


async def _let_holds_stand(connection: asyncpg.Connection) -> None:
    """Let a hold wait before it writes its booking while the advisory lock 7 is held."""
    await connection.execute(
        "CREATE FUNCTION stand() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN new; END';"
        " CREATE TRIGGER stand BEFORE INSERT ON bookings FOR EACH ROW EXECUTE FUNCTION stand()"
    )


def _one_of(held: Any, opened: Any) -> bool:
    if isinstance(held, Held):
        return isinstance(opened, SlotOverlaps)
    return isinstance(held, SlotClosed) and not isinstance(opened, Exception)


async def test_a_held_visit_keeps_its_buffer_when_its_slot_is_closed_and_a_neighbour_opened(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url) as pair:
        for _ in range(ROUNDS * 3):
            held, opened = await at_once(await _hold_and_open(pair, connection))
            assert _one_of(held, opened), (held, opened)
        assert await overlaps_by_buffer(connection) == 0
        assert await violations(pair[0].database) == []


@pytest.mark.parametrize("locked", [True, False])
async def test_a_held_visit_keeps_its_buffer_only_because_of_the_slots_lock(
    database_url: str, connection: asyncpg.Connection, locked: bool
) -> None:
    """With the lock, and as a negative control without it: the hold has decided, and not yet written."""
    if not locked:
        await mutate(connection, "hold_seats_3", "FOR NO KEY UPDATE", "")
        # The second line of defence.
        await drop_rules(connection, "booking_events_pkey")
    await _let_holds_stand(connection)
    async with workers(database_url) as pair:
        results = await in_turn(
            connection, "SELECT pg_advisory_xact_lock(7)", await _hold_and_open(pair, connection), ends=not locked
        )
        assert _one_of(*results) is locked
        assert await overlaps_by_buffer(connection) == (not locked)
