"""The connection and the framework give the same answers.

A header that is not read, and a parameter in the content type, send a request the ordinary way.
"""

import json
import re
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
import pytest

from slotwise.app import build
from slotwise.server.direct import MOST_BODY_BYTES, Binding
from slotwise.settings import Settings
from tests.clinic import Clinic, RunningServer, eventually, problem, rows
from tests.conftest import fresh_database, running_server
from tests.depth import third_of
from tests.http.test_health import samples

PRODUCTION = {"APP_ENV": "production", "JWT_SECRET": "a secret of more than thirty-two bytes, for tests"}
PLAIN = "application/json"
CLIENTS_REQUEST_ID = "mine-1"
ORDINARY = "application/json; way=ordinary"
TO_ORDINARY = {"X-Way": "ordinary"}


class Case(NamedTuple):
    """What a client sends besides a valid booking of an open slot, and the status it gets."""

    status: int
    body: Mapping[str, Any] = MappingProxyType({})
    headers: Mapping[str, str] = MappingProxyType({})
    raw: bytes | None = None


CASES = {
    "a hold": Case(201),
    "several seats, booked at once": Case(201, {"seatsBooked": 3, "confirm": True}),
    "a name to be trimmed and composed": Case(201, {"userName": "  Ame\u0301lie "}),
    "an international e-mail": Case(201, {"userEmail": "用户@Example.ORG"}),
    "an idempotency key": Case(201, headers={"Idempotency-Key": "a-key-that-is-long-enough"}),
    "too short a key for a guest": Case(400, headers={"Idempotency-Key": '"short"'}),
    "a key that is no key": Case(400, headers={"Idempotency-Key": '"unclosed and long enough'}),
    "an empty key": Case(400, headers={"Idempotency-Key": ""}),
    "a request id of the client": Case(201, headers={"X-Request-ID": CLIENTS_REQUEST_ID}),
    "a token that is none": Case(401, headers={"Authorization": "Bearer nonsense"}),
    "another scheme": Case(401, headers={"Authorization": "Basic YTpi"}),
    "no such slot": Case(404, {"slotId": 2**62}),
    "too many seats": Case(409, {"seatsBooked": 1_000_000}),
    "no seats": Case(400, {"seatsBooked": 0}),
    "a number as text": Case(400, {"seatsBooked": "1"}),
    "a truth for a number": Case(400, {"seatsBooked": True}),
    "an id past 64 bits": Case(400, {"slotId": 2**63}),
    "no name": Case(400, {"userName": None}),
    "an empty name": Case(400, {"userName": " "}),
    "a name with a control character": Case(400, {"userName": "a\u0000b"}),
    "an invalid e-mail": Case(400, {"userEmail": "ada at example"}),
    "both wrong": Case(400, {"userName": None, "userEmail": None}),
    "a field that is not known": Case(400, {"seats": 1}),
    "no JSON": Case(400, raw=b"{"),
    "another shape": Case(400, raw=b"[]"),
    "bytes that are no text": Case(400, raw=b'{"slotId": 1, "userName": "\xff"}'),
    "nothing": Case(400, raw=b""),
    "a long name": Case(400, {"userName": "x" * MOST_BODY_BYTES}),
    "too long a body": Case(413, {"userName": "x" * 70_000}),
}


def _send(clinic: Clinic, slot_id: int, case: Case, content_type: str, **headers: str) -> httpx.Response:
    body = {"slotId": slot_id, "userName": "Ada Lovelace", "userEmail": "ada@example.org"} | dict(case.body)
    content = json.dumps(body).encode() if case.raw is None else case.raw
    return clinic.http.post(
        "/api/bookings", content=content, headers={**case.headers, **headers, "Content-Type": content_type}
    )


def _comparable(answer: httpx.Response) -> tuple[int, dict[str, str], Any]:
    """An answer without the values that differ between bookings. It only says whether they are there."""
    body = answer.json() if answer.content else {}
    for field in ("id", "manageToken", "createdAt", "updatedAt", "expiresAt", "confirmedAt"):
        if body.get(field):
            body[field] = "given"
    headers = dict(answer.headers)
    for name in (
        "date",
        "location",
        "content-length",
        *([] if headers["x-request-id"] == "mine-1" else ["x-request-id"]),
    ):
        if name in headers:
            headers[name] = "given"
    return answer.status_code, headers, body


@pytest.mark.parametrize("name", CASES)
def test_both_ways_give_the_same_answer(clinic: Clinic, name: str) -> None:
    case, slot_id = CASES[name], clinic.slot(seats=9)["id"]
    short, ordinary = (_send(clinic, slot_id, case, kind) for kind in (PLAIN, ORDINARY))
    assert short.status_code == case.status, short.text
    assert _comparable(short) == _comparable(ordinary)
    if short.status_code == 201:
        for answer in (short, ordinary):
            assert answer.headers["location"] == f"/api/bookings/{answer.json()['id']}"


