"""Bookings per second: on one slot that everybody wants, and spread over 1,000 slots."""

from collections.abc import Iterator
from functools import partial

from bench import baseline
from bench.booking import book, warm_up
from bench.findings import Finding, Target, at_least, at_most
from bench.installation import LOG_OFF
from bench.lab import Case, Lab
from bench.readings import Measured
from bench.scenarios.scenario import Scenario
from bench.tools import PGBENCH, WRK

CLIENTS = 64
SILENT = f"{CLIENTS} connections, log off"
FLAT = 0.75
"""A ratio of medians below this counts as slower. On a shared machine one case varies by up to a quarter."""


def measure_hot_slot(lab: Lab) -> Iterator[Finding]:
    measured = _measure(lab, slots=1)
    yield from _rates(lab, measured)
    yield _against_pgbench(measured, at_least(11))
    yield Finding(f"p99 at {CLIENTS} connections", "ms", measured.p99(_at(CLIENTS)), at_most(25))
    yield from _flatness(lab, measured)


def measure_spread(lab: Lab) -> Iterator[Finding]:
    measured = _measure(lab, slots=baseline.SLOTS)
    yield from _rates(lab, measured)
    yield _against_pgbench(measured, at_least(1.9))
    yield Finding(f"p99 at {CLIENTS} connections", "ms", measured.p99(_at(CLIENTS)), at_most(45))


def _measure(lab: Lab, slots: int) -> Measured:
    seconds = lab.plan.seconds
    with lab.clinic() as clinic, lab.baseline() as plain, clinic.serve() as server, clinic.serve(**LOG_OFF) as silent:
        warm_up(clinic, server, silent)
        cases: dict[str, Case] = {
            _at(count): partial(book, clinic, server, slots, count, seconds) for count in lab.plan.connections
        }
        cases[SILENT] = partial(book, clinic, silent, slots, CLIENTS, seconds)
        cases["pgbench"] = partial(plain.book, slots, CLIENTS, seconds)
        return lab.measure(cases)


def _rates(lab: Lab, measured: Measured) -> Iterator[Finding]:
    for count in lab.plan.connections:
        yield Finding(f"bookings, {_at(count)}", "/s", measured.rate(_at(count)))
    yield Finding(f"bookings, {SILENT}", "/s", measured.rate(SILENT))
    yield Finding(f"pgbench, {CLIENTS} clients", "/s", measured.rate("pgbench"))


def _against_pgbench(measured: Measured, target: Target) -> Finding:
    ratio = measured.rate(_at(CLIENTS)).over(measured.rate("pgbench"))
    return Finding(f"times pgbench, both at {CLIENTS}", "x", ratio, target)


def _flatness(lab: Lab, measured: Measured) -> Iterator[Finding]:
    _, few, *_, most = lab.plan.connections
    ratio = measured.rate(_at(most)).over(measured.rate(_at(few)))
    yield Finding(f"at {most:,} connections, times that at {few}", "x", ratio, at_least(FLAT))


def _at(connections: int) -> str:
    return f"{connections:,} connection{'s' if connections > 1 else ''}"


HOT_SLOT = Scenario(
    "hot-slot",
    "One slot that everybody wants, by number of connections, against pgbench's usual transaction on one row",
    measure_hot_slot,
    (WRK, PGBENCH),
)
SPREAD = Scenario(
    "spread",
    "Bookings spread over 1,000 slots, by number of connections, against pgbench on 1,000 rows",
    measure_spread,
    (WRK, PGBENCH),
)
