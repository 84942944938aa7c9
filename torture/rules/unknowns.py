"""Outcomes that clients never learned, and what they were according to the evidence."""

from collections.abc import Sequence

from msgspec import Struct

from torture.history import MAKING, REPEATS, WRITES, Attempt
from torture.slot_history import EFFECT_OF_KIND, SlotHistory
from torture.slot_states import asked_for

EFFECT_OF_NAME = {"confirm": "confirm", "cancel": "cancel", "release": "cancel", "change_seats": "cancel"}


def find_untold(attempts: Sequence[Attempt]) -> list[Attempt]:
    """One attempt for each key whose outcome is unknown."""
    told = {attempt.request for attempt in attempts if attempt.tells}
    own = [attempt for attempt in attempts if attempt.key is not None and attempt.purpose != "other_body"]
    return list({attempt.request: attempt for attempt in own if attempt.request not in told}.values())


class Unknowns(Struct):
    """How many there were. `by_key` of them were resolved by an answer to the same key or click."""

    done: int = 0
    undone: int = 0
    by_key: int = 0

    @property
    def total(self) -> int:
        return self.done + self.undone


def resolve_unknowns(history: SlotHistory, unknowns: Unknowns) -> None:
    """Resolve them by an answer to the same key, if there is one; otherwise by the ledger, which shows whether it was
    done."""
    ledger = _Ledger(history)
    told = {attempt.asks_again for attempt in history.attempts if (attempt.key or attempt.click) and attempt.tells}
    for attempt in history.attempts:
        if attempt.outcome != "info" or attempt.name not in WRITES or attempt.purpose in REPEATS:
            continue
        unknowns.by_key += attempt.asks_again in told
        done = ledger.has(attempt)
        unknowns.done += done
        unknowns.undone += not done


class _Ledger:
    def __init__(self, history: SlotHistory) -> None:
        self._made = {row.marker for row in history.rows}
        known = {attempt.booked for attempt in history.attempts}
        self._unnamed = sum(not row.marker and row.id not in known for row in history.rows)
        self._effects = {(EFFECT_OF_KIND.get(event.kind), event.booking_id) for event in history.events}
        self._changes = {attempt.number for asked in asked_for(history).values() for attempt in asked}

    def has(self, attempt: Attempt) -> bool:
        """Whether it was done. A hold without a name is matched with one of the holds that no client knows, each
        once."""
        if attempt.name == "change_slot":
            return attempt.number in self._changes
        if attempt.name not in MAKING or attempt.booking_id is not None:
            return (EFFECT_OF_NAME[attempt.name], attempt.booking_id) in self._effects
        if attempt.nameless and attempt.marker not in self._made:
            self._unnamed -= 1
            return self._unnamed >= 0
        return attempt.marker in self._made
