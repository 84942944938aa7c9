"""The queues in which requests that change bookings wait for the next batch."""

from slotwise.batching.group_commit import GroupCommit
from slotwise.db.errors import rolled_back
from slotwise.services.booking.batches import (
    BookingBatches,
    Cancelled,
    CancelRequest,
    Confirmed,
    ConfirmRequest,
    HoldOutcome,
    HoldRequest,
    HoldTimeRequest,
    Undecided,
)

BATCH_LIMIT = 256


class BookingQueues:
    """Four queues over the same connections: a batch of confirms does not wait for a batch of holds.

    `name` is their prefix in the metrics.
    """

    def __init__(self, batches: BookingBatches, batch_limit: int = BATCH_LIMIT, name: str = "") -> None:
        self._batches = batches
        self.holds = GroupCommit[HoldRequest, HoldOutcome](
            f"{name}hold",
            batches.hold,
            exclusive=lambda request: request.key and request.key.identity,
            rolled_back=rolled_back,
            batch_limit=batch_limit,
        )
        self.times = GroupCommit[HoldTimeRequest, HoldOutcome | Undecided](
            f"{name}times",
            batches.hold_times,
            exclusive=lambda request: request.key and request.key.identity,
            rolled_back=rolled_back,
            batch_limit=batch_limit,
        )
        self.confirms = GroupCommit[ConfirmRequest, Confirmed | None](
            f"{name}confirm",
            batches.confirm,
            exclusive=lambda request: request.booking_id,
            rolled_back=rolled_back,
            batch_limit=batch_limit,
        )
        self.cancels = GroupCommit[CancelRequest, Cancelled | None](
            f"{name}cancel",
            batches.cancel,
            exclusive=lambda request: request.booking_id,
            rolled_back=rolled_back,
            batch_limit=batch_limit,
        )

    async def replace_hold(self, booking_id: int, request: HoldRequest) -> HoldOutcome | None:
        return await self._batches.replace_hold(booking_id, request)

    async def drained(self) -> None:
        """Wait until every accepted request is answered."""
        for queue in (self.holds, self.times, self.confirms, self.cancels):
            await queue.drained()
