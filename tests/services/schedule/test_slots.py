"""A dry run of a change changes nothing and blocks no booking."""

import asyncio
from collections.abc import AsyncIterator
from typing import TypeAlias

import asyncpg
import pytest

from slotwise.domain.errors import InvalidInput, SeatsTaken
from slotwise.domain.slots import SlotChange
from slotwise.domain.visit_types import VisitTypeFields
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.visit_types import VisitTypes
from tests.clinic import PATIENCE_SECONDS
from tests.workers import DESK, GUEST, Worker, new_slot, wanted, workers

assert DESK.user is not None
ADMIN = DESK.user
Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def worker(database_url: str) -> AsyncIterator[Worker]:
    async with workers(database_url, count=1) as [worker]:
        yield worker


async def test_a_dry_run_keeps_overdue_holds_and_does_not_wait_for_bookings(worker: Worker, connection: Rows) -> None:
    slot_id = await new_slot(connection, seats=2)
    overdue = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
    await worker.bookings.hold_seats(GUEST, wanted(slot_id))
    await connection.execute("UPDATE bookings SET expires_at = now() WHERE id = $1", overdue.booking.id)
    slots = Slots(worker.database)
    async with connection.transaction(), asyncio.timeout(PATIENCE_SECONDS):
        await connection.execute("SELECT FROM appointment_slots WHERE id = $1 FOR UPDATE", slot_id)
        assert (await slots.update_slot(ADMIN, slot_id, SlotChange(total_seats=1), dry_run=True)).available_seats == 1
        with pytest.raises(SeatsTaken):
            await slots.update_slot(ADMIN, slot_id, SlotChange(total_seats=0), dry_run=True)
    assert await connection.fetchval("SELECT status FROM bookings WHERE id = $1", overdue.booking.id) == "PENDING"
    assert (await slots.get_slot(slot_id)).total_seats == 2


async def test_types_are_refused_for_a_time_that_has_become_shorter_meanwhile(worker: Worker, connection: Rows) -> None:
    slot_id = await new_slot(connection, seats=1)
    slots, types = Slots(worker.database), VisitTypes(worker.database)
    seen = await slots.get_slot(slot_id)
    kind = await types.create_visit_type(ADMIN, VisitTypeFields("First visit", seen.duration_minutes))
    await slots.update_slot(ADMIN, slot_id, SlotChange(duration_minutes=seen.duration_minutes - 1))
    with pytest.raises(InvalidInput) as refused:
        await types.set_visit_types(ADMIN, seen, [kind.id])
    assert [fault.field for fault in refused.value.errors] == ["visit_type_ids"]
    assert await connection.fetchval("SELECT visit_type_ids FROM appointment_slots WHERE id = $1", slot_id) is None
