"""A colleague takes over the times of a doctor who is away: what is previewed is what is done."""

from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from msgspec.structs import replace

from slotwise.db.pool import Database
from slotwise.domain.clinics import ClinicChange
from slotwise.domain.errors import InvalidInput, NotAllowed, ScheduleChanged
from slotwise.domain.schedule_changes import Decision, Decisions, ScheduleChange
from slotwise.domain.schedules import ClosureKind
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.takeovers import TakeoverRefusal
from slotwise.domain.users import LimitedUser
from slotwise.domain.visit_types import VisitTypeFields
from slotwise.services.core.invariants import find_violations
from slotwise.services.schedule.clinics import Clinics
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.publishing import Publisher
from slotwise.services.schedule.schedules import Outlined
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.visit_types import VisitTypes
from tests.services.schedule.test_schedules import (
    ADMIN,
    STAFF,
    Practice,
    Rows,
    closure,
    moment,
    no_refresh,
    practice,
)

__all__ = ["practice"]


class Pair(NamedTuple):
    """A doctor who is away, with weekly hours, and a colleague, as yet without times."""

    ill: Practice
    well: Practice

    def change(self, default: Decision = Decision.TAKE_OVER, **decisions: Any) -> ScheduleChange:
        away = closure(self.ill.doctor_id, 1, "09:00", "11:00")
        decisions = {"colleague_id": self.well.doctor_id, **decisions}
        return ScheduleChange(add_closures=(away,), decisions=Decisions(default, **decisions))

    async def preview(self, **decisions: Any) -> Outlined:
        return await self.ill.schedules.preview_schedule(STAFF, self.change(**decisions))

    async def take_over(self, **decisions: Any) -> int:
        """Returns the id of the absence."""
        change = self.change(**decisions)
        seen = await self.ill.schedules.preview_schedule(STAFF, change)
        return (await self.ill.schedules.apply_schedule(STAFF, change, seen.token)).closure_ids[0]

    async def refusal(self) -> TakeoverRefusal | None:
        """Of the only booking; with a refusal, it stays as it is."""
        [hit] = (await self.preview()).preview.hits
        assert hit.decision is (Decision.TAKE_OVER if hit.refusal is None else Decision.KEEP)
        return hit.refusal

    async def doctor_of(self, booking_id: int) -> tuple[int, str, str]:
        """With the status of the slot, and that of the booking."""
        [row] = await self.ill.rows.fetch(
            "SELECT s.doctor_id, s.status, b.status FROM bookings b JOIN appointment_slots s ON s.id = b.slot_id"
            " WHERE b.id = $1",
            booking_id,
        )
        return tuple(row)


@pytest_asyncio.fixture
async def pair(practice: Practice, database: Database, connection: Rows) -> Pair:
    await practice.add_rule()
    doctor = await Doctors(database).create_doctor(ADMIN, "Dr. Well", None)
    return Pair(practice, Practice(database, connection, doctor.id))


async def violations(pair: Pair) -> list[str]:
    return [f"{found.rule} {found.found}" for found in await find_violations(pair.ill.database)]


async def test_a_colleague_takes_over_the_booked_times_and_the_others_close(pair: Pair) -> None:
    first, second = [await pair.ill.book(moment(1, clock)) for clock in ("09:00", "10:00")]
    hold = await pair.ill.book(moment(1, "10:30"), confirmed=False)
    seen = await pair.preview()
    assert [(hit.booking.id, hit.decision) for hit in seen.preview.hits] == [
        (first, Decision.TAKE_OVER),
        (second, Decision.TAKE_OVER),
    ]
    assert (seen.preview.come, seen.preview.go) == (0, 2)
    closure_id = await pair.take_over()
    assert await pair.doctor_of(first) == await pair.doctor_of(second) == (pair.well.doctor_id, "OPEN", "CONFIRMED")
    assert await pair.ill.status_of(hold) == "CANCELLED"
    assert await pair.well.slots() == ["1 09:00", "1 10:00"]
    assert await pair.ill.slots("CLOSED") == ["1 09:30", "1 10:30"]
    ledger = await pair.ill.rows.fetch(
        "SELECT e.kind FROM booking_events e JOIN bookings b USING (slot_id) WHERE b.id = $1 ORDER BY sequence", first
    )
    assert [row[0] for row in ledger] == ["CREATED", "BOOKED", "MOVED"]
    notes = await pair.ill.rows.fetch(
        "SELECT actor, details::text FROM audit_log WHERE action = 'take_over_slots' AND subject = $1",
        f"closure:{closure_id}",
    )
    [(actor, details)] = [tuple(row) for row in notes]
    assert actor == "user:2"
    assert f'"doctor_id": [{pair.ill.doctor_id}, {pair.well.doctor_id}]' in details
    assert await violations(pair) == []


