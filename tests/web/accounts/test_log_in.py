"""Logging in and out on pages: the session cookie, how long it lasts, and who can use it."""

import re
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from litestar import Litestar
from litestar.connection import ASGIConnection

from slotwise.domain.errors import DatabaseBusy, NotFound
from slotwise.web.kit.access import own_origin
from slotwise.web.kit.errors import recognize_visitor
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, rows, unique_email
from tests.conftest import fresh_database, running_server
from tests.web.people import PASSWORD, AccountVisitor, cookie_of, error_of, text_of

ELSEWHERE: tuple[dict[str, str], ...] = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Sec-Fetch-Site": ""},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {},
)

OUTWARD = (
    "https://evil.example/",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    " //evil.example",
    "javascript:alert(1)",
    "evil.example",
    "/%0d%0aSet-Cookie: a=b",
    "/account\r\nSet-Cookie: a=b",
    "/é",
    "",
    "/" + "x" * 3000,
)


@pytest.fixture
def visitor(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def tls_server(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """A server behind a proxy, which speaks TLS with the browsers."""
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, {"TRUSTED_PROXIES": "127.0.0.1", "PUBLIC_URL": "https://Clinic.Example:443"}) as server,
    ):
        yield server


def test_the_session_cookie_is_closed_to_scripts_and_other_sites(visitor: AccountVisitor) -> None:
    email = visitor.register()
    visitor.post("/log-out")
    answer = visitor.log_in(email)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    cookie = cookie_of(answer, "slotwise-session")
    assert cookie.keys() == {"value", "httponly", "samesite", "path", "max-age"}
    assert (cookie["samesite"], cookie["path"], cookie["max-age"]) == ("lax", "/", str(12 * 3600))
    assert visitor.is_logged_in()


def test_under_tls_the_cookie_is_bound_to_this_host_and_to_tls(tls_server: RunningServer) -> None:
    with AccountVisitor(tls_server, headers={"X-Forwarded-Proto": "https"}) as visitor:
        answer = visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        cookie = cookie_of(answer, "__Host-slotwise-session")
        assert cookie.keys() == {"value", "httponly", "samesite", "path", "max-age", "secure"}
        assert cookie["path"] == "/"
        token = cookie["value"]
        as_set = visitor.http.get("/account", headers={"Cookie": f"__Host-slotwise-session={token}"})
        planted = visitor.http.get("/account", headers={"Cookie": f"slotwise-session={token}"})
        assert (as_set.status_code, planted.status_code) == (200, 303)


