"""Bookings beside log-ins: hashing a password occupies a core for tens of milliseconds."""

from collections.abc import Iterator
from functools import partial

from bench.booking import book, warm_up
from bench.clinic import Clinic
from bench.findings import Finding, at_most
from bench.installation import ADMIN_EMAIL, ADMIN_PASSWORD
from bench.lab import Case, Lab
from bench.load import wrk
from bench.readings import CheckFailed, Reading
from bench.scenarios.scenario import Scenario
from bench.server import Server

CLIENTS = 64
LOG_IN_CLIENTS = 4
OK = 200


def measure_log_ins(lab: Lab) -> Iterator[Finding]:
    seconds = lab.plan.seconds
    with lab.clinic() as clinic, clinic.serve() as server:
        warm_up(clinic, server)
        cases: dict[str, Case] = {
            "bookings alone": partial(book, clinic, server, 1, CLIENTS, seconds),
            "beside log-ins": partial(_book_beside_log_ins, clinic, server, seconds),
        }
        measured = lab.measure(cases)
    alone, beside = measured.p99("bookings alone"), measured.p99("beside log-ins")
    yield Finding("p99 of bookings", "ms", alone)
    yield Finding(f"p99 of bookings beside {LOG_IN_CLIENTS} log-in clients", "ms", beside)
    yield Finding("p99 beside log-ins, times alone", "x", beside.over(alone), at_most(2))
    yield Finding("bookings beside log-ins", "/s", measured.rate("beside log-ins"))


def _book_beside_log_ins(clinic: Clinic, server: Server, seconds: int) -> Reading:
    load = wrk.Load("log-in", {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})
    with wrk.running(server.url, load, LOG_IN_CLIENTS, seconds) as log_ins:
        reading = book(clinic, server, 1, CLIENTS, seconds)
        answers = wrk.parse(log_ins.output())
    answers.require(OK)
    if not answers.count(OK):
        raise CheckFailed("no log-in succeeded")
    return reading


LOG_INS = Scenario(
    "log-ins",
    f"The latency of bookings while {LOG_IN_CLIENTS} clients log in without pause, and without them",
    measure_log_ins,
)
