"""The history: all requests of the clients and their answers. The verdict uses it, and a file has it as JSON lines."""

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

# What a request wants, whether by an operation of the API or by a form of the pages.
Name: TypeAlias = Literal[
    "hold", "confirm", "cancel", "release", "change_seats", "change_slot", "publish", "read_booking", "read_slots",
    "read_bookings", "look_around", "apply_schedule",
]  # fmt: skip
# Jepsen's words. ok: 2xx, or the redirect after a form. fail: a refusal, so nothing was done. info: not known yet.
Outcome: TypeAlias = Literal["ok", "fail", "info"]
# Why an attempt was made. All except the first two repeat a request with its key, to learn its outcome or to try
# something that must be refused.
Purpose: TypeAlias = Literal["flow", "race", "retry", "resolve", "other_body", "other_caller"]

# Which visit type a hold asks for: one without rules; one that patients cannot book, because of its notice; one that a
# patient may have once; one that patients cannot cancel once it is confirmed, because of its deadline; two of the same
# hours, whose length and buffer change during the load; three of open time, of different lengths; and two of open time
# that only the desk can book, because of their notice and their horizon.
Visit: TypeAlias = Literal[
    "lenient", "strict", "single", "firm", "brief", "roomy", "quick", "usual", "thorough", "planned", "prompt",
]  # fmt: skip

# The error of an answer whose body does not have the documented form.
UNREADABLE = "Unreadable"
REPEATS: frozenset[Purpose] = frozenset({"retry", "resolve"})
# Requests that change a slot or a booking. Those in `MAKING` also create a booking.
WRITES: frozenset[Name] = frozenset({"hold", "confirm", "cancel", "release", "change_seats", "change_slot"})
MAKING: frozenset[Name] = frozenset({"hold", "change_seats"})


class Answer(Struct, frozen=True, rename="camel"):
    """The fields that the verdict needs from an answer's body: a booking, a slot or a problem document.

    `heading` is that of a page that refuses with words that the torture does not know.
    """

    id: int | None = None
    slot_id: int | None = None
    status: str | int | None = None
    available_seats: int | None = None
    seats_taken: int | None = None
    code: str | None = None
    expires_at: datetime | None = None
    heading: str | None = None


class Change(Struct, frozen=True, omit_defaults=True):
    """An admin's change of a slot; `start` in seconds since 1970."""

    total: int | None = None
    status: Literal["OPEN", "CLOSED"] | None = None
    start: float | None = None


class Offer(Struct, frozen=True):
    """A time as `list_times` or the page of free times offered it. It begins and ends at these moments, in seconds
    since 1970, and then takes `buffer` seconds of the doctor. `offered_at` is when the list was asked for. Without
    `slot_id` it is in open time. `barred` is the code by which patients are refused if only the desk can book it, and
    `to_desk` whether it was offered to the desk.
    """

    time_id: str
    doctor_id: int
    begin: float
    end: float
    buffer: float
    offered_at: float
    slot_id: int | None = None
    barred: str | None = None
    to_desk: bool = False

    @property
    def busy_until(self) -> float:
        return self.end + self.buffer


class Attempt(Struct):
    """One request and its outcome. `road` is its operation or form; forms that were sent again have the same `click`.

    Times are in seconds. `began` and `ended` are from the harness's monotonic clock, for the order among clients. The
    other two are from the machine's wall clock, from which the ledger's timestamps come.
    """

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
    visit: Visit | None = None
    # Whose visit it is, if one patient asks for several: an account, or else an e-mail address. Otherwise each request
    # is of a patient of its own.
    patient: str | None = None
    # The desk cancels it because the patient asked for that.
    asked: bool = False
    # What a hold asks for if it gives a `timeId`. In open time, its slot is known from the answer on.
    offer: Offer | None = None
    # The doctor with open time that a change of the schedule or of a slot concerns.
    doctor: int | None = None

    @property
    def of_doctor(self) -> int | None:
        """The doctor whose open time it is about, if it is about any."""
        return self.offer.doctor_id if self.offer else self.doctor

    @property
    def is_carving(self) -> bool:
        return self.offer is not None and self.offer.slot_id is None

    @property
    def email(self) -> str:
        """An account gives another address each time, so that only the account tells whose visit it is."""
        of_account = self.patient == self.caller
        return f"{self.marker if of_account else self.patient or self.marker}@torture.example"

    @property
    def seconds(self) -> float:
        return self.ended - self.began

    @property
    def booked(self) -> int | None:
        """The booking that it made, according to the answer."""
        return self.answer.id if self.name in MAKING and self.outcome == "ok" and self.answer else None

    @property
    def code(self) -> str | None:
        """The code of a problem document."""
        return self.answer.code if self.answer else None

    @property
    def request(self) -> object:
        """Attempts with the same value are the same request: they have the same caller and key."""
        return (self.caller, self.key) if self.key is not None else self.number

    @property
    def asks_again(self) -> object:
        """Attempts with the same value repeat each other: they have the same key or the same click."""
        return self.request if self.click is None else (self.caller, self.click)

    @property
    def tells(self) -> bool:
        """Whether its answer shows the outcome of the request that has this key."""
        return self.outcome in {"ok", "fail"} and self.purpose != "other_body"

    @property
    def overbooks(self) -> bool:
        """Whether the seats that the slot lacks are added for it."""
        return self.road in {"overbook_seats", "POST /admin/slots/{slot_id}/overbook"}

    @property
    def nameless(self) -> bool:
        """Whether its booking has no name yet: the pages ask for a name when a hold is confirmed."""
        return self.road in {"POST /hold", "POST /bookings/{booking_id}/seats"}


class SeenSlot(Struct, frozen=True):
    """A slot as a read showed it. `free` is None if a list of slots with `least` free seats did not contain it."""

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
    """A slot's bookings by id as a read showed them. It should have shown all ids from `first` to `last`."""

    slot_id: int
    attempt: int
    began_at: float
    ended_at: float
    statuses: dict[int, str]
    first: int = 1
    last: int = 0


Sighting: TypeAlias = SeenSlot | SeenBookings


class Line(Struct, omit_defaults=True):
    """One event of the history: `invoke`, or the outcome of the attempt with the same number."""

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
        """The number of acknowledged writes. A write that was acknowledged several times counts once."""
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
    """The same for all acknowledgements of one write. Each change of a slot is a write of its own."""
    if attempt.name == "change_slot":
        return attempt.name, attempt.number
    return attempt.name, attempt.booked or attempt.booking_id


def read_history(path: Path) -> Iterator[Attempt]:
    """The attempts of a kept history: as they ended, or as they began if they never ended."""
    decoder = msgspec.json.Decoder(Line)
    attempts: dict[int, Attempt] = {}
    with path.open("rb") as file:
        for line in file:
            attempt = decoder.decode(line).attempt
            attempts[attempt.number] = attempt
    yield from attempts.values()
