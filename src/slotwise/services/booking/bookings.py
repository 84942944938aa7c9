"""The use cases of bookings: hold, confirm, cancel and read."""

from typing import assert_never

import msgspec
from msgspec import Struct

from slotwise.batching.batched_reads import BatchedReads
from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus, SeatRequest, TimeRequest
from slotwise.domain.errors import (
    BookingCancelled,
    BookingFailed,
    BookingLimitReached,
    BookingNotFound,
    ForNewPatientsOnly,
    ForReturningPatientsOnly,
    HoldExpired,
    InvalidInput,
    SlotStarted,
    TooLateToChange,
)
from slotwise.domain.users import User, actor_of
from slotwise.domain.visit_types import BookedVisit
from slotwise.observability import metrics
from slotwise.services.booking.batches import (
    Cancelled,
    CancelRequest,
    ConfirmRequest,
    Held,
    HoldOutcome,
    HoldRequest,
    HoldTimeRequest,
    Undecided,
)
from slotwise.services.booking.queues import BookingQueues
from slotwise.services.booking.search import BookingQuery, FoundBookings, find_bookings
from slotwise.services.core.audit import record_action, request_id, rows_shown, shows_others
from slotwise.services.core.callers import READ_CLAIMS, Caller, Claim, ProvenCaller, refuse
from slotwise.services.core.clinics import require_desk_of_slot, require_desk_of_window
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.core.manage_tokens import proves

READ_BOOKINGS = Statement("booking/bookings.read_bookings", Booking)
LIST_BOOKINGS_OF_SLOT = Statement("booking/bookings.list_bookings_of_slot", Booking)
LIST_BOOKINGS_OF_USER = Statement("booking/bookings.list_bookings_of_user", Booking)


class BookingWithVisit(Struct, frozen=True):
    """A booking, and what its visit type says to those who may manage it; None for others, and without a type."""

    booking: Booking
    visit: BookedVisit | None = None


class ClaimedBooking(Struct, frozen=True):
    """A booking, what a caller must match to manage it, and its visit type."""

    booking: Booking
    manage_token_hash: bytes
    visit: BookedVisit | None

    @property
    def claim(self) -> Claim:
        return Claim(self.booking.user_id, self.booking.user_email, self.manage_token_hash, self.booking.clinic_id)


class ManagedBooking(Struct, frozen=True):
    """A booking, and a caller with the proof that they may manage it."""

    caller: ProvenCaller
    booking: Booking


READ_CLAIMED_BOOKINGS = Statement("booking/bookings.read_claimed_bookings", ClaimedBooking)


