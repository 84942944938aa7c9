"""Attacks on pages that once succeeded or might: headers, cookies, hosts, limits, and files that others open."""

import base64
import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import httpx
import pytest

from slotwise.web.desk.export import written
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, PATIENCE_SECONDS, Clinic, RunningServer, problem, rows
from tests.conftest import fresh_database, running_server
from tests.security.conftest import SECRET

OURS = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
# Unicode spaces, in bytes that a browser counts as part of a cookie's name, and other spellings.
DECOYS = (b"\xa0__Host-", b"\x85__Host-", b"\xc2\xa0__Host-", b"%5F%5FHost-", b"__host-", b"")
_clients = itertools.count(1)


class Window(NamedTuple):
    """A browser with its own IP behind a proxy with TLS.

    The proxy uses plain HTTP with the server, so the test client does not send Secure cookies: they are set by hand.
    """

    http: httpx.Client
    clinic: Clinic

    def post(self, path: str, **fields: object) -> httpx.Response:
        return self.http.post(path, data={name: str(value) for name, value in fields.items()})

    def log_in(self) -> httpx.Response:
        answer = self.post("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        self.http.headers["Cookie"] = f"__Host-slotwise-session={session_of(answer)}"
        return answer

    def hold(self, slot_id: int, seats: int = 1) -> tuple[int, str]:
        answer = self.post("/hold", slot=slot_id, seats=seats)
        assert answer.status_code == 303, answer.text
        found = re.fullmatch(r"/bookings/(\d+)\?token=([\w-]+)", answer.headers["location"])
        assert found
        return int(found[1]), found[2]


@pytest.fixture(scope="module")
def behind_tls(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    settings = {"APP_ENV": "production", "JWT_SECRET": SECRET, "TRUSTED_PROXIES": "127.0.0.1"}
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, settings | {"RATE_LIMIT_BOOKINGS": "3/hour"}) as server,
    ):
        yield server


@pytest.fixture
def window(behind_tls: RunningServer) -> Iterator[Window]:
    forwarded = {"X-Forwarded-For": f"203.0.113.{next(_clients)}", "X-Forwarded-Proto": "https"}
    with (
        Clinic(behind_tls) as clinic,
        httpx.Client(base_url=behind_tls.url, headers=OURS | forwarded, timeout=PATIENCE_SECONDS, verify=False) as http,
    ):
        clinic.http.headers.update(forwarded)
        yield Window(http, clinic)


def session_of(answer: httpx.Response) -> str:
    found = re.search(r"__Host-slotwise-session=([^;]+);", ", ".join(answer.headers.get_list("set-cookie")))
    assert found
    return found[1]


def _limited(window: Window) -> httpx.Response:
    slot = window.clinic.slot(seats=9)
    return [window.post("/hold", slot=slot["id"], seats=1) for _ in range(4)][-1]


def _defect(window: Window) -> httpx.Response:
    """An answer to a defect: a table's column is missing for a moment."""
    window.log_in()
    rows(window.clinic.server.database_url, "ALTER TABLE doctors RENAME COLUMN specialization TO gone")
    answer = window.http.get("/admin/doctors")
    rows(window.clinic.server.database_url, "ALTER TABLE doctors RENAME COLUMN gone TO specialization")
    return answer


def _as_admin(path: str) -> Callable[[Window], httpx.Response]:
    def ask(window: Window) -> httpx.Response:
        window.log_in()
        return window.http.get(path)

    return ask


def _held(window: Window, page: str = "") -> httpx.Response:
    booking_id, token = window.hold(window.clinic.slot()["id"])
    return window.http.get(f"/bookings/{booking_id}{page}", params={"token": token})


def _taken(window: Window) -> httpx.Response:
    slot = window.clinic.slot()
    window.hold(slot["id"])
    return Window(window.http, window.clinic).post("/hold", slot=slot["id"], seats=2)


