"""Every operation answers as the API document says, whatever is sent to it."""

import http.client
import json
import re
import socket
from collections.abc import Mapping
from email.message import Message
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, in_hours, unique_email
from tests.described import described, document

JSON = "Content-Type: application/json"


class Operation(NamedTuple):
    method: str
    path: str
    id: str
    has_body: bool


class Sent(NamedTuple):
    """What is sent to an operation, besides its body."""

    headers: tuple[str, ...] = ()
    query: str = ""
    version: str = "1.1"
    body: str = ""


OPERATIONS = [
    Operation(method.upper(), path, operation["operationId"], "requestBody" in operation)
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
]
REFUSED = {
    "an unknown parameter": (400, Sent(query="?color=blue")),
    "a body in another coding": (415, Sent((JSON, "Content-Encoding: gzip"), body="{}")),
    "an expectation": (417, Sent(("Expect: tea",))),
    "too many headers": (431, Sent(("A: b",) * 101)),
    "a transfer coding": (501, Sent(("Transfer-Encoding: gzip, chunked",))),
    "another version": (505, Sent(version="2.0")),
}
BODY_REFUSED = {
    "no JSON": (400, Sent((JSON,), body="{")),
    "too much": (413, Sent((JSON,), body=" " * 70_000)),
    "another type": (415, Sent(("Content-Type: text/plain",), body="{}")),
}


def ask(clinic: Clinic, operation: Operation, path: str, sent: Sent, *headers: str) -> int:
    """The status of the answer, once the answer is found to be as described."""
    place = urlsplit(clinic.server.url)
    length = (f"Content-Length: {len(sent.body)}",) if sent.body else ()
    lines = [f"{operation.method} {path}{sent.query} HTTP/{sent.version}", "Host: a", "Connection: close"]
    head = "\r\n".join([*lines, *sent.headers, *headers, *length, "", ""])
    with socket.create_connection((place.hostname, place.port), 10) as connection:
        connection.sendall((head + sent.body).encode())
        with http.client.HTTPResponse(connection, method=operation.method) as answer:
            answer.begin()
            body = b"" if operation.id == "watch_seats" and answer.status == 200 else answer.read()
            described(operation.method, operation.path, answer.status, lower(answer.headers), body)
    return answer.status


def lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def spelled(path: str, ids: Mapping[str, int]) -> str:
    """The path with its ids; 1 for those that are not given."""
    return re.sub(r"{(\w+)}", lambda name: str(ids.get(name[1], 1)), path)


@pytest.mark.parametrize("case", REFUSED)
def test_every_operation_describes_how_it_refuses(clinic: Clinic, case: str) -> None:
    status, sent = REFUSED[case]
    token = f"Authorization: {clinic.admin['Authorization']}"
    for operation in OPERATIONS:
        assert ask(clinic, operation, spelled(operation.path, {}), sent, token) == status, operation


@pytest.mark.parametrize("case", BODY_REFUSED)
def test_every_operation_with_a_body_describes_how_it_refuses_one(clinic: Clinic, case: str) -> None:
    status, sent = BODY_REFUSED[case]
    token = f"Authorization: {clinic.admin['Authorization']}"
    for operation in OPERATIONS:
        if operation.has_body:
            assert ask(clinic, operation, spelled(operation.path, {}), sent, token) == status, operation


def test_every_operation_describes_what_each_caller_gets(clinic: Clinic) -> None:
    patient, slot = clinic.patient(), clinic.slot(seats=50)
    got = set()
    # Backwards, because log-out ends the patient's session. It must not end the admin's.
    for operation in reversed(OPERATIONS):
        tokens = [patient] if operation.path.startswith("/api/auth/") else [patient, clinic.admin]
        booking = clinic.hold(slot["id"])
        ids = {"slotId": slot["id"], "doctorId": slot["doctorId"], "bookingId": booking["id"]}
        sent = good_request(operation, slot)
        for path in {spelled(operation.path, ids), spelled(operation.path, dict.fromkeys(ids, 2**62))}:
            got.add(ask(clinic, operation, path, sent))
            for token in tokens:
                got.add(ask(clinic, operation, path, sent, f"Authorization: {token['Authorization']}"))
    assert got >= {200, 201, 204, 401, 403, 404, 409}


def test_a_wrong_token_and_an_answer_that_is_known_are_described(clinic: Clinic) -> None:
    for operation in OPERATIONS:
        status = ask(clinic, operation, spelled(operation.path, {}), Sent(("Authorization: Bearer none",)))
        assert status == 401 or operation.id in {"log_in", "register", "get_health", "get_readiness", "get_metrics"}
    find = next(operation for operation in OPERATIONS if operation.id == "list_slots")
    assert ask(clinic, find, find.path, Sent(("If-None-Match: *",))) == 304


def good_request(operation: Operation, slot: dict[str, Any]) -> Sent:
    if not operation.has_body:
        return Sent()
    doctor = {"doctorId": slot["doctorId"]}
    day = {"firstDay": "2030-01-07", "lastDay": "2030-01-07", "periods": [{"from": "09:00", "to": "10:00"}]}
    bodies: dict[str, dict[str, Any]] = {
        "log_in": {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD},
        "register": {"email": unique_email(), "password": "a long enough secret", "name": "Ada"},
        "change_password": {"currentPassword": "not the right one", "newPassword": "a long enough secret"},
        "erase_personal_data": {"password": "not the right one"},
        "create_doctor": {"name": "Dr. Who"},
        "create_slot": doctor | {"startTime": in_hours(48)},
        "create_slots": doctor | day,
        "hold_seats": {"slotId": slot["id"], "userName": "Ada", "userEmail": "ada@example.org"},
    }
    return Sent((JSON,), body=json.dumps(bodies.get(operation.id, {})))
