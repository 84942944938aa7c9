"""Hostile input in every field and parameter of the OpenAPI document: refused with a message, or stored unchanged."""

import itertools
import json
import unicodedata
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from tests.clinic import Clinic, in_hours, problem, rows, unique_email
from tests.depth import third_of
from tests.described import document
from tests.security.people import new_people

TEXTS = (
    # databases
    "' OR '1'='1", "'; DROP TABLE bookings; --", "1; SELECT pg_sleep(9)", "\\'; --", "$$ $1 %s :name ::text",
    "%_\\%", "E'\\x41'",
    "{1,2}", "NULL", "1' UNION SELECT password_hash FROM users --",
    # pages, templates, formats
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "javascript:alert(1)", "{{7*7}}", "${7*7}",
    "#{7*7}",
    "{0.__class__.__mro__}", "%n%n%s%x", "{% raw %}", "<!DOCTYPE x [<!ENTITY y SYSTEM 'file:///etc/passwd'>]>",
    # shells, files, lines
    "$(id)", "`id`", "| cat /etc/passwd", "../../../../etc/passwd", "..\\..\\win.ini", "file:///etc/passwd", "C:\\CON",
    "a\r\nSet-Cookie: b=c", "a\nBcc: d@example.org", "\x1b[2J\x1b[31m", "\x7f\x08\x0c", "=cmd|'/c calc'!A0",
    "@SUM(1)", "-1+1",
    # misleading text
    "\u202egnp.exe", "a\u2067b\u2069", "a\u200bb\u200dc\ufeff", "\u2028\u2029",
    "Z" + "\u0300" * 90, "\ufb01\u1e9e\u0130\u0131", "\u00a0", " ", "",
    "\U0001d56c\U0001f469\U0001f3fd\u200d\u2695\ufe0f", "محمد", "\ue000\U0010ffff", "\ufffe\uffff", "用户",
    "\uff21\uff22", "\u115f\u3164",
    # special values
    "\x00", "a\x00b", "\ud800", "\udc00\ud800", "null", "undefined", "true", "NaN", "Infinity", "0x10", "[]",
    "{}", "__proto__",
    # size
    "x" * 201, "x" * 5_000, "\u0344" * 3_000, "x" * 1_000_000,
)  # fmt: skip
WRONG_NUMBERS = ("true", "false", '"1"', '""', "1.5", "-0.5", "NaN", "Infinity", "-Infinity", "1e309", "-1e309", "[]",
                 "[1]", "{}", "01", "0x10", "1_000", "9223372036854775808", "-9223372036854775809",
    "1" * 4000)  # fmt: skip
NUMBERS = (*WRONG_NUMBERS, "0", "-0", "-1", "2147483648", "9223372036854775807", "1e2", "1e-400", "null")
WRONG_TIMES = (
    "", "infinity", "-infinity", "now", "today", "tomorrow", "epoch", "allballs", "0000-01-01T00:00:00Z",
    "10000-01-01T00:00:00Z",
    "+010000-01-01T00:00:00Z", "9999-06-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "2030-01-31T09:00:00", "2030-01-31",
    "2030-02-30T09:00:00Z", "2030-13-01T09:00:00Z", "2030-01-31T24:00:00Z", "2030-06-30T23:59:61Z",
    "2030-01-31T09:00:00+25:00",
    "2030-01-31T09:00:00Z BC", "\uff12\uff10\uff13\uff10-01-31T09:00:00Z", "1893456000", "\x00", "\ud800", "x" * 5_000,
)  # fmt: skip
TIMES = (*WRONG_TIMES, "2030-06-30T23:59:60Z", "0001-01-01T00:00:00+14:00", "2030-01-31t09:00:00.123456789012z")

ANSWERS = {200, 201, 204, 400, 401, 403, 404, 409, 410, 413, 422, 429, 431}
# Fields of names: an accepted value comes back unchanged.
KEPT = {"name", "userName", "specialization"}


class Field(NamedTuple):
    name: str
    kind: str


class Operation(NamedTuple):
    name: str
    fields: tuple[Field, ...]
    parameters: tuple[str, ...]


DOCUMENT = document()


def kind_of(schema: Mapping[str, Any]) -> str:
    """The type of a field besides null."""
    if "$ref" in schema:
        return "string"
    found = [schema, *schema.get("anyOf", ())]
    if any(choice.get("format") == "date-time" for choice in found):
        return "time"
    kinds = {kind for choice in found for kind in [choice.get("type")] if isinstance(kind, str)} - {"null"}
    return "number" if kinds & {"integer", "number"} else "truth" if "boolean" in kinds else "string"


