"""What must hold in the tables of any installation at any time, as queries that can run while people book.

Slots are checked in stretches, with one statement for each check of a rule, and each statement has its own snapshot.
So no snapshot lives long: in many minutes it would keep every version of a popular slot's row that is made meanwhile,
and slow its bookings down. No check needs two statements to see the same instant. The statements only read, take no
lock that a booking could wait for, and use as much memory as a stretch needs; beyond that PostgreSQL sorts on disk.
"""

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement

SHOWN_PER_RULE = 20
# A stretch has about this many ledger rows, or more if a single slot has more, and at most this many slots.
EVENTS_PER_STRETCH = 200_000
SLOTS_PER_STRETCH = 50_000
HISTORY_ROWS_BEFORE, HISTORY_ROWS_AFTER = 4, 2
FIRST_SLOT, LAST_SLOT = -(2**63), 2**63 - 1

Progress = Callable[[int, int], None]


class Finding(Struct, frozen=True):
    """A place where a rule does not hold: a slot and, if they are involved, a row of its ledger and a booking."""

    slot_id: int
    sequence: int | None
    booking_id: int | None
    found: str
    expected: str


class Check(Struct, frozen=True):
    """Gives its statement a name in the code, so that a test finds where the statement is called."""

    statement: Statement[Finding]


class Rule(Struct, frozen=True):
    """A sentence that must hold. `id` is its name in docs/operating.md and in reports."""

    id: str
    sentence: str
    checks: tuple[Check, ...]


class Violation(Finding, frozen=True):
    """`rule` is the rule's id."""

    rule: str


class Stretch(Struct, frozen=True):
    last_slot: int | None
    slots: int


class SlotCount(Struct, frozen=True):
    slots: int


class CheckedSlot(Struct, frozen=True):
    id: int
    start_time: datetime
    total_seats: int
    available_seats: int
    status: str
    last_event: int


class LedgerRow(Struct, frozen=True):
    sequence: int
    kind: str
    booking_id: int | None
    seats: int
    available_after: int
    total_after: int
    actor: str
    created_at: datetime


READ_STRETCH = Statement("core/invariants.read_stretch", Stretch)
COUNT_SLOTS = Statement("core/invariants.count_slots", SlotCount)
READ_SLOT = Statement("core/invariants.read_slot", CheckedSlot)
READ_LEDGER = Statement("core/invariants.read_ledger", LedgerRow)


def _rule(id_: str, sentence: str, *statements: Statement[Finding]) -> Rule:
    return Rule(id_, sentence, tuple(Check(statement) for statement in statements))


RULES = (
    _rule(
        "S1",
        "0 <= free seats <= total, and total = free seats + seats of live bookings",
        Statement("core/invariants.find_broken_steps", Finding),
        Statement("core/invariants.find_slots_beside_their_ledger", Finding),
        Statement("core/invariants.find_unbalanced_slots", Finding),
    ),
    _rule(
        "S2",
        "no more seats are granted at any moment than the slot has",
        Statement("core/invariants.find_oversold_instants", Finding),
    ),
    _rule(
        "S7",
        "bookings change only as their states allow, and have the state that the ledger gave them",
        Statement("core/invariants.find_illegal_transitions", Finding),
        Statement("core/invariants.find_status_mismatches", Finding),
    ),
    _rule(
        "S8",
        "no hold is confirmed at or after its deadline",
        Statement("core/invariants.find_late_confirmations", Finding),
    ),
    _rule("S9", "no hold is expired before its deadline", Statement("core/invariants.find_early_expiries", Finding)),
    _rule(
        "S10",
        "a booking's seats come back at most once, and as many as it took",
        Statement("core/invariants.find_wrong_releases", Finding),
    ),
    _rule(
        "S22",
        "a doctor is never in two visits at once, and a booked visit keeps the buffer of its type",
        Statement("core/invariants.find_double_visits", Finding),
        Statement("core/invariants.find_short_buffers", Finding),
    ),
    _rule(
        "S24",
        "no time is open in a closure for long, none is booked outside of open time that it was carved out of, and no"
        " closed time of a rule or of open time has bookings without being listed",
        Statement("core/invariants.find_open_slots_in_closures", Finding),
        Statement("core/invariants.find_hidden_bookings", Finding),
        Statement("core/invariants.find_visits_outside_windows", Finding),
    ),
    _rule(
        "W1",
        "a slot's ledger is numbered 1, 2, 3, ... up to the slot's newest row",
        Statement("core/invariants.find_ledger_gaps", Finding),
        Statement("core/invariants.find_wrong_ends", Finding),
    ),
    _rule(
        "W2",
        "a slot's ledger begins with its creation, all seats free",
        Statement("core/invariants.find_wrong_beginnings", Finding),
    ),
    _rule(
        "W3", "times in a slot's ledger never run backwards", Statement("core/invariants.find_backward_times", Finding)
    ),
    _rule(
        "W4",
        "a ledger row about a booking names one of that slot, with its seats",
        Statement("core/invariants.find_stray_events", Finding),
    ),
    _rule(
        "W5",
        "the seats that overbooking added to a slot are those of its confirmed bookings",
        Statement("core/invariants.find_wrong_added_seats", Finding),
    ),
)


