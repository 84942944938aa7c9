"""Booking by visit type: what patients can book when, and what the desk may do in spite of the rules."""

from typing import Any

import httpx
import pytest

from tests.clinic import Clinic, holder, in_hours, object_of, problem, rows, unique_email
from tests.http.schedule.test_visit_types import TYPES, new_type

DAY = 24 * 60


def typed_slot(clinic: Clinic, *types: dict[str, Any], hours: float = 240, **fields: Any) -> dict[str, Any]:
    """A slot with these types, ten days ahead unless said otherwise."""
    return clinic.slot(startTime=in_hours(hours), visitTypeIds=[one["id"] for one in types], **fields)


def book(
    clinic: Clinic, slot: dict[str, Any], kind: dict[str, Any], headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    """As a guest unless said otherwise, each time with a new e-mail address."""
    return clinic.book(slot["id"], headers, userEmail=unique_email(), visitTypeId=kind["id"], **fields)


def offered(clinic: Clinic, slot: dict[str, Any], headers: dict[str, str] | None = None, **query: Any) -> bool:
    """Whether the list has the slot, for anybody unless said otherwise."""
    params = {"doctorId": slot["doctorId"], "limit": 500, **query}
    found = clinic.http.get("/api/slots", params=params, headers=headers).json()
    return slot["id"] in [one["id"] for one in found["items"]]


def test_a_visit_is_booked_with_its_type_and_without_one_as_before(clinic: Clinic) -> None:
    kind, other = new_type(clinic), new_type(clinic)
    slot = typed_slot(clinic, kind, seats=3)
    assert slot["visitTypeIds"] == [kind["id"]]
    booked = object_of(book(clinic, slot, kind, confirm=True))
    assert (booked["status"], booked["visitTypeId"]) == ("CONFIRMED", kind["id"])
    assert clinic.hold(slot["id"])["visitTypeId"] is None
    problem(book(clinic, slot, other), 409, "visit-type-not-offered")
    problem(book(clinic, clinic.slot(), kind), 409, "visit-type-not-offered")
    assert clinic.free_seats(slot["id"]) == 1


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ({"minNoticeMinutes": 11 * DAY}, "too-late-to-book"),
        ({"horizonDays": 9}, "too-early-to-book"),
        ({"bookableBy": "STAFF"}, "visit-type-not-offered"),
    ],
)
def test_a_rule_is_the_same_for_search_and_hold_and_the_desk_is_exempt_in_both(
    clinic: Clinic, staff: dict[str, str], rule: dict[str, Any], code: str
) -> None:
    kind = new_type(clinic, **rule)
    slot = typed_slot(clinic, kind, seats=9)
    problem(book(clinic, slot, kind), 409, code)
    assert not offered(clinic, slot)
    assert not offered(clinic, slot, visitTypeId=kind["id"])
    for caller, found in ((staff, True), (clinic.admin, True), (clinic.patient(), False)):
        assert offered(clinic, slot, caller) is found
        assert offered(clinic, slot, caller, visitTypeId=kind["id"]) is found
    assert not offered(clinic, slot)
    assert book(clinic, slot, kind, clinic.admin).status_code == 201
    assert clinic.hold(slot["id"])["visitTypeId"] is None
    without = {"bookableBy": "ANYONE"} if "bookableBy" in rule else dict.fromkeys(rule)
    clinic.http.patch(f"{TYPES}/{kind['id']}", json=without, headers=clinic.admin)
    assert offered(clinic, slot)
    assert book(clinic, slot, kind).status_code == 201


def test_a_slot_is_hidden_only_if_no_type_of_its_can_be_booked(clinic: Clinic) -> None:
    strict, lenient = new_type(clinic, minNoticeMinutes=30 * DAY), new_type(clinic, horizonDays=20)
    slot = typed_slot(clinic, strict, lenient, seats=5)
    assert offered(clinic, slot)
    assert offered(clinic, slot, visitTypeId=lenient["id"])
    assert not offered(clinic, slot, visitTypeId=strict["id"])
    assert book(clinic, slot, lenient).status_code == 201
    problem(book(clinic, slot, strict), 409, "too-late-to-book")
    clinic.http.patch(f"{TYPES}/{lenient['id']}", json={"active": False}, headers=clinic.admin)
    assert not offered(clinic, slot)
    problem(book(clinic, slot, lenient), 409, "visit-type-not-offered")


