"""A colleague takes over a slot, beside bookings of it, beside bookings of the colleague, and beside a second clerk."""

from datetime import timedelta
from typing import NamedTuple

import asyncpg
import pytest
from torture.patching import mutate

from slotwise.domain.bookings import Booking
from slotwise.domain.errors import BookingCancelled, ScheduleChanged, SlotClosed
from slotwise.domain.schedule_changes import Decision, Decisions, ScheduleChange
from slotwise.domain.schedules import Closure, ClosureKind, Rule
from slotwise.domain.slots import Slot, SlotChange
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import BookingWithVisit
from slotwise.services.schedule.publishing import Publisher
from slotwise.services.schedule.schedules import Applied, Schedules
from slotwise.services.schedule.slots import Slots
from tests.races.test_schedules import ADMIN, LOCK_DOCTOR, LOCK_SLOT, Attempt, in_order, two
from tests.workers import GUEST, NOW, Worker, holder_of, new_slot, violations, wanted

LOOKS_AT_THE_COLLEAGUE = "WHERE o.taken OR o.other_id <> all(room_slot_ids)"


class Scene(NamedTuple):
    """Two workers; a doctor who will be away, with a booked slot; a colleague with a free slot at the same time."""

    pair: list[Worker]
    connection: asyncpg.Connection
    booked: Held
    slot_id: int
    free_id: int
    ill: int
    well: int

    async def take_over(self, worker: int = 1) -> Attempt:
        """Preview it now; the attempt applies it."""
        start = NOW + timedelta(days=30)
        absence = Closure(0, self.ill, None, start, start + timedelta(hours=1), ClosureKind.ABSENCE)
        decisions = Decisions(Decision.TAKE_OVER, colleague_id=self.well)
        change = ScheduleChange(add_closures=(absence,), decisions=decisions)
        schedules = Schedules(self.pair[worker].database, 90)
        seen = await schedules.preview_schedule(ADMIN, change)

        async def apply() -> object:
            return await schedules.apply_schedule(ADMIN, change, seen.token)

        return apply

    async def doctors(self) -> list[int]:
        """Who has the open slots."""
        found = await self.connection.fetch(
            "SELECT doctor_id FROM appointment_slots WHERE status = 'OPEN' ORDER BY doctor_id"
        )
        return [row[0] for row in found]

    async def overlaps(self) -> int:
        """Pairs of confirmed or held visits of one doctor at once."""
        count: int = await self.connection.fetchval(
            "SELECT count(*) FROM appointment_slots a JOIN appointment_slots b"
            " ON a.doctor_id = b.doctor_id AND a.id < b.id AND a.start_time < b.end_time AND b.start_time < a.end_time"
            " WHERE a.available_seats < a.total_seats AND b.available_seats < b.total_seats"
        )
        return count


async def scene(pair: list[Worker], connection: asyncpg.Connection, seats: int = 1) -> Scene:
    slots = [await new_slot(connection, seats), await new_slot(connection, 1)]
    owner = "SELECT doctor_id FROM appointment_slots WHERE id = $1"
    doctors = [await connection.fetchval(owner, each) for each in slots]
    booked = await pair[0].bookings.hold_seats(GUEST, wanted(slots[0], confirm=True), None)
    return Scene(pair, connection, booked, *slots, *doctors)


async def test_a_cancellation_of_the_same_booking_comes_first_or_after(
    database_url: str, connection: asyncpg.Connection
) -> None:
    for cancel_first in (True, False):
        async with two(database_url) as pair:
            at = await scene(pair, connection)
            take_over = await at.take_over()

            async def cancel(at: Scene = at) -> object:
                return await at.pair[0].bookings.cancel_booking(holder_of(at.booked), at.booked.booking.id, None)

            attempts = (cancel, take_over) if cancel_first else (take_over, cancel)
            results = await in_order(connection, LOCK_SLOT, at.slot_id, *attempts)
            cancelled, taken = results if cancel_first else results[::-1]
            assert isinstance(cancelled, Booking), cancelled
            assert isinstance(taken, ScheduleChanged if cancel_first else Applied), taken
            assert cancelled.doctor_id == (at.ill if cancel_first else at.well)
            assert await violations(pair[0].database) == []


async def test_a_hold_of_the_same_slot_is_cancelled_or_finds_the_colleague(
    database_url: str, connection: asyncpg.Connection
) -> None:
    for hold_first in (True, False):
        async with two(database_url) as pair:
            at = await scene(pair, connection, seats=2)
            take_over = await at.take_over()

            async def hold(at: Scene = at) -> object:
                return await at.pair[0].bookings.hold_seats(GUEST, wanted(at.slot_id), None)

            attempts = (hold, take_over) if hold_first else (take_over, hold)
            results = await in_order(connection, LOCK_SLOT, at.slot_id, *attempts)
            held, taken = results if hold_first else results[::-1]
            assert isinstance(held, Held), held
            assert isinstance(taken, Applied), taken
            assert taken.cancelled_holds == int(hold_first)
            confirmed = pair[0].bookings.confirm_booking(holder_of(held), held.booking.id, None, None)
            if hold_first:
                with pytest.raises(BookingCancelled):
                    await confirmed
            else:
                assert (await confirmed).booking.doctor_id == at.well
            assert await violations(pair[0].database) == []


