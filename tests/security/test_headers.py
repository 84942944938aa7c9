"""Headers for browsers on answers of every kind, and the origins whose pages may call the API."""

import re
from collections.abc import Callable

import httpx
import pytest

from slotwise.app import build
from slotwise.http.api_document import openapi_document
from slotwise.settings import load_settings
from tests.clinic import Clinic, RunningServer, problem, rows, unique_email
from tests.security.conftest import OTHER_ORIGIN


def _not_modified(clinic: Clinic) -> httpx.Response:
    etag = clinic.http.get("/api/slots").headers["etag"]
    return clinic.http.get("/api/slots", headers={"If-None-Match": etag})


def _defect(clinic: Clinic) -> httpx.Response:
    """An answer to a defect: a table's column is missing for a moment."""
    rows(clinic.server.database_url, "ALTER TABLE doctors RENAME COLUMN specialization TO gone")
    answer = clinic.http.get("/api/doctors")
    rows(clinic.server.database_url, "ALTER TABLE doctors RENAME COLUMN gone TO specialization")
    return answer


def _twice(clinic: Clinic) -> httpx.Response:
    account = {"name": "Pat Patient", "email": unique_email(), "password": "patient's secret"}
    clinic.http.post("/api/auth/register", json=account)
    return clinic.http.post("/api/auth/register", json=account)


Ask = Callable[[Clinic], httpx.Response]

JSON = {"Content-Type": "application/json"}
ANSWERS: dict[str, tuple[int, Ask]] = {
    "found": (200, lambda clinic: clinic.http.get("/api/doctors")),
    "created": (201, lambda clinic: clinic.http.post("/api/doctors", json={"name": "Dr. Who"}, headers=clinic.admin)),
    "held": (201, lambda clinic: clinic.book(clinic.slot()["id"])),
    "done": (204, lambda clinic: clinic.http.post("/api/auth/logout", headers=clinic.patient())),
    "not modified": (304, _not_modified),
    "malformed": (400, lambda clinic: clinic.http.post("/api/bookings", content=b"{", headers=JSON)),
    "malformed, by the framework": (400, lambda clinic: clinic.http.get("/api/slots", params={"limit": "x"})),
    "a stranger": (401, lambda clinic: clinic.http.get("/api/auth/me")),
    "not allowed": (403, lambda clinic: clinic.http.get("/api/bookings", headers=clinic.patient())),
    "missing": (404, lambda clinic: clinic.http.get("/api/slots/9223372036854775807")),
    "missing, on the fast path": (404, lambda clinic: clinic.book(2**62)),
    "unmatched": (404, lambda clinic: clinic.http.get("/nowhere")),
    "another method": (405, lambda clinic: clinic.http.put("/api/doctors")),
    "traced": (405, lambda clinic: clinic.http.request("TRACE", "/api/doctors")),
    "taken": (409, _twice),
    "too large": (413, lambda clinic: clinic.http.post("/api/bookings", content=b" " * 70_000)),
    "another type": (
        415, lambda clinic: clinic.http.post("/api/bookings", content=b"{}", headers={"Content-Type": "text/plain"})),
    "too long a head": (431, lambda clinic: clinic.http.get("/health", headers={"A": "x" * 40_000})),
    "broken": (500, _defect),
    "its head alone": (200, lambda clinic: clinic.http.head("/api/slots")),
    "its methods": (204, lambda clinic: clinic.http.options("/api/bookings")),
    "the docs": (200, lambda clinic: clinic.http.get("/api-docs")),
    "the document": (200, lambda clinic: clinic.http.get("/api-docs/openapi.json")),
    "a script": (200, lambda clinic: clinic.http.get("/api-docs/static/api-docs.js")),
    "metrics": (200, lambda clinic: clinic.http.get("/metrics")),
    "health": (200, lambda clinic: clinic.http.get("/health/ready")),
}  # fmt: skip
# Answers that are the same for all may be cached but must be revalidated; files change only with a release.
KEPT = {
    "not modified": "no-cache",
    "its head alone": "no-cache",
    "the docs": "no-cache",
    "the document": "no-cache",
    "a script": "public, max-age=86400",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_every_kind_of_answer_guards_against_browsers(hardened: RunningServer, name: str) -> None:
    status, ask = ANSWERS[name]
    with Clinic(hardened) as clinic:
        answer = ask(clinic)
    assert answer.status_code == status, answer.text
    headers = answer.headers
    policy = {name: words for name, *words in (rule.split() for rule in headers["content-security-policy"].split(";"))}
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert policy.get("script-src", ["'self'"]) == ["'self'"], "no script but from files of this server"
    assert "object-src" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert int(re.fullmatch(r"max-age=(\d+)", headers["strict-transport-security"])[1]) >= 365 * 86400  # type: ignore[index]  # no match fails too
    assert headers["cache-control"] == KEPT.get(name, "no-store")
    assert headers["x-request-id"]
    assert "server" not in headers
    assert "set-cookie" not in headers
    assert len(headers.get_list("content-security-policy")) == len(headers.get_list("cache-control")) == 1


@pytest.mark.parametrize(
    "origin",
    [
        "null", "https://evil.example", "https://clinic.example.evil.example", "https://evilclinic.example",
        "https://clinicXexample", "http://clinic.example", "https://clinic.example:8443", "https://clinic.example/",
        "https://clinic.example\thttps://evil.example", "https://clinic.example, https://evil.example",
        "https://a.clinic.example", "https://clinic.example@evil.example", "HTTPS://CLINIC.EXAMPLE.", "*", "",
    ],
)  # fmt: skip
def test_no_origin_but_the_one_that_is_named_gets_leave(hardened: RunningServer, origin: str) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    with Clinic(hardened) as clinic:
        answers = [
            clinic.http.get("/api/slots", headers={"Origin": origin}),
            clinic.http.get("/nowhere", headers={"Origin": origin}),
            clinic.http.options("/api/bookings", headers=preflight),
        ]
    for answer in answers:
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


def test_the_named_origin_gets_leave_without_credentials(hardened: RunningServer) -> None:
    preflight = {"Origin": OTHER_ORIGIN, "Access-Control-Request-Method": "POST"}
    with Clinic(hardened) as clinic:
        answers = [
            clinic.http.get("/api/slots", headers={"Origin": OTHER_ORIGIN}),
            clinic.http.get("/api/auth/me", headers={"Origin": OTHER_ORIGIN}),
            clinic.http.options("/api/bookings", headers=preflight),
        ]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == OTHER_ORIGIN
        assert "access-control-allow-credentials" not in answer.headers
        assert "origin" in answer.headers["vary"].lower()


def test_the_named_origin_may_send_each_header_that_the_api_reads_to_each_of_its_paths(hardened: RunningServer) -> None:
    paths = openapi_document(build(load_settings({})))["paths"]
    operations = [(path, method, operation) for path, methods in paths.items() for method, operation in methods.items()]
    documented = {
        given["name"]
        for *_, operation in operations
        for given in operation.get("parameters", ())
        if given["in"] == "header"
    }
    told = {"Authorization", "Booking-Token", "Content-Type", "If-None-Match", "Last-Event-ID", "X-Request-ID"}
    sent = ", ".join(sorted(name.lower() for name in documented | told))
    with Clinic(hardened) as clinic:
        for path, method, _ in operations:
            asked = {"Access-Control-Request-Method": method.upper(), "Access-Control-Request-Headers": sent}
            answer = clinic.http.options(re.sub(r"{\w+}", "1", path), headers={"Origin": OTHER_ORIGIN} | asked)
            assert answer.status_code == 204, (path, method, answer.text)
            assert method.upper() in answer.headers["access-control-allow-methods"].split(", ")
            assert set(sent.split(", ")) <= set(answer.headers["access-control-allow-headers"].lower().split(", "))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Access-Control-Request-Headers", "x-forwarded-for"),
        ("Access-Control-Request-Headers", "content-type, X-Other"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Method", "get"),
        ("Origin", "https://evil.example"),
    ],
)
def test_a_preflight_is_refused_with_a_problem_that_names_what_gets_no_leave(
    hardened: RunningServer, name: str, value: str
) -> None:
    preflight = {"Origin": OTHER_ORIGIN, "Access-Control-Request-Method": "GET"} | {name: value}
    with Clinic(hardened) as clinic:
        problem(clinic.http.options("/api/slots", headers=preflight), 400, "invalid-input", name)


