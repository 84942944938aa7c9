"""The header Idempotency-Key: one attempt, one booking, one answer."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from threading import Barrier
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer, holder, in_hours, problem, rows
from tests.described import document


def attempt(
    clinic: Clinic, slot_id: int, key: str, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    return clinic.book(slot_id, (headers or {}) | {"Idempotency-Key": key}, **fields)


def new_key() -> str:
    return uuid4().hex


def same(first: httpx.Response, second: httpx.Response) -> bool:
    return (first.status_code, first.content) == (second.status_code, second.content)


def test_a_repeated_request_gets_the_same_answer_and_books_once(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    key = new_key()
    first, again = (attempt(clinic, slot["id"], key, seatsBooked=2) for _ in range(2))
    assert first.status_code == 201
    assert same(first, again)
    assert first.headers["location"] == again.headers["location"]
    assert clinic.free_seats(slot["id"]) == 3


def test_the_manage_token_of_a_repeated_answer_works(clinic: Clinic) -> None:
    slot = clinic.slot()
    key = new_key()
    attempt(clinic, slot["id"], key)
    booking = attempt(clinic, slot["id"], key).json()
    confirmed = clinic.http.post(f"/api/bookings/{booking['id']}/confirm", headers=holder(booking))
    assert confirmed.status_code == 200


def test_a_repeated_answer_does_not_change_with_the_booking(clinic: Clinic) -> None:
    slot = clinic.slot()
    key = new_key()
    first = attempt(clinic, slot["id"], key)
    clinic.http.delete(f"/api/bookings/{first.json()['id']}", headers=holder(first.json()))
    assert same(first, attempt(clinic, slot["id"], key))
    assert clinic.free_seats(slot["id"]) == 1


def test_a_refusal_is_remembered_like_a_success(clinic: Clinic) -> None:
    slot = clinic.slot()
    booking = clinic.hold(slot["id"])
    key = new_key()
    refused = attempt(clinic, slot["id"], key)
    assert problem(refused, 409, "slot-full")["availableSeats"] == 0
    clinic.http.delete(f"/api/bookings/{booking['id']}", headers=holder(booking))
    assert same(refused, attempt(clinic, slot["id"], key))
    assert attempt(clinic, slot["id"], new_key()).status_code == 201


def test_an_attempt_at_an_unknown_slot_is_remembered(clinic: Clinic) -> None:
    key = new_key()
    refused = attempt(clinic, 999_999_999, key)
    problem(refused, 404, "slot-not-found")
    assert same(refused, attempt(clinic, 999_999_999, key))
    problem(attempt(clinic, clinic.slot()["id"], key), 422, "idempotency-key-reused")


@pytest.mark.parametrize(
    "change", [{"seatsBooked": 2}, {"userName": "Somebody Else"}, {"userEmail": "else@example.org"}, {"confirm": True}]
)
def test_a_key_used_with_another_body_is_refused(clinic: Clinic, change: dict[str, Any]) -> None:
    slot = clinic.slot(seats=5)
    key = new_key()
    first = attempt(clinic, slot["id"], key)
    problem(attempt(clinic, slot["id"], key, **change), 422, "idempotency-key-reused")
    assert same(first, attempt(clinic, slot["id"], key))
    assert clinic.free_seats(slot["id"]) == 4


def test_an_invalid_request_does_not_use_up_its_key(clinic: Clinic) -> None:
    slot = clinic.slot()
    key = new_key()
    problem(attempt(clinic, slot["id"], key, userEmail="x"), 400)
    assert attempt(clinic, slot["id"], key).status_code == 201


def test_bodies_with_the_same_meaning_count_as_equal(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    headers = {"Idempotency-Key": new_key(), "Content-Type": "application/json"}
    bodies = [
        f'{{"slotId":{slot["id"]},"userName":"Ada","userEmail":"a@example.org"}}',
        f'{{ "userEmail": "a@example.org",\n "userName": "\\u0041da",\t"slotId": {slot["id"]} }}',
        f'{{"slotId":{slot["id"]},"userName":"Ada","userEmail":"a@example.org","seatsBooked":1,"confirm":false}}',
    ]
    answers = [clinic.http.post("/api/bookings", content=body, headers=headers) for body in bodies]
    assert answers[0].status_code == 201
    assert all(same(answers[0], answer) for answer in answers)


def test_a_quoted_and_a_bare_key_are_the_same_key(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    key = new_key()
    bare = attempt(clinic, slot["id"], key)
    assert same(bare, attempt(clinic, slot["id"], f'"{key}"'))
    assert clinic.free_seats(slot["id"]) == 4


def test_a_quoted_key_may_hold_escapes_and_spaces(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    key = f'"a \\"quoted\\" \\\\ key, {new_key()}"'
    assert same(attempt(clinic, slot["id"], key), attempt(clinic, slot["id"], key))
    assert clinic.free_seats(slot["id"]) == 4


@pytest.mark.parametrize(
    "key",
    [
        b"", b'""', b'"', b'"half', b'a"quote-in-the-middle', b"two keys, at once here",
        b'"first-key-of-two", "second"',
        b"x" * 256, b'"' + b"x" * 256 + b'"', b'"tab\tinside-the-string"', b'"bad \\escape in the string"',
        "schlüssel-mit-umlaut".encode(), b"\xff" * 20,
    ],
)  # fmt: skip
def test_an_invalid_key_is_refused_with_its_field_name(clinic: Clinic, key: bytes) -> None:
    slot = clinic.slot()
    body = {"slotId": slot["id"], "userName": "Ada", "userEmail": "a@example.org"}
    answer = clinic.http.post("/api/bookings", json=body, headers=[(b"Idempotency-Key", key)])
    problem(answer, 400, "invalid-input", field="Idempotency-Key")
    assert clinic.free_seats(slot["id"]) == 1


def test_the_longest_key_has_255_characters_and_the_document_allows_it_in_each_form(clinic: Clinic) -> None:
    slot = clinic.slot(seats=9)
    parameters = document()["paths"]["/api/bookings"]["post"]["parameters"]
    (most,) = (given["schema"]["maxLength"] for given in parameters if given["name"] == "Idempotency-Key")
    for longest in (new_key() + "x" * 223, f'"{new_key()}{"x" * 223}"', '"' + '\\"' * 255 + '"'):
        assert attempt(clinic, slot["id"], longest).status_code == 201
        assert len(longest) <= most


def test_a_key_must_be_hard_to_guess_for_guests_but_not_for_accounts(clinic: Clinic) -> None:
    slot = clinic.slot(seats=2)
    problem(attempt(clinic, slot["id"], "order-1"), 400, "invalid-input", field="Idempotency-Key")
    problem(attempt(clinic, slot["id"], '"' + "x" * 15 + '"'), 400, "invalid-input", field="Idempotency-Key")
    account = clinic.patient()
    first = attempt(clinic, slot["id"], "order-1", account)
    assert first.status_code == 201
    assert same(first, attempt(clinic, slot["id"], "order-1", account))


def test_each_caller_has_their_own_keys(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    key = new_key()
    callers = [{}, clinic.patient(), clinic.patient()]
    answers = [attempt(clinic, slot["id"], key, caller) for caller in callers]
    assert [answer.status_code for answer in answers] == [201] * 3
    assert len({answer.json()["id"] for answer in answers}) == 3
    assert attempt(clinic, slot["id"], key, callers[1], seatsBooked=2).status_code == 422


def test_without_a_key_every_request_books_anew(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    assert clinic.hold(slot["id"])["id"] != clinic.hold(slot["id"])["id"]


def test_parallel_retries_make_one_booking(clinic: Clinic) -> None:
    slot = clinic.slot(seats=16)
    key = new_key()
    barrier = Barrier(16)

    def retry(_: int) -> tuple[int, bytes]:
        with Clinic(clinic.server) as another:
            assert another.http.get("/health").status_code == 200
            barrier.wait()
            answer = attempt(another, slot["id"], key)
            return answer.status_code, answer.content

    with ThreadPoolExecutor(16) as threads:
        answers = set(threads.map(retry, range(16)))
    assert len(answers) == 1
    assert answers.pop()[0] == 201
    assert clinic.free_seats(slot["id"]) == 15


def test_a_key_is_forgotten_after_a_day(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    key = new_key()
    first = attempt(clinic, slot["id"], key)
    age = "UPDATE idempotency_keys SET created_at = created_at - interval '24 hours' WHERE key_hash = $1"
    rows(clinic.server.database_url, age, sha256(key.encode()).digest())
    second = attempt(clinic, slot["id"], key, seatsBooked=2)
    assert second.status_code == 201
    assert second.json()["id"] != first.json()["id"]


@pytest.mark.parametrize("seats", [1, 6], ids=["held", "refused"])
def test_the_row_of_a_key_reveals_no_name_no_key_and_no_manage_token(clinic: Clinic, seats: int) -> None:
    """The table shows an outcome but no person, because its rows are kept for a day."""
    slot = clinic.slot(seats=5)
    key = new_key()
    person = {"userName": "Zebediah Canary", "userEmail": "zebediah.canary@example.org"}
    answer = attempt(clinic, slot["id"], key, None, seatsBooked=seats, **person)
    query = "SELECT k::text AS kept, answer::text FROM idempotency_keys AS k WHERE key_hash = $1"
    [row] = rows(clinic.server.database_url, query, sha256(key.encode()).digest())
    secrets = ["zebediah", "canary", key, answer.json().get("manageToken", key)]
    assert not [secret for secret in secrets if secret.casefold() in row["kept"].casefold()]
    assert json.loads(row["answer"])["outcome"] == ("held" if answer.status_code == 201 else "slot_full")


def test_an_answer_repeated_after_the_booking_was_confirmed_is_the_first_one(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    key = new_key()
    first = attempt(clinic, slot["id"], key)
    url = f"/api/bookings/{first.json()['id']}"
    assert clinic.http.post(f"{url}/confirm", headers=holder(first.json())).status_code == 200
    assert same(first, attempt(clinic, slot["id"], key))
    assert first.json()["status"] == "PENDING"
    assert clinic.http.get(url, headers=holder(first.json())).json()["status"] == "CONFIRMED"
    assert clinic.free_seats(slot["id"]) == 4


def test_the_repeated_answer_of_a_confirmed_booking_is_confirmed(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    key = new_key()
    first, again = (attempt(clinic, slot["id"], key, confirm=True) for _ in range(2))
    assert (first.json()["status"], first.json()["expiresAt"]) == ("CONFIRMED", None)
    assert same(first, again)


def test_a_repeated_answer_does_not_change_when_the_doctor_and_the_slot_do(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    key = new_key()
    first = attempt(clinic, slot["id"], key)
    moved = clinic.http.patch(f"/api/slots/{slot['id']}", json={"startTime": in_hours(99)}, headers=clinic.admin)
    assert moved.status_code == 200
    query = "UPDATE doctors SET name = 'Dr. Who-Else' WHERE id = $1"
    rows(clinic.server.database_url, query, slot["doctorId"])
    assert same(first, attempt(clinic, slot["id"], key))


def test_a_refusal_is_repeated_when_the_slot_has_been_closed_since(clinic: Clinic) -> None:
    slot = clinic.slot(seats=1)
    key, other = new_key(), new_key()
    refused = attempt(clinic, slot["id"], key, seatsBooked=2)
    problem(refused, 409, "slot-full")
    clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    assert same(refused, attempt(clinic, slot["id"], key, seatsBooked=2))
    problem(attempt(clinic, slot["id"], other, seatsBooked=2), 409, "slot-closed")


@pytest.mark.slow  # two servers of its own: five CPU seconds
def test_answers_and_their_manage_tokens_survive_a_restart(start_server: Callable[..., RunningServer]) -> None:
    secret = {"JWT_SECRET": "a secret that stays while servers come and go"}
    first_server = start_server(**secret)
    key, refused_key = new_key(), new_key()
    with Clinic(first_server) as clinic:
        slot = clinic.slot()
        held = attempt(clinic, slot["id"], key)
        refused = attempt(clinic, slot["id"], refused_key)
    first_server.process.terminate()
    first_server.process.wait(PATIENCE_SECONDS)
    with Clinic(start_server(**secret)) as clinic:
        assert same(held, attempt(clinic, slot["id"], key))
        assert same(refused, attempt(clinic, slot["id"], refused_key))
        problem(attempt(clinic, slot["id"], key, seatsBooked=2), 422)
        read = clinic.http.get(f"/api/bookings/{held.json()['id']}", headers=holder(held.json()))
        assert read.json()["userName"] == "Ada Lovelace"


def test_two_keys_are_refused(clinic: Clinic) -> None:
    slot = clinic.slot()
    body = {"slotId": slot["id"], "userName": "Ada", "userEmail": "ada@example.org"}
    key = (b"Idempotency-Key", new_key().encode())
    for second in (key, (b"idempotency-key", new_key().encode())):
        refused = problem(clinic.http.post("/api/bookings", json=body, headers=[key, second]), 400)
        assert refused["errors"] == [{"field": "Idempotency-Key", "message": "must be sent once"}]
    assert clinic.free_seats(slot["id"]) == 1


def test_spaces_of_other_alphabets_do_not_belong_to_a_key(clinic: Clinic) -> None:
    body = {"slotId": clinic.slot()["id"], "userName": "Ada", "userEmail": "ada@example.org"}
    header = (b"Idempotency-Key", new_key().encode() + b"\xa0")
    problem(clinic.http.post("/api/bookings", json=body, headers=[header]), 400)
