"""How often one client address may book."""

import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from slotwise.domain.errors import TooManyRequests
from slotwise.http.access import ApiRequest


class BookingRate:
    """A moving window for each address, counted by each worker for itself. No rate: no limit."""

    def __init__(self, rate: str | None) -> None:
        self._rate: RateLimitItem | None = parse(rate) if rate else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def admit(self, request: ApiRequest) -> None:
        """Count a request of its client's address; raise `TooManyRequests` when it is one too many."""
        if self._rate is None:
            return
        address = request.client.host if request.client else ""
        if self._limiter.hit(self._rate, address):
            return
        reset, _ = self._limiter.get_window_stats(self._rate, address)
        raise TooManyRequests(max(1, math.ceil(reset - time.time())))


def limit_bookings(request: ApiRequest) -> None:
    """Raise `TooManyRequests` when the client's address books too often.

    Not injected: with a second dependency the framework resolves them in a task group, a fifth of a booking's time.
    """
    rate: BookingRate = request.app.state.booking_rate
    rate.admit(request)
