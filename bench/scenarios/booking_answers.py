"""Other requests around a booking: the whole cycle, refusals, and bookings with a key."""

from collections.abc import Iterator
from functools import partial

from bench.booking import CONFLICT, CREATED, book, hold, warm_up
from bench.clinic import Clinic
from bench.database import number
from bench.findings import Finding, at_least
from bench.lab import Case, Lab
from bench.load import wrk
from bench.readings import CheckFailed, Reading
from bench.scenarios.scenario import Scenario
from bench.server import Server

CLIENTS = 64
OK = 200
REQUESTS_PER_CYCLE = 3


def measure_cycle(lab: Lab) -> Iterator[Finding]:
    with lab.clinic() as clinic, clinic.serve() as server:
        warm_up(clinic, server)
        cases: dict[str, Case] = {
            "cycle": partial(_cycle, clinic, server, lab.plan.seconds),
            "holds": partial(book, clinic, server, 1, CLIENTS, lab.plan.seconds),
        }
        measured = lab.measure(cases)
    cycles, holds = measured.rate("cycle"), measured.rate("holds")
    yield Finding("whole cycles: hold, confirm, read", "/s", cycles)
    yield Finding("holds alone", "/s", holds)
    yield Finding("cycles, times holds alone", "x", cycles.over(holds), at_least(0.3))
    yield Finding("p99 of their requests", "ms", measured.p99("cycle"))


def _cycle(clinic: Clinic, server: Server, seconds: int) -> Reading:
    slots = clinic.open_slots()
    newest = clinic.newest_booking()
    answers = wrk.run(server.url, wrk.Load("cycle", hold(slots).values), CLIENTS, seconds)
    answers.require(CREATED, OK)
    clinic.require_bookings(slots, newest, answers.count(CREATED), CLIENTS)
    reads = answers.count(OK) / (REQUESTS_PER_CYCLE - 1)
    _require_confirmed(clinic, slots, reads)
    reading = answers.reading(OK)
    return reading._replace(rate=reading.rate / (REQUESTS_PER_CYCLE - 1))


def _require_confirmed(clinic: Clinic, slots: range, reads: float) -> None:
    """Check that each booking that was read is confirmed. Half of the answers 200, except the last, confirm."""
    query = "SELECT count(*) FROM bookings WHERE slot_id = $1 AND status = 'CONFIRMED'"
    confirmed = number(clinic.database_url, query, slots[0])
    if not reads - CLIENTS <= confirmed <= reads + 2 * CLIENTS:
        raise CheckFailed(f"{reads:,.0f} cycles ended, but {confirmed:,} bookings are confirmed")


def measure_sold_out(lab: Lab) -> Iterator[Finding]:
    with lab.clinic() as clinic, clinic.serve() as server:
        warm_up(clinic, server)
        cases: dict[str, Case] = {
            "refusals": partial(_be_refused, clinic, server, lab.plan.seconds),
            "bookings": partial(book, clinic, server, 1, CLIENTS, lab.plan.seconds),
        }
        measured = lab.measure(cases)
    refusals, bookings = measured.rate("refusals"), measured.rate("bookings")
    yield Finding("refusals of a sold-out slot", "/s", refusals)
    yield Finding("bookings of one slot", "/s", bookings)
    yield Finding("refusals, times bookings", "x", refusals.over(bookings), at_least(1.3))


def _be_refused(clinic: Clinic, server: Server, seconds: int) -> Reading:
    """Request seats of a slot with one seat, which the first request takes."""
    slots = clinic.open_slots(seats=1)
    newest = clinic.newest_booking()
    answers = wrk.run(server.url, hold(slots), CLIENTS, seconds)
    answers.require(CREATED, CONFLICT)
    clinic.require_bookings(slots, newest, acknowledged=1, unheard=0)
    return answers.reading(CONFLICT)


def measure_idempotency(lab: Lab) -> Iterator[Finding]:
    with lab.clinic() as clinic, clinic.serve() as server:
        warm_up(clinic, server)
        cases: dict[str, Case] = {
            "with keys": partial(book, clinic, server, 1, CLIENTS, lab.plan.seconds, keys=True),
            "without": partial(book, clinic, server, 1, CLIENTS, lab.plan.seconds),
        }
        measured = lab.measure(cases)
    with_keys, without = measured.rate("with keys"), measured.rate("without")
    yield Finding("bookings, each with its own Idempotency-Key", "/s", with_keys)
    yield Finding("bookings without", "/s", without)
    yield Finding("with keys, times without", "x", with_keys.over(without))


CYCLE = Scenario("cycle", "Hold, confirm and read, one after the other for each booking, on one slot", measure_cycle)
SOLD_OUT = Scenario("sold-out", "Refusals of a slot without free seats, beside bookings of one with", measure_sold_out)
IDEMPOTENCY = Scenario(
    "idempotency",
    "Bookings that each carry an Idempotency-Key of their own, beside bookings without",
    measure_idempotency,
)
