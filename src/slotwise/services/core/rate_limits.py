"""How often one client may book, and who counts as one client."""

import ipaddress
import math
import time

from slotwise.domain.errors import TooManyRequests

# What a provider gives one customer, at least (RFC 6177): whoever has one address of it has 2^64.
_CUSTOMER_BITS = 64


def client_of(host: str) -> str:
    """What is counted as one client: an IPv4 address, or the IPv6 network that one customer has to choose from."""
    if ":" not in host:
        return host
    try:
        ip = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    mapped = ip.ipv4_mapped
    return str(mapped or ipaddress.IPv6Network((int(ip), _CUSTOMER_BITS), strict=False))


class BookingRate:
    """A moving window for each client, counted by each worker for itself. No rate: no limit."""

    def __init__(self, rate: str | None) -> None:
        self._window = _Window(rate) if rate else None

    def admit(self, client: str) -> None:
        """Count a request of a client; raise `TooManyRequests` when it is one too many."""
        if self._window is not None:
            self._window.admit(client)


class _Window:
    """Apart, because its library takes a twentieth of a worker's start, and by default nothing is limited."""

    def __init__(self, rate: str) -> None:
        from limits import parse  # noqa: PLC0415 - see above
        from limits.storage import MemoryStorage  # noqa: PLC0415
        from limits.strategies import MovingWindowRateLimiter  # noqa: PLC0415

        self._rate = parse(rate)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def admit(self, client: str) -> None:
        if self._limiter.hit(self._rate, client):
            return
        reset, _ = self._limiter.get_window_stats(self._rate, client)
        raise TooManyRequests(max(1, math.ceil(reset - time.time())))
