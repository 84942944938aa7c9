"""One slot's history: its ledger, its bookings, and the requests and reads of its clients."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Protocol, TypeVar

from msgspec import Struct

from torture.history import MAKING, Attempt, Sighting
from torture.violation import CLOCK_SECONDS

TAKING = frozenset({"HELD", "BOOKED"})
RELEASING = frozenset({"EXPIRED", "CANCELLED"})


class Event(Struct, frozen=True):
    """A ledger row. `at` is the database's clock in seconds, read under the slot's lock. `transaction` is the id of the
    transaction that wrote it; 0 if unknown."""

    sequence: int
    kind: str
    booking_id: int | None
    seats: int
    available_after: int
    total_after: int
    at: float
    transaction: int = 0


class Row(Struct, frozen=True):
    """A booking at the end of the run. `marker` is its name, which identifies its attempt; empty for a hold that never
    got a name."""

    id: int
    seats: int
    status: str
    marker: str
    expires_at: float | None


class SlotHistory(Struct, frozen=True):
    slot_id: int
    events: Sequence[Event]
    rows: Sequence[Row]
    attempts: Sequence[Attempt]
    sightings: Sequence[Sighting] = ()
    # Changes of schedules, for a slot that a rule made, or of a doctor with open time.
    schedule: Sequence[Attempt] = ()
    # For a slot that was carved out of a window.
    carving: "Carving | None" = None


class Carving(Struct, frozen=True):
    """The period of a carved slot, in seconds since 1970, and all attempts about the open time of its doctor. With its
    buffer, the slot takes the doctor's time until `busy_until`."""

    begin: float
    end: float
    busy_until: float
    attempts: Sequence[Attempt]


def of_carving(history: SlotHistory, event: Event) -> list[Attempt]:
    """The attempts that can have created, closed or reopened a carved slot: a hold of just this time makes or reopens
    it, also if it is then refused or replayed. A hold of an overlapping time, or a change of the schedule or of a
    published slot, closes it if it is empty."""
    carving = history.carving
    if carving is None or event.kind not in {"CREATED", "CLOSED", "REOPENED"}:
        return []
    return [one for one in carving.attempts if _can_carve(one, carving, event.kind) and _was_asked_at(one, event.at)]


def _can_carve(attempt: Attempt, carving: Carving, kind: str) -> bool:
    if attempt.offer is None:
        return kind == "CLOSED" and attempt.name in {"apply_schedule", "publish", "change_slot"}
    if kind == "CLOSED":
        return attempt.offer.begin < carving.busy_until and carving.begin < attempt.offer.busy_until
    return (attempt.offer.begin, attempt.offer.end) == (carving.begin, carving.end)


def _was_asked_at(attempt: Attempt, at: float) -> bool:
    told = attempt.outcome in {"ok", "fail"}
    return attempt.began_at - CLOCK_SECONDS <= at and (not told or at <= attempt.ended_at + CLOCK_SECONDS)


def of_schedule(history: SlotHistory, event: Event) -> list[Attempt]:
    """The changes of schedules that can have caused a ledger row. They close, reopen and resize slots, cancel
    bookings, and give slots to a colleague."""
    if event.kind not in {"CLOSED", "REOPENED", "RESIZED", "CANCELLED", "MOVED"}:
        return []
    began = [one for one in history.schedule if one.outcome != "fail" and one.began_at - CLOCK_SECONDS <= event.at]
    return [one for one in began if one.outcome != "ok" or event.at <= one.ended_at + CLOCK_SECONDS]


class Span(Struct):
    """When an effect can have happened, by the clients' clocks: after `began` and, if acknowledged, before `ended`,
    which is `ended_at` by the wall clock. `names` are the kinds of attempts that can have caused it."""

    began: float
    ended: float
    ended_at: float
    names: set[str]


def told_deadlines(history: SlotHistory) -> dict[int, float]:
    """For each hold, the first deadline that its client was told."""
    told: dict[int, float] = {}
    for attempt in history.attempts:
        answer = attempt.answer
        if attempt.outcome == "ok" and answer and answer.id is not None and answer.expires_at is not None:
            told.setdefault(answer.id, answer.expires_at.timestamp())
    return told


def deadlines_of(history: SlotHistory) -> dict[int, float | None]:
    """The deadlines that clients were told; for other holds, the deadlines in the tables."""
    return {row.id: row.expires_at for row in history.rows} | told_deadlines(history)