def test_a_page_of_the_named_origin_may_ask_for_the_head_of_an_answer(hardened: RunningServer) -> None:
    """A browser asks first if the request has a header such as `If-None-Match`."""
    preflight = {
        "Origin": OTHER_ORIGIN, "Access-Control-Request-Method": "HEAD",
        "Access-Control-Request-Headers": "if-none-match",
    }  # fmt: skip
    with Clinic(hardened) as clinic:
        answer = clinic.http.options("/api/slots", headers=preflight)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, OTHER_ORIGIN)
    assert "HEAD" in answer.headers["access-control-allow-methods"].split(", ")


def test_the_named_origin_may_read_each_header_of_an_answer(hardened: RunningServer) -> None:
    with Clinic(hardened) as clinic:
        slot = clinic.slot()
        booking = {"slotId": slot["id"], "userName": "Ada", "userEmail": "ada@example.org"}
        answers = [
            clinic.http.get("/api/slots", headers={"Origin": OTHER_ORIGIN}),
            clinic.http.post("/api/bookings", json=booking, headers={"Origin": OTHER_ORIGIN}),
            clinic.http.get("/api/auth/me", headers={"Origin": OTHER_ORIGIN}),
            clinic.http.put("/api/slots", headers={"Origin": OTHER_ORIGIN}),
        ]
    assert [answer.status_code for answer in answers] == [200, 201, 401, 405]
    # A page may always read those (Fetch, 3.3.4), and has no use for the rest: they are for the browser.
    safe = {"cache-control", "content-length", "content-type"}
    theirs = {
        "vary",
        "content-security-policy",
        "x-content-type-options",
        "referrer-policy",
        "strict-transport-security",
    }
    for answer in answers:
        exposed = set(answer.headers["access-control-expose-headers"].lower().split(", "))
        seen = {name for name in answer.headers if not name.startswith(("access-control-", "cross-origin-"))}
        assert seen - safe - theirs <= exposed
        assert {"retry-after", "location", "etag", "x-request-id"} <= exposed


def test_the_named_origin_may_read_a_refusal_by_the_server_itself(hardened: RunningServer) -> None:
    encoded = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    with Clinic(hardened) as clinic:
        for origin, allowed in ((OTHER_ORIGIN, OTHER_ORIGIN), ("https://evil.example", None)):
            answer = clinic.http.post("/api/bookings", content=b"{}", headers=encoded | {"Origin": origin})
            assert answer.status_code == 415
            assert answer.headers.get("access-control-allow-origin") == allowed


def test_a_defect_tells_nothing_of_the_server(hardened: RunningServer) -> None:
    with Clinic(hardened) as clinic:
        answer = _defect(clinic)
    assert set(answer.json()) == {"type", "title", "status", "detail", "code"}
    for inner in ("Traceback", ".py", "Error", "column", "SELECT", "asyncpg"):
        assert inner not in answer.text
