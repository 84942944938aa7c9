"""Every refusal was true at some instant between request and answer (S13)."""

from collections.abc import Iterable, Iterator

from torture.history import Attempt
from torture.page_client import STAYS
from torture.rules.visits import OF_VISITS
from torture.slot_history import FreeSeats, SlotHistory, deadlines_of
from torture.slot_states import SlotStates
from torture.violation import CLOCK_SECONDS

# Another reason to refuse a hold, besides "sold out" and "closed".
REUSED = ("idempotency-key-reused", "other_body")
# The refusals of requests for an expired hold.
RAN_OUT = {("confirm", "hold-expired"), ("cancel", "booking-failed"), ("change_seats", "hold-expired")}
ENDED = {"hold-expired", "booking-cancelled"}
# The slot's page lists the affected bookings and asks for confirmation, so nothing was refused.
ASKED_FIRST = "asked-first"


def find_untrue_refusals(history: SlotHistory) -> Iterator[str]:
    """S13: "sold out" names the free seats: there were so many at some instant, and they were too few. For a change of
    seats, the seats of the old hold count as free."""
    free = FreeSeats(history)
    states = SlotStates(history)
    first_asked = _first_asked(history.attempts)
    for attempt in history.attempts:
        if not _is_refused_hold(attempt):
            continue
        begin = first_asked.get(attempt.asks_again, attempt.began_at) - CLOCK_SECONDS
        end = attempt.ended_at + CLOCK_SECONDS
        told = attempt.answer.available_seats if attempt.answer and attempt.code == "slot-full" else None
        possible = free.within(begin, end)
        if attempt.name == "change_seats":
            possible |= {seats + _own_seats(history, attempt) for seats in possible}
        if attempt.code == "slot-closed" and any(state.status == "CLOSED" for state in states.within(begin, end)):
            continue
        if told is None:
            heading = f" ({attempt.answer.heading!r})" if attempt.answer and attempt.answer.heading else ""
            got = f"{attempt.http_status} {attempt.code}{heading}"
            yield f"attempt {attempt.number} to {attempt.name} got {got} without reason"
        elif told not in possible or told >= attempt.seats:
            yield f"attempt {attempt.number} for {attempt.seats} was told {told} are free, but {sorted(possible)} were"


def _is_refused_hold(attempt: Attempt) -> bool:
    if attempt.outcome != "fail" or attempt.name not in {"hold", "change_seats"} or _is_of_booking(attempt):
        return False
    # Refusals because of a visit type's rules are judged by `visits.py`.
    return (attempt.code, attempt.purpose) != REUSED and attempt.code not in OF_VISITS


def _own_seats(history: SlotHistory, attempt: Attempt) -> int:
    return next((row.seats for row in history.rows if row.id == attempt.booking_id), 0)


def find_untrue_ends(history: SlotHistory) -> Iterator[str]:
    """S13: a client that is refused because it is too late to confirm or cancel was too late, by the deadline that it
    was told. A client that is refused because its booking was confirmed is refused only after that."""
    deadlines = deadlines_of(history)
    cancelled = {event.booking_id: event.at for event in history.events if event.kind == "CANCELLED"}
    confirmed = {event.booking_id: event.at for event in history.events if event.kind in {"CONFIRMED", "BOOKED"}}
    for attempt in history.attempts:
        if attempt.outcome != "fail" or not _is_of_booking(attempt) or attempt.code in OF_VISITS:
            continue
        over: float | None = None
        if (attempt.name, attempt.code) in RAN_OUT and attempt.booking_id not in confirmed:
            over = deadlines.get(attempt.booking_id or 0)
        elif attempt.code == "booking-cancelled" and attempt.name in {"confirm", "change_seats"}:
            over = cancelled.get(attempt.booking_id)
        elif attempt.code == STAYS:
            over = confirmed.get(attempt.booking_id)
        if over is None or over > attempt.ended_at + CLOCK_SECONDS:
            told = f"{attempt.http_status} {attempt.code}"
            yield f"attempt {attempt.number} to {attempt.name} {attempt.booking_id} got {told}, which was not true"


def _is_of_booking(attempt: Attempt) -> bool:
    """Whether the refusal is about the booking. Refusals of a change of seats are about the slot, unless its hold has
    ended: then the page says only that."""
    return attempt.name in {"confirm", "cancel", "release"} or attempt.code in {STAYS, *ENDED}


def find_untrue_limits(history: SlotHistory) -> Iterator[str]:
    """S13: a change of a slot is refused only if it wants fewer seats than are taken, and the answer says how many."""
    states = SlotStates(history)
    for attempt in history.attempts:
        if attempt.name != "change_slot" or attempt.outcome != "fail" or attempt.code == ASKED_FIRST:
            continue
        begin, end = attempt.began_at - CLOCK_SECONDS, attempt.ended_at + CLOCK_SECONDS
        taken = {state.total - free for state in states.within(begin, end) for free in state.free(begin, end)}
        told = attempt.answer.seats_taken if attempt.answer and attempt.code == "seats-taken" else None
        wanted = attempt.change.total if attempt.change else None
        if told is None or wanted is None or told <= wanted or told not in taken:
            yield f"attempt {attempt.number} for {attempt.change} got {attempt.http_status} {attempt.code} {told or ''}"


def _first_asked(attempts: Iterable[Attempt]) -> dict[object, float]:
    """When each key or click was first sent. A refusal is kept for its key, so it was true at its first answer."""
    first: dict[object, float] = {}
    for attempt in attempts:
        if attempt.key is not None or attempt.click is not None:
            first.setdefault(attempt.asks_again, attempt.began_at)
    return first
