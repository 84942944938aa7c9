"""An account's own bookings and the desk's list, with few and with very many bookings."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import httpx

from bench.clinic import Clinic
from bench.database import number, row
from bench.findings import Finding, at_least
from bench.history import fill_for
from bench.lab import Case, Lab
from bench.listing import read_page, require_items
from bench.readings import Measured
from bench.scenarios.booking_throughput import FLAT
from bench.scenarios.scenario import Scenario
from bench.server import Server
from slotwise.http.kit.paging import DEFAULT_LIMIT, IdPosition, encode_cursor

FEW = 10_000
BOOKINGS_PER_SLOT = DEFAULT_LIMIT
OWN = 1_000
PATIENT = {"name": "Pat Patient", "email": "pat@example.org", "password": "patient's secret"}


class ListRequest(NamedTuple):
    """A request with its access token, and the condition in SQL for the bookings that it must return."""

    name: str
    path: str
    token: str
    condition: str


def measure_booking_lists(lab: Lab) -> Iterator[Finding]:
    sizes = sorted({FEW, lab.plan.rows})
    with ExitStack() as stack:
        cases: dict[str, Case] = {}
        for size in sizes:
            clinic = stack.enter_context(lab.clinic())
            server = stack.enter_context(clinic.serve(WORKERS="1"))
            _fill(lab, clinic, server, size)
            cases |= _cases(clinic, server, size, lab.plan.seconds)
        measured = lab.measure(cases)
    yield from _findings(measured, sizes)


def _fill(lab: Lab, clinic: Clinic, server: Server, size: int) -> None:
    """Fill the tables. For any size, a slot has one page of bookings and the patient has a thousand."""
    answer = httpx.post(f"{server.url}/api/auth/register", json=PATIENT, verify=False)
    user_id = answer.raise_for_status().json()["id"]
    slots = clinic.open_slots(size // BOOKINGS_PER_SLOT)
    fill_for(clinic, slots, BOOKINGS_PER_SLOT, "CONFIRMED", lab.report, user_id, size // OWN)


def _cases(clinic: Clinic, server: Server, size: int, seconds: int) -> dict[str, Case]:
    requests = _requests(clinic, server)
    for request in requests:
        require_items(server, request.path, request.token, _expected(clinic, request))
    return {
        _named(request.name, size): partial(read_page, clinic, server, request.path, seconds, request.token)
        for request in requests
    }


def _requests(clinic: Clinic, server: Server) -> Sequence[ListRequest]:
    """The deep page begins in the middle of all bookings."""
    admin = clinic.log_in(server)
    patient = clinic.log_in(server, PATIENT["email"], PATIENT["password"])
    user_id = number(clinic.database_url, "SELECT id FROM users WHERE email = $1", PATIENT["email"])
    middle = clinic.newest_booking() // 2
    slot_id = number(clinic.database_url, "SELECT slot_id FROM bookings WHERE id = $1", middle)
    cursor = encode_cursor(IdPosition(middle))
    return (
        ListRequest("my-bookings", "/api/bookings/my-bookings", patient, f"user_id = {user_id}"),
        ListRequest("desk's list", "/api/bookings", admin, "TRUE"),
        ListRequest("desk's deep page", f"/api/bookings?cursor={cursor}", admin, f"id < {middle}"),
        ListRequest("desk's list of a slot", f"/api/bookings?slotId={slot_id}", admin, f"slot_id = {slot_id}"),
        ListRequest("desk's list by status", "/api/bookings?status=CONFIRMED", admin, "status = 'CONFIRMED'"),
    )


def _expected(clinic: Clinic, request: ListRequest) -> list[int]:
    """The expected ids, newest first, by a different statement than the server's."""
    query = f"SELECT array(SELECT id FROM bookings WHERE {request.condition} ORDER BY id DESC LIMIT {DEFAULT_LIMIT})"
    return list(row(clinic.database_url, query)[0])


def _findings(measured: Measured, sizes: Sequence[int]) -> Iterator[Finding]:
    least, most = sizes[0], sizes[-1]
    names = ("my-bookings", "desk's list", "desk's deep page", "desk's list of a slot", "desk's list by status")
    for name in names:
        for size in sizes:
            yield Finding(_named(name, size), "/s", measured.rate(_named(name, size)))
        growth = measured.rate(_named(name, most)).over(measured.rate(_named(name, least)))
        yield Finding(f"{name}, times that of {least:,}", "x", growth, at_least(FLAT))


def _named(name: str, size: int) -> str:
    return f"{name} of {size:,} bookings"


BOOKING_LISTS = Scenario(
    "booking-lists",
    "my-bookings and the desk's list over few and very many bookings, on one worker with 16 connections",
    measure_booking_lists,
)