def fields_of(operation: Mapping[str, Any]) -> Iterator[Field]:
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if "$ref" in schema:
        properties = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["properties"]
        yield from (Field(name, kind_of(described)) for name, described in properties.items())


def operations() -> Iterator[Operation]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            queries = [given["name"] for given in operation.get("parameters", ()) if given["in"] == "query"]
            yield Operation(f"{method.upper()} {path}", tuple(fields_of(operation)), tuple(queries))


OPERATIONS = tuple(operations())
each_with_body = pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.fields], ids=lambda operation: operation.name
)
each_with_query = pytest.mark.parametrize(
    "operation", [each for each in OPERATIONS if each.parameters], ids=lambda operation: operation.name
)


# Fields of which a body has one.
INSTEAD = {"slotId": "timeId", "timeId": "slotId"}


class Target:
    """A slot, a hold and an admin for this test, and a valid value for every field."""

    def __init__(self, clinic: Clinic) -> None:
        self._clinic = clinic
        self.slot = clinic.slot(seats=900)
        self.booking = clinic.hold(self.slot["id"])
        visit_type = {"name": "First visit", "minutes": 30}
        self._visit_type = clinic.http.post("/api/visit-types", json=visit_type, headers=clinic.admin).json()["id"]
        self.admin = dict(new_people(clinic.server, "Nell New").headers["admin"])
        new = {"name": "North", "timeZone": "UTC", "active": False}
        self.clinic_id = int(clinic.http.post("/api/clinics", json=new, headers=self.admin).json()["id"])

    def good(self, field: str) -> Any:
        values = {
            "name": "Nell New", "email": unique_email(), "password": "a good secret, this", "currentPassword": "wrong",
            "newPassword": "a better secret, this", "specialization": "Cardiology", "doctorId": self.slot["doctorId"],
            "slotId": self.slot["id"], "startTime": in_hours(next(_hours)), "totalSeats": 900, "durationMinutes": 30,
            "userName": "Nell New", "userEmail": "nell@example.org", "seatsBooked": 1, "confirm": False,
            "status": "OPEN", "active": False, "firstDay": "2031-02-04", "lastDay": "2031-02-04", "weekdays": [2],
            "periods": [{"from": "09:00", "to": "10:00"}], "breakMinutes": 0, "timeZone": "UTC", "dryRun": True,
            "skipClashes": True, "address": "12 High Street", "telephone": "+44 20 7946 0000", "directions": "Bus 7",
            "openingNote": "Closed on Sundays", "clinicId": 1, "colour": "#1b6e8c",
            "eveningList": True,
            "minutes": 30, "bufferMinutes": 5, "mode": "VIDEO",
            "videoLink": "https://example.org/", "instructions": "Ring the bell.", "minNoticeMinutes": 0,
            "horizonDays": 365, "changeDeadlineMinutes": 0, "maxLivePerPatient": 9, "patients": "ANY",
            "bookableBy": "ANYONE", "visitTypeId": None, "visitTypeIds": None,
            "reason": "In pain", "addRules": [], "changeRules": [], "removeRules": [], "addClosures": [],
            "changeClosures": [], "removeClosures": [], "changeZones": [],
            "changeLengths": [], "colleagueId": None, "decision": "KEEP", "exceptions": [],
            "message": "Please come later.", "token": "of no preview",
        }  # fmt: skip
        return values[field]

    def send(self, operation: Operation, field: Field, raw: str) -> httpx.Response:
        """Send a body with valid fields except one, whose value is inserted as raw JSON."""
        left_out = {field.name, INSTEAD.get(field.name, "timeId")}
        others = {other.name: self.good(other.name) for other in operation.fields if other.name not in left_out}
        body = json.dumps(others)[:-1] + f'{", " * bool(others)}"{field.name}": {raw}}}'
        method, path = operation.name.split()
        return self._clinic.http.request(
            method, self._path_for(path), content=body, headers={"Content-Type": "application/json", **self.admin}
        )

    def ask(self, operation: Operation, query: str) -> httpx.Response:
        method, path = operation.name.split()
        return self._clinic.http.request(method, f"{self._path_for(path)}?{query}", headers=self.admin)

    def _path_for(self, path: str) -> str:
        ids = {
            "clinicId": self.clinic_id,
            "doctorId": self.slot["doctorId"],
            "slotId": self.slot["id"],
            "bookingId": self.booking["id"],
            "visitTypeId": self._visit_type,
        }
        return path.format(**ids)


_hours = itertools.count(100)


