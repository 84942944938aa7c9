"""The metrics of requests, added up in the process.

The library takes a lock and writes to a mapped file for each count and each bucket, five microseconds for a request.
Here a request costs a few additions, and the sums are handed to the library several times a second.
"""

import asyncio
from bisect import bisect_left
from collections import Counter, defaultdict
from functools import cache

from prometheus_client import Histogram

from slotwise.observability.metrics import LATENCY, LATENCY_SECONDS, REFUSALS, REQUESTS

FLUSH_SECONDS = 0.2


class _Latencies:
    """Of one route since the last flush."""

    def __init__(self) -> None:
        self.buckets: Counter[int] = Counter()
        self.seconds = 0.0


class RequestMeters:
    def __init__(self) -> None:
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._refusals: Counter[str] = Counter()
        self._latencies: defaultdict[str, _Latencies] = defaultdict(_Latencies)
        self._flushing = False

    def record(self, method: str, route: str, status: int, seconds: float, *, timed: bool) -> None:
        """For the event loop's thread. `timed` if the latency counts, too."""
        self._requests[method, route, status] += 1
        if timed:
            latencies = self._latencies[route]
            latencies.buckets[bisect_left(LATENCY_SECONDS, seconds)] += 1
            latencies.seconds += seconds
        self._flush_soon()

    def count_refusal(self, code: str) -> None:
        """For the event loop's thread."""
        self._refusals[code] += 1
        self._flush_soon()

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        self._flushing = False
        requests, self._requests = self._requests, Counter()
        refusals, self._refusals = self._refusals, Counter()
        latencies, self._latencies = self._latencies, defaultdict(_Latencies)
        for labels, count in requests.items():
            REQUESTS.labels(*labels).inc(count)
        for code, count in refusals.items():
            REFUSALS.labels(code).inc(count)
        for route, latency in latencies.items():
            _add(_histogram_of(route), latency)


REQUEST_METERS = RequestMeters()


@cache
def _histogram_of(route: str) -> Histogram:
    return LATENCY.labels(route)


def _add(histogram: Histogram, latencies: _Latencies) -> None:
    """Like `observe` for each of them. The library has no function for that; a test compares the two."""
    for place, count in latencies.buckets.items():
        histogram._buckets[place].inc(count)
    histogram._sum.inc(latencies.seconds)
