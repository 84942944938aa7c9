"""Overload: three times more bookings than the server can take."""

import time
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from bench.booking import CREATED, book, hold, warm_up
from bench.clinic import Clinic
from bench.findings import Finding, at_least, at_most
from bench.lab import Lab
from bench.load import wrk
from bench.load.h2load import Flood, Flooding, flooding
from bench.processes import ToolFailed
from bench.readings import CheckFailed, Series
from bench.scenarios.scenario import Scenario
from bench.server import Server
from bench.tools import H2LOAD, WRK

CLIENTS = 64
WITNESSES = 16
UNAVAILABLE = 503
TIMES_PEAK = 3
# Twice the queue limit of one worker's group commit: so many clients fill the queue, however slow they are.
CLIENTS_PER_WORKER = 4_096
MOST_CLIENTS = 8_192
SAMPLE_SECONDS = 0.5
NORMAL = 2.0
PATIENCE_SECONDS = 15
LATE = 10
BODY = '{{"slotId":{},"userName":"Ada Lovelace","userEmail":"ada@example.org"}}'


class Outcome(NamedTuple):
    """Answers during the overload, p99 of the admitted in milliseconds, and the workers' sizes in megabytes."""

    booked: int
    refused: int
    p99: float
    sizes: list[float]


def measure_overload(lab: Lab) -> Iterator[Finding]:
    seconds = lab.plan.overload_seconds
    with lab.clinic() as clinic, clinic.serve() as server:
        warm_up(clinic, server)
        before = lab.measure({"before": partial(book, clinic, server, 1, CLIENTS, lab.plan.seconds)})
        peak, normal = before.rate("before").middle, before.p99("before").middle
        lab.report(f"{TIMES_PEAK} times the peak", 0, 1)
        outcome = _overload(clinic, server, TIMES_PEAK * peak, seconds)
        recovered = _seconds_until_normal(clinic, server, normal * NORMAL)
    yield Finding("peak, with 64 connections", "/s", before.rate("before"))
    yield Finding("goodput under overload, times the peak", "x", _once(outcome.booked / seconds / peak), at_least(0.8))
    yield Finding("p99 of the admitted", "ms", _once(outcome.p99), at_most(1000))
    yield Finding("refused with 503 and Retry-After", "/s", _once(outcome.refused / seconds))
    yield Finding("largest worker under overload", "MB", _once(max(outcome.sizes)))
    yield Finding("its size at the end, times that after a third", "x", _once(_growth(outcome.sizes)), at_most(1.1))
    yield Finding("until p99 is normal again", "s", _once(recovered), at_most(5))


def _overload(clinic: Clinic, server: Server, rate: float, seconds: int) -> Outcome:
    slots = clinic.open_slots()
    newest = clinic.newest_booking()
    clients = min(MOST_CLIENTS, CLIENTS_PER_WORKER * len(server.workers()))
    with (
        flooding(f"{server.url}/api/bookings", BODY.format(slots[0]), clients, rate, seconds) as flooded,
        wrk.running(server.url, hold(slots), WITNESSES, seconds) as witnesses,
    ):
        sizes = _sizes_during(flooded, server, seconds * LATE)
        flood, seen = flooded.flood(), wrk.parse(witnesses.output())
    _require_honest_refusals(flood, seen)
    clinic.require_bookings(slots, newest, flood.count(CREATED) + seen.count(CREATED), WITNESSES)
    booked, refused = (flood.count(status, seconds) + seen.count(status) for status in (CREATED, UNAVAILABLE))
    return Outcome(booked, refused, flood.p99(CREATED), sizes)


def _sizes_during(flooded: Flooding, server: Server, limit_seconds: float) -> list[float]:
    """The size of the largest worker in megabytes, every half second."""
    sizes = [server.resident_megabytes()]
    deadline = time.monotonic() + limit_seconds
    while flooded.running:
        if time.monotonic() > deadline:
            raise ToolFailed(f"the server had not answered all requests after {limit_seconds:.0f} s")
        time.sleep(SAMPLE_SECONDS)
        sizes.append(server.resident_megabytes())
    return sizes


def _require_honest_refusals(flood: Flood, seen: wrk.Answers) -> None:
    """Check that each refusal has Retry-After. h2load does not read headers, so a few connections of wrk do."""
    flood.require(CREATED, UNAVAILABLE)
    seen.require(CREATED, UNAVAILABLE)
    if seen.retry_after != seen.count(UNAVAILABLE):
        raise CheckFailed(f"{seen.count(UNAVAILABLE)} answers were 503, {seen.retry_after} had Retry-After")
    if not flood.count(CREATED):
        raise CheckFailed("nothing was booked under overload")


def _growth(sizes: list[float]) -> float:
    return sizes[-1] / sizes[len(sizes) // 3]


def _seconds_until_normal(clinic: Clinic, server: Server, p99: float) -> float:
    """Seconds until the end of the first second in which all bookings succeed within `p99`, or of the patience."""
    slots = clinic.open_slots()
    over = time.monotonic()
    while (waited := time.monotonic() - over) < PATIENCE_SECONDS:
        answers = wrk.run(server.url, hold(slots), CLIENTS, 1)
        answers.require(CREATED, UNAVAILABLE)
        if not answers.count(UNAVAILABLE) and answers.reading(CREATED).p99 <= p99:
            return time.monotonic() - over
    return waited


def _once(value: float) -> Series:
    return Series((value,))


OVERLOAD = Scenario(
    "overload",
    f"{TIMES_PEAK} times more bookings than the server can take, for 30 s, and the time after",
    measure_overload,
    (WRK, H2LOAD),
)
