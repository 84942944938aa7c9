"""The footprint: memory of a worker, and bytes of log and disk per booking."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from bench import baseline
from bench.booking import book, warm_up
from bench.clinic import Clinic
from bench.database import execute, number
from bench.findings import Finding, at_most
from bench.lab import Lab
from bench.readings import Series
from bench.scenarios.scenario import Scenario
from bench.tools import PGBENCH, WRK

CLIENTS = 64
BURST_SECONDS = 5
WRITTEN = "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint"
STORED = "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relname = any($1)"
TABLES = ["bookings", "booking_events", "appointment_slots"]
PLAIN_TABLES = ["booking", "slot"]


class Bytes(NamedTuple):
    """Bytes per booking."""

    written: float
    stored: float


def measure_memory(lab: Lab) -> Iterator[Finding]:
    wanted = lab.plan.requests_before_weighing
    with lab.clinic() as clinic, clinic.serve() as server:
        warm_up(clinic, server)
        done, at_first = 0.0, server.memory()
        while done < wanted:
            lab.report("booking", int(done), wanted)
            done += book(clinic, server, 1, CLIENTS, BURST_SECONDS).rate * BURST_SECONDS
        at_last = server.memory()
    yield Finding("a worker at first", "MB", Series((at_first.resident,)))
    yield Finding(f"a worker after {wanted:,} bookings", "MB", Series((at_last.resident,)), at_most(150))
    yield Finding("its share, with pages in common counted once", "MB", Series((at_last.proportional,)))


def measure_bytes(lab: Lab) -> Iterator[Finding]:
    seconds = lab.plan.seconds
    with lab.clinic() as clinic, lab.baseline() as plain, clinic.serve() as server:
        warm_up(clinic, server)
        mine = partial(book, clinic, server, 1, CLIENTS, seconds)
        its = partial(plain.book, 1, CLIENTS, seconds)
        read = lab.alternate(
            {
                "Slotwise": partial(_bytes, clinic.database_url, TABLES, partial(_count, clinic), mine),
                "pgbench": partial(_bytes, plain.url, PLAIN_TABLES, plain.rows, its),
            }
        )
    for name, cases in read.items():
        yield Finding(f"log written for a booking, {name}", "bytes", Series(tuple(case.written for case in cases)))
        yield Finding(f"disk taken by a booking, {name}", "bytes", Series(tuple(case.stored for case in cases)))


def _bytes(url: str, tables: list[str], count: Callable[[], int], load: Callable[[], object]) -> Bytes:
    """Measure from a checkpoint on, so that every case includes the full-page writes after one."""
    execute(url, "CHECKPOINT")
    rows, written, stored = count(), number(url, WRITTEN), number(url, STORED, tables)
    load()
    made = count() - rows
    return Bytes((number(url, WRITTEN) - written) / made, (number(url, STORED, tables) - stored) / made)


def _count(clinic: Clinic) -> int:
    return number(clinic.database_url, "SELECT count(*) FROM bookings")


MEMORY = Scenario("memory", "The largest worker after very many bookings", measure_memory)
BYTES = Scenario(
    "bytes",
    f"Log and disk that a booking of one slot takes with its ledger row, beside pgbench's on {baseline.SLOTS:,} rows",
    measure_bytes,
    (WRK, PGBENCH),
)
