"""Schedules over HTTP: a change is previewed, and applied as previewed."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.clinic import Clinic, holder, object_of, problem

FIRST_DAY = (datetime.now(UTC) + timedelta(days=3)).date()


def hours(doctor_id: int, **fields: Any) -> dict[str, Any]:
    """Half an hour in the morning and one in the afternoon, on one day."""
    return {
        "doctorId": doctor_id,
        "firstDay": FIRST_DAY.isoformat(),
        "lastDay": FIRST_DAY.isoformat(),
        "weekdays": [FIRST_DAY.isoweekday()],
        "periods": [{"from": "09:00", "to": "09:30"}, {"from": "14:00", "to": "15:00"}],
    } | fields


def absence(doctor_id: int, **fields: Any) -> dict[str, Any]:
    """The whole day, in every zone."""
    return {
        "doctorId": doctor_id,
        "startTime": f"{FIRST_DAY - timedelta(days=1)}T00:00:00Z",
        "endTime": f"{FIRST_DAY + timedelta(days=2)}T00:00:00Z",
        "reason": "A cold",
    } | fields


def post(clinic: Clinic, what: str, **body: Any) -> httpx.Response:
    return clinic.http.post(f"/api/schedule/{what}", json=body, headers=clinic.admin)


def preview(clinic: Clinic, **body: Any) -> dict[str, Any]:
    answer = post(clinic, "preview", **body)
    assert answer.status_code == 200, answer.text
    return object_of(answer)


def apply(clinic: Clinic, **body: Any) -> dict[str, Any]:
    answer = post(clinic, "apply", **body, token=preview(clinic, **body)["token"])
    assert answer.status_code == 200, answer.text
    return object_of(answer)


def slots_of(clinic: Clinic, doctor_id: int) -> list[dict[str, Any]]:
    answer = clinic.http.get("/api/slots", params={"doctorId": doctor_id})
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def test_hours_become_slots_and_a_rule_for_each_period(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    seen = preview(clinic, addRules=[hours(doctor)])
    assert (seen["come"], seen["go"], seen["stay"]) == (3, 0, 0)
    assert slots_of(clinic, doctor) == []
    done = apply(clinic, addRules=[hours(doctor)])
    assert [slot["durationMinutes"] for slot in slots_of(clinic, doctor)] == [30, 30, 30]
    rules = clinic.http.get(f"/api/doctors/{doctor}/rules", headers=clinic.admin).json()
    assert [(rule["id"], rule["from"], rule["to"]) for rule in rules["items"]] == list(
        zip(done["ruleIds"], ["09:00", "14:00"], ["09:30", "15:00"], strict=True)
    )
    assert (rules["moved"], rules["drifted"]) == ([], [])
    more = [{"id": done["ruleIds"][0], "totalSeats": 2}]
    seen = preview(clinic, changeRules=more)
    assert (seen["come"], seen["go"], seen["stay"], seen["changedSeats"], seen["changedTypes"]) == (0, 0, 3, 1, 0)
    before = [slot["id"] for slot in slots_of(clinic, doctor)]
    apply(clinic, changeRules=more)
    assert [slot["id"] for slot in slots_of(clinic, doctor)] == before
    assert sorted(slot["totalSeats"] for slot in slots_of(clinic, doctor)) == [1, 1, 2]
    assert apply(clinic, removeRules=done["ruleIds"])["go"] == 3
    assert slots_of(clinic, doctor) == []


def test_hours_have_visit_types_and_may_get_others(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    one, other, long = (visit_type(clinic, minutes) for minutes in (30, 30, 60))
    rule_ids = apply(clinic, addRules=[hours(doctor, visitTypeIds=[other, one, one])])["ruleIds"]
    rules = clinic.http.get(f"/api/doctors/{doctor}/rules", headers=clinic.admin).json()["items"]
    assert [rule["visitTypeIds"] for rule in rules] == [[one, other]] * 2
    assert [slot["visitTypeIds"] for slot in slots_of(clinic, doctor)] == [[one, other]] * 3
    assert apply(clinic, changeRules=[{"id": rule_ids[0], "totalSeats": 1}])["come"] == 0
    apply(clinic, changeRules=[{"id": rule_ids[0], "visitTypeIds": [other]}, {"id": rule_ids[1], "visitTypeIds": None}])
    assert [slot["visitTypeIds"] for slot in slots_of(clinic, doctor)] == [[other], None, None]
    clinic.http.patch(f"/api/visit-types/{one}", json={"active": False}, headers=clinic.admin)
    for ids, field in (
        ([one], "addRules[0].visitTypeIds"),
        ([2**40], "addRules[0].visitTypeIds"),
        ([long], "addRules[0].durationMinutes"),
        ([0], "addRules[0].visitTypeIds[0]"),
    ):
        answer = post(clinic, "preview", addRules=[hours(doctor, visitTypeIds=ids)])
        assert [each["field"] for each in problem(answer, 400)["errors"]] == [field]


def test_another_length_of_a_visit_type_in_use_is_previewed_and_applied(clinic: Clinic) -> None:
    doctor, used = clinic.doctor()["id"], visit_type(clinic, 30)
    apply(clinic, addRules=[hours(doctor, visitTypeIds=[used])])
    for change in ({"minutes": 15}, {"bufferMinutes": 5}):
        answer = clinic.http.patch(f"/api/visit-types/{used}", json=change, headers=clinic.admin)
        assert problem(answer, 409)["code"] == "visit-type-in-use"
    assert clinic.http.patch(f"/api/visit-types/{used}", json={"name": "Talk"}, headers=clinic.admin).status_code == 200
    shorter = [{"visitTypeId": used, "minutes": 15}]
    seen = preview(clinic, changeLengths=shorter)
    assert (seen["come"], seen["go"], seen["stay"]) == (6, 3, 0)
    apply(clinic, changeLengths=shorter)
    assert {slot["durationMinutes"] for slot in slots_of(clinic, doctor)} == {15}
    read = clinic.http.get(f"/api/visit-types/{used}").json()
    assert (read["minutes"], read["bufferMinutes"], read["name"]) == (15, 0, "Talk")
    rules = clinic.http.get(f"/api/doctors/{doctor}/rules", headers=clinic.admin).json()["items"]
    assert [rule["durationMinutes"] for rule in rules] == [15, 15]
    for length, field in (
        ({"visitTypeId": used, "minutes": 31}, "changeLengths[0].minutes"),
        ({"visitTypeId": 2**40, "minutes": 15}, "changeLengths[0].visitTypeId"),
    ):
        answer = post(clinic, "preview", changeLengths=[length])
        assert [each["field"] for each in problem(answer, 400)["errors"]] == [field]


def test_hours_leave_the_buffer_of_their_visits_free(clinic: Clinic) -> None:
    doctor, used = clinic.doctor()["id"], visit_type(clinic, 30, bufferMinutes=10)
    day = [{"from": "09:00", "to": "10:20"}, {"from": "10:15", "to": "11:00"}]
    seen = preview(clinic, addRules=[hours(doctor, visitTypeIds=[used], periods=day)])
    assert (seen["come"], [each["localStart"][11:16] for each in seen["skipped"]]) == (2, ["10:15"])
    apply(clinic, addRules=[hours(doctor, visitTypeIds=[used], periods=day)])
    assert [slot["startTime"][11:16] for slot in slots_of(clinic, doctor)] == ["09:00", "09:40"]
    by_hand = {"doctorId": doctor, "startTime": f"{FIRST_DAY}T10:15:00Z"}
    answer = clinic.http.post("/api/slots", json=by_hand, headers=clinic.admin)
    assert problem(answer, 409)["code"] == "slot-overlaps"
    longer = [{"visitTypeId": used, "minutes": 30, "bufferMinutes": 20}]
    seen = preview(clinic, changeLengths=longer)
    assert (seen["come"], seen["go"], seen["stay"]) == (1, 1, 1)
    apply(clinic, changeLengths=longer)
    assert [slot["startTime"][11:16] for slot in slots_of(clinic, doctor)] == ["09:00", "09:50"]


def test_a_longer_buffer_without_room_behind_a_time_made_by_hand_is_refused_by_the_preview(clinic: Clinic) -> None:
    """The doctor of the time has no hours; those of another doctor have the type."""
    doctor, other, used = clinic.doctor()["id"], clinic.doctor()["id"], visit_type(clinic, 30)
    apply(clinic, addRules=[hours(other, visitTypeIds=[used])])
    for start, types in (("08:00", [used]), ("08:40", None)):
        made = {"doctorId": doctor, "startTime": f"{FIRST_DAY}T{start}:00Z", "durationMinutes": 30}
        answer = clinic.http.post("/api/slots", json=made | {"visitTypeIds": types}, headers=clinic.admin)
        assert answer.status_code == 201, answer.text
    preview(clinic, changeLengths=[{"visitTypeId": used, "minutes": 30, "bufferMinutes": 10}])
    answer = post(clinic, "preview", changeLengths=[{"visitTypeId": used, "minutes": 30, "bufferMinutes": 15}])
    assert problem(answer, 409)["code"] == "slot-overlaps"


def visit_type(clinic: Clinic, minutes: int, **fields: Any) -> int:
    body = {"name": "Visit", "minutes": minutes} | fields
    return int(clinic.http.post("/api/visit-types", json=body, headers=clinic.admin).json()["id"])


def test_an_absence_lists_patients_cancels_holds_and_is_undone(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    apply(clinic, addRules=[hours(doctor)])
    booked, held, _ = slots_of(clinic, doctor)
    booking = clinic.hold(booked["id"], confirm=True, userName="Pia Present")
    hold = clinic.hold(held["id"])
    change: dict[str, Any] = {"addClosures": [absence(doctor)], "decision": "CANCEL", "message": "Please come later"}
    seen = preview(clinic, **change)
    assert (seen["go"], seen["bookingCount"], seen["holdCount"]) == (3, 1, 1)
    assert [(hit["bookingId"], hit["userName"], hit["decision"], hit["message"]) for hit in seen["bookings"]] == [
        (booking["id"], "Pia Present", "CANCEL", "Please come later")
    ]
    done = apply(clinic, **change)
    assert (done["cancelledBookings"], done["cancelledHolds"]) == (1, 1)
    refused = clinic.http.post(f"/api/bookings/{hold['id']}/confirm", headers=holder(hold))
    assert problem(refused, 409)["code"] == "booking-cancelled"
    [closure] = [
        each
        for each in clinic.http.get("/api/closures", headers=clinic.admin).json()["items"]
        if each["id"] == done["closureIds"][0]
    ]
    assert (closure["doctorId"], closure["kind"], closure["reason"]) == (doctor, "ABSENCE", "A cold")
    assert apply(clinic, removeClosures=done["closureIds"])["come"] == 3
    assert [slot["id"] for slot in slots_of(clinic, doctor)] == [booked["id"], held["id"], _["id"]]


def test_a_booked_time_outside_of_the_hours_is_listed_until_somebody_deals_with_it(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    rule_ids = apply(clinic, addRules=[hours(doctor)])["ruleIds"]
    slot = slots_of(clinic, doctor)[0]
    booking = clinic.hold(slot["id"], confirm=True)
    apply(clinic, removeRules=rule_ids)

    def listed() -> list[int]:
        found = clinic.http.get(f"/api/doctors/{doctor}/rules", headers=clinic.admin).json()["drifted"]
        return [each["slotId"] for each in found]

    assert listed() == [slot["id"]]
    assert problem(clinic.book(slot["id"]), 409)["code"] == "slot-closed"
    clinic.http.delete(f"/api/bookings/{booking['id']}", headers=clinic.admin)
    assert listed() == []


def test_a_change_in_between_is_answered_with_a_new_preview(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    apply(clinic, addRules=[hours(doctor)])
    change = {"addClosures": [absence(doctor)]}
    token = preview(clinic, **change)["token"]
    booking = clinic.hold(slots_of(clinic, doctor)[0]["id"], confirm=True)
    refused = problem(post(clinic, "apply", **change, token=token), 409)
    assert refused["code"] == "schedule-changed"
    assert [hit["bookingId"] for hit in refused["preview"]["bookings"]] == [booking["id"]]
    assert refused["differs"] == {
        "comeBefore": 0,
        "goBefore": 3,
        "stayBefore": 0,
        "newBookingIds": [booking["id"]],
        "goneBookingIds": [],
    }
    assert len(slots_of(clinic, doctor)) == 2
    assert post(clinic, "apply", **change, token=refused["preview"]["token"]).status_code == 200


def test_a_booking_that_was_listed_and_is_cancelled_meanwhile_is_answered_with_a_new_preview(clinic: Clinic) -> None:
    """Although the body still decides what happens to it. The same body with the new token is applied."""
    doctor = clinic.doctor()["id"]
    apply(clinic, addRules=[hours(doctor)])
    booking = clinic.hold(slots_of(clinic, doctor)[0]["id"], confirm=True)["id"]
    exceptions = [{"bookingId": booking, "decision": "CANCEL"}]
    change: dict[str, Any] = {"addClosures": [absence(doctor)], "exceptions": exceptions}
    token = preview(clinic, **change)["token"]
    clinic.http.delete(f"/api/bookings/{booking}", headers=clinic.admin)
    refused = problem(post(clinic, "apply", **change, token=token), 409)
    assert (refused["preview"]["bookings"], refused["differs"]["goneBookingIds"]) == ([], [booking])
    assert post(clinic, "apply", **change, token=refused["preview"]["token"]).status_code == 200


def test_an_exception_for_a_booking_that_the_change_does_not_concern_is_refused(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    apply(clinic, addRules=[hours(doctor)])
    booking = clinic.hold(slots_of(clinic, doctor)[0]["id"], confirm=True)["id"]
    other = clinic.hold(clinic.slot()["id"], confirm=True)["id"]
    change: dict[str, Any] = {"addClosures": [absence(doctor)]}
    token = preview(clinic, **change)["token"]
    change["exceptions"] = [{"bookingId": each, "decision": "CANCEL"} for each in (booking, other)]
    for refused in (
        post(clinic, "preview", **change),
        post(clinic, "apply", **change, token=token),
        post(clinic, "apply", **change, token="of no preview"),
    ):
        assert [fault["field"] for fault in problem(refused, 400)["errors"]] == ["exceptions[1].bookingId"]
    [_, foreign] = change["exceptions"]
    alone = post(clinic, "apply", **change | {"exceptions": [foreign]}, token=token)
    assert [fault["field"] for fault in problem(alone, 400)["errors"]] == ["exceptions[0].bookingId"]
    change["exceptions"].pop()
    assert apply(clinic, **change)["cancelledBookings"] == 1


def test_a_token_of_no_preview_has_nothing_to_differ_from(clinic: Clinic) -> None:
    change = {"addClosures": [absence(clinic.doctor()["id"])]}
    assert problem(post(clinic, "apply", **change, token="of no preview"), 409)["differs"] is None


def test_no_slot_is_opened_by_hand_while_the_doctor_is_away(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    start = f"{FIRST_DAY}T10:00:00Z"
    slot = clinic.slot(doctorId=doctor, startTime=start)
    apply(clinic, addClosures=[absence(doctor)])

    def reopen() -> httpx.Response:
        return clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "OPEN"}, headers=clinic.admin)

    new = {"doctorId": doctor, "startTime": f"{FIRST_DAY}T11:00:00Z"}
    many = {key: value for key, value in hours(doctor).items() if key != "weekdays"}
    for refused in (
        reopen(),
        clinic.http.post("/api/slots", json=new, headers=clinic.admin),
        clinic.http.post("/api/slots/batch", json=many, headers=clinic.admin),
    ):
        assert problem(refused, 409)["code"] == "time-closed"
    tried = clinic.http.post("/api/slots/batch", json=many | {"dryRun": True}, headers=clinic.admin).json()
    assert tried["created"] == []
    assert all(clash["closureId"] is not None and clash["overlaps"] is None for clash in tried["clashes"])


def open_hours(doctor_id: int, types: list[int], **fields: Any) -> dict[str, Any]:
    """Three hours of open time in the morning, on one day."""
    periods = [{"from": "09:00", "to": "12:00"}]
    return hours(doctor_id, kind="WINDOW", stepMinutes=15, visitTypeIds=types, periods=periods) | fields


def test_an_absence_tells_how_much_open_time_it_takes_and_gives_back(clinic: Clinic) -> None:
    doctor, types = clinic.doctor()["id"], [visit_type(clinic, 20)]
    apply(clinic, addRules=[open_hours(doctor, types)])
    morning, nothing = {"windows": 1, "days": 1, "minutes": 180}, {"windows": 0, "days": 0, "minutes": 0}
    seen = preview(clinic, addClosures=[absence(doctor)])
    assert (seen["go"], seen["openTimeClosed"], seen["openTimeInClosures"]) == (0, nothing, morning)
    done = apply(clinic, addClosures=[absence(doctor)])
    assert (done["openTimeInClosures"], done["openTimeReopened"]) == (morning, nothing)
    undone = apply(clinic, removeClosures=done["closureIds"])
    assert (undone["openTimeInClosures"], undone["openTimeReopened"]) == (nothing, morning)


def test_hours_can_be_open_time_for_visits_of_different_lengths(clinic: Clinic) -> None:
    doctor, types = clinic.doctor()["id"], [visit_type(clinic, minutes) for minutes in (20, 45)]
    seen = preview(clinic, addRules=[open_hours(doctor, types)])
    assert (seen["come"], seen["openTimeAdded"]) == (0, {"windows": 1, "days": 1, "minutes": 180})
    done = apply(clinic, addRules=[open_hours(doctor, types)])
    assert (done["openTimeAdded"]["windows"], slots_of(clinic, doctor)) == (1, [])
    [rule] = clinic.http.get(f"/api/doctors/{doctor}/rules", headers=clinic.admin).json()["items"]
    shown = {"kind": "WINDOW", "stepMinutes": 15, "durationMinutes": 180, "breakMinutes": 0, "totalSeats": 1}
    assert rule.items() >= shown.items()
    shorter = [{"id": rule["id"], "hours": {"from": "10:00", "to": "12:00"}}]
    done = apply(clinic, changeRules=shorter)
    assert (done["openTimeClosed"]["minutes"], done["openTimeAdded"]["minutes"]) == (180, 120)
    fixed = [{"id": rule["id"], "kind": "FIXED", "durationMinutes": 20, "visitTypeIds": types[:1]}]
    assert apply(clinic, changeRules=fixed)["come"] == 6
    again = [{"id": rule["id"], "kind": "WINDOW", "stepMinutes": 5}]
    done = apply(clinic, changeRules=again)
    assert (done["go"], done["openTimeAdded"]["minutes"]) == (6, 120)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stepMinutes": 4}, "stepMinutes"),
        ({"stepMinutes": 61}, "stepMinutes"),
        ({"stepMinutes": None}, "stepMinutes"),
        ({"durationMinutes": 30}, "durationMinutes"),
        ({"breakMinutes": 5}, "breakMinutes"),
        ({"totalSeats": 2}, "totalSeats"),
        ({"visitTypeIds": None}, "visitTypeIds"),
        ({"kind": "FIXED", "durationMinutes": 20}, "stepMinutes"),
        ({"kind": "window"}, "kind"),
    ],
)
def test_open_time_that_makes_no_sense_is_refused_by_the_name_of_the_field(
    clinic: Clinic, change: dict[str, Any], field: str
) -> None:
    doctor, types = clinic.doctor()["id"], [visit_type(clinic, 20)]
    refused = problem(post(clinic, "preview", addRules=[open_hours(doctor, types, **change)]), 400)
    assert [fault["field"] for fault in refused["errors"]] == [f"addRules[0].{field}"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"durationMinutes": 120}, "addRules[1].durationMinutes"),
        ({"lastDay": "2020-01-01"}, "addRules[1].lastDay"),
        ({"clinicId": 10**9}, "addRules[1].clinicId"),
        ({"weekdays": [8]}, "addRules[1].weekdays[0]"),
    ],
)
def test_the_field_that_is_wrong_is_named_as_the_body_names_it(
    clinic: Clinic, change: dict[str, Any], field: str
) -> None:
    doctor = clinic.doctor()["id"]
    refused = problem(post(clinic, "preview", addRules=[hours(doctor), hours(doctor, **change)]), 400)
    assert [fault["field"] for fault in refused["errors"]] == [field]


def test_what_does_not_exist_is_named(clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    for body, field in (
        ({"changeRules": [{"id": 10**9, "totalSeats": 2}]}, "changeRules[0].id"),
        ({"removeRules": [10**9]}, "removeRules[0]"),
        ({"removeClosures": [10**9]}, "removeClosures[0]"),
        ({"changeZones": [{"clinicId": 1, "timeZone": "Nowhere/Land"}]}, "changeZones[0].timeZone"),
        (
            {"addClosures": [absence(doctor, endTime=f"{FIRST_DAY - timedelta(days=9)}T00:00:00Z")]},
            "addClosures[0].endTime",
        ),
    ):
        refused = problem(post(clinic, "preview", **body), 400)
        assert [fault["field"] for fault in refused["errors"]] == [field], body
    missing = problem(post(clinic, "preview", addRules=[hours(10**9)]), 404)
    assert missing["code"] == "doctor-not-found"
