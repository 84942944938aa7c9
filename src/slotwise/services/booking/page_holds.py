"""For people who pick a time first and type afterwards: hold it, take another instead, or more seats of it."""

import contextlib

import msgspec
from msgspec import Struct

from slotwise.domain.bookings import Booking, BookingStatus, SeatRequest
from slotwise.domain.errors import BookingNotFound, SlotwiseError
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import Bookings
from slotwise.services.core.callers import Caller
from slotwise.services.core.idempotency import IdempotencyKey

ROUTE = "POST /hold"


class Wish(Struct, frozen=True):
    """`attempt` is hard to guess and the same for two clicks on one button: they are one hold."""

    slot_id: int
    seats: int
    attempt: str | None = None


class PageHolds:
    def __init__(self, bookings: Bookings) -> None:
        self._bookings = bookings

    async def hold_time(self, caller: Caller, wish: Wish, instead_of: int | None = None) -> Held:
        """A nameless hold. The hold `instead_of`, of the same caller, is let go once there is the new one.

        Raises what `Bookings.hold_seats` does; the old hold stays then.
        """
        held = await self._hold(caller, wish)
        if instead_of is not None and instead_of != held.booking.id:
            await self._let_go(caller, instead_of)
        return held

    async def change_seats(self, caller: Caller, held: Booking, wish: Wish) -> Held | None:
        """A hold of as many seats as wished, in place of `held` and its owner's as that was. Asked for again with the
        same attempt it is the same hold. None where `held` was confirmed meanwhile.

        Raises what `Bookings.hold_seats` does; `held` stays then, and its own seats count as free for it.
        """
        wanted = SeatRequest(wish.slot_id, wish.seats, held.user_id)
        return await self._bookings.replace_hold(caller, held.id, wanted, _key(caller, wish, held.id))

    async def find_hold(self, booking_id: int, token: str) -> Booking | None:
        """The hold that this is, if it still is one."""
        try:
            booking = await self._bookings.get_managed_booking(Caller(None, token), booking_id)
        except BookingNotFound:
            return None
        return booking if booking.status is BookingStatus.PENDING else None

    async def _hold(self, caller: Caller, wish: Wish) -> Held:
        """A click whose answer was lost may be repeated when its hold is over: that is a new wish."""
        wanted = SeatRequest(wish.slot_id, wish.seats, caller.user.id if caller.user else None)
        while True:
            held = await self._bookings.hold_seats(Caller(caller.user), wanted, _key(caller, wish))
            if not held.replayed or await self._stands(held):
                return held
            wish = msgspec.structs.replace(wish, attempt=f"{wish.attempt}+")

    async def _stands(self, held: Held) -> bool:
        booking = await self._bookings.get_managed_booking(Caller(None, held.manage.token), held.booking.id)
        return booking.status in {BookingStatus.PENDING, BookingStatus.CONFIRMED}

    async def _let_go(self, caller: Caller, booking_id: int) -> None:
        """As far as it is theirs and a hold. If this fails it runs out by itself, and the new hold is what counts."""
        with contextlib.suppress(SlotwiseError):
            await self._bookings.release_hold(caller, booking_id)


def _key(caller: Caller, wish: Wish, instead_of: int | None = None) -> IdempotencyKey | None:
    """Of one attempt at each of two holds there are two."""
    if wish.attempt is None:
        return None
    body = msgspec.json.encode((wish.slot_id, wish.seats, instead_of))
    key = f"{wish.attempt}/{wish.slot_id}/{wish.seats}/{instead_of}"
    return IdempotencyKey.of(caller.actor, ROUTE, key, body)
