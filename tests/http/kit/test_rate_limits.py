"""How often one client may book or fail to log in, and how it cannot pretend to be another client."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from slotwise.services.core.rate_limits import client_of
from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer, problem, rows, unique_email
from tests.clusters import named
from tests.conftest import running_server
from tests.streams import EVENTS

PASSWORD = "patient's secret"
SECRET = "of more than thirty-two bytes: 0123456789"


def test_a_client_that_books_too_often_learns_when_to_retry(start_server: Callable[..., RunningServer]) -> None:
    with Clinic(start_server(RATE_LIMIT_BOOKINGS="3/minute")) as clinic:
        slot = clinic.slot(seats=9)
        assert [clinic.book(slot["id"]).status_code for _ in range(3)] == [201] * 3
        refused = clinic.book(slot["id"])
        problem(refused, 429, "too-many-requests")
        assert 0 < int(refused.headers["retry-after"]) <= 60
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"):
            problem(clinic.book(slot["id"], {name: "203.0.113.7"}), 429)
        problem(clinic.book(slot["id"], clinic.patient()), 429)
        assert clinic.free_seats(slot["id"]) == 6
        assert clinic.http.get("/api/slots").status_code == 200, "reading is not booking"


def test_in_development_bookings_are_not_limited(clinic: Clinic) -> None:
    slot = clinic.slot(seats=100)
    assert {clinic.book(slot["id"]).status_code for _ in range(70)} == {201}


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::", "2001:db8:1:3::/64"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_a_client_is_one_ip_or_the_network_of_one_customer(host: str, client: str) -> None:
    assert client_of(host) == client


@pytest.fixture(scope="module")
def behind_a_proxy(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """In production, with this machine as the trusted proxy: a header says which client a test forwards."""
    with _database(postgres_url, migrated_template) as url:
        settings = {"APP_ENV": "production", "JWT_SECRET": SECRET, "TRUSTED_PROXIES": "127.0.0.1, 198.51.100.0/24"}
        limits = {"RATE_LIMIT_BOOKINGS": "3/hour", "SEAT_STREAMS_PER_CLIENT": "2", "SEAT_STREAMS": "5", "WORKERS": "1"}
        with running_server(url, settings | limits | {"LOG_LEVEL": "warning"}) as server:
            yield server


@contextmanager
def _database(postgres_url: str, template: str) -> Iterator[str]:
    rows(postgres_url, f"CREATE DATABASE behind_a_proxy TEMPLATE {template}")
    yield named(postgres_url, "behind_a_proxy")
    rows(postgres_url, "DROP DATABASE behind_a_proxy WITH (FORCE)")


# What clients send before the trusted proxies add the IP that they see.
FORGED = ["", "192.0.2.1, ", "127.0.0.1, ", "198.51.100.9, ", "unknown, ", "a,b,,c, ", "[::1]:80, ", "\xff\xfe, ", ", "]


def forwarded(client: str, forged: str = "") -> list[tuple[bytes, bytes]]:
    return [(b"X-Forwarded-For", f"{forged}{client}".encode("latin-1"))]


def book(clinic: Clinic, slot_id: int, headers: list[tuple[bytes, bytes]]) -> httpx.Response:
    body = {"slotId": slot_id, "userName": "Ada Lovelace", "userEmail": "ada@example.org"}
    return clinic.http.post("/api/bookings", json=body, headers=headers)


@pytest.mark.parametrize(
    ("client", "same", "other"),
    [
        ("203.0.113.7", ["203.0.113.7:4711", "203.0.113.7, 198.51.100.7"], "203.0.113.8"),
        ("2001:db8:1:2::1", ["2001:db8:1:2:ffff::1", "[2001:db8:1:2::9]:80", "2001:DB8:1:2::3"], "2001:db8:1:3::1"),
    ],
)
def test_behind_a_trusted_proxy_each_client_has_its_own_limit_and_cannot_fake_another(
    behind_a_proxy: RunningServer, client: str, same: list[str], other: str
) -> None:
    with Clinic(behind_a_proxy) as clinic:
        slot_id = clinic.slot(seats=50)["id"]
        assert [book(clinic, slot_id, forwarded(client)).status_code for _ in range(3)] == [201] * 3
        for forged in FORGED:
            for spelled in [client, *same]:
                assert book(clinic, slot_id, forwarded(spelled, forged)).status_code == 429, (forged, spelled)
            twice = [*forwarded(forged.rstrip(", ") or "192.0.2.1"), *forwarded(client)]
            assert book(clinic, slot_id, twice).status_code == 429, forged
        problem(book(clinic, slot_id, [*forwarded(client), (b"X-Real-IP", b"192.0.2.1")]), 429, "too-many-requests")
        assert book(clinic, slot_id, forwarded(other)).status_code == 201


def log_in(clinic: Clinic, email: str, password: str, client: str, forged: str = "") -> int:
    body = {"email": email, "password": password}
    return clinic.http.post("/api/auth/login", json=body, headers=forwarded(client, forged)).status_code


def test_an_attacker_cannot_evade_the_log_in_limit_or_lock_the_victim_out(behind_a_proxy: RunningServer) -> None:
    with Clinic(behind_a_proxy) as clinic:
        victim = {"name": "Vic Victim", "email": unique_email(), "password": PASSWORD}
        assert clinic.http.post("/api/auth/register", json=victim).status_code == 201
        network = "2001:db8:bad:bad"
        guesses = [log_in(clinic, victim["email"], "a wrong guess", f"{network}::{n}") for n in range(1, 12)]
        assert guesses == [401] * 10 + [429]
        assert {log_in(clinic, victim["email"], PASSWORD, f"{network}::1", forged) for forged in FORGED} == {429}
        assert log_in(clinic, victim["email"], PASSWORD, "203.0.113.99") == 200
        assert log_in(clinic, victim["email"], PASSWORD, f"{network}::1") == 429


def test_streams_are_limited_for_each_client_behind_the_proxy_and_in_all(behind_a_proxy: RunningServer) -> None:
    limits = httpx.Limits(max_connections=None)
    with httpx.Client(base_url=behind_a_proxy.url, verify=False, limits=limits) as http, ExitStack() as stack:

        def watch(client: str) -> httpx.Response:
            answer = stack.enter_context(http.stream("GET", EVENTS, headers=forwarded(client, "192.0.2.1, ")))
            return answer if answer.status_code == 200 else _read(answer)

        assert [watch("203.0.113.20").status_code for _ in range(2)] == [200, 200]
        refused = watch("203.0.113.20")
        problem(refused, 429, "too-many-requests")
        assert int(refused.headers["retry-after"]) > 0
        assert [watch(f"2001:db8:1:9::{n}").status_code for n in range(1, 3)] == [200, 200]
        problem(watch("2001:db8:1:9::3"), 429, "too-many-requests")
        assert watch("203.0.113.21").status_code == 200
        full = watch("203.0.113.22")
        problem(full, 503, "overloaded")
        assert int(full.headers["retry-after"]) > 0
        # Before the framework looks at anything else, which would cost more than the refusal.
        problem(http.get(EVENTS, headers={"Authorization": "Bearer none"}), 503, "overloaded")


def _read(answer: httpx.Response) -> httpx.Response:
    answer.read()
    return answer


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
async def test_bookings_are_answered_while_log_ins_wait_for_their_hashes(clinic: Clinic) -> None:
    slot_id = clinic.slot(seats=500)["id"]
    booking = {"slotId": slot_id, "userName": "Ada Lovelace", "userEmail": "ada@example.org"}

    async with httpx.AsyncClient(
        base_url=clinic.server.url, timeout=PATIENCE_SECONDS, limits=httpx.Limits(), verify=False
    ) as http:

        async def guess() -> int:
            body = {"email": unique_email(), "password": "a wrong guess"}
            return (await http.post("/api/auth/login", json=body)).status_code

        flood = [asyncio.ensure_future(guess()) for _ in range(64)]
        await asyncio.wait(flood, return_when=asyncio.FIRST_COMPLETED)
        booked = 0
        while not all(attempt.done() for attempt in flood):
            assert (await http.post("/api/bookings", json=booking)).status_code == 201
            booked += 1
        assert {attempt.result() for attempt in flood} <= {401, 503}
    # One after another. If hashes block the worker, or too many run at once, only about twelve are booked.
    assert booked > 32
