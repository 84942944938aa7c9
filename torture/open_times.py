"""What doctors with open time had over the run, from the tables: windows, closures, visits and published slots.

Times are in seconds since 1970. A change is visible when its transaction commits, which is after the time in its row
and, if its client was told, before the client's answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from msgspec import Struct

from torture.history import Attempt, Offer
from torture.slot_history import Carving
from torture.violation import CLOCK_SECONDS

NEVER = float("inf")


class Window(Struct, frozen=True):
    doctor_id: int
    begin: float
    end: float
    added_at: float
    closed_at: float | None

    def contains(self, doctor_id: int, begin: float, end: float) -> bool:
        return self.doctor_id == doctor_id and self.begin <= begin and end <= self.end


class ClosedTime(Struct, frozen=True):
    """A closure, of a doctor or of all."""

    doctor_id: int | None
    begin: float
    end: float
    added_at: float
    removed_at: float | None

    def touches(self, doctor_id: int, begin: float, end: float) -> bool:
        return self.doctor_id in {None, doctor_id} and self.begin < end and begin < self.end


class Visit(Struct, frozen=True):
    """A booking. It is live from `taken_at` until it was released, or until its deadline if nobody confirmed it."""

    booking_id: int
    slot_id: int
    doctor_id: int
    begin: float
    end: float
    buffer: float
    is_carved: bool
    taken_at: float
    released_at: float | None
    deadline: float | None

    @property
    def busy_until(self) -> float:
        return self.end + self.buffer

    @property
    def until(self) -> float:
        return min(NEVER if at is None else at for at in (self.released_at, self.deadline))


class PublishedStep(Struct, frozen=True):
    """A row of the ledger of a published slot: it was created, closed or reopened."""

    slot_id: int
    doctor_id: int
    begin: float
    end: float
    kind: str
    at: float


class Published(Struct, frozen=True):
    """A period in which a published slot was open."""

    slot_id: int
    doctor_id: int
    begin: float
    end: float
    opened_at: float
    closed_at: float


class OpenTimes(Struct, frozen=True):
    windows: Sequence[Window] = ()
    closures: Sequence[ClosedTime] = ()
    visits: Sequence[Visit] = ()
    published: Sequence[Published] = ()


class CarvedSlot(Struct, frozen=True):
    """A slot of a doctor with open time; `is_carved` unless it was published."""

    id: int
    doctor_id: int
    begin: float
    end: float
    busy_until: float
    is_carved: bool

    def carving(self, attempts: Sequence[Attempt]) -> Carving | None:
        """`attempts` are those about its doctor."""
        return Carving(self.begin, self.end, self.busy_until, attempts) if self.is_carved else None


def published_periods(steps: Iterable[PublishedStep]) -> Iterator[Published]:
    """The steps are in the order of the slots' ledgers."""
    opened: dict[int, PublishedStep] = {}
    for step in steps:
        if step.kind != "CLOSED":
            opened.setdefault(step.slot_id, step)
        elif begun := opened.pop(step.slot_id, None):
            yield _period(begun, step.at)
    for begun in opened.values():
        yield _period(begun, NEVER)


def _period(begun: PublishedStep, closed_at: float) -> Published:
    return Published(begun.slot_id, begun.doctor_id, begun.begin, begun.end, begun.at, closed_at)


class Changes:
    """The changes of doctors' schedules and slots that clients asked for."""

    def __init__(self, attempts: Iterable[Attempt]) -> None:
        self._of_doctor: dict[int, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            if attempt.doctor is not None and attempt.outcome != "fail":
                self._of_doctor[attempt.doctor].append(attempt)

    def visible_by(self, doctor_id: int, at: float) -> float:
        """When readers must see what was written at that time: as soon as the client of the change has the answer. If
        nobody knows who changed it, at once; if its client got no answer, never."""
        asked = [one for one in self._of_doctor[doctor_id] if _can_have_written(one, at)]
        return max((one.ended_at if one.outcome == "ok" else NEVER for one in asked), default=at)


def _can_have_written(change: Attempt, at: float) -> bool:
    return change.began_at - CLOCK_SECONDS <= at and (change.outcome != "ok" or at <= change.ended_at + CLOCK_SECONDS)


def place_carving(attempts: Iterable[Attempt], slots_of_markers: dict[str, int]) -> None:
    """Tell holds in open time whose outcome is unknown the slot that they were given, if any: by another answer to
    their key, or by the booking with their name."""
    carving = [attempt for attempt in attempts if attempt.is_carving]
    told = {attempt.request: attempt.slot_id for attempt in carving if attempt.slot_id}
    for attempt in carving:
        if not attempt.slot_id and attempt.outcome in {"info", None}:
            attempt.slot_id = told.get(attempt.request) or slots_of_markers.get(attempt.marker, 0)


def in_the_way(offer: Offer, doctor_id: int, begin: float, busy_until: float) -> bool:
    """Whether something that takes this doctor's time leaves no room for what was offered, buffers included."""
    return offer.doctor_id == doctor_id and begin < offer.busy_until and offer.begin < busy_until
