"""Who may call what and who sees names: one table with all operations of the OpenAPI document and all callers."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest

from slotwise.app import build
from slotwise.http.api_document import openapi_document
from slotwise.settings import load_settings
from tests.clinic import Clinic, RunningServer, holder, in_hours, object_of, problem, unique_email
from tests.conftest import fresh_database, running_server
from tests.open_time import open_time, time_ids_of
from tests.security.people import PASSWORD, Headers, People, new_people

# `owner` is the patient whose booking and account it is; `holder` has that booking's manage token, `stray` another's.
# `away` is staff who work for another clinic only.
# The last three tokens were an admin's. A plus: the answer has the owner's name and e-mail, which no other answer may
# have. A second row of the same operation is about a missing thing. A new operation needs its row here, and its body in
# BODIES if it has one.
TABLE = """
                                        nobody owner other doctor staff away admin holder stray disabled expired revoked
POST   /api/auth/register               201    201   201   201    201   201  201   201    201   201      201     201
POST   /api/auth/login                  200+   200+  200+  200+   200+  200+ 200+  200+   200+  200+     200+    200+
GET    /api/auth/me                     401    200+  200   200    200   200  200   401    401   401      401     401
GET    /api/auth/me/data                401    200+  200   200    200   200  200   401    401   401      401     401
DELETE /api/auth/me                     401    204   204   204    204   204  204   401    401   401      401     401
POST   /api/auth/logout                 401    204   204   204    204   204  204   401    401   401      401     401
POST   /api/auth/password               401    204   204   204    204   204  204   401    401   401      401     401
POST   /api/clinics                     401    403   403   403    403   403  201   401    401   401      401     401
GET    /api/clinics                     200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/clinics/{clinicId}          200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/clinics/{clinicId}       missing 404 404 404   404    404   404  404   404    404   401      401     401
PATCH  /api/clinics/{clinicId}          401    403   403   403    403   403  200   401    401   401      401     401
PATCH  /api/clinics/{clinicId}       missing 401 403 403   403    403   403  404   401    401   401      401     401
POST   /api/doctors                     401    403   403   403    403   403  201   401    401   401      401     401
GET    /api/doctors                     200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/doctors/{doctorId}          200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/doctors/{doctorId}       missing 404 404 404   404    404   404  404   404    404   401      401     401
PATCH  /api/doctors/{doctorId}          401    403   403   403    403   403  200   401    401   401      401     401
PATCH  /api/doctors/{doctorId}       missing 401 403 403   403    403   403  404   401    401   401      401     401
POST   /api/visit-types                 401    403   403   403    403   403  201   401    401   401      401     401
GET    /api/visit-types                 200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/visit-types/{visitTypeId}   200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/visit-types/{visitTypeId} missing 404 404 404  404    404   404  404   404    404   401      401     401
PATCH  /api/visit-types/{visitTypeId}   401    403   403   403    403   403  200   401    401   401      401     401
PATCH  /api/visit-types/{visitTypeId} missing 401 403 403  403    403   403  404   401    401   401      401     401
POST   /api/slots                       401    403   403   403    403   403  201   401    401   401      401     401
POST   /api/slots                    missing 401 403 403   403    403   403  404   401    401   401      401     401
POST   /api/slots/batch                 401    403   403   403    403   403  201   401    401   401      401     401
POST   /api/slots/batch              missing 401 403 403   403    403   403  404   401    401   401      401     401
GET    /api/slots                       200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/times                       200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/times/explain               401    403   403   403    200   200  200   401    401   401      401     401
GET    /api/slots/events                200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/slots/{slotId}              200    200   200   200    200   200  200   200    200   401      401     401
GET    /api/slots/{slotId}           missing 404 404 404   404    404   404  404   404    404   401      401     401
PATCH  /api/slots/{slotId}              401    403   403   403    403   403  200   401    401   401      401     401
PATCH  /api/slots/{slotId}           status 401 403  403   403    200   403  200   401    401   401      401     401
PATCH  /api/slots/{slotId}           missing 401 403 403   403    403   403  404   401    401   401      401     401
POST   /api/slots/{slotId}/overbookings 401    403   403   403    201   403  201   401    401   401      401     401
POST   /api/slots/{slotId}/overbookings missing 401 403 403 403   404   404  404   401    401   401      401     401
GET    /api/doctors/{doctorId}/rules    401    403   403   403    200   200  200   401    401   401      401     401
GET    /api/doctors/{doctorId}/rules missing 401 403 403   403    404   404  404   401    401   401      401     401
GET    /api/closures                    401    403   403   403    200   200  200   401    401   401      401     401
POST   /api/schedule/preview            401    403   403   403    403   403  200   401    401   401      401     401
POST   /api/schedule/preview         absence 401 403 403   403    200   403  200   401    401   401      401     401
POST   /api/schedule/preview         takeover 401 403 403  403    200   403  200   401    401   401      401     401
POST   /api/schedule/apply              401    403   403   403    403   403  409   401    401   401      401     401
POST   /api/schedule/apply           absence 401 403 403   403    409   403  409   401    401   401      401     401
POST   /api/schedule/apply           takeover 401 403 403  403    409   403  409   401    401   401      401     401
POST   /api/bookings                    201    201   201   201    201   403  201   201    201   401      401     401
POST   /api/bookings time               201    201   201   201    201   403  201   201    201   401      401     401
POST   /api/bookings                 missing 404 404 404   404    404   404  404   404    404   401      401     401
GET    /api/bookings                    401    403   403   403    200+  200  200+  401    401   401      401     401
GET    /api/bookings/my-bookings        401    200+  200   200    200   200  200   401    401   401      401     401
GET    /api/bookings/slot/{slotId}      200    200   200   200    200+  200  200+  200    200   401      401     401
GET    /api/bookings/slot/{slotId}   missing 404 404 404   404    404   404  404   404    404   401      401     401
GET    /api/bookings/{bookingId}        200    200+  200   200    200+  200  200+  200+   200   401      401     401
GET    /api/bookings/{bookingId}     missing 404 404 404   404    404   404  404   404    404   401      401     401
POST   /api/bookings/{bookingId}/confirm 401   200+  403   403    200+  403  200+  200+   403   401      401     401
POST   /api/bookings/{bookingId}/confirm missing 404 404 404 404  404   404  404   404    404   401      401     401
DELETE /api/bookings/{bookingId}        401    200+  403   403    200+  403  200+  200+   403   401      401     401
DELETE /api/bookings/{bookingId}     missing 404 404 404   404    404   404  404   404    404   401      401     401
GET    /health                          200    200   200   200    200   200  200   200    200   200      200     200
GET    /health/ready                    200    200   200   200    200   200  200   200    200   200      200     200
GET    /metrics                         200    200   200   200    200   200  200   200    200   200      200     200
"""

CALLERS = TABLE.strip().splitlines()[0].split()
NAME = "Wanda Onlyforherself"
MISSING = 2**62
_hours = itertools.count(48)


class Target(NamedTuple):
    """The things that a request is about. They were made for this one request, or do not exist."""

    doctor_id: int
    slot_id: int
    booking_id: int
    owner_email: str
    colleague_id: int
    time_id: str


def new_rules(target: Target) -> dict[str, Any]:
    return {
        "doctorId": target.doctor_id,
        "firstDay": "2031-02-04",
        "weekdays": [1],
        "periods": [{"from": "09:00", "to": "10:00"}],
    }


def new_absence(target: Target) -> dict[str, Any]:
    return {"doctorId": target.doctor_id, "startTime": "2031-02-04T09:00:00Z", "endTime": "2031-02-05T09:00:00Z"}


def new_takeover(target: Target) -> dict[str, Any]:
    return {"addClosures": [new_absence(target)], "decision": "TAKE_OVER", "colleagueId": target.colleague_id}


Body = Callable[[Target], dict[str, Any]]

# What is sent, for operations that take something.
BODIES: dict[str, Body] = {
    "POST /api/auth/register": lambda _: {"name": "Nell New", "email": unique_email(), "password": PASSWORD},
    "POST /api/auth/login": lambda target: {"email": target.owner_email, "password": PASSWORD},
    "POST /api/auth/password": lambda _: {"currentPassword": PASSWORD, "newPassword": "another fine secret"},
    "DELETE /api/auth/me": lambda _: {"password": PASSWORD},
    "POST /api/clinics": lambda _: {"name": "Out of use", "timeZone": "Europe/Berlin", "active": False},
    "PATCH /api/clinics/{clinicId}": lambda _: {"openingNote": "Closed on Sundays"},
    "POST /api/doctors": lambda _: {"name": "Dr. New"},
    "PATCH /api/doctors/{doctorId}": lambda _: {"specialization": "Cardiology"},
    "POST /api/visit-types": lambda _: {"name": "First visit", "minutes": 30},
    "PATCH /api/visit-types/{visitTypeId}": lambda _: {"name": "Check-up"},
    "POST /api/slots": lambda target: {"doctorId": target.doctor_id, "startTime": in_hours(next(_hours))},
    "POST /api/slots/batch": lambda target: {
        "doctorId": target.doctor_id, "firstDay": "2031-02-04", "lastDay": "2031-02-04",
        "periods": [{"from": "09:00", "to": "10:00"}]},
    "PATCH /api/slots/{slotId}": lambda _: {"totalSeats": 90},
    "PATCH /api/slots/{slotId} status": lambda _: {"status": "OPEN"},
    "POST /api/slots/{slotId}/overbookings": lambda _: {
        "userName": "Nell New", "userEmail": "nell@example.org", "reason": "In pain"},
    "POST /api/schedule/preview": lambda target: {"addRules": [new_rules(target)]},
    "POST /api/schedule/preview absence": lambda target: {"addClosures": [new_absence(target)]},
    "POST /api/schedule/apply": lambda target: {"addRules": [new_rules(target)], "token": "of another preview"},
    "POST /api/schedule/apply absence": lambda target: {
        "addClosures": [new_absence(target)], "token": "of another preview"},
    "POST /api/schedule/preview takeover": new_takeover,
    "POST /api/schedule/apply takeover": lambda target: new_takeover(target) | {"token": "of another preview"},
    "POST /api/bookings": lambda target: {
        "slotId": target.slot_id, "userName": "Nell New", "userEmail": "nell@example.org"},
    "POST /api/bookings time": lambda target: {
        "timeId": target.time_id, "userName": "Nell New", "userEmail": "nell@example.org"},
}  # fmt: skip
QUERIES: dict[str, Body] = {
    "GET /api/bookings": lambda target: {"slotId": target.slot_id},
    "GET /api/times/explain": lambda target: {"doctorId": target.doctor_id},
}


class Row(NamedTuple):
    """`variant` is for an operation that some callers may use only in part: its body is another one."""

    operation: str
    missing: bool
    cells: dict[str, str]
    variant: str = ""

    @property
    def name(self) -> str:
        return f"{self.operation} {self.variant}".strip()


def table() -> list[Row]:
    found = []
    for line in TABLE.strip().splitlines()[1:]:
        method, path, *cells = line.split()
        word = cells.pop(0) if len(cells) > len(CALLERS) else ""
        missing = word == "missing"
        cells_of = dict(zip(CALLERS, cells, strict=True))
        found.append(Row(f"{method} {path}", missing, cells_of, "" if missing else word))
    return found


def documented() -> set[str]:
    paths = openapi_document(build(load_settings({})))["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_every_operation_of_the_document_is_in_the_table() -> None:
    assert {row.operation for row in table()} == documented()


def test_every_operation_about_one_thing_is_also_tried_on_a_missing_one() -> None:
    about_one = {name for name in documented() if "{" in name}
    assert about_one <= {row.operation for row in table() if row.missing}


@pytest.fixture(scope="module")
def server(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """With one worker, which knows at once for which clinics an account works."""
    with fresh_database(postgres_url, migrated_template) as url, running_server(url, {"HOLD_SECONDS": "60"}) as server:
        yield server


@pytest.fixture(scope="module")
def other_clinic_id(server: RunningServer) -> int:
    with Clinic(server) as clinic:
        given = {"name": "Elsewhere", "timeZone": "Asia/Tokyo"}
        return int(object_of(clinic.http.post("/api/clinics", json=given, headers=clinic.admin))["id"])


class Place:
    """A clinic with its own slot and its own people, so that tests do not disturb each other."""

    def __init__(self, clinic: Clinic, other_clinic_id: int) -> None:
        self._clinic = clinic
        self.people: People = new_people(clinic.server, NAME)
        self._limit(self.people.headers["away"], other_clinic_id)
        self.slot = clinic.slot(seats=50)
        self._visit_type = _new_visit_type(clinic)
        self._colleague = clinic.doctor()["id"]
        self._open_time = open_time(clinic.server.database_url)
        self._stray = clinic.hold(self.slot["id"], userName="Nell New", userEmail="nell@example.org")
        # One for each caller, made before one of them can end the owner's session.
        self._bookings = [self._book() for _ in CALLERS]

    def _limit(self, account: Headers, clinic_id: int) -> None:
        user_id = object_of(self._clinic.http.get("/api/auth/me", headers=dict(account)))["id"]
        token = self._clinic.admin["Authorization"].removeprefix("Bearer ")
        headers = {"Cookie": f"slotwise-session={token}", "Sec-Fetch-Site": "same-origin"}
        limited = self._clinic.http.post(
            f"/admin/users/{user_id}/clinics", data={"clinics": clinic_id}, headers=headers
        )
        assert limited.status_code == 303, limited.text

    def _book(self) -> dict[str, Any]:
        made = self._clinic.book(
            self.slot["id"], dict(self.people.headers["owner"]), userName=NAME, userEmail=self.people.owner_email
        )
        return object_of(made)

    def _time_id(self, after: int) -> str:
        return time_ids_of(self._clinic.server).id_of(self._open_time.offered(after, 10))

    def call(self, row: Row, who: str) -> httpx.Response:
        booking = self._bookings[CALLERS.index(who)]
        proofs = {"nobody": {}, "holder": holder(booking), "stray": holder(self._stray), **self.people.headers}
        method, path = row.operation.split()
        ids = (self.slot["doctorId"], self.slot["id"], booking["id"])
        doctor_id, slot_id, booking_id = (MISSING, MISSING, MISSING) if row.missing else ids
        visit_type_id = MISSING if row.missing else self._visit_type
        time_id = self._time_id(15 * CALLERS.index(who))
        target = Target(doctor_id, slot_id, booking_id, self.people.owner_email, self._colleague, time_id)
        body, query = BODIES.get(row.name), QUERIES.get(row.operation)
        with self._clinic.http.stream(
            method,
            path.format(
                clinicId=MISSING if row.missing else 1,
                doctorId=doctor_id,
                slotId=slot_id,
                bookingId=booking_id,
                visitTypeId=visit_type_id,
            ),
            headers=dict(proofs[who]),
            json=body(target) if body else None,
            params=query(target) if query else None,
        ) as answer:
            return _first_piece(answer) if "event-stream" in answer.headers.get("content-type", "") else _read(answer)


def _new_visit_type(clinic: Clinic) -> int:
    made = clinic.http.post("/api/visit-types", json={"name": "First visit", "minutes": 30}, headers=clinic.admin)
    return int(object_of(made)["id"])


def _read(answer: httpx.Response) -> httpx.Response:
    answer.read()
    return answer


def _first_piece(answer: httpx.Response) -> httpx.Response:
    """The first piece of the answer, because a stream never ends."""
    return httpx.Response(answer.status_code, headers=answer.headers, content=next(answer.iter_raw()))


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row.name}{' missing' * row.missing}")
def test_everybody_gets_what_the_table_says_and_nobody_anothers_name(
    clinic: Clinic, other_clinic_id: int, row: Row
) -> None:
    place = Place(clinic, other_clinic_id)
    for who, cell in row.cells.items():
        answer = place.call(row, who)
        shows = [text for text in (NAME, "Onlyforherself", place.people.owner_email) if text in answer.text]
        seen = f"{answer.status_code}{'+' * bool(shows)}"
        assert seen == cell, f"{who}: {answer.text}"
        if answer.status_code >= 400:
            problem(answer, answer.status_code)


def test_the_table_also_checks_the_email(clinic: Clinic, other_clinic_id: int) -> None:
    """Otherwise `shows` would accept an answer with the name alone."""
    place = Place(clinic, other_clinic_id)
    row = next(row for row in table() if row.operation == "GET /api/bookings/{bookingId}" and not row.missing)
    for who in ("owner", "staff", "admin", "holder"):
        booking = place.call(row, who).json()
        assert (booking["userName"], booking["userEmail"]) == (NAME, place.people.owner_email)
    for who in ("nobody", "other", "doctor", "away", "stray"):
        booking = place.call(row, who).json()
        assert (booking["userName"], booking["userEmail"]) == (None, None)
