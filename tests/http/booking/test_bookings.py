"""Bookings over HTTP: hold, confirm, cancel, read."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.clinic import Clinic, holder, in_hours, object_of, problem, rows, run_out

FIELDS = {
    "visitTypeId", "id", "slotId", "userName", "userEmail", "seatsBooked", "status", "expiresAt", "confirmedAt",
    "cancelledAt", "createdAt", "updatedAt", "slot",
}  # fmt: skip
PERSON = {"userName": "Ada Lovelace", "userEmail": "ada@example.org"}
NOBODY = {"userName": None, "userEmail": None}


def confirm(clinic: Clinic, booking: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    who = holder(booking) if headers is None else headers
    return clinic.http.post(f"/api/bookings/{booking['id']}/confirm", headers=who)


def cancel(clinic: Clinic, booking: dict[str, Any], headers: dict[str, str] | None = None) -> httpx.Response:
    who = holder(booking) if headers is None else headers
    return clinic.http.delete(f"/api/bookings/{booking['id']}", headers=who)


def read(clinic: Clinic, booking: dict[str, Any], headers: dict[str, str] | None = None) -> dict[str, Any]:
    answer = clinic.http.get(f"/api/bookings/{booking['id']}", headers=headers or {})
    assert answer.status_code == 200, answer.text
    return object_of(answer)


def ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [booking["id"] for booking in answer.json()["items"]]


def walk(clinic: Clinic, path: str, headers: dict[str, str] | None = None, **filters: Any) -> list[dict[str, Any]]:
    """All pages of a list, two items each."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = clinic.http.get(path, params={"limit": 2} | filters | cursor, headers=headers or {})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        assert 0 < len(page["items"]) <= 2 or page["nextCursor"] is None
        found += page["items"]
        if page["nextCursor"] is None:
            return found
        cursor = {"cursor": page["nextCursor"]}


def start_now(clinic: Clinic, slot: dict[str, Any]) -> None:
    """Move a slot so that it started a minute ago."""
    move = (
        "UPDATE appointment_slots SET start_time = now() - interval '1 minute', end_time = now() + interval '1 hour' "
        "WHERE id = $1"
    )
    rows(clinic.server.database_url, move, slot["id"])


# Hold


def test_a_hold_is_pending_and_takes_its_seats(clinic: Clinic) -> None:
    slot = clinic.slot(seats=3)
    booking = clinic.hold(slot["id"], seatsBooked=2)
    assert booking["status"] == "PENDING"
    assert booking["expiresAt"] is not None
    assert clinic.free_seats(slot["id"]) == 1


def test_a_new_booking_is_at_its_location_and_has_its_appointment(clinic: Clinic) -> None:
    slot = clinic.slot()
    answer = clinic.book(slot["id"])
    booking = answer.json()
    assert set(booking) == FIELDS | {"manageToken"}
    assert booking["slot"] == {
        name: slot[name] for name in ("startTime", "endTime", "doctorId", "doctorName", "specialization", "clinicId")
    }
    assert answer.headers["location"] == f"/api/bookings/{booking['id']}"
    del booking["manageToken"]
    assert clinic.http.get(answer.headers["location"]).json() == booking | NOBODY


def test_a_hold_lasts_as_long_as_configured(clinic: Clinic) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    lasts = datetime.fromisoformat(booking["expiresAt"]) - datetime.fromisoformat(booking["createdAt"])
    assert lasts == timedelta(seconds=60)


def test_confirm_true_books_without_a_hold(clinic: Clinic) -> None:
    slot = clinic.slot()
    booking = clinic.hold(slot["id"], confirm=True)
    assert (booking["status"], booking["expiresAt"]) == ("CONFIRMED", None)
    assert booking["confirmedAt"] == booking["createdAt"]
    assert clinic.free_seats(slot["id"]) == 0


def test_sold_out_says_that_no_seat_is_free(clinic: Clinic) -> None:
    slot = clinic.slot(seats=2)
    clinic.hold(slot["id"], seatsBooked=2)
    refused = problem(clinic.book(slot["id"]), 409, "slot-full")
    assert refused["availableSeats"] == 0
    assert "sold out" in refused["detail"]


