"""The desk changes what is carved out of a window, or publishes slots in place of it, while a patient carves. Each race
has its negative control: without the locks, both have decided before one of them commits."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

import asyncpg
import pytest
from msgspec.structs import replace
from torture.patching import drop_rules, mutate

from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import ScheduleChanged
from slotwise.domain.slots import SlotChange
from slotwise.services.booking.batches import Held
from slotwise.services.schedule.clinics import fill_first_clinic
from slotwise.services.schedule.schedules import Applied, Schedules
from slotwise.services.schedule.slots import Slots
from slotwise.services.schedule.visit_types import VisitTypes
from tests.races.test_carving import (
    ADMIN,
    OpenMorning,
    hold,
    open_morning,
    published_beside_visits,
    publishing,
    visits_too_near,
)
from tests.workers import GUEST, Worker, holder_of, in_turn, violations, workers

Act: TypeAlias = Callable[[], Awaitable[object]]


async def empty_slot(worker: Worker, morning: OpenMorning) -> int:
    """A carved slot for the first 45 minutes, which nobody has any more."""
    held = await hold(morning, 0, 45, worker)
    await worker.bookings.release_hold(holder_of(held), held.booking.id)
    return held.booking.slot_id


async def give_seats(worker: Worker, slot_id: int, seats: int) -> object:
    return await Slots(worker.database).update_slot(ADMIN, slot_id, SlotChange(total_seats=seats))


async def carve_beside_resizing(
    pair: list[Worker], connection: asyncpg.Connection, after: int, *, locked: bool
) -> tuple[int, list[object]]:
    """The slot that a person gives a second seat, and what that and then a hold of 45 minutes gave."""
    if not locked:
        await mutate(connection, "lock_windows", "FOR NO KEY UPDATE", "")
        await mutate(
            connection, "hold_times", "WHERE s.id = any(near) ORDER BY s.id FOR NO KEY UPDATE", "WHERE s.id = any(near)"
        )
    morning = await open_morning(connection)
    slot_id = await empty_slot(pair[0], morning)
    attempts: list[Act] = [partial(give_seats, pair[1], slot_id, 2), partial(hold, morning, after, 45, pair[0])]
    return slot_id, await in_turn(connection, "LOCK TABLE booking_events IN SHARE MODE", attempts)


@pytest.mark.parametrize("locked", [True, False])
async def test_a_carved_slot_that_gets_a_second_seat_is_not_carved_again_because_of_the_locks(
    database_url: str, connection: asyncpg.Connection, locked: bool
) -> None:
    """A visit in open time is for one person, in a slot of one seat."""
    async with workers(database_url) as pair:
        slot_id, results = await carve_beside_resizing(pair, connection, 0, locked=locked)
        assert isinstance(results[1], Held), results
        assert (results[1].booking.slot_id != slot_id) == locked
        assert await visits_too_near(connection) == 0


@pytest.mark.parametrize("locked", [True, False])
async def test_a_carved_slot_that_gets_a_second_seat_is_closed_after_that_because_of_the_locks(
    database_url: str, connection: asyncpg.Connection, locked: bool
) -> None:
    """It makes room for a visit that overlaps it. Without the locks both write the same row of its ledger."""
    async with workers(database_url) as pair:
        slot_id, results = await carve_beside_resizing(pair, connection, 20, locked=locked)
        assert isinstance(results[1], Held) == locked, results
        kinds = await connection.fetch("SELECT kind FROM booking_events WHERE slot_id = $1 ORDER BY sequence", slot_id)
        assert [row["kind"] for row in kinds][4:] == (["CLOSED"] if locked else [])
        assert await violations(pair[0].database) == []


@pytest.mark.parametrize("locked", [True, False])
async def test_a_rule_publishes_nothing_in_the_time_of_a_visit_because_of_the_windows_lock(
    database_url: str, connection: asyncpg.Connection, locked: bool
) -> None:
    """Its slots come in place of a window, out of which a visit was carved since the preview."""
    if not locked:
        await mutate(connection, "lock_windows", "FOR NO KEY UPDATE", "")
        await drop_rules(connection, "slot_overlaps")
    async with workers(database_url) as pair:
        await fill_first_clinic(pair[0].database, Clinic(1, "Clinic", "UTC"))
        morning, schedules = await open_morning(connection), Schedules(pair[1].database, 40)
        change = publishing(morning)
        seen = await schedules.preview_schedule(ADMIN, change)
        visit = replace(morning.time(0, 45), confirm=True)
        attempts: list[Act] = [
            partial(pair[0].bookings.hold_time, GUEST, visit),
            partial(schedules.apply_schedule, ADMIN, change, seen.token),
        ]
        results = await in_turn(connection, "LOCK TABLE bookings IN SHARE MODE", attempts)
        assert [type(result) for result in results] == [Held, ScheduleChanged if locked else Applied]
        assert await published_beside_visits(connection) == (not locked)


async def test_of_two_empty_slots_of_a_time_the_open_one_is_used_again(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The first had two seats when the second was made, and is closed since."""
    async with workers(database_url, 1) as [worker]:
        morning = await open_morning(connection)
        first = await empty_slot(worker, morning)
        await give_seats(worker, first, 2)
        second = await empty_slot(worker, morning)
        await give_seats(worker, first, 1)
        assert first != second == await empty_slot(worker, morning)
        assert await violations(worker.database) == []


async def test_a_slot_without_visit_types_does_not_keep_its_time(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, 1) as [worker]:
        morning = await open_morning(connection, buffer=0)
        slot_id = await empty_slot(worker, morning)
        slot = await Slots(worker.database).get_slot(slot_id)
        await VisitTypes(worker.database).set_visit_types(ADMIN, slot, None)
        assert await empty_slot(worker, morning) == slot_id
