"""A mutant, loaded by every interpreter with this folder in PYTHONPATH: the desk's tick "The patient asked" is lost."""

from msgspec.structs import replace

from slotwise.services.booking.batches import BookingBatches, Cancelled, CancelRequest

_cancel = BookingBatches.cancel


async def _cancel_unasked(self: BookingBatches, requests: list[CancelRequest]) -> list[Cancelled | None]:
    return await _cancel(self, [replace(request, patient_asked=False) for request in requests])


BookingBatches.cancel = _cancel_unasked  # type: ignore[method-assign, assignment]
