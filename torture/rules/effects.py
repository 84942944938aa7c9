"""Acknowledged effects exist (S3), no effect exists without a request (S4), and changes of seats are whole (S12)."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from torture.history import MAKING, WRITES, Attempt
from torture.slot_history import EFFECT_OF_KIND, Event, Row, SlotHistory, of_schedule, spans, unnamed_and_untold
from torture.slot_states import SlotState, SlotStates, asked_for
from torture.violation import CLOCK_SECONDS

AFTER = {
    "hold": frozenset({"PENDING", "CONFIRMED", "FAILED", "CANCELLED"}),
    "confirm": frozenset({"CONFIRMED", "CANCELLED"}),
    "cancel": frozenset({"CANCELLED"}),
    "release": frozenset({"CANCELLED", "FAILED"}),
    "change_seats": frozenset({"CANCELLED", "FAILED"}),
}


def find_lost(history: SlotHistory) -> Iterator[str]:
    """S3: every acknowledged booking exists, in a state that can be reached from the acknowledged one."""
    rows = {row.id: row for row in history.rows}
    confirmed = {event.booking_id for event in history.events if event.kind in {"CONFIRMED", "BOOKED"}}
    for attempt in history.attempts:
        if attempt.outcome != "ok" or attempt.name not in WRITES or attempt.name == "change_slot":
            continue
        if attempt.name in MAKING:
            yield from _lost_booking(attempt, rows, confirmed)
        if attempt.name != "hold":
            yield from _lost_change(attempt, rows, confirmed)


def _lost_booking(attempt: Attempt, rows: dict[int, Row], confirmed: set[int | None]) -> Iterator[str]:
    row = rows.get(attempt.booked or 0)
    if row is None:
        yield f"booking {attempt.booked}, acknowledged to attempt {attempt.number}, is missing"
    elif attempt.at_once and row.status not in AFTER["confirm"]:
        yield f"attempt {attempt.number} to book was acknowledged, but booking {row.id} is {row.status}"
    elif attempt.at_once and row.id not in confirmed:
        yield f"booking {row.id} was never confirmed, but attempt {attempt.number} was acknowledged"
    elif row.seats != attempt.seats or (row.marker != attempt.marker and not (attempt.nameless and not row.marker)):
        yield f"attempt {attempt.number} got booking {row.id}, which belongs to another request"


def _lost_change(attempt: Attempt, rows: dict[int, Row], confirmed: set[int | None]) -> Iterator[str]:
    row = rows.get(attempt.booking_id or 0)
    if row is None:
        yield f"booking {attempt.booking_id}, acknowledged to attempt {attempt.number}, is missing"
    elif row.status not in AFTER[attempt.name]:
        yield f"attempt {attempt.number} to {attempt.name} was acknowledged, but booking {row.id} is {row.status}"
    elif attempt.name == "confirm" and row.id not in confirmed:
        yield f"booking {row.id} was never confirmed, but attempt {attempt.number} was acknowledged"


def find_lost_changes(history: SlotHistory) -> Iterator[str]:
    """S3: every acknowledged change of the slot is in its ledger."""
    states = SlotStates(history)
    for attempt in history.attempts:
        if attempt.name != "change_slot" or attempt.outcome != "ok":
            continue
        met = states.within(attempt.began_at - CLOCK_SECONDS, attempt.ended_at + CLOCK_SECONDS)
        if not any(_is_as_wanted(state, attempt) for state in met):
            yield f"attempt {attempt.number} was acknowledged, but the ledger does not have {attempt.change}"


def _is_as_wanted(state: SlotState, attempt: Attempt) -> bool:
    change = attempt.change
    return (
        change is not None
        and change.total in {None, state.total}
        and change.status in {None, state.status}
        and (change.start is None or state.starts is None or change.start in state.starts)
    )


def find_unasked(history: SlotHistory) -> Iterator[str]:
    """S4: no effect exists without a request, and none whose request was refused."""
    made: dict[str, list[Row]] = defaultdict(list)
    for row in history.rows:
        made[row.marker].append(row)
    made.pop("", None)
    yield from _unasked_names(history)
    asked = _asked(history.attempts)
    for marker, rows in made.items():
        if len(rows) > asked.get(marker, 0):
            yield f"{marker} has {len(rows)} bookings for {asked.get(marker, 0)} requests: {[row.id for row in rows]}"
    known = spans(history)
    changes = asked_for(history)
    for event in history.events:
        effect = EFFECT_OF_KIND.get(event.kind)
        asked_by_schedule = bool(of_schedule(history, event))
        if effect in {"confirm", "cancel"} and (effect, event.booking_id) not in known and not asked_by_schedule:
            yield f"event {event.sequence}, {event.kind} of booking {event.booking_id}, has no request"
        if not changes.get(event.sequence, (event,)):
            yield f"event {event.sequence}, {event.kind}, has no request"


def _unasked_names(history: SlotHistory) -> Iterator[str]:
    """A hold of the pages has no name until it is confirmed."""
    for unnamed in unnamed_and_untold(history):
        if not any(unnamed.can_be_of(attempt) for attempt in history.attempts):
            yield f"booking {unnamed.id}, which has no name, has no request"


def _asked(attempts: Sequence[Attempt]) -> dict[str, int]:
    """How many bookings each name may have: one for each request that was not refused, and one for all with one key or
    click.

    A refusal is kept for its key, so one refusal counts for all requests with this key. A page that is asked again by
    one click may hold the time anew.
    """
    refused = {
        attempt.asks_again
        for attempt in attempts
        if attempt.outcome == "fail" and attempt.tells and not attempt.nameless
    }
    requests: dict[str, set[object]] = defaultdict(set)
    for attempt in attempts:
        if attempt.name in MAKING and attempt.outcome != "fail" and attempt.asks_again not in refused:
            requests[attempt.marker].add(attempt.asks_again)
    return {marker: len(made) for marker, made in requests.items()}


def find_halves(history: SlotHistory) -> Iterator[str]:
    """S12: a change of seats is one step. One transaction ends the old hold and makes the new one; between the two rows
    there are only expiries of overdue holds."""
    known = spans(history)
    for place, event in enumerate(history.events):
        span = known.get(("cancel", event.booking_id or 0))
        if event.kind != "CANCELLED" or span is None or span.names != {"change_seats"}:
            continue
        following = next((later for later in history.events[place + 1 :] if later.kind != "EXPIRED"), None)
        if following is None or not _is_other_half(event, following):
            yield f"event {event.sequence} ended hold {event.booking_id} for other seats, but made no new one"


def _is_other_half(given_up: Event, following: Event) -> bool:
    return following.kind == "HELD" and following.transaction == given_up.transaction
