"""Whether a booking costs more after many earlier ones: in its slot, in the table, and after expired holds."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import NamedTuple

from bench.booking import book, book_on, warm_up
from bench.clinic import Clinic
from bench.database import number
from bench.findings import Finding, at_least
from bench.history import fill, fill_slot, settle
from bench.lab import Case, Lab
from bench.readings import CheckFailed, Measured, Reading
from bench.scenarios.booking_throughput import FLAT
from bench.scenarios.scenario import Scenario
from bench.server import Server

CLIENTS = 64
SLOTS = 1_000
WORN = 0.1
BURST_SECONDS = 2
EXPIRY_SECONDS = 60


class Stage(NamedTuple):
    """Where a case books. If `slots` is None, each measurement opens a new slot."""

    clinic: Clinic
    server: Server
    slots: range | None


class Aged:
    """A stage with a history of `size` bookings. It is made again after the measurements have added a tenth to it."""

    def __init__(self, stack: ExitStack, size: int, make: Callable[[], AbstractContextManager[Stage]]) -> None:
        self._current = stack.enter_context(ExitStack())
        self._size = size
        self._make = make
        self._stage: Stage | None = None
        self._added = 0.0

    def book(self, seconds: int) -> Reading:
        stage = self._fresh_enough()
        if stage.slots is None:
            reading = book(stage.clinic, stage.server, 1, CLIENTS, seconds)
        else:
            reading = book_on(stage.clinic, stage.server, stage.slots, CLIENTS, seconds)
        self._added += reading.rate * seconds
        return reading

    def _fresh_enough(self) -> Stage:
        if self._stage is None or self._added > self._size * WORN:
            self._current.close()
            self._stage = self._current.enter_context(self._make())
            self._added = 0.0
        return self._stage


def measure_growth_in_slot(lab: Lab) -> Iterator[Finding]:
    sizes = lab.plan.bookings_in_slot
    with lab.clinic() as clinic, clinic.serve() as server, ExitStack() as stack:
        warm_up(clinic, server)

        @contextmanager
        def slot_with(size: int) -> Iterator[Stage]:
            yield Stage(clinic, server, fill_slot(clinic, size, lab.report))

        aged = {size: Aged(stack, size, partial(slot_with, size)) for size in sizes}
        measured = lab.measure({_named(size): partial(aged[size].book, lab.plan.seconds) for size in sizes})
    yield from _findings(measured, sizes)


def measure_growth_in_table(lab: Lab) -> Iterator[Finding]:
    sizes = lab.plan.bookings_in_table
    with ExitStack() as stack:
        aged = {size: Aged(stack, size, partial(_table_with, lab, size)) for size in sizes}
        measured = lab.measure({_named(size): partial(aged[size].book, lab.plan.seconds) for size in sizes})
    yield from _findings(measured, sizes)


@contextmanager
def _table_with(lab: Lab, size: int) -> Iterator[Stage]:
    """A clinic with so many bookings in a thousand slots."""
    with lab.clinic() as clinic, clinic.serve() as server:
        fill(clinic, clinic.open_slots(SLOTS), size // SLOTS, "CONFIRMED", lab.report)
        warm_up(clinic, server)
        yield Stage(clinic, server, None)


def _findings(measured: Measured, sizes: Sequence[int]) -> Iterator[Finding]:
    least, most = sizes[0], sizes[-1]
    for size in sizes:
        yield Finding(f"bookings {_named(size)}", "/s", measured.rate(_named(size)))
    ratio = measured.rate(_named(most)).over(measured.rate(_named(least)))
    yield Finding(f"{_named(most)}, times {_named(least)}", "x", ratio, at_least(FLAT))


def _named(size: int) -> str:
    return f"after {size:,}"


def measure_churn(lab: Lab) -> Iterator[Finding]:
    seconds = lab.plan.seconds
    with lab.clinic() as clinic, clinic.serve() as server:
        warm_up(clinic, server)
        slots = clinic.open_slots()
        _churn(lab, clinic, slots)
        cases: dict[str, Case] = {
            "the churned slot": partial(book_on, clinic, server, slots, CLIENTS, seconds),
            "a fresh slot": partial(book, clinic, server, 1, CLIENTS, seconds),
        }
        measured = lab.measure(cases)
    churned, fresh = measured.rate("the churned slot"), measured.rate("a fresh slot")
    yield Finding(f"bookings after {lab.plan.expired_holds:,} expired holds", "/s", churned)
    yield Finding("bookings of a fresh slot", "/s", fresh)
    yield Finding("churned slot, times a fresh one", "x", churned.over(fresh), at_least(FLAT))


def _churn(lab: Lab, clinic: Clinic, slots: range) -> None:
    """Make the planned number of holds of one slot, which expire after a second."""
    made = 0
    with clinic.serve(HOLD_SECONDS="1") as hasty:
        while made < lab.plan.expired_holds:
            lab.report("holding seats for a second", made, lab.plan.expired_holds)
            newest = clinic.newest_booking()
            book_on(clinic, hasty, slots, CLIENTS, BURST_SECONDS)
            made += clinic.newest_booking() - newest
        _await_expiry(clinic, slots)
    settle(clinic)


def _await_expiry(clinic: Clinic, slots: range) -> None:
    query = "SELECT count(*) FROM bookings WHERE slot_id = $1 AND status = 'PENDING'"
    deadline = time.monotonic() + EXPIRY_SECONDS
    while number(clinic.database_url, query, slots[0]):
        if time.monotonic() > deadline:
            raise CheckFailed(f"holds of a second were not all expired after {EXPIRY_SECONDS} s")
        time.sleep(0.2)


IN_SLOT = Scenario(
    "growth-in-slot", "Bookings of a slot after more and more bookings of the same slot", measure_growth_in_slot
)
IN_TABLE = Scenario(
    "growth-in-table", "Bookings of a new slot with more and more bookings of other slots", measure_growth_in_table
)
CHURN = Scenario("churn", "Bookings of a slot after very many holds of it have run out", measure_churn)