class Bookings:
    """Patients and the desk have separate queues and connections, so that neither waits for the other."""

    def __init__(self, database: Database, patients: BookingQueues, desk: BookingQueues) -> None:
        self._database = database
        self._patients = patients
        self._desk = desk
        self._claims = BatchedReads(self._read_claims)
        self._claimed = BatchedReads(self._read_claimed)

    async def hold_seats(self, caller: Caller, wanted: SeatRequest, key: IdempotencyKey | None = None) -> Held:
        """Make a hold or, if `wanted.confirm` is set, a confirmed booking.

        Raises a `Refusal`, `KeyReused`, and the `Unavailable` errors of `GroupCommit.submit`; `NotAllowed` for a desk
        of other clinics.
        """
        if caller.user is not None and caller.user.at_desk:
            await require_desk_of_slot(self._database, caller.user, wanted.slot_id)
        request = HoldRequest(wanted, caller.actor, key, _request_id(caller))
        return held_or_raise(await self._queues_of(caller).holds.submit(request))

    async def hold_time(self, caller: Caller, wanted: TimeRequest, key: IdempotencyKey | None = None) -> Held:
        """Hold a time of an open window, or book it at once. Raises what `hold_seats` raises, and `TimeGone`."""
        if caller.user is not None and caller.user.at_desk:
            await require_desk_of_window(self._database, caller.user, wanted.window_id)
        request = HoldTimeRequest(wanted, caller.actor, key, _request_id(caller))
        while isinstance(outcome := await self._queues_of(caller).times.submit(request), Undecided):
            pass
        return held_or_raise(outcome)

    async def replace_hold(
        self, caller: Caller, booking_id: int, wanted: SeatRequest, key: IdempotencyKey | None = None
    ) -> Held | None:
        """Replace a hold on the same slot.

        If the new hold is refused (same errors as `hold_seats`), the old one is kept. None if the old one was
        confirmed meanwhile: it is kept too.
        """
        await self._authorize(caller, booking_id)
        request = HoldRequest(wanted, caller.actor, key, _request_id(caller))
        outcome = await self._queues_of(caller).replace_hold(booking_id, request)
        return None if outcome is None else held_or_raise(outcome)

    async def confirm_booking(
        self, caller: Caller, booking_id: int, user_name: str | None = None, user_email: str | None = None
    ) -> BookingWithVisit:
        """Return the confirmed booking; confirming again changes nothing. Name and e-mail only fill what is missing."""
        await self._authorize(caller, booking_id)
        request = ConfirmRequest(booking_id, user_name, user_email, caller.actor, _request_id(caller))
        done = await self._queues_of(caller).confirms.submit(request)
        if done is None:
            raise BookingNotFound
        metrics.CONFIRMATIONS.labels(done.outcome).inc()
        match done.outcome:
            case "confirmed":
                return _with_visit(done.booking, done.visit)
            case "already_confirmed":
                await self._note_reading(caller, done.booking, "confirm_booking")
                return _with_visit(done.booking, done.visit)
            case "expired":
                raise HoldExpired
            case "cancelled":
                raise BookingCancelled
            case "name_missing":
                raise InvalidInput.of("user_name", "is required to confirm a hold made without a name")
            case "email_missing":
                raise InvalidInput.of("user_email", "is required to confirm a hold made without an e-mail address")
            case "for_new_patients_only":
                raise ForNewPatientsOnly
            case "for_returning_patients_only":
                raise ForReturningPatientsOnly
            case "booking_limit_reached":
                raise BookingLimitReached
            case _:
                assert_never(done.outcome)

    async def cancel_booking(
        self, caller: Caller, booking_id: int, reason: str | None = None, *, patient_asked: bool = False
    ) -> Booking:
        """Return the cancelled booking; cancelling again changes nothing.

        `patient_asked` if the desk does what the patient asked for. Otherwise the patient reads that the clinic did it.
        """
        await self._authorize(caller, booking_id)
        request = CancelRequest(
            booking_id, reason, caller.actor, request_id=_request_id(caller), patient_asked=patient_asked
        )
        done = await self._cancel(caller, request)
        match done.outcome:
            case "cancelled":
                return done.booking
            case "already_cancelled":
                await self._note_reading(caller, done.booking, "cancel_booking")
                return done.booking
            case "failed":
                raise BookingFailed
            case "started":
                raise SlotStarted
            case "too_late_to_change":
                raise TooLateToChange
            case "confirmed":
                raise AssertionError("returned only if `only_hold` is set")
            case _:
                assert_never(done.outcome)

    async def release_hold(
        self, caller: Caller, booking_id: int, reason: str | None = None, *, patient_asked: bool = False
    ) -> BookingStatus:
        """Release a hold's seats. A booking that is no longer a hold stays as it is. Returns its status now.

        `patient_asked` as for `cancel_booking`.
        """
        await self._authorize(caller, booking_id)
        request = CancelRequest(booking_id, reason, caller.actor, True, _request_id(caller), patient_asked)
        return (await self._cancel(caller, request)).booking.status

    def _queues_of(self, caller: Caller) -> BookingQueues:
        return self._desk if caller.at_desk else self._patients

    async def _cancel(self, caller: Caller, request: CancelRequest) -> Cancelled:
        done = await self._queues_of(caller).cancels.submit(request)
        if done is None:
            raise BookingNotFound
        metrics.CANCELLATIONS.labels(done.outcome).inc()
        return done

    async def _note_reading(self, caller: Caller, booking: Booking, action: str) -> None:
        """Record a read: nothing was changed, so no change was recorded, but the booking is shown."""
        if shows_others(caller.user, [booking]):
            async with self._database.connection() as connection:
                await record_action(connection, caller.actor, action, f"booking:{booking.id}")

    async def get_booking(self, caller: Caller, booking_id: int) -> BookingWithVisit:
        """In full for a caller who may manage it, without name, e-mail and visit for others."""
        read = await self._claimed.read(booking_id)
        if read is None:
            raise BookingNotFound
        if not caller.may_manage(read.claim):
            return BookingWithVisit(redacted(read.booking))
        await self._note_reading(caller, read.booking, "get_booking")
        return _with_visit(read.booking, read.visit)

    async def get_managed_booking(self, caller: Caller, booking_id: int) -> ManagedBooking:
        """In full for a caller who may manage it. Raises `BookingNotFound` for others."""
        read = await self._claimed.read(booking_id)
        proven = None if read is None else caller.proven_for(booking_id, read.claim)
        if read is None or proven is None:
            raise BookingNotFound
        await self._note_reading(caller, read.booking, "get_managed_booking")
        return ManagedBooking(proven, read.booking)

    async def opens(self, manage_token: str, booking_id: int) -> bool:
        """Whether this is the manage token of the booking. Accounts do not count here."""
        claim = await self._claims.read(booking_id)
        return claim is not None and proves(manage_token, claim.manage_token_hash)

    async def list_bookings_of_slot(self, caller: Caller, slot_id: int, after_id: int, limit: int) -> list[Booking]:
        async with self._database.connection() as connection:
            found = await LIST_BOOKINGS_OF_SLOT.all(connection, slot_id=slot_id, after_id=after_id, limit=limit)
            seen = [booking for booking in found if caller.sees_all_of(booking.clinic_id)]
            if shows_others(caller.user, seen):
                details = {"bookings": rows_shown(seen, limit)}
                await record_action(connection, caller.actor, "list_bookings_of_slot", f"slot:{slot_id}", details)
        return [booking if caller.sees_all_of(booking.clinic_id) else redacted(booking) for booking in found]

    async def list_bookings_of_user(self, user: User, before_id: int, limit: int) -> list[Booking]:
        """Users at the desk also see what they booked for others, which is recorded; users who left the desk do not."""
        own_email = user.email if user.was_desk and not user.at_desk else None
        async with self._database.connection() as connection:
            found = await LIST_BOOKINGS_OF_USER.all(
                connection, user_id=user.id, before_id=before_id, own_email=own_email, limit=limit
            )
            found = [booking if _sees(user, booking) else redacted(booking) for booking in found]
            if shows_others(user, found):
                details = {"bookings": rows_shown(found, limit)}
                await record_action(connection, actor_of(user), "list_bookings_of_user", actor_of(user), details)
        return found

    async def list_bookings(self, reader: User, query: BookingQuery, before_id: int, limit: int) -> FoundBookings:
        async with self._database.connection() as connection:
            found = await find_bookings(connection, query.within(reader.clinic_ids), before_id, limit)
            if shows_others(reader, found.first(limit)):
                details = query.outline() | {"bookings": len(found.first(limit - 1))}
                await record_action(connection, actor_of(reader), "list_bookings", "bookings", details)
        return found

    async def require_room(self) -> None:
        """Raise `Overloaded` if the queue for holds is full. Called before a request is read."""
        await self._patients.holds.require_room()

    def has_room(self) -> bool:
        """Whether the queue for holds takes another request."""
        return self._patients.holds.has_room()

    async def drained(self) -> None:
        """Wait until every accepted request is answered."""
        for queues in (self._patients, self._desk):
            await queues.drained()

    async def _authorize(self, caller: Caller, booking_id: int) -> None:
        """Refuse a caller who may not manage the booking. Looks it up, unless the caller has the proof already."""
        if isinstance(caller, ProvenCaller) and caller.booking_id == booking_id:
            return
        claim = await self._claims.read(booking_id)
        if claim is None:
            raise BookingNotFound
        if not caller.may_manage(claim):
            refuse(caller)

    async def _read_claims(self, booking_ids: list[int]) -> dict[int, Claim]:
        async with self._database.connection() as connection:
            claims = await READ_CLAIMS.all(connection, booking_ids=booking_ids)
        return {claim.booking_id: claim for claim in claims}

    async def _read_claimed(self, booking_ids: list[int]) -> dict[int, ClaimedBooking]:
        async with self._database.connection() as connection:
            read = await READ_CLAIMED_BOOKINGS.all(connection, booking_ids=booking_ids)
        return {row.booking.id: row for row in read}


def _sees(user: User, booking: Booking) -> bool:
    """What an account booked for others, it sees only while it works at that clinic."""
    return user.owns(booking.user_id, booking.user_email) or user.works_at(booking.clinic_id)


def _request_id(caller: Caller) -> str | None:
    """For the desk's entries in the audit log. Others skip the look-up, which costs time on the booking path."""
    return request_id() if caller.at_desk else None


def held_or_raise(outcome: HoldOutcome) -> Held:
    """The booking. Raises the refusal if there is none."""
    if isinstance(outcome, Held):
        return outcome
    raise outcome


def _with_visit(booking: Booking, visit: BookedVisit | None) -> BookingWithVisit:
    confirmed = booking.status is BookingStatus.CONFIRMED
    return BookingWithVisit(booking, visit if visit is None or confirmed else visit.without_link())


def redacted(booking: Booking) -> Booking:
    """The booking without name and e-mail, as strangers may see it, and without what the desk did for it."""
    return msgspec.structs.replace(booking, user_name=None, user_email=None, added_seats=None)
