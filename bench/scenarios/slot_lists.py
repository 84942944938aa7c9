"""Pages of free slots, with a thousand to a million slots."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple
from urllib.parse import urlencode

from bench.clinic import Clinic
from bench.database import row
from bench.findings import Finding, at_least
from bench.history import settle
from bench.lab import Case, Lab
from bench.listing import read_page, require_items
from bench.readings import Measured
from bench.scenarios.booking_throughput import FLAT
from bench.scenarios.scenario import Scenario
from bench.server import Server
from slotwise.http.kit.paging import DEFAULT_LIMIT, StartPosition, encode_cursor


class ListRequest(NamedTuple):
    """A query of a list, and the condition in SQL for what it must return."""

    name: str
    query: dict[str, str]
    condition: str
    route: str = "/api/slots"

    @property
    def path(self) -> str:
        return f"{self.route}?{urlencode(self.query)}"


def measure_slot_lists(lab: Lab) -> Iterator[Finding]:
    sizes = lab.plan.listed_slots
    with ExitStack() as stack:
        cases: dict[str, Case] = {}
        for size in sizes:
            clinic = stack.enter_context(lab.clinic())
            server = stack.enter_context(clinic.serve(WORKERS="1"))
            lab.report(f"making {size:,} slots", 0, 1)
            clinic.open_slots(size, seats=5)
            settle(clinic)
            cases |= _cases(clinic, server, size, lab.plan.seconds)
        measured = lab.measure(cases)
    yield from _findings(measured, sizes)


def _cases(clinic: Clinic, server: Server, size: int, seconds: int) -> dict[str, Case]:
    requests = _requests(clinic, size)
    for request in requests:
        require_items(server, request.path, None, _expected(clinic, request))
    return {
        _named(request.name, size): partial(read_page, clinic, server, request.path, seconds) for request in requests
    }


def _requests(clinic: Clinic, size: int) -> Sequence[ListRequest]:
    """The usual queries. The deep page begins in the middle of all slots."""
    middle = row(
        clinic.database_url,
        "SELECT id, doctor_id, start_time FROM appointment_slots ORDER BY start_time, id OFFSET $1 LIMIT 1",
        size // 2,
    )
    start, slot_id = middle["start_time"], middle["id"]
    day = start.date().isoformat()
    period = {"from": f"{day}T00:00:00Z", "to": f"{day}T23:30:00Z"}
    return (
        ListRequest("first page", {}, "TRUE"),
        ListRequest("by doctor", {"doctorId": str(middle["doctor_id"])}, f"s.doctor_id = {middle['doctor_id']}"),
        ListRequest("by speciality", {"specialization": "Speciality 0"}, "d.specialization = 'Speciality 0'"),
        ListRequest("by period", period, f"s.start_time >= '{period['from']}' AND s.start_time < '{period['to']}'"),
        ListRequest(
            "deep page",
            {"cursor": encode_cursor(StartPosition(start, slot_id))},
            f"(s.start_time, s.id) > ('{start.isoformat()}', {slot_id})",
        ),
    )


def _expected(clinic: Clinic, request: ListRequest) -> list[int]:
    """The expected ids, by a different statement than the server's."""
    query = (
        "SELECT array(SELECT s.id FROM appointment_slots AS s INNER JOIN doctors AS d ON s.doctor_id = d.id"
        f" WHERE {request.condition} ORDER BY s.start_time, s.id LIMIT {DEFAULT_LIMIT})"
    )
    return list(row(clinic.database_url, query)[0])


def _findings(measured: Measured, sizes: Sequence[int]) -> Iterator[Finding]:
    least, most = sizes[0], sizes[-1]
    for name in ("first page", "by doctor", "by speciality", "by period", "deep page"):
        for size in sizes:
            target = at_least(4000) if name == "first page" else None
            yield Finding(_named(name, size), "/s", measured.rate(_named(name, size)), target)
        growth = measured.rate(_named(name, most)).over(measured.rate(_named(name, least)))
        flat = at_least(FLAT) if name == "first page" else None
        yield Finding(f"{name} of {most:,}, times that of {least:,}", "x", growth, flat)


def _named(name: str, size: int) -> str:
    return f"{name} of {size:,} slots"


SLOT_LISTS = Scenario(
    "slot-lists",
    "Pages of GET /api/slots over more and more slots, on one worker with 16 connections",
    measure_slot_lists,
)
