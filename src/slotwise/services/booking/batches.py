"""The booking path's transactions: a batch of requests in, one outcome each out, in the same order.

Each is one call of a function in the database (sql/migrations/0002_booking_path.sql), which locks, decides and writes.
So a slot's lock is never held while a message travels or a worker is busy, stopped or dead.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Literal, NamedTuple, TypeAlias, assert_never, cast

import msgspec
from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus, Refusal, SeatRequest
from slotwise.domain.errors import AnsweredMeanwhile, KeyReused, SlotClosed, SlotFull, SlotNotFound, SlotStarted
from slotwise.observability import metrics
from slotwise.observability.crash_points import UNARMED, CrashPoints
from slotwise.services.core.audit import request_id
from slotwise.services.core.idempotency import KEEP_SECONDS, IdempotencyKey
from slotwise.services.core.manage_tokens import ManageToken, ManageTokens
from slotwise.services.core.seat_events import SeatsChanged, tell_nobody


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
    """With `only_hold`, what is confirmed stays."""

    booking_id: int
    reason: str | None
    actor: str
    only_hold: bool = False


class HoldRow(Struct, frozen=True):
    """What became of a request to hold seats. `answer` is the row, as JSON, that a replayed request was given then."""

    place: int
    outcome: Literal["held", "slot_full", "slot_closed", "slot_started", "slot_not_found", "replayed", "key_reused"]
    available_seats: int | None
    booking_id: int | None
    booked_at: datetime
    expires_at: datetime | None
    doctor_id: int | None
    doctor_name: str | None
    specialization: str | None
    start_time: datetime | None
    end_time: datetime | None
    expired_holds: int = 0
    answer: str | None = None
    manage_nonce: bytes | None = None


class HeldRow(HoldRow, frozen=True):
    """A row with the outcome `held`, which has all of these."""

    booking_id: int
    doctor_id: int
    doctor_name: str
    start_time: datetime
    end_time: datetime


class Confirmed(Booking, frozen=True):
    """What became of a request to confirm, and the booking as that transaction left it."""

    outcome: Literal["already_confirmed", "cancelled", "expired", "name_missing", "email_missing", "confirmed"]


class Cancelled(Booking, frozen=True):
    """What became of a request to cancel, and the booking as that transaction left it."""

    outcome: Literal["already_cancelled", "confirmed", "failed", "started", "cancelled"]


HOLD_SEATS = Statement("booking/bookings.hold_seats", HoldRow)
CONFIRM_BOOKINGS = Statement("booking/bookings.confirm_bookings", Confirmed)
REPLACE_HOLD = Statement("booking/bookings.replace_hold", HoldRow)
CANCEL_BOOKINGS = Statement("booking/bookings.cancel_bookings", Cancelled)


async def hold_seats(
    connection: Connection, requests: Sequence[HoldRequest], tokens: Sequence[ManageToken], hold_seconds: int
) -> list[HoldRow]:
    """In any order."""
    wanted = [request.wanted for request in requests]
    keys = [request.key for request in requests] if any(request.key for request in requests) else []
    return await HOLD_SEATS.all(
        connection,
        slot_ids=[want.slot_id for want in wanted],
        seats=[want.seats for want in wanted],
        user_ids=[want.user_id for want in wanted],
        user_names=[want.user_name for want in wanted],
        user_emails=[want.user_email for want in wanted],
        confirmed=[want.confirm for want in wanted],
        manage_token_hashes=[token.digest for token in tokens],
        actors=[request.actor for request in requests],
        callers=[key and key.caller for key in keys],
        routes=[key and key.route for key in keys],
        key_hashes=[key and key.key_hash for key in keys],
        body_hashes=[key and key.body_hash for key in keys],
        manage_nonces=[token.nonce for token in tokens] if keys else [],
        hold_seconds=hold_seconds,
        keep_seconds=KEEP_SECONDS,
    )


async def confirm_bookings(connection: Connection, requests: Sequence[ConfirmRequest]) -> list[Confirmed]:
    return await CONFIRM_BOOKINGS.all(
        connection,
        booking_ids=[request.booking_id for request in requests],
        user_names=[request.user_name for request in requests],
        user_emails=[request.user_email for request in requests],
        actors=[request.actor for request in requests],
    )


async def cancel_bookings(connection: Connection, requests: Sequence[CancelRequest]) -> list[Cancelled]:
    return await CANCEL_BOOKINGS.all(
        connection,
        booking_ids=[request.booking_id for request in requests],
        reasons=[request.reason for request in requests],
        actors=[request.actor for request in requests],
        only_holds=[request.only_hold for request in requests],
    )


class Writing(NamedTuple):
    """The one statement that is a batch's transaction, for each kind of batch."""

    hold: Callable[[Connection, Sequence[HoldRequest], Sequence[ManageToken], int], Awaitable[list[HoldRow]]]
    confirm: Callable[[Connection, Sequence[ConfirmRequest]], Awaitable[list[Confirmed]]]
    cancel: Callable[[Connection, Sequence[CancelRequest]], Awaitable[list[Cancelled]]]


PLAIN = Writing(hold_seats, confirm_bookings, cancel_bookings)