PAGES: dict[str, tuple[int, Callable[[Window], httpx.Response]]] = {
    "times": (200, lambda window: window.http.get("/")),
    "a form": (200, lambda window: window.http.get("/log-in")),
    "a hold": (200, _held),
    "a calendar": (200, lambda window: _held(window, "/calendar.ics")),
    "the desk": (200, _as_admin("/admin")),
    "a download": (200, _as_admin("/admin/bookings.csv")),
    "own data": (200, _as_admin("/account/data.json")),
    "logged in": (303, lambda window: window.log_in()),
    "asked to log in": (303, lambda window: window.http.get("/admin/users")),
    "a form at fault": (400, lambda window: window.post("/register", name="", email="", password="")),
    "a wrong password": (401, lambda window: window.post("/log-in", email="a@example.org", password="x")),
    "from elsewhere": (403, lambda window: window.http.post("/log-out", headers={"Sec-Fetch-Site": "cross-site"})),
    "nobody's booking": (404, lambda window: window.http.get("/bookings/1000000?token=x")),
    "nothing": (404, lambda window: window.http.get("/nowhere")),
    "another method": (405, lambda window: window.http.put("/log-in")),
    "taken": (409, _taken),
    "too large": (413, lambda window: window.post("/register", name="x" * 70_000)),
    "no form": (415, lambda window: window.http.post("/log-in", json={})),
    "too often": (429, _limited),
    "broken": (500, _defect),
    "its head": (200, lambda window: window.http.head("/log-in")),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_every_kind_of_page_guards_against_browsers(window: Window, name: str) -> None:
    status, ask = PAGES[name]
    answer = ask(window)
    assert answer.status_code == status, answer.text
    policy = {
        rule: words for rule, *words in (one.split() for one in answer.headers["content-security-policy"].split(";"))
    }
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == ["'none'"]
    assert set(itertools.chain(*policy.values())) <= {"'none'", "'self'"}, "nothing inline, nothing from elsewhere"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] in {"strict-origin", "no-referrer"}
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["strict-transport-security"]
    assert "server" not in answer.headers
    assert "access-control-allow-origin" not in answer.headers
    if answer.headers["content-type"].startswith("text/html"):
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=|https?://", answer.text)
    elif not answer.headers["content-type"].startswith("application/problem"):
        assert answer.headers["content-disposition"].startswith('attachment; filename="')
    for cookie in answer.headers.get_list("set-cookie"):
        assert re.match(r"__Host-slotwise-(session|hold|attempt|draft|notice|typist|kept)=", cookie), cookie
        attributes = {part.partition("=")[0].lower(): part.partition("=")[2] for part in cookie.split("; ")[1:]}
        assert attributes.keys() == {"httponly", "secure", "samesite", "path", "max-age"}, cookie
        assert (attributes["samesite"], attributes["path"]) == ("lax", "/"), cookie


@pytest.mark.parametrize("decoy", DECOYS, ids=ascii)
def test_no_other_host_of_the_domain_sets_a_cookie_that_counts(window: Window, decoy: bytes) -> None:
    """Browsers protect `__Host-` cookies by the exact bytes of the name, so the server must compare bytes too."""
    session = session_of(window.log_in()).encode()
    del window.http.headers["Cookie"]
    own = b"__Host-slotwise-session=" + session
    for sent, status in ((own, 200), (decoy + own[7:], 303), (own + b"; " + own, 303)):
        assert window.http.get("/admin", headers=[(b"Cookie", sent)]).status_code == status, sent
    slot = window.clinic.slot(seats=2)
    attempt = [(b"Cookie", decoy + b"slotwise-attempt=known-to-whoever-planted")]
    first, second = (
        window.http.post("/hold", data={"slot": slot["id"], "seats": 1}, headers=attempt) for _ in range(2)
    )
    assert first.headers["location"] != second.headers["location"], "a planted attempt repeats another's answer"


@pytest.mark.parametrize(
    "held", [{"booking_id": 2**63}, {"booking_id": 2**80}, {"booking_id": -1}, {"booking_id": 1.5}]
)
def test_an_impossible_hold_cookie_is_ignored(window: Window, held: dict[str, float]) -> None:
    cookie = base64.urlsafe_b64encode(json.dumps(held | {"token": "x"}).encode()).decode().rstrip("=")
    for path in ("/", "/log-in"):
        answer = window.http.get(path, headers={"Cookie": f"__Host-slotwise-hold={cookie}"})
        assert answer.status_code == 200


@pytest.mark.parametrize("host", ["a:b:c", "[", "a]b", "evil@clinic.example", "clinic.example:x", ""])
def test_a_page_for_an_invalid_host_is_refused(window: Window, host: str) -> None:
    """RFC 9112, 3.2. Before, such a request got a page without the link."""
    booking_id, token = window.hold(window.clinic.slot()["id"])
    page = f"/bookings/{booking_id}?token={token}"
    for path in ("/", "/admin", "/nowhere", page):
        refused = problem(window.http.get(path, headers={"Host": host}), 400, "invalid-input")
        assert refused["errors"][0]["field"] == "Host"
    form = {"token": token, "user_name": "Ada", "user_email": "ada@example.org"}
    sent = {"Host": host, "Origin": f"https://{host}"}
    assert window.http.post(f"/bookings/{booking_id}/confirm", data=form, headers=sent).status_code == 400
    assert "Confirm your appointment" in window.http.get(page).text