def test_a_set_public_url_is_the_only_origin_and_the_base_of_links(
    tls_server: RunningServer,
) -> None:
    with AccountVisitor(tls_server, headers={"X-Forwarded-Proto": "https"}) as visitor, Clinic(tls_server) as clinic:
        host = urlsplit(tls_server.url).netloc
        answers = [
            visitor.post("/log-in", {"Origin": origin}, email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
            for origin in (f"https://{host}", "http://clinic.example", "https://clinic.example")
        ]
        assert [answer.status_code for answer in answers] == [403, 403, 303]
        booking = clinic.hold(clinic.slot()["id"], confirm=True)
        query = f"{booking['id']}?token={booking['manageToken']}"
        page = visitor.http.get(f"/bookings/{query}")
        assert f'value="https://clinic.example/bookings/{query}"' in page.text
        assert host not in page.text
        session = f"__Host-slotwise-session={cookie_of(answers[2], '__Host-slotwise-session')['value']}"
        typed = {"slot": clinic.slot()["id"], "seats": 1, "user_name": "Grace", "user_email": "g@example.org"}
        sent = {"Origin": "https://clinic.example", "Cookie": session}
        booked = visitor.http.post("/admin/bookings/new", data=typed, headers=sent)
        handed = f"__Host-slotwise-slip={cookie_of(booked, '__Host-slotwise-slip')['value']}"
        slip = visitor.http.get(booked.headers["location"], headers={"Cookie": f"{session}; {handed}"})
        assert re.search(r'id="link"[^>]*>https://clinic\.example/bookings/', slip.text), slip.text
        assert "may not work outside the clinic" not in slip.text


OWN_ORIGINS = [
    (None, "https", "clinic.example", "https://clinic.example"),
    (None, "http", "127.0.0.1:3000", "http://127.0.0.1:3000"),
    (None, "http", "clinic.example/evil", None),
    ("https://clinic.example", "http", "127.0.0.1:3000", "https://clinic.example"),
]


@pytest.mark.parametrize(("named", "scheme", "host", "origin"), OWN_ORIGINS)
def test_our_origin_is_the_set_one_or_the_one_of_browser_and_proxy(
    named: str | None, scheme: str, host: str, origin: str | None
) -> None:
    headers = [(b"host", host.encode())]
    app = SimpleNamespace(web=SimpleNamespace(origin=named))
    scope: Any = {"type": "http", "scheme": scheme, "headers": headers, "litestar_app": app}
    assert own_origin(ASGIConnection(scope)) == origin


def test_a_form_of_another_site_changes_nothing(visitor: AccountVisitor) -> None:
    email, token = visitor.register(), visitor.token
    new = unique_email()
    fields = {
        "/log-in": {"email": email, "password": PASSWORD},
        "/register": {"name": "Eve", "email": new, "password": PASSWORD},
        "/log-out": {},
        "/account/password": {"current_password": PASSWORD, "new_password": "another fine secret"},
        "/account/delete": {"password": PASSWORD},
    }
    for path, headers in product(fields, ELSEWHERE):
        answer = visitor.post(path, headers, **fields[path])
        assert (answer.status_code, "slotwise-session" in answer.cookies) == (403, False), (path, headers)
        assert "Nothing was changed" in text_of(answer)
    assert visitor.token == token
    assert visitor.is_logged_in()
    assert visitor.log_in(new).status_code == 401


def test_a_form_with_only_our_origin_is_accepted(visitor: AccountVisitor, server: RunningServer) -> None:
    email = visitor.register()
    assert visitor.post("/log-in", {"Origin": server.url}, email=email, password=PASSWORD).status_code == 303


def test_each_log_in_makes_a_new_token(visitor: AccountVisitor) -> None:
    """An attacker cannot make a visitor use a session that the attacker knows."""
    email, first = visitor.register(), visitor.token
    tokens = [cookie_of(visitor.log_in(email), "slotwise-session")["value"] for _ in range(2)]
    visitor.post("/log-out")
    visitor.http.cookies.set("slotwise-session", first, domain="127.0.0.1")
    tokens.append(cookie_of(visitor.log_in(email), "slotwise-session")["value"])
    assert len({first, *tokens}) == 4
    assert visitor.is_logged_in()


def test_staff_are_led_to_the_clinic_and_others_back_to_where_they_were(visitor: AccountVisitor) -> None:
    assert visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD).headers["location"] == "/admin"
    assert visitor.http.get("/log-in").headers["location"] == "/admin"
    visitor.post("/log-out")
    stopped = visitor.http.get("/account/data?x=1&y=%C3%A9")
    asked = urlsplit(stopped.headers["location"])
    assert (stopped.status_code, asked.path) == (303, "/log-in")
    [wanted] = parse_qs(asked.query)["next"]
    email = unique_email()
    assert f'value="{wanted.replace("&", "&amp;")}"' in visitor.http.get(stopped.headers["location"]).text
    answer = visitor.post("/register", name="Pat", email=email, password=PASSWORD, next=wanted)
    assert answer.headers["location"] == wanted == "/account/data?x=1&y=%C3%A9"


def test_a_link_from_elsewhere_never_leads_to_another_site(visitor: AccountVisitor) -> None:
    email = visitor.register()
    for wanted in OUTWARD:
        for page in ("/log-in", "/register"):
            answer = visitor.http.get(page, params={"next": wanted})
            assert (answer.status_code, answer.headers["location"]) == (303, "/account"), wanted
    for wanted in OUTWARD[:4]:
        assert visitor.log_in(email, next=wanted).headers["location"] == "/account", wanted


