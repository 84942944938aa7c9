"""A hold lives until the deadline that its client was told, whatever the row says now (S8, S9, S19).

Nothing extends a hold yet. A future operation that does must tell the client a new deadline, which then counts.
"""

from collections import defaultdict
from collections.abc import Iterator

from torture.history import Attempt
from torture.slot_history import SlotHistory, told_deadlines
from torture.violation import CLOCK_SECONDS


def find_late_confirms(history: SlotHistory) -> Iterator[str]:
    """S8: the ledger has no confirm after the deadline that the client was told."""
    told = told_deadlines(history)
    for event in history.events:
        over = told.get(event.booking_id or 0)
        if event.kind == "CONFIRMED" and over is not None and event.at > over + CLOCK_SECONDS:
            late = f"{event.at - over:.3f} s after the deadline that was told"
            yield f"event {event.sequence} confirms booking {event.booking_id} {late}"


def find_early_ends(history: SlotHistory) -> Iterator[str]:
    """S9: the ledger has no hold that expired before the deadline that the client was told."""
    told = told_deadlines(history)
    for event in history.events:
        over = told.get(event.booking_id or 0)
        if event.kind == "EXPIRED" and over is not None and event.at < over - CLOCK_SECONDS:
            early = f"{over - event.at:.3f} s before the deadline that was told"
            yield f"event {event.sequence} ends the hold of booking {event.booking_id} {early}"


def find_late_acknowledgements(history: SlotHistory) -> Iterator[str]:
    """S19: a confirm is acknowledged only if it was requested before the deadline that the client was told. The answer
    may come later, and a repeated confirm gets the same answer, so the first request that can have done it counts."""
    told = told_deadlines(history)
    confirms: dict[int, list[Attempt]] = defaultdict(list)
    for attempt in history.attempts:
        if attempt.name == "confirm" and attempt.outcome != "fail" and attempt.booking_id in told:
            confirms[attempt.booking_id].append(attempt)
    for booking_id, attempts in confirms.items():
        first = min(attempt.began_at for attempt in attempts)
        acknowledged = [attempt.number for attempt in attempts if attempt.outcome == "ok"]
        if acknowledged and first > told[booking_id] + CLOCK_SECONDS:
            late = f"{first - told[booking_id]:.3f} s after the deadline that was told"
            yield f"attempt {acknowledged[0]} to confirm booking {booking_id} was acknowledged, and first made {late}"
