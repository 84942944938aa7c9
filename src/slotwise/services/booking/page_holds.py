"""Holds for pages, where people choose a time before they type: hold it, choose another, or change the seats."""

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.bookings import Booker, Booking, BookingStatus, SeatRequest
from slotwise.domain.errors import BookingNotFound, SlotwiseError
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import Bookings, ManagedBooking
from slotwise.services.booking.offered_times import OfferedTimes, OfferRequest, OpenTime
from slotwise.services.core.callers import Caller
from slotwise.services.core.idempotency import IdempotencyKey

ROUTE = "POST /hold"


class TimeChoice(Struct, frozen=True):
    """`attempt` is hard to guess, and the same for two clicks on one button, so that they make one hold."""

    slot_id: int
    seats: int
    attempt: str | None = None
    visit_type_id: int | None = None


class OpenTimeChoice(Struct, frozen=True):
    """`attempt` as in `TimeChoice`."""

    time: OpenTime
    attempt: str | None = None


class PageHolds:
    def __init__(self, bookings: Bookings, offered_times: OfferedTimes) -> None:
        self._bookings = bookings
        self._offered_times = offered_times

    async def hold_time(self, caller: Caller, choice: TimeChoice, instead_of: int | None = None) -> Held:
        """Make a hold without a name, then release the hold `instead_of`.

        Raises the errors of `Bookings.hold_seats`; the old hold is then kept.
        """
        held = await self._hold(choice.attempt, partial(self._hold_seats, caller, choice))
        await self._release_other(caller, instead_of, held)
        return held

    async def hold_open_time(self, caller: Caller, choice: OpenTimeChoice, instead_of: int | None = None) -> Held:
        """As `hold_time`. Raises the errors of `OfferedTimes.hold_offered`; the old hold is then kept."""
        held = await self._hold(choice.attempt, partial(self._hold_offered, caller, choice))
        await self._release_other(caller, instead_of, held)
        return held

    async def change_seats(self, caller: Caller, held: Booking, choice: TimeChoice) -> Held | None:
        """Replace `held` by a hold of the chosen number of seats, for the same owner.

        The same attempt gives the same hold. None if `held` was confirmed meanwhile. Raises the errors of
        `Bookings.hold_seats`; `held` is then kept. The seats of `held` count as free for the new hold.
        """
        wanted = SeatRequest(choice.slot_id, choice.seats, held.user_id, visit_type_id=held.visit_type_id)
        return await self._bookings.replace_hold(caller, held.id, wanted, _key(caller, choice, held.id))

    async def find_hold(self, caller: Caller, booking_id: int) -> ManagedBooking | None:
        """The hold with this id and the caller's manage token; None if it is no longer a hold."""
        try:
            found = await self._bookings.get_managed_booking(Caller(None, caller.manage_token), booking_id)
        except BookingNotFound:
            return None
        if found.booking.status is not BookingStatus.PENDING:
            return None
        return ManagedBooking(replace(found.caller, user=caller.user), found.booking)

    async def _hold(self, attempt: str | None, ask: Callable[[str | None], Awaitable[Held]]) -> Held:
        """A repeated click gives the same hold. If that hold is over by now, it makes a new one."""
        while True:
            held = await ask(attempt)
            if not held.replayed or await self._stands(held):
                return held
            attempt = f"{attempt}+"

    async def _hold_seats(self, caller: Caller, choice: TimeChoice, attempt: str | None) -> Held:
        wanted = SeatRequest(choice.slot_id, choice.seats, _user_id(caller), visit_type_id=choice.visit_type_id)
        key = _key(caller, replace(choice, attempt=attempt))
        return await self._bookings.hold_seats(Caller(caller.user), wanted, key)

    async def _hold_offered(self, caller: Caller, choice: OpenTimeChoice, attempt: str | None) -> Held:
        booker = Booker(_user_id(caller), None, None)
        key = _key_of_open_time(caller, choice.time, attempt)
        wanted = OfferRequest(choice.time.time_id)
        return await self._offered_times.hold_offered(Caller(caller.user), wanted, booker, key)

    async def _stands(self, held: Held) -> bool:
        found = await self._bookings.get_managed_booking(Caller(None, held.manage.token), held.booking.id)
        return found.booking.status in {BookingStatus.PENDING, BookingStatus.CONFIRMED}

    async def _release_other(self, caller: Caller, booking_id: int | None, held: Held) -> None:
        """If this fails, the old hold expires by itself. The caller has the new hold, so the error is ignored."""
        if booking_id is not None and booking_id != held.booking.id:
            with contextlib.suppress(SlotwiseError):
                await self._bookings.release_hold(caller, booking_id)


def _user_id(caller: Caller) -> int | None:
    return caller.user.id if caller.user else None


def _key(caller: Caller, choice: TimeChoice, instead_of: int | None = None) -> IdempotencyKey | None:
    """The same attempt at another slot, number of seats, visit type or hold to replace has another key."""
    if choice.attempt is None:
        return None
    body = msgspec.json.encode((choice.slot_id, choice.seats, instead_of))
    visit_type = "" if choice.visit_type_id is None else f"/{choice.visit_type_id}"
    key = f"{choice.attempt}/{choice.slot_id}/{choice.seats}/{instead_of}{visit_type}"
    return IdempotencyKey.of(caller.actor, ROUTE, key, body)


def _key_of_open_time(caller: Caller, time: OpenTime, attempt: str | None) -> IdempotencyKey | None:
    """The same for a time that is offered again, which has another id then."""
    if attempt is None:
        return None
    body = msgspec.json.encode((time.offered.window_id, time.start_time, time.end_time, time.visit_type_id))
    key = f"{attempt}/{time.offered.window_id}/{time.start_time.timestamp()}/{time.visit_type_id}"
    return IdempotencyKey.of(caller.actor, ROUTE, key, body)