class BookingBatches:
    """`writers` serves batches alone, so that no flood of reads can keep a booking from its connection."""

    def __init__(
        self,
        writers: Database,
        manage_tokens: ManageTokens,
        hold_seconds: int,
        crash_points: CrashPoints = UNARMED,
        seats_changed: SeatsChanged = tell_nobody,
        writing: Writing = PLAIN,
    ) -> None:
        self._writers = writers
        self._manage_tokens = manage_tokens
        self._hold_seconds = hold_seconds
        self._crash_points = crash_points
        self._seats_changed = seats_changed
        self._writing = writing

    def through(self, database: Database, writing: Writing) -> "BookingBatches":
        """The same with other statements, on connections that no batch of these waits for."""
        return BookingBatches(
            database, self._manage_tokens, self._hold_seconds, self._crash_points, self._seats_changed, writing
        )

    async def hold(self, requests: Sequence[HoldRequest]) -> list[HoldOutcome]:
        tokens = [self._manage_tokens.new() for _ in requests]
        self._crash_points.reach("hold_seats", "before_batch")
        while True:
            try:
                async with self._writers.effect() as connection:
                    written = await self._writing.hold(connection, requests, tokens, self._hold_seconds)
            except AnsweredMeanwhile:
                continue
            rows = sorted(written, key=attrgetter("place"))
            self._crash_points.reach("hold_seats", "after_commit")
            self._seats_changed(_changed(requests, rows))
            _count(requests, rows)
            return [self._outcome(*made) for made in zip(requests, rows, tokens, strict=True)]

    async def confirm(self, requests: Sequence[ConfirmRequest]) -> list[Confirmed | None]:
        """None where there is no such booking."""
        self._crash_points.reach("confirm_booking", "before_batch")
        async with self._writers.effect() as connection:
            rows = await self._writing.confirm(connection, requests)
        self._crash_points.reach("confirm_booking", "after_commit")
        found = {row.id: row for row in rows}
        return [found.get(request.booking_id) for request in requests]

    async def cancel(self, requests: Sequence[CancelRequest]) -> list[Cancelled | None]:
        """None where there is no such booking."""
        self._crash_points.reach("cancel_booking", "before_batch")
        async with self._writers.effect() as connection:
            rows = await self._writing.cancel(connection, requests)
        self._crash_points.reach("cancel_booking", "after_commit")
        self._seats_changed({row.slot_id for row in rows if row.outcome == "cancelled"})
        found = {row.id: row for row in rows}
        return [found.get(request.booking_id) for request in requests]

    async def replace_hold(self, booking_id: int, request: HoldRequest, *, at_desk: bool = False) -> HoldOutcome | None:
        """No batch, for few ever want it: a hold in place of another of the slot. None where that was confirmed."""
        token = self._manage_tokens.new()
        while True:
            try:
                row = await self._replace_hold(booking_id, request, token, at_desk)
            except AnsweredMeanwhile:
                continue
            if row is None:
                return None
            self._seats_changed({request.wanted.slot_id})
            _count([request], [row])
            return self._outcome(request, row, token)

    async def _replace_hold(
        self, booking_id: int, request: HoldRequest, token: ManageToken, at_desk: bool
    ) -> HoldRow | None:
        wanted, key = request.wanted, request.key
        async with self._writers.effect() as connection:
            return await REPLACE_HOLD.first(
                connection,
                booking_id=booking_id,
                slot_id=wanted.slot_id,
                seats=wanted.seats,
                user_id=wanted.user_id,
                manage_token_hash=token.digest,
                actor=request.actor,
                caller=key and key.caller,
                route=key and key.route,
                key_hash=key and key.key_hash,
                body_hash=key and key.body_hash,
                manage_nonce=key and token.nonce,
                hold_seconds=self._hold_seconds,
                keep_seconds=KEEP_SECONDS,
                at_desk=at_desk,
                request_id=request_id(),
            )

    def _outcome(self, request: HoldRequest, row: HoldRow, token: ManageToken) -> HoldOutcome:
        match row.outcome:
            case "held":
                return Held(_booking(request.wanted, cast("HeldRow", row)), token)
            case "slot_full":
                return SlotFull(row.available_seats or 0)
            case "slot_closed" | "slot_started" | "slot_not_found" | "key_reused":
                return _REFUSALS[row.outcome]()
            case "replayed":
                then = msgspec.json.decode(row.answer or "", type=HoldRow)
                return self._outcome(request, then, self._manage_tokens.again(row.manage_nonce or b""))
            case _:
                assert_never(row.outcome)


_REFUSALS: dict[str, Callable[[], Refusal | KeyReused]] = {
    "slot_closed": SlotClosed,
    "slot_started": SlotStarted,
    "slot_not_found": SlotNotFound,
    "key_reused": KeyReused,
}


def _booking(want: SeatRequest, row: HeldRow) -> Booking:
    return Booking(
        id=row.booking_id,
        slot_id=want.slot_id,
        user_id=want.user_id,
        user_name=want.user_name,
        user_email=want.user_email,
        seats_booked=want.seats,
        status=BookingStatus.CONFIRMED if want.confirm else BookingStatus.PENDING,
        expires_at=row.expires_at,
        confirmed_at=row.booked_at if want.confirm else None,
        cancelled_at=None,
        created_at=row.booked_at,
        updated_at=row.booked_at,
        doctor_id=row.doctor_id,
        doctor_name=row.doctor_name,
        specialization=row.specialization,
        start_time=row.start_time,
        end_time=row.end_time,
    )


def _changed(requests: Sequence[HoldRequest], rows: Sequence[HoldRow]) -> set[int]:
    return {
        request.wanted.slot_id
        for request, row in zip(requests, rows, strict=True)
        if row.outcome == "held" or row.expired_holds
    }


def _count(requests: Sequence[HoldRequest], rows: Sequence[HoldRow]) -> None:
    statuses = [
        BookingStatus.CONFIRMED if request.wanted.confirm else BookingStatus.PENDING
        for request, row in zip(requests, rows, strict=True)
        if row.outcome == "held"
    ]
    for status in set(statuses):
        metrics.HOLDS.labels(status).inc(statuses.count(status))
    metrics.EXPIRIES.labels("booking").inc(sum(row.expired_holds for row in rows))
    metrics.REPLAYS.inc(sum(row.outcome in {"replayed", "key_reused"} for row in rows))