async def test_undoing_the_absence_gives_the_doctor_own_times_beside_what_was_taken_over(pair: Pair) -> None:
    before = await pair.ill.slots()
    booking = await pair.ill.book(moment(1, "09:00"))
    closure_id = await pair.take_over()
    assert await Publisher(pair.ill.database, 25).publish_slots() == 0
    await pair.ill.apply(remove_closures=(closure_id,))
    assert await pair.ill.slots() == before
    assert await pair.doctor_of(booking) == (pair.well.doctor_id, "OPEN", "CONFIRMED")
    assert await pair.well.slots() == ["1 09:00"]
    assert await Publisher(pair.ill.database, 25).publish_slots() == 0
    assert await violations(pair) == []


async def test_a_free_time_of_the_colleague_makes_room_and_is_not_published_again(pair: Pair) -> None:
    await pair.well.add_rule(opens=9 * 60 + 15, closes=10 * 60 + 15)
    booking = await pair.ill.book(moment(1, "09:00"))
    await pair.take_over()
    assert await pair.doctor_of(booking) == (pair.well.doctor_id, "OPEN", "CONFIRMED")
    there = ["1 09:00", "1 09:45"]
    assert [slot for slot in await pair.well.slots() if slot.startswith("1")] == there
    assert await Publisher(pair.ill.database, 25).publish_slots() == 0
    await pair.well.add_rule(opens=12 * 60, closes=12 * 60 + 30)
    assert [slot for slot in await pair.well.slots() if slot.startswith("1")] == [*there, "1 12:00"]
    assert await violations(pair) == []


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_colleague_who_sees_somebody_else_takes_nobody_over(pair: Pair, confirmed: bool) -> None:
    await Slots(pair.ill.database).create_slot(ADMIN, pair.well.doctor_id, moment(1, "09:15"), 1, 10)
    booking = await pair.ill.book(moment(1, "09:00"))
    other = await pair.well.book(moment(1, "09:15"), confirmed=confirmed)
    assert await pair.refusal() is TakeoverRefusal.COLLEAGUE_BUSY
    await pair.take_over()
    assert await pair.doctor_of(booking) == (pair.ill.doctor_id, "CLOSED", "CONFIRMED")
    assert await pair.ill.status_of(other) == ("CONFIRMED" if confirmed else "PENDING")
    assert await pair.well.slots() == ["1 09:15"]


async def test_whom_the_colleague_cannot_see_is_cancelled_if_that_is_asked_for(pair: Pair) -> None:
    await Slots(pair.ill.database).create_slot(ADMIN, pair.well.doctor_id, moment(1, "09:00"), 1, 10)
    booking, taken = [await pair.ill.book(moment(1, clock)) for clock in ("09:00", "09:30")]
    await pair.well.book(moment(1, "09:00"))
    await pair.take_over(otherwise=Decision.CANCEL)
    assert await pair.ill.status_of(booking) == "CANCELLED"
    assert (await pair.doctor_of(taken))[0] == pair.well.doctor_id


async def test_a_buffer_of_the_colleague_is_in_the_way(pair: Pair, database: Database) -> None:
    kind = await VisitTypes(database).create_visit_type(
        ADMIN, VisitTypeFields(name="Long", minutes=10, buffer_minutes=20)
    )
    slot = await Slots(database).create_slot(ADMIN, pair.well.doctor_id, moment(1, "08:45"), 1, 10)
    await VisitTypes(database).set_visit_types(ADMIN, slot, (kind.id,))
    await pair.ill.book(moment(1, "09:00"))
    await pair.well.book(moment(1, "08:45"))
    assert await pair.refusal() is TakeoverRefusal.COLLEAGUE_BUSY


