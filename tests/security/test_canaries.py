"""Canaries: names, addresses, passwords, tokens and keys go into every place of every operation, and into no log."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slotwise.app import build
from slotwise.http.api_docs import openapi_document
from slotwise.settings import load_settings
from tests.clinic import Clinic, RunningServer, eventually, holder, refuse_a_row

SPECIES = "serinus"
_numbers = itertools.count(1)


def canary() -> str:
    return f"{SPECIES}{next(_numbers)}"


def bird_address() -> str:
    return f"{canary()}@{SPECIES}.example"


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    document = openapi_document(build(load_settings({})))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            # Of the stream of events only the head has an end.
            said = "HEAD" if operation["operationId"] == "watch_seats" else method.upper()
            yield said, path, operation | {"schemas": document["components"]["schemas"]}


def body_of(operation: dict[str, Any]) -> dict[str, Any]:
    """Every field that takes text, with a canary in it."""
    schema = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    names = [ref["$ref"].rpartition("/")[2] for ref in (schema, *schema.get("oneOf", ())) if "$ref" in ref]
    fields = [field for name in names for field in operation["schemas"][name]["properties"]]
    return {field: bird_address() if "mail" in field else canary() for field in fields}


def headers() -> list[tuple[bytes, bytes]]:
    """In each a canary; the request id is one that is not kept."""
    plain = ("Booking-Token", "Idempotency-Key", "Cookie", "Referer", "User-Agent", "X-Forwarded-For", "From")
    pairs = [(name, canary()) for name in plain] + [("X-Request-ID", f"{canary()} {bird_address()}")]
    return [(name.encode(), value.encode()) for name, value in pairs]


def fly_everywhere(clinic: Clinic) -> int:
    """Every operation, in good form and in bad, as somebody and as nobody; returns the number of requests."""
    sent = itertools.count()
    authorizations = [b"Bearer " + canary().encode(), clinic.admin["Authorization"].encode(), None]
    for (method, path, operation), authorization in itertools.product(operations(), authorizations):
        names = [parameter["name"] for parameter in operation.get("parameters", ()) if parameter["in"] == "query"]
        query = {name: canary() for name in [*names, "token", "q", canary()]}
        fields = body_of(operation)
        bodies = [json.dumps(fields), json.dumps(fields | {canary(): canary()}), json.dumps(fields)[:-9], canary()]
        about = [path.format(doctor_id=1, slot_id=1, booking_id=1), path.replace("{", "").replace("}", canary())]
        if path in {"/api/auth/logout", "/api/auth/password"} and authorization == authorizations[1]:
            continue  # it would end the session that the others need
        for address, body in itertools.product(about, bodies if fields else [None]):
            given = [*headers(), *([(b"Authorization", authorization)] if authorization else [])]
            answer = clinic.http.request(method, address, params=query, content=body, headers=given)
            assert answer.status_code < 500, answer.text
            next(sent)
    return next(sent)


def live(clinic: Clinic) -> set[str]:
    """What a person with an account, and a guest, do in a day; returns what they were given to keep to themselves."""
    account = {"name": canary(), "email": bird_address(), "password": f"{canary()} password"}
    for _ in range(2):
        clinic.http.post("/api/auth/register", json=account)
    refuse_a_row(clinic.server.database_url, account["email"])
    clinic.http.post("/api/auth/login", json={"email": account["email"], "password": canary()})
    bearer = clinic.log_in(account["email"], account["password"])
    slot = clinic.slot(seats=3)
    booking = clinic.hold(slot["id"], userName=canary(), userEmail=bird_address(), headers=bearer)
    guest = clinic.hold(slot["id"], userName=canary(), userEmail=bird_address())
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
    assert places["server"].count('"event": "request"') > sent > 150, "the log is quieter than these requests were"
    assert "user_email_unique" in places["database"], "the refused address left no line, so this proves nothing"
    for place, text in places.items():
        assert SPECIES not in text.lower(), (place, text[text.lower().index(SPECIES) - 300 :][:400])
        assert not [secret for secret in secrets if secret in text], place
