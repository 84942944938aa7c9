"""What doctors with open time had over the run, from the tables: windows, closures, visits and published slots.

Times are in seconds since 1970. A change is visible when its transaction commits, which is after the time in its row
and, if its client was told, before the client's answer.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

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


class CarvedBooking(Struct, frozen=True):
    """A booking of a carved slot. `marker` is its name; empty for a hold that never got a name."""

    id: int
    slot_id: int
    marker: str


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


def place_carving(
    attempts: Sequence[Attempt], bookings: Iterable[CarvedBooking], slots: Mapping[int, CarvedSlot]
) -> None:
    """Tell attempts about open time their slots. Answers of forms do not tell them, but name a booking. A hold whose
    outcome is unknown has the slot of another answer to its key or click, or of the booking with its name; without a
    name, that of its time. Others have no slot."""
    of_bookings: dict[int | None, int] = {}
    of_markers: dict[str, int] = {}
    for booking in bookings:
        of_bookings[booking.id] = of_markers[booking.marker] = booking.slot_id
    of_markers.pop("", None)
    nowhere = [attempt for attempt in attempts if not attempt.slot_id]
    for attempt in nowhere:
        attempt.slot_id = of_bookings.get(attempt.booked or attempt.booking_id, 0)
    told = {attempt.asks_again: attempt.slot_id for attempt in attempts if attempt.is_carving and attempt.slot_id}
    of_times = {(slot.doctor_id, slot.begin, slot.end): slot.id for slot in slots.values() if slot.is_carved}
    for attempt in nowhere:
        offer = attempt.offer
        if offer is not None and not attempt.slot_id and attempt.is_carving and attempt.outcome in {"info", None}:
            of_time = of_times.get((offer.doctor_id, offer.begin, offer.end), 0) if attempt.nameless else 0
            attempt.slot_id = told.get(attempt.asks_again) or of_markers.get(attempt.marker, of_time)


def in_the_way(offer: Offer, doctor_id: int, begin: float, busy_until: float) -> bool:
    """Whether something that takes this doctor's time leaves no room for what was offered, buffers included."""
    return offer.doctor_id == doctor_id and begin < offer.busy_until and offer.begin < busy_until
