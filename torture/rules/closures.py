"""Schedules keep their word: nothing is open in a closure, no booking is hidden, and the times of a rule are as it says
(S24). No doctor is in two visits (S22)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from msgspec import Struct

from torture.violation import Violation


class ScheduledSlot(Struct, frozen=True):
    """A slot ahead. Times are in seconds since 1970. `by_hand` if a person made or changed it. `seats` are without
    those of overbookings; `rule_seats` are those of its rule, if it has one."""

    id: int
    doctor_id: int
    clinic_id: int
    begin: float
    end: float
    is_open: bool
    closure_id: int | None
    drifted: bool
    by_hand: bool
    confirmed: int
    seats: int
    rule_seats: int | None
    has_types_of_rule: bool


class Closed(Struct, frozen=True):
    """A closure in force: of a doctor, of a clinic, or of all."""

    id: int
    doctor_id: int | None
    clinic_id: int | None
    begin: float
    end: float

    def covers(self, slot: ScheduledSlot) -> bool:
        overlaps = self.begin < slot.end and self.end > slot.begin
        return overlaps and self.doctor_id in {None, slot.doctor_id} and self.clinic_id in {None, slot.clinic_id}


def find_hidden(slots: Sequence[ScheduledSlot], closures: Sequence[Closed]) -> Iterator[Violation]:
    """S24: no time is open in a closure, and a booking in a closed time of a rule is listed: the slot has drifted, or a
    closure in force closed it."""
    known = {closure.id for closure in closures}
    for slot in slots:
        covering = [closure.id for closure in closures if closure.covers(slot)]
        if slot.is_open and covering:
            yield Violation("S24", slot.id, f"the slot is open in closures {covering}")
        listed = slot.drifted or slot.by_hand or slot.closure_id in known
        if slot.confirmed and not slot.is_open and not listed:
            yield Violation("S24", slot.id, f"the closed slot has {slot.confirmed} bookings that nobody is shown")


def find_other_content(slots: Sequence[ScheduledSlot]) -> Iterator[Violation]:
    """S24 content: an open time of a rule has the seats and visit types of its rule, unless a person changed it."""
    for slot in slots:
        if slot.rule_seats is None or not slot.is_open or slot.by_hand:
            continue
        if slot.seats != slot.rule_seats:
            told = f"the slot offers {slot.seats} seats, but its rule has {slot.rule_seats}"
            yield Violation("S24 content", slot.id, told)
        if not slot.has_types_of_rule:
            yield Violation("S24 content", slot.id, "the slot has other visit types than its rule")


def find_double_visits(slots: Sequence[ScheduledSlot]) -> Iterator[Violation]:
    """S22: two slots of one doctor that have confirmed bookings never overlap."""
    booked = defaultdict(list)
    for slot in sorted(slots, key=lambda slot: slot.begin):
        if slot.confirmed:
            booked[slot.doctor_id].append(slot)
    for visits in booked.values():
        latest = visits[0]
        for slot in visits[1:]:
            if slot.begin < latest.end:
                told = f"doctor {slot.doctor_id} has visits in it and in slot {latest.id} at once"
                yield Violation("S22", slot.id, told)
            latest = max(slot, latest, key=lambda one: one.end)
