"""Changes of schedules beside bookings, slots made by hand, and a second publisher."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import asyncpg
import pytest
from msgspec.structs import replace
from torture.patching import mutate

from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import BookingCancelled, InvalidInput, ScheduleChanged, SlotOverlaps, VisitTypeInUse
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.domain.schedules import Closure, ClosureKind, Rule
from slotwise.domain.users import Role, User
from slotwise.domain.visit_types import VisitType, VisitTypeChange, VisitTypeFields
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import BookingWithVisit
from slotwise.services.schedule.clinics import fill_first_clinic
from slotwise.services.schedule.publishing import Publisher
from slotwise.services.schedule.schedules import Applied, Outlined, Schedules
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.visit_types import VisitTypes
from tests.workers import (
    GUEST,
    NOW,
    Worker,
    at_once,
    holder_of,
    new_slot,
    until_waiting_for_a_lock,
    violations,
    wanted,
    workers,
)

ADMIN = User(0, "admin@example.org", "Admin", Role.ADMIN, True, 1, NOW, NOW)
COMPARES_BOOKINGS = "live <> booking_ids\n        OR"
COMPARES_SCHEDULES = "fingerprint <> schedule_fingerprint(doctor_ids, starts_from, starts_before)"

Attempt = Callable[[], Awaitable[object]]


@asynccontextmanager
async def two(url: str) -> AsyncIterator[list[Worker]]:
    async with workers(url) as pair:
        await fill_first_clinic(pair[0].database, Clinic(1, "Clinic", "UTC"))
        yield pair


async def in_order(connection: asyncpg.Connection, lock: str, number: int, *attempts: Attempt) -> list[object]:
    """Let both wait for one row, the first in front, before either goes on."""
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(lock, number)
    running = []
    for place, attempt in enumerate(attempts, 1):
        running.append(asyncio.ensure_future(attempt()))
        await until_waiting_for_a_lock(connection, place)
    await transaction.commit()
    return [*await asyncio.gather(*running, return_exceptions=True)]


LOCK_SLOT = "SELECT 1 FROM appointment_slots WHERE id = $1 FOR NO KEY UPDATE"
LOCK_DOCTOR = "SELECT 1 FROM doctors WHERE id = $1 FOR NO KEY UPDATE"


async def close_beside_confirm(
    pair: list[Worker], connection: asyncpg.Connection, *, confirm_first: bool
) -> list[object]:
    """What confirming and closing gave, in this order."""
    slot_id = await new_slot(connection, seats=1)
    doctor_id = await connection.fetchval("SELECT doctor_id FROM appointment_slots WHERE id = $1", slot_id)
    held = await pair[0].bookings.hold_seats(GUEST, wanted(slot_id), None)
    start = NOW + timedelta(days=30)
    absence = Closure(0, doctor_id, None, start, start + timedelta(hours=1), ClosureKind.ABSENCE)
    change, schedules = ScheduleChange(add_closures=(absence,)), Schedules(pair[1].database, 90)
    seen = await schedules.preview_schedule(ADMIN, change)

    async def confirm() -> object:
        return await pair[0].bookings.confirm_booking(holder_of(held), held.booking.id, None, None)

    async def close() -> object:
        return await schedules.apply_schedule(ADMIN, change, seen.token)

    attempts = (confirm, close) if confirm_first else (close, confirm)
    results = await in_order(connection, LOCK_SLOT, slot_id, *attempts)
    return results if confirm_first else results[::-1]


async def test_a_confirm_that_comes_first_makes_the_preview_old(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        confirmed, refused = await close_beside_confirm(pair, connection, confirm_first=True)
        assert isinstance(confirmed, BookingWithVisit)
        assert isinstance(refused, ScheduleChanged)
        assert await connection.fetchval("SELECT status FROM appointment_slots") == "OPEN"
        assert await violations(pair[0].database) == []


async def test_a_closure_that_comes_first_cancels_the_hold(database_url: str, connection: asyncpg.Connection) -> None:
    async with two(database_url) as pair:
        confirmed, closed = await close_beside_confirm(pair, connection, confirm_first=False)
        assert isinstance(confirmed, BookingCancelled)
        assert isinstance(closed, Applied)
        assert closed.cancelled_holds == 1
        assert await violations(pair[0].database) == []


async def test_a_confirm_that_is_not_looked_for_is_closed_away_unseen(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control of the two above."""
    await mutate(connection, "apply_schedule_2", COMPARES_BOOKINGS, "")
    async with two(database_url) as pair:
        confirmed, closed = await close_beside_confirm(pair, connection, confirm_first=True)
        assert isinstance(confirmed, BookingWithVisit)
        assert isinstance(closed, Applied)
        assert closed.preview.hits == ()
        assert await connection.fetchval("SELECT status FROM appointment_slots") == "CLOSED"


class Narrowing(NamedTuple):
    """A time for two gets one seat. One of the two has confirmed, the other has a hold."""

    hold: Held
    change: ScheduleChange
    token: str