def test_a_request_for_too_many_seats_says_how_many_are_left_and_fewer_fit(clinic: Clinic) -> None:
    slot = clinic.slot(seats=3)
    refused = problem(clinic.book(slot["id"], seatsBooked=4), 409, "slot-full")
    assert refused["availableSeats"] == 3
    assert "sold out" not in refused["detail"]
    assert clinic.book(slot["id"], seatsBooked=2).status_code == 201
    assert problem(clinic.book(slot["id"], seatsBooked=2), 409, "slot-full")["availableSeats"] == 1
    assert clinic.book(slot["id"]).status_code == 201


def test_a_slot_that_has_started_takes_no_bookings(clinic: Clinic) -> None:
    slot = clinic.slot()
    start_now(clinic, slot)
    problem(clinic.book(slot["id"]), 409, "slot-started")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("slotId", value) for value in (0, -1, 2**63, 10**30, "1", True, 1.5, None)),
        *(("seatsBooked", value) for value in (0, -1, 1_000_001, 2**31, 2**63, "1", True, 1.5, None)),
        *(("confirm", value) for value in ("true", 1, None)),
        *(("userName", value) for value in ("   ", "\r\n", "x" * 201, "a\x00b", "a\tb", "a\u202eb", 7, ["x"])),
        *(("userEmail", value) for value in ("x", "a@b@c.org", "a@b.org\nBcc: x@y.org", "a\x00@b.org", "x" * 300, 7)),
        ("status", "CONFIRMED"),
        ("userId", 1),
        ("expiresAt", "2030-01-01T00:00:00Z"),
    ],
)
def test_an_invalid_booking_is_refused_with_its_field_name(clinic: Clinic, field: str, value: Any) -> None:
    slot = clinic.slot()
    problem(clinic.book(slot["id"], **{field: value}), 400, "invalid-input", field=field)
    assert clinic.free_seats(slot["id"]) == 1


def test_a_guest_must_give_name_and_email(clinic: Clinic) -> None:
    slot = clinic.slot()
    refused = problem(clinic.book(slot["id"], userName=None, userEmail=None), 400, "invalid-input", field="userName")
    assert {error["field"] for error in refused["errors"]} == {"userName", "userEmail"}
    problem(clinic.book(slot["id"], userName=""), 400, "invalid-input", field="userName")
    problem(clinic.http.post("/api/bookings", json={"userName": "x"}), 400, "invalid-input", field="slotId")


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ada \t", "Ada"),
        ("Zoe\u0308", "Zoë"),
        ("x" * 200, "x" * 200),
        ("王小明", "王小明"),
        ("O'Neil; --", "O'Neil; --"),
    ],
)
def test_a_name_is_kept_trimmed_and_in_normal_form(clinic: Clinic, typed: str, kept: str) -> None:
    booking = clinic.hold(clinic.slot()["id"], userName=typed, userEmail=" Ada@EXAMPLE.org ")
    assert read(clinic, booking, holder(booking))["userName"] == booking["userName"] == kept
    assert booking["userEmail"] == "Ada@example.org"


def test_with_a_token_name_and_email_default_to_the_account(clinic: Clinic) -> None:
    account = clinic.patient("Paula Patient")
    slot = clinic.slot(seats=2)
    body = {"slotId": slot["id"]}
    booking = clinic.http.post("/api/bookings", json=body, headers=account).json()
    email = clinic.http.get("/api/auth/me", headers=account).json()["email"]
    assert (booking["userName"], booking["userEmail"]) == ("Paula Patient", email)
    child = clinic.http.post("/api/bookings", json=body | {"userName": "Her Child"}, headers=account).json()
    assert (child["userName"], child["userEmail"]) == ("Her Child", email)


def test_a_bad_token_does_not_book_as_a_guest(clinic: Clinic) -> None:
    slot = clinic.slot()
    problem(clinic.book(slot["id"], {"Authorization": "Bearer x"}), 401, "not-authenticated")
    assert clinic.free_seats(slot["id"]) == 1


# Confirm


def test_confirming_a_hold_twice_gives_the_same_answer(clinic: Clinic) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    first = confirm(clinic, booking)
    assert (first.status_code, first.json()["status"]) == (200, "CONFIRMED")
    assert first.json()["confirmedAt"] < booking["expiresAt"]
    again = confirm(clinic, booking)
    assert (again.status_code, again.json()) == (200, first.json())


