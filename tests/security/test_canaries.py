"""Canaries: names, e-mails, passwords, tokens and keys go into every field of every operation, but into no log."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slotwise.app import build
from slotwise.http.api_document import openapi_document
from slotwise.settings import load_settings
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, eventually, holder, refuse_a_row, rows
from tests.web.visiting import Visitor

SPECIES = "serinus"
_numbers = itertools.count(1)


def canary() -> str:
    return f"{SPECIES}{next(_numbers)}"


def canary_email() -> str:
    return f"{canary()}@{SPECIES}.example"


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = openapi_document(build(load_settings({})))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            # The stream of events has no end, so only its head is read.
            said = "HEAD" if operation["operationId"] == "watch_seats" else method.upper()
            yield said, path, operation | {"schemas": document["components"]["schemas"]}


def body_of(operation: dict[str, Any]) -> dict[str, Any]:
    """A body with a canary in every text field."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    names = [schema["$ref"].rpartition("/")[2]] if "$ref" in schema else []
    fields = [field for name in names for field in operation["schemas"][name]["properties"]]
    return {field: canary_email() if "mail" in field else canary() for field in fields}


def headers() -> list[tuple[bytes, bytes]]:
    """Headers with a canary in each. The request id is one that the server replaces."""
    plain = ("Booking-Token", "Idempotency-Key", "Cookie", "Referer", "User-Agent", "X-Forwarded-For", "From")
    pairs = [(name, canary()) for name in plain] + [("X-Request-ID", f"{canary()} {canary_email()}")]
    return [(name.encode(), value.encode()) for name, value in pairs]


def fly_everywhere(clinic: Clinic) -> int:
    """Call every operation with valid and invalid input, with and without account. Returns the number of requests."""
    sent = itertools.count()
    authorizations = [b"Bearer " + canary().encode(), clinic.admin["Authorization"].encode(), None]
    for (method, path, operation), authorization in itertools.product(operations(), authorizations):
        names = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
        known = {name: canary() for name in names}
        fields = body_of(operation)
        bodies = [json.dumps(fields), json.dumps(fields | {canary(): canary()}), json.dumps(fields)[:-9], canary()]
        about = [
            (re.sub(r"{\w+}", "1", path), known),
            (path.replace("{", "").replace("}", canary()), known | {"token": canary(), canary(): canary()}),
        ]
        if path in {"/api/auth/logout", "/api/auth/password"} and authorization == authorizations[1]:
            continue  # it would end the session that the others need
        for (url, query), body in itertools.product(about, bodies if fields else [None]):
            given = [*headers(), *([(b"Authorization", authorization)] if authorization else [])]
            answer = clinic.http.request(method, url, params=query, content=body, headers=given)
            assert answer.status_code < 500, answer.text
            next(sent)
    return next(sent)


def live(clinic: Clinic) -> set[str]:
    """A day of a person with an account and of a guest. Returns the secrets that they got."""
    account = {"name": canary(), "email": canary_email(), "password": f"{canary()} password"}
    for _ in range(2):
        clinic.http.post("/api/auth/register", json=account)
    refuse_a_row(clinic.server.database_url, account["email"])
    clinic.http.post("/api/auth/login", json={"email": account["email"], "password": canary()})
    bearer = clinic.log_in(account["email"], account["password"])
    slot = clinic.slot(seats=3)
    booking = clinic.hold(slot["id"], userName=canary(), userEmail=canary_email(), headers=bearer)
    guest = clinic.hold(slot["id"], userName=canary(), userEmail=canary_email())
    clinic.http.get(f"/api/bookings/{guest['id']}", params={"token": guest["manageToken"]})
    clinic.http.post(f"/api/bookings/{guest['id']}/confirm", headers=holder(guest))
    clinic.http.get("/api/bookings", params={"q": account["email"]}, headers=clinic.admin)
    clinic.http.delete(f"/api/bookings/{booking['id']}", headers=bearer)
    change = {"currentPassword": account["password"], "newPassword": f"{canary()} password"}
    clinic.http.post("/api/auth/password", json=change, headers=bearer)
    tokens = {bearer["Authorization"].removeprefix("Bearer "), clinic.admin["Authorization"].removeprefix("Bearer ")}
    return tokens | {token.rpartition(".")[2] for token in tokens} | {booking["manageToken"], guest["manageToken"]}


def test_no_canary_comes_out_in_a_log_or_a_metric(hardened: RunningServer, postgres_log: Path) -> None:
    with Clinic(hardened) as clinic:
        secrets = live(clinic)
        sent = fly_everywhere(clinic)
        clinic.http.get("/nowhere", headers={"X-Request-ID": "the-last-flight"})
        eventually(lambda: "the-last-flight" in hardened.log.read_text())
        places = {"server": hardened.log.read_text(), "database": postgres_log.read_text(errors="replace")}
        places["metrics"] = clinic.http.get("/metrics").text
    assert places["server"].count('"event":"request"') > sent > 150, "the log is quieter than these requests were"
    assert "user_email_unique" in places["database"], "the refused e-mail left no line, so this proves nothing"
    for place, text in places.items():
        assert SPECIES not in text.lower(), (place, text[text.lower().index(SPECIES) - 300 :][:400])
        assert not [secret for secret in secrets if secret in text], place


