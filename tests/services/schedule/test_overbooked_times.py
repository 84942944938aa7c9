"""Overbooked times of a schedule rule: what the desk added is no change of the rule's time."""

import asyncpg
from msgspec.structs import replace

from slotwise.db.pool import Database
from slotwise.domain.bookings import Overbooking
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.services.booking.overbookings import Overbookings
from slotwise.services.core.manage_tokens import ManageTokens
from slotwise.services.schedule.publishing import Publisher
from tests.services.schedule.test_schedules import ADMIN, STAFF, Practice, closure, moment, practice
from tests.workers import violations

__all__ = ["practice"]


async def overbooked(practice: Practice) -> int:
    """A second booking of a time for one."""
    await practice.book(moment(1, "09:00"))
    slot_id = await practice.rows.fetchval(
        "SELECT id FROM appointment_slots WHERE doctor_id = $1 AND start_time = $2",
        practice.doctor_id,
        moment(1, "09:00"),
    )
    overbookings = Overbookings(practice.database, ManageTokens("a secret of at least 32 bytes, for tests"))
    wanted = Overbooking(slot_id, 1, "Grace Hopper", "grace@example.org", "In pain")
    held = await overbookings.overbook_seats(STAFF, wanted)
    assert held.booking.added_seats == 1
    return held.booking.id


async def test_the_planner_leaves_an_overbooked_time_as_it_is(practice: Practice) -> None:
    rule = await practice.add_rule()
    await overbooked(practice)
    longer = replace(rule, closes=rule.closes + 30)
    seen = (await practice.schedules.preview_schedule(ADMIN, ScheduleChange(change_rules=(longer,)))).preview
    assert (seen.go, seen.hits) == (0, ())
    await practice.apply(change_rules=(longer,))
    assert await Publisher(practice.database, 25).publish_slots() == 0
    query = "SELECT count(*) FROM appointment_slots WHERE drifted OR pinned"
    assert await practice.rows.fetchval(query) == 0


async def test_a_closure_takes_the_added_seat_away_with_the_bookings(
    practice: Practice, database: Database, connection: asyncpg.Connection
) -> None:
    await practice.add_rule()
    booking_id = await overbooked(practice)
    away = closure(practice.doctor_id, 1, "08:00", "12:00")
    wanted = ScheduleChange(add_closures=(away,))
    seen = await practice.schedules.preview_schedule(ADMIN, wanted)
    assert {hit.booking.id for hit in seen.preview.hits} >= {booking_id}
    await practice.schedules.apply_schedule(ADMIN, wanted, seen.token)
    query = "SELECT total_seats - added_seats, added_seats FROM appointment_slots WHERE start_time = $1"
    [(offered, added)] = await connection.fetch(query, moment(1, "09:00"))
    status = await practice.status_of(booking_id)
    assert (offered, added) == (1, 0 if status == "CANCELLED" else 1)
    assert await violations(database) == []
