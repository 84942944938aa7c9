"""Holds, confirms and cancels keep the rules of visit types."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

from torture.history import Attempt
from torture.slot_history import SlotHistory
from torture.violation import CLOCK_SECONDS, Violation

# They may book and cancel in spite of the rules. A change of seats comes from a page that nobody has logged in to.
EXEMPT = {"desk", "staff"}
TOO_LATE = "too-late-to-book"
TOO_MANY = "booking-limit-reached"
BOUND = "too-late-to-change"
NOT_OFFERED = "visit-type-not-offered"
OF_VISITS = {TOO_LATE, TOO_MANY, BOUND, NOT_OFFERED}
# Their hours stop offering them during the load.
CHANGING = {"brief", "roomy"}


def find_early_visits(history: SlotHistory) -> Iterator[str]:
    """S13 visits: a patient never holds a visit whose notice has begun, and is told so only for such a visit. Only a
    visit whose hours change is not offered."""
    for attempt in history.attempts:
        if attempt.name not in {"hold", "change_seats"}:
            continue
        exempt = attempt.name == "hold" and attempt.caller in EXEMPT
        strict = attempt.visit == "strict" and not exempt
        if strict and attempt.outcome == "ok":
            yield f"attempt {attempt.number} was given a visit that needs a longer notice"
        if attempt.code == NOT_OFFERED and attempt.visit not in CHANGING:
            yield f"attempt {attempt.number} for {attempt.visit or 'no visit type'} was told that it is not offered"
        if attempt.code == TOO_LATE and not strict:
            yield f"attempt {attempt.number} for {attempt.visit or 'no visit type'} was told that it is too late"


def find_late_cancels(history: SlotHistory) -> Iterator[str]:
    """S13 deadline: after the deadline a confirmed visit is cancelled only if the desk has asked for it, and patients
    are refused only then."""
    confirmed = {event.booking_id: event.at for event in history.events if event.kind in {"CONFIRMED", "BOOKED"}}
    firm = {attempt.booking_id for attempt in history.attempts if attempt.visit == "firm"} & set(confirmed)
    by_desk: dict[int | None, float] = {}
    for attempt in history.attempts:
        if attempt.name == "cancel" and attempt.caller in EXEMPT and attempt.outcome != "fail":
            by_desk.setdefault(attempt.booking_id, attempt.began_at)
        booked = confirmed.get(attempt.booking_id, math.inf)
        bound = attempt.visit == "firm" and attempt.caller not in EXEMPT
        if attempt.code == BOUND and not (bound and booked <= attempt.ended_at + CLOCK_SECONDS):
            yield f"attempt {attempt.number} to {attempt.name} {attempt.booking_id} was told that it is too late"
    for event in history.events:
        early = event.at < by_desk.get(event.booking_id, math.inf) - CLOCK_SECONDS
        if event.kind == "CANCELLED" and event.booking_id in firm and early:
            yield f"event {event.sequence} cancels booking {event.booking_id}, which only the desk could cancel"


class _Period(NamedTuple):
    """By the wall clock, in seconds since 1970."""

    begin: float
    end: float

    def meets(self, other: "_Period", tolerance: float) -> bool:
        return max(self.begin, other.begin) < min(self.end, other.end) + tolerance


class _Stay(NamedTuple):
    """A visit that was asked for: when it was live for certain, if its client knows it, and when it can have been."""

    request: object
    booking_id: int | None
    sure: _Period | None
    possible: _Period


def find_broken_limits(attempts: Sequence[Attempt]) -> Iterator[Violation]:
    """S13 limit: a patient never has two live visits of a type that they may have once, in any slots, and is refused
    because of that only while they can have another one."""
    of_patient: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.patient is not None and attempt.visit == "single":
            of_patient[attempt.patient].append(attempt)
        elif attempt.code == TOO_MANY:
            yield Violation("S13 limit", attempt.slot_id, f"attempt {attempt.number} was told of a limit without one")
    for own in of_patient.values():
        yield from _broken_limit(own)


def _broken_limit(own: Sequence[Attempt]) -> Iterator[Violation]:
    stays = list(_stays(own))
    asked = _first_asked(own)
    for one, other in combinations(stays, 2):
        if one.sure and other.sure and one.sure.meets(other.sure, -CLOCK_SECONDS):
            told = f"bookings {one.booking_id} and {other.booking_id} of one patient were live at once"
            yield Violation("S13 limit", own[0].slot_id, told)
    for attempt in own:
        since = asked[attempt.request]
        if attempt.code == TOO_MANY and not any(_explains(stay, attempt, since) for stay in stays):
            told = f"attempt {attempt.number} to {attempt.name} was told of another visit, but there was none"
            yield Violation("S13 limit", attempt.slot_id, told)


def _first_asked(own: Sequence[Attempt]) -> dict[object, float]:
    """When each request was sent first."""
    asked: dict[object, float] = {}
    for attempt in own:
        asked[attempt.request] = min(attempt.began_at, asked.get(attempt.request, math.inf))
    return asked


def _explains(stay: _Stay, refused: Attempt, began: float) -> bool:
    """Whether the patient can have had this other visit. A refusal is kept for its key: it was asked for at `began`."""
    if stay.request == refused.request or stay.booking_id == (refused.booking_id or -1):
        return False
    return stay.possible.meets(_Period(began, refused.ended_at), CLOCK_SECONDS)


def _stays(own: Sequence[Attempt]) -> Iterator[_Stay]:
    requests: dict[object, list[Attempt]] = defaultdict(list)
    changed: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in own:
        if attempt.name == "hold" and attempt.outcome != "fail":
            requests[attempt.request].append(attempt)
        elif attempt.booking_id and attempt.outcome != "fail":
            changed[attempt.booking_id].append(attempt)
    for request, holds in requests.items():
        booked = [hold for hold in holds if hold.booked is not None]
        booking_id = booked[0].booked if booked else None
        changes = changed[booking_id] if booking_id else []
        cancels = [one for one in changes if one.name == "cancel"]
        deadline = _deadline(booked)
        confirmed = any(one.name == "confirm" for one in changes)
        over = [math.inf if confirmed else deadline, *(one.ended_at for one in cancels if one.outcome == "ok")]
        ended = [deadline, *(one.began_at for one in cancels)]
        sure = _Period(booked[0].ended_at, min(ended)) if booked else None
        yield _Stay(request, booking_id, sure, _Period(min(hold.began_at for hold in holds), min(over)))


def _deadline(booked: Sequence[Attempt]) -> float:
    """Of a hold, as its client was told it."""
    told = booked[0].answer.expires_at if booked and booked[0].answer else None
    return told.timestamp() if told else math.inf
