"""A person's own data over HTTP, and the audit log's entries for names that the desk reads."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from slotwise.services.privacy.personal_data import PersonalDataDocument
from tests.clinic import Clinic, RunningServer, eventually, holder, object_of, problem, rows
from tests.traces import places_of

PASSWORD = "canary's own password"

_numbers = itertools.count(1)


class Canary:
    """A person with an account, whose name and e-mail address appear nowhere else."""

    def __init__(self, clinic: Clinic) -> None:
        self.number = f"{os.getpid()}q{next(_numbers)}"
        self.name = f"Wilhelmina Canarybird-{self.number}"
        self.email = f"wilhelmina.canary.{self.number}@example.org"
        self.clinic = clinic
        account = {"name": self.name, "email": self.email, "password": PASSWORD}
        self.id = clinic.http.post("/api/auth/register", json=account).json()["id"]
        self.headers = clinic.log_in(self.email, PASSWORD)

    @property
    def words(self) -> tuple[str, ...]:
        return self.name, self.email, f"canary.{self.number}", f"Canarybird-{self.number}"

    def book(self, seats: int = 3, **fields: Any) -> dict[str, Any]:
        slot = self.clinic.slot(seats=seats)
        answer = self.clinic.book(slot["id"], self.headers, userName=self.name, userEmail=self.email, **fields)
        assert answer.status_code == 201, answer.text
        return object_of(answer)

    def export(self) -> PersonalDataDocument:
        answer = self.clinic.http.get("/api/auth/me/data", headers=self.headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        return msgspec.json.decode(answer.content, type=PersonalDataDocument)

    def erase(self, password: str = PASSWORD) -> httpx.Response:
        return self.clinic.http.request("DELETE", "/api/auth/me", json={"password": password}, headers=self.headers)


@pytest.fixture
def canary(clinic: Clinic) -> Canary:
    return Canary(clinic)


def audit_of(server: RunningServer, subject: str, action: str) -> list[tuple[str, dict[str, Any]]]:
    """The actor and the details of each entry."""
    found = rows(
        server.database_url,
        "SELECT actor, details FROM audit_log WHERE subject = $1 AND action = $2 ORDER BY id",
        subject,
        action,
    )
    return [(row["actor"], msgspec.json.decode(row["details"])) for row in found]


# Export.


def test_a_patient_gets_all_data_of_their_account(canary: Canary, staff: dict[str, str]) -> None:
    booking = canary.book(confirm=True)
    canary.clinic.http.get(f"/api/bookings/{booking['id']}", headers=staff)
    canary.clinic.http.delete(f"/api/bookings/{booking['id']}", headers=canary.headers)
    data = canary.export()
    assert data.account is not None
    assert (data.account.id, data.account.name, data.account.email) == (canary.id, canary.name, canary.email)
    assert [note.action for note in data.audit_log] == ["create_user", "export_personal_data"]
    [record] = data.bookings
    assert (record.id, record.user_name, record.user_email) == (booking["id"], canary.name, canary.email)
    assert (record.status, record.doctor_name, record.slot_id) == ("CANCELLED", "Dr. Who", booking["slotId"])
    assert [(event.kind, event.actor) for event in record.events] == [
        ("BOOKED", f"user:{canary.id}"),
        ("CANCELLED", f"user:{canary.id}"),
    ]
    assert [note.action for note in record.audit_log] == ["get_booking"]


def test_an_export_has_no_hash_and_no_token(canary: Canary) -> None:
    canary.book()
    said = canary.clinic.http.get("/api/auth/me/data", headers=canary.headers).text
    assert canary.email in said
    assert not [word for word in ("argon2", "password", "token", "hash") if word in said.lower()]


def test_a_booking_by_somebody_else_with_the_same_email_is_not_the_accounts(canary: Canary, clinic: Clinic) -> None:
    mine = canary.book()
    clinic.hold(clinic.slot()["id"], userName="Somebody Else", userEmail=canary.email.upper())
    assert [record.id for record in canary.export().bookings] == [mine["id"]]


def test_bookings_that_the_desk_made_for_others_are_not_its_personal_data(
    clinic: Clinic, staff: dict[str, str], staff_account: str
) -> None:
    made = clinic.book(clinic.slot()["id"], staff, userName="By Telephone", userEmail="phone@example.org")
    own = clinic.book(clinic.slot()["id"], staff, userName="Rita", userEmail=staff_account)
    answer = clinic.http.get("/api/auth/me/data", headers=staff)
    exported = {booking["id"] for booking in answer.json()["bookings"]}
    assert own.json()["id"] in exported
    assert made.json()["id"] not in exported
    assert "phone@example.org" not in answer.text


def test_an_export_that_fails_half_way_is_visibly_incomplete_and_logs_no_names(canary: Canary) -> None:
    canary.book()
    server = canary.clinic.server
    rows(server.database_url, "ALTER TABLE bookings RENAME COLUMN cancel_reason TO gone")
    try:
        with pytest.raises(httpx.RemoteProtocolError):
            canary.export()
    finally:
        rows(server.database_url, "ALTER TABLE bookings RENAME COLUMN gone TO cancel_reason")
    assert len(canary.export().bookings) == 1
    assert not [word for word in canary.words if word in server.log.read_text(errors="replace")]


# Erasure.


def test_an_erased_account_leaves_no_name_and_no_email_anywhere(canary: Canary, postgres_log: Path) -> None:
    clinic, server = canary.clinic, canary.clinic.server
    upcoming = canary.book(confirm=True)
    held = clinic.book(upcoming["slotId"], canary.headers | {"Idempotency-Key": f"key-of-{canary.number}"}).json()
    past = canary.book(confirm=True)
    rows(
        server.database_url,
        "UPDATE appointment_slots SET start_time = now() - interval '2 hours', end_time = now() - interval '1 hour'"
        " WHERE id = $1",
        past["slotId"],
    )
    rows(
        server.database_url,
        "UPDATE bookings SET cancel_reason = $2 WHERE id = $1",
        past["id"],
        f"{canary.name} said so on the telephone",
    )
    logged = len(postgres_log.read_bytes())
    account = {"name": canary.name, "email": canary.email, "password": PASSWORD}
    problem(clinic.http.post("/api/auth/register", json=account), 409, "email-taken")
    clinic.http.get("/api/bookings", params={"q": canary.email}, headers=clinic.admin)

    kept = places_of(server.database_url, *canary.words)
    assert kept >= {"users.name", "users.email", "bookings.user_name", "bookings.user_email", "bookings.cancel_reason"}

    assert canary.erase().status_code == 204
    assert places_of(server.database_url, *canary.words) == set()
    clinic.http.get("/nowhere", headers={"X-Request-ID": f"last-line-{canary.number}"})
    eventually(lambda: f"last-line-{canary.number}" in server.log.read_text(errors="replace"))
    logs = server.log.read_text(errors="replace") + postgres_log.read_text(errors="replace")
    # The log entry of an error would show the row, unless an operator configures their server not to.
    assert b"user_email_unique" not in postgres_log.read_bytes()[logged:]
    assert not [word for word in canary.words if word in logs]

    seen = {booking["id"]: clinic.http.get(f"/api/bookings/{booking['id']}", headers=holder(booking)).json()
            for booking in (upcoming, held, past)}  # fmt: skip
    assert {booking["userName"] for booking in seen.values()} == {"Erased"}
    assert [seen[booking["id"]]["status"] for booking in (upcoming, held, past)] == [
        "CANCELLED", "CANCELLED", "CONFIRMED",
    ]  # fmt: skip
    assert clinic.free_seats(upcoming["slotId"]) == 3
    assert audit_of(server, f"user:{canary.id}", "erase_personal_data") == [
        (f"user:{canary.id}", {"bookings": 3, "cancelled": 2, "booking_ids": sorted(seen)})
    ]
    reasons = rows(server.database_url, "SELECT DISTINCT cancel_reason FROM bookings WHERE id = $1", upcoming["id"])
    assert reasons[0]["cancel_reason"] == "erased"


def test_an_erased_account_is_closed_and_its_email_can_register_again(canary: Canary) -> None:
    canary.book()
    assert canary.erase().status_code == 204
    http = canary.clinic.http
    problem(http.get("/api/auth/me", headers=canary.headers), 401, "not-authenticated")
    problem(canary.clinic.book(canary.clinic.slot()["id"], canary.headers), 401, "not-authenticated")
    log_in = {"email": canary.email, "password": PASSWORD}
    problem(http.post("/api/auth/login", json=log_in), 401, "invalid-credentials")
    account = {"name": "Somebody New", "email": canary.email, "password": PASSWORD}
    assert http.post("/api/auth/register", json=account).status_code == 201
    anew = canary.clinic.log_in(canary.email, PASSWORD)
    assert http.get("/api/bookings/my-bookings", headers=anew).json()["items"] == []
    assert http.get("/api/auth/me/data", headers=anew).json()["bookings"] == []


def test_a_wrong_password_erases_nothing_and_ten_lock_the_account(canary: Canary) -> None:
    booking = canary.book()
    for _ in range(9):
        problem(canary.erase("a wrong password"), 401, "invalid-credentials")
    change = {"currentPassword": "a wrong password", "newPassword": "another fine password"}
    http = canary.clinic.http
    problem(http.post("/api/auth/password", json=change, headers=canary.headers), 401, "invalid-credentials")
    closed = canary.erase()
    problem(closed, 429, "too-many-logins")
    assert int(closed.headers["retry-after"]) > 0
    seen = http.get(f"/api/bookings/{booking['id']}", headers=canary.headers).json()
    assert (seen["status"], seen["userName"]) == ("PENDING", canary.name)


@pytest.mark.parametrize("body", [None, {}, {"password": 7}, {"password": PASSWORD, "really": True}])
def test_an_erasure_needs_the_password_and_nothing_else(canary: Canary, body: Any) -> None:
    answer = canary.clinic.http.request("DELETE", "/api/auth/me", json=body, headers=canary.headers)
    problem(answer, 400, "invalid-input")
    assert canary.export().account is not None


# Reads by the desk.


def test_reads_of_names_by_the_desk_are_recorded(canary: Canary, staff: dict[str, str]) -> None:
    clinic, http = canary.clinic, canary.clinic.http
    booking = canary.book()
    actor = f"user:{http.get('/api/auth/me', headers=staff).json()['id']}"
    canary.clinic.book(booking["slotId"], canary.headers, userName=canary.name)

    asked = {"q": canary.name, "slotId": booking["slotId"], "status": "PENDING", "from": "2020-01-01T00:00:00Z"}
    sent = http.get("/api/bookings", params=asked | {"limit": 1}, headers=staff | {"X-Request-ID": canary.number})
    assert [item["id"] for item in sent.json()["items"]] != []
    http.get(f"/api/bookings/slot/{booking['slotId']}", headers=staff)
    http.get(f"/api/bookings/{booking['id']}", headers=staff)
    for _ in range(3):
        assert http.post(f"/api/bookings/{booking['id']}/confirm", headers=staff).json()["userName"] == canary.name
    for _ in range(3):
        assert http.delete(f"/api/bookings/{booking['id']}", headers=staff).json()["userName"] == canary.name

    database_url = clinic.server.database_url
    [(subject, action, details)] = rows(
        database_url, "SELECT subject, action, details FROM audit_log WHERE request_id = $1", canary.number
    )
    assert (subject, action) == ("bookings", "list_bookings")
    assert msgspec.json.decode(details) == {
        "status": "PENDING", "slot_id": booking["slotId"], "starts_from": "2020-01-01T00:00:00Z", "text": True,
        "bookings": 1,
    }  # fmt: skip
    assert audit_of(clinic.server, f"slot:{booking['slotId']}", "list_bookings_of_slot") == [(actor, {"bookings": 2})]
    assert audit_of(clinic.server, f"booking:{booking['id']}", "get_booking") == [(actor, {})]
    # The first of each changes the booking, the others only show it.
    changed = {"confirm_booking": ["PENDING", "CONFIRMED"], "cancel_booking": ["CONFIRMED", "CANCELLED"]}
    for action, status in changed.items():
        noted = audit_of(clinic.server, f"booking:{booking['id']}", action)
        assert noted == [(actor, {"status": status}), *[(actor, {})] * 2]
    assert audit_of(clinic.server, f"booking:{booking['id']}", "hold_seats") == [], "a patient's own"
    assert not {place for place in places_of(database_url, *canary.words) if place.startswith("audit_log.")}


def test_reads_without_another_persons_name_are_not_recorded(canary: Canary, staff: dict[str, str]) -> None:
    clinic, http = canary.clinic, canary.clinic.http
    booking = canary.book()
    one, slot = f"/api/bookings/{booking['id']}", f"/api/bookings/slot/{booking['slotId']}"
    before = reads_recorded(clinic.server)
    for headers in ({}, canary.headers, holder(booking), clinic.patient()):
        assert http.get(one, headers=headers).status_code == 200
        assert http.get(slot, headers=headers).status_code == 200
    http.get("/api/bookings/my-bookings", headers=canary.headers)
    for _ in range(2):
        assert http.delete(one, headers=canary.headers).status_code == 200
    http.get("/api/bookings", params={"q": f"nobody {canary.number}"}, headers=staff)
    http.get(f"/api/bookings/slot/{clinic.slot()['id']}", headers=staff)
    assert reads_recorded(clinic.server) == before
    http.get(one, headers=staff | holder(booking))
    assert reads_recorded(clinic.server) == before + 1, "a manage token does not hide who reads"


def test_the_desks_read_of_its_own_list_is_recorded_if_it_shows_others(
    clinic: Clinic, staff: dict[str, str], staff_account: str
) -> None:
    own = clinic.book(clinic.slot()["id"], staff, userName="Rita", userEmail=staff_account.upper()).json()
    before = reads_recorded(clinic.server)
    clinic.http.get(f"/api/bookings/{own['id']}", headers=staff)
    assert reads_recorded(clinic.server) == before
    clinic.book(clinic.slot()["id"], staff, userName="By Telephone", userEmail="phone@example.org")
    clinic.http.get("/api/bookings/my-bookings", params={"limit": 1}, headers=staff)
    assert reads_recorded(clinic.server) == before + 1


def test_no_name_is_shown_if_the_read_cannot_be_recorded(canary: Canary, staff: dict[str, str]) -> None:
    booking = canary.book(confirm=True)
    paths = [f"/api/bookings/{booking['id']}", f"/api/bookings/slot/{booking['slotId']}",
             f"/api/bookings?slotId={booking['slotId']}"]  # fmt: skip
    with full_disk(canary.clinic.server, f"%{booking['id']}", f"%{booking['slotId']}", "bookings"):
        for path in paths:
            refused = canary.clinic.http.get(path, headers=staff)
            problem(refused, 503, "database-unavailable")
            assert canary.name not in refused.text
        problem(canary.clinic.http.post(f"{paths[0]}/confirm", headers=staff), 503, "database-unavailable")
        problem(canary.clinic.http.delete(paths[0], headers=staff), 503, "database-unavailable")
    assert canary.clinic.http.get(paths[0]).json()["status"] == "CONFIRMED", "what cannot be noted is not done either"
    for path in paths:
        assert canary.name in canary.clinic.http.get(path, headers=staff).text


def reads_recorded(server: RunningServer) -> int:
    [(count,)] = rows(
        server.database_url, "SELECT count(*) FROM audit_log WHERE action ~ '^(get|list|confirm|cancel)_bookings?'"
    )
    return int(count)


@contextmanager
def full_disk(server: RunningServer, *subjects: str) -> Iterator[None]:
    """Make audit rows about these subjects fail as on a full disk. No others fail, because the server is shared."""
    condition = " OR ".join(f"new.subject LIKE '{subject}'" for subject in subjects)
    rows(
        server.database_url,
        "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$",
    )
    rows(
        server.database_url,
        f"CREATE TRIGGER no_room BEFORE INSERT ON audit_log FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION no_room()",
    )
    try:
        yield
    finally:
        rows(server.database_url, "DROP FUNCTION no_room() CASCADE")
