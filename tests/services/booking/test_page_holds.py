"""A page reads its hold once, also where another time replaces it."""

from types import SimpleNamespace
from typing import cast

from slotwise.domain.bookings import BookingStatus, SeatRequest
from slotwise.services.booking.batches import Held
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.page_holds import PageHolds, TimeChoice
from slotwise.services.core.callers import Caller
from slotwise.services.core.idempotency import IdempotencyKey


class _Bookings:
    """Records which holds are released, and whether each was read before."""

    def __init__(self) -> None:
        self.released: list[tuple[int, bool]] = []

    async def hold_seats(self, caller: Caller, wanted: SeatRequest, key: IdempotencyKey | None = None) -> Held:
        return cast("Held", SimpleNamespace(replayed=False, booking=SimpleNamespace(id=8)))

    async def release_hold(self, caller: Caller, booking_id: int, *, checked: bool = False) -> BookingStatus:
        self.released.append((booking_id, checked))
        return BookingStatus.CANCELLED


async def test_a_hold_that_another_time_replaces_is_not_read_a_second_time() -> None:
    bookings = _Bookings()
    await PageHolds(cast("Bookings", bookings)).hold_time(Caller(None), TimeChoice(1, 1, None), instead_of=7)
    assert bookings.released == [(7, True)]