async def find_violations(
    database: Database, slot_id: int | None = None, progress: Progress = lambda _done, _slots: None
) -> list[Violation]:
    """The first violations of each rule, in one slot or in all. `progress` gets the number done and the total."""
    found: list[Violation] = []
    if slot_id is not None:
        await _look_at(database, slot_id, slot_id, found)
        return found
    async with database.connection() as connection:
        slots = (await COUNT_SLOTS.one(connection)).slots
    done, first = 0, FIRST_SLOT
    while first <= LAST_SLOT:
        progress(done, slots)
        stretch = await _next_stretch(database, first)
        last = LAST_SLOT if stretch.last_slot is None else stretch.last_slot
        await _look_at(database, first, last, found)
        done, first = done + stretch.slots, last + 1
    return found


async def _next_stretch(database: Database, first_slot: int) -> Stretch:
    async with database.connection() as connection:
        return await READ_STRETCH.one(
            connection,
            after_slot=max(first_slot - 1, FIRST_SLOT),
            slots=SLOTS_PER_STRETCH,
            events=EVENTS_PER_STRETCH,
        )


async def _look_at(database: Database, first_slot: int, last_slot: int, found: list[Violation]) -> None:
    """Add the violations in these slots, as long as the report has room for them."""
    for rule in RULES:
        for check in rule.checks:
            room = SHOWN_PER_RULE - sum(violation.rule == rule.id for violation in found)
            if room > 0:
                async with database.connection() as connection:
                    some = await check.statement.all(connection, first_slot=first_slot, last_slot=last_slot, limit=room)
                found += [_violation(rule, finding) for finding in some]


def _violation(rule: Rule, finding: Finding) -> Violation:
    return Violation(finding.slot_id, finding.sequence, finding.booking_id, finding.found, finding.expected, rule.id)


class History(Struct, frozen=True):
    """A slot, and the rows of its ledger that explain a violation."""

    slot: CheckedSlot
    rows: list[LedgerRow]


async def get_slot_history(database: Database, slot_id: int, violations: list[Violation]) -> History | None:
    """The rows around each violation, or the newest ones if there is none. None if the slot does not exist."""
    async with database.connection() as connection:
        slot = await READ_SLOT.first(connection, slot_id=slot_id)
        if slot is None:
            return None
        places = sorted({one.sequence for one in violations if one.sequence is not None}) or [slot.last_event]
        rows: dict[int, LedgerRow] = {}
        for place in places:
            rows |= {row.sequence: row for row in await _rows_around(connection, slot_id, place)}
    return History(slot, [rows[sequence] for sequence in sorted(rows)])


async def _rows_around(connection: Connection, slot_id: int, place: int) -> list[LedgerRow]:
    first, last = place - HISTORY_ROWS_BEFORE, place + HISTORY_ROWS_AFTER
    return await READ_LEDGER.all(connection, slot_id=slot_id, first_row=first, last_row=last, limit=last - first + 1)
