"""Pages of the times that can be booked, in slots and in open time, with a few and with a hundred thousand windows."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from functools import partial

import httpx

from bench.clinic import Clinic
from bench.database import row, rows
from bench.findings import Finding, at_most
from bench.history import settle
from bench.lab import Case, Lab
from bench.listing import read_page
from bench.open_time import Opened, open_windows
from bench.readings import CheckFailed, Measured
from bench.scenarios.scenario import Scenario
from bench.scenarios.slot_lists import ListRequest
from bench.server import Server
from bench.tools import WRK
from slotwise.http.kit.paging import DEFAULT_LIMIT

SLOTS_FOR_A_WINDOW = 10
LISTED_DAYS = 50
CLIENTS = 64

_request = partial(ListRequest, route="/api/times")


def measure_times(lab: Lab) -> Iterator[Finding]:
    sizes = lab.plan.listed_slots[0], lab.plan.listed_slots[-1]
    with ExitStack() as stack:
        cases: dict[str, Case] = {}
        for size in sizes:
            clinic = stack.enter_context(lab.clinic())
            server = stack.enter_context(clinic.serve(WORKERS="1", CLINIC_TIME_ZONE="UTC"))
            lab.report(f"making {size:,} slots", 0, 1)
            clinic.open_slots(size, seats=5)
            opened = open_windows(clinic, max(1, size // SLOTS_FOR_A_WINDOW // LISTED_DAYS), LISTED_DAYS)
            settle(clinic)
            cases |= _cases(clinic, server, opened, size, lab.plan.seconds)
        measured = lab.measure(cases)
    yield from _findings_of_times(measured, sizes)


def _cases(clinic: Clinic, server: Server, opened: Opened, size: int, seconds: int) -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for request in _requests(clinic, opened):
        _require_times(clinic, server, request, opened)
        page = partial(read_page, clinic, server, request.path, seconds)
        cases[_named(request.name, size)] = partial(page, clients=CLIENTS)
        cases[_alone(request.name, size)] = partial(page, clients=1)
    return cases


def _requests(clinic: Clinic, opened: Opened) -> Sequence[ListRequest]:
    """The usual queries: with slots and without, and of a doctor and a day in the middle."""
    middle = opened.windows[len(opened.windows) // 2]
    window = row(clinic.database_url, "SELECT doctor_id, local_start::date AS day FROM windows WHERE id = $1", middle)
    visit, day = {"visitTypeId": str(opened.visit_type_id)}, f"{window['day']}T00:00:00Z"
    return (
        _request("first page", {}, "TRUE"),
        _request("of a clinic", {**visit, "clinicId": "1"}, "t.is_carved"),
        _request("from a day on", {**visit, "from": day}, f"t.is_carved AND t.start_time >= '{day}'"),
        _request("of a doctor", {"doctorId": str(window["doctor_id"])}, f"t.doctor_id = {window['doctor_id']}"),
    )


def _require_times(clinic: Clinic, server: Server, request: ListRequest, opened: Opened) -> None:
    """Raise `CheckFailed` unless the page has the right times, found by a different statement than the server's."""
    query = f"""
        SELECT t.start_time, t.doctor_id
        FROM (
            SELECT s.start_time, s.doctor_id, FALSE AS is_carved FROM appointment_slots AS s
            UNION ALL
            SELECT v.start_time + n.n * interval '10 minutes', v.doctor_id, TRUE
            FROM windows AS v
            CROSS JOIN generate_series(0, 71) AS n (n)
            WHERE v.id BETWEEN {opened.windows[0]} AND {opened.windows[-1]}
        ) AS t
        WHERE {request.condition} ORDER BY t.start_time, t.doctor_id LIMIT {DEFAULT_LIMIT}
    """
    expected = [(each["start_time"], each["doctor_id"]) for each in rows(clinic.database_url, query)]
    answer = httpx.get(f"{server.url}{request.path}", timeout=30, verify=False).raise_for_status()
    found = [(datetime.fromisoformat(each["startTime"]), each["doctorId"]) for each in answer.json()["items"]]
    if found != expected or not found:
        raise CheckFailed(f"{request.path} has {len(found)} times {found[:3]}..., not {expected[:3]}...")


def _findings_of_times(measured: Measured, sizes: tuple[int, int]) -> Iterator[Finding]:
    least, most = sizes
    for name in ("first page", "of a clinic", "from a day on", "of a doctor"):
        for size in sizes:
            yield Finding(_named(name, size), "/s", measured.rate(_named(name, size)))
            yield Finding(f"p50 of one client, {_named(name, size)}", "ms", measured.p50(_alone(name, size)))
        yield Finding(f"p99 of {_named(name, most)}", "ms", measured.p99(_named(name, most)), at_most(50))
        growth = measured.rate(_alone(name, most)).over(measured.rate(_alone(name, least)))
        yield Finding(f"{name} of {most:,}, times that of {least:,}, one client", "x", growth)


def _named(name: str, size: int) -> str:
    return f"{name} of {size:,} slots and {size // SLOTS_FOR_A_WINDOW:,} windows"


def _alone(name: str, size: int) -> str:
    return f"{_named(name, size)}, one client"


TIMES = Scenario(
    "times",
    "Pages of GET /api/times over more and more slots and windows, on one worker with 64 connections and with one",
    measure_times,
    (WRK,),
)