def test_a_type_that_is_no_longer_active_is_offered_and_booked_by_nobody(clinic: Clinic) -> None:
    kind = new_type(clinic)
    slot = typed_slot(clinic, kind)
    clinic.http.patch(f"{TYPES}/{kind['id']}", json={"active": False}, headers=clinic.admin)
    for caller in (None, clinic.admin):
        assert not offered(clinic, slot, caller)
        assert not offered(clinic, slot, caller, visitTypeId=kind["id"])
        problem(book(clinic, slot, kind, caller), 409, "visit-type-not-offered")


def test_who_may_book_and_how_often(clinic: Clinic) -> None:
    of_staff, of_accounts = new_type(clinic, bookableBy="STAFF"), new_type(clinic, bookableBy="ACCOUNTS")
    limited = new_type(clinic, maxLivePerPatient=1)
    slot, later = (typed_slot(clinic, of_staff, of_accounts, limited, seats=9) for _ in range(2))
    patient = clinic.patient()
    problem(book(clinic, slot, of_staff, patient), 409, "visit-type-not-offered")
    assert book(clinic, slot, of_staff, clinic.admin).status_code == 201
    problem(book(clinic, slot, of_accounts), 401, "not-authenticated")
    assert book(clinic, slot, of_accounts, patient).status_code == 201
    first = object_of(book(clinic, slot, limited, patient))
    problem(book(clinic, later, limited, patient), 409, "booking-limit-reached")
    assert book(clinic, later, limited, clinic.patient()).status_code == 201
    clinic.http.delete(f"/api/bookings/{first['id']}", headers=patient)
    assert book(clinic, later, limited, patient).status_code == 201


def test_a_guest_is_known_by_the_e_mail_address_in_any_case(clinic: Clinic) -> None:
    kind = new_type(clinic, maxLivePerPatient=1)
    slot, email = typed_slot(clinic, kind, seats=9), unique_email()
    assert clinic.book(slot["id"], visitTypeId=kind["id"], userEmail=email).status_code == 201
    refused = clinic.book(slot["id"], visitTypeId=kind["id"], userEmail=email.upper())
    problem(refused, 409, "booking-limit-reached")
    stored = rows(clinic.server.database_url, "SELECT * FROM patient_visits WHERE visit_type_id = $1", kind["id"])
    assert stored
    assert email.split("@")[0].encode() not in b"".join(row["patient"] for row in stored)


def test_a_visit_of_new_or_returning_patients(clinic: Clinic) -> None:
    new, returning = new_type(clinic, patients="NEW"), new_type(clinic, patients="RETURNING")
    slot, email = typed_slot(clinic, new, returning, seats=9), unique_email()
    problem(clinic.book(slot["id"], visitTypeId=returning["id"], userEmail=email), 409, "for-returning-patients-only")
    first = clinic.book(slot["id"], visitTypeId=new["id"], userEmail=email, confirm=True)
    assert first.status_code == 201
    assert clinic.book(slot["id"], visitTypeId=new["id"], userEmail=email).status_code == 201, "it has not begun yet"
    take_place(clinic, slot)
    later = typed_slot(clinic, new, returning, seats=9)
    problem(clinic.book(later["id"], visitTypeId=new["id"], userEmail=email), 409, "for-new-patients-only")
    assert clinic.book(later["id"], visitTypeId=returning["id"], userEmail=email).status_code == 201


def take_place(clinic: Clinic, slot: dict[str, Any]) -> None:
    """Let a slot begin, which is all that time does to it."""
    rows(
        clinic.server.database_url,
        "UPDATE appointment_slots SET start_time = now() - interval '5 minutes', end_time = now() WHERE id = $1",
        slot["id"],
    )


