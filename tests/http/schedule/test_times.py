"""Times over HTTP: what can be booked, in published slots and in open hours."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.clinic import Clinic, object_of, problem, rows, run_out
from tests.http.booking.test_offered_times import book
from tests.http.schedule.test_doctors import BAD_CURSORS
from tests.open_time import MORNING, OpenTime, open_time, visit_type

STARTS = "startTime"


@pytest.fixture
def morning(clinic: Clinic) -> OpenTime:
    """Three hours with steps of 30 minutes."""
    return open_time(clinic.server.database_url, step=30)


def find(clinic: Clinic, headers: dict[str, str] | None = None, **filters: Any) -> list[dict[str, Any]]:
    answer = clinic.http.get("/api/times", params=filters, headers=headers or {})
    items: list[dict[str, Any]] = object_of(answer)["items"]
    return items


def at(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


def starts(clinic: Clinic, morning: OpenTime, minutes: int, **filters: Any) -> list[int]:
    """In minutes after the window's beginning."""
    found = find(clinic, doctorId=morning.doctor_id, visitTypeId=morning.types[minutes], **filters)
    return [(datetime.fromisoformat(item[STARTS]) - morning.start) // timedelta(minutes=1) for item in found]


def test_a_time_in_open_hours_says_all_that_a_person_chooses_by(clinic: Clinic, morning: OpenTime) -> None:
    first = find(clinic, doctorId=morning.doctor_id, limit=1)[0]
    assert first == {
        "timeId": first["timeId"],
        "startTime": at(morning.start),
        "endTime": at(morning.start + timedelta(minutes=10)),
        "minutes": 10,
        "doctorId": morning.doctor_id,
        "doctorName": "Dr. Who",
        "specialization": None,
        "clinicId": 1,
        "visitTypeId": morning.types[10],
        "mode": "IN_PERSON",
        "availableSeats": 1,
        "slotId": None,
    }
    held = object_of(book(clinic, first["timeId"]))
    assert (held["slot"]["startTime"], held["slot"]["endTime"]) == (first["startTime"], first["endTime"])


def test_times_begin_on_steps_and_after_visits(clinic: Clinic, morning: OpenTime) -> None:
    assert starts(clinic, morning, 45) == [0, 30, 60, 90, 120]
    assert book(clinic, morning.offered(60, 20)).status_code == 201
    found = starts(clinic, morning, 45)
    assert 85 in found
    assert not {30, 60} & set(found)


def test_a_published_slot_is_a_time_of_each_of_its_types(clinic: Clinic) -> None:
    types = [visit_type(clinic.server.database_url, minutes, mode="VIDEO") for minutes in (10, 20)]
    slot = clinic.slot(seats=3, visitTypeIds=types)
    plain = clinic.slot(doctorId=slot["doctorId"], startTime=at(MORNING))
    found = find(clinic, doctorId=slot["doctorId"])
    seen = [
        (time["slotId"], time["visitTypeId"], time["mode"], time["minutes"], time["availableSeats"]) for time in found
    ]
    assert seen == [(slot["id"], each, "VIDEO", 30, 3) for each in types] + [(plain["id"], None, None, 30, 1)]
    booked = object_of(book(clinic, found[1]["timeId"], seatsBooked=2))
    assert (booked["slotId"], booked["visitTypeId"]) == (slot["id"], types[1])
    assert [time["slotId"] for time in find(clinic, doctorId=slot["doctorId"], seats=2)] == []
    assert object_of(book(clinic, found[2]["timeId"]))["slotId"] == plain["id"]


def test_several_seats_are_never_in_open_hours(clinic: Clinic, morning: OpenTime) -> None:
    assert starts(clinic, morning, 10)
    assert starts(clinic, morning, 10, seats=2) == []


def test_pages_follow_each_other_without_gap_or_repetition(clinic: Clinic) -> None:
    url = clinic.server.database_url
    doctor = clinic.doctor(specialization="Chronobiology")
    other = clinic.doctor(specialization="Chronobiology")
    morning = open_time(url, step=15, doctor_id=doctor["id"])
    open_time(url, types=morning.types, start=morning.start + timedelta(hours=4), minutes=60, doctor_id=doctor["id"])
    open_time(url, types=morning.types, step=20, doctor_id=other["id"])
    clinic.slot(
        doctorId=doctor["id"], startTime=at(morning.start + timedelta(hours=3)), visitTypeIds=[morning.types[20]]
    )
    whole = find(clinic, specialization="chronobiology", limit=200)
    places = [(time[STARTS], time["doctorId"], time["visitTypeId"]) for time in whole]
    assert places == sorted(set(places))
    assert {doctor["id"], other["id"]} == {time["doctorId"] for time in whole}
    for limit in (1, 7):
        pages, cursor = list[Any](), None
        while cursor is not None or not pages:
            page = object_of(
                clinic.http.get(
                    "/api/times",
                    params={"specialization": "Chronobiology", "limit": limit} | ({"cursor": cursor} if cursor else {}),
                )
            )
            assert len(page["items"]) <= limit
            pages += page["items"]
            cursor = page["nextCursor"]
        assert [(time[STARTS], time["doctorId"], time["visitTypeId"]) for time in pages] == places


def test_the_period_is_half_open(clinic: Clinic, morning: OpenTime) -> None:
    period = {"from": at(morning.start + timedelta(minutes=30)), "to": at(morning.start + timedelta(minutes=90))}
    assert starts(clinic, morning, 10, **period) == [30, 60]
    tomorrow = {"from": at(morning.start + timedelta(days=1))}
    assert starts(clinic, morning, 10, **tomorrow) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"minSeats": 1}, "minSeats"),
        ({"from": "2031-02-02T00:00:00Z", "to": "2031-02-01T00:00:00Z"}, "to"),
        ({"from": "2031-02-01T00:00:00Z", "to": "2031-04-05T00:00:01Z"}, "to"),
        ({"to": "2031-04-05T00:00:01Z"}, "to"),
        ({"from": "today"}, "from"),
        ({"limit": 201}, "limit"),
        ({"limit": 0}, "limit"),
        ({"seats": 0}, "seats"),
        ({"doctorId": 0}, "doctorId"),
        ({"clinicId": "one"}, "clinicId"),
        *(({"cursor": cursor}, "cursor") for cursor in BAD_CURSORS),
    ],
    ids=str,
)
def test_an_invalid_query_is_named(clinic: Clinic, query: dict[str, Any], field: str) -> None:
    problem(clinic.http.get("/api/times", params=query), 400, "invalid-input", field=field)