async def new_narrowing(worker: Worker, connection: asyncpg.Connection, schedules: Schedules) -> Narrowing:
    doctor_id: int = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    rule = Rule(0, doctor_id, 1, first_day(), first_day(), 1, first_day().isoweekday(), 540, 570, 30, 0, 2)
    change = ScheduleChange(add_rules=(rule,))
    done = await schedules.apply_schedule(ADMIN, change, (await schedules.preview_schedule(ADMIN, change)).token)
    slot_id = await connection.fetchval("SELECT id FROM appointment_slots")
    first, second = [await worker.bookings.hold_seats(GUEST, wanted(slot_id), None) for _ in range(2)]
    await worker.bookings.confirm_booking(holder_of(first), first.booking.id, None, None)
    fewer = ScheduleChange(change_rules=(replace(rule, id=done.rule_ids[0], total_seats=1),))
    seen = await schedules.preview_schedule(ADMIN, fewer)
    assert ([hold.id for hold in seen.preview.holds], seen.preview.changed_seats) == ([second.booking.id], 1)
    return Narrowing(second, fewer, seen.token)


async def narrow_beside_confirm(pair: list[Worker], connection: asyncpg.Connection) -> list[object]:
    """The hold is confirmed while the time gets one seat."""
    schedules = Schedules(pair[1].database, 20)
    held, fewer, token = await new_narrowing(pair[0], connection, schedules)

    async def confirm() -> object:
        return await pair[0].bookings.confirm_booking(holder_of(held), held.booking.id, None, None)

    async def narrow() -> object:
        return await schedules.apply_schedule(ADMIN, fewer, token)

    return await in_order(connection, LOCK_SLOT, held.booking.slot_id, confirm, narrow)