# Of every form and every query of the pages.
FIELDS = re.findall(
    r"\w+",
    "name email password next user_name user_email seats slot key reason who about action role status doctor q day"
    " week from to after before mark kind token current_password new_password specialization total_seats time active",
)
KEPT_TO_ITSELF = {"/log-out"}  # it would end the session that the others need


def page_routes() -> Iterator[tuple[str, str]]:
    for path, methods in build(load_settings({})).route_handler_method_map.items():
        for method, handler in methods.items():
            if getattr(handler, "fn", handler).__module__.startswith("slotwise.web.") and path not in KEPT_TO_ITSELF:
                yield str(method), re.sub(r"\{\w+_id:int\}", "1", path).replace("{version:str}/{name:str}", canary())


def look_everywhere(visitor: Visitor, session: str) -> int:
    """Request every page and form with a canary in every field and cookie. Returns the number of requests."""
    sent = 0
    for method, path in page_routes():
        fields = {name: canary_email() if "mail" in name or name == "who" else canary() for name in FIELDS}
        headers = {"Accept": "text/html", "Referer": f"http://{canary()}/?{canary()}", "HX-Current-URL": canary()}
        headers |= {"Sec-Fetch-Site": "same-origin"}
        spoiled = "; ".join(f"slotwise-{name}={canary()}" for name in ("session", "hold", "draft", "notice"))
        for cookie in (f"slotwise-session={session}", spoiled):
            visitor.http.cookies.clear()
            asked = visitor.http.build_request(
                method,
                path,
                params=fields if method == "GET" else None,
                data=None if method == "GET" else fields,
                headers=headers | {"Cookie": cookie},
            )
            answer = visitor.http.send(asked, follow_redirects=False)
            assert answer.status_code < 500, (path, answer.text)
            sent += 1
    return sent


def live_on_pages(clinic: Clinic, visitor: Visitor) -> set[str]:
    """A day of a patient and of a receptionist. Returns the secrets that they got."""
    account = {"name": canary(), "email": canary_email(), "password": f"{canary()} password"}
    for _ in range(2):
        visitor.send("/register", **account)
    session = visitor.http.cookies["slotwise-session"]
    visitor.send("/log-out")
    visitor.send("/log-in", email=account["email"], password=canary())
    slot = clinic.slot(seats=9)
    link = visitor.hold(slot["id"])
    visitor.confirm(user_name=canary(), user_email=f"no e-mail of {canary()}")
    visitor.confirm(user_name=canary(), user_email=canary_email())
    for page in ("/cancel?", "/calendar.ics?"):
        visitor.open(link.replace("?", page))
    visitor.send("/hold", slot=slot["id"], seats=2, user_name=canary(), user_email=canary_email())
    visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
    person = {"user_name": canary(), "user_email": canary_email()}
    slip = visitor.send("/admin/bookings/new", slot=slot["id"], seats=1, **person)
    booked, [token_of_slip] = slip.url.path.removesuffix("/slip"), re.findall(r"[?]token=([\w-]+)", slip.text)
    for query in (f"/admin/bookings?who={person['user_name']}", f"/admin/bookings.csv?who={person['user_email']}",
                  f"/admin/users?who={account['email']}", f"/admin/audit?who={account['email']}"):  # fmt: skip
        assert visitor.open(query).status_code == 200
    for query in ("who", "about"):
        assert visitor.open(f"/admin/audit?{query}={canary()}").status_code == 200
    overbooked = visitor.send(
        f"/admin/slots/{slot['id']}/overbook", seats=90, reason=f"{canary()} is in pain", **person
    )
    visitor.open(overbooked.url.path.removesuffix("/slip"))
    assert SPECIES in visitor.page.text, "the booking's page has the reason"
    visitor.send(f"{booked}/cancel", reason=f"{canary()} is ill")
    assert SPECIES in visitor.page.text, "the history has the reason"
    visitor.send("/admin/users/new", name=canary(), email=canary_email(), role="staff", password="")
    return {session, link.partition("token=")[2], token_of_slip}


def test_no_canary_that_flew_through_the_pages_comes_out_elsewhere(hardened: RunningServer) -> None:
    """Not in a log, not in a metric, and not in notes that are kept after the person is erased."""
    with Clinic(hardened) as clinic, Visitor(hardened) as visitor:
        secrets = live_on_pages(clinic, visitor)
        session = visitor.http.cookies["slotwise-session"]
        secrets.add(session)
        sent = look_everywhere(visitor, session)
        clinic.http.get("/nowhere", headers={"X-Request-ID": "the-last-page"})
        eventually(lambda: "the-last-page" in hardened.log.read_text())
        places = {"log": hardened.log.read_text(), "metrics": clinic.http.get("/metrics").text}
    # What is said of doctors and clinics is public, and in the notes of their changes.
    notes = "SELECT concat_ws(' ', actor, action, subject, details, request_id) FROM audit_log WHERE action <> all($1)"
    public = ["update_clinic", "update_doctor"]
    places["audit log"] = "\n".join(row[0] for row in rows(hardened.database_url, notes, public))
    places["ledger"] = "\n".join(row[0] for row in rows(hardened.database_url, "SELECT actor FROM booking_events"))
    assert sent > 90
    assert "list_users" in places["audit log"]
    for place, text in places.items():
        assert SPECIES not in text.lower(), (place, text[max(0, text.lower().index(SPECIES) - 300) :][:400])
        assert not [secret for secret in secrets if secret in text], place
