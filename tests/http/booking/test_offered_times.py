"""Booking by the id of a time that was offered: in open hours, and of published slots."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from slotwise.domain.offered_times import OfferedTime
from slotwise.services.core.seals import Seals
from tests.clinic import Clinic, holder, object_of, problem, rows
from tests.http.test_health import samples
from tests.open_time import OpenTime, open_time, time_ids_of, visit_type


@pytest.fixture
def morning(clinic: Clinic) -> OpenTime:
    return open_time(clinic.server.database_url)


def book(
    clinic: Clinic, time: OfferedTime | str, headers: dict[str, str] | None = None, **fields: Any
) -> httpx.Response:
    time_id = time if isinstance(time, str) else time_ids_of(clinic.server).id_of(time)
    body = {"timeId": time_id, "userName": "Ada Lovelace", "userEmail": "ada@example.org"} | fields
    return clinic.http.post("/api/bookings", json=body, headers=headers or {})


def offered_slot(slot: dict[str, Any], **more: Any) -> OfferedTime:
    start, end = (datetime.fromisoformat(slot[name]) for name in ("startTime", "endTime"))
    return OfferedTime(None, slot["id"], start, end, **{"visit_type_id": None, "issued_at": datetime.now(UTC)} | more)


def test_a_time_in_open_hours_is_held_and_confirmed_like_a_slot(clinic: Clinic, morning: OpenTime) -> None:
    held = object_of(book(clinic, morning.offered(10, 20), seatsBooked=1))
    assert (held["status"], held["seatsBooked"], held["visitTypeId"]) == ("PENDING", 1, morning.types[20])
    assert held["slot"]["startTime"] == (morning.start + timedelta(minutes=10)).isoformat().replace("+00:00", "Z")
    confirmed = clinic.http.post(f"/api/bookings/{held['id']}/confirm", headers=holder(held))
    assert object_of(confirmed)["status"] == "CONFIRMED"
    problem(book(clinic, morning.offered(25, 10)), 409, "slot-full")
    assert object_of(book(clinic, morning.offered(35, 10), confirm=True))["status"] == "CONFIRMED"


def test_a_carved_slot_is_read_by_its_id_but_neither_listed_nor_booked_by_it(clinic: Clinic, morning: OpenTime) -> None:
    held = object_of(book(clinic, morning.offered(0, 45)))
    slot_id = held["slotId"]
    assert clinic.http.delete(f"/api/bookings/{held['id']}", headers=holder(held)).status_code == 200
    slot = object_of(clinic.http.get(f"/api/slots/{slot_id}"))
    assert (slot["status"], slot["totalSeats"], slot["availableSeats"]) == ("OPEN", 1, 1)
    for query in ({"doctorId": morning.doctor_id}, {"visitTypeId": morning.types[45]}, {"limit": 500}):
        items = object_of(clinic.http.get("/api/slots", params=query))["items"]
        assert slot_id not in [item["id"] for item in items]
    problem(clinic.book(slot_id), 409, "slot-closed")
    problem(clinic.book(slot_id, visitTypeId=morning.types[45]), 409, "slot-closed")


def test_an_overdue_carved_slot_is_not_listed_either(unswept: Clinic) -> None:
    morning = open_time(unswept.server.database_url)
    held = object_of(book(unswept, morning.offered(0, 45)))
    rows(unswept.server.database_url, "UPDATE bookings SET expires_at = clock_timestamp() WHERE id = $1", held["id"])
    assert object_of(unswept.http.get("/api/slots", params={"doctorId": morning.doctor_id}))["items"] == []
    assert object_of(book(unswept, morning.offered(0, 45)))["slotId"] == held["slotId"]


def test_a_published_slot_is_booked_by_the_id_of_its_time(clinic: Clinic) -> None:
    slot = clinic.slot(seats=3)
    booked = object_of(book(clinic, offered_slot(slot), seatsBooked=2, confirm=True))
    assert (booked["slotId"], booked["seatsBooked"], booked["visitTypeId"]) == (slot["id"], 2, None)
    told = problem(book(clinic, offered_slot(slot), seatsBooked=2), 409, "slot-full")
    assert told["availableSeats"] == 1


def test_the_visit_type_is_in_the_id(clinic: Clinic, morning: OpenTime) -> None:
    type_id = visit_type(clinic.server.database_url, 30, max_live_per_patient=1)
    slots = [clinic.slot(visitTypeIds=[type_id, morning.types[20]]) for _ in range(2)]
    times = [offered_slot(slot, visit_type_id=type_id) for slot in slots]
    problem(book(clinic, times[0], visitTypeId=morning.types[20]), 400, field="visitTypeId")
    assert object_of(book(clinic, times[0], visitTypeId=type_id, confirm=True))["visitTypeId"] == type_id
    problem(book(clinic, times[1]), 409, "booking-limit-reached")
    problem(book(clinic, morning.offered(0, 20), visitTypeId=type_id), 400, field="visitTypeId")


def test_a_slot_that_was_moved_is_not_the_time_that_was_offered(clinic: Clinic) -> None:
    slot = clinic.slot()
    time = offered_slot(slot)
    later = (time.start_time + timedelta(hours=1)).isoformat()
    moved = clinic.http.patch(f"/api/slots/{slot['id']}", json={"startTime": later}, headers=clinic.admin)
    assert moved.status_code == 200
    problem(book(clinic, time), 409, "time-gone")
    assert clinic.free_seats(slot["id"]) == 1


@pytest.mark.parametrize("sent", [{}, {"slotId": 1, "timeId": "x"}, {"userName": "x"}], ids=str)
def test_a_booking_names_either_a_slot_or_a_time(clinic: Clinic, sent: dict[str, Any]) -> None:
    told = problem(clinic.http.post("/api/bookings", json=sent), 400, "invalid-input", field="slotId")
    assert [fault["field"] for fault in told["errors"]] == ["slotId", "timeId"]


def test_a_forged_or_garbled_id_is_invalid(clinic: Clinic, morning: OpenTime) -> None:
    good = time_ids_of(clinic.server).id_of(morning.offered(0, 10))
    other_purpose = Seals(_secret(clinic)).seal(b"anything")
    foreign = Seals("another secret", b"slotwise time id").seal(b"anything")
    flipped = ("B" if good[0] != "B" else "C") + good[1:]
    for forged in (
        "",
        ".",
        "x",
        good[:-1],
        good + "0",
        flipped,
        good.replace(".", ""),
        other_purpose,
        foreign,
        "ß." + "0" * 64,
    ):
        problem(book(clinic, forged), 400, "invalid-input", field="timeId")
    problem(book(clinic, good, seatsBooked=2), 400, "invalid-input", field="seatsBooked")
    assert book(clinic, good).status_code == 201


def _secret(clinic: Clinic) -> str:
    return (clinic.server.log.parent / "data" / "jwt_secret").read_text().strip()


def test_an_id_is_good_for_24_hours(clinic: Clinic, morning: OpenTime) -> None:
    now = datetime.now(UTC)
    old = morning.offered(0, 10, issued_at=now - timedelta(hours=24))
    slot = clinic.slot()
    problem(book(clinic, old), 409, "time-gone")
    problem(book(clinic, offered_slot(slot, issued_at=now - timedelta(hours=24))), 409, "time-gone")
    assert book(clinic, morning.offered(0, 10, issued_at=now - timedelta(hours=23, minutes=59))).status_code == 201


def test_a_time_whose_window_is_gone_is_gone(clinic: Clinic, morning: OpenTime) -> None:
    rows(clinic.server.database_url, "UPDATE windows SET status = 'CLOSED' WHERE id = $1", morning.window_id)
    problem(book(clinic, morning.offered(0, 10)), 409, "time-gone")


def test_a_time_whose_rule_has_changed_is_gone(clinic: Clinic) -> None:
    """Each of those that were listed, also where the new hours have the same one: it has another id."""
    hours = window_rule(clinic, "09:00")
    [rule] = object_of(apply(clinic, {"addRules": [hours]}))["ruleIds"]
    before = listed(clinic, hours)
    object_of(apply(clinic, {"changeRules": [{"id": rule, "hours": {"from": "10:00", "to": "12:00"}}]}))
    after = listed(clinic, hours)
    assert before
    assert {time["startTime"] for time in after} < {time["startTime"] for time in before}
    for time in before:
        problem(book(clinic, time["timeId"]), 409, "time-gone")
    for time in after:
        held = object_of(book(clinic, time["timeId"]))
        assert held["slot"]["startTime"] == time["startTime"]
        assert clinic.http.delete(f"/api/bookings/{held['id']}", headers=holder(held)).status_code == 200


def window_rule(clinic: Clinic, opens: str) -> dict[str, Any]:
    """Open time of a new doctor on one day, until noon."""
    doctor = object_of(clinic.http.post("/api/doctors", json={"name": "Dr. Who"}, headers=clinic.admin))["id"]
    day = (datetime.now(UTC) + timedelta(days=10)).date()
    return {
        "doctorId": doctor, "firstDay": day.isoformat(), "lastDay": day.isoformat(), "weekdays": [day.isoweekday()],
        "periods": [{"from": opens, "to": "12:00"}], "kind": "WINDOW", "stepMinutes": 30,
        "visitTypeIds": [visit_type(clinic.server.database_url, 30, buffer_minutes=0)],
    }  # fmt: skip


def apply(clinic: Clinic, change: dict[str, Any]) -> httpx.Response:
    seen = object_of(clinic.http.post("/api/schedule/preview", json=change, headers=clinic.admin))
    body = change | {"token": seen["token"]}
    return clinic.http.post("/api/schedule/apply", json=body, headers=clinic.admin)


def listed(clinic: Clinic, hours: dict[str, Any]) -> list[dict[str, Any]]:
    asked = {"doctorId": hours["doctorId"], "limit": 200}
    return list(object_of(clinic.http.get("/api/times", params=asked))["items"])


def test_a_repeated_request_gets_its_answer_even_if_its_window_is_gone(clinic: Clinic, morning: OpenTime) -> None:
    key = {"Idempotency-Key": f"the-key-of-window-{morning.window_id}"}
    time_id = time_ids_of(clinic.server).id_of(morning.offered(0, 10))
    first = book(clinic, time_id, key)
    assert first.status_code == 201
    rows(clinic.server.database_url, "UPDATE windows SET status = 'CLOSED' WHERE id = $1", morning.window_id)
    again = book(clinic, time_id, key)
    assert (again.status_code, again.content) == (201, first.content)
    problem(book(clinic, morning.offered(20, 10), key), 422, "idempotency-key-reused")


def test_a_refusal_that_the_search_could_have_known_is_counted(clinic: Clinic, morning: OpenTime) -> None:
    def counted() -> float:
        return samples(clinic).get(("slotwise_offered_times_refused_total", "time-gone"), 0)

    before = counted()
    problem(book(clinic, morning.offered(1, 20, issued_at=datetime.now(UTC) - timedelta(hours=25))), 409, "time-gone")
    assert book(clinic, morning.offered(0, 45)).status_code == 201
    problem(book(clinic, morning.offered(0, 20)), 409, "slot-full")
    assert counted() == before
    problem(book(clinic, morning.offered(170, 20)), 409, "time-gone")
    assert counted() == before + 1


def test_the_desk_books_offered_times_too(clinic: Clinic, staff: dict[str, str], morning: OpenTime) -> None:
    held = object_of(book(clinic, morning.offered(0, 10, for_desk=True), staff))
    noted = "SELECT 1 FROM audit_log WHERE action = 'hold_seats' AND subject = $1"
    assert len(rows(clinic.server.database_url, noted, f"booking:{held['id']}")) == 1