async def test_a_hold_that_runs_out_while_its_time_gets_fewer_seats_keeps_none(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """Its deadline passes after the look for overdue holds, and before the holds are cancelled."""
    looked = "cancelled_holds := cardinality(ended);"
    passes = "UPDATE bookings SET expires_at = clock_timestamp() WHERE status = 'PENDING';"
    await mutate(connection, "apply_schedule_2", looked, f"{looked} {passes}")
    async with two(database_url) as [worker, _]:
        schedules = Schedules(worker.database, 20)
        _, fewer, token = await new_narrowing(worker, connection, schedules)
        assert isinstance(await schedules.apply_schedule(ADMIN, fewer, token), Applied)
        assert await connection.fetchval(SEATS) == 1
        assert await violations(worker.database) == []


SEATS = "SELECT total_seats FROM appointment_slots"


async def test_a_confirm_that_is_one_too_many_for_fewer_seats_makes_the_preview_old(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        confirmed, refused = await narrow_beside_confirm(pair, connection)
        assert isinstance(confirmed, BookingWithVisit)
        assert isinstance(refused, ScheduleChanged)
        assert isinstance(refused.outlined, Outlined)
        assert refused.outlined.preview.crowded == 1
        assert await connection.fetchval(SEATS) == 2
        assert await violations(pair[0].database) == []


async def test_seats_that_are_not_compared_are_not_those_of_the_preview(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control of the one above. There are still as many seats as people."""
    await mutate(connection, "apply_schedule_2", "- p.held > w.seats + s.added_seats", "- p.held < 0")
    async with two(database_url) as pair:
        confirmed, applied = await narrow_beside_confirm(pair, connection)
        assert isinstance(confirmed, BookingWithVisit)
        assert isinstance(applied, Applied)
        assert await connection.fetchval(SEATS) == 2
        assert await violations(pair[0].database) == []


async def rule_beside_length(
    pair: list[Worker], connection: asyncpg.Connection, *, length_first: bool
) -> tuple[object, object]:
    """What changing the length of a visit type and adding hours with it gave, in this order."""
    doctor_id: int = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    types, schedules = VisitTypes(pair[0].database), Schedules(pair[1].database, 20)
    visit_type = (await types.create_visit_type(ADMIN, VisitTypeFields("Talk", 30))).id
    rule = Rule(0, doctor_id, 1, first_day(), None, 1, first_day().isoweekday(), 540, 720, 30, 0, 1, (visit_type,))
    change = ScheduleChange(add_rules=(rule,))
    seen = await schedules.preview_schedule(ADMIN, change)

    async def lengthen() -> object:
        return await types.update_visit_type(ADMIN, visit_type, VisitTypeChange(minutes=20))

    async def add() -> object:
        return await schedules.apply_schedule(ADMIN, change, seen.token)

    attempts = (lengthen, add) if length_first else (add, lengthen)
    results = await in_order(connection, LOCK_TYPE, visit_type, *attempts)
    lengthened, added = results if length_first else results[::-1]
    return lengthened, added


LOCK_TYPE = "SELECT 1 FROM visit_types WHERE id = $1 FOR NO KEY UPDATE"


async def test_hours_are_not_added_with_a_length_that_changed_meanwhile(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        lengthened, refused = await rule_beside_length(pair, connection, length_first=True)
        assert isinstance(lengthened, VisitType)
        assert isinstance(refused, InvalidInput)
        assert [fault.field for fault in refused.errors] == ["add_rules[0].slot_minutes"]


async def test_a_length_does_not_change_under_hours_that_came_first(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        refused, added = await rule_beside_length(pair, connection, length_first=False)
        assert isinstance(added, Applied)
        assert isinstance(refused, VisitTypeInUse)


async def test_lengths_that_are_not_compared_leave_hours_of_another_length(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control of the two above."""
    lengths = "string_agg(concat_ws('.', t.id, t.minutes, t.buffer_minutes), ',' ORDER BY t.id)"
    await mutate(connection, "schedule_fingerprint", lengths, "max('')")
    async with two(database_url) as pair:
        lengthened, added = await rule_beside_length(pair, connection, length_first=True)
        assert isinstance(lengthened, VisitType)
        assert isinstance(added, Applied)
        assert await connection.fetchval("SELECT slot_minutes FROM schedule_rules") == 30


async def new_rule(pair: list[Worker], connection: asyncpg.Connection) -> int:
    """A doctor with a rule of which nothing is published yet. Returns the doctor's id."""
    doctor_id: int = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    rule = Rule(0, doctor_id, 1, first_day(), None, 1, first_day().isoweekday(), 9 * 60, 12 * 60, 30, 0, 1)
    change = ScheduleChange(add_rules=(rule,))
    schedules = Schedules(pair[0].database, 1)
    await schedules.apply_schedule(ADMIN, change, (await schedules.preview_schedule(ADMIN, change)).token)
    assert await starts(connection, doctor_id) == []
    return doctor_id


def first_day() -> date:
    return (NOW + timedelta(days=3)).date()


async def starts(connection: asyncpg.Connection, doctor_id: int) -> list[str]:
    """Of the first day's open slots."""
    rows = await connection.fetch(
        "SELECT start_time FROM appointment_slots WHERE doctor_id = $1 AND status = 'OPEN'"
        " AND start_time < $2 ORDER BY start_time",
        doctor_id,
        datetime.combine(first_day() + timedelta(days=1), time(), UTC),
    )
    return [f"{row[0]:%H:%M}" for row in rows]


MORNING = ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30"]


async def test_two_publishers_at_once_publish_each_time_once(database_url: str, connection: asyncpg.Connection) -> None:
    async with two(database_url) as pair:
        doctors = [await new_rule(pair, connection) for _ in range(3)]
        publishers = [Publisher(worker.database, 20) for worker in pair]
        added = await at_once([publishers[0].publish_slots, publishers[1].publish_slots])
        added += [await publishers[0].publish_slots()]
        assert all(isinstance(each, int) for each in added), added
        assert [await starts(connection, doctor_id) for doctor_id in doctors] == [MORNING] * 3
        assert await violations(pair[0].database) == []


async def publish_beside_hand(
    pair: list[Worker], connection: asyncpg.Connection, others: int = 0
) -> tuple[list[object], int]:
    """A slot is made by hand, in a time of the rule, while the publisher that has not seen it waits for the doctor.

    `others` are as many doctors to publish after that one.
    """
    doctor_id = await new_rule(pair, connection)
    for _ in range(others):
        await new_rule(pair, connection)
    moment = datetime.combine(first_day(), time(9, 15), UTC)

    async def make() -> object:
        return await Slots(pair[0].database).create_slot(ADMIN, doctor_id, moment, 1, 30)

    async def publish() -> object:
        return await Publisher(pair[1].database, 20).publish_slots()

    return await in_order(connection, LOCK_DOCTOR, doctor_id, make, publish), doctor_id


async def test_a_publisher_leaves_out_what_overlaps_a_slot_made_meanwhile(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        (made, published), doctor_id = await publish_beside_hand(pair, connection)
        assert not isinstance(made, Exception)
        assert published == 0
        await Publisher(pair[1].database, 20).publish_slots()
        assert await starts(connection, doctor_id) == ["09:15", *MORNING[2:]]


async def test_a_publisher_goes_on_with_the_others_when_one_doctor_has_changed_meanwhile(
    database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slotwise.services.schedule.publishing.HANDS", 1)
    async with two(database_url) as pair:
        (made, published), doctor_id = await publish_beside_hand(pair, connection, others=1)
        assert not isinstance(made, Exception)
        assert isinstance(published, int)
        assert published > 0
        assert await starts(connection, doctor_id) == ["09:15"]
        assert await starts(connection, doctor_id + 1) == MORNING


async def test_a_publisher_that_does_not_compare_meets_the_constraint(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control of the one above."""
    await mutate(connection, "apply_schedule_2", COMPARES_SCHEDULES, "FALSE")
    async with two(database_url) as pair:
        (_, published), _ = await publish_beside_hand(pair, connection)
        assert isinstance(published, SlotOverlaps)
