"""Sums of requests are what the library would have counted one by one."""

import asyncio

from prometheus_client import CollectorRegistry, Histogram, generate_latest

from slotwise.observability import request_meters
from slotwise.observability.metrics import LATENCY, LATENCY_SECONDS, REFUSALS, REQUESTS
from slotwise.observability.request_meters import RequestMeters
from tests.clinic import PATIENCE_SECONDS

TIMES = [*LATENCY_SECONDS, 0.0, 0.0004, 0.0011, 0.3, 9.99, 10.01, 1e6]
ROUTE = "/of/this/test"


def samples(histogram: Histogram) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for metric in histogram.collect()
        for sample in metric.samples
        if sample.labels.get("route") == ROUTE and not sample.name.endswith("_created")
    }


async def test_added_up_latencies_fall_into_the_librarys_buckets() -> None:
    one_by_one = Histogram(
        "slotwise_http_request_seconds", "", ["route"], buckets=LATENCY_SECONDS, registry=CollectorRegistry()
    )
    meters = RequestMeters()
    for seconds in TIMES:
        one_by_one.labels(ROUTE).observe(seconds)
        meters.record("GET", ROUTE, 200, seconds, timed=True)
    meters.record("GET", ROUTE, 500, 1.0, timed=False)
    assert samples(LATENCY) == {}
    meters.flush()
    assert samples(LATENCY) == samples(one_by_one)
    assert REQUESTS.labels("GET", ROUTE, 200)._value.get() == len(TIMES)
    assert REQUESTS.labels("GET", ROUTE, 500)._value.get() == 1


async def test_sums_are_handed_on_without_a_reader() -> None:
    meters = RequestMeters()
    meters.record("PUT", ROUTE, 200, 0.1, timed=True)
    meters.count_refusal("of-this-test")
    async with asyncio.timeout(PATIENCE_SECONDS):
        while REQUESTS.labels("PUT", ROUTE, 200)._value.get() != 1:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(request_meters.FLUSH_SECONDS / 4)
    assert REFUSALS.labels("of-this-test")._value.get() == 1
    assert generate_latest()
