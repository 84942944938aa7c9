"""The states of a slot that a read can show: after each row of its ledger, and after each deadline.

A row gets its timestamp under the slot's lock. Readers see it from its commit on, which comes somewhat later: at the
latest when a client gets the answer, or when another transaction writes the slot's next row, because that one has
waited for the lock. A read may show any state that can have been the newest at some instant between request and answer.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torture.history import Attempt
from torture.slot_history import (
    CANCELLING,
    EFFECT_OF_KIND,
    RELEASING,
    TAKING,
    Event,
    SlotHistory,
    deadlines_of,
    of_carving,
    of_schedule,
    spans,
)
from torture.violation import CLOCK_SECONDS

NEVER = float("inf")
CHANGES = {"RESIZED": "total", "MOVED": "start", "CLOSED": "status", "REOPENED": "status"}
STATUS_OF_KIND = {"CLOSED": "CLOSED", "REOPENED": "OPEN"}


class SlotState(NamedTuple):
    """The slot after one row of the ledger. `holds` has deadline and seats of each live hold. `starts` has the possible
    starts of the slot; None if it was not moved yet."""

    total: int
    available: int
    status: str
    starts: frozenset[float] | None
    holds: tuple[tuple[float, int], ...]

    def free(self, begin: float, end: float) -> set[int]:
        """All numbers of free seats that this state can show in that interval."""
        free = self.available + sum(seats for deadline, seats in self.holds if deadline <= begin)
        found = {free}
        for _, seats in sorted(hold for hold in self.holds if begin < hold[0] <= end):
            free += seats
            found.add(free)
        return found


class SlotStates:
    def __init__(self, history: SlotHistory) -> None:
        self.seen_by = seen_by(history)
        self._from = _rising([event.at for event in history.events])
        # A state can be read until readers must see the next one.
        self._until = [*self.seen_by[1:], NEVER] if history.events else []
        self.states = list(_states(history))

    def within(self, begin: float, end: float) -> Sequence[SlotState]:
        """The states that a read in that interval can have seen."""
        return self.states[bisect_left(self._until, begin) : bisect_right(self._from, end)]


def seen_by(history: SlotHistory) -> list[float]:
    """For each row of the ledger, the time from which every reader must see it."""
    known = spans(history)
    asked = asked_for(history)
    latest: list[float] = []
    following = NEVER
    for place in reversed(range(len(history.events))):
        event = history.events[place]
        if place + 1 < len(history.events) and not _together(event, history.events[place + 1]):
            following = history.events[place + 1].at
        span = known.get((EFFECT_OF_KIND.get(event.kind, ""), event.booking_id or 0))
        told = span.ended_at if span else _told_by(asked.get(event.sequence, ()))
        latest.append(min(told, following, latest[-1] if latest else NEVER))
    return latest[::-1]


def _told_by(asked: Sequence[Attempt]) -> float:
    """When the last of them got the answer that it was done; never, if one of them has no answer."""
    return max((attempt.ended_at if attempt.outcome == "ok" else NEVER for attempt in asked), default=NEVER)


def _together(one: Event, other: Event) -> bool:
    """Whether the same transaction wrote both rows, as far as known."""
    return one.transaction == other.transaction


def _rising(times: Sequence[float]) -> list[float]:
    risen: list[float] = []
    for at in times:
        risen.append(max(at, risen[-1]) if risen else at)
    return risen


def _states(history: SlotHistory) -> Iterator[SlotState]:
    deadlines = deadlines_of(history)
    moves = asked_for(history)
    status, starts = "OPEN", None
    holds: dict[int, tuple[float, int]] = {}
    for event in history.events:
        booking_id = event.booking_id or 0
        if event.kind in TAKING:
            deadline = deadlines.get(booking_id) if event.kind == "HELD" else None
            if deadline is not None:
                holds[booking_id] = (deadline, event.seats)
        elif event.kind in RELEASING or event.kind == "CONFIRMED":
            holds.pop(booking_id, None)
        status = STATUS_OF_KIND.get(event.kind, status)
        if event.kind == "MOVED":
            # A colleague who takes over has the slot at the same time.
            moved = frozenset(_start_of(attempt) for attempt in moves[event.sequence] if attempt.change)
            starts = moved or starts
        yield SlotState(event.total_after, event.available_after, status, starts, tuple(holds.values()))


def asked_for(history: SlotHistory) -> dict[int, list[Attempt]]:
    """For each ledger row about the slot itself, the requests that can have caused it: an admin's change, an
    overbooking and its cancellation, which add seats and take them away, or a change of the schedule. For a carved
    slot also its creation, and what carves beside it."""
    changes = [attempt for attempt in history.attempts if attempt.name == "change_slot" and attempt.outcome != "fail"]
    overbookings = _Overbookings(history)
    return {
        event.sequence: [
            *(attempt for attempt in changes if event.kind in CHANGES and _can_be(event, attempt)),
            *(overbookings.asked_for(event) if event.kind == "RESIZED" else ()),
            *of_schedule(history, event),
            *of_carving(history, event),
        ]
        for event in history.events
        if event.kind in CHANGES or (history.carving is not None and event.kind == "CREATED")
    }


class _Overbookings:
    """The overbookings of a slot, and the cancellations: each changes its seats in the same transaction."""

    def __init__(self, history: SlotHistory) -> None:
        markers = {row.id: row.marker for row in history.rows}
        self._booked: dict[int, set[str]] = defaultdict(set)
        self._cancelled: dict[int, set[int | None]] = defaultdict(set)
        for event in history.events:
            if event.kind == "BOOKED" and event.booking_id in markers:
                self._booked[event.transaction].add(markers[event.booking_id])
            elif event.kind == "CANCELLED":
                self._cancelled[event.transaction].add(event.booking_id)
        self._by_marker: dict[str, list[Attempt]] = defaultdict(list)
        self._by_booking: dict[int | None, list[Attempt]] = defaultdict(list)
        for attempt in history.attempts:
            if attempt.outcome != "fail" and attempt.overbooks:
                self._by_marker[attempt.marker].append(attempt)
            elif attempt.outcome != "fail" and attempt.name in CANCELLING:
                self._by_booking[attempt.booking_id].append(attempt)

    def asked_for(self, resized: Event) -> Iterator[Attempt]:
        """The requests for what one transaction did together with a change of the seats."""
        if not resized.transaction:
            return
        for marker in self._booked.get(resized.transaction, ()):
            yield from self._by_marker.get(marker, ())
        for booking_id in self._cancelled.get(resized.transaction, ()):
            yield from self._by_booking.get(booking_id, ())


def _start_of(attempt: Attempt) -> float:
    return attempt.change.start or 0.0 if attempt.change else 0.0


def _can_be(event: Event, attempt: Attempt) -> bool:
    wanted = attempt.change
    begin, end = attempt.began_at - CLOCK_SECONDS, attempt.ended_at + CLOCK_SECONDS
    if wanted is None or event.at < begin or (attempt.outcome == "ok" and event.at > end):
        return False
    if event.kind == "RESIZED":
        return wanted.total == event.total_after
    if event.kind == "MOVED":
        return wanted.start is not None
    return wanted.status == STATUS_OF_KIND[event.kind]
