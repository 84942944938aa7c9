"""Overbooking over HTTP: the desk books one more patient into a full slot."""

from typing import Any

import httpx
import pytest

from tests.clinic import Clinic, holder, in_hours, problem, rows, run_out

PERSON = {"userName": "Grace Hopper", "userEmail": "grace@example.org"}


def overbook(clinic: Clinic, slot_id: int, key: str | None = None, **fields: Any) -> httpx.Response:
    headers = clinic.admin if key is None else clinic.admin | {"Idempotency-Key": key}
    body = PERSON | {"reason": "In pain"} | fields
    return clinic.http.post(f"/api/slots/{slot_id}/overbookings", json=body, headers=headers)


def seats_of(clinic: Clinic, slot_id: int) -> tuple[int, int]:
    slot = clinic.http.get(f"/api/slots/{slot_id}").json()
    return slot["totalSeats"], slot["availableSeats"]


def ledger(clinic: Clinic, slot_id: int) -> list[tuple[str, int, int]]:
    query = "SELECT kind, available_after, total_after FROM booking_events WHERE slot_id = $1 ORDER BY sequence"
    return [tuple(row) for row in rows(clinic.server.database_url, query, slot_id)]


def full_slot(clinic: Clinic, seats: int = 1) -> int:
    slot_id: int = clinic.slot(seats=seats)["id"]
    clinic.hold(slot_id, seatsBooked=seats, confirm=True)
    return slot_id


def test_a_full_slot_gets_the_missing_seats_and_a_confirmed_booking(clinic: Clinic) -> None:
    slot_id = full_slot(clinic)
    answer = overbook(clinic, slot_id, seatsBooked=2)
    assert answer.status_code == 201
    booking = answer.json()
    assert (booking["status"], booking["seatsBooked"], booking["addedSeats"]) == ("CONFIRMED", 2, 2)
    read = clinic.http.get(answer.headers["location"], headers=holder(booking)).json()
    assert (read["addedSeats"], read["userName"]) == (2, "Grace Hopper")
    assert "addedSeats" not in clinic.http.get(answer.headers["location"]).json()
    assert seats_of(clinic, slot_id) == (3, 0)
    assert ledger(clinic, slot_id)[2:] == [("RESIZED", 2, 3), ("BOOKED", 0, 3)]


def test_only_missing_seats_are_added(clinic: Clinic) -> None:
    slot_id = clinic.slot(seats=3)["id"]
    clinic.hold(slot_id, seatsBooked=2)
    assert overbook(clinic, slot_id, seatsBooked=2).json()["addedSeats"] == 1
    assert seats_of(clinic, slot_id) == (4, 0)
    other = clinic.slot(seats=3)["id"]
    assert "addedSeats" not in overbook(clinic, other).json()
    assert (seats_of(clinic, other), len(ledger(clinic, other))) == ((3, 2), 2)


def test_the_seats_of_an_expired_hold_are_used_before_any_is_added(clinic: Clinic) -> None:
    slot_id = clinic.slot()["id"]
    run_out(clinic.server, clinic.hold(slot_id))
    assert "addedSeats" not in overbook(clinic, slot_id).json()
    assert seats_of(clinic, slot_id) == (1, 0)


@pytest.mark.parametrize("by", ["patient", "desk"])
def test_a_cancelled_booking_takes_its_added_seats_along(clinic: Clinic, by: str) -> None:
    slot_id = full_slot(clinic)
    booking = overbook(clinic, slot_id, seatsBooked=3).json()
    headers = holder(booking) if by == "patient" else clinic.admin
    assert clinic.http.delete(f"/api/bookings/{booking['id']}", headers=headers).status_code == 200
    assert seats_of(clinic, slot_id) == (1, 0)
    assert ledger(clinic, slot_id)[-2:] == [("CANCELLED", 3, 4), ("RESIZED", 0, 1)]
    problem(clinic.book(slot_id), 409, "slot-full")


def test_an_erased_person_takes_their_added_seats_and_the_reason_along(clinic: Clinic) -> None:
    slot_id = full_slot(clinic)
    patient = clinic.patient()
    email = clinic.http.get("/api/auth/me", headers=patient).json()["email"]
    booking = overbook(clinic, slot_id, userEmail=email, reason="Ada is in pain").json()
    rows(
        clinic.server.database_url,
        "UPDATE bookings SET user_id = (SELECT id FROM users WHERE email = $2) WHERE id = $1",
        booking["id"],
        email,
    )
    exported = clinic.http.get("/api/auth/me/data", headers=patient).json()["bookings"]
    assert [(one["addedSeats"], one["overbookingReason"]) for one in exported] == [(1, "Ada is in pain")]
    erased = clinic.http.request("DELETE", "/api/auth/me", json={"password": "patient's secret"}, headers=patient)
    assert erased.status_code == 204
    assert seats_of(clinic, slot_id) == (1, 0)
    query = "SELECT status, added_seats, overbooking_reason FROM bookings WHERE id = $1"
    assert [tuple(row) for row in rows(clinic.server.database_url, query, booking["id"])] == [("CANCELLED", 1, None)]