def test_an_account_is_recognised_on_both_ways(clinic: Clinic) -> None:
    patient = clinic.patient("Pat Patient")
    slot_id = clinic.slot(seats=5)["id"]
    case = Case(201, {"userName": None, "userEmail": None})
    short, ordinary = (_send(clinic, slot_id, case, kind, **patient) for kind in (PLAIN, ORDINARY))
    assert _comparable(short) == _comparable(ordinary)
    assert short.json()["userName"] == "Pat Patient"
    mine = clinic.http.get("/api/bookings/my-bookings", headers=patient).json()["items"]
    assert [booking["id"] for booking in mine] == [ordinary.json()["id"], short.json()["id"]]


def test_a_key_used_on_one_way_is_known_on_the_other(clinic: Clinic) -> None:
    slot_id = clinic.slot(seats=5)["id"]
    case = Case(201, headers={"Idempotency-Key": secrets.token_urlsafe()})
    first, again = (_send(clinic, slot_id, case, kind) for kind in (PLAIN, ORDINARY))
    assert first.json() == again.json()
    assert clinic.free_seats(slot_id) == 4
    other = case._replace(body={"seatsBooked": 2})
    for kind in (PLAIN, ORDINARY):
        problem(_send(clinic, slot_id, other, kind), 422, "idempotency-key-reused")


def test_both_ways_refuse_full_and_closed_slots_alike(clinic: Clinic) -> None:
    full, closed = clinic.slot(), clinic.slot()
    clinic.hold(full["id"])
    clinic.http.patch(f"/api/slots/{closed['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    for slot, code in ((full, "slot-full"), (closed, "slot-closed")):
        short, ordinary = (_send(clinic, slot["id"], Case(409), kind) for kind in (PLAIN, ORDINARY))
        problem(short, 409, code)
        assert _comparable(short) == _comparable(ordinary)


def test_on_both_paths_the_last_of_two_equal_fields_counts(clinic: Clinic) -> None:
    slot = clinic.slot(seats=9)
    person = f'{{"slotId": {slot["id"]}, "userName": "Ada", "userEmail": "ada@example.org"'
    for media_type in (PLAIN, ORDINARY):
        body = f'{person}, "seatsBooked": 1, "seatsBooked": 2}}'
        answer = clinic.http.post("/api/bookings", content=body, headers={"Content-Type": media_type})
        assert (answer.status_code, answer.json()["seatsBooked"]) == (201, 2)


@pytest.fixture(scope="module")
def limited(postgres_url: str, migrated_template: str) -> Iterator[Clinic]:
    """A server that takes two bookings a minute, and believes a proxy what it says of a connection."""
    settings = {"RATE_LIMIT_BOOKINGS": "2/minute", "TRUSTED_PROXIES": "127.0.0.1"}
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, settings) as server,
        Clinic(server) as clinic,
    ):
        yield clinic


def test_both_ways_count_for_one_rate_limit_and_as_one_route(limited: Clinic) -> None:
    slot_id = limited.slot(seats=5)["id"]
    assert [_send(limited, slot_id, Case(201), kind).status_code for kind in (PLAIN, ORDINARY)] == [201, 201]
    metrics = limited.http.get("/metrics").text
    assert 'slotwise_http_requests_total{method="POST",route="/api/bookings",status="201"} 2.0' in metrics
    assert rows(limited.server.database_url, "SELECT count(*) FROM bookings")[0][0] == 2
    short, ordinary = (_send(limited, slot_id, Case(429), kind) for kind in (PLAIN, ORDINARY))
    problem(short, 429, "too-many-requests")
    assert abs(int(short.headers["retry-after"]) - int(ordinary.headers["retry-after"])) <= 1


@pytest.fixture(scope="module")
def lone_worker(postgres_url: str, migrated_template: str) -> Iterator[Clinic]:
    """A server whose log can be read by a program, and whose metrics are those of one process."""
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, {"WORKERS": "1", **PRODUCTION}) as server,
        Clinic(server) as clinic,
    ):
        yield clinic


def _counts(clinic: Clinic) -> Counter[tuple[str, ...]]:
    """What is counted, not measured, and for no other reason than these requests."""
    found = {name: value for name, value in samples(clinic).items() if name[0].endswith(("_total", "_count"))}
    return Counter(
        {name: int(count) for name, count in found.items() if "seconds_total" not in name[0] and "/metrics" not in name}
    )


