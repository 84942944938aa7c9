"""What must hold in the tables of any installation at any time, as queries."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from msgspec import Struct, structs

from slotwise.db.pool import Database
from slotwise.db.statements import Statement

SHOWN_PER_RULE = 20


class UnbalancedSlot(Struct, frozen=True):
    slot_id: int
    total_seats: int
    available_seats: int
    live_seats: int


class LedgerGap(Struct, frozen=True):
    slot_id: int
    last_event: int
    events: int
    newest: int


class IllegalTransition(Struct, frozen=True):
    slot_id: int
    sequence: int
    booking_id: int
    kind: str
    previous: str


class UnbalancedEvent(Struct, frozen=True):
    slot_id: int
    sequence: int
    kind: str
    available_after: int
    expected: int


class LedgerDrift(Struct, frozen=True):
    slot_id: int
    total_seats: int
    total_after: int
    available_seats: int
    available_after: int


class UntimelyEvent(Struct, frozen=True):
    slot_id: int
    sequence: int
    kind: str
    booking_id: int
    created_at: datetime
    expires_at: datetime


class StatusMismatch(Struct, frozen=True):
    booking_id: int
    slot_id: int
    status: str
    kind: str | None


class Rule(Struct, frozen=True):
    """A sentence that must hold, and the statement that finds where it does not."""

    sentence: str
    statement: Statement[Any]


RULES = (
    Rule(
        "0 <= available <= total, and total = available + live seats",
        Statement("invariants.find_unbalanced_slots", UnbalancedSlot),
    ),
    Rule("every slot's ledger is gapless", Statement("invariants.find_ledger_gaps", LedgerGap)),
    Rule(
        "bookings change only as their states allow",
        Statement("invariants.find_illegal_transitions", IllegalTransition),
    ),
    Rule(
        "every ledger row follows from the one before", Statement("invariants.find_unbalanced_events", UnbalancedEvent)
    ),
    Rule("every slot has what its newest ledger row says", Statement("invariants.find_ledger_drift", LedgerDrift)),
    Rule(
        "no hold is confirmed after its deadline or expired before it",
        Statement("invariants.find_untimely_events", UntimelyEvent),
    ),
    Rule(
        "every booking has the status its ledger gave it",
        Statement("invariants.find_status_mismatches", StatusMismatch),
    ),
)


class Violation(Struct, frozen=True):
    rule: str
    facts: dict[str, object]


async def find_violations(database: Database) -> AsyncIterator[tuple[Rule, list[Violation]]]:
    """Each rule with its first violations. One snapshot for each rule: bookings may go on meanwhile."""
    for rule in RULES:
        async with database.connection() as connection:
            found = await rule.statement.all(connection, limit=SHOWN_PER_RULE)
        yield rule, [Violation(rule.sentence, structs.asdict(row)) for row in found]
