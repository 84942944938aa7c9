"""The page of free times, with a thousand to a million slots, at rest and while a client books."""

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import cycle

import httpx

from bench.clinic import Clinic
from bench.database import row
from bench.findings import Finding, at_least, at_most
from bench.history import settle
from bench.lab import Case, Lab
from bench.listing import OK, read_page
from bench.load import wrk
from bench.readings import CheckFailed, Measured, Reading
from bench.scenarios.booking_throughput import FLAT
from bench.scenarios.scenario import Scenario
from bench.server import Server
from slotwise.services.schedule.free_times import MOST_TIMES

CLIENTS = 64
CREATED = 201
P99_MILLISECONDS = 50
# The number of slots for which a p99 is promised.
PROMISED = 100_000


def measure_finding(lab: Lab) -> Iterator[Finding]:
    sizes = lab.plan.listed_slots
    with ExitStack() as stack:
        cases: dict[str, Case] = {}
        for size in sizes:
            clinic = stack.enter_context(lab.clinic())
            server = stack.enter_context(clinic.serve(CLINIC_TIME_ZONE="UTC"))
            lab.report(f"making {size:,} slots", 0, 1)
            clinic.open_slots(size, seats=5)
            settle(clinic)
            shown = require_times(clinic, server)
            cases[_named(size)] = partial(read_page, clinic, server, "/", lab.plan.seconds, clients=CLIENTS)
            cases[_booked(size)] = partial(_read_while_booked, clinic, server, cycle(shown), lab.plan.seconds)
        measured = lab.measure(cases)
    yield from _findings(measured, sizes)


def require_times(clinic: Clinic, server: Server) -> list[int]:
    """The slots on the page. Raises `CheckFailed` unless they are the first of all, by a different statement than the
    server's.
    """
    query = f"SELECT array(SELECT s.id FROM appointment_slots AS s ORDER BY s.start_time, s.id LIMIT {MOST_TIMES})"
    expected = list(row(clinic.database_url, query)[0])
    page = httpx.get(f"{server.url}/", timeout=30, verify=False).raise_for_status().text
    found = [int(slot_id) for slot_id in re.findall(r'data-slot="(\d+)"', page)]
    if found != expected or not found:
        raise CheckFailed(
            f"the page has {len(found)} times {found[:5]}..., not {len(expected)} times {expected[:5]}..."
        )
    return found


def _read_while_booked(clinic: Clinic, server: Server, slots: Iterator[int], seconds: int) -> Reading:
    """Read the page while one client holds and cancels a seat of a slot on it without pause. So the page changes all
    the time and must be rendered again. Each measurement uses another slot, because the last hold may stay.
    """
    slot_id = next(slots)
    load = wrk.Load("hold-and-cancel", {"first": str(slot_id), "last": str(slot_id)})
    with wrk.running(server.url, load, 1, seconds) as booker:
        reading = read_page(clinic, server, "/", seconds, clients=CLIENTS)
        answers = wrk.parse(booker.output())
    answers.require(CREATED, OK)
    if not answers.count(OK):
        raise CheckFailed("no hold was cancelled")
    return reading


def _findings(measured: Measured, sizes: Sequence[int]) -> Iterator[Finding]:
    for name, size in ((name(size), size) for name in (_named, _booked) for size in sizes):
        yield Finding(name, "/s", measured.rate(name))
        target = at_most(P99_MILLISECONDS) if size == PROMISED else None
        yield Finding(f"p99 of {name}", "ms", measured.p99(name), target)
    growth = measured.rate(_named(sizes[-1])).over(measured.rate(_named(sizes[0])))
    yield Finding(f"page of {sizes[-1]:,}, times that of {sizes[0]:,}", "x", growth, at_least(FLAT))


def _named(size: int) -> str:
    return f"first page of {size:,} slots"


def _booked(size: int) -> str:
    return f"{_named(size)} while one client books"


FINDING = Scenario(
    "finding",
    "The page where people find a time, over more and more slots, with 64 connections, at rest and beside bookings",
    measure_finding,
)
