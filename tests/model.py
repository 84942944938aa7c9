"""What the database's functions must come to, single-threaded and in plain Python.

It holds no lock and reads no clock: a slot is as it was when the batch's turn came.
"""

from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from slotwise.domain.bookings import Refusal, SeatRequest
from slotwise.domain.errors import KeyReused, SlotClosed, SlotFull, SlotNotFound, SlotStarted


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
