"""A mutant, loaded by every interpreter with this folder in PYTHONPATH: a change of a hold's seats first cancels the
hold, and then makes a new one."""

from slotwise.services.booking.batches import BookingBatches, CancelRequest, HoldOutcome, HoldRequest


async def _replace_hold(self: BookingBatches, booking_id: int, request: HoldRequest) -> HoldOutcome | None:
    [given_up] = await self.cancel([CancelRequest(booking_id, None, request.actor, only_hold=True)])
    if given_up is not None and given_up.outcome == "confirmed":
        return None
    [held] = await self.hold([request])
    return held


BookingBatches.replace_hold = _replace_hold  # type: ignore[method-assign]
