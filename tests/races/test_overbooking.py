"""Overbooking beside everything else that changes a slot: whoever comes first, no added seat gets to anybody else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import NamedTuple

import asyncpg
import pytest
import pytest_asyncio
from torture.patching import mutate

from slotwise.domain.bookings import Overbooking
from slotwise.domain.errors import SlotClosed, SlotFull
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.users import Role, User
from slotwise.services.booking.batches import Held
from slotwise.services.booking.overbookings import Overbookings
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.core.manage_tokens import ManageTokens
from slotwise.services.schedule.slots import Slots
from tests.workers import (
    DESK,
    GUEST,
    NOW,
    Worker,
    at_once,
    new_slot,
    until_waiting_for_a_lock,
    violations,
    wanted,
    workers,
)

STAFF = User(0, "staff@example.org", "Staff", Role.STAFF, True, 1, NOW, NOW)
ADMIN = User(0, "admin@example.org", "Admin", Role.ADMIN, True, 1, NOW, NOW)
LOCK = "PERFORM 1 FROM appointment_slots AS s WHERE s.id = slot_id ORDER BY s.id FOR NO KEY UPDATE;"

Act = Callable[[], Awaitable[object]]


class Seats(NamedTuple):
    total: int
    available: int
    added: int


class Desk:
    """Two workers, and a slot with one seat that the booking `first` has."""

    def __init__(self, pair: list[Worker], url: str, connection: asyncpg.Connection, slot_id: int) -> None:
        self.pair = pair
        self._url = url
        self._connection = connection
        self.slot_id = slot_id
        self._overbookings = [
            Overbookings(worker.database, ManageTokens("a secret of at least 32 bytes, for tests")) for worker in pair
        ]

    async def overbook(self, place: int = 0, seats: int = 1, key: IdempotencyKey | None = None) -> Held:
        asked = Overbooking(self.slot_id, seats, "Grace Hopper", "grace@example.org", "In pain")
        return await self._overbookings[place].overbook_seats(STAFF, asked, key)

    async def hold(self, place: int = 1) -> object:
        return await self.pair[place].bookings.hold_seats(GUEST, wanted(self.slot_id), None)

    async def change(self, change: SlotChange) -> object:
        return await Slots(self.pair[1].database).update_slot(ADMIN, self.slot_id, change)

    async def cancel(self, booking_id: int) -> object:
        return await self.pair[1].bookings.cancel_booking(DESK, booking_id)

    async def seats(self) -> Seats:
        query = "SELECT total_seats, available_seats, added_seats FROM appointment_slots WHERE id = $1"
        row = await self._connection.fetchrow(query, self.slot_id)
        assert row is not None
        return Seats(*row)

    async def in_turn(self, first: Act, second: Act) -> list[object]:
        """Both wait for the slot's lock, which a third session has, and get it in this order."""
        blocker = await asyncpg.connect(self._url)
        await blocker.execute("BEGIN")
        await blocker.execute(f"SELECT FROM appointment_slots WHERE id = {self.slot_id} FOR NO KEY UPDATE")
        acts = []
        for waiting, act in enumerate((first, second), 1):
            acts.append(asyncio.ensure_future(act()))
            await until_waiting_for_a_lock(self._connection, waiting)
        await blocker.close()
        return await asyncio.gather(*acts, return_exceptions=True)


@pytest_asyncio.fixture
async def desk(database_url: str, connection: asyncpg.Connection) -> AsyncIterator[Desk]:
    async with workers(database_url) as pair:
        yield Desk(pair, database_url, connection, await new_slot(connection, seats=1))


@pytest.mark.parametrize("overbooks_first", [True, False])
async def test_the_free_seat_goes_to_the_first_and_only_overbooking_gets_another(
    desk: Desk, overbooks_first: bool
) -> None:
    acts: list[Act] = [desk.overbook, desk.hold]
    results = await desk.in_turn(*(acts if overbooks_first else acts[::-1]))
    overbooked, held = results if overbooks_first else results[::-1]
    assert isinstance(overbooked, Held)
    if overbooks_first:
        assert isinstance(held, SlotFull)
        assert (await desk.seats(), overbooked.booking.added_seats) == (Seats(1, 0, 0), None)
    else:
        assert isinstance(held, Held)
        assert (await desk.seats(), overbooked.booking.added_seats) == (Seats(2, 0, 1), 1)
    assert await violations(desk.pair[0].database) == []