def test_a_booking_made_without_a_hold_may_be_confirmed_too(clinic: Clinic) -> None:
    booking = clinic.hold(clinic.slot()["id"], confirm=True)
    assert confirm(clinic, booking).json()["confirmedAt"] == booking["confirmedAt"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"userName": "Somebody Else", "userEmail": "else@example.org"}'])
def test_a_confirmation_needs_no_body_and_does_not_change_the_name(clinic: Clinic, content: bytes) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    headers = holder(booking) | {"Content-Type": "application/json"}
    answer = clinic.http.post(f"/api/bookings/{booking['id']}/confirm", content=content, headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.json()["userName"] == "Ada Lovelace"


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (b'{"name": "x"}', "name"),
        (b'{"userName": ""}', "userName"),
        (b'{"userEmail": "x"}', "userEmail"),
        (b"[", "body"),
    ],
)
def test_a_malformed_confirmation_is_refused_with_its_field_name(clinic: Clinic, content: bytes, field: str) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    headers = holder(booking) | {"Content-Type": "application/json"}
    answer = clinic.http.post(f"/api/bookings/{booking['id']}/confirm", content=content, headers=headers)
    problem(answer, 400, "invalid-input", field=field)


def test_a_hold_without_a_name_gets_one_when_it_is_confirmed(clinic: Clinic) -> None:
    """Plant a hold without a name, as the pages make it."""
    booking = clinic.hold(clinic.slot()["id"])
    clear = "UPDATE bookings SET user_name = NULL, user_email = NULL WHERE id = $1"
    rows(clinic.server.database_url, clear, booking["id"])
    path, token = f"/api/bookings/{booking['id']}/confirm", holder(booking)
    problem(clinic.http.post(path, headers=token), 400, "invalid-input", field="userName")
    only_name = clinic.http.post(path, json={"userName": "Ada"}, headers=token)
    problem(only_name, 400, "invalid-input", field="userEmail")
    confirmed = clinic.http.post(path, json={"userName": " Ada ", "userEmail": "ada@example.org"}, headers=token)
    assert (confirmed.status_code, confirmed.json()["userName"]) == (200, "Ada")


# Expiry


def test_an_overdue_hold_has_failed_and_its_seats_are_free_without_a_sweeper(unswept: Clinic) -> None:
    slot = unswept.slot(seats=2)
    booking = unswept.hold(slot["id"], seatsBooked=2)
    problem(unswept.book(slot["id"]), 409, "slot-full")
    run_out(unswept.server, booking)
    assert read(unswept, booking)["status"] == "FAILED"
    assert unswept.free_seats(slot["id"]) == 2
    assert unswept.book(slot["id"], seatsBooked=2).status_code == 201
    assert read(unswept, booking)["status"] == "FAILED"


def test_an_overdue_hold_is_neither_confirmed_nor_cancelled(unswept: Clinic) -> None:
    booking = unswept.hold(unswept.slot()["id"])
    run_out(unswept.server, booking)
    for _ in range(2):
        problem(confirm(unswept, booking), 410, "hold-expired")
        problem(cancel(unswept, booking), 409, "booking-failed")


def test_a_confirmed_booking_does_not_expire(unswept: Clinic) -> None:
    slot = unswept.slot()
    booking = unswept.hold(slot["id"])
    assert confirm(unswept, booking).status_code == 200
    run_out(unswept.server, booking)
    assert read(unswept, booking)["status"] == "CONFIRMED"
    problem(unswept.book(slot["id"]), 409, "slot-full")
    assert confirm(unswept, booking).status_code == 200
    assert cancel(unswept, booking).status_code == 200


def test_every_list_shows_an_overdue_hold_as_failed(unswept: Clinic) -> None:
    slot = unswept.slot()
    account = unswept.patient()
    booking = unswept.book(slot["id"], account).json()
    run_out(unswept.server, booking)
    lists = {
        f"/api/bookings/slot/{slot['id']}": {},
        "/api/bookings/my-bookings": account,
        f"/api/bookings?slotId={slot['id']}&status=FAILED": unswept.admin,
    }
    for path, headers in lists.items():
        listed = unswept.http.get(path, headers=headers).json()["items"]
        assert [(item["id"], item["status"]) for item in listed] == [(booking["id"], "FAILED")], path
    pending = unswept.http.get(f"/api/bookings?slotId={slot['id']}&status=PENDING", headers=unswept.admin)
    assert ids(pending) == []


