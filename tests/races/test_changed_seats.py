"""A change of a hold's seats never loses the hold to another client, however many want a seat."""

from collections.abc import Awaitable, Callable

import asyncpg

from slotwise.domain.bookings import BookingStatus, SeatRequest
from slotwise.domain.errors import SlotFull
from slotwise.services.booking.batches import Held
from slotwise.services.core.callers import Caller
from tests.workers import GUEST, Worker, at_once, new_slot, violations, wanted, workers

ROUNDS = 15
RIVALS = 6

Change = Callable[[Worker, Caller, Held], Awaitable[object]]


async def one_round(pair: list[Worker], slot_id: int, change: Change) -> int:
    """Change a hold of both seats to one seat while rivals try again and again. Returns its seats in the end."""
    held = await pair[0].bookings.hold_seats(GUEST, wanted(slot_id, 2))
    caller = Caller(manage_token=held.manage.token)

    async def rival(worker: Worker) -> None:
        for _ in range(20):
            try:
                await worker.bookings.hold_seats(GUEST, wanted(slot_id))
            except SlotFull:
                continue
            return

    rivals = [lambda worker=pair[number % 2]: rival(worker) for number in range(RIVALS)]
    results = await at_once([lambda: change(pair[0], caller, held), *rivals])
    made = results[0]
    return made.booking.seats_booked if isinstance(made, Held) else 0


async def replace(worker: Worker, caller: Caller, held: Held) -> Held | None:
    return await worker.bookings.replace_hold(caller, held.booking.id, SeatRequest(held.booking.slot_id, 1))


async def let_go_and_hold(worker: Worker, caller: Caller, held: Held) -> Held:
    await worker.bookings.release_hold(caller, held.booking.id)
    return await worker.bookings.hold_seats(GUEST, SeatRequest(held.booking.slot_id, 1))


async def test_fewer_seats_are_never_lost_to_a_rival(database_url: str, connection: asyncpg.Connection) -> None:
    async with workers(database_url) as pair:
        seats = [await one_round(pair, await new_slot(connection, 2), replace) for _ in range(ROUNDS)]
        assert seats == [1] * ROUNDS
        assert await violations(pair[0].database) == []


async def test_in_two_steps_they_are_lost(database_url: str, connection: asyncpg.Connection) -> None:
    """The negative control: if the lock is released between two steps, others win the race."""
    async with workers(database_url) as pair:
        seats = [await one_round(pair, await new_slot(connection, 2), let_go_and_hold) for _ in range(ROUNDS)]
        assert 0 in seats


async def test_a_refused_change_leaves_the_hold_and_its_key_as_they_were(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, 1) as [worker]:
        slot_id = await new_slot(connection, 3)
        held = await worker.bookings.hold_seats(GUEST, wanted(slot_id, 1))
        other = await worker.bookings.hold_seats(GUEST, wanted(slot_id, 1))
        caller = Caller(manage_token=held.manage.token)
        [refusal] = await at_once(
            [lambda: worker.bookings.replace_hold(caller, held.booking.id, SeatRequest(slot_id, 3))]
        )
        assert isinstance(refusal, SlotFull)
        assert refusal.available_seats == 2
        managed = await worker.bookings.get_managed_booking(caller, held.booking.id)
        assert managed.booking.status is BookingStatus.PENDING
        await worker.bookings.release_hold(Caller(manage_token=other.manage.token), other.booking.id)
        assert await worker.bookings.replace_hold(caller, held.booking.id, SeatRequest(slot_id, 3)) is not None
        assert await violations(worker.database) == []


async def test_a_hold_that_was_confirmed_in_between_is_not_replaced(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, 1) as [worker]:
        slot_id = await new_slot(connection, 3)
        held = await worker.bookings.hold_seats(GUEST, wanted(slot_id, 1))
        caller = Caller(manage_token=held.manage.token)
        await worker.bookings.confirm_booking(caller, held.booking.id)
        assert await worker.bookings.replace_hold(caller, held.booking.id, SeatRequest(slot_id, 2)) is None
        managed = await worker.bookings.get_managed_booking(caller, held.booking.id)
        assert managed.booking.status is BookingStatus.CONFIRMED
