"""For people who pick a time first and type afterwards: hold it, take another instead, or more seats of it."""

import contextlib

import msgspec
from msgspec import Struct

from slotwise.domain.bookings import Booking, SeatRequest
from slotwise.domain.errors import SlotFull, SlotwiseError
from slotwise.services.booking_batches import Held
from slotwise.services.bookings import Bookings, Caller
from slotwise.services.idempotency import IdempotencyKey

ROUTE = "POST /hold"


class Wish(Struct, frozen=True):
    """`attempt` is hard to guess and the same for two clicks on one button: they are one hold."""

    slot_id: int
    seats: int
    attempt: str | None = None


class HeldTimes:
    def __init__(self, bookings: Bookings) -> None:
        self._bookings = bookings

    async def hold_time(self, caller: Caller, wish: Wish, instead_of: int | None = None) -> Held:
        """A nameless hold. The hold `instead_of`, of the same caller, is let go once there is the new one.

        Raises what `Bookings.hold_seats` does; the old hold stays then.
        """
        user_id = caller.user.id if caller.user else None
        held = await self._bookings.hold_seats(
            Caller(caller.user), SeatRequest(wish.slot_id, wish.seats, user_id), _key(caller, wish)
        )
        if instead_of is not None and instead_of != held.booking.id:
            await self._let_go(caller, instead_of)
        return held

    async def change_seats(self, caller: Caller, held: Booking, wish: Wish) -> Held:
        """A hold of as many seats as wished, in place of `held`; of as many as before where those are gone meanwhile.

        Raises `SlotFull`, with `held` as it was, where there are not so many even with its own.
        """
        try:
            return await self.hold_time(caller, wish, instead_of=held.id)
        except SlotFull as full:
            if full.available_seats + held.seats_booked < wish.seats:
                raise SlotFull(full.available_seats + held.seats_booked) from full
        # Only with their own seats are there enough: so those go first, and may be taken by another before we are back.
        await self._let_go(caller, held.id)
        try:
            return await self.hold_time(caller, _again(wish, wish.seats))
        except SlotFull:
            return await self.hold_time(caller, _again(wish, held.seats_booked))

    async def _let_go(self, caller: Caller, booking_id: int) -> None:
        """As far as it is theirs and a hold. If this fails it runs out by itself, and the new hold is what counts."""
        with contextlib.suppress(SlotwiseError):
            await self._bookings.release_hold(caller, booking_id)


def _again(wish: Wish, seats: int) -> Wish:
    """The same person's next request: a refusal is kept for its key."""
    attempt = None if wish.attempt is None else f"{wish.attempt}+"
    return msgspec.structs.replace(wish, seats=seats, attempt=attempt)


def _key(caller: Caller, wish: Wish) -> IdempotencyKey | None:
    if wish.attempt is None:
        return None
    body = msgspec.json.encode((wish.slot_id, wish.seats))
    return IdempotencyKey.of(caller.actor, ROUTE, f"{wish.attempt}/{wish.slot_id}/{wish.seats}", body)
