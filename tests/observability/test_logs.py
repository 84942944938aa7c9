"""Logs of a production server: JSON lines with request ids, without personal data."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.clinic import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    PATIENCE_SECONDS,
    Clinic,
    RunningServer,
    eventually,
    holder,
    refuse_a_row,
    rows,
)
from tests.clusters import named
from tests.conftest import running_server

CANARY_NAME = "Wilhelmina Canarybird"
CANARY_EMAIL = "wilhelmina.canary@example.org"
CANARY_PASSWORD = "canary's own password"
CANARY_KEY = "canary-idempotency-key-0001"
SECRET = "a canary secret of more than thirty-two bytes"


def whole_session(clinic: Clinic) -> set[str]:
    """Everything a person does, right and wrong; returns the tokens it was given."""
    http = clinic.http
    registration = {"name": CANARY_NAME, "email": CANARY_EMAIL, "password": CANARY_PASSWORD}
    http.post("/api/auth/register", json=registration)
    http.post("/api/auth/register", json=registration)
    http.post("/api/auth/login", json={"email": CANARY_EMAIL, "password": f"wrong {CANARY_PASSWORD}"})
    account = clinic.log_in(CANARY_EMAIL, CANARY_PASSWORD)
    slot = clinic.slot(seats=2)
    person: dict[str, Any] = {"userName": CANARY_NAME, "userEmail": CANARY_EMAIL}
    booking = clinic.book(slot["id"], account | {"Idempotency-Key": CANARY_KEY}, **person).json()
    guest = clinic.hold(slot["id"], **person)
    clinic.book(slot["id"], **person)
    clinic.book(slot["id"], userName=f"{CANARY_NAME}\x00", userEmail=CANARY_EMAIL)
    clinic.book(slot["id"], userName=CANARY_NAME, userEmail=f"no address of {CANARY_NAME}")
    http.post("/api/bookings", content=f'{{"userName": "{CANARY_NAME}', headers={"Content-Type": "application/json"})
    http.get(f"/api/bookings/{guest['id']}", params={"token": guest["manageToken"]})
    http.post(f"/api/bookings/{booking['id']}/confirm", headers=account)
    http.get("/api/bookings", params={"q": CANARY_EMAIL}, headers=clinic.admin)
    http.get(f"/nowhere/{CANARY_EMAIL}", params={"name": CANARY_NAME})
    http.get(f"/api/slots/{CANARY_EMAIL}", headers={"Referer": f"http://x/?token={guest['manageToken']}"})
    http.get("/api/auth/me", headers={"Authorization": f"Bearer {account['Authorization'][7:]}x"})
    http.delete(f"/api/bookings/{guest['id']}", headers=holder(guest))
    change = {"currentPassword": CANARY_PASSWORD, "newPassword": f"new {CANARY_PASSWORD}"}
    http.post("/api/auth/password", json=change, headers=account)
    tokens = {account["Authorization"][7:], clinic.admin["Authorization"][7:]}
    return tokens | {booking["manageToken"], guest["manageToken"]}


@pytest.fixture(scope="module")
def production(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    rows(postgres_url, f"CREATE DATABASE production TEMPLATE {migrated_template}")
    url = named(postgres_url, "production")
    settings = {"APP_ENV": "production", "JWT_SECRET": SECRET, "LOG_LEVEL": "debug"}
    with running_server(url, settings) as server:
        yield server
    rows(postgres_url, "DROP DATABASE production WITH (FORCE)")


def test_no_line_names_anybody_or_holds_a_secret(production: RunningServer) -> None:
    with Clinic(production) as clinic:
        tokens = whole_session(clinic)
        slot = clinic.slot()
        # A defect, caused by a missing table. Its message would contain the request's data.
        rows(production.database_url, "ALTER TABLE bookings RENAME COLUMN user_name TO gone")
        broken = clinic.book(slot["id"], userName=CANARY_NAME, userEmail=CANARY_EMAIL)
        rows(production.database_url, "ALTER TABLE bookings RENAME COLUMN gone TO user_name")
        assert broken.status_code >= 500
        assert CANARY_NAME not in broken.text
        clinic.http.get("/nowhere", headers={"X-Request-ID": "the-last-line"})
    eventually(lambda: "the-last-line" in production.log.read_text())
    log = production.log.read_text()
    secrets = {CANARY_NAME, CANARY_EMAIL, CANARY_PASSWORD, CANARY_KEY, SECRET, ADMIN_EMAIL, ADMIN_PASSWORD, "anary"}
    for secret in secrets | tokens | {token.rsplit(".", 1)[-1] for token in tokens}:
        assert secret not in log


def test_every_request_is_a_line_of_json_with_its_id(production: RunningServer) -> None:
    with Clinic(production) as clinic:
        answer = clinic.http.get("/api/slots/1", headers={"X-Request-ID": "find-me-again"})
        eventually(lambda: "find-me-again" in production.log.read_text())
    text = production.log.read_text()
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    mine = [line for line in lines if line.get("request_id") == "find-me-again"]
    assert len(mine) == 1
    assert mine[0]["event"] == "request"
    assert (mine[0]["method"], mine[0]["route"]) == ("GET", "/api/slots/{slot_id}")
    assert mine[0]["status"] == answer.status_code
    assert mine[0]["milliseconds"] > 0
    assert mine[0]["level"] == "info"
    assert {line["timestamp"][-1] for line in lines} == {"Z"}, "times are UTC"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(mine[0]["timestamp"])).total_seconds() < 60


def test_a_production_server_greets_in_plain_words_and_then_logs_json_only(production: RunningServer) -> None:
    others = [line for line in production.log.read_text().splitlines() if line and not line.startswith("{")]
    assert all(line.startswith(("Waiting for ", "Slotwise ", "Clinic ", "API docs ")) for line in others), others


def test_a_production_server_says_that_it_wants_https(production: RunningServer, clinic: Clinic) -> None:
    with Clinic(production) as safe:
        assert "max-age" in safe.http.get("/health").headers["strict-transport-security"]
    assert "strict-transport-security" not in clinic.http.get("/health").headers


def test_the_databases_own_log_quotes_no_refused_row(clinic: Clinic, postgres_log: Path) -> None:
    """Not even for an error of the unique index, whose DETAIL quotes the e-mail."""
    account = {"name": "Pat Patient", "email": "canary.in.the.index@example.org", "password": "patient's secret"}
    assert [clinic.http.post("/api/auth/register", json=account).status_code for _ in range(2)] == [201, 409]
    refuse_a_row(clinic.server.database_url, account["email"])
    said = postgres_log.read_text(errors="replace")
    assert "user_email_unique" in said, "the refusal is not in the log, so this proves nothing"
    assert "canary.in.the.index" not in said


@pytest.mark.parametrize("form", ["production", "development"])
@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_no_line_of_an_answered_request_is_lost_when_the_server_ends(
    start_server: Callable[..., RunningServer], form: str
) -> None:
    """Requests until the server hangs up, which it does at SIGTERM."""
    server = start_server(APP_ENV=form, JWT_SECRET=SECRET)
    answered = []
    with Clinic(server) as clinic, suppress(httpx.TransportError):
        for number in range(100_000):
            clinic.http.get("/health", headers={"X-Request-ID": f"asked.{number}"})
            answered.append(f"asked.{number}")
            if number == 200:
                server.process.terminate()
    server.process.wait(PATIENCE_SECONDS)
    logged = re.findall(r"asked\.[0-9]+", server.log.read_text())
    assert len(answered) > 200
    assert set(answered) - set(logged) == set()
