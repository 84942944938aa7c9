"""The booking path's transactions: a batch of requests in, one outcome each out, in the same order.

Each is one call of a function in the database (`sql/functions/`), which locks, decides and writes. So a slot's lock is
never held while a message travels or a worker is busy, stopped or dead.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Literal, TypeAlias, assert_never

from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, Refusal, SeatRequest, TimeRequest
from slotwise.domain.errors import (
    AnsweredMeanwhile,
    BookingLimitReached,
    ForNewPatientsOnly,
    ForReturningPatientsOnly,
    KeyReused,
    NotAuthenticated,
    SlotClosed,
    SlotFull,
    SlotNotFound,
    SlotStarted,
    TimeGone,
    TooEarlyToBook,
    TooLateToBook,
    VisitTypeNotOffered,
)
from slotwise.domain.visit_types import BookedVisit
from slotwise.observability import metrics
from slotwise.observability.crash_points import UNARMED, CrashPoints
from slotwise.services.core.idempotency import KEEP_SECONDS, IdempotencyKey
from slotwise.services.core.manage_tokens import ManageToken, ManageTokens
from slotwise.services.core.seat_events import SeatsChanged, ignore_changes


class HoldRequest(Struct, frozen=True):
    """`request_id` goes into the audit log, for requests of the desk."""

    wanted: SeatRequest
    actor: str
    key: IdempotencyKey | None = None
    request_id: str | None = None


class HoldTimeRequest(Struct, frozen=True):
    """`request_id` as in `HoldRequest`."""

    wanted: TimeRequest
    actor: str
    key: IdempotencyKey | None = None
    request_id: str | None = None


class Held(Struct, frozen=True):
    """`replayed` if the same idempotency key got this answer before; the booking is as it was then."""

    booking: Booking
    manage: ManageToken
    replayed: bool = False


HoldOutcome: TypeAlias = Held | Refusal | KeyReused | NotAuthenticated


class Undecided(Struct, frozen=True):
    """The time overlaps that of another request of the batch. Nothing was done; ask again when that one is decided."""


UNDECIDED = Undecided()


class ConfirmRequest(Struct, frozen=True):
    booking_id: int
    user_name: str | None
    user_email: str | None
    actor: str
    request_id: str | None = None


class CancelRequest(Struct, frozen=True):
    """With `only_hold`, a confirmed booking is not cancelled. `patient_asked` if the desk does it for the patient."""

    booking_id: int
    reason: str | None
    actor: str
    only_hold: bool = False
    request_id: str | None = None
    patient_asked: bool = False


class HoldRow(Struct, frozen=True):
    """The result of a request to hold seats."""

    place: int
    outcome: Literal[
        "held",
        "slot_full",
        "slot_closed",
        "slot_started",
        "slot_not_found",
        "key_reused",
        "visit_type_not_offered",
        "too_late_to_book",
        "too_early_to_book",
        "account_needed",
        "for_new_patients_only",
        "for_returning_patients_only",
        "booking_limit_reached",
        "time_gone",
        "again",
    ]
    replayed: bool
    available_seats: int | None
    booking: Booking | None
    expired_holds: int
    manage_nonce: bytes | None


class Confirmed(Struct, frozen=True):
    """The result of a request to confirm, and the booking as that transaction left it."""

    booking: Booking
    outcome: Literal[
        "already_confirmed",
        "cancelled",
        "expired",
        "name_missing",
        "email_missing",
        "confirmed",
        "for_new_patients_only",
        "for_returning_patients_only",
        "booking_limit_reached",
    ]
    visit: BookedVisit | None


class Cancelled(Struct, frozen=True):
    """The result of a request to cancel, and the booking as that transaction left it."""

    booking: Booking
    outcome: Literal["already_cancelled", "confirmed", "failed", "started", "cancelled", "too_late_to_change"]


HOLD_SEATS = Statement("booking/bookings.hold_seats", HoldRow)
HOLD_TIMES = Statement("booking/bookings.hold_times", HoldRow)
REPLACE_HOLD = Statement("booking/bookings.replace_hold", HoldRow)
CONFIRM_BOOKINGS = Statement("booking/bookings.confirm_bookings", Confirmed)
CANCEL_BOOKINGS = Statement("booking/bookings.cancel_bookings", Cancelled)


class BookingBatches:
    """`writers` serves only batches, so that many reads cannot keep a booking from its connection.

    With `noted`, they are the desk's: each change is recorded in the audit log in the same transaction, and may be made
    in spite of the rules of visit types.
    """

    def __init__(
        self,
        writers: Database,
        manage_tokens: ManageTokens,
        hold_seconds: int,
        crash_points: CrashPoints = UNARMED,
        seats_changed: SeatsChanged = ignore_changes,
        *,
        noted: bool = False,
    ) -> None:
        self._writers = writers
        self._manage_tokens = manage_tokens
        self._hold_seconds = hold_seconds
        self._crash_points = crash_points
        self._seats_changed = seats_changed
        self._noted = noted

    async def hold(self, requests: Sequence[HoldRequest]) -> list[HoldOutcome]:
        tokens = [self._manage_tokens.new() for _ in requests]
        arguments = self._arguments(requests, tokens)
        self._crash_points.reach("hold_seats", "before_batch")
        while True:
            try:
                async with self._writers.effect() as connection:
                    written = await HOLD_SEATS.all(connection, **arguments)
            except AnsweredMeanwhile:
                continue
            rows = sorted(written, key=attrgetter("place"))
            self._crash_points.reach("hold_seats", "after_commit")
            self._seats_changed(_changed(requests, rows))
            _count(rows)
            return [outcome_of(row, token, self._manage_tokens) for row, token in zip(rows, tokens, strict=True)]

    async def hold_times(self, requests: Sequence[HoldTimeRequest]) -> list[HoldOutcome | Undecided]:
        tokens = [self._manage_tokens.new() for _ in requests]
        time_arguments = self._time_arguments(requests, tokens)
        self._crash_points.reach("hold_times", "before_batch")
        while True:
            try:
                async with self._writers.effect() as connection:
                    written = await HOLD_TIMES.all(connection, **time_arguments)
            except AnsweredMeanwhile:
                continue
            rows = sorted(written, key=attrgetter("place"))
            self._crash_points.reach("hold_times", "after_commit")
            self._seats_changed({row.booking.slot_id for row in rows if row.booking is not None and _is_new(row)})
            _count(rows)
            return [
                UNDECIDED if row.outcome == "again" else outcome_of(row, token, self._manage_tokens)
                for row, token in zip(rows, tokens, strict=True)
            ]

    async def replace_hold(self, booking_id: int, request: HoldRequest) -> HoldOutcome | None:
        """Replace a hold on the same slot; None if it was confirmed. Not batched, because it is rare."""
        token = self._manage_tokens.new()
        arguments = self._arguments([request], [token])
        while True:
            try:
                async with self._writers.effect() as connection:
                    row = await REPLACE_HOLD.first(connection, old_booking_id=booking_id, **arguments)
            except AnsweredMeanwhile:
                continue
            if row is None:
                return None
            self._seats_changed({request.wanted.slot_id})
            _count([row])
            return outcome_of(row, token, self._manage_tokens)

    async def confirm(self, requests: Sequence[ConfirmRequest]) -> list[Confirmed | None]:
        """None if the booking does not exist."""
        self._crash_points.reach("confirm_booking", "before_batch")
        async with self._writers.effect() as connection:
            rows = await CONFIRM_BOOKINGS.all(
                connection,
                booking_ids=[request.booking_id for request in requests],
                user_names=[request.user_name for request in requests],
                user_emails=[request.user_email for request in requests],
                actors=[request.actor for request in requests],
                request_ids=self._request_ids(requests),
                by_desk=self._noted,
            )
        self._crash_points.reach("confirm_booking", "after_commit")
        found = {row.booking.id: row for row in rows}
        return [found.get(request.booking_id) for request in requests]

    async def cancel(self, requests: Sequence[CancelRequest]) -> list[Cancelled | None]:
        """None if the booking does not exist."""
        self._crash_points.reach("cancel_booking", "before_batch")
        async with self._writers.effect() as connection:
            rows = await CANCEL_BOOKINGS.all(
                connection,
                booking_ids=[request.booking_id for request in requests],
                reasons=[request.reason for request in requests],
                actors=[request.actor for request in requests],
                only_holds=[request.only_hold for request in requests],
                request_ids=self._request_ids(requests),
                by_desk=self._noted,
                patients_asked=[request.patient_asked for request in requests],
            )
        self._crash_points.reach("cancel_booking", "after_commit")
        self._seats_changed({row.booking.slot_id for row in rows if row.outcome == "cancelled"})
        found = {row.booking.id: row for row in rows}
        return [found.get(request.booking_id) for request in requests]

    def _arguments(self, requests: Sequence[HoldRequest], tokens: Sequence[ManageToken]) -> Mapping[str, object]:
        wanted = [request.wanted for request in requests]
        return {
            "slot_ids": [want.slot_id for want in wanted],
            "seats": [want.seats for want in wanted],
            "visit_type_ids": [want.visit_type_id for want in wanted] if any(map(_has_visit_type, wanted)) else None,
            **self._shared_arguments(requests, tokens),
        }

    def _time_arguments(
        self, requests: Sequence[HoldTimeRequest], tokens: Sequence[ManageToken]
    ) -> Mapping[str, object]:
        wanted = [request.wanted for request in requests]
        return {
            "window_ids": [want.window_id for want in wanted],
            "start_times": [want.start_time for want in wanted],
            "end_times": [want.end_time for want in wanted],
            "visit_type_ids": [want.visit_type_id for want in wanted],
            **self._shared_arguments(requests, tokens),
        }

    def _shared_arguments(
        self, requests: Sequence[HoldRequest] | Sequence[HoldTimeRequest], tokens: Sequence[ManageToken]
    ) -> Mapping[str, object]:
        """What is the same for slots and for times: who wants it, the answers' keys, the settings."""
        wanted = [request.wanted for request in requests]
        keys = [request.key for request in requests] if any(request.key for request in requests) else []
        return {
            "user_ids": [want.user_id for want in wanted],
            "user_names": [want.user_name for want in wanted],
            "user_emails": [want.user_email for want in wanted],
            "confirmed": [want.confirm for want in wanted],
            "manage_token_hashes": [token.digest for token in tokens],
            "actors": [request.actor for request in requests],
            "callers": [key and key.caller for key in keys],
            "routes": [key and key.route for key in keys],
            "key_hashes": [key and key.key_hash for key in keys],
            "body_hashes": [key and key.body_hash for key in keys],
            "manage_nonces": [token.nonce for token in tokens] if keys else [],
            "request_ids": self._request_ids(requests),
            "hold_seconds": self._hold_seconds,
            "keep_seconds": KEEP_SECONDS,
            "by_desk": self._noted,
        }

    def _request_ids(
        self,
        requests: Sequence[HoldRequest]
        | Sequence[HoldTimeRequest]
        | Sequence[ConfirmRequest]
        | Sequence[CancelRequest],
    ) -> list[str | None] | None:
        return [request.request_id for request in requests] if self._noted else None