async def test_a_colleague_who_is_away_or_works_elsewhere_takes_nobody_over(pair: Pair, database: Database) -> None:
    await pair.ill.book(moment(1, "09:00"))
    assert await pair.refusal() is None
    done = await pair.ill.apply(add_closures=(closure(pair.well.doctor_id, 1, "09:20", "12:00"),))
    assert await pair.refusal() is TakeoverRefusal.COLLEAGUE_AWAY
    await pair.ill.apply(remove_closures=tuple(done.closure_ids))
    clinics = Clinics(database, no_refresh)
    other = await clinics.create_clinic(ADMIN, ClinicChange(name="North", time_zone="UTC"))
    slot = await Slots(database).create_slot(ADMIN, pair.well.doctor_id, moment(1, "09:00"), 1, 10, other.id)
    assert await pair.refusal() is TakeoverRefusal.COLLEAGUE_ELSEWHERE
    await Slots(database).update_slot(ADMIN, slot.id, SlotChange(status=SlotStatus.CLOSED))
    assert await pair.refusal() is None
    await clinics.change_doctor_clinics(ADMIN, pair.well.doctor_id, frozenset({other.id}))
    assert await pair.refusal() is TakeoverRefusal.COLLEAGUE_ELSEWHERE


async def test_a_time_that_an_absence_closed_already_opens_again_with_the_colleague(pair: Pair) -> None:
    booking = await pair.ill.book(moment(1, "09:00"))
    done = await pair.ill.apply(add_closures=(closure(pair.ill.doctor_id, 1, "09:00", "11:00"),))
    assert await pair.doctor_of(booking) == (pair.ill.doctor_id, "CLOSED", "CONFIRMED")
    away = replace(closure(pair.ill.doctor_id, 1, "09:00", "11:00"), id=done.closure_ids[0], version=1)
    decisions = Decisions(Decision.TAKE_OVER, colleague_id=pair.well.doctor_id)
    again = await pair.ill.apply(STAFF, change_closures=(away,), decisions=decisions)
    assert (again.preview.come, again.preview.go) == (1, 0)
    assert await pair.doctor_of(booking) == (pair.well.doctor_id, "OPEN", "CONFIRMED")
    assert await violations(pair) == []


async def test_a_hold_of_the_colleague_makes_the_preview_old(pair: Pair) -> None:
    await Slots(pair.ill.database).create_slot(ADMIN, pair.well.doctor_id, moment(1, "09:00"), 1, 10)
    booking = await pair.ill.book(moment(1, "09:00"))
    seen = await pair.preview()
    await pair.well.book(moment(1, "09:00"), confirmed=False)
    with pytest.raises(ScheduleChanged) as refused:
        await pair.ill.schedules.apply_schedule(STAFF, pair.change(), seen.token)
    now = refused.value.outlined
    assert isinstance(now, Outlined)
    assert [hit.refusal for hit in now.preview.hits] == [TakeoverRefusal.COLLEAGUE_BUSY]
    assert (await pair.doctor_of(booking))[0] == pair.ill.doctor_id


async def test_those_who_have_one_time_are_not_parted(pair: Pair) -> None:
    await Slots(pair.ill.database).create_slot(ADMIN, pair.ill.doctor_id, moment(1, "08:50"), 2, 10)
    first, second = [await pair.ill.book(moment(1, "08:50")) for _ in range(2)]
    away = replace(closure(pair.ill.doctor_id, 1, "08:00", "11:00"), message="Away")

    async def apply(decision: Decision) -> None:
        decisions = Decisions(Decision.TAKE_OVER, {first: decision}, colleague_id=pair.well.doctor_id)
        await pair.ill.apply(STAFF, add_closures=(away,), decisions=decisions)

    with pytest.raises(InvalidInput, match="part"):
        await apply(Decision.KEEP)
    await apply(Decision.CANCEL)
    assert await pair.ill.status_of(first) == "CANCELLED"
    assert await pair.doctor_of(second) == (pair.well.doctor_id, "OPEN", "CONFIRMED")


async def test_only_an_absence_of_one_doctor_can_be_taken_over_by_another(pair: Pair, database: Database) -> None:
    plain = pair.change()
    holiday = replace(plain.add_closures[0], doctor_id=None, clinic_id=1, kind=ClosureKind.HOLIDAY)
    wrong = {
        "one doctor": replace(plain, add_closures=(holiday,)),
        "another doctor": pair.change(colleague_id=pair.ill.doctor_id),
        "who takes over": pair.change(colleague_id=None),
        "takes appointments": pair.change(colleague_id=2**40),
    }
    for told, change in wrong.items():
        with pytest.raises(InvalidInput) as refused:
            await pair.ill.schedules.preview_schedule(ADMIN, change)
        assert refused.value.errors[0].field == "decisions.colleague_id"
        assert told in refused.value.errors[0].message
    limited = LimitedUser.of(STAFF, frozenset({9}))
    with pytest.raises(NotAllowed):
        await pair.ill.schedules.preview_schedule(limited, plain)