def test_a_wrong_password_and_an_unknown_email_get_the_same_page(visitor: AccountVisitor) -> None:
    known, unknown = visitor.register(), unique_email()
    visitor.http.cookies.clear()
    pages = []
    for email in (known, unknown):
        answer = visitor.log_in(email, "not the password")
        assert answer.status_code == 401
        assert "The e-mail address or the password is wrong." in text_of(answer)
        assert "not the password" not in answer.text
        assert "slotwise-session" not in answer.cookies
        # Nothing in it is of this second, in which only one of the two may come.
        assert 'data-offsets="0 ' in answer.text
        pages.append(answer.text.replace(email, "somebody"))
    assert pages[0] == pages[1]


def test_after_ten_wrong_passwords_the_page_says_when_to_try_again(visitor: AccountVisitor) -> None:
    email = unique_email()
    answers = [visitor.log_in(email, "wrong") for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert 880 < int(answers[-1].headers["retry-after"]) <= 900
    assert re.search(r"Too many wrong passwords\. Try again in 1[45] minutes", text_of(answers[-1]))


def test_every_page_shows_who_is_logged_in_and_can_log_out(visitor: AccountVisitor) -> None:
    def header(path: str) -> str:
        return visitor.http.get(path, headers={"Accept": "text/html"}).text.partition("<main")[0]

    assert 'action="/log-out"' not in header("/")
    visitor.register("Pat <b> Patient")
    for path in ("/", "/account/password", "/admin", "/nothing", "/bookings/x", "/account/delete/nothing"):
        assert "Pat &lt;b&gt; Patient" in header(path), path
        assert 'action="/log-out"' in header(path), path
    assert "Pat &lt;b&gt; Patient" in visitor.post("/account/password", {"Sec-Fetch-Site": "cross-site"}).text
    visitor.post("/log-out")
    visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
    assert 'action="/log-out"' in header("/admin/bookings")


def scope_of(path: str, *headers: tuple[bytes, bytes]) -> Any:
    """The scope of a request to an application without accounts, so that a look-up fails."""
    request = {"type": "http", "scheme": "http", "path": path, "headers": list(headers)}
    return {**request, "litestar_app": Litestar(), "state": {}}


async def test_an_error_page_looks_up_the_visitor_only_with_a_session() -> None:
    session = (b"cookie", b"slotwise-session=x")
    await recognize_visitor(NotFound(), scope_of("/nothing"))
    await recognize_visitor(NotFound(), scope_of("/api/nothing", session))
    await recognize_visitor(DatabaseBusy(), scope_of("/nothing", session))
    with pytest.raises(AttributeError):
        await recognize_visitor(NotFound(), scope_of("/nothing", session))


def test_a_refused_page_says_who_may_open_it_and_where_to_go(visitor: AccountVisitor, server: RunningServer) -> None:
    email = visitor.register()
    refused = visitor.http.get("/admin/users")
    assert (refused.status_code, "for clinic staff" in refused.text) == (403, True)
    assert 'href="/admin"' not in refused.text
    rows(server.database_url, "UPDATE users SET role = 'staff' WHERE email = $1", email)
    refused = visitor.http.get("/admin/users")
    assert (refused.status_code, "Ask an administrator" in refused.text) == (403, True)
    assert '<a class="button primary" href="/admin">Today</a>' in refused.text


def test_logging_out_ends_the_session_and_forgets_the_visitor(visitor: AccountVisitor, clinic: Clinic) -> None:
    visitor.register()
    token = visitor.bearer
    answer = visitor.post("/log-out")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    for name in ("session", "hold", "attempt", "draft"):
        assert cookie_of(answer, f"slotwise-{name}")["max-age"] == "0"
    assert not visitor.is_logged_in()
    assert clinic.http.get("/api/auth/me", headers=token).status_code == 401
    assert "You are logged out" in text_of(visitor.http.get("/log-in"))
    assert visitor.post("/log-out").status_code == 303


@pytest.mark.parametrize("ending", ["SET token_version = token_version + 1", "SET active = FALSE"])
def test_a_visitor_whose_session_ended_is_asked_to_log_in(
    visitor: AccountVisitor, server: RunningServer, ending: str
) -> None:
    email = visitor.register()
    rows(server.database_url, f"UPDATE users {ending} WHERE email = $1", email)
    stopped = visitor.http.get("/account/data")
    assert (stopped.status_code, stopped.headers["location"]) == (303, "/log-in?next=%2Faccount%2Fdata")
    page = visitor.http.get(stopped.headers["location"])
    assert "You have been logged out." in text_of(page)
    assert cookie_of(page, "slotwise-session")["max-age"] == "0"
    assert "You have been logged out." not in text_of(visitor.http.get("/log-in"))
    assert visitor.log_in(email).status_code == (401 if "active" in ending else 303)


def test_a_form_without_a_session_changes_nothing_and_says_so(visitor: AccountVisitor) -> None:
    answer = visitor.post("/account/password", current_password=PASSWORD, new_password="another fine secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/log-in?next=%2Faccount%2Fpassword")
    assert "Please log in first. Nothing was changed." in text_of(visitor.http.get("/log-in"))


def test_errors_stand_at_their_fields_and_typed_values_are_kept(visitor: AccountVisitor) -> None:
    known = visitor.register()
    visitor.post("/log-out")
    name = '"><script>alert(1)</script>'
    for fields, status, field, sentence in (
        ({"name": ""}, 400, "name", "Must not be empty."),
        ({"email": "nonsense"}, 400, "email", "Must be a valid e-mail address."),
        ({"email": known}, 409, "email", "An account with this e-mail address already exists."),
        ({"password": "short"}, 400, "password", "Must have 8 to 128 characters."),
        ({"password": "password1"}, 400, "password", "Is among the most common passwords; choose another."),
    ):
        sent = {"name": name, "email": unique_email(), "password": "a fine long secret"} | fields
        answer = visitor.post("/register", **sent)
        assert answer.status_code == status
        assert error_of(answer, field).startswith(sentence)
        assert "<script>alert" not in answer.text
        assert sent["password"] not in answer.text
        assert f'value="{sent["email"]}"' in answer.text
        assert "data-focus" in answer.text
    answer = visitor.post("/register", name="", email="", password="")
    assert [error_of(answer, field)[:4] for field in ("name", "email", "password")] == ["Must"] * 3


HOSTILE = ("a\x00b", "\u202egnp.exe", "a\u2067b\u2069", "a\u2028b", "x" * 201, "x" * 5000, "\u0344" * 3000, "\x1b[2J")


@pytest.mark.parametrize("text", HOSTILE, ids=ascii)
def test_hostile_names_and_emails_are_refused_at_their_fields(visitor: AccountVisitor, text: str) -> None:
    sent = {"name": "Pat", "email": unique_email(), "password": PASSWORD}
    for field in ("name", "email"):
        answer = visitor.post("/register", **sent | {field: text})
        assert answer.status_code == 400
        assert error_of(answer, field).startswith("Must")
    assert visitor.log_in(text, text).status_code in {400, 401}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"name=Pat&email=%ED%A0%80@example.org&password=secret", 400),
        (b"name=%FF", 400),
        (b"name=\xff", 400),
        (b"&".join(b"a=b" for _ in range(300)), 400),
        (b"name=" + b"x" * 70_000, 413),
    ],
)
def test_a_malformed_form_is_refused(visitor: AccountVisitor, body: bytes, status: int) -> None:
    for path in ("/log-in", "/register"):
        headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
        answer = visitor.http.post(path, content=body, headers=headers)
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")


def test_a_body_of_another_type_is_refused(visitor: AccountVisitor) -> None:
    answer = visitor.http.post("/log-in", json={"email": "a@example.org"}, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == 415


def test_browsers_and_caches_do_not_keep_these_pages(visitor: AccountVisitor) -> None:
    pages = [visitor.http.get("/log-in"), visitor.http.get("/register"), visitor.log_in("nobody@example.org")]
    visitor.register()
    pages += [visitor.http.get(f"/account{path}") for path in ("", "/password", "/data", "/delete", "/data.json")]
    for page in pages:
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "strict-origin"
        assert "default-src 'none'" in page.headers["content-security-policy"]
    assert [page.status_code for page in pages] == [200, 200, 401, 200, 200, 200, 200, 200]