def test_a_forged_host_comes_back_to_whoever_forged_it_and_to_nobody_else(window: Window) -> None:
    """Only the link of the same answer contains it, and nothing that other visitors see."""
    forged = {"Host": "evil.example"}
    booking_id, token = window.hold(window.clinic.slot()["id"])
    page = f"/bookings/{booking_id}?token={token}"
    form = {"token": token, "user_name": "Ada", "user_email": "ada@example.org"}
    confirmed = window.http.post(f"/bookings/{booking_id}/confirm", data=form, headers=forged)
    asked = window.http.get("/admin", headers=forged)
    assert confirmed.headers["location"] == page
    assert asked.headers["location"].startswith("/log-in")
    shared = window.http.get("/?seats=7", headers=forged)
    own = [window.http.get(path, headers=forged) for path in (page, page.replace("?", "/calendar.ics?"))]
    assert ["evil.example" in answer.text.replace("\r\n ", "") for answer in own] == [True, True]
    assert {answer.headers["cache-control"] for answer in own} == {"no-store"}
    window.http.cookies.clear()
    others = [window.http.get(path) for path in ("/?seats=7", page, page.replace("?", "/calendar.ics?"))]
    assert not [answer.url for answer in [shared, *others] if "evil.example" in answer.text]


def test_other_seats_for_a_held_time_count_as_booking(window: Window) -> None:
    slot = window.clinic.slot(seats=9)
    booking_id, token = window.hold(slot["id"])
    for seats in (2, 3):
        changed = window.post(f"/bookings/{booking_id}/seats", token=token, seats=seats)
        [booking_id, token] = re.findall(r"bookings/(\d+)\?token=(.*)", changed.headers["location"])[0]
    person = {"token": token, "user_name": "Ada", "user_email": "ada@example.org"}
    for path, fields in (("seats", {"token": token}), ("confirm", person)):
        refused = window.post(f"/bookings/{booking_id}/{path}", **fields, seats=4)
        assert refused.status_code == 429, path
        assert 0 < int(refused.headers["retry-after"]) <= 3600
    assert window.clinic.free_seats(slot["id"]) == 6
    assert window.post(f"/bookings/{booking_id}/confirm", **person, seats=3).status_code == 303, "no other seats"


def test_an_address_writes_nothing_into_a_letter_but_itself(window: Window) -> None:
    email = "a?bcc=evil%40evil.example&body=/x@example.org"
    booking = window.clinic.hold(window.clinic.slot()["id"], userEmail=email)
    window.log_in()
    page = window.http.get(f"/admin/bookings/{booking['id']}")
    [link] = re.findall(r'href="(mailto:[^"]+)"', page.text)
    parts = urlsplit(link)
    assert (unquote(parts.path), parse_qs(parts.query)) == (email, {})


def test_admins_cannot_set_their_own_password_without_the_present_one(window: Window) -> None:
    window.log_in()
    own = window.clinic.http.get("/api/auth/me", headers=window.clinic.admin).json()["id"]
    assert f'href="/admin/users/{own}/password"' not in window.http.get(f"/admin/users/{own}").text
    for answer in (
        window.http.get(f"/admin/users/{own}/password"),
        window.post(f"/admin/users/{own}/password", password="the finder's own secret"),
        window.post(f"/admin/users/{own}/password", password=""),
    ):
        assert (answer.status_code, answer.headers["location"]) == (303, "/account/password")
    window.clinic.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)


@pytest.mark.parametrize("name", ["x;=1+1;y", 'x;"=1+1;y', "x; @SUM(A1)", ";-1", '"=1', "a;b;+1"])
def test_no_cell_is_a_formula_where_a_semicolon_divides(name: str) -> None:
    """As in countries with a decimal comma."""
    cells = itertools.chain(*csv.reader(io.StringIO(written([["1", name]]), newline=""), delimiter=";"))
    assert not [cell for cell in cells if cell.lstrip(' "').startswith(("=", "+", "-", "@"))]
    assert [row[1].replace("'", "") for row in csv.reader(io.StringIO(written([["1", name]]), newline=""))] == [name]
