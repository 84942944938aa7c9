"""A database that accepts connections but does not answer: all its processes are stopped and go on later."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import uuid4

import httpx
import pytest

from tests.clinic import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    PATIENCE_SECONDS,
    Clinic,
    RunningServer,
    at_most,
    eventually,
    holder,
)
from tests.conftest import running_server
from tests.http.test_health import samples
from tests.postgres import OwnPostgres, own_postgres

BODY = {"userName": "Ada", "userEmail": "ada@example.org"}
# More of each than the pool has connections: some wait for a connection, the others for their answer.
OF_EACH = 15
STATES = ("open", "idle")
TEMPORARY = {"database-unavailable", "database-busy", "outcome-unknown", "overloaded"}


class Asked(NamedTuple):
    """One request and its outcome."""

    method: str
    path: str
    answer: httpx.Response
    seconds: float


@pytest.fixture
def postgres() -> Iterator[OwnPostgres]:
    with own_postgres() as postgres:
        yield postgres


@pytest.mark.slow  # waits out ten seconds
def test_every_request_is_answered_in_ten_seconds_and_service_is_back_in_five(postgres: OwnPostgres) -> None:
    with running_server(postgres.url, {"HOLD_SECONDS": "600"}) as server, Clinic(server) as clinic:
        slot_id = clinic.slot(seats=1000)["id"]
        requests = everything(clinic, slot_id)
        postgres.pause()
        asked = asyncio.run(ask_all_at_once(server, requests))
        postgres.resume()
        healed = time.monotonic()
        eventually(lambda: clinic.book(slot_id).status_code == 201, at_most(5))
        eventually(
            lambda: clinic.http.get("/health/ready").status_code == 200, at_most(5) - (time.monotonic() - healed)
        )
        for one in asked:
            check_while_it_hung(one)
        eventually(lambda: idle_pools(clinic))
        retry_with_keys(clinic, requests)


def everything(clinic: Clinic, slot_id: int) -> list[httpx.Request]:
    """Requests of every kind: pages and lists, log-ins, the three that go through batches, an admin's, and health."""
    holds = [clinic.hold(slot_id) for _ in range(2 * OF_EACH)]
    patient = clinic.patient()
    body = {"slotId": slot_id, **BODY}
    log_in = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
    kinds = [
        *(("POST", f"/api/bookings/{hold['id']}/confirm", None, holder(hold)) for hold in holds[:OF_EACH]),
        *(("DELETE", f"/api/bookings/{hold['id']}", None, holder(hold)) for hold in holds[OF_EACH:]),
        *(("POST", "/api/bookings", body, {"Idempotency-Key": uuid4().hex}) for _ in range(OF_EACH)),
        *(("POST", "/api/auth/login", log_in, {}) for _ in range(OF_EACH)),
        *(("GET", f"/api/slots?minSeats={number + 1}", None, {}) for number in range(OF_EACH)),
        *(("GET", "/api/bookings/my-bookings", None, patient) for _ in range(OF_EACH)),
        *(("GET", "/health/ready", None, {}) for _ in range(OF_EACH)),
        ("POST", "/api/doctors", {"name": "Dr. Who"}, clinic.admin),
        ("GET", "/metrics", None, {}),
        ("GET", "/health", None, {}),
    ]
    return [
        clinic.http.build_request(method, path, json=json, headers=headers) for method, path, json, headers in kinds
    ]


async def ask_all_at_once(server: RunningServer, requests: Sequence[httpx.Request]) -> list[Asked]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False, limits=limits) as http:

        async def ask(request: httpx.Request) -> Asked:
            began = time.monotonic()
            answer = await http.send(request)
            return Asked(request.method, request.url.path, answer, time.monotonic() - began)

        return await asyncio.gather(*(ask(request) for request in requests))


def check_while_it_hung(asked: Asked) -> None:
    if asked.path in {"/health", "/metrics"}:
        assert (asked.answer.status_code, asked.seconds < at_most(1)) == (200, True), asked
        return
    assert asked.answer.status_code == 503, asked
    assert int(asked.answer.headers["Retry-After"]) > 0, asked
    if asked.path == "/health/ready":
        assert asked.answer.json()["status"] == "unavailable"
        assert asked.answer.json()["problems"]
        assert asked.seconds < at_most(2.5), asked  # about 2 where nothing else uses the machine
    else:
        assert asked.answer.json()["code"] in TEMPORARY, asked.answer.text
        assert asked.seconds < 10 + at_most(0.5), asked


def idle_pools(clinic: Clinic) -> bool:
    """Wait until no connection is in use in any pool of any worker."""
    now = samples(clinic)
    pools = ("requests", "batches")
    opened, idle = ([now.get(("slotwise_pool_connections", pool, state)) for pool in pools] for state in STATES)
    return None not in opened and opened == idle


def retry_with_keys(clinic: Clinic, requests: Sequence[httpx.Request]) -> None:
    """Retry. Each key has exactly one booking, whether or not the first attempt took effect."""
    keyed = [request for request in requests if "Idempotency-Key" in request.headers]
    answers = [clinic.http.send(request) for request in keyed for _ in range(2)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == len(keyed)
