"""A clinic to test with: a running server, its admin, and short words for what tests do over HTTP."""

import itertools
import os
import subprocess
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import httpx

ADMIN_EMAIL = "admin@slotwise.example"
ADMIN_PASSWORD = "a fine admin password"

_numbers = itertools.count(1)


class RunningServer(NamedTuple):
    url: str
    process: "subprocess.Popen[bytes]"
    log: Path
    database_url: str


class Clinic:
    """Talks to a running server. `http` is anonymous; `admin` and `patient()` are headers of accounts."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        self.http = httpx.Client(base_url=server.url, timeout=20)

    def __enter__(self) -> "Clinic":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    @cached_property
    def admin(self) -> dict[str, str]:
        return self.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)

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
        return answer.json()  # type: ignore[no-any-return]

    def slot(self, seats: int = 1, **fields: Any) -> dict[str, Any]:
        """A slot tomorrow, of a doctor of its own unless `doctorId` is given."""
        body = {"totalSeats": seats, "startTime": in_hours(24)} | fields
        if "doctorId" not in body:
            body["doctorId"] = self.doctor()["id"]
        answer = self.http.post("/api/slots", json=body, headers=self.admin)
        assert answer.status_code == 201, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def book(self, slot_id: int, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        body = {"slotId": slot_id, "userName": "Ada Lovelace", "userEmail": "ada@example.org"} | fields
        return self.http.post("/api/bookings", json=body, headers=headers or {})

    def hold(self, slot_id: int, **fields: Any) -> dict[str, Any]:
        answer = self.book(slot_id, **fields)
        assert answer.status_code == 201, answer.text
        return answer.json()  # type: ignore[no-any-return]

    def free_seats(self, slot_id: int) -> int:
        return self.http.get(f"/api/slots/{slot_id}").json()["availableSeats"]  # type: ignore[no-any-return]


def holder(booking: dict[str, Any]) -> dict[str, str]:
    return {"Booking-Token": booking["manageToken"]}


def unique_email() -> str:
    return f"person{next(_numbers)}.{os.getpid()}@example.org"


def in_hours(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")
