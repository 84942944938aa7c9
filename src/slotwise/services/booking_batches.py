"""The booking path's transactions: a batch of requests in, one outcome each out, in the same order.

Each locks its slots in one statement and acts in the next. A statement that had to wait for a lock still reads every
other table, and the transaction's clock, as they were before the wait.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias, assert_never

import msgspec
from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus, Refusal, SeatRequest, admit
from slotwise.domain.errors import KeyReused, SlotClosed, SlotFull, SlotNotFound, SlotStarted
from slotwise.domain.slots import OfferedSlot
from slotwise.services import metrics
from slotwise.services.expiry import expire_holds
from slotwise.services.idempotency import (
    AnsweredMeanwhile,
    IdempotencyKey,
    StoredAnswer,
    find_answers,
    remember_answers,
)
from slotwise.services.manage_tokens import ManageToken, ManageTokens


class HoldRequest(Struct, frozen=True):
    wanted: SeatRequest
    actor: str
    key: IdempotencyKey | None = None


class Held(Struct, frozen=True):
    booking: Booking
    manage: ManageToken


HoldOutcome: TypeAlias = Held | Refusal | KeyReused


class ConfirmRequest(Struct, frozen=True):
    booking_id: int
    user_name: str | None
    user_email: str | None
    actor: str


class CancelRequest(Struct, frozen=True):
    booking_id: int
    reason: str | None
    actor: str


class LockedRow(Struct, frozen=True):
    id: int


class HeldRow(Struct, frozen=True):
    id: int
    now: datetime
    expires_at: datetime | None


ConfirmOutcome: TypeAlias = Literal[
    "not_found", "already_confirmed", "cancelled", "expired", "name_missing", "email_missing", "confirmed"
]
CancelOutcome: TypeAlias = Literal["not_found", "already_cancelled", "failed", "started", "cancelled"]


class ConfirmRow(Struct, frozen=True):
    outcome: ConfirmOutcome


class CancelRow(Struct, frozen=True):
    outcome: CancelOutcome


class Confirmed(Struct, frozen=True):
    """What became of a request to confirm, and the booking as that transaction left it; None where there is none."""

    outcome: ConfirmOutcome
    booking: Booking | None


class Cancelled(Struct, frozen=True):
    """What became of a request to cancel, and the booking as that transaction left it; None where there is none."""

    outcome: CancelOutcome
    booking: Booking | None


LOCK_SLOTS = Statement("bookings.lock_slots", LockedRow)
LOCK_SLOTS_OF_BOOKINGS = Statement("bookings.lock_slots_of_bookings", LockedRow)
READ_LOCKED_SLOTS = Statement("bookings.read_locked_slots", OfferedSlot)
HOLD_SEATS = Statement("bookings.hold_seats", HeldRow)
CONFIRM_BOOKINGS = Statement("bookings.confirm_bookings", ConfirmRow)
CANCEL_BOOKINGS = Statement("bookings.cancel_bookings", CancelRow)
READ_BOOKINGS = Statement("bookings.read_bookings", Booking)


class BookingBatches:
    """`writers` serves batches alone, so that no flood of reads can keep a booking from its connection."""

    def __init__(self, writers: Database, manage_tokens: ManageTokens, hold_seconds: int) -> None:
        self._writers = writers
        self._manage_tokens = manage_tokens
        self._hold_seconds = hold_seconds

    async def hold(self, requests: Sequence[HoldRequest]) -> list[HoldOutcome]:
        while True:
            try:
                async with self._writers.transaction() as connection:
                    outcomes, made = await self._hold_in(connection, requests)
            except AnsweredMeanwhile:
                continue
            _count(made, replays=len(requests) - len(made))
            return outcomes

    async def confirm(self, requests: Sequence[ConfirmRequest]) -> list[Confirmed]:
        booking_ids = [request.booking_id for request in requests]
        async with self._writers.transaction() as connection:
            await LOCK_SLOTS_OF_BOOKINGS.run(connection, booking_ids=booking_ids)
            rows = await CONFIRM_BOOKINGS.all(
                connection,
                booking_ids=booking_ids,
                user_names=[request.user_name for request in requests],
                user_emails=[request.user_email for request in requests],
                actors=[request.actor for request in requests],
            )
            bookings = await _read(connection, booking_ids)
        return [Confirmed(row.outcome, bookings.get(id_)) for row, id_ in zip(rows, booking_ids, strict=True)]

    async def cancel(self, requests: Sequence[CancelRequest]) -> list[Cancelled]:
        booking_ids = [request.booking_id for request in requests]
        async with self._writers.transaction() as connection:
            await LOCK_SLOTS_OF_BOOKINGS.run(connection, booking_ids=booking_ids)
            rows = await CANCEL_BOOKINGS.all(
                connection,
                booking_ids=booking_ids,
                reasons=[request.reason for request in requests],
                actors=[request.actor for request in requests],
            )
            bookings = await _read(connection, booking_ids)
        return [Cancelled(row.outcome, bookings.get(id_)) for row, id_ in zip(rows, booking_ids, strict=True)]

    async def _hold_in(
        self, connection: Connection, requests: Sequence[HoldRequest]
    ) -> tuple[list[HoldOutcome], list[Held | Refusal]]:
        """The outcome of every request, and of those only that were not answered before."""
        slots = await _lock_slots(connection, {request.wanted.slot_id for request in requests})
        stored = await find_answers(connection, [request.key for request in requests])
        fresh = [request for request, answer in zip(requests, stored, strict=True) if answer is None]
        made = await self._decide(connection, fresh, slots)
        await _remember(connection, fresh, made)
        unread = iter(made)
        outcomes = [
            next(unread) if answer is None else self._replay(request, answer)
            for request, answer in zip(requests, stored, strict=True)
        ]
        return outcomes, made

    async def _decide(
        self, connection: Connection, requests: Sequence[HoldRequest], slots: Mapping[int, OfferedSlot]
    ) -> list[Held | Refusal]:
        verdicts = admit([request.wanted for request in requests], slots)
        admitted = [request for request, verdict in zip(requests, verdicts, strict=True) if verdict is None]
        tokens = [self._manage_tokens.new() for _ in admitted]
        rows = await self._write(connection, admitted, tokens)
        held = (
            Held(_booking(request.wanted, slots[request.wanted.slot_id], row), token)
            for request, row, token in zip(admitted, rows, tokens, strict=True)
        )
        return [next(held) if verdict is None else verdict for verdict in verdicts]

    async def _write(
        self, connection: Connection, admitted: Sequence[HoldRequest], tokens: Sequence[ManageToken]
    ) -> list[HeldRow]:
        if not admitted:
            return []
        wanted = [request.wanted for request in admitted]
        return await HOLD_SEATS.all(
            connection,
            slot_ids=[want.slot_id for want in wanted],
            user_ids=[want.user_id for want in wanted],
            user_names=[want.user_name for want in wanted],
            user_emails=[want.user_email for want in wanted],
            seats=[want.seats for want in wanted],
            confirmed=[want.confirm for want in wanted],
            manage_token_hashes=[token.digest for token in tokens],
            actors=[request.actor for request in admitted],
            hold_seconds=self._hold_seconds,
        )

    def _replay(self, request: HoldRequest, stored: StoredAnswer) -> HoldOutcome:
        if request.key is None or stored.body_hash != request.key.body_hash:
            return KeyReused()
        answer = _decode_answer(stored.answer)
        if isinstance(answer, _RefusedAnswer):
            return answer.refusal()
        return Held(answer.booking, self._manage_tokens.again(stored.manage_nonce))


async def _read(connection: Connection, booking_ids: Sequence[int]) -> dict[int, Booking]:
    return {booking.id: booking for booking in await READ_BOOKINGS.all(connection, booking_ids=booking_ids)}


async def _lock_slots(connection: Connection, slot_ids: Collection[int]) -> dict[int, OfferedSlot]:
    """The slots as they are under their locks, after overdue holds have given their seats back."""
    ids = list(slot_ids)
    await LOCK_SLOTS.run(connection, slot_ids=ids)
    slots = await READ_LOCKED_SLOTS.all(connection, slot_ids=ids)
    if any(slot.has_overdue_holds for slot in slots):
        await expire_holds(connection, ids, by="booking")
        slots = await READ_LOCKED_SLOTS.all(connection, slot_ids=ids)
    return {slot.id: slot for slot in slots}


def _count(made: Sequence[Held | Refusal], replays: int) -> None:
    metrics.REPLAYS.inc(replays)
    for outcome in made:
        if isinstance(outcome, Held):
            metrics.HOLDS.labels(outcome.booking.status).inc()


def _booking(want: SeatRequest, slot: OfferedSlot, row: HeldRow) -> Booking:
    return Booking(
        id=row.id,
        slot_id=want.slot_id,
        user_id=want.user_id,
        user_name=want.user_name,
        user_email=want.user_email,
        seats_booked=want.seats,
        status=BookingStatus.CONFIRMED if want.confirm else BookingStatus.PENDING,
        expires_at=row.expires_at,
        confirmed_at=row.now if want.confirm else None,
        cancelled_at=None,
        created_at=row.now,
        updated_at=row.now,
        doctor_id=slot.doctor_id,
        doctor_name=slot.doctor_name,
        specialization=slot.specialization,
        start_time=slot.start_time,
        end_time=slot.end_time,
    )


class _HeldAnswer(Struct, frozen=True, tag="held"):
    booking: Booking


class _RefusedAnswer(Struct, frozen=True, tag="refused"):
    code: str
    available_seats: int = 0

    def refusal(self) -> Refusal:
        if self.code == SlotFull.code:
            return SlotFull(self.available_seats)
        return _PLAIN_REFUSALS[self.code]()


_PLAIN_REFUSALS: dict[str, type[SlotNotFound | SlotClosed | SlotStarted]] = {
    kind.code: kind for kind in (SlotNotFound, SlotClosed, SlotStarted)
}


async def _remember(
    connection: Connection, requests: Sequence[HoldRequest], outcomes: Sequence[Held | Refusal]
) -> None:
    await remember_answers(
        connection,
        [
            (request.key, _encode_answer(outcome), outcome.manage.nonce if isinstance(outcome, Held) else b"")
            for request, outcome in zip(requests, outcomes, strict=True)
            if request.key is not None
        ],
    )


def _encode_answer(outcome: Held | Refusal) -> str:
    """The outcome as JSON, without the manage token."""
    answer: _HeldAnswer | _RefusedAnswer
    match outcome:
        case Held():
            answer = _HeldAnswer(outcome.booking)
        case SlotFull():
            answer = _RefusedAnswer(outcome.code, outcome.available_seats)
        case SlotNotFound() | SlotClosed() | SlotStarted():
            answer = _RefusedAnswer(outcome.code)
        case _:
            assert_never(outcome)
    return msgspec.json.encode(answer).decode()


def _decode_answer(text: str) -> _HeldAnswer | _RefusedAnswer:
    return msgspec.json.decode(text, type=_HeldAnswer | _RefusedAnswer)
