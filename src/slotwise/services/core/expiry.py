"""Expire holds that were not confirmed in time. Nothing waits for this: an overdue hold never blocks a seat."""

from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.observability import metrics
from slotwise.observability.crash_points import UNARMED, CrashPoints
from slotwise.services.core.seat_events import SeatsChanged, ignore_changes

HOLDS_PER_TRANSACTION = 500


class ExpiredRow(Struct, frozen=True):
    slot_id: int
    holds: int


SWEEP_HOLDS = Statement("booking/bookings.sweep_holds", ExpiredRow)


async def sweep_holds(
    database: Database,
    by: str = "sweeper",
    crash_points: CrashPoints = UNARMED,
    seats_changed: SeatsChanged = ignore_changes,
) -> int:
    """Expire all overdue holds; return how many. Each transaction takes the slots of about 500 holds.

    Any number of processes may sweep at once: each takes the slots that no other has locked. Raises `OutcomeUnknown`
    if an answer was lost; the next sweep finds what this one left.
    """
    total = 0
    while True:
        crash_points.reach("sweep_holds", "before_batch")
        async with database.effect() as connection:
            rows = await SWEEP_HOLDS.all(connection, holds_looked_at=HOLDS_PER_TRANSACTION, actor=by)
        seats_changed({row.slot_id for row in rows})
        expired = sum(row.holds for row in rows)
        count_expired(expired, by)
        total += expired
        if expired == 0:
            return total
        crash_points.reach("sweep_holds", "after_commit")


def count_expired(holds: int, by: str) -> None:
    metrics.EXPIRIES.labels(by).inc(holds)
