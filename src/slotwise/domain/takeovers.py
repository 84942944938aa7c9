"""Which times of a doctor who is away a colleague can take over, with their bookings."""

from collections.abc import Container, Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct

from slotwise.domain.schedule_diff import ClosedSlot, Difference, ExistingSlot
from slotwise.domain.schedules import Closures


class TakeoverRefusal(StrEnum):
    """Why the colleague cannot see the patients of a time."""

    COLLEAGUE_BUSY = "COLLEAGUE_BUSY"
    COLLEAGUE_AWAY = "COLLEAGUE_AWAY"
    COLLEAGUE_ELSEWHERE = "COLLEAGUE_ELSEWHERE"
    NOT_IN_ABSENCE = "NOT_IN_ABSENCE"


class InTheWay(Struct, frozen=True):
    """A slot of the colleague that takes the time of a slot. `taken` if somebody has booked or holds it."""

    slot_id: int
    other_id: int
    other_clinic_id: int
    taken: bool


class Colleague(Struct, frozen=True):
    """The doctor who is to take over. Without clinics, the doctor works at all."""

    id: int
    clinic_ids: tuple[int, ...] = ()
    in_the_way: tuple[InTheWay, ...] = ()

    def refusal(self, slot: ExistingSlot, closures: Closures) -> TakeoverRefusal | None:
        """A free time of the colleague makes room. One at another clinic does not: the colleague is there then."""
        if self.clinic_ids and slot.clinic_id not in self.clinic_ids:
            return TakeoverRefusal.COLLEAGUE_ELSEWHERE
        if closures.find(self.id, slot.clinic_id, slot.start_time, slot.end_time) is not None:
            return TakeoverRefusal.COLLEAGUE_AWAY
        others = [other for other in self.in_the_way if other.slot_id == slot.id]
        if any(other.taken for other in others):
            return TakeoverRefusal.COLLEAGUE_BUSY
        elsewhere = any(other.other_clinic_id != slot.clinic_id for other in others)
        return TakeoverRefusal.COLLEAGUE_ELSEWHERE if elsewhere else None


class TakenSlot(Struct, frozen=True):
    """A slot that goes to the colleague, and the absence that it lies in."""

    slot_id: int
    closure_id: int


class Takeover(Struct, frozen=True):
    """`room` are free slots of the colleague that close to make room."""

    colleague_id: int
    taken: tuple[TakenSlot, ...]
    room: tuple[int, ...]

    @property
    def slot_ids(self) -> frozenset[int]:
        return frozenset(each.slot_id for each in self.taken)


def refusals(
    colleague: Colleague, slots: Iterable[ExistingSlot], causes: Mapping[int, int | None], closures: Closures
) -> dict[int, TakeoverRefusal]:
    """By slot, of those that a change concerns; `causes` has the closure of each."""
    found = {}
    for slot in slots:
        if slot.id in causes:
            in_absence = causes[slot.id] is not None
            refusal = colleague.refusal(slot, closures) if in_absence else TakeoverRefusal.NOT_IN_ABSENCE
            if refusal is not None:
                found[slot.id] = refusal
    return found


def takeover_of(colleague: Colleague, slot_ids: Container[int], causes: Mapping[int, int | None]) -> Takeover | None:
    """Of these slots, if there are any."""
    taken = tuple(
        TakenSlot(slot_id, closure_id)
        for slot_id, closure_id in sorted(causes.items())
        if slot_id in slot_ids and closure_id is not None
    )
    room = {other.other_id for other in colleague.in_the_way if other.slot_id in slot_ids}
    return Takeover(colleague.id, taken, tuple(sorted(room))) if taken else None


def without_taken(slots: Sequence[ExistingSlot], takeover: Takeover | None) -> tuple[ExistingSlot, ...]:
    """Those that stay with their doctor. A schedule of the doctor has no word to say of the others any more."""
    gone = takeover.slot_ids if takeover is not None else frozenset()
    return tuple(slot for slot in slots if slot.id not in gone)


def making_room(difference: Difference, takeover: Takeover | None) -> tuple[ClosedSlot, ...]:
    """What closes. The colleague's rule leaves these times out while the slots that were taken over overlap them."""
    room = takeover.room if takeover is not None else ()
    return (*difference.close, *(ClosedSlot(slot_id, None) for slot_id in room))