async def test_overbooking_without_the_lock_refuses_what_it_should_add(
    desk: Desk, connection: asyncpg.Connection
) -> None:
    """The negative control: it saw the free seat that the hold was about to take."""
    await mutate(connection, "overbook_seats", LOCK, "")
    overbooked = (await desk.in_turn(desk.hold, desk.overbook))[1]
    assert isinstance(overbooked, SlotFull)


async def test_the_added_seat_of_a_cancelled_booking_is_nobody_elses(desk: Desk) -> None:
    await desk.hold()
    booked = await desk.overbook()
    assert await desk.seats() == Seats(2, 0, 1)
    _, held = await desk.in_turn(partial(desk.cancel, booked.booking.id), desk.hold)
    assert isinstance(held, SlotFull)
    assert await desk.seats() == Seats(1, 0, 0)
    assert await violations(desk.pair[0].database) == []


async def test_an_added_seat_that_stays_after_a_cancel_gets_to_somebody_else(
    desk: Desk, connection: asyncpg.Connection
) -> None:
    """The negative control."""
    await mutate(connection, "cancel_bookings", "PERFORM take_added_seats(overbooked, overbooked_actors);", "")
    await desk.hold()
    booked = await desk.overbook()
    _, held = await desk.in_turn(partial(desk.cancel, booked.booking.id), desk.hold)
    assert isinstance(held, Held)
    assert [one[:2] for one in await violations(desk.pair[0].database)] == ["W5"]


@pytest.mark.parametrize("overbooks_first", [True, False])
async def test_a_resize_sets_what_the_clinic_offers_whatever_is_added_beside_it(
    desk: Desk, overbooks_first: bool
) -> None:
    await desk.hold()
    acts: list[Act] = [partial(desk.overbook, 0, 4), partial(desk.change, SlotChange(offered_seats=3))]
    results = await desk.in_turn(*(acts if overbooks_first else acts[::-1]))
    overbooked, changed = results if overbooks_first else results[::-1]
    assert isinstance(overbooked, Held)
    assert not isinstance(changed, BaseException)
    total, _, added = await desk.seats()
    assert (total - added, added) == (3, 4 if overbooks_first else 2)
    assert await violations(desk.pair[0].database) == []


@pytest.mark.parametrize("overbooks_first", [True, False])
async def test_a_closed_slot_is_not_overbooked_and_gets_no_seat(desk: Desk, overbooks_first: bool) -> None:
    await desk.hold()
    acts: list[Act] = [desk.overbook, partial(desk.change, SlotChange(status=SlotStatus.CLOSED))]
    results = await desk.in_turn(*(acts if overbooks_first else acts[::-1]))
    overbooked = results[0] if overbooks_first else results[1]
    assert isinstance(overbooked, Held if overbooks_first else SlotClosed)
    assert await desk.seats() == (Seats(2, 0, 1) if overbooks_first else Seats(1, 0, 0))
    assert await violations(desk.pair[0].database) == []


async def test_a_crowd_of_holds_gets_what_is_offered_and_every_overbooking_the_rest(desk: Desk) -> None:
    attempts: list[Act] = [partial(act, place % 2) for place in range(8) for act in (desk.overbook, desk.hold)]
    results = await at_once(attempts)
    overbooked, held = results[::2], results[1::2]
    assert all(isinstance(one, Held) for one in overbooked)
    assert all(isinstance(one, Held | SlotFull) for one in held)
    free_seats_used = sum(isinstance(one, Held) and one.booking.added_seats is None for one in results)
    assert free_seats_used == 1
    added = sum(one.booking.added_seats or 0 for one in overbooked if isinstance(one, Held))
    assert await desk.seats() == Seats(1 + added, 0, added)
    assert await violations(desk.pair[0].database) == []


async def test_one_key_overbooks_once_however_many_send_it(desk: Desk) -> None:
    await desk.hold()
    key = IdempotencyKey.of("user:0", "POST /api/slots/{slot_id}/overbookings", "a key", b"body")
    results = await at_once([partial(desk.overbook, place % 2, 1, key) for place in range(6)])
    assert {(one.booking.id, one.booking.added_seats) for one in results if isinstance(one, Held)} == {
        (results[0].booking.id, 1) if isinstance(results[0], Held) else None
    }
    assert len({one.manage.token for one in results if isinstance(one, Held)}) == 1
    assert await desk.seats() == Seats(2, 0, 1)
    assert await violations(desk.pair[0].database) == []
