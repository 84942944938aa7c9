"""Millions of earlier bookings, as the server would have made them."""

from collections.abc import Callable
from typing import Literal

from bench.clinic import MOST_SEATS, Clinic
from bench.database import execute, row, statement

BOOKINGS_PER_STATEMENT = 100_000
LIVE_AT_MOST = MOST_SEATS // 2

Fate = Literal["CONFIRMED", "CANCELLED", "FAILED"]
Report = Callable[[str, int, int], None]


def fill(clinic: Clinic, slots: range, per_slot: int, fate: Fate, report: Report) -> None:
    """Make so many bookings of each slot, with their ledger rows. The invariants hold afterwards."""
    fill_for(clinic, slots, per_slot, fate, report, user_id=None, every=1)


def fill_for(
    clinic: Clinic, slots: range, per_slot: int, fate: Fate, report: Report, user_id: int | None, every: int
) -> None:
    """The same; each booking whose id is divisible by `every` belongs to the account."""
    step = max(1, BOOKINGS_PER_STATEMENT // len(slots))
    for done in range(0, per_slot, step):
        report("filling tables", done * len(slots), per_slot * len(slots))
        count = min(step, per_slot - done)
        row(clinic.database_url, statement("fill_bookings"), slots[0], slots[-1], count, fate, user_id, every)
    settle(clinic)


def fill_slot(clinic: Clinic, bookings: int, report: Report) -> range:
    """A slot with that many bookings. At most half of its seats are taken; further bookings are cancelled ones."""
    slot = clinic.open_slots()
    live = min(bookings, LIVE_AT_MOST)
    fill(clinic, slot, live, "CONFIRMED", report)
    if bookings > live:
        fill(clinic, slot, bookings - live, "CANCELLED", report)
    return slot


def settle(clinic: Clinic) -> None:
    """Do the work that PostgreSQL would do later after so much writing, so that it does not disturb a measurement."""
    execute(clinic.database_url, "VACUUM (ANALYZE)", "CHECKPOINT")
