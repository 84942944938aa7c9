"""The use cases of bookings: hold, confirm, cancel and read."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import assert_never

import msgspec

from slotwise.batching.group_commit import GroupCommit
from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus, SeatRequest
from slotwise.domain.errors import (
    BookingCancelled,
    BookingFailed,
    BookingNotFound,
    HoldExpired,
    InvalidInput,
    KeyReused,
    Overloaded,
    SlotClosed,
    SlotFull,
    SlotNotFound,
    SlotStarted,
)
from slotwise.domain.users import User, actor_of
from slotwise.observability import metrics
from slotwise.services.booking.batches import (
    BookingBatches,
    Cancelled,
    CancelRequest,
    Confirmed,
    ConfirmRequest,
    Held,
    HoldOutcome,
    HoldRequest,
)
from slotwise.services.booking.desk_changes import NOTED
from slotwise.services.booking.search import BookingFilter, FoundBookings, find_bookings
from slotwise.services.core.audit import record_action, rows_shown, shows_others
from slotwise.services.core.callers import READ_CLAIM, Caller, refuse
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.core.manage_tokens import proves

# Changes by the desk that one worker makes at the same time, and how long the next waits for its turn.
DESK_AT_ONCE = 2
DESK_PATIENCE_SECONDS = 2.0


READ_BOOKINGS = Statement("booking/bookings.read_bookings", Booking)
LIST_BOOKINGS_OF_SLOT = Statement("booking/bookings.list_bookings_of_slot", Booking)
LIST_BOOKINGS_OF_USER = Statement("booking/bookings.list_bookings_of_user", Booking)


class Bookings:
    def __init__(self, database: Database, batches: BookingBatches, batch_limit: int = 256) -> None:
        self._database = database
        self._batches = batches
        self._at_desk = batches.through(database, NOTED)
        self._desk_turns = asyncio.Semaphore(DESK_AT_ONCE)
        self._holds = GroupCommit[HoldRequest, HoldOutcome](
            "hold",
            batches.hold,
            exclusive=lambda request: request.key and request.key.identity,
            batch_limit=batch_limit,
        )
        self._confirms = GroupCommit[ConfirmRequest, Confirmed | None](
            "confirm", batches.confirm, exclusive=lambda request: request.booking_id, batch_limit=batch_limit
        )
        self._cancels = GroupCommit[CancelRequest, Cancelled | None](
            "cancel", batches.cancel, exclusive=lambda request: request.booking_id, batch_limit=batch_limit
        )

    async def hold_seats(self, caller: Caller, wanted: SeatRequest, key: IdempotencyKey | None = None) -> Held:
        """A hold until its deadline, or a confirmed booking where `wanted.confirm` says so.

        Raises a `Refusal`, `KeyReused`, and the `Unavailable` errors of `GroupCommit.submit`.
        """
        request = HoldRequest(wanted, caller.actor, key)
        if caller.at_desk:
            async with self._turn_of_desk():
                [outcome] = await self._at_desk.hold([request])
            return _held_or_raise(outcome)
        return _held_or_raise(await self._holds.submit(request))

    async def replace_hold(
        self, caller: Caller, booking_id: int, wanted: SeatRequest, key: IdempotencyKey | None = None
    ) -> Held | None:
        """A hold in place of another of the same slot, which stays where this one is refused, as `hold_seats` refuses.

        None where the other was confirmed meanwhile, and so stays too.
        """
        await self._authorize(caller, booking_id)
        request = HoldRequest(wanted, caller.actor, key)
        if caller.at_desk:
            async with self._turn_of_desk():
                outcome = await self._batches.replace_hold(booking_id, request, at_desk=True)
        else:
            outcome = await self._batches.replace_hold(booking_id, request)
        return None if outcome is None else _held_or_raise(outcome)

    async def confirm_booking(
        self, caller: Caller, booking_id: int, user_name: str | None = None, user_email: str | None = None
    ) -> Booking:
        """The confirmed booking; confirming again changes nothing. Name and address fill a nameless hold only."""
        await self._authorize(caller, booking_id)
        booking = await self._confirm(caller, ConfirmRequest(booking_id, user_name, user_email, caller.actor))
        if booking is None:
            raise BookingNotFound
        metrics.CONFIRMATIONS.labels(booking.outcome).inc()
        match booking.outcome:
            case "confirmed":
                return booking
            case "already_confirmed":
                # Nothing was changed, and so nothing noted; it is a read all the same.
                if shows_others(caller.user, [booking]):
                    async with self._database.connection() as connection:
                        await record_action(connection, caller.actor, "confirm_booking", f"booking:{booking_id}")
                return booking
            case "expired":
                raise HoldExpired
            case "cancelled":
                raise BookingCancelled
            case "name_missing":
                raise InvalidInput.of("user_name", "is required to confirm a hold made without a name")
            case "email_missing":
                raise InvalidInput.of("user_email", "is required to confirm a hold made without an address")
            case _:
                assert_never(booking.outcome)

    async def cancel_booking(self, caller: Caller, booking_id: int, reason: str | None = None) -> Booking:
        """The cancelled booking; cancelling again changes nothing."""
        await self._authorize(caller, booking_id)
        booking = await self._cancel(caller, CancelRequest(booking_id, reason, caller.actor))
        match booking.outcome:
            case "cancelled":
                return booking
            case "already_cancelled":
                # Nothing was changed, and so nothing noted; it is a read all the same.
                if shows_others(caller.user, [booking]):
                    async with self._database.connection() as connection:
                        await record_action(connection, caller.actor, "cancel_booking", f"booking:{booking_id}")
                return booking
            case "failed":
                raise BookingFailed
            case "started":
                raise SlotStarted
            case "confirmed":
                raise AssertionError("told of holds only")
            case _:
                assert_never(booking.outcome)

    async def release_hold(self, caller: Caller, booking_id: int) -> BookingStatus:
        """Give a hold's seats back; what is no hold any more stays as it is. Tells what the booking is now."""
        await self._authorize(caller, booking_id)
        return (await self._cancel(caller, CancelRequest(booking_id, None, caller.actor, only_hold=True))).status

    @asynccontextmanager
    async def _turn_of_desk(self) -> AsyncIterator[None]:
        """Others wait for the same connections, and patients for each lock: so few at once. Raises `Overloaded`."""
        try:
            async with asyncio.timeout(DESK_PATIENCE_SECONDS):
                await self._desk_turns.acquire()
        except TimeoutError as error:
            raise Overloaded from error
        try:
            yield
        finally:
            self._desk_turns.release()

    async def _confirm(self, caller: Caller, request: ConfirmRequest) -> Confirmed | None:
        if caller.at_desk:
            async with self._turn_of_desk():
                [booking] = await self._at_desk.confirm([request])
            return booking
        return await self._confirms.submit(request)

    async def _cancel(self, caller: Caller, request: CancelRequest) -> Cancelled:
        if caller.at_desk:
            async with self._turn_of_desk():
                [booking] = await self._at_desk.cancel([request])
        else:
            booking = await self._cancels.submit(request)
        if booking is None:
            raise BookingNotFound
        metrics.CANCELLATIONS.labels(booking.outcome).inc()
        return booking

    async def get_booking(self, caller: Caller, booking_id: int) -> Booking:
        """In full for whoever may manage it; without name and address for everybody else."""
        async with self._database.connection() as connection:
            claim = await READ_CLAIM.first(connection, booking_id=booking_id)
            if claim is None:
                raise BookingNotFound
            booking = await READ_BOOKINGS.one(connection, booking_ids=[booking_id])
            if shows_others(caller.user, [booking]):
                await record_action(connection, caller.actor, "get_booking", f"booking:{booking_id}")
        return booking if caller.may_manage(claim) else redacted(booking)

    async def get_managed_booking(self, caller: Caller, booking_id: int) -> Booking:
        """In full for whoever may manage it; for everybody else there is no such booking."""
        async with self._database.connection() as connection:
            claim = await READ_CLAIM.first(connection, booking_id=booking_id)
            if claim is None or not caller.may_manage(claim):
                raise BookingNotFound
            booking = await READ_BOOKINGS.one(connection, booking_ids=[booking_id])
            if shows_others(caller.user, [booking]):
                await record_action(connection, caller.actor, "get_managed_booking", f"booking:{booking_id}")
        return booking

    async def opens(self, manage_token: str, booking_id: int) -> bool:
        """Whether this manage token is the booking's, whoever else may manage it."""
        async with self._database.connection() as connection:
            claim = await READ_CLAIM.first(connection, booking_id=booking_id)
        return claim is not None and proves(manage_token, claim.manage_token_hash)

    async def list_bookings_of_slot(self, caller: Caller, slot_id: int, after_id: int, limit: int) -> list[Booking]:
        async with self._database.connection() as connection:
            found = await LIST_BOOKINGS_OF_SLOT.all(connection, slot_id=slot_id, after_id=after_id, limit=limit)
            if shows_others(caller.user, found):
                details = {"bookings": rows_shown(found, limit)}
                await record_action(connection, caller.actor, "list_bookings_of_slot", f"slot:{slot_id}", details)
        return found if caller.at_desk else [redacted(booking) for booking in found]

    async def list_bookings_of_user(self, user: User, before_id: int, limit: int) -> list[Booking]:
        """The desk is shown what it booked for others too, which is on record; who has left it is not."""
        own_email = user.email if user.was_desk and not user.at_desk else None
        async with self._database.connection() as connection:
            found = await LIST_BOOKINGS_OF_USER.all(
                connection, user_id=user.id, before_id=before_id, own_email=own_email, limit=limit
            )
            if shows_others(user, found):
                details = {"bookings": rows_shown(found, limit)}
                await record_action(connection, actor_of(user), "list_bookings_of_user", actor_of(user), details)
        return found

    async def list_bookings(self, reader: User, sought: BookingFilter, before_id: int, limit: int) -> FoundBookings:
        async with self._database.connection() as connection:
            found = await find_bookings(connection, sought, before_id, limit)
            if shows_others(reader, found.first(limit)):
                details = sought.outline() | {"bookings": len(found.first(limit - 1))}
                await record_action(connection, actor_of(reader), "list_bookings", "bookings", details)
        return found

    async def require_room(self) -> None:
        """Raise `Overloaded` when no more requests to hold seats can be taken, before one is even read."""
        await self._holds.require_room()

    async def drained(self) -> None:
        """Wait until every accepted request is answered."""
        for queue in (self._holds, self._confirms, self._cancels):
            await queue.drained()

    async def _authorize(self, caller: Caller, booking_id: int) -> None:
        async with self._database.connection() as connection:
            claim = await READ_CLAIM.first(connection, booking_id=booking_id)
        if claim is None:
            raise BookingNotFound
        if not caller.may_manage(claim):
            refuse(caller)


def _held_or_raise(outcome: HoldOutcome) -> Held:
    match outcome:
        case Held():
            return outcome
        case SlotNotFound() | SlotClosed() | SlotStarted() | SlotFull() | KeyReused():
            raise outcome
        case _:
            assert_never(outcome)


def redacted(booking: Booking) -> Booking:
    """What a stranger may know of a booking."""
    return msgspec.structs.replace(booking, user_name=None, user_email=None)
