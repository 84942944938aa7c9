"""A mutant, loaded by every interpreter that has this folder in PYTHONPATH: a hold whose outcome is unknown is simply
sent again, without a key."""

from collections.abc import Sequence

from slotwise.domain.errors import DatabaseUnavailable, OutcomeUnknown
from slotwise.services.booking.batches import BookingBatches, HoldOutcome, HoldRequest

TRIES = 5

hold = BookingBatches.hold


async def _hold_until_told(self: BookingBatches, requests: Sequence[HoldRequest]) -> list[HoldOutcome]:
    for _ in range(TRIES):
        try:
            return await hold(self, requests)
        except (OutcomeUnknown, DatabaseUnavailable):
            continue
    return await hold(self, requests)


BookingBatches.hold = _hold_until_told  # type: ignore[method-assign]