# Cancel


@pytest.mark.parametrize("confirmed", [False, True])
def test_cancelling_several_times_frees_the_seats_once(clinic: Clinic, confirmed: bool) -> None:
    slot = clinic.slot(seats=3)
    booking = clinic.hold(slot["id"], seatsBooked=2, confirm=confirmed)
    first = cancel(clinic, booking)
    assert (first.status_code, first.json()["status"]) == (200, "CANCELLED")
    assert first.json()["cancelledAt"] is not None
    again = cancel(clinic, booking)
    assert (again.status_code, again.json()) == (200, first.json())
    assert clinic.free_seats(slot["id"]) == 3


def test_a_cancelled_booking_cannot_be_confirmed(clinic: Clinic) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    cancel(clinic, booking)
    problem(confirm(clinic, booking), 409, "booking-cancelled")


def test_a_booking_cannot_be_cancelled_after_the_start(clinic: Clinic) -> None:
    slot = clinic.slot()
    booking = clinic.hold(slot["id"], confirm=True)
    start_now(clinic, slot)
    problem(cancel(clinic, booking), 409, "slot-started")
    problem(cancel(clinic, booking, clinic.admin), 409, "slot-started")
    assert read(clinic, booking)["status"] == "CONFIRMED"


def test_a_cancelled_booking_stays_cancelled_after_the_start(clinic: Clinic) -> None:
    slot = clinic.slot()
    booking = clinic.hold(slot["id"])
    cancel(clinic, booking)
    start_now(clinic, slot)
    assert cancel(clinic, booking).json()["status"] == "CANCELLED"


# Who may do what


@pytest.fixture
def parties(clinic: Clinic, staff: dict[str, str]) -> dict[str, dict[str, str]]:
    """Headers of each kind of caller. The owner's account makes the booking below."""
    return {
        "anonymous": {},
        "owner": clinic.patient("Olga Owner"),
        "other patient": clinic.patient("Otto Other"),
        "staff": staff,
        "admin": clinic.admin,
        "wrong manage token": {"Booking-Token": "not-the-token"},
    }


MAY_MANAGE = {
    "anonymous": 401, "owner": 200, "other patient": 403, "staff": 200, "admin": 200, "wrong manage token": 403,
    "manage token": 200, "manage token of another booking": 403,
}  # fmt: skip


@pytest.mark.parametrize("who", MAY_MANAGE)
def test_only_owner_token_holder_and_desk_confirm_and_cancel(
    clinic: Clinic, parties: dict[str, dict[str, str]], who: str
) -> None:
    slot = clinic.slot(seats=2)
    booking = clinic.book(slot["id"], parties["owner"]).json()
    parties |= {"manage token": holder(booking), "manage token of another booking": holder(clinic.hold(slot["id"]))}
    expected = MAY_MANAGE[who]
    for act in (confirm, cancel):
        answer = act(clinic, booking, parties[who])
        assert answer.status_code == expected, answer.text
        if expected != 200:
            problem(answer, expected, "not-authenticated" if expected == 401 else "not-allowed")
    after = read(clinic, booking)["status"]
    assert after == ("CANCELLED" if expected == 200 else "PENDING")


@pytest.mark.parametrize("who", MAY_MANAGE)
def test_only_owner_token_holder_and_desk_see_name_and_email(
    clinic: Clinic, parties: dict[str, dict[str, str]], who: str
) -> None:
    slot = clinic.slot(seats=2)
    booking = clinic.book(slot["id"], parties["owner"]).json()
    parties |= {"manage token": holder(booking), "manage token of another booking": holder(clinic.hold(slot["id"]))}
    answer = clinic.http.get(f"/api/bookings/{booking['id']}", headers=parties[who])
    shown = PERSON if MAY_MANAGE[who] == 200 else NOBODY
    assert answer.json() == {name: booking[name] for name in FIELDS} | shown
    assert answer.headers["cache-control"] == "no-store"


