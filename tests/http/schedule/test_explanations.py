"""Staff ask over HTTP why times are not offered."""

from datetime import timedelta
from typing import Any

import pytest

from tests.clinic import Clinic, object_of, problem, rows
from tests.http.booking.test_offered_times import book, offered_slot
from tests.http.schedule.test_times import at, find
from tests.open_time import OpenTime, open_time

PATH = "/api/times/explain"
Json = dict[str, Any]


@pytest.fixture
def morning(clinic: Clinic) -> OpenTime:
    """Three hours with steps of 15 minutes, and 5 minutes after each visit."""
    return open_time(clinic.server.database_url, step=15)


def explain(clinic: Clinic, staff: dict[str, str], **query: Any) -> Json:
    """Of the only doctor."""
    [doctor] = object_of(clinic.http.get(PATH, params=query, headers=staff))["items"]
    return dict(doctor)


def about(morning: OpenTime, minutes: int = 20) -> Json:
    return {"doctorId": morning.doctor_id, "visitTypeId": morning.types[minutes]}


def day_of(morning: OpenTime, doctor: Json) -> Json:
    [day] = [each for each in doctor["days"] if each["day"] == str(morning.start.date())]
    return dict(day)


def why_not(clinic: Clinic, staff: dict[str, str], morning: OpenTime, after: int, **query: Any) -> Json:
    time = at(morning.start + timedelta(minutes=after))
    return dict(explain(clinic, staff, **about(morning), time=time, **query)["time"])


def close(clinic: Clinic, morning: OpenTime, begin: int, end: int) -> int:
    [row] = rows(
        clinic.server.database_url,
        "INSERT INTO closures (doctor_id, start_time, end_time, kind) VALUES ($1, $2, $3, 'ABSENCE') RETURNING id",
        morning.doctor_id,
        morning.start + timedelta(minutes=begin),
        morning.start + timedelta(minutes=end),
    )
    return int(row["id"])


def test_the_desk_can_say_why_11_40_was_not_offered(clinic: Clinic, staff: dict[str, str], morning: OpenTime) -> None:
    """A clinic that takes no appointments, and at which the doctor has no hours, is no reason."""
    rows(clinic.server.database_url, "INSERT INTO clinics (name, time_zone, active) VALUES ('Gone', 'UTC', FALSE)")
    booked = object_of(book(clinic, morning.offered(130, 20), confirm=True))
    told = why_not(clinic, staff, morning, 160)
    [reason] = told["reasons"]
    assert (told["offered"], reason["cause"], reason["code"]) == (False, "NO_START", None)
    hours = (morning.start, morning.start + timedelta(minutes=180))
    assert (reason["startTime"], reason["endTime"], reason["stepMinutes"]) == (at(hours[0]), at(hours[1]), 15)
    assert reason["freeAgain"] == at(morning.start + timedelta(minutes=155))
    assert told["earlier"] == at(morning.start + timedelta(minutes=155))
    [taken] = why_not(clinic, staff, morning, 120)["reasons"]
    assert (taken["cause"], taken["code"], taken["slotId"]) == ("BOOKING", "slot-full", booked["slotId"])


def test_what_is_left_of_a_day_is_what_the_list_of_times_has(
    clinic: Clinic, staff: dict[str, str], morning: OpenTime
) -> None:
    closure_id = close(clinic, morning, 100, 130)
    slot_id = object_of(book(clinic, morning.offered(30, 20)))["slotId"]
    for headers, audience in ((staff, "DESK"), ({}, "PATIENTS")):
        listed = find(clinic, headers, **about(morning))
        day = day_of(morning, explain(clinic, staff, **about(morning), audience=audience))
        assert day["offered"] == len(listed)
        assert day["candidates"] == day["offered"] + sum(each["times"] for each in day["taken"])
        causes = {each["cause"]: each for each in day["taken"]}
        assert causes["CLOSURE"]["closureId"] == closure_id
        assert causes["CLOSURE"]["closureKind"] == "ABSENCE"
        assert causes["HOLD"]["slotId"] == slot_id
    quiet = rows(clinic.server.database_url, "SELECT count(*) AS names FROM audit_log WHERE action = 'explain_times'")
    assert quiet[0]["names"] == 0


