"""Reads show what was true (S18, S20)."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from torture.history import WRITES, Attempt, SeenBookings, SeenSlot
from torture.rules.effects import AFTER
from torture.slot_history import SlotHistory, deadlines_of
from torture.slot_states import NEVER, SlotState, SlotStates, seen_by
from torture.violation import CLOCK_SECONDS

STATUS_AFTER = {
    "HELD": "PENDING", "BOOKED": "CONFIRMED", "CONFIRMED": "CONFIRMED", "EXPIRED": "FAILED", "CANCELLED": "CANCELLED",
}  # fmt: skip
EVERY = AFTER["hold"]


def find_stale_reads(history: SlotHistory) -> Iterator[str]:
    """S18: a caller reads its own writes, if they ended before the read began."""
    for done in _reads_and_writes(history.attempts).values():
        writes = [attempt for attempt in done if attempt.outcome == "ok" and attempt.name in WRITES]
        for read in done:
            if read.name != "read_booking" or read.outcome == "info":
                continue
            may_be = EVERY.intersection(*(AFTER[write.name] for write in writes if write.ended <= read.began))
            told = read.answer.status if read.answer and read.outcome == "ok" else None
            if told not in may_be:
                yield f"attempt {read.number} read {told or 'nothing'}, but only {sorted(may_be)} is possible"


def _reads_and_writes(attempts: Iterable[Attempt]) -> dict[int, list[Attempt]]:
    """For each booking that is read, all attempts on it."""
    read = {attempt.booking_id for attempt in attempts if attempt.name == "read_booking"}
    found: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.booking_id is not None and attempt.booking_id in read:
            found[attempt.booking_id].append(attempt)
    return found


def find_untrue_sights(history: SlotHistory) -> Iterator[str]:
    """S20: what a read showed (free seats, statuses, times) was true at some instant between request and answer, and
    what it left out was rightly left out. Seats of overdue holds count as free."""
    states = SlotStates(history)
    bookings = _Bookings(history)
    for seen in history.sightings:
        if isinstance(seen, SeenSlot):
            yield from _untrue_slot(seen, states)
        else:
            yield from _untrue_bookings(seen, bookings)


def _untrue_slot(seen: SeenSlot, states: SlotStates) -> Iterator[str]:
    begin, end = seen.began_at - CLOCK_SECONDS, seen.ended_at + CLOCK_SECONDS
    met = states.within(begin, end)
    shown = _missing if seen.free is None else _present
    if not any(shown(seen, state, state.free(begin, end)) for state in met):
        told = "was not shown" if seen.free is None else f"was shown with {seen.free} free of {seen.total or 'some'}"
        free = sorted({seats for state in met for seats in state.free(begin, end)})
        statuses = sorted({state.status for state in met})
        asked = f"among those with {seen.least} free" if seen.least else f"as {seen.status} from {seen.start}"
        yield f"attempt {seen.attempt}: the slot {told} {asked}, but {free} were free, and it was {statuses}"


def _missing(seen: SeenSlot, state: SlotState, free: set[int]) -> bool:
    return state.status != "OPEN" or min(free) < seen.least


def _present(seen: SeenSlot, state: SlotState, free: set[int]) -> bool:
    offered = seen.least == 0 or (state.status == "OPEN" and (seen.free or 0) >= seen.least)
    return (
        offered
        and seen.free in free
        and seen.total in {None, state.total}
        and seen.status in {None, state.status}
        and (seen.start is None or state.starts is None or seen.start in state.starts)
    )


class _Step(NamedTuple):
    """A booking's status from `at` on. Every reader must see it from `seen_by` on."""

    at: float
    seen_by: float
    status: str


class _Bookings:
    def __init__(self, history: SlotHistory) -> None:
        self._deadlines = deadlines_of(history)
        self.steps: dict[int, list[_Step]] = defaultdict(list)
        for event, latest in zip(history.events, seen_by(history), strict=True):
            if event.booking_id is not None and event.kind in STATUS_AFTER:
                self.steps[event.booking_id].append(_Step(event.at, latest, STATUS_AFTER[event.kind]))
        self._ids = sorted(self.steps)

    def between(self, first: int, last: int) -> Sequence[int]:
        return self._ids[bisect_left(self._ids, first) : bisect_right(self._ids, last)]

    def statuses(self, booking_id: int, begin: float, end: float) -> set[str]:
        """The statuses that a read in that interval can have seen. An expired hold is FAILED, swept or not."""
        steps = self.steps.get(booking_id, [])
        ends = [*(step.seen_by for step in steps[1:]), NEVER]
        found = {step.status for step, until in zip(steps, ends, strict=False) if step.at <= end and until >= begin}
        deadline = self._deadlines.get(booking_id)
        if "PENDING" in found and deadline is not None:
            found |= {"FAILED"} if deadline <= end else set()
            found -= {"PENDING"} if deadline <= begin else set()
        return found


def _untrue_bookings(seen: SeenBookings, bookings: _Bookings) -> Iterator[str]:
    begin, end = seen.began_at - CLOCK_SECONDS, seen.ended_at + CLOCK_SECONDS
    for booking_id, status in seen.statuses.items():
        can_be = bookings.statuses(booking_id, begin, end)
        if status not in can_be:
            yield f"attempt {seen.attempt} was shown booking {booking_id} as {status}, but it was {sorted(can_be)}"
    for booking_id in bookings.between(seen.first, seen.last):
        if booking_id not in seen.statuses and bookings.steps[booking_id][0].seen_by < begin:
            yield f"attempt {seen.attempt} was not shown booking {booking_id}, which existed"