def test_the_manage_token_works_in_a_link_too(clinic: Clinic) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    path, link = f"/api/bookings/{booking['id']}", {"token": booking["manageToken"]}
    assert clinic.http.get(path, params=link).json()["userName"] == "Ada Lovelace"
    assert clinic.http.get(path, params={"token": "x"}).json()["userName"] is None
    assert clinic.http.post(f"{path}/confirm", params=link).status_code == 200
    assert clinic.http.delete(path, params=link).status_code == 200


def test_only_the_answer_to_a_new_booking_has_the_manage_token(clinic: Clinic) -> None:
    account = clinic.patient()
    slot = clinic.slot()
    booking = clinic.book(slot["id"], account).json()
    token = booking["manageToken"]
    answers = [
        confirm(clinic, booking),
        clinic.http.get(f"/api/bookings/{booking['id']}", headers=holder(booking)),
        clinic.http.get("/api/bookings/my-bookings", headers=account),
        clinic.http.get("/api/bookings", params={"slotId": slot["id"]}, headers=clinic.admin),
        clinic.http.get(f"/api/bookings/slot/{slot['id']}", headers=clinic.admin),
        cancel(clinic, booking),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert token not in answer.text
        assert "manageToken" not in answer.text


def test_no_table_holds_a_manage_token(clinic: Clinic) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    token = clinic.book(clinic.slot()["id"], key).json()["manageToken"]
    tables = rows(
        clinic.server.database_url,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'",
    )
    for (table,) in tables:
        held = rows(
            clinic.server.database_url, f"SELECT 1 FROM {table} AS t WHERE strpos(to_jsonb(t)::text, $1) > 0", token
        )
        assert held == [], table
    assert len(token) >= 32, "a token that can be guessed"


@pytest.mark.parametrize("path", ["/api/bookings/999999999", f"/api/bookings/{2**63 - 1}"])
def test_an_unknown_booking_is_not_found(clinic: Clinic, path: str) -> None:
    for headers in ({}, clinic.admin, {"Booking-Token": "x"}):
        problem(clinic.http.get(path, headers=headers), 404, "booking-not-found")
        problem(clinic.http.post(f"{path}/confirm", headers=headers), 404, "booking-not-found")
        problem(clinic.http.delete(path, headers=headers), 404, "booking-not-found")


@pytest.mark.parametrize("booking_id", ["0", "-1", str(2**63), "9" * 40, "x", "1.5", "%00"])
def test_an_invalid_id_is_refused_cleanly(clinic: Clinic, booking_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/confirm")):
        answer = clinic.http.request(method, f"/api/bookings/{booking_id}{path}", headers=clinic.admin)
        problem(answer, answer.status_code if answer.status_code in {404, 405} else 400)


# Lists


def test_my_bookings_are_the_accounts_bookings_newest_first(clinic: Clinic) -> None:
    """A guest's booking with the account's e-mail address is not a booking of the account."""
    account = clinic.patient()
    email = clinic.http.get("/api/auth/me", headers=account).json()["email"]
    slot = clinic.slot(seats=9)
    mine = [clinic.book(slot["id"], account).json()["id"] for _ in range(3)]
    clinic.hold(slot["id"], userEmail=email)
    clinic.book(slot["id"], clinic.patient(), userEmail=email)
    listed = walk(clinic, "/api/bookings/my-bookings", account)
    assert [booking["id"] for booking in listed] == mine[::-1]
    assert all(booking["userName"] == "Ada Lovelace" for booking in listed)


def test_my_bookings_are_closed_to_strangers(clinic: Clinic) -> None:
    problem(clinic.http.get("/api/bookings/my-bookings"), 401, "not-authenticated")
    problem(clinic.http.get("/api/bookings/my-bookings", headers={"Booking-Token": "x"}), 401)


def test_only_the_desk_sees_names_in_the_bookings_of_a_slot(clinic: Clinic, parties: dict[str, dict[str, str]]) -> None:
    slot = clinic.slot(seats=9)
    made = [clinic.book(slot["id"], parties["owner"]).json()["id"] for _ in range(5)]
    path = f"/api/bookings/slot/{slot['id']}"
    for who in ("anonymous", "owner", "other patient", "staff", "admin"):
        listed = walk(clinic, path, parties[who])
        assert [booking["id"] for booking in listed] == made
        shown = {(booking["userName"], booking["userEmail"]) for booking in listed}
        assert shown == {tuple(PERSON.values()) if who in {"staff", "admin"} else (None, None)}, who


def test_an_unknown_slot_has_no_list_of_bookings(clinic: Clinic) -> None:
    problem(clinic.http.get("/api/bookings/slot/999999999"), 404, "slot-not-found")


def test_only_the_desk_lists_all_bookings(clinic: Clinic, parties: dict[str, dict[str, str]]) -> None:
    expected = {"anonymous": 401, "owner": 403, "other patient": 403, "staff": 200, "admin": 200}
    for who, status in expected.items():
        assert clinic.http.get("/api/bookings", headers=parties[who]).status_code == status, who
    booking = clinic.hold(clinic.slot()["id"])
    problem(clinic.http.get("/api/bookings", headers=holder(booking)), 401)


def test_the_desk_finds_bookings_by_every_filter(clinic: Clinic, staff: dict[str, str]) -> None:
    word = uuid4().hex
    first = clinic.slot(seats=5, startTime=in_hours(30))
    second = clinic.slot(seats=5, startTime=in_hours(60))
    held = clinic.hold(first["id"], userName=f"Name {word}")["id"]
    booked = clinic.hold(second["id"], userEmail=f"{word}@example.org", confirm=True)["id"]
    gone = clinic.hold(first["id"], userName=f"100%_ {word}")
    cancel(clinic, gone)

    def find(**filters: Any) -> list[int]:
        return ids(clinic.http.get("/api/bookings", params={"q": word} | filters, headers=staff))

    assert find() == [gone["id"], booked, held]
    assert find(status="PENDING") == [held]
    assert find(status="CONFIRMED") == [booked]
    assert find(status="CANCELLED") == [gone["id"]]
    assert find(slotId=first["id"]) == [gone["id"], held]
    assert find(doctorId=second["doctorId"]) == [booked]
    assert find(**{"from": second["startTime"]}) == [booked]
    assert find(to=second["startTime"]) == [gone["id"], held]
    assert find(q=f"NAME {word}") == [held]
    assert find(q=f"100%_ {word}") == [gone["id"]]
    assert find(q=f"_ame {word}") == [], "a wildcard of LIKE was taken for one"


def test_the_desks_pages_have_no_gaps_or_repeats(clinic: Clinic, staff: dict[str, str]) -> None:
    slot = clinic.slot(seats=9)
    made = [clinic.hold(slot["id"])["id"] for _ in range(5)]
    listed = walk(clinic, "/api/bookings", staff, slotId=slot["id"])
    assert [booking["id"] for booking in listed] == made[::-1]
    assert {booking["userEmail"] for booking in listed} == {"ada@example.org"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("status", "pending"), ("status", ""), ("slotId", "0"), ("slotId", str(2**63)), ("doctorId", "x"), ("q", ""),
        ("q", "a\x00"), ("q", "x" * 201), ("from", "yesterday"), ("to", "infinity"), ("limit", "0"), ("limit", "501"),
        ("cursor", "x"), ("cursor", "Wy0xXQ"), ("cursor", "WyIyMDMwLTAxLTMxVDA5OjAwOjAwWiIsMV0"),
    ],
)  # fmt: skip
def test_an_invalid_filter_is_refused_with_its_field_name(
    clinic: Clinic, staff: dict[str, str], name: str, text: str
) -> None:
    problem(clinic.http.get("/api/bookings", params={name: text}, headers=staff), 400, "invalid-input", field=name)


def test_times_are_utc_on_the_wire(clinic: Clinic) -> None:
    booking = confirm(clinic, clinic.hold(clinic.slot()["id"])).json()
    for name in ("expiresAt", "confirmedAt", "createdAt", "updatedAt"):
        assert booking[name].endswith("Z")
        assert abs(datetime.fromisoformat(booking[name]) - datetime.now(UTC)) < timedelta(minutes=2)
