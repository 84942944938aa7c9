"""One slot's story, as the ledger tells it and as its clients heard it."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

from msgspec import Struct

from torture.history import Attempt

TAKING = frozenset({"HELD", "BOOKED"})
RELEASING = frozenset({"EXPIRED", "CANCELLED"})


class Event(Struct, frozen=True):
    """A ledger row. `at` is in seconds of the database's clock, read under the slot's lock."""

    sequence: int
    kind: str
    booking_id: int | None
    seats: int
    available_after: int
    total_after: int
    at: float


class Row(Struct, frozen=True):
    """A booking as it is in the end. `marker` is the name it was made under, by which its attempt is known."""

    id: int
    seats: int
    status: str
    marker: str
    expires_at: float | None


class Story(Struct, frozen=True):
    slot_id: int
    events: Sequence[Event]
    rows: Sequence[Row]
    attempts: Sequence[Attempt]


class Span(Struct):
    """When an effect can have happened, by its clients' clocks: after `began` and, if acknowledged, before `ended`."""

    began: float
    ended: float


class FreeSeats:
    """How many seats were free when: a hold takes its seats until its deadline, though nobody sweeps."""

    def __init__(self, story: Story) -> None:
        changes = sorted(_changes(story), key=lambda change: change[0])
        self._times = [at for at, _ in changes]
        self._free = list(accumulate(seats for _, seats in changes))

    def within(self, begin: float, end: float) -> set[int]:
        """Every number of free seats there was at some instant of the interval."""
        first = max(0, bisect_left(self._times, begin) - 1)
        return set(self._free[first : bisect_right(self._times, end)])


def _changes(story: Story) -> Iterator[tuple[float, int]]:
    deadlines = {row.id: row.expires_at for row in story.rows}
    released = {event.booking_id: event for event in story.events if event.kind in RELEASING}
    kept = {event.booking_id for event in story.events if event.kind == "CONFIRMED"}
    total = 0
    for event in story.events:
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


def spans(story: Story) -> dict[tuple[str, int], Span]:
    """For every effect that somebody asked for, by its kind and booking, when it can have happened."""
    made = _Made(story)
    found: dict[tuple[str, int], Span] = {}
    for attempt in story.attempts:
        for effect in _effects(attempt, made):
            span = found.setdefault(effect, Span(attempt.began, float("inf")))
            span.began = min(span.began, attempt.began)
            if attempt.outcome == "ok":
                span.ended = min(span.ended, attempt.ended)
    return found


class _Made:
    """Which bookings an attempt to hold may have made."""

    def __init__(self, story: Story) -> None:
        self._told = {(attempt.caller, attempt.key): attempt.booked for attempt in story.attempts if attempt.booked}
        self._of_marker: dict[str, list[int]] = defaultdict(list)
        for row in story.rows:
            self._of_marker[row.marker].append(row.id)

    def by(self, attempt: Attempt) -> list[int]:
        """What it was told, or another attempt with its key; else every booking of its name, for a name is used by
        several callers where one tries another's key."""
        told = attempt.booked
        if told is None and attempt.key is not None:
            told = self._told.get((attempt.caller, attempt.key))
        return [told] if told else self._of_marker.get(attempt.marker, [])


def _effects(attempt: Attempt, made: _Made) -> Iterator[tuple[str, int]]:
    if attempt.outcome == "fail":
        return
    if attempt.name == "hold":
        yield from (("made", booking_id) for booking_id in made.by(attempt))
    elif attempt.name in {"confirm", "cancel"} and attempt.booking_id is not None:
        yield attempt.name, attempt.booking_id


EFFECT_OF_KIND = {"HELD": "made", "BOOKED": "made", "CONFIRMED": "confirm", "CANCELLED": "cancel"}


def by_slot(attempts: Iterable[Attempt]) -> dict[int, list[Attempt]]:
    grouped: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        grouped.setdefault(attempt.slot_id, []).append(attempt)
    return grouped
