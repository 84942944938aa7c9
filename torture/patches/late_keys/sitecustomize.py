"""A mutant, loaded by every interpreter with this folder in PYTHONPATH: keys are written after the commit.

The changed database function puts them into another table; here a separate transaction moves them.
"""

from collections.abc import Sequence

from slotwise.services.booking.batches import BookingBatches, HoldOutcome, HoldRequest

MOVE_KEYS = """
    WITH late AS (DELETE FROM late_keys RETURNING *)
    INSERT INTO idempotency_keys SELECT * FROM late ON CONFLICT DO NOTHING
"""

hold = BookingBatches.hold


async def _hold_and_move_keys(self: BookingBatches, requests: Sequence[HoldRequest]) -> list[HoldOutcome]:
    outcomes = await hold(self, requests)
    async with self._writers.connection() as connection:
        await connection.execute(MOVE_KEYS)
    return outcomes


BookingBatches.hold = _hold_and_move_keys  # type: ignore[method-assign]
