"""A booked visit keeps the buffer of its visit type, whatever changes about its slot or about the type."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from msgspec.structs import replace

from slotwise.db.pool import Database
from slotwise.domain.bookings import SeatRequest
from slotwise.domain.errors import SlotOverlaps
from slotwise.domain.schedule_changes import Decision, Decisions, LengthChange, ScheduleChange
from slotwise.domain.schedules import SkipReason
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.visit_types import VisitTypeChange
from slotwise.services.core.invariants import find_violations
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.visit_types import VisitTypes
from tests.services.schedule.test_schedules import ADMIN, Practice, Rows, closure, moment, practice
from tests.workers import DESK, booking_path, until_waiting_for_a_lock

__all__ = ["practice"]

MINUTE = timedelta(minutes=1)
ADD_TYPE = "INSERT INTO visit_types (name, minutes, buffer_minutes) VALUES ($1, 30, $2) RETURNING id"


class Surgery(NamedTuple):
    """A doctor who offers short talks without a buffer, and operations that need half an hour afterwards."""

    practice: Practice
    talk: int
    operation: int

    @property
    def slots(self) -> Slots:
        return Slots(self.practice.database)

    @property
    def types(self) -> VisitTypes:
        return VisitTypes(self.practice.database)

    async def slot_at(self, start: datetime) -> int:
        found = await self.practice.rows.fetchval(
            "SELECT id FROM appointment_slots WHERE start_time = $1 AND doctor_id = $2", start, self.practice.doctor_id
        )
        return int(found)

    async def add(self, start: datetime, *types: int) -> int:
        made = await self.slots.create_slot(
            ADMIN, self.practice.doctor_id, start, 1, 30, visit_type_ids=list(types) or None
        )
        return made.id

    async def book(self, start: datetime, visit_type: int | None = None, *, confirm: bool = True) -> int:
        wanted = SeatRequest(
            await self.slot_at(start), 1, None, "Ada", "ada@example.org", confirm, visit_type or self.operation
        )
        return (await booking_path(self.practice.database, 60)[1].hold_seats(DESK, wanted)).booking.id

    async def busy_until(self, start: datetime) -> datetime | None:
        found: datetime | None = await self.practice.rows.fetchval(
            "SELECT busy_until FROM appointment_slots WHERE start_time = $1", start
        )
        return found

    async def violations(self) -> list[str]:
        return [f"{found.rule} {found.found}" for found in await find_violations(self.practice.database)]


@pytest_asyncio.fixture
async def surgery(practice: Practice, connection: Rows) -> Surgery:
    talk, operation = [await connection.fetchval(ADD_TYPE, *each) for each in (("Talk", 0), ("Operation", 30))]
    return Surgery(practice, talk, operation)


NINE, HALF_PAST, TEN = (moment(1, clock) for clock in ("09:00", "09:30", "10:00"))


@pytest.mark.parametrize("left", ["talk", None])
async def test_a_booked_visit_keeps_its_buffer_when_its_slot_gets_other_types(
    surgery: Surgery, left: str | None
) -> None:
    slot_id = await surgery.add(NINE, surgery.talk, surgery.operation)
    await surgery.book(NINE)
    slot = await surgery.slots.get_slot(slot_id)
    await surgery.types.set_visit_types(ADMIN, slot, [surgery.talk] if left else None)
    assert await surgery.busy_until(NINE) == TEN
    with pytest.raises(SlotOverlaps):
        await surgery.add(HALF_PAST)
    assert await surgery.violations() == []


async def test_a_slot_that_is_no_longer_booked_gives_its_buffer_back_with_its_next_change(surgery: Surgery) -> None:
    slot_id = await surgery.add(NINE, surgery.talk, surgery.operation)
    booking = await surgery.book(NINE)
    await booking_path(surgery.practice.database, 60)[1].cancel_booking(DESK, booking)
    await surgery.types.set_visit_types(ADMIN, await surgery.slots.get_slot(slot_id), [surgery.talk])
    assert await surgery.busy_until(NINE) is None


@pytest.mark.parametrize(
    ("change", "end"),
    [
        (SlotChange(total_seats=3), HALF_PAST),
        (SlotChange(status=SlotStatus.CLOSED), HALF_PAST),
        (SlotChange(duration_minutes=45), HALF_PAST + 15 * MINUTE),
        (SlotChange(start_time=NINE + 5 * MINUTE), HALF_PAST + 5 * MINUTE),
    ],
    ids=["seats", "closed", "length", "start"],
)
async def test_a_booked_visit_keeps_its_buffer_when_its_slot_is_changed(
    surgery: Surgery, change: SlotChange, end: datetime
) -> None:
    slot_id = await surgery.add(NINE, surgery.talk, surgery.operation)
    await surgery.book(NINE)
    await surgery.types.set_visit_types(ADMIN, await surgery.slots.get_slot(slot_id), [surgery.talk])
    await surgery.slots.update_slot(ADMIN, slot_id, change)
    assert await surgery.practice.rows.fetchval("SELECT busy_until FROM appointment_slots") == end + 30 * MINUTE
    assert await surgery.violations() == []


async def test_a_closed_booked_slot_gets_no_type_whose_buffer_reaches_into_another(surgery: Surgery) -> None:
    slot_id = await surgery.add(NINE, surgery.talk)
    await surgery.book(NINE, surgery.talk)
    await surgery.slots.update_slot(ADMIN, slot_id, SlotChange(status=SlotStatus.CLOSED))
    await surgery.add(HALF_PAST)
    with pytest.raises(SlotOverlaps):
        await surgery.types.set_visit_types(ADMIN, await surgery.slots.get_slot(slot_id), [surgery.operation])


async def with_hours(surgery: Surgery) -> Any:
    """Hours with a time at each full hour, of which one is booked for an operation."""
    rule = await surgery.practice.add_rule(visit_type_ids=(surgery.talk, surgery.operation))
    assert (await surgery.practice.slots())[:2] == ["0 09:00", "0 10:00"]
    return rule


@pytest.mark.parametrize("confirm", [True, False], ids=["confirmed", "held"])
async def test_a_booked_visit_keeps_its_buffer_when_its_hours_get_other_types(surgery: Surgery, confirm: bool) -> None:
    """New times come everywhere but in the buffer of the visit."""
    rule = await with_hours(surgery)
    await surgery.book(NINE, confirm=confirm)
    talks = ScheduleChange(change_rules=(_with_types(rule, surgery.talk),))
    seen = await surgery.practice.schedules.preview_schedule(ADMIN, talks)
    assert [(skip.start_time, skip.reason) for skip in seen.preview.skipped] == [(HALF_PAST, SkipReason.OTHER_SLOT)]
    await surgery.practice.schedules.apply_schedule(ADMIN, talks, seen.token)
    assert await surgery.busy_until(NINE) == TEN
    assert (await surgery.practice.slots())[4:7] == ["1 09:00", "1 10:00", "1 10:30"]
    assert await surgery.violations() == []
    again = await surgery.practice.schedules.preview_schedule(ADMIN, ScheduleChange())
    assert again.preview.difference.change == ()


def _with_types(rule: Any, *types: int) -> Any:
    return replace(rule, visit_type_ids=types)


async def test_a_visit_that_is_held_after_the_preview_keeps_its_buffer(surgery: Surgery) -> None:
    """The change had read the schedule, and waits for the slot that is being held."""
    rule = await with_hours(surgery)
    talks = ScheduleChange(change_rules=(_with_types(rule, surgery.talk),))
    seen = await surgery.practice.schedules.preview_schedule(ADMIN, talks)
    slot_id = await surgery.slot_at(NINE)
    async with surgery.practice.rows.transaction():
        await surgery.practice.rows.execute("SELECT 1 FROM appointment_slots WHERE id = $1 FOR UPDATE", slot_id)
        applying = asyncio.create_task(surgery.practice.schedules.apply_schedule(ADMIN, talks, seen.token))
        await until_waiting_for_a_lock(surgery.practice.rows)
        # As `hold_seats` does.
        await surgery.practice.rows.execute(
            """INSERT INTO bookings (slot_id, seats_booked, status, expires_at, manage_token_hash, visit_type_id)
            VALUES ($1, 1, 'PENDING', clock_timestamp() + interval '1 minute', '\\x00', $2)""",
            slot_id, surgery.operation,
        )  # fmt: skip
        await surgery.practice.rows.execute("UPDATE appointment_slots SET available_seats = 0 WHERE id = $1", slot_id)
    await applying
    assert await surgery.busy_until(NINE) == TEN
    assert (await surgery.practice.slots())[4:7] == ["1 09:00", "1 10:00", "1 10:30"]


async def test_a_colleague_who_takes_over_a_visit_keeps_its_buffer_free(surgery: Surgery, database: Database) -> None:
    rule = await with_hours(surgery)
    await surgery.book(NINE)
    await surgery.practice.apply(change_rules=(_with_types(rule, surgery.talk),))
    colleague = await Doctors(database).create_doctor(ADMIN, "Dr. Well", None)
    theirs = await Slots(database).create_slot(ADMIN, colleague.id, HALF_PAST, 1, 30)
    await surgery.practice.apply(
        add_closures=(closure(surgery.practice.doctor_id, 1, "09:00", "11:00"),),
        decisions=Decisions(Decision.TAKE_OVER, colleague_id=colleague.id),
    )
    assert (await Slots(database).get_slot(theirs.id)).status is SlotStatus.CLOSED
    assert await surgery.busy_until(NINE) == TEN
    with pytest.raises(SlotOverlaps):
        await Slots(database).create_slot(ADMIN, colleague.id, HALF_PAST, 1, 15)
    assert await surgery.violations() == []


async def _longer(surgery: Surgery, way: str) -> None:
    """Let talks have a buffer of 20 minutes. Types that no hours have are changed without a preview."""
    if way == "type":
        await surgery.types.update_visit_type(ADMIN, surgery.talk, VisitTypeChange(buffer_minutes=20))
    else:
        await surgery.practice.apply(change_lengths=(LengthChange(surgery.talk, 30, 20),))


WAYS = pytest.mark.parametrize("way", ["type", "lengths"])


@WAYS
async def test_a_longer_buffer_counts_at_once_for_slots_that_no_rule_has(surgery: Surgery, way: str) -> None:
    await surgery.add(NINE, surgery.talk)
    await surgery.add(TEN, surgery.talk)
    await surgery.book(NINE, surgery.talk)
    await _longer(surgery, way)
    assert await surgery.busy_until(NINE) == HALF_PAST + 20 * MINUTE
    with pytest.raises(SlotOverlaps):
        await surgery.add(HALF_PAST)
    assert await surgery.violations() == []


@WAYS
async def test_a_longer_buffer_is_refused_where_it_reaches_into_another_slot(surgery: Surgery, way: str) -> None:
    await surgery.add(NINE, surgery.talk)
    await surgery.add(HALF_PAST)
    with pytest.raises(SlotOverlaps):
        await _longer(surgery, way)
    assert (await surgery.types.get_visit_type(surgery.talk)).buffer_minutes == 0
    assert await surgery.busy_until(NINE) is None


@WAYS
async def test_a_longer_buffer_counts_for_a_booked_visit_whose_slot_no_longer_offers_it(
    surgery: Surgery, way: str
) -> None:
    slot_id = await surgery.add(NINE, surgery.talk)
    await surgery.book(NINE, surgery.talk)
    await surgery.types.set_visit_types(ADMIN, await surgery.slots.get_slot(slot_id), None)
    await _longer(surgery, way)
    assert await surgery.busy_until(NINE) == HALF_PAST + 20 * MINUTE
    assert await surgery.violations() == []


async def test_a_slot_that_is_added_while_the_buffer_grows_gets_the_new_one(
    surgery: Surgery, database: Database
) -> None:
    async with surgery.practice.rows.transaction():
        await surgery.practice.rows.execute("LOCK TABLE audit_log IN SHARE MODE")
        adding = asyncio.create_task(surgery.add(NINE, surgery.talk))
        await until_waiting_for_a_lock(surgery.practice.rows)
        growing = asyncio.create_task(_longer(surgery, "type"))
        await until_waiting_for_a_lock(surgery.practice.rows, 2)
    await asyncio.gather(adding, growing)
    assert await surgery.busy_until(NINE) == HALF_PAST + 20 * MINUTE


async def test_a_booked_time_without_room_for_the_longer_buffer_is_listed(surgery: Surgery) -> None:
    """Its rule has the type, and a slot by hand follows at once."""
    await surgery.practice.add_rule(visit_type_ids=(surgery.talk,), closes=9 * 60 + 30)
    await surgery.book(NINE, surgery.talk)
    await surgery.add(HALF_PAST)
    await _longer(surgery, "lengths")
    found = await surgery.practice.rows.fetch("SELECT start_time, status FROM appointment_slots WHERE drifted")
    assert [tuple(row) for row in found] == [(NINE, "CLOSED")]
    assert await surgery.violations() == []