@pytest.fixture
def target(clinic: Clinic) -> Iterator[Target]:
    """Checks afterwards that every list can still be read."""
    target = Target(clinic)
    yield target
    for path in ("/api/doctors", "/api/slots", "/api/bookings", f"/api/bookings/slot/{target.slot['id']}"):
        answer = clinic.http.get(path, params={"limit": 500}, headers=target.admin)
        assert answer.status_code == 200, answer.text
        answer.json()
    rows(clinic.server.database_url, "UPDATE clinics SET active = FALSE WHERE id <> 1 AND active")


def refused_or_taken(answer: httpx.Response, about: object) -> bool:
    """Whether it was accepted. A refusal must be a problem document with a 4xx status."""
    assert answer.status_code in ANSWERS, (about, answer.text[:500])
    if answer.status_code >= 400:
        problem(answer, answer.status_code)
    return answer.status_code < 400


def fields_with_texts(operation: Operation) -> Iterator[tuple[Field, str]]:
    """Every field with every text; in `make test` with a third of them, another one for each field."""
    for turn, field in enumerate(operation.fields, OPERATIONS.index(operation)):
        yield from ((field, text) for text in third_of(TEXTS, turn))


@each_with_body
def test_every_text_field_takes_any_text_as_it_is_or_refuses_it(target: Target, operation: Operation) -> None:
    for field, text in fields_with_texts(operation):
        if field.kind != "string" or (len(text) > 100_000 and field != operation.fields[0]):
            continue
        answer = target.send(operation, field, json.dumps(text))
        taken = refused_or_taken(answer, (field.name, text[:60]))
        if taken and field.name in KEPT and not operation.name.endswith("/confirm"):  # a hold that has a name keeps it
            kept = {text, text.strip(), unicodedata.normalize("NFC", text).strip()}
            assert answer.json()[field.name] in kept, (field.name, text)
        if len(text) > 100_000:
            assert answer.status_code == 413, field.name


@each_with_body
def test_every_number_field_takes_numbers_only(target: Target, operation: Operation) -> None:
    for field in operation.fields:
        for raw in NUMBERS if field.kind == "number" else ():
            answer = target.send(operation, field, raw)
            taken = refused_or_taken(answer, (field.name, raw[:60]))
            assert not (taken and raw in WRONG_NUMBERS), (field.name, raw, answer.text)
            if raw in WRONG_NUMBERS:
                assert answer.status_code == 400, (field.name, raw, answer.text)


@each_with_body
def test_every_time_field_takes_times_only_that_all_can_read(target: Target, operation: Operation) -> None:
    for field in operation.fields:
        for text in TIMES if field.kind == "time" else ():
            answer = target.send(operation, field, json.dumps(text))
            if refused_or_taken(answer, (field.name, text)):
                assert text not in WRONG_TIMES, (field.name, text, answer.text)
                assert datetime.fromisoformat(answer.json()[field.name]).year < 9999
        for raw in ("0", "1893456000", "1e309", "true", "[]", "{}") if field.kind == "time" else ():
            assert target.send(operation, field, raw).status_code == 400, (field.name, raw)


def encoded(text: str) -> str:
    """As much of the text as a URL can have."""
    return quote(text[:3000].encode("utf-8", "surrogatepass"), safe="")


@each_with_query
def test_every_query_parameter_takes_anything_or_refuses_it(target: Target, operation: Operation) -> None:
    for turn, name in enumerate(operation.parameters):
        texts = third_of((*TEXTS, *NUMBERS, *TIMES, "x\ud800"), turn)
        for text in {encoded(text) for text in texts} | {"%ff%fe", "%", "%zz", "%00"}:
            short = "" if name == "limit" or "limit" not in operation.parameters else "limit=1&"
            refused_or_taken(target.ask(operation, f"{short}{name}={text}"), (name, text[:60]))


PLACES = sorted(each.name for each in OPERATIONS if "{" in each.name)


@pytest.mark.parametrize("place", PLACES)
def test_every_path_parameter_takes_ids_only(target: Target, clinic: Clinic, place: str) -> None:
    method, path = place.split()
    head, _, tail = path.partition("{")
    texts = third_of((*TEXTS, *NUMBERS), PLACES.index(place))
    for text in {encoded(text) for text in texts} | {"%ff%fe", "%2e%2e%2f", "1%00", "1/../2", "%31", "+1"}:
        url = f"{head}{text}{tail.partition('}')[2]}"
        if not text or text in {"0", "%20", "%C2%A0"} or text.strip("-").isdigit():
            continue
        answer = clinic.http.request(method, url, headers=target.admin, content=None)
        assert answer.status_code in ANSWERS | {405}, (text[:60], answer.text[:300])