def outcome_of(row: HoldRow, token: ManageToken, manage_tokens: ManageTokens) -> HoldOutcome:
    """`token` is the one that was made for the request. A replayed answer has the token that was given then."""
    match row.outcome:
        case "held":
            assert row.booking is not None
            if row.replayed:
                return Held(row.booking, manage_tokens.again(row.manage_nonce or b""), replayed=True)
            return Held(row.booking, token)
        case "slot_full":
            return SlotFull(row.available_seats or 0)
        case (
            "slot_closed"
            | "slot_started"
            | "slot_not_found"
            | "key_reused"
            | "visit_type_not_offered"
            | "too_late_to_book"
            | "too_early_to_book"
            | "account_needed"
            | "for_new_patients_only"
            | "for_returning_patients_only"
            | "booking_limit_reached"
            | "time_gone"
        ):
            return _REFUSALS[row.outcome]()
        case "again":
            raise AssertionError("returned only by `hold_times`, which does not ask here")
        case _:
            assert_never(row.outcome)


_REFUSALS: dict[str, Callable[[], Refusal | KeyReused | NotAuthenticated]] = {
    "slot_closed": SlotClosed,
    "slot_started": SlotStarted,
    "slot_not_found": SlotNotFound,
    "key_reused": KeyReused,
    "visit_type_not_offered": VisitTypeNotOffered,
    "too_late_to_book": TooLateToBook,
    "too_early_to_book": TooEarlyToBook,
    "account_needed": NotAuthenticated,
    "for_new_patients_only": ForNewPatientsOnly,
    "for_returning_patients_only": ForReturningPatientsOnly,
    "booking_limit_reached": BookingLimitReached,
    "time_gone": TimeGone,
}


def _has_visit_type(wanted: SeatRequest) -> bool:
    return wanted.visit_type_id is not None


def _changed(requests: Sequence[HoldRequest], rows: Sequence[HoldRow]) -> set[int]:
    return {
        request.wanted.slot_id for request, row in zip(requests, rows, strict=True) if _is_new(row) or row.expired_holds
    }


def _is_new(row: HoldRow) -> bool:
    return row.booking is not None and not row.replayed


def _count(rows: Sequence[HoldRow]) -> None:
    statuses = [row.booking.status for row in rows if row.booking is not None and not row.replayed]
    for status in set(statuses):
        metrics.HOLDS.labels(status).inc(statuses.count(status))
    metrics.EXPIRIES.labels("booking").inc(sum(row.expired_holds for row in rows))
    metrics.REPLAYS.inc(sum(row.replayed or row.outcome == "key_reused" for row in rows))
