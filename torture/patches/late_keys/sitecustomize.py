"""A mutant, loaded by every interpreter that has this folder in PYTHONPATH: keys are written after the commit.

The function in the database has been made to put them into another table; they are moved in a transaction of their own.
"""

from collections.abc import Sequence
from typing import Any

from slotwise.services.booking_batches import BookingBatches

MOVE_KEYS = """
    WITH late AS (DELETE FROM late_keys RETURNING *)
    INSERT INTO idempotency_keys SELECT * FROM late ON CONFLICT DO NOTHING
"""

hold_seats = BookingBatches._hold_seats


async def _hold_and_move_keys(self: BookingBatches, requests: Sequence[Any], tokens: Sequence[Any]) -> list[Any]:
    rows = await hold_seats(self, requests, tokens)
    async with self._writers.connection() as connection:
        await connection.execute(MOVE_KEYS)
    return rows


BookingBatches._hold_seats = _hold_and_move_keys  # type: ignore[method-assign]