class FreeSeats:
    """The number of free seats over time. A hold takes its seats until its deadline, swept or not."""

    def __init__(self, history: SlotHistory) -> None:
        changes = sorted(_changes(history), key=lambda change: change[0])
        self._times = [at for at, _ in changes]
        self._free = list(accumulate(seats for _, seats in changes))

    def within(self, begin: float, end: float) -> set[int]:
        """All numbers of free seats during the interval."""
        first = max(0, bisect_left(self._times, begin) - 1)
        return set(self._free[first : bisect_right(self._times, end)])


def _changes(history: SlotHistory) -> Iterator[tuple[float, int]]:
    deadlines = deadlines_of(history)
    released = {event.booking_id: event for event in history.events if event.kind in RELEASING}
    kept = {event.booking_id for event in history.events if event.kind == "CONFIRMED"}
    total = 0
    for event in history.events:
        if event.total_after != total:
            yield event.at, event.total_after - total
            total = event.total_after
        if event.kind not in TAKING or event.booking_id is None:
            continue
        yield event.at, -event.seats
        end = released.get(event.booking_id)
        deadline = deadlines.get(event.booking_id)
        if end is not None and end.kind == "CANCELLED":
            yield end.at, event.seats
        elif deadline is not None and event.booking_id not in kept:
            yield deadline, event.seats


def spans(history: SlotHistory) -> dict[tuple[str, int], Span]:
    """For every requested effect, by kind and booking, when it can have happened."""
    made = _Made(history)
    found: dict[tuple[str, int], Span] = {}
    for attempt in history.attempts:
        for effect in _effects(attempt, made):
            span = found.setdefault(effect, Span(attempt.began, float("inf"), float("inf"), set()))
            span.began = min(span.began, attempt.began)
            span.names.add(attempt.name)
            if attempt.outcome == "ok":
                span.ended = min(span.ended, attempt.ended)
                span.ended_at = min(span.ended_at, attempt.ended_at)
    return found


class _Made:
    """The bookings that an attempt to hold may have made."""

    def __init__(self, history: SlotHistory) -> None:
        self._told = {attempt.asks_again: attempt.booked for attempt in history.attempts if attempt.booked}
        self._of_marker: dict[str, list[int]] = defaultdict(list)
        for row in history.rows:
            self._of_marker[row.marker].append(row.id)
        self._unnamed = list(unnamed_and_untold(history))

    def by(self, attempt: Attempt) -> list[int]:
        """The booking in its answer, or in the answer to another attempt with its key. Otherwise all bookings with its
        name, because several callers use a name when one tries another's key; and bookings without a name that no
        client knows."""
        told = attempt.booked or self._told.get(attempt.asks_again)
        known = [told] if told else self._of_marker.get(attempt.marker, ())
        return [*known, *(unnamed.id for unnamed in self._unnamed if unnamed.can_be_of(attempt))]


class Unnamed(Struct, frozen=True):
    """A hold of the pages without a name that no client knows: its answer was lost, or it expired before an answer
    came and the page held the time again."""

    id: int
    seats: int
    held_at: float
    expires_at: float

    def can_be_of(self, attempt: Attempt) -> bool:
        if not attempt.nameless or attempt.seats != self.seats or attempt.began_at - CLOCK_SECONDS > self.held_at:
            return False
        return attempt.outcome in {"info", None} or attempt.ended_at + CLOCK_SECONDS > self.expires_at


def unnamed_and_untold(history: SlotHistory) -> Iterator[Unnamed]:
    known = {attempt.booked for attempt in history.attempts}
    held_at = {event.booking_id: event.at for event in history.events if event.kind == "HELD"}
    for row in history.rows:
        if not row.marker and row.id not in known:
            yield Unnamed(row.id, row.seats, held_at.get(row.id, 0.0), row.expires_at or 0.0)


def _effects(attempt: Attempt, made: _Made) -> Iterator[tuple[str, int]]:
    if attempt.outcome == "fail":
        return
    if attempt.name in MAKING:
        yield from (("made", booking_id) for booking_id in made.by(attempt))
    if attempt.booking_id is None:
        return
    if attempt.name == "confirm":
        yield "confirm", attempt.booking_id
    elif attempt.name in CANCELLING:
        yield "cancel", attempt.booking_id


# Requests that release a booking's seats.
CANCELLING = frozenset({"cancel", "release", "change_seats"})
EFFECT_OF_KIND = {"HELD": "made", "BOOKED": "made", "CONFIRMED": "confirm", "CANCELLED": "cancel"}


class OfASlot(Protocol):
    @property
    def slot_id(self) -> int: ...


Item = TypeVar("Item", bound=OfASlot)


def by_slot(items: Iterable[Item]) -> dict[int, list[Item]]:
    grouped: dict[int, list[Item]] = {}
    for item in items:
        grouped.setdefault(item.slot_id, []).append(item)
    return grouped
