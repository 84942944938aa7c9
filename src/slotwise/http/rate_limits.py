"""How often one client address may book."""

import math
import time

from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from slotwise.domain.errors import TooManyRequests


class BookingRate:
    """A moving window for each address, counted by each worker for itself. No rate: no limit."""

    def __init__(self, rate: str | None) -> None:
        self._rate: RateLimitItem | None = parse(rate) if rate else None
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def admit(self, address: str) -> None:
        """Count a request of a client's address; raise `TooManyRequests` when it is one too many."""
        if self._rate is None:
            return
        if self._limiter.hit(self._rate, address):
            return
        reset, _ = self._limiter.get_window_stats(self._rate, address)
        raise TooManyRequests(max(1, math.ceil(reset - time.time())))
