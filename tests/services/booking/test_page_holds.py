"""A caller who was found to be one who may manage a booking is not looked up again, and may manage no other one."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from slotwise.domain.bookings import BookingStatus, SeatRequest
from slotwise.domain.errors import NotAllowed
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.offered_times import OfferedTimes
from slotwise.services.booking.page_holds import PageHolds, TimeChoice
from slotwise.services.core.callers import Caller
from slotwise.services.core.time_ids import TimeIds
from tests.workers import DESK, GUEST, Worker, holder_of, new_slot, wanted, workers

UseCase = Callable[[Bookings, Caller, int, int], Awaitable[Any]]

# What a page does with the booking that it has read: its caller, its id, and its slot's.
USE_CASES: dict[str, UseCase] = {
    "confirm": lambda bookings, caller, booking, _: bookings.confirm_booking(caller, booking),
    "cancel": lambda bookings, caller, booking, _: bookings.cancel_booking(caller, booking),
    "release": lambda bookings, caller, booking, _: bookings.release_hold(caller, booking),
    "replace": lambda bookings, caller, booking, slot: bookings.replace_hold(caller, booking, SeatRequest(slot, 2)),
}


class _NoDatabase:
    def connection(self) -> None:
        raise AssertionError("looked up again")


def forbid_reading(worker: Worker) -> None:
    worker.bookings._database = _NoDatabase()  # type: ignore[assignment]  # the queues keep their own


@pytest.mark.parametrize("name", USE_CASES)
async def test_the_right_to_a_booking_is_looked_up_once(
    database_url: str, connection: asyncpg.Connection, name: str
) -> None:
    async with workers(database_url, 1) as [worker]:
        slot_id = await new_slot(connection, 3)
        held = await worker.bookings.hold_seats(GUEST, wanted(slot_id, 1))
        caller = (await worker.bookings.get_managed_booking(holder_of(held), held.booking.id)).caller
        forbid_reading(worker)
        assert await USE_CASES[name](worker.bookings, caller, held.booking.id, slot_id) is not None
        with pytest.raises(AssertionError, match="looked up"):
            await USE_CASES[name](worker.bookings, holder_of(held), held.booking.id, slot_id)


@pytest.mark.parametrize("name", USE_CASES)
async def test_the_right_to_a_booking_is_none_to_another(
    database_url: str, connection: asyncpg.Connection, name: str
) -> None:
    async with workers(database_url, 1) as [worker]:
        slot_id = await new_slot(connection, 3)
        own, other = [await worker.bookings.hold_seats(GUEST, wanted(slot_id, 1)) for _ in range(2)]
        caller = (await worker.bookings.get_managed_booking(holder_of(own), own.booking.id)).caller
        with pytest.raises(NotAllowed):
            await USE_CASES[name](worker.bookings, caller, other.booking.id, slot_id)
        assert (await worker.bookings.get_booking(DESK, other.booking.id)).booking.status is BookingStatus.PENDING


async def test_a_page_reads_its_hold_once_when_another_time_replaces_it(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, 1) as [worker]:
        held = await worker.bookings.hold_seats(GUEST, wanted(await new_slot(connection, 1), 1))
        holds = PageHolds(worker.bookings, OfferedTimes(worker.database, worker.bookings, TimeIds("secret")))
        own = await holds.find_hold(holder_of(held), held.booking.id)
        assert own is not None
        database = worker.bookings._database
        forbid_reading(worker)
        await holds.hold_time(own.caller, TimeChoice(await new_slot(connection, 1), 1), own.booking.id)
        worker.bookings._database = database
        assert (await worker.bookings.get_booking(DESK, held.booking.id)).booking.status is BookingStatus.CANCELLED
