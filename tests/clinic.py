"""A clinic to test with: a running server, its admin, and short words for what tests do over HTTP."""

import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import httpx
import psutil
from argon2 import PasswordHasher
from harness.watchdog import run

from tests.zones import false_edition

ADMIN_EMAIL = "admin@slotwise.example"
ADMIN_PASSWORD = "a fine admin password"

# How long tests wait for what must come. Only a machine that is very busy takes more than a few seconds of it.
PATIENCE_SECONDS = 300

_numbers = itertools.count(1)
_tokens: dict[tuple[str, str], dict[str, str]] = {}


class RunningServer(NamedTuple):
    url: str
    process: "subprocess.Popen[bytes]"
    log: Path
    database_url: str


class Clinic:
    """Talks to a running server. `http` is anonymous; `admin` and `patient()` are headers of accounts."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        # No certificates: servers here speak plain HTTP, and loading them takes longer than most tests.
        self.http = httpx.Client(base_url=server.url, timeout=PATIENCE_SECONDS, verify=False)

    def __enter__(self) -> "Clinic":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @cached_property
    def admin(self) -> dict[str, str]:
        return self.logged_in(ADMIN_EMAIL, ADMIN_PASSWORD)

    def logged_in(self, email: str, password: str) -> dict[str, str]:
        """With the token that an earlier test has got, if it is still good: a log-in takes longer than most tests."""
        known = _tokens.get((self.server.url, email))
        if known is None or self.http.get("/api/auth/me", headers=known).status_code != 200:
            known = _tokens[self.server.url, email] = self.log_in(email, password)
        return known

    def log_in(self, email: str, password: str) -> dict[str, str]:
        answer = self.http.post("/api/auth/login", json={"email": email, "password": password})
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['accessToken']}"}

    def patient(self, name: str = "Pat Patient") -> dict[str, str]:
        """Registers somebody new and logs in."""
        email = unique_email()
        answer = self.http.post(
            "/api/auth/register", json={"name": name, "email": email, "password": "patient's secret"}
        )
        assert answer.status_code == 201, answer.text
        return self.log_in(email, "patient's secret")

    def doctor(self, **fields: Any) -> dict[str, Any]:
        answer = self.http.post("/api/doctors", json={"name": "Dr. Who"} | fields, headers=self.admin)
        assert answer.status_code == 201, answer.text
        return object_of(answer)

    def slot(self, seats: int = 1, **fields: Any) -> dict[str, Any]:
        """A slot tomorrow, of a doctor of its own unless `doctorId` is given."""
        body = {"totalSeats": seats, "startTime": in_hours(24)} | fields
        if "doctorId" not in body:
            body["doctorId"] = self.doctor()["id"]
        answer = self.http.post("/api/slots", json=body, headers=self.admin)
        assert answer.status_code == 201, answer.text
        return object_of(answer)

    def book(self, slot_id: int, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = {"slotId": slot_id, "userName": "Ada Lovelace", "userEmail": "ada@example.org"} | fields
        return self.http.post("/api/bookings", json=body, headers=headers or {})

    def hold(self, slot_id: int, **fields: Any) -> dict[str, Any]:
        answer = self.book(slot_id, **fields)
        assert answer.status_code == 201, answer.text
        return object_of(answer)

    def free_seats(self, slot_id: int) -> int:
        return int(self.http.get(f"/api/slots/{slot_id}").json()["availableSeats"])


def object_of(answer: httpx.Response) -> dict[str, Any]:
    """The JSON object that an answer is."""
    body: dict[str, Any] = answer.json()
    return body


def holder(booking: dict[str, Any]) -> dict[str, str]:
    return {"Booking-Token": booking["manageToken"]}


def unique_email() -> str:
    return f"person{next(_numbers)}.{os.getpid()}@example.org"


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def rows(database_url: str, query: str, *arguments: Any) -> "list[asyncpg.Record]":
    """Looks into a server's tables, or plants something in them, behind its back."""

    async def fetch() -> "list[asyncpg.Record]":
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close()

    # A thread of its own, because a browser's tests have an event loop at work.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, fetch()).result()


def plant_account(database_url: str, email: str, name: str, role: str, password: str) -> None:
    insert = "INSERT INTO users (email, name, role, password_hash) VALUES ($1, $2, $3, $4)"
    rows(database_url, insert, email, name, role, PasswordHasher(2, 19456, 1).hash(password))


def refuse_a_row(database_url: str, email: str) -> None:
    """Let the database refuse a second account with an address, and log it as it logs whatever it refuses."""
    insert = "INSERT INTO users (email, name, role, password_hash) VALUES ($1, $1, 'patient', '')"
    with suppress(asyncpg.UniqueViolationError):
        rows(database_url, insert, email)


def slotwise(
    database_url: str, *arguments: str, cwd: Path | None = None, **settings: str
) -> "subprocess.CompletedProcess[str]":
    """Runs the command as an operator does; keyword arguments are environment variables."""
    environment = {
        "PATH": os.environ["PATH"],
        "TMPDIR": tempfile.gettempdir(),
        "COLUMNS": "200",
        "PYTHONTZPATH": str(false_edition()),
    }
    return run(
        [Path(sys.executable).with_name("slotwise"), *arguments],
        PATIENCE_SECONDS,
        environment | {"DATABASE_URL": database_url} | settings,
        cwd or Path("/"),
    )


def problem(answer: httpx.Response, status: int, code: str | None = None, field: str | None = None) -> dict[str, Any]:
    """The body of an error, which is problem details (RFC 9457) whatever went wrong; `field` is the one to blame."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert all(isinstance(body[name], str) and body[name] for name in ("type", "title", "detail", "code")), body
    assert code in {None, body["code"]}, body
    assert field is None or field in [error["field"] for error in body["errors"]], body
    return body


def run_out(server: RunningServer, *bookings: dict[str, Any]) -> None:
    """Let the deadline of holds pass, which is all that time does to them."""
    for booking in bookings:
        rows(server.database_url, "UPDATE bookings SET expires_at = clock_timestamp() WHERE id = $1", booking["id"])


def at_most(seconds: float) -> float:
    """What takes no longer than so many seconds on a quiet machine takes no longer than this here and now: with so many
    processes that want a core, each waits for its turn."""
    waiting = psutil.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds * (1 + waiting)


def eventually(
    holds: Callable[[], bool], seconds: float = PATIENCE_SECONDS, instead: Callable[[], object] = str
) -> None:
    """Wait until it holds; what there is `instead` is told if it never does."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"it never came true: {instead()}"
        time.sleep(0.05)
