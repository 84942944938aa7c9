"""What clients did and heard: the history that a verdict is made from, kept as JSON lines while it happens."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

# What is asked for, whichever road it takes: an operation of the API or a form of the pages.
Name: TypeAlias = Literal[
    "hold", "confirm", "cancel", "release", "change_seats", "change_slot", "publish", "read_booking", "read_slots",
    "read_bookings", "look_around",
]  # fmt: skip
# ok: 2xx, or the redirect that follows a form. fail: a refusal that guarantees that nothing was done. info: nobody
# knows yet (Jepsen's words).
Outcome: TypeAlias = Literal["ok", "fail", "info"]
# Why an attempt was made. All but the first two repeat a request, with its key, to learn what became of it or to try
# what must not work.
Purpose: TypeAlias = Literal["flow", "race", "retry", "resolve", "other_body", "other_caller"]

# The error of an answer whose body is not what was promised.
UNREADABLE = "Unreadable"
REPEATS: frozenset[Purpose] = frozenset({"retry", "resolve"})
# What changes a slot or a booking; `MAKING` makes a booking too.
WRITES: frozenset[Name] = frozenset({"hold", "confirm", "cancel", "release", "change_seats", "change_slot"})
MAKING: frozenset[Name] = frozenset({"hold", "change_seats"})


class Answer(Struct, frozen=True, rename="camel"):
    """What the verdict needs of an answer's body: of a booking, of a slot, or of a problem document."""

    id: int | None = None
    slot_id: int | None = None
    status: str | int | None = None
    available_seats: int | None = None
    seats_taken: int | None = None
    code: str | None = None
    expires_at: datetime | None = None


class Change(Struct, frozen=True, omit_defaults=True):
    """What an admin wants of a slot; `start` in seconds since 1970."""

    total: int | None = None
    status: Literal["OPEN", "CLOSED"] | None = None
    start: float | None = None


class Attempt(Struct):
    """One request and what came of it. `road` is the operation or the form that it took; forms that were sent again
    have the same `click`. Times are seconds: `began`
    and `ended` on the harness's monotonic clock, for order among clients; the other two on the machine's wall clock,
    which the database stamps its ledger by."""

    number: int
    process: int
    name: Name
    slot_id: int
    caller: str
    marker: str
    seats: int = 1
    at_once: bool = False
    booking_id: int | None = None
    key: str | None = None
    click: str | None = None
    purpose: Purpose = "flow"
    epoch: int = 0
    began: float = 0.0
    began_at: float = 0.0
    ended: float = 0.0
    ended_at: float = 0.0
    outcome: Outcome | None = None
    http_status: int | None = None
    error: str | None = None
    answer: Answer | None = None
    body: str | None = None
    road: str = ""
    change: Change | None = None

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def booked(self) -> int | None:
        """The booking that it was told to have made."""
        return self.answer.id if self.name in MAKING and self.outcome == "ok" and self.answer else None

    @property
    def code(self) -> str | None:
        """Of a problem document."""
        return self.answer.code if self.answer else None

    @property
    def request(self) -> object:
        """What makes attempts the same request: a caller's key; without one, nothing."""
        return (self.caller, self.key) if self.key is not None else self.number

    @property
    def asks_again(self) -> object:
        """What attempts have in common that were made until an answer came: the key, or the click."""
        return self.request if self.click is None else (self.caller, self.click)

    @property
    def tells(self) -> bool:
        """Whether it tells what became of the key's own request."""
        return self.outcome in {"ok", "fail"} and self.purpose != "other_body"

    @property
    def nameless(self) -> bool:
        """Whether what it makes has no name yet: pages ask for one when a hold is confirmed."""
        return self.road in {"POST /hold", "POST /bookings/{booking_id}/seats"}


class SeenSlot(Struct, frozen=True):
    """A slot as a read showed it: `free` is None where a list of slots with `least` free seats did not have it."""

    slot_id: int
    attempt: int
    began_at: float
    ended_at: float
    free: int | None
    least: int = 1
    total: int | None = None
    status: str | None = None
    start: float | None = None


class SeenBookings(Struct, frozen=True):
    """A slot's bookings as a read showed them, by id; all between the two ids, both included, were to be shown."""

    slot_id: int
    attempt: int
    began_at: float
    ended_at: float
    statuses: dict[int, str]
    first: int = 1
    last: int = 0


Sighting: TypeAlias = SeenSlot | SeenBookings


class Line(Struct, omit_defaults=True):
    """One event of the history: `invoke`, or the outcome of what was invoked under that number."""

    type: Literal["invoke", "ok", "fail", "info"]
    attempt: Attempt


class History:
    """Every attempt, in memory for the verdict and in a file for people."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attempts: list[Attempt] = []
        self.sightings: list[Sighting] = []
        self._effects: set[tuple[Name, int | None]] = set()
        self.epoch = 0
        self._file = path.open("wb")
        self._encoder = msgspec.json.Encoder()

    @property
    def acknowledged(self) -> int:
        """Writes that were acknowledged, each once however often it was."""
        return len(self._effects)

    def close(self) -> None:
        self._file.close()

    def invoke(self, attempt: Attempt) -> None:
        attempt.epoch = self.epoch
        self.attempts.append(attempt)
        attempt.began, attempt.began_at = time.monotonic(), time.time()
        self._write("invoke", attempt)

    def complete(self, attempt: Attempt, outcome: Outcome) -> None:
        attempt.ended, attempt.ended_at = time.monotonic(), time.time()
        attempt.outcome = outcome
        if outcome == "ok" and attempt.name in WRITES:
            self._effects.add(effect_of(attempt))
        self._write(outcome, attempt)

    def _write(self, kind: Literal["invoke", "ok", "fail", "info"], attempt: Attempt) -> None:
        self._file.write(self._encoder.encode(Line(kind, attempt)) + b"\n")


def effect_of(attempt: Attempt) -> tuple[Name, int | None]:
    """By which two acknowledgements of one write are known to be one: each change of a slot is one of its own."""
    if attempt.name == "change_slot":
        return attempt.name, attempt.number
    return attempt.name, attempt.booked or attempt.booking_id


def read_history(path: Path) -> Iterator[Attempt]:
    """The attempts of a kept history as they ended, or as they began where they never did."""
    decoder = msgspec.json.Decoder(Line)
    attempts: dict[int, Attempt] = {}
    with path.open("rb") as file:
        for line in file:
            attempt = decoder.decode(line).attempt
            attempts[attempt.number] = attempt
    yield from attempts.values()
