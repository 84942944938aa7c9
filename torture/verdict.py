"""The rules for one slot's history, by their ids. `slotwise check-invariants` has the rules for the tables alone;
`torture/rules/service.py` and `keys.py` have those for a whole run."""

from collections.abc import Callable, Iterator, Mapping

from msgspec import Struct

from torture.rules.deadlines import find_early_ends, find_late_acknowledgements, find_late_confirms
from torture.rules.effects import find_halves, find_lost, find_lost_changes, find_unasked
from torture.rules.order import find_disorder, find_illegal_steps, find_stray_seats
from torture.rules.reads import find_stale_reads, find_untrue_sights
from torture.rules.refusals import find_untrue_ends, find_untrue_limits, find_untrue_refusals
from torture.rules.visits import find_early_visits, find_late_cancels
from torture.slot_history import SlotHistory
from torture.violation import Violation

CHECKS: dict[str, Callable[[SlotHistory], Iterator[str]]] = {
    "S3": find_lost,
    "S3 slot": find_lost_changes,
    "S4": find_unasked,
    "S8": find_late_confirms,
    "S9": find_early_ends,
    "S12 order": find_disorder,
    "S12 model": find_illegal_steps,
    "S12 whole": find_halves,
    "S12 added": find_stray_seats,
    "S13": find_untrue_refusals,
    "S13 ends": find_untrue_ends,
    "S13 slot": find_untrue_limits,
    "S13 visits": find_early_visits,
    "S13 deadline": find_late_cancels,
    "S18": find_stale_reads,
    "S19": find_late_acknowledgements,
    "S20": find_untrue_sights,
}


def find_violations(history: SlotHistory) -> Iterator[Violation]:
    for rule, check in CHECKS.items():
        for sentence in check(history):
            yield Violation(rule, history.slot_id, sentence)


class Listed(Struct, frozen=True, rename="camel"):
    """A booking as the API shows it at the end."""

    id: int
    slot_id: int
    status: str
    seats_booked: int
    user_name: str | None


def find_differences(history: SlotHistory, free: int | None, listed: Mapping[int, Listed]) -> Iterator[Violation]:
    """S1: at the end the API shows what the tables have. `free` is the API's number of free seats."""
    ledger = history.events[-1].available_after if history.events else None
    if ledger is None:
        yield Violation("S1", history.slot_id, f"the slot has no ledger; the API says {free} seats are free")
    elif free != ledger:
        yield Violation("S1", history.slot_id, f"the API says {free} seats are free, the ledger {ledger}")
    for row in history.rows:
        told = Listed(row.id, history.slot_id, row.status, row.seats, row.marker or None)
        if listed.get(row.id) != told:
            yield Violation("S1", history.slot_id, f"the API says {listed.get(row.id)}, the tables {told}")
