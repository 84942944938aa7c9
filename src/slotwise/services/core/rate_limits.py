"""How often one client may book, and who counts as one client."""

import ipaddress
import math
import time

from slotwise.domain.errors import TooManyRequests

# A provider gives each customer at least such a network (RFC 6177), so each customer has 2^64 IPs.
_CUSTOMER_BITS = 64


def client_of(host: str) -> str:
    """What counts as one client: a single IP (IPv4), or the network of one customer (IPv6)."""
    if ":" not in host:
        return host
    try:
        ip = ipaddress.IPv6Address(host)
    except ValueError:
        return host
    mapped = ip.ipv4_mapped
    return str(mapped or ipaddress.IPv6Network((int(ip), _CUSTOMER_BITS), strict=False))


class BookingRate:
    """A moving window for each client. Each worker counts for itself. Without a rate there is no limit."""

    def __init__(self, rate: str | None) -> None:
        self._window = _Window(rate) if rate else None

    def admit(self, client: str) -> None:
        """Count a request of a client; raise `TooManyRequests` if it exceeds the rate."""
        if self._window is not None:
            self._window.admit(client)


class _Window:
    """Imports its library only if there is a rate: the import takes a twentieth of a worker's start."""

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