def test_those_who_have_booked_read_what_to_bring_and_once_it_is_confirmed_the_link(clinic: Clinic) -> None:
    link, instructions = "https://video.example.org/room-7", "Please come without breakfast."
    kind = new_type(clinic, name="Video visit", mode="VIDEO", videoLink=link, instructions=instructions)
    owner = clinic.patient()
    held = object_of(book(clinic, typed_slot(clinic, kind), kind, owner))
    assert "visitType" not in held
    path, says = f"/api/bookings/{held['id']}", {"name": "Video visit", "mode": "VIDEO", "instructions": instructions}
    for headers in (owner, holder(held), clinic.admin):
        assert clinic.http.get(path, headers=headers).json()["visitType"] == says | {"videoLink": None}
    confirmed = clinic.http.post(f"{path}/confirm", headers=holder(held))
    assert confirmed.json()["visitType"] == says | {"videoLink": link}
    for headers in (owner, holder(held), clinic.admin):
        assert clinic.http.get(path, headers=headers).json()["visitType"] == says | {"videoLink": link}
    for strangers in ({}, clinic.patient()):
        assert "visitType" not in clinic.http.get(path, headers=strangers).json()
    cancelled = clinic.http.delete(path, headers=owner)
    assert "visitType" not in cancelled.json()
    assert clinic.http.get(path, headers=owner).json()["visitType"] == says | {"videoLink": None}


def test_after_the_deadline_a_patient_cannot_cancel_but_the_desk_can(clinic: Clinic) -> None:
    kind = new_type(clinic, changeDeadlineMinutes=11 * DAY)
    slot = typed_slot(clinic, kind, seats=9)
    held, booked = object_of(book(clinic, slot, kind)), object_of(book(clinic, slot, kind, confirm=True))
    path = f"/api/bookings/{booked['id']}"
    problem(clinic.http.delete(path, headers=holder(booked)), 409, "too-late-to-change")
    assert clinic.http.get(path).json()["status"] == "CONFIRMED"
    assert clinic.http.delete(f"/api/bookings/{held['id']}", headers=holder(held)).json()["status"] == "CANCELLED"
    assert clinic.http.delete(path, headers=clinic.admin).json()["status"] == "CANCELLED"
    untyped = clinic.hold(slot["id"], confirm=True)
    assert clinic.http.delete(f"/api/bookings/{untyped['id']}", headers=holder(untyped)).status_code == 200


def test_a_refusal_is_kept_for_its_key_and_a_booking_with_a_type_is_repeated_with_it(clinic: Clinic) -> None:
    kind = new_type(clinic, maxLivePerPatient=1)
    slot, email = typed_slot(clinic, kind, seats=9), unique_email()

    def ask(key: str) -> httpx.Response:
        headers = {"Idempotency-Key": f"{key}-{email}-not-to-be-guessed"}
        return clinic.book(slot["id"], headers, visitTypeId=kind["id"], userEmail=email)

    first = ask("first")
    assert ask("first").json() == first.json()
    assert first.json()["visitTypeId"] == kind["id"]
    problem(ask("second"), 409, "booking-limit-reached")
    clinic.http.delete(f"/api/bookings/{first.json()['id']}", headers=holder(first.json()))
    problem(ask("second"), 409, "booking-limit-reached")
    assert ask("third").status_code == 201


def test_types_of_a_slot_are_changed_by_admins_and_bookings_keep_theirs(clinic: Clinic) -> None:
    kind, other = new_type(clinic), new_type(clinic)
    slot = typed_slot(clinic, kind, seats=9)
    booked = object_of(book(clinic, slot, kind))
    path = f"/api/slots/{slot['id']}"
    changed = clinic.http.patch(path, json={"visitTypeIds": [other["id"], other["id"]]}, headers=clinic.admin)
    assert changed.json()["visitTypeIds"] == [other["id"]]
    assert clinic.http.get(f"/api/bookings/{booked['id']}").json()["visitTypeId"] == kind["id"]
    problem(book(clinic, slot, kind), 409, "visit-type-not-offered")
    assert clinic.http.patch(path, json={"visitTypeIds": None}, headers=clinic.admin).json()["visitTypeIds"] is None
    long = new_type(clinic, minutes=31)
    for body in ({"visitTypeIds": [2**62]}, {"visitTypeIds": [long["id"]]}, {"visitTypeIds": [], "totalSeats": 5}):
        problem(clinic.http.patch(path, json=body, headers=clinic.admin), 400, "invalid-input", "visitTypeIds")