def test_62_days_are_not_too_many(clinic: Clinic) -> None:
    period: dict[str, Any] = {"from": "2031-02-01T00:00:00Z", "to": "2031-04-04T00:00:00Z"}
    assert find(clinic, doctorId=clinic.doctor()["id"], **period) == []


def test_a_closure_and_inactive_people_and_places_take_times_away(clinic: Clinic, morning: OpenTime) -> None:
    url = clinic.server.database_url
    rows(
        url,
        "INSERT INTO closures (doctor_id, start_time, end_time, kind) VALUES ($1, $2, $3, 'ABSENCE')",
        morning.doctor_id,
        morning.start,
        morning.start + timedelta(minutes=100),
    )
    assert starts(clinic, morning, 10)[0] == 100
    rows(url, "UPDATE doctors SET active = FALSE WHERE id = $1", morning.doctor_id)
    assert starts(clinic, morning, 10) == []


def test_an_overdue_hold_takes_no_time(unswept: Clinic) -> None:
    morning = open_time(unswept.server.database_url, step=30)
    held = object_of(book(unswept, morning.offered(0, 45)))
    assert 0 not in starts(unswept, morning, 45)
    run_out(unswept.server, held)
    assert starts(unswept, morning, 45)[0] == 0


def test_everybody_gets_what_they_can_book(clinic: Clinic, staff: dict[str, str]) -> None:
    url = clinic.server.database_url
    types = {
        10: visit_type(url, 10, bookable_by="STAFF"),
        20: visit_type(url, 20, bookable_by="ACCOUNTS"),
        45: visit_type(url, 45, patients="RETURNING"),
        50: visit_type(url, 50, patients="NEW", min_notice_minutes=60 * 24 * 60),
    }
    morning = open_time(url, types=types)
    seen = {
        who: {time["visitTypeId"] for time in find(clinic, headers, doctorId=morning.doctor_id, limit=200)}
        for who, headers in (("guest", {}), ("patient", clinic.patient()), ("staff", staff))
    }
    assert seen == {"guest": {types[45]}, "patient": {types[20]}, "staff": set(types.values())}


def test_a_list_has_an_etag_as_that_of_slots(clinic: Clinic, morning: OpenTime) -> None:
    wanted = {"doctorId": morning.doctor_id}
    # The ids change with the minute.
    for _ in range(2):
        first = clinic.http.get("/api/times", params=wanted)
        again = clinic.http.get("/api/times", params=wanted, headers={"If-None-Match": first.headers["etag"]})
        if again.status_code == 304:
            break
    assert (again.status_code, again.content) == (304, b"")
    assert book(clinic, morning.offered(0, 45)).status_code == 201
    changed = clinic.http.get("/api/times", params=wanted, headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