def test_each_reason_has_the_code_that_a_hold_gets(clinic: Clinic, staff: dict[str, str], morning: OpenTime) -> None:
    url = clinic.server.database_url
    assert book(clinic, morning.offered(0, 20), confirm=True).status_code == 201
    close(clinic, morning, 60, 90)
    for after in (0, 60, 170):
        code = why_not(clinic, staff, morning, after)["reasons"][0]["code"]
        problem(book(clinic, morning.offered(after, 20)), 409, code)
    rows(url, "UPDATE visit_types SET min_notice_minutes = 60 * 24 * 60 WHERE id = $1", morning.types[20])
    reasons = why_not(clinic, staff, morning, 60, audience="PATIENTS")["reasons"]
    assert [reason["code"] for reason in reasons] == ["time-gone", "too-late-to-book"]
    problem(book(clinic, morning.offered(105, 20)), 409, "too-late-to-book")
    # The desk needs no notice.
    assert [each["cause"] for each in why_not(clinic, staff, morning, 60)["reasons"]] == ["CLOSURE"]


def test_a_published_slot_says_what_takes_its_seats(clinic: Clinic, staff: dict[str, str]) -> None:
    slot = clinic.slot(seats=1)
    query = {"doctorId": slot["doctorId"]}
    [day] = explain(clinic, staff, **query)["days"]
    assert (day["candidates"], day["offered"], day["taken"]) == (1, 1, [])
    held = clinic.hold(slot["id"])
    [day] = explain(clinic, staff, **query)["days"]
    assert [(each["cause"], each["slotId"]) for each in day["taken"]] == [("HOLD", slot["id"])]
    [reason] = explain(clinic, staff, **query, time=slot["startTime"])["time"]["reasons"]
    problem(book(clinic, offered_slot(slot)), 409, reason["code"])
    assert held["slotId"] == slot["id"]
    rows(clinic.server.database_url, "UPDATE appointment_slots SET status = 'CLOSED' WHERE id = $1", slot["id"])
    reasons = explain(clinic, staff, **query, time=slot["startTime"])["time"]["reasons"]
    assert [each["code"] for each in reasons] == ["slot-closed", "slot-full"]
    problem(book(clinic, offered_slot(slot)), 409, "slot-closed")


def test_doctors_of_a_clinic_come_in_pages(clinic: Clinic, staff: dict[str, str], morning: OpenTime) -> None:
    other = open_time(clinic.server.database_url, types=morning.types)
    query = {"clinicId": 1, "visitTypeId": morning.types[45], "limit": 1}
    first = object_of(clinic.http.get(PATH, params=query, headers=staff))
    second = object_of(clinic.http.get(PATH, params=query | {"cursor": first["nextCursor"]}, headers=staff))
    assert [each["doctorId"] for page in (first, second) for each in page["items"]] == sorted(
        [morning.doctor_id, other.doctor_id]
    )
    assert second["nextCursor"] is None


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"clinicId": 1, "seats": 2}, "seats"),
        ({"clinicId": 1, "from": "2031-02-01T00:00:00Z", "to": "2031-04-05T00:00:01Z"}, "to"),
        ({"clinicId": 1, "from": "2031-02-01T00:00:00Z", "time": "2031-02-01T00:00:00Z"}, "time"),
        ({"clinicId": 1, "time": "noon"}, "time"),
        ({"clinicId": 1, "audience": "DOCTORS"}, "audience"),
        ({"clinicId": 1, "limit": 21}, "limit"),
        ({"clinicId": 1, "cursor": "x"}, "cursor"),
    ],
    ids=str,
)
def test_an_invalid_query_is_named(clinic: Clinic, staff: dict[str, str], query: Json, field: str) -> None:
    problem(clinic.http.get(PATH, params=query, headers=staff), 400, "invalid-input", field=field)


def test_what_does_not_exist_is_named(clinic: Clinic, staff: dict[str, str]) -> None:
    missing = {"doctorId": {"doctorId": 2**62}, "visitTypeId": {"clinicId": 1, "visitTypeId": 2**62}}
    problem(clinic.http.get(PATH, params=missing["doctorId"], headers=staff), 404, "doctor-not-found")
    problem(clinic.http.get(PATH, params=missing["visitTypeId"], headers=staff), 404, "visit-type-not-found")


def test_times_at_the_ends_of_the_calendar_are_explained(
    clinic: Clinic, staff: dict[str, str], morning: OpenTime
) -> None:
    for time in ("0002-01-02T00:00:00Z", "9998-12-31T23:59:59Z"):
        assert explain(clinic, staff, **about(morning), time=time)["time"]["offered"] is False
        assert explain(clinic, staff, **about(morning), **{"from": time})["time"] is None
    period = {"from": "0002-01-02T00:00:00Z", "to": "0002-01-03T00:00:00Z"}
    assert explain(clinic, staff, **about(morning), **period)["days"] == []