def test_a_buffer_keeps_the_doctors_next_slot_from_beginning_in_it(clinic: Clinic) -> None:
    kind, doctor = new_type(clinic, bufferMinutes=15), clinic.doctor()

    def publish(hour: str, **fields: Any) -> httpx.Response:
        body = {"doctorId": doctor["id"], "startTime": f"2031-03-04T{hour}:00Z", **fields}
        return clinic.http.post("/api/slots", json=body, headers=clinic.admin)

    first = object_of(publish("10:00", visitTypeIds=[kind["id"]]))
    problem(publish("10:30"), 409, "slot-overlaps")
    assert publish("10:45").status_code == 201
    problem(publish("09:20", visitTypeIds=[kind["id"]]), 409, "slot-overlaps")
    before = object_of(publish("09:30"))
    with_types = {"visitTypeIds": [kind["id"]]}
    given = clinic.http.patch(f"/api/slots/{before['id']}", json=with_types, headers=clinic.admin)
    problem(given, 409, "slot-overlaps")
    moved = {"startTime": "2031-03-04T10:10:00Z"}
    problem(clinic.http.patch(f"/api/slots/{first['id']}", json=moved, headers=clinic.admin), 409, "slot-overlaps")
    many = {
        "doctorId": doctor["id"], "firstDay": "2031-03-05", "lastDay": "2031-03-05", "visitTypeIds": [kind["id"]],
        "periods": [{"from": "09:00", "to": "12:00"}], "breakMinutes": 10,
    }  # fmt: skip
    refused = clinic.http.post("/api/slots/batch", json=many, headers=clinic.admin)
    problem(refused, 400, "invalid-input", "breakMinutes")
    made = clinic.http.post("/api/slots/batch", json=many | {"breakMinutes": 15}, headers=clinic.admin)
    assert made.status_code == 201


def test_a_time_does_not_become_shorter_than_its_types(clinic: Clinic) -> None:
    short, long = new_type(clinic, minutes=20), new_type(clinic, minutes=60)
    slot = typed_slot(clinic, short, long, durationMinutes=90)
    path = f"/api/slots/{slot['id']}"
    refused = clinic.http.patch(path, json={"durationMinutes": 10}, headers=clinic.admin)
    assert problem(refused, 400)["errors"] == [
        {"field": "durationMinutes", "message": "must not be shorter than a visit type of this time takes"}
    ]
    assert clinic.http.get(path).json()["durationMinutes"] == 90
    just = clinic.http.patch(path, json={"durationMinutes": 60}, headers=clinic.admin)
    assert (just.status_code, just.json()["durationMinutes"]) == (200, 60)


def test_a_time_whose_type_became_longer_can_still_be_closed_and_moved(clinic: Clinic) -> None:
    kind = new_type(clinic, minutes=30)
    slot = typed_slot(clinic, kind, durationMinutes=30)
    grown = clinic.http.patch(f"/api/visit-types/{kind['id']}", json={"minutes": 60}, headers=clinic.admin)
    assert grown.status_code == 200, grown.text
    path = f"/api/slots/{slot['id']}"
    for change in ({"startTime": in_hours(300)}, {"durationMinutes": 45}, {"status": "CLOSED"}):
        assert clinic.http.patch(path, json=change, headers=clinic.admin).status_code == 200, change
    assert problem(clinic.http.patch(path, json={"durationMinutes": 40}, headers=clinic.admin), 400)["errors"]
