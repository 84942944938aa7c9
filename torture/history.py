"""What clients did and heard: the history that a verdict is made from, kept as JSON lines while it happens."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

Name: TypeAlias = Literal["hold", "confirm", "cancel", "read_booking"]
# ok: 2xx. fail: a refusal that guarantees that nothing was done. info: nobody knows yet (Jepsen's words).
Outcome: TypeAlias = Literal["ok", "fail", "info"]
# Why an attempt was made. All but the first two repeat a request, with its key, to learn what became of it or to try
# what must not work.
Purpose: TypeAlias = Literal["flow", "race", "retry", "resolve", "other_body", "other_caller"]

# The error of an answer whose body is not what was promised.
UNREADABLE = "Unreadable"
REPEATS: frozenset[Purpose] = frozenset({"retry", "resolve"})


class Answer(Struct, frozen=True, rename="camel"):
    """What the verdict needs of an answer's body: of a booking, or of a problem document."""

    id: int | None = None
    status: str | int | None = None
    available_seats: int | None = None
    code: str | None = None


class Attempt(Struct):
    """One request and what came of it. Times are seconds: `began` and `ended` on the harness's monotonic clock, for
    order among clients; the other two on the machine's wall clock, which the database stamps its ledger by."""

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

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def booked(self) -> int | None:
        """The booking that a hold was told to have made."""
        return self.answer.id if self.name == "hold" and self.outcome == "ok" and self.answer else None


class Line(Struct, omit_defaults=True):
    """One event of the history: `invoke`, or the outcome of what was invoked under that number."""

    type: Literal["invoke", "ok", "fail", "info"]
    attempt: Attempt


class History:
    """Every attempt, in memory for the verdict and in a file for people."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attempts: list[Attempt] = []
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
        if outcome == "ok" and attempt.name != "read_booking":
            self._effects.add((attempt.name, attempt.booked or attempt.booking_id))
        self._write(outcome, attempt)

    def _write(self, kind: Literal["invoke", "ok", "fail", "info"], attempt: Attempt) -> None:
        self._file.write(self._encoder.encode(Line(kind, attempt)) + b"\n")


def read_history(path: Path) -> Iterator[Attempt]:
    """The attempts of a kept history as they ended, or as they began where they never did."""
    decoder = msgspec.json.Decoder(Line)
    attempts: dict[int, Attempt] = {}
    with path.open("rb") as file:
        for line in file:
            attempt = decoder.decode(line).attempt
            attempts[attempt.number] = attempt
    yield from attempts.values()