async def test_a_confirm_of_another_seat_makes_the_preview_old(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        at = await scene(pair, connection, seats=2)
        held = await pair[0].bookings.hold_seats(GUEST, wanted(at.slot_id), None)
        take_over = await at.take_over()

        async def confirm() -> object:
            return await pair[0].bookings.confirm_booking(holder_of(held), held.booking.id, None, None)

        confirmed, taken = await in_order(connection, LOCK_SLOT, at.slot_id, confirm, take_over)
        assert isinstance(confirmed, BookingWithVisit)
        assert isinstance(taken, ScheduleChanged), taken
        assert await at.doctors() == sorted([at.ill, at.well])


async def book_the_colleague(at: Scene, *, confirm: bool, first: bool) -> tuple[object, object]:
    """What booking the colleague's free slot and taking over gave."""
    take_over = await at.take_over()

    async def book() -> object:
        return await at.pair[0].bookings.hold_seats(GUEST, wanted(at.free_id, confirm=confirm), None)

    attempts = (book, take_over) if first else (take_over, book)
    results = await in_order(at.connection, LOCK_SLOT, at.free_id, *attempts)
    booked, taken = results if first else results[::-1]
    return booked, taken


@pytest.mark.parametrize("confirm", [True, False])
async def test_who_books_the_colleague_first_stays_there(
    database_url: str, connection: asyncpg.Connection, confirm: bool
) -> None:
    async with two(database_url) as pair:
        at = await scene(pair, connection)
        booked, taken = await book_the_colleague(at, confirm=confirm, first=True)
        assert isinstance(booked, Held), booked
        assert isinstance(taken, ScheduleChanged), taken
        assert await at.overlaps() == 0
        assert await at.doctors() == sorted([at.ill, at.well])
        assert await violations(pair[0].database) == []


async def test_who_books_the_colleague_afterwards_finds_the_time_closed(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        at = await scene(pair, connection)
        booked, taken = await book_the_colleague(at, confirm=True, first=False)
        assert isinstance(booked, SlotClosed), booked
        assert isinstance(taken, Applied), taken
        assert (await at.overlaps(), await at.doctors()) == (0, [at.well])
        assert await violations(pair[0].database) == []


async def test_a_hold_of_the_colleague_that_is_not_looked_for_is_cancelled_unseen(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control of the two above."""
    await mutate(connection, "prepare_takeover", LOOKS_AT_THE_COLLEAGUE, "WHERE FALSE")
    async with two(database_url) as pair:
        at = await scene(pair, connection)
        booked, taken = await book_the_colleague(at, confirm=False, first=True)
        assert isinstance(booked, Held)
        assert isinstance(taken, Applied), taken
        status = await connection.fetchval("SELECT status FROM bookings WHERE id = $1", booked.booking.id)
        assert status == "CANCELLED"


async def test_a_slot_of_the_colleague_that_is_made_meanwhile_is_not_overlapped(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        at = await scene(pair, connection)
        await connection.execute("UPDATE appointment_slots SET status = 'CLOSED' WHERE id = $1", at.free_id)
        take_over = await at.take_over()

        async def make() -> object:
            return await Slots(pair[0].database).create_slot(ADMIN, at.well, NOW + timedelta(days=30, minutes=10), 1, 5)

        made, taken = await in_order(connection, LOCK_DOCTOR, at.well, make, take_over)
        assert not isinstance(made, Exception), made
        assert isinstance(taken, ScheduleChanged), taken
        assert await at.doctors() == sorted([at.ill, at.well])


async def test_of_two_clerks_the_second_sees_what_the_first_did(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        at = await scene(pair, connection)
        both = [await at.take_over(0), await at.take_over(1)]
        first, second = await in_order(connection, LOCK_DOCTOR, min(at.ill, at.well), *both)
        assert isinstance(first, Applied)
        assert isinstance(second, ScheduleChanged), second
        assert await at.doctors() == [at.well]
        assert await connection.fetchval("SELECT count(*) FROM closures") == 1
        assert await violations(pair[0].database) == []


async def test_a_change_of_the_slot_that_waits_finds_its_new_doctor(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with two(database_url) as pair:
        at = await scene(pair, connection)
        take_over = await at.take_over()

        async def move() -> object:
            change = SlotChange(start_time=NOW + timedelta(days=31))
            return await Slots(pair[0].database).update_slot(ADMIN, at.slot_id, change)

        taken, moved = await in_order(connection, LOCK_DOCTOR, at.ill, take_over, move)
        assert isinstance(taken, Applied), taken
        assert isinstance(moved, Slot), moved
        assert moved.doctor_id == at.well


@pytest.mark.parametrize("publish_first", [True, False])
async def test_publishing_for_the_colleague_leaves_out_what_was_taken_over(
    database_url: str, connection: asyncpg.Connection, publish_first: bool
) -> None:
    async with two(database_url) as pair:
        at = await scene(pair, connection)
        day = (NOW + timedelta(days=30)).date()
        all_day = Rule(0, at.well, 1, day, day, 1, day.isoweekday(), 0, 24 * 60, 30, 0, 1)
        # Published until the day before, so that this day is one piece.
        change, schedules = ScheduleChange(add_rules=(all_day,)), Schedules(pair[0].database, 29)
        seen = await schedules.preview_schedule(ADMIN, change)
        await schedules.apply_schedule(ADMIN, change, seen.token)
        take_over = await at.take_over()

        async def publish() -> object:
            return await Publisher(pair[0].database, 40).publish_slots()

        attempts = (publish, take_over) if publish_first else (take_over, publish)
        results = await in_order(connection, LOCK_DOCTOR, at.well, *attempts)
        published, taken = results if publish_first else results[::-1]
        assert isinstance(published, int), published
        assert isinstance(taken, ScheduleChanged if publish_first else Applied), taken
        await publish()
        times = await connection.fetch("SELECT DISTINCT start_time FROM appointment_slots WHERE status = 'OPEN'")
        assert len(times) > 40
        owner = await connection.fetchval("SELECT doctor_id FROM appointment_slots WHERE id = $1", at.slot_id)
        assert owner == (at.ill if publish_first else at.well)
        assert await violations(pair[0].database) == []
