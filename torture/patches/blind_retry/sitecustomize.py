"""A mutant, loaded by every interpreter that has this folder in PYTHONPATH: a hold whose outcome is unknown is simply
sent again, without a key."""

from collections.abc import Sequence
from typing import Any

from slotwise.domain.errors import DatabaseUnavailable, OutcomeUnknown
from slotwise.services.booking_batches import BookingBatches

TRIES = 5

hold_seats = BookingBatches._hold_seats


async def _hold_until_told(self: BookingBatches, requests: Sequence[Any], tokens: Sequence[Any]) -> list[Any]:
    for _ in range(TRIES):
        try:
            return await hold_seats(self, requests, tokens)
        except (OutcomeUnknown, DatabaseUnavailable):
            continue
    return await hold_seats(self, requests, tokens)


BookingBatches._hold_seats = _hold_until_told  # type: ignore[method-assign]