def _log_line(clinic: Clinic, answer: httpx.Response, place: int) -> dict[str, Any]:
    """The line of the request in the log, without what differs between any two requests."""
    asked = answer.headers["x-request-id"]

    def lines() -> list[dict[str, Any]]:
        read = [json.loads(line) for line in clinic.server.log.read_text().splitlines() if asked in line]
        return [line for line in read if line["event"] == "request"]

    eventually(lambda: len(lines()) > place)
    return lines()[place] | {"timestamp": "", "request_id": "", "milliseconds": 0}


# With a key, the second request is not like the first one.
@pytest.mark.parametrize("name", [name for name in CASES if name != "an idempotency key"])
def test_both_ways_are_logged_and_counted_alike(lone_worker: Clinic, name: str) -> None:
    case, slot_id = CASES[name], lone_worker.slot(seats=9)["id"]
    before = _counts(lone_worker)
    short = _send(lone_worker, slot_id, case, PLAIN)
    between = _counts(lone_worker)
    ordinary = _send(lone_worker, slot_id, case, ORDINARY)
    after = _counts(lone_worker)
    assert between - before == after - between
    assert (between - before)["slotwise_http_requests_total", "POST", "/api/bookings", str(case.status)] == 1
    same_id = short.headers["x-request-id"] == ordinary.headers["x-request-id"]
    assert _log_line(lone_worker, short, 0) == _log_line(lone_worker, ordinary, int(same_id))


def _slots_of(clinic: Clinic) -> str:
    doctor = clinic.doctor()
    for hour in (9, 10):
        clinic.slot(seats=3, doctorId=doctor["id"], startTime=f"2031-01-01T{hour:02}:00:00Z")
    return f"/api/slots?doctorId={doctor['id']}"


def _both(clinic: Clinic, method: str, path: str, **more: Any) -> tuple[httpx.Response, httpx.Response]:
    """The answers of both ways to one request. Called once beforehand: a query goes the ordinary way at first."""
    headers = more.pop("headers", {})
    ordinary = clinic.http.request(method, path, headers=headers | TO_ORDINARY, **more)
    return clinic.http.request(method, path, headers=headers, **more), ordinary


@pytest.mark.parametrize("headers", [{}, {"If-None-Match": '"other"'}, {"If-None-Match": "*"}])
def test_both_ways_list_slots_alike(clinic: Clinic, headers: dict[str, str]) -> None:
    short, ordinary = _both(clinic, "GET", _slots_of(clinic), headers=headers)
    assert _comparable(short) == _comparable(ordinary)
    assert short.status_code == (304 if "*" in headers.values() else 200)


def test_a_list_that_has_not_changed_is_not_sent_again_on_either_way(clinic: Clinic) -> None:
    path = _slots_of(clinic)
    tag = clinic.http.get(path).headers["etag"]
    short, ordinary = _both(clinic, "GET", path, headers={"If-None-Match": f'"other", W/{tag}'})
    assert short.status_code == 304
    assert _comparable(short) == _comparable(ordinary)


ALIKE = [
    ("GET", "/api/slots/{slot}", 200),
    ("GET", "/api/slots/999999999", 404),
    ("GET", "/api/doctors", 200),
    ("GET", "/api/doctors?limit=1", 200),
    ("GET", "/health", 200),
    ("GET", "/api/slots/0", 400),
    ("GET", "/api/slots/{slot}?x=1", 400),
    ("GET", "/api/slots?limit=0", 400),
    ("GET", "/api/slots?from=2031-01-02T00:00:00Z&to=2031-01-01T00:00:00Z", 400),
    ("GET", "/api/bookings/{booking}", 200),
    ("GET", "/api/bookings/{booking}?token={token}", 401),
    ("GET", "/api/bookings/999999999", 404),
    ("GET", "/api/bookings/99999999999999999999", 400),
    ("POST", "/api/bookings/{booking}/confirm", 200),
    ("POST", "/api/bookings/{booking}/confirm?x=1", 400),
    ("POST", "/api/bookings/999999999/confirm", 404),
    ("POST", "/api/bookings/{other}/confirm", 403),
    ("DELETE", "/api/bookings/{booking}", 200),
    ("DELETE", "/api/bookings/{other}", 403),
    ("DELETE", "/api/bookings/999999999", 404),
    ("PUT", "/api/bookings/{booking}", 405),
]
CALLERS = ["nobody", "holder", "patient", "staff", "liar"]


@pytest.mark.parametrize(
    ("method", "path", "status", "who"), third_of([(*row, who) for row in ALIKE for who in CALLERS], 0)
)
def test_both_ways_answer_everybody_alike(clinic: Clinic, method: str, path: str, status: int, who: str) -> None:
    slot_id = clinic.slot(seats=5)["id"]
    held, other = clinic.hold(slot_id), clinic.hold(slot_id)
    headers = {
        "nobody": {},
        "holder": {"Booking-Token": held["manageToken"]},
        "patient": clinic.patient(),
        "staff": clinic.admin,
        "liar": {"Authorization": "Bearer a.b.c"},
    }[who]
    url = path.format(slot=slot_id, booking=held["id"], other=other["id"], token=held["manageToken"])
    short, ordinary = _both(clinic, method, url, headers=headers)
    assert _comparable(short) == _comparable(ordinary)
    if who == "holder":
        assert short.status_code == status, short.text


