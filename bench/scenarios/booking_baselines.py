"""Bookings compared with a baseline: without the HTTP layers, without batches, or with a single client."""

from collections.abc import Iterator
from functools import partial

from bench import baseline
from bench.booking import book, warm_up
from bench.findings import Finding, at_least, at_most
from bench.lab import Case, Lab
from bench.scenarios.scenario import Scenario
from bench.tools import PGBENCH, WRK

CLIENTS = 64
# With 64, the last of a worker's 32 requests, one batch each, could have to wait longer than a queue lets it.
CLIENTS_ALONE = 32
PLACES = {"one slot": 1, f"{baseline.SLOTS:,} slots": baseline.SLOTS}


def measure_http_cost(lab: Lab) -> Iterator[Finding]:
    with lab.clinic() as clinic, clinic.serve() as server, clinic.serve_baseline("bare") as bare:
        warm_up(clinic, server, bare)
        cases: dict[str, Case] = {}
        for place, slots in PLACES.items():
            cases[place] = partial(book, clinic, server, slots, CLIENTS, lab.plan.seconds)
            cases[f"{place}, bare ASGI"] = partial(book, clinic, bare, slots, CLIENTS, lab.plan.seconds)
        measured = lab.measure(cases)
    for place in PLACES:
        whole, least = measured.rate(place), measured.rate(f"{place}, bare ASGI")
        yield Finding(f"{place}, Slotwise", "/s", whole)
        yield Finding(f"{place}, bare ASGI app", "/s", least)
        yield Finding(f"{place}, times bare ASGI", "x", whole.over(least), at_least(1))


def measure_batches(lab: Lab) -> Iterator[Finding]:
    with lab.clinic() as clinic, clinic.serve() as server, clinic.serve(BATCH_LIMIT="1") as single:
        warm_up(clinic, server, single)
        cases: dict[str, Case] = {}
        for place, slots in PLACES.items():
            cases[place] = partial(book, clinic, server, slots, CLIENTS_ALONE, lab.plan.seconds)
            cases[f"{place}, alone"] = partial(book, clinic, single, slots, CLIENTS_ALONE, lab.plan.seconds)
        measured = lab.measure(cases)
    for place in PLACES:
        together, alone = measured.rate(place), measured.rate(f"{place}, alone")
        yield Finding(f"{place}, batches", "/s", together)
        yield Finding(f"{place}, batches of one", "/s", alone)
        yield Finding(f"{place}, times batches of one", "x", together.over(alone))


def measure_lone_client(lab: Lab) -> Iterator[Finding]:
    with lab.clinic() as clinic, lab.baseline() as plain, clinic.serve() as server:
        warm_up(clinic, server)
        cases: dict[str, Case] = {
            "booking": partial(book, clinic, server, 1, 1, lab.plan.seconds),
            "pgbench": partial(plain.book, 1, 1, lab.plan.seconds),
        }
        measured = lab.measure(cases)
    mine, bare = measured.p50("booking"), measured.p50("pgbench")
    yield Finding("p50 of a booking", "ms", mine)
    yield Finding("p99 of a booking", "ms", measured.p99("booking"))
    yield Finding("p50 of pgbench's transaction", "ms", bare)
    yield Finding("p50, times pgbench", "x", mine.over(bare), at_most(1.6))


HTTP_COST = Scenario(
    "http-cost",
    "Bookings beside a bare ASGI app on the same group commit, with 64 connections",
    measure_http_cost,
)
BATCHES = Scenario(
    "batches-of-one",
    "Bookings beside a server whose group commit is limited to batches of one, with 32 connections",
    measure_batches,
)
LONE_CLIENT = Scenario(
    "lone-client",
    "The latency of one client that books one after the other, beside one pgbench client",
    measure_lone_client,
    (WRK, PGBENCH),
)
