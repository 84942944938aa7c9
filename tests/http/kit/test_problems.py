"""Errors: every error is a problem (RFC 9457), and none breaks later requests."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.clinic import Clinic, problem

JSON = {"Content-Type": "application/json"}

HOSTILE_TEXT = {
    "NUL": "a\x00b",
    "escape sequence": "\x1b[2J\x1b[31mred",
    "bidi override": "\u202egnp.exe",
    "bidi isolate": "a\u2067b\u2069",
    "zero width": "a\u200bb\u200dc\ufeff",
    "combining marks": "Z" + "\u0300" * 150,
    "line separator": "a\u2028b",
    "carriage return": "a\r\nSet-Cookie: x=y",
    "astral": "\U0001d56c \U0001f469\U0001f3fd\u200d\u2695\ufe0f",
    "private use": "\ue000\U0010ffff",
    "non-character": "\ufffe\uffff",
    "SQL": "'; DROP TABLE bookings; --",
    "HTML": "<script>alert(1)</script>",
    "template": "{{7*7}} ${7*7} %s %n {0.__class__}",
    "LIKE": "%_\\",
    "right to left": "محمد بن موسى",
    "fullwidth": "\uff07\uff1b",
    "long": "x" * 10_000,
}


def lists_work(clinic: Clinic) -> None:
    for path in ("/api/doctors", "/api/slots", "/api/bookings", "/api/bookings/my-bookings"):
        answer = clinic.http.get(path, params={"limit": 500}, headers=clinic.admin)
        assert answer.status_code == 200, answer.text
        answer.json()


@pytest.mark.parametrize(
    "path", ["/nowhere", "/api", "/api/", "/api/bookings/1/2/3", "/api/bookings/1/refund", "/..%2f..%2fetc"]
)
def test_an_unknown_route_is_not_found(clinic: Clinic, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        problem(clinic.http.request(method, path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/doctors", {"GET", "HEAD", "POST"}),
        ("DELETE", "/api/slots/1", {"GET", "HEAD", "PATCH"}),
        ("PATCH", "/api/bookings/1", {"GET", "HEAD", "DELETE"}),
        ("GET", "/api/bookings/1/confirm", {"POST"}),
        ("GET", "/api/auth/login", {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/api/bookings/my-bookings", {"GET", "HEAD"}),
    ],
)
def test_an_unknown_method_is_refused_with_the_allowed_ones_which_options_lists_too(
    clinic: Clinic, method: str, path: str, allowed: set[str]
) -> None:
    refused = clinic.http.request(method, path)
    problem(refused, 405, "method-not-allowed")
    for answer in (refused, clinic.http.options(path)):
        assert {name.strip() for name in answer.headers["allow"].split(",")} == {*allowed, "OPTIONS"}


@pytest.mark.parametrize("path", ["/api/auth/register", "/api/auth/login", "/api/bookings", "/api/doctors"])
def test_a_body_over_64_kib_is_refused(clinic: Clinic, path: str) -> None:
    body = json.dumps({"name": "x" * 1_000_000}).encode()
    problem(clinic.http.post(path, content=body, headers=JSON | clinic.admin), 413, "body-too-large")

    def pieces() -> Any:
        yield from (body[at : at + 10_000] for at in range(0, len(body), 10_000))

    problem(clinic.http.post(path, content=pieces(), headers=JSON | clinic.admin), 413, "body-too-large")


def test_a_body_of_just_64_kib_is_read(clinic: Clinic) -> None:
    body = b'{"name": "Dr. Who"}'.ljust(64 * 1024)
    assert clinic.http.post("/api/doctors", content=body, headers=JSON | clinic.admin).status_code == 201


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "json",
        "*/*",
        "image/svg+json",
        "+json",
        "application/jsonp",
        "application/json, text/plain",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
        'application/json; charset="utf-16"',
        "application/json; a=b; charset=ISO-8859-1",
        "application/json charset=utf-8",
    ],
)
@pytest.mark.parametrize("path", ["/api/bookings", "/api/auth/login", "/api/bookings/1/confirm"])
def test_a_body_that_is_not_json_is_refused(clinic: Clinic, path: str, media_type: str) -> None:
    answer = clinic.http.post(path, content=b'{"slotId": 1}', headers={"Content-Type": media_type})
    problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json; charset=utf-8",
        'application/json;CHARSET="UTF8"',
        "application/json; profile=x; charset=utf-8",
        "application/json;",
        "APPLICATION/JSON",
        "application/merge-patch+json",
    ],
)
def test_json_is_read_under_each_of_its_content_types(clinic: Clinic, media_type: str) -> None:
    headers = {"Content-Type": media_type} | clinic.admin
    assert clinic.http.post("/api/doctors", content=b'{"name": "x"}', headers=headers).status_code == 201


@pytest.mark.parametrize(
    "body",
    [
        b"", b" ", b"{", b"}", b"[]", b"null", b"1", b'"text"', b"{'slotId': 1}", b'{"slotId": 1,}', b'{"slotId": NaN}',
        b'{"slotId": Infinity}', b'{"slotId": 1}{"slotId": 2}', b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"slotId": 01}',
        b'{"userName": "\xff"}', b'{"userName": "\\ud800"}', b'{"userName": "\\udc00\\ud800"}',
        b'{"userName": "\xed\xa0\x80"}',
        b"[" * 60_000, b'{"a":' * 10_000, b"slotId=1", b"\x00",
    ],
    ids=lambda body: repr(body[:20]),
)  # fmt: skip
def test_a_malformed_body_is_refused(clinic: Clinic, body: bytes) -> None:
    for path in ("/api/bookings", "/api/auth/login"):
        refused = problem(clinic.http.post(path, content=body, headers=JSON), 400, "invalid-input")
        assert refused["errors"]


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ('"1"', "seatsBooked"), ("true", "seatsBooked"), ("1e309", "seatsBooked"), ("-1e309", "seatsBooked"),
        ("1.5", "seatsBooked"), ("null", "seatsBooked"), ("[1]", "seatsBooked"), ("{}", "seatsBooked"),
        ("9223372036854775808", "seatsBooked"), ("1" * 5000, "seatsBooked"), ("-0.1", "seatsBooked"),
    ],
    ids=lambda value: value[:20],
)  # fmt: skip
def test_a_number_of_the_wrong_type_is_refused_with_its_field_name(clinic: Clinic, value: str, field: str) -> None:
    body = f'{{"slotId": 1, "userName": "Ada", "userEmail": "a@example.org", "{field}": {value}}}'
    problem(clinic.http.post("/api/bookings", content=body, headers=JSON), 400, "invalid-input", field=field)


def test_unknown_and_missing_fields_are_refused_with_their_names(clinic: Clinic) -> None:
    new = {"name": "x", "email": "a@example.org", "password": "long enough, this"}
    for field in new:
        without = {name: value for name, value in new.items() if name != field}
        problem(clinic.http.post("/api/auth/register", json=without), 400, "invalid-input", field=field)
    problem(clinic.http.post("/api/auth/register", json=new | {"isAdmin": True}), 400, "invalid-input", field="isAdmin")


@pytest.mark.parametrize("name", ["slot_id", "SlotId", "__proto__", "slot.id", "", "ключ", "a b"])
def test_an_unknown_field_is_named_as_it_was_sent(clinic: Clinic, name: str) -> None:
    """A client that sends `slot_id` is not told that `slotId` is unknown."""
    problem(clinic.http.post("/api/bookings", json={name: 1}), 400, "invalid-input", field=name)


@pytest.mark.parametrize("text", HOSTILE_TEXT.values(), ids=HOSTILE_TEXT)
def test_hostile_text_is_refused_or_returned_unchanged_and_lists_still_work(clinic: Clinic, text: str) -> None:
    slot = clinic.slot(seats=9)
    tries = [
        ("/api/auth/register", {"name": text, "email": "x", "password": text}),
        ("/api/auth/login", {"email": text, "password": text}),
        ("/api/doctors", {"name": text, "specialization": text}),
        ("/api/bookings", {"slotId": slot["id"], "userName": text, "userEmail": "a@example.org"}),
        ("/api/bookings", {"slotId": slot["id"], "userName": "Ada", "userEmail": f"{text}@example.org"}),
        ("/api/slots", {"doctorId": slot["doctorId"], "startTime": text}),
        ("/api/bookings", {text: text}),
    ]
    for path, body in tries:
        answer = clinic.http.post(path, json=body, headers=clinic.admin)
        if answer.status_code == 201:
            kept = answer.json()
            assert kept.get("userName", kept.get("name")) in {text, text.strip(), "Ada"}
        else:
            assert answer.status_code in {400, 401}, answer.text
            problem(answer, answer.status_code)
    for path in ("/api/doctors", "/api/bookings", "/api/slots"):
        for name in ("q", "specialization", "cursor", "status", "from", text[:50]):
            answer = clinic.http.get(path, params={name: text[:3000]}, headers=clinic.admin)
            assert answer.status_code in {200, 400}, answer.text
    lists_work(clinic)


@pytest.mark.parametrize(
    "query", ["q=%ff%fe", "q=%ED%A0%80", "limit=1&limit=2", "limit[]=1", "=&&=", "q=%", "%00=1", "token=%ff"]
)
def test_a_malformed_query_causes_no_internal_error(clinic: Clinic, query: str) -> None:
    for path in ("/api/doctors", "/api/slots", "/api/bookings/1"):
        answer = clinic.http.get(f"{path}?{query}")
        assert answer.status_code < 500, answer.text


@pytest.mark.parametrize(
    "name", ["Idempotency-Key", "Booking-Token", "If-None-Match", "X-Request-ID", "Accept", "Content-Type"]
)
@pytest.mark.parametrize(
    "value", [b"\xff\xfe\x80", b"x" * 8000, b'"', b"; ; ,", "ключ".encode()], ids=lambda value: repr(value[:9])
)
def test_a_hostile_header_causes_no_internal_error(clinic: Clinic, name: str, value: bytes) -> None:
    slot = clinic.slot()
    headers = [(name.encode(), value)]
    body = b'{"slotId": %d, "userName": "Ada", "userEmail": "a@example.org"}' % slot["id"]
    answers = [
        clinic.http.get("/api/slots", headers=headers),
        clinic.http.get("/api/bookings/1", headers=headers),
        clinic.http.post("/api/bookings", content=body, headers=headers),
        clinic.http.post("/api/bookings/1/confirm", headers=headers),
    ]
    assert all(answer.status_code < 500 for answer in answers), [answer.text for answer in answers]


@pytest.mark.parametrize("path", ["/health", "/nowhere", "/api/slots", "/api/bookings/999999999", "/api-docs"])
def test_every_answer_has_a_request_id_and_guards_against_browsers(clinic: Clinic, path: str) -> None:
    first, second = clinic.http.get(path), clinic.http.get(path)
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert first.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in first.headers["content-security-policy"]
    assert "unsafe-inline" not in first.headers["content-security-policy"].partition("style-src")[0]
    assert first.headers["referrer-policy"] == "no-referrer"
    assert "server" not in first.headers


def test_a_valid_request_id_is_returned(clinic: Clinic) -> None:
    answer = clinic.http.get("/nowhere", headers={"X-Request-ID": "trace-7.A_b"})
    assert answer.headers["x-request-id"] == "trace-7.A_b"


@pytest.mark.parametrize("request_id", [b"x" * 65, b"two words", b"<b>", b"\xff", b"", b"a;b=c", b"a\tb"])
def test_another_request_id_is_replaced(clinic: Clinic, request_id: bytes) -> None:
    answer = clinic.http.get("/nowhere", headers=[(b"X-Request-ID", request_id)])
    assert answer.headers["x-request-id"].encode() != request_id
    assert len(answer.headers["x-request-id"]) == 16


def test_other_sites_are_not_allowed_to_call(clinic: Clinic) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    for answer in (
        clinic.http.get("/api/slots", headers=headers),
        clinic.http.options("/api/bookings", headers=headers),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_broken_request_line_does_not_harm_the_next_client(clinic: Clinic) -> None:
    parts = urlsplit(clinic.server.url)
    for request in (
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    ):
        with socket.create_connection((parts.hostname, parts.port), 5) as connection:
            connection.sendall(request)
            connection.settimeout(2)
            assert b" 5" not in connection.recv(12)
    assert clinic.http.get("/health").status_code == 200
