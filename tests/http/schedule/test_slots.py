"""Slots over HTTP: publish, change, find."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.clinic import Clinic, holder, in_hours, problem, rows, run_out
from tests.http.schedule.test_doctors import BAD_CURSORS

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=30)


def at(hour: float) -> str:
    """A time of one day next month."""
    return (MIDNIGHT + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")


def publish(clinic: Clinic, **fields: Any) -> httpx.Response:
    return clinic.http.post("/api/slots", json={"startTime": at(9)} | fields, headers=clinic.admin)


def change(clinic: Clinic, slot_id: int, **fields: Any) -> httpx.Response:
    return clinic.http.patch(f"/api/slots/{slot_id}", json=fields, headers=clinic.admin)


def find(clinic: Clinic, **filters: Any) -> list[int]:
    answer = clinic.http.get("/api/slots", params=filters)
    assert answer.status_code == 200, answer.text
    return [slot["id"] for slot in answer.json()["items"]]


def test_a_new_slot_is_at_its_location(clinic: Clinic) -> None:
    doctor = clinic.doctor(specialization="Cardiology")
    answer = publish(clinic, doctorId=doctor["id"], startTime="2031-02-03T10:00:00+02:00")
    assert answer.status_code == 201
    slot = answer.json()
    assert slot == {
        "id": slot["id"],
        "doctorId": doctor["id"],
        "doctorName": "Dr. Who",
        "specialization": "Cardiology",
        "startTime": "2031-02-03T08:00:00Z",
        "endTime": "2031-02-03T08:30:00Z",
        "durationMinutes": 30,
        "totalSeats": 1,
        "availableSeats": 1,
        "status": "OPEN",
        "createdAt": slot["createdAt"],
        "updatedAt": slot["updatedAt"],
        "clinicId": 1,
        "visitTypeIds": None,
    }
    assert clinic.http.get(answer.headers["location"]).json() == slot


def test_only_admins_publish_slots(clinic: Clinic, staff: dict[str, str]) -> None:
    slot = clinic.slot()
    new = {"doctorId": slot["doctorId"], "startTime": at(9)}
    for headers, status in (({}, 401), (clinic.patient(), 403), (staff, 403)):
        problem(clinic.http.post("/api/slots", json=new, headers=headers), status)
        problem(clinic.http.patch(f"/api/slots/{slot['id']}", json={"totalSeats": 9}, headers=headers), status)
    assert clinic.free_seats(slot["id"]) == 1


def test_staff_change_only_whether_a_slot_is_open(clinic: Clinic, staff: dict[str, str]) -> None:
    slot = clinic.slot()
    url = f"/api/slots/{slot['id']}"
    for status in ("CLOSED", "CLOSED", "OPEN"):
        answer = clinic.http.patch(url, json={"status": status}, headers=staff)
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    for body in (
        {"totalSeats": 1},
        {"status": "CLOSED", "totalSeats": 1},
        {"startTime": at(9)},
        {"durationMinutes": 9},
    ):
        problem(clinic.http.patch(url, json=body, headers=staff), 403, "not-allowed")
    problem(clinic.http.patch("/api/slots/999999999", json={"status": "CLOSED"}, headers=staff), 404)
    assert clinic.http.get(url).json()["status"] == "OPEN"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("totalSeats", value) for value in (0, -1, 1_000_001, 2**31, 2**63, 1.5, "1", True, None)),
        *(("durationMinutes", value) for value in (0, -30, 24 * 60 + 1, 2**63, 1.5, "30", True, None)),
        *(("doctorId", value) for value in (0, -1, 2**63, 10**30, "1", True, None)),
        ("doctor", 1),
        ("availableSeats", 1),
    ],
)
def test_an_invalid_slot_is_refused_with_its_field_name(clinic: Clinic, field: str, value: object) -> None:
    body = {"doctorId": clinic.doctor()["id"]} | {field: value}
    problem(publish(clinic, **body), 400, "invalid-input", field=field)


@pytest.mark.parametrize(
    "start",
    [
        "infinity", "-infinity", "now", "", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "1999-12-31T23:59:59Z",
        "2020-01-01T09:00:00Z", "9998-12-31T23:59:59Z", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:00",
        "10000-01-01T00:00:00Z", "2030-06-30T23:59:60Z", "2030-02-30T09:00:00Z", "2030-01-31T09:00:00", "2030-01-31",
        "2030-01-31T24:00:00Z", "2030-01-31T09:00:00+25:00", 1900000000, None,
    ],
)  # fmt: skip
def test_a_past_or_invalid_start_is_refused_with_its_field_name(clinic: Clinic, start: object) -> None:
    slot = clinic.slot()
    problem(publish(clinic, doctorId=slot["doctorId"], startTime=start), 400, "invalid-input", field="startTime")
    problem(change(clinic, slot["id"], startTime=start), 400, "invalid-input", field="startTime")


def test_a_slot_just_past_is_refused(clinic: Clinic) -> None:
    refused = publish(clinic, doctorId=clinic.doctor()["id"], startTime=in_hours(-0.01))
    problem(refused, 400, "invalid-input", field="startTime")


@pytest.mark.parametrize("missing", ["doctorId", "startTime"])
def test_a_slot_needs_a_doctor_and_a_start(clinic: Clinic, missing: str) -> None:
    body = {"doctorId": 1, "startTime": at(9)}
    del body[missing]
    problem(clinic.http.post("/api/slots", json=body, headers=clinic.admin), 400, "invalid-input", field=missing)


def test_a_slot_needs_a_doctor_who_exists(clinic: Clinic) -> None:
    problem(publish(clinic, doctorId=999_999_999), 404, "doctor-not-found")


def test_the_largest_slot_can_be_published_and_filled(clinic: Clinic) -> None:
    slot = clinic.slot(seats=1_000_000, durationMinutes=24 * 60)
    clinic.hold(slot["id"], seatsBooked=1_000_000)
    assert clinic.free_seats(slot["id"]) == 0


@pytest.mark.parametrize(("start", "minutes"), [(9, 30), (8.75, 30), (9.25, 30), (9.1, 5), (8, 180)])
def test_open_slots_of_one_doctor_do_not_overlap(clinic: Clinic, start: float, minutes: int) -> None:
    doctor_id = clinic.slot(startTime=at(9))["doctorId"]
    overlapping = publish(clinic, doctorId=doctor_id, startTime=at(start), durationMinutes=minutes)
    problem(overlapping, 409, "slot-overlaps")
    assert publish(clinic, doctorId=clinic.doctor()["id"], startTime=at(start)).status_code == 201


def test_slots_may_touch(clinic: Clinic) -> None:
    doctor_id = clinic.slot(startTime=at(9))["doctorId"]
    assert publish(clinic, doctorId=doctor_id, startTime=at(9.5)).status_code == 201
    assert publish(clinic, doctorId=doctor_id, startTime=at(8.5)).status_code == 201


def test_a_closed_slot_frees_its_period_and_cannot_reopen_over_another(clinic: Clinic) -> None:
    slot = clinic.slot(startTime=at(9))
    assert change(clinic, slot["id"], status="CLOSED").json()["status"] == "CLOSED"
    other = publish(clinic, doctorId=slot["doctorId"], startTime=at(9)).json()
    problem(change(clinic, slot["id"], status="OPEN"), 409, "slot-overlaps")
    assert change(clinic, other["id"], startTime=at(11)).status_code == 200
    assert change(clinic, slot["id"], status="OPEN").json()["status"] == "OPEN"
    problem(change(clinic, other["id"], startTime=at(9.25)), 409, "slot-overlaps")


def test_a_closed_slot_with_bookings_keeps_its_period(clinic: Clinic) -> None:
    slot = clinic.slot(startTime=at(9))
    doctor = slot["doctorId"]
    booking = clinic.hold(slot["id"])
    change(clinic, slot["id"], status="CLOSED")
    other = publish(clinic, doctorId=doctor, startTime=at(11)).json()
    refused = [
        publish(clinic, doctorId=doctor, startTime=at(9.25)),
        change(clinic, other["id"], startTime=at(8.75)),
    ]
    for answer in refused:
        assert "a closed slot in that period that still has bookings" in problem(answer, 409, "slot-overlaps")["detail"]
    problem(change(clinic, slot["id"], startTime=at(11.25)), 409, "slot-overlaps")
    assert change(clinic, slot["id"], startTime=at(9.25)).status_code == 200, "not over itself"
    rows(clinic.server.database_url, "UPDATE bookings SET expires_at = clock_timestamp() WHERE id = $1", booking["id"])
    assert publish(clinic, doctorId=doctor, startTime=at(9.25)).status_code == 201, "a hold that ran out is none"


def test_a_closed_slot_is_not_offered_and_takes_no_bookings(clinic: Clinic) -> None:
    slot = clinic.slot(seats=2)
    booking = clinic.hold(slot["id"])
    change(clinic, slot["id"], status="CLOSED")
    assert find(clinic, doctorId=slot["doctorId"]) == []
    problem(clinic.book(slot["id"]), 409, "slot-closed")
    confirmed = clinic.http.post(f"/api/bookings/{booking['id']}/confirm", headers=holder(booking))
    assert confirmed.status_code == 200, "what was held before stays"


def test_the_slots_of_an_inactive_doctor_are_not_listed_and_not_bookable(clinic: Clinic) -> None:
    slot = clinic.slot()
    clinic.http.patch(f"/api/doctors/{slot['doctorId']}", json={"active": False}, headers=clinic.admin)
    assert find(clinic, doctorId=slot["doctorId"]) == []
    problem(clinic.book(slot["id"]), 409, "slot-closed")
    clinic.http.patch(f"/api/doctors/{slot['doctorId']}", json={"active": True}, headers=clinic.admin)
    assert find(clinic, doctorId=slot["doctorId"]) == [slot["id"]]
    assert clinic.book(slot["id"]).status_code == 201


def test_a_slot_never_has_fewer_seats_than_are_taken(clinic: Clinic) -> None:
    slot = clinic.slot(seats=5)
    clinic.hold(slot["id"], seatsBooked=2)
    clinic.hold(slot["id"], confirm=True)
    assert problem(change(clinic, slot["id"], totalSeats=2), 409, "seats-taken")["seatsTaken"] == 3
    assert clinic.free_seats(slot["id"]) == 2
    assert change(clinic, slot["id"], totalSeats=3).json()["availableSeats"] == 0
    assert change(clinic, slot["id"], totalSeats=10).json()["availableSeats"] == 7


def test_seats_of_an_overdue_hold_do_not_count_as_taken(unswept: Clinic) -> None:
    slot = unswept.slot(seats=3)
    run_out(unswept.server, unswept.hold(slot["id"], seatsBooked=3))
    assert unswept.free_seats(slot["id"]) == 3
    resized = change(unswept, slot["id"], totalSeats=1)
    assert resized.status_code == 200, resized.text
    assert resized.json()["availableSeats"] == 1


def test_a_moved_slot_takes_its_bookings_along_and_keeps_its_length(clinic: Clinic) -> None:
    slot = clinic.slot(startTime=at(9), durationMinutes=45)
    booking = clinic.hold(slot["id"])
    moved = change(clinic, slot["id"], startTime=at(14)).json()
    assert (moved["startTime"], moved["endTime"], moved["durationMinutes"]) == (at(14), at(14.75), 45)
    assert clinic.http.get(f"/api/bookings/{booking['id']}").json()["slot"]["startTime"] == at(14)
    shorter = change(clinic, slot["id"], durationMinutes=15).json()
    assert (shorter["startTime"], shorter["endTime"]) == (at(14), at(14.25))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"doctorId": 1}, "doctorId"),
        ({"availableSeats": 5}, "availableSeats"),
        ({"totalSeats": None}, "totalSeats"),
        ({"totalSeats": 0}, "totalSeats"),
        ({"totalSeats": "5"}, "totalSeats"),
        ({"status": "open"}, "status"),
        ({"status": "FULL"}, "status"),
        ({"durationMinutes": 1441}, "durationMinutes"),
    ],
)
def test_a_malformed_patch_is_refused_with_its_field_name(clinic: Clinic, fields: dict[str, Any], field: str) -> None:
    problem(change(clinic, clinic.slot()["id"], **fields), 400, "invalid-input", field=field)


def test_an_empty_patch_changes_nothing(clinic: Clinic) -> None:
    slot = clinic.slot(seats=3)
    assert change(clinic, slot["id"]).json() | {"updatedAt": None} == slot | {"updatedAt": None}


@pytest.mark.parametrize("slot_id", [999_999_999, 2**63 - 1])
def test_an_unknown_slot_is_not_found(clinic: Clinic, slot_id: int) -> None:
    problem(clinic.http.get(f"/api/slots/{slot_id}"), 404, "slot-not-found")
    problem(change(clinic, slot_id, totalSeats=2), 404, "slot-not-found")
    problem(clinic.book(slot_id), 404, "slot-not-found")


@pytest.mark.parametrize("slot_id", ["0", "-1", str(2**63), "9" * 40, "x"])
def test_an_invalid_id_is_refused_cleanly(clinic: Clinic, slot_id: str) -> None:
    answer = clinic.http.get(f"/api/slots/{slot_id}")
    problem(answer, 404 if answer.status_code == 404 else 400)


def test_the_list_offers_future_open_slots_with_a_free_seat_by_start(clinic: Clinic) -> None:
    doctor_id = clinic.doctor()["id"]
    late, early, full = (clinic.slot(doctorId=doctor_id, startTime=at(hour))["id"] for hour in (12, 9, 10))
    booking = clinic.hold(full)
    assert find(clinic, doctorId=doctor_id) == [early, late]
    clinic.http.delete(f"/api/bookings/{booking['id']}", headers=holder(booking))
    assert find(clinic, doctorId=doctor_id) == [early, full, late]


def test_seats_of_an_overdue_hold_are_listed_and_bookable_without_a_sweeper(unswept: Clinic) -> None:
    """Search and booking agree on such seats, in a slot that was full and in one that was not."""
    doctor_id = unswept.doctor()["id"]
    full = unswept.slot(seats=2, doctorId=doctor_id)["id"]
    half = unswept.slot(seats=4, doctorId=doctor_id, startTime=in_hours(48))["id"]
    held = [unswept.hold(slot_id, seatsBooked=2) for slot_id in (full, half)]
    assert find(unswept, doctorId=doctor_id, minSeats=2) == [half]
    run_out(unswept.server, *held)
    assert find(unswept, doctorId=doctor_id) == [full, half]
    assert find(unswept, doctorId=doctor_id, minSeats=4) == [half]
    offered = unswept.http.get("/api/slots", params={"doctorId": doctor_id}).json()["items"]
    assert [slot["availableSeats"] for slot in offered] == [2, 4]
    assert unswept.book(full, seatsBooked=2).status_code == 201
    assert unswept.book(half, seatsBooked=4).status_code == 201


def test_the_list_is_filtered_by_specialization_and_free_seats(clinic: Clinic) -> None:
    word = uuid4().hex
    doctor_id = clinic.doctor(specialization=f"Heart {word}")["id"]
    one = clinic.slot(1, doctorId=doctor_id, startTime=at(9))["id"]
    three = clinic.slot(3, doctorId=doctor_id, startTime=at(10))["id"]
    assert find(clinic, specialization=f"HEART {word}") == [one, three]
    assert find(clinic, specialization=word) == []
    assert find(clinic, doctorId=doctor_id, minSeats=3) == [three]
    clinic.hold(three)
    assert find(clinic, doctorId=doctor_id, minSeats=3) == []
    assert find(clinic, doctorId=doctor_id, minSeats=2) == [three]


def test_from_is_inclusive_and_to_is_exclusive(clinic: Clinic) -> None:
    doctor_id = clinic.doctor()["id"]
    nine, ten, eleven = (clinic.slot(doctorId=doctor_id, startTime=at(hour))["id"] for hour in (9, 10, 11))
    assert find(clinic, doctorId=doctor_id, **{"from": at(10)}) == [ten, eleven]
    assert find(clinic, doctorId=doctor_id, to=at(10)) == [nine]
    assert find(clinic, doctorId=doctor_id, **{"from": at(9), "to": at(11)}) == [nine, ten]
    local = at(10).replace("Z", "+00:00")
    assert find(clinic, doctorId=doctor_id, **{"from": local}) == [ten, eleven]
    unescaped = clinic.http.get(f"/api/slots?doctorId={doctor_id}&from={local}").json()["items"]
    assert [slot["id"] for slot in unescaped] == [ten, eleven]


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    "text",
    [
        "", "tomorrow", "infinity", "2030-01-31", "2030-01-31T09:00:00", "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:00", "9999-12-31T23:59:59-23:00",
        "2030-06-30T23:59:60Z", "a\x00b", "9" * 60,
    ],
)  # fmt: skip
def test_a_filter_with_an_invalid_time_is_refused_with_its_field_name(clinic: Clinic, name: str, text: str) -> None:
    problem(clinic.http.get("/api/slots", params={name: text}), 400, "invalid-input", field=name)


@pytest.mark.parametrize("name", ["doctorId", "minSeats", "limit"])
@pytest.mark.parametrize("text", ["0", "-1", "x", "", str(2**63), "9" * 5000])
def test_a_filter_with_an_invalid_number_is_refused_with_its_field_name(clinic: Clinic, name: str, text: str) -> None:
    problem(clinic.http.get("/api/slots", params={name: text}), 400, "invalid-input", field=name)


def test_pages_have_no_gaps_or_repeats_even_with_equal_starts(clinic: Clinic) -> None:
    word = uuid4().hex
    doctors = [clinic.doctor(specialization=word)["id"] for _ in range(3)]
    made = [clinic.slot(doctorId=doctor_id, startTime=at(hour))["id"] for hour in (9, 10) for doctor_id in doctors]
    seen, cursor = [], None
    while True:
        wanted: dict[str, Any] = {"specialization": word, "limit": 4} | ({"cursor": cursor} if cursor else {})
        page = clinic.http.get("/api/slots", params=wanted).json()
        seen += [slot["id"] for slot in page["items"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == made


@pytest.mark.parametrize(
    "cursor",
    [
        *BAD_CURSORS,
        "WyJpbmZpbml0eSIsMV0",  # ["infinity",1]
        "WyIyMDMwLTAxLTMxVDA5OjAwOjAwIiwxXQ",  # ["2030-01-31T09:00:00",1]
        "WyIwMDAxLTAxLTAxVDAwOjAwOjAwKzIzOjAwIiwxXQ",  # ["0001-01-01T00:00:00+23:00",1]
        "WyI5OTk5LTEyLTMxVDIzOjU5OjU5LTIzOjAwIiwxXQ",  # ["9999-12-31T23:59:59-23:00",1]
    ],
)
def test_a_made_up_cursor_is_refused_with_its_field_name(clinic: Clinic, cursor: str) -> None:
    problem(clinic.http.get("/api/slots", params={"cursor": cursor}), 400, "invalid-input", field="cursor")


def test_a_list_that_has_not_changed_is_not_sent_again(clinic: Clinic) -> None:
    slot = clinic.slot(seats=2)
    wanted = {"doctorId": slot["doctorId"]}
    tag = clinic.http.get("/api/slots", params=wanted).headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = clinic.http.get("/api/slots", params=wanted, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    clinic.hold(slot["id"])
    changed = clinic.http.get("/api/slots", params=wanted, headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


# Many at once


TUESDAY = "2031-02-04"


def publish_many(clinic: Clinic, **fields: Any) -> httpx.Response:
    """Half-hours of a Tuesday morning from 09:00 to 11:00 UTC, unless other fields are given."""
    body = {"firstDay": TUESDAY, "lastDay": TUESDAY, "periods": [{"from": "09:00", "to": "11:00"}]} | fields
    return clinic.http.post("/api/slots/batch", json=body, headers=clinic.admin)


def starts_of(slots: list[dict[str, Any]]) -> list[str]:
    return [slot["startTime"][11:16] for slot in slots]


def slots_of(clinic: Clinic, doctor_id: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = clinic.http.get("/api/slots", params={"doctorId": doctor_id}).json()["items"]
    return items


def test_many_slots_are_published_at_once_and_each_begins_its_ledger(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    answer = publish_many(
        clinic, doctorId=doctor, lastDay="2031-02-11", weekdays=[2, 4], timeZone="Europe/Berlin", totalSeats=3,
        periods=[{"from": "09:00", "to": "10:00"}, {"from": "23:00", "to": "24:00"}], durationMinutes=55,
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert starts_of(made["created"]) == ["08:00", "22:00"] * 3
    assert made["created"][-1]["endTime"] == "2031-02-11T22:55:00Z"
    assert (made["clashes"], made["skipped"]) == ([], [])
    found = slots_of(clinic, doctor)
    assert [slot["id"] for slot in found] == [slot["id"] for slot in made["created"]]
    assert {(slot["totalSeats"], slot["availableSeats"]) for slot in found} == {(3, 3)}
    events = "SELECT kind, sequence, available_after FROM booking_events WHERE slot_id = any($1)"
    written = rows(clinic.server.database_url, events, [slot["id"] for slot in found])
    assert [tuple(row) for row in written] == [("CREATED", 1, 3)] * 6


def test_a_dry_run_returns_new_slots_and_clashes_and_changes_nothing(clinic: Clinic) -> None:
    slot = clinic.slot(startTime=f"{TUESDAY}T09:45:00Z")
    doctor = slot["doctorId"]
    answer = publish_many(clinic, doctorId=doctor, dryRun=True)
    assert answer.status_code == 200
    plan = answer.json()
    assert starts_of(plan["created"]) == ["09:00", "10:30"]
    assert {planned["id"] for planned in plan["created"]} == {None}
    assert starts_of(plan["clashes"]) == ["09:30", "10:00"]
    overlapped = {"id": slot["id"], "startTime": f"{TUESDAY}T09:45:00Z", "endTime": f"{TUESDAY}T10:15:00Z"}
    assert [clash["overlaps"] for clash in plan["clashes"]] == [overlapped] * 2
    assert [found["id"] for found in slots_of(clinic, doctor)] == [slot["id"]]


def test_a_clash_prevents_publishing_unless_clashes_are_skipped(clinic: Clinic) -> None:
    slot = clinic.slot(startTime=f"{TUESDAY}T09:45:00Z")
    doctor = slot["doctorId"]
    refused = problem(publish_many(clinic, doctorId=doctor), 409, "slot-overlaps")
    assert refused["detail"].startswith("2 of the slots overlap")
    assert len(slots_of(clinic, doctor)) == 1
    answer = publish_many(clinic, doctorId=doctor, skipClashes=True)
    assert starts_of(answer.json()["created"]) == ["09:00", "10:30"]
    assert starts_of(slots_of(clinic, doctor)) == ["09:00", "09:45", "10:30"]


def test_closed_slots_and_slots_of_other_doctors_do_not_clash(clinic: Clinic) -> None:
    slot = clinic.slot(startTime=f"{TUESDAY}T09:00:00Z")
    clinic.slot(startTime=f"{TUESDAY}T09:00:00Z")
    change(clinic, slot["id"], status="CLOSED")
    assert len(publish_many(clinic, doctorId=slot["doctorId"]).json()["created"]) == 4


def test_a_closed_slot_with_bookings_clashes(clinic: Clinic) -> None:
    slot = clinic.slot(startTime=f"{TUESDAY}T09:00:00Z")
    clinic.hold(slot["id"], confirm=True)
    change(clinic, slot["id"], status="CLOSED")
    plan = publish_many(clinic, doctorId=slot["doctorId"], dryRun=True).json()
    assert [(clash["startTime"], clash["overlaps"]["id"]) for clash in plan["clashes"]] == [
        (f"{TUESDAY}T09:00:00Z", slot["id"])
    ]


def test_past_times_are_refused_or_left_out(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    days = {"firstDay": "2020-02-04", "lastDay": "2020-02-04"}
    problem(publish_many(clinic, doctorId=doctor, **days), 400, "invalid-input", field="firstDay")
    plan = publish_many(clinic, doctorId=doctor, dryRun=True, **days).json()
    assert [clash["overlaps"] for clash in plan["clashes"]] == [None] * 4
    nothing = publish_many(clinic, doctorId=doctor, skipClashes=True, **days)
    assert (nothing.status_code, nothing.json()["created"]) == (200, [])


def test_a_time_that_the_clinics_clock_skips_is_reported(clinic: Clinic) -> None:
    days = {"firstDay": "2031-03-30", "lastDay": "2031-03-30", "timeZone": "Europe/Berlin"}
    periods = [{"from": "01:30", "to": "03:30"}]
    made = publish_many(clinic, doctorId=clinic.doctor()["id"], periods=periods, **days).json()
    assert starts_of(made["created"]) == ["00:30", "01:00"]
    assert made["skipped"] == [{"day": "2031-03-30", "time": "02:00"}, {"day": "2031-03-30", "time": "02:30"}]


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("periods", [], "periods"),
        ("periods", [{"from": "9:00", "to": "10:00"}], "periods[0].from"),
        ("periods", [{"from": "09:00", "to": "24:30"}], "periods[0].to"),
        ("periods", [{"from": "09:00", "to": "10:00", "day": 1}], "periods[0].day"),
        ("periods", [{"from": "10:00", "to": "09:00"}], "periods"),
        ("weekdays", [8], "weekdays[0]"),
        ("weekdays", [], "weekdays"),
        ("weekdays", [1], "weekdays"),
        ("firstDay", "2031-02-30", "firstDay"),
        ("firstDay", "4.2.2031", "firstDay"),
        ("lastDay", "2031-02-03", "lastDay"),
        ("lastDay", "2032-02-05", "lastDay"),
        ("breakMinutes", -1, "breakMinutes"),
        ("durationMinutes", 121, "durationMinutes"),
        ("totalSeats", 0, "totalSeats"),
        *(("timeZone", name, "timeZone") for name in ("Mars", "../../etc/passwd", "Europe", "", "posix/UTC\x00")),
        *(("timeZone", name, "timeZone") for name in ("localtime", "Factory")),
    ],
)
def test_an_invalid_timetable_is_refused_with_its_field_name(
    clinic: Clinic, field: str, value: object, named: str
) -> None:
    problem(publish_many(clinic, **{"doctorId": 1, field: value}), 400, "invalid-input", field=named)


def test_two_admins_who_publish_the_same_morning_create_it_once(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    admin = clinic.admin
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: publish_many(clinic, doctorId=doctor), range(8)))
    assert admin
    assert sorted(answer.status_code for answer in answers) == [201, *[409] * 7]
    assert len(slots_of(clinic, doctor)) == 4
