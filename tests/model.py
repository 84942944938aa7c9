"""What the database's functions must come to, single-threaded and in plain Python.

It holds no lock and reads no clock: a slot is as it was when the batch's turn came.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple, TypeAlias

from slotwise.domain.bookings import BookingStatus, Refusal, SeatRequest
from slotwise.domain.errors import (
    BookingCancelled,
    BookingFailed,
    BookingLimitReached,
    ForNewPatientsOnly,
    ForReturningPatientsOnly,
    HoldExpired,
    KeyReused,
    SlotClosed,
    SlotFull,
    SlotNotFound,
    SlotStarted,
    SlotwiseError,
    TooEarlyToBook,
    TooLateToBook,
    TooLateToChange,
)
from slotwise.domain.visit_types import Patients


class OfferedSlot(NamedTuple):
    """`free` counts the seats of overdue holds."""

    free: int
    is_open: bool = True
    doctor_active: bool = True
    started: bool = False


class Attempt(NamedTuple):
    """What a batch is made of. Two attempts with the same key are one if they want the same."""

    wanted: SeatRequest
    key: Hashable | None = None


Verdict: TypeAlias = Refusal | KeyReused | None


def admit(requests: Iterable[SeatRequest], slots: Mapping[int, OfferedSlot]) -> list[Refusal | None]:
    """One verdict per request, None for admitted, in order of arrival.

    A request too large for what is left is refused alone: a smaller one behind it may still fit, so that no
    refusal is untrue.
    """
    free = {slot_id: slot.free for slot_id, slot in slots.items()}
    verdicts = []
    for request in requests:
        verdict = _verdict(request, slots.get(request.slot_id), free)
        if verdict is None:
            free[request.slot_id] -= request.seats
        verdicts.append(verdict)
    return verdicts


def _verdict(request: SeatRequest, slot: OfferedSlot | None, free: Mapping[int, int]) -> Refusal | None:
    if slot is None:
        return SlotNotFound()
    if not slot.is_open or not slot.doctor_active:
        return SlotClosed()
    if slot.started:
        return SlotStarted()
    if free[request.slot_id] < request.seats:
        return SlotFull(free[request.slot_id])
    return None


class Model:
    """Slots and the answers kept for keys, through one batch after the other. No batch holds a key twice."""

    def __init__(self, slots: Mapping[int, OfferedSlot]) -> None:
        self.slots = dict(slots)
        self.answers: dict[Hashable, tuple[SeatRequest, Refusal | None]] = {}

    def hold(self, batch: Iterable[Attempt]) -> list[Verdict]:
        return [self._answer(attempt) for attempt in batch]

    def _answer(self, attempt: Attempt) -> Verdict:
        wanted, key = attempt
        if key in self.answers:
            wanted_then, verdict_then = self.answers[key]
            return verdict_then if wanted_then == wanted else KeyReused()
        [verdict] = admit([wanted], self.slots)
        if verdict is None:
            slot = self.slots[wanted.slot_id]
            self.slots[wanted.slot_id] = slot._replace(free=slot.free - wanted.seats)
        if key is not None:
            self.answers[key] = wanted, verdict
        return verdict


class VisitRules(NamedTuple):
    """The rules of a visit type; None for one that does not apply."""

    notice: timedelta | None = None
    horizon: timedelta | None = None
    deadline: timedelta | None = None
    most: int | None = None
    patients: Patients = Patients.ANY

    def refusal_at(self, ahead: timedelta) -> SlotwiseError | None:
        """For patients, of a time that begins so far ahead."""
        if ahead < (self.notice or timedelta()):
            return TooLateToBook()
        if self.horizon is not None and ahead > self.horizon:
            return TooEarlyToBook()
        return None


@dataclass
class Visit:
    """A booking with a visit type. `patient` is an e-mail address; None until a guest types one."""

    slot_id: int
    kind: int
    patient: str | None
    status: BookingStatus

    @property
    def is_live(self) -> bool:
        return self.status in {BookingStatus.PENDING, BookingStatus.CONFIRMED}


class VisitModel:
    """One request after the other for visits of some types, of one seat each. Each request returns its refusal.

    `ahead` says how far ahead a slot begins. Nothing but `begin` makes time pass.
    """

    def __init__(self, ahead: Mapping[int, timedelta], seats: int, kinds: Mapping[int, VisitRules]) -> None:
        self.ahead = dict(ahead)
        self.seats = seats
        self.kinds = kinds
        self.visits: list[Visit] = []

    def hold(
        self, slot_id: int, kind: int, patient: str | None, *, confirm: bool, by_desk: bool
    ) -> SlotwiseError | None:
        refusal = self._refusal(slot_id, kind, patient, by_desk=by_desk)
        if refusal is None:
            status = BookingStatus.CONFIRMED if confirm else BookingStatus.PENDING
            self.visits.append(Visit(slot_id, kind, patient, status))
        return refusal

    def confirm(self, visit: Visit, patient: str, *, by_desk: bool) -> SlotwiseError | None:
        match visit.status:
            case BookingStatus.FAILED:
                return HoldExpired()
            case BookingStatus.CANCELLED:
                return BookingCancelled()
            case BookingStatus.PENDING:
                own = visit.patient or patient
                refusal = None if by_desk else self._refusal_of_patient(visit.kind, own, visit)
                if refusal is None:
                    visit.patient, visit.status = own, BookingStatus.CONFIRMED
                return refusal
        return None

    def cancel(self, visit: Visit, *, by_desk: bool) -> SlotwiseError | None:
        if visit.status is BookingStatus.CANCELLED:
            return None
        if visit.status is BookingStatus.FAILED:
            return BookingFailed()
        if not self._is_ahead(visit):
            return SlotStarted()
        deadline = self.kinds[visit.kind].deadline or timedelta()
        confirmed = visit.status is BookingStatus.CONFIRMED
        if confirmed and not by_desk and self.ahead[visit.slot_id] < deadline:
            return TooLateToChange()
        visit.status = BookingStatus.CANCELLED
        return None

    def run_out(self, visit: Visit) -> None:
        if visit.status is BookingStatus.PENDING:
            visit.status = BookingStatus.FAILED

    def begin(self, slot_id: int) -> None:
        self.ahead[slot_id] = timedelta(hours=-1)

    def _is_ahead(self, visit: Visit) -> bool:
        return self.ahead[visit.slot_id] > timedelta()

    def _refusal(self, slot_id: int, kind: int, patient: str | None, *, by_desk: bool) -> SlotwiseError | None:
        if self.ahead[slot_id] <= timedelta():
            return SlotStarted()
        if not by_desk:
            refusal = self.kinds[kind].refusal_at(self.ahead[slot_id])
            if refusal is None and patient is not None:
                refusal = self._refusal_of_patient(kind, patient)
            if refusal is not None:
                return refusal
        free = self.seats - sum(visit.is_live and visit.slot_id == slot_id for visit in self.visits)
        return None if free else SlotFull(0)

    def _refusal_of_patient(self, kind: int, patient: str, own: Visit | None = None) -> SlotwiseError | None:
        rules = self.kinds[kind]
        others = [visit for visit in self.visits if visit.patient == patient and visit is not own]
        returning = any(visit.status is BookingStatus.CONFIRMED and not self._is_ahead(visit) for visit in others)
        if rules.patients is Patients.NEW and returning:
            return ForNewPatientsOnly()
        if rules.patients is Patients.RETURNING and not returning:
            return ForReturningPatientsOnly()
        coming = [one for one in others if one.kind == kind and one.is_live and self._is_ahead(one)]
        return BookingLimitReached() if rules.most is not None and len(coming) >= rules.most else None