@pytest.mark.parametrize("path", ["/api/slots", "/api/doctors", "/health"])
def test_two_manage_tokens_do_not_matter_where_none_counts(clinic: Clinic, path: str) -> None:
    tokens = [("Booking-Token", "a"), ("Booking-Token", "b")]
    assert httpx.get(clinic.server.url + path, headers=tokens).status_code == 200


def test_both_ways_confirm_with_a_name(clinic: Clinic) -> None:
    slot_id = clinic.slot(seats=5)["id"]
    for body in ({"userName": "Zoe"}, {"userName": ""}, {"userName": 1}, {"userEmail": "zoe"}, {"seats": 1}):
        held = clinic.hold(slot_id)
        path, headers = f"/api/bookings/{held['id']}/confirm", {"Booking-Token": held["manageToken"]}
        short, ordinary = _both(clinic, "POST", path, headers=headers, json=body)
        assert _comparable(short) == _comparable(ordinary)


@pytest.mark.parametrize("headers", [{}, {"Accept-Encoding": "gzip"}, {"Accept-Encoding": "br, gzip;q=0"}])
@pytest.mark.parametrize("query", ["", "?day=2031-01-01", "?day=yesterday", "?seats=1"])
def test_both_ways_show_the_start_page_alike(clinic: Clinic, query: str, headers: dict[str, str]) -> None:
    """A visitor without cookies, again and again: each gets a cookie of their own.

    A hold of another test may end in between, and its time is free again. This does not happen five times.
    """
    alike = (_start_pages(clinic, query, headers) for _ in range(5))
    assert any(all(other == pages[0] for other in pages) for pages in alike)


def _start_pages(clinic: Clinic, query: str, headers: dict[str, str]) -> list[tuple[int, dict[str, str], str]]:
    answers = []
    for way in (TO_ORDINARY, {}, TO_ORDINARY, {}):
        answer = httpx.get(f"{clinic.server.url}/{query}", headers={"Accept-Encoding": "identity"} | headers | way)
        [cookie] = answer.headers.get_list("set-cookie") or [""]
        told = dict(answer.headers) | {
            "date": "",
            "x-request-id": "",
            "set-cookie": re.sub("=[^;]*", "=", cookie, count=1),
        }
        answers.append((answer.status_code, told, answer.text))
    return answers


def test_a_defect_is_shown_alike_on_both_ways(start_server: Callable[..., RunningServer]) -> None:
    with Clinic(start_server()) as clinic:
        rows(clinic.server.database_url, "DROP SCHEMA public CASCADE")
        shown = []
        for way in ({}, TO_ORDINARY):
            answer = httpx.get(clinic.server.url, headers=way)
            told = dict(answer.headers) | {"date": "", "content-length": ""}
            told["set-cookie"] = re.sub("=[^;]*", "=", told["set-cookie"], count=1)
            shown.append((answer.status_code, {**told, "x-request-id": ""}))
        assert shown[0] == shown[1]
        assert shown[0][0] == 500


def test_a_start_page_under_tls_sets_a_cookie_for_tls(limited: Clinic) -> None:
    for way in (TO_ORDINARY, {}):
        for scheme, name in (("https", "__Host-slotwise-attempt="), ("http", "slotwise-attempt=")):
            answer = httpx.get(f"{limited.server.url}/", headers={"X-Forwarded-Proto": scheme} | way)
            assert answer.headers["set-cookie"].startswith(name)
            assert ("Secure" in answer.headers["set-cookie"]) is (scheme == "https")


def test_the_operations_that_the_connection_answers() -> None:
    application = build(Settings())
    declared = {
        (method, route.path_format)
        for route in application.routes
        for handler in getattr(route, "route_handlers", ())
        if Binding.KEY in handler.opt
        for method in handler.http_methods - {"OPTIONS"}
    }
    assert declared == {
        ("POST", "/api/bookings"),
        ("GET", "/api/bookings/{booking_id}"),
        ("POST", "/api/bookings/{booking_id}/confirm"),
        ("DELETE", "/api/bookings/{booking_id}"),
        ("GET", "/api/slots"),
        ("GET", "/api/slots/{slot_id}"),
        ("GET", "/api/times"),
        ("GET", "/api/doctors"),
        ("GET", "/health"),
        ("GET", "/"),
    }
