"""The fast path of `POST /api/bookings` and the ordinary path give the same answers.

A parameter in the content type changes nothing, but sends a request along the ordinary path.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType, SimpleNamespace
from typing import Any, NamedTuple

import httpx
import pytest
from litestar.types import Message, ReceiveMessage

from slotwise.batching.group_commit import GroupCommit
from slotwise.http.booking.fast_path import MAX_PLAIN_BYTES, FastPath
from tests.clinic import Clinic, RunningServer, problem, rows

PLAIN = "application/json"
CLIENTS_REQUEST_ID = "mine-1"
ORDINARY = "application/json; road=ordinary"


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
    "a long name": Case(400, {"userName": "x" * MAX_PLAIN_BYTES}),
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
    body = answer.json()
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
def test_both_paths_give_the_same_answer(clinic: Clinic, name: str) -> None:
    case, slot_id = CASES[name], clinic.slot(seats=9)["id"]
    short, ordinary = (_send(clinic, slot_id, case, kind) for kind in (PLAIN, ORDINARY))
    assert short.status_code == case.status, short.text
    assert _comparable(short) == _comparable(ordinary)
    if short.status_code == 201:
        for answer in (short, ordinary):
            assert answer.headers["location"] == f"/api/bookings/{answer.json()['id']}"


def test_an_account_is_recognised_on_both_paths(clinic: Clinic) -> None:
    patient = clinic.patient("Pat Patient")
    slot_id = clinic.slot(seats=5)["id"]
    case = Case(201, {"userName": None, "userEmail": None})
    short, ordinary = (_send(clinic, slot_id, case, kind, **patient) for kind in (PLAIN, ORDINARY))
    assert _comparable(short) == _comparable(ordinary)
    assert short.json()["userName"] == "Pat Patient"
    mine = clinic.http.get("/api/bookings/my-bookings", headers=patient).json()["items"]
    assert [booking["id"] for booking in mine] == [ordinary.json()["id"], short.json()["id"]]


def test_a_key_used_on_one_path_is_known_on_the_other(clinic: Clinic) -> None:
    slot_id = clinic.slot(seats=5)["id"]
    case = Case(201, headers={"Idempotency-Key": secrets.token_urlsafe()})
    first, again = (_send(clinic, slot_id, case, kind) for kind in (PLAIN, ORDINARY))
    assert first.json() == again.json()
    assert clinic.free_seats(slot_id) == 4
    other = case._replace(body={"seatsBooked": 2})
    for kind in (PLAIN, ORDINARY):
        problem(_send(clinic, slot_id, other, kind), 422, "idempotency-key-reused")


def test_both_paths_refuse_full_and_closed_slots_alike(clinic: Clinic) -> None:
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


def test_both_paths_count_for_one_rate_limit(start_server: Callable[..., RunningServer]) -> None:
    with Clinic(start_server(RATE_LIMIT_BOOKINGS="2/minute")) as clinic:
        slot_id = clinic.slot(seats=5)["id"]
        assert [_send(clinic, slot_id, Case(201), kind).status_code for kind in (PLAIN, ORDINARY)] == [201, 201]
        short, ordinary = (_send(clinic, slot_id, Case(429), kind) for kind in (PLAIN, ORDINARY))
        problem(short, 429, "too-many-requests")
        assert abs(int(short.headers["retry-after"]) - int(ordinary.headers["retry-after"])) <= 1


def test_both_paths_are_counted_as_one_route(start_server: Callable[..., RunningServer]) -> None:
    with Clinic(start_server()) as clinic:
        slot_id = clinic.slot(seats=5)["id"]
        for kind in (PLAIN, ORDINARY):
            _send(clinic, slot_id, Case(201), kind)
        metrics = clinic.http.get("/metrics").text
        assert 'slotwise_http_requests_total{method="POST",route="/api/bookings",status="201"} 2.0' in metrics
        assert rows(clinic.server.database_url, "SELECT count(*) FROM bookings")[0][0] == 2


async def _never(_: Sequence[object]) -> list[object]:
    raise AssertionError("nothing was submitted")


async def _reaches_the_ordinary_handler(
    body: bytes, content_type: str, more_body: bool = False, query: bytes = b""
) -> bool:
    """Whether the fast path passes a request on, with its body unchanged."""
    messages: list[ReceiveMessage] = [{"type": "http.request", "body": body, "more_body": more_body}]
    handed_on: list[bytes] = []

    async def receive() -> ReceiveMessage:
        return messages.pop()

    async def ordinary(_scope: Any, receive: Any, _send: Any) -> None:
        handed_on.append((await receive())["body"])

    async def send(_: Message) -> None:
        raise AssertionError("nothing to say")

    # Only the parts of an application that are read before the two paths part. The fast path asks for accounts next.
    application = SimpleNamespace(api=SimpleNamespace(services=SimpleNamespace(bookings=GroupCommit("test", _never))))
    headers = [(b"content-type", content_type.encode())]
    scope: Any = {"type": "http", "headers": headers, "query_string": query, "litestar_app": application}
    with suppress(AttributeError):
        await FastPath().handle(scope, receive, send, ordinary)
    assert handed_on in ([], [body])
    return bool(handed_on)


GOOD = b'{"slotId": 1, "userName": "Ada", "userEmail": "ada@example.org"}'


@pytest.mark.parametrize(
    ("body", "content_type", "more_body", "ordinary"),
    [
        (GOOD, PLAIN, False, False),
        (GOOD, "application/json; charset=utf-8", False, False),
        (GOOD, ORDINARY, False, True),
        (GOOD, "text/plain", False, True),
        (GOOD, PLAIN, True, True),
        (b"{", PLAIN, False, True),
        (GOOD + b" " * MAX_PLAIN_BYTES, PLAIN, False, True),
    ],
)
async def test_only_plain_requests_take_the_fast_path(
    body: bytes, content_type: str, more_body: bool, ordinary: bool
) -> None:
    assert await _reaches_the_ordinary_handler(body, content_type, more_body) is ordinary


async def test_a_request_with_a_query_takes_the_ordinary_path_which_refuses_it() -> None:
    assert await _reaches_the_ordinary_handler(GOOD, PLAIN, query=b"seats=2")
