"""A mutant, loaded by every interpreter that has this folder in PYTHONPATH: who wants other seats of a hold gives it up
first, and then holds what is left."""

from slotwise.services.booking.batches import BookingBatches, CancelRequest, HoldOutcome, HoldRequest


async def _replace_hold(self: BookingBatches, booking_id: int, request: HoldRequest) -> HoldOutcome | None:
    [given_up] = await self.cancel([CancelRequest(booking_id, None, request.actor, only_hold=True)])
    if given_up is not None and given_up.outcome == "confirmed":
        return None
    [held] = await self.hold([request])
    return held


BookingBatches.replace_hold = _replace_hold  # type: ignore[method-assign]
