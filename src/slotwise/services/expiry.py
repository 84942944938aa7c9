"""What becomes of holds nobody confirmed. Nothing waits for this to run: an overdue hold never blocks a seat."""

from collections.abc import Sequence

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.services import metrics

HOLDS_PER_TRANSACTION = 500


class OverdueSlot(Struct, frozen=True):
    id: int


class ExpiredRow(Struct, frozen=True):
    slot_id: int
    holds: int


LOCK_OVERDUE_SLOTS = Statement("bookings.lock_overdue_slots", OverdueSlot)
EXPIRE_HOLDS = Statement("bookings.expire_holds", ExpiredRow)


async def expire_holds(connection: Connection, slot_ids: Sequence[int], by: str) -> int:
    """Fail the overdue holds of slots whose locks are held, and give their seats back. Returns how many."""
    rows = await EXPIRE_HOLDS.all(connection, slot_ids=slot_ids, actor=by)
    expired = sum(row.holds for row in rows)
    metrics.EXPIRIES.labels(by).inc(expired)
    return expired


async def sweep(database: Database, by: str = "sweeper") -> int:
    """Expire overdue holds of all slots, those of about 500 holds' slots per transaction. Returns how many.

    Any number of processes may sweep at once: each takes the slots that no other has locked.
    """
    total = 0
    while True:
        async with database.transaction() as connection:
            slots = await LOCK_OVERDUE_SLOTS.all(connection, limit=HOLDS_PER_TRANSACTION)
            expired = await expire_holds(connection, [slot.id for slot in slots], by) if slots else 0
        total += expired
        if expired == 0:
            return total
