"""A mutant, loaded by every interpreter with this folder in PYTHONPATH: a hold with an unknown outcome is sent again
without a key."""

from collections.abc import Sequence

from slotwise.domain.errors import DatabaseUnavailable, OutcomeUnknown
from slotwise.services.booking.batches import BookingBatches, HoldOutcome, HoldRequest

TRIES = 5

hold = BookingBatches.hold


async def _hold_until_answered(self: BookingBatches, requests: Sequence[HoldRequest]) -> list[HoldOutcome]:
    for _ in range(TRIES):
        try:
            return await hold(self, requests)
        except (OutcomeUnknown, DatabaseUnavailable):
            continue
    return await hold(self, requests)


BookingBatches.hold = _hold_until_answered  # type: ignore[method-assign]
