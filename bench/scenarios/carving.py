"""Bookings carved out of 1,000 windows, against bookings of 1,000 slots."""

from collections.abc import Iterator
from functools import partial

from bench.acknowledgements import require_rows
from bench.booking import CREATED, book, warm_up
from bench.clinic import Clinic
from bench.database import number
from bench.findings import Finding, at_least
from bench.lab import Lab
from bench.load import wrk
from bench.open_time import VISITS_OF_A_WINDOW, open_windows, write_time_ids
from bench.readings import CheckFailed, Reading
from bench.scenarios.scenario import Scenario
from bench.server import Server
from bench.tools import WRK

CLIENTS = 64
DOCTORS, DAYS = 100, 10
WINDOWS = SLOTS = DOCTORS * DAYS
CARVED = (
    "SELECT count(*) FROM bookings AS b INNER JOIN appointment_slots AS s ON b.slot_id = s.id"
    " WHERE s.window_id BETWEEN $1 AND $2"
)


def measure_carving(lab: Lab) -> Iterator[Finding]:
    seconds = lab.plan.seconds
    with lab.clinic() as clinic, clinic.serve(CLINIC_TIME_ZONE="UTC") as server:
        warm_up(clinic, server)
        _carve(clinic, server, 1)
        cases = {
            "windows": partial(_carve, clinic, server, seconds),
            "slots": partial(book, clinic, server, SLOTS, CLIENTS, seconds),
        }
        measured = lab.measure(cases)
    yield Finding(f"bookings in {WINDOWS:,} windows", "/s", measured.rate("windows"))
    yield Finding(f"bookings of {SLOTS:,} slots", "/s", measured.rate("slots"))
    ratio = measured.rate("windows").over(measured.rate("slots"))
    yield Finding("in windows, times those of slots", "x", ratio, at_least(0.5))
    yield Finding("p99 in windows", "ms", measured.p99("windows"))


def _carve(clinic: Clinic, server: Server, seconds: int) -> Reading:
    """Book visits in new windows, each once. Requires that all answers are 201 and that each has its row."""
    opened = open_windows(clinic, DOCTORS, DAYS)
    file = write_time_ids(clinic, opened, clinic.folder)
    answers = wrk.run(server.url, wrk.Load("carve", {"file": str(file)}), CLIENTS, seconds)
    file.unlink()
    if answers.count(CREATED) >= WINDOWS * VISITS_OF_A_WINDOW - CLIENTS:
        raise CheckFailed(
            f"all {WINDOWS * VISITS_OF_A_WINDOW:,} visits were booked before the end: give fewer --seconds"
        )
    answers.require(CREATED)
    count = partial(number, clinic.database_url, CARVED, opened.windows[0], opened.windows[-1])
    require_rows(count, answers.count(CREATED), CLIENTS)
    return answers.reading(CREATED)


CARVING = Scenario(
    "carving",
    "Bookings in open time, spread over 1,000 windows, against bookings spread over 1,000 slots, with 64 connections",
    measure_carving,
    (WRK,),
)