def test_a_seat_that_becomes_free_beside_an_overbooked_booking_is_offered(clinic: Clinic) -> None:
    slot_id = clinic.slot()["id"]
    first = clinic.hold(slot_id)
    overbook(clinic, slot_id)
    clinic.http.delete(f"/api/bookings/{first['id']}", headers=holder(first))
    assert seats_of(clinic, slot_id) == (2, 1)


def test_the_total_keeps_one_seat_besides_the_added_ones(clinic: Clinic) -> None:
    slot_id = clinic.slot()["id"]
    first = clinic.hold(slot_id)
    booking = overbook(clinic, slot_id, seatsBooked=3).json()
    clinic.http.delete(f"/api/bookings/{first['id']}", headers=holder(first))
    refused = clinic.http.patch(f"/api/slots/{slot_id}", json={"totalSeats": 3}, headers=clinic.admin)
    told = problem(refused, 409, "seats-taken")
    assert (told["seatsTaken"], "added by overbooking" in told["detail"]) == (4, True)
    changed = clinic.http.patch(f"/api/slots/{slot_id}", json={"totalSeats": 5}, headers=clinic.admin)
    assert (changed.json()["totalSeats"], changed.json()["availableSeats"]) == (5, 2)
    clinic.http.delete(f"/api/bookings/{booking['id']}", headers=holder(booking))
    assert seats_of(clinic, slot_id) == (2, 2)


def test_a_closed_or_started_slot_is_refused_and_gets_no_seat(clinic: Clinic) -> None:
    slot_id = full_slot(clinic)
    clinic.http.patch(f"/api/slots/{slot_id}", json={"status": "CLOSED"}, headers=clinic.admin)
    problem(overbook(clinic, slot_id), 409, "slot-closed")
    clinic.http.patch(f"/api/slots/{slot_id}", json={"status": "OPEN"}, headers=clinic.admin)
    rows(
        clinic.server.database_url,
        "UPDATE appointment_slots SET start_time = now() - interval '1 minute' WHERE id = $1",
        slot_id,
    )
    problem(overbook(clinic, slot_id), 409, "slot-started")
    assert seats_of(clinic, slot_id) == (1, 0)
    assert "RESIZED" not in {kind for kind, _, _ in ledger(clinic, slot_id)}


def test_a_slot_never_gets_more_than_a_million_seats(clinic: Clinic) -> None:
    slot_id = clinic.slot(seats=1_000_000)["id"]
    clinic.hold(slot_id, seatsBooked=1_000_000)
    told = problem(overbook(clinic, slot_id), 409, "slot-full")
    assert (told["availableSeats"], seats_of(clinic, slot_id)) == (0, (1_000_000, 0))


def test_the_same_key_gives_the_same_booking_and_adds_once(clinic: Clinic) -> None:
    slot_id, other = full_slot(clinic), full_slot(clinic)
    first = overbook(clinic, slot_id, "overbook-once")
    assert first.status_code == 201
    assert overbook(clinic, slot_id, "overbook-once").json() == first.json()
    assert seats_of(clinic, slot_id) == (2, 0)
    problem(overbook(clinic, slot_id, "overbook-once", reason="Another"), 422, "idempotency-key-reused")
    problem(overbook(clinic, other, "overbook-once"), 422, "idempotency-key-reused")
    assert seats_of(clinic, other) == (1, 0)


def test_a_refusal_is_not_kept_for_its_key(clinic: Clinic) -> None:
    slot_id = full_slot(clinic)
    clinic.http.patch(f"/api/slots/{slot_id}", json={"status": "CLOSED"}, headers=clinic.admin)
    problem(overbook(clinic, slot_id, "try-again"), 409, "slot-closed")
    clinic.http.patch(f"/api/slots/{slot_id}", json={"status": "OPEN"}, headers=clinic.admin)
    assert overbook(clinic, slot_id, "try-again").status_code == 201


@pytest.mark.parametrize("reason", ["", "ab", "  a ", "a" * 201, "a\x00bc", "line\nbreak"])
def test_a_reason_has_3_to_200_characters(clinic: Clinic, reason: str) -> None:
    slot_id = full_slot(clinic)
    problem(overbook(clinic, slot_id, reason=reason), 400, "invalid-input", "reason")
    assert overbook(clinic, slot_id, reason="abc").status_code == 201
    assert overbook(clinic, slot_id, reason="a" * 200).status_code == 201


def test_the_audit_log_says_what_was_added_and_not_why(clinic: Clinic) -> None:
    slot_id = full_slot(clinic)
    booking = overbook(clinic, slot_id, reason="Ada is in pain").json()
    query = "SELECT action, details::text FROM audit_log WHERE subject = $1"
    [noted] = rows(clinic.server.database_url, query, f"booking:{booking['id']}")
    assert tuple(noted) == ("overbook_seats", f'{{"slot": {slot_id}, "seats": 1, "added_seats": 1}}')


def test_an_overbooked_time_that_starts_soon_is_no_different(clinic: Clinic) -> None:
    slot_id = clinic.slot(startTime=in_hours(1))["id"]
    clinic.hold(slot_id)
    assert overbook(clinic, slot_id).json()["addedSeats"] == 1
