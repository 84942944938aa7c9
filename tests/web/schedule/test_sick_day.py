"""A doctor is ill: the desk closes the day, cancels the appointments, and tells the patients."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from html import unescape
from typing import Any

import pytest

from slotwise.domain.preview_tokens import Seen, token_with
from tests.clinic import Clinic, RunningServer, plant_account, rows, unique_email
from tests.http.booking.test_offered_times import book
from tests.open_time import open_time, visit_type
from tests.web.people import AccountVisitor, text_of

DAY = datetime.now(UTC).date() + timedelta(days=6)
PASSWORD = "a fine staff password"


@pytest.fixture
def staff(server: RunningServer) -> Iterator[AccountVisitor]:
    email = unique_email()
    plant_account(server.database_url, email, "Stella Staff", "staff", PASSWORD)
    with AccountVisitor(server) as visitor:
        assert visitor.log_in(email, PASSWORD).status_code == 303
        visitor.http.follow_redirects = True
        yield visitor


def slot_at(clinic: Clinic, doctor: dict[str, Any], hour: int, minute: int = 0, days: int = 0) -> int:
    start = f"{DAY + timedelta(days=days)}T{hour:02}:{minute:02}:00Z"
    return int(clinic.slot(doctorId=doctor["id"], startTime=start, durationMinutes=10)["id"])


def test_ten_patients_of_a_sick_day_take_at_most_six_clicks(
    staff: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    """Each click is a link that is followed or a button that is pressed, from the doctor's week on."""
    ill, colleague = (clinic.doctor(name=name, specialization="Sickology") for name in ("Dr. Ill", "Dr. Well"))
    slots = [slot_at(clinic, ill, 9 + place // 5, place % 5 * 10) for place in range(10)]
    free = [slot_at(clinic, colleague, 12), slot_at(clinic, ill, 12, days=1), slot_at(clinic, ill, 15)]
    bookings = [clinic.hold(slot, confirm=True, userName=f"Sue Sick{slot}")["id"] for slot in slots]
    week = staff.open(f"/admin/doctors/{ill['id']}?week={DAY}")
    [away] = re.findall(rf'href="(/admin/closures/new\?where=doctor:{ill["id"]})"', week.text)
    form = staff.open(away)  # 1
    assert f'<option value="doctor:{ill["id"]}" selected>' in form.text
    where = f"doctor:{ill['id']}"
    shown = staff.submit("/admin/closures/new", where=where, first_day=DAY, message="The doctor is ill.")  # 2
    assert "10 booked appointments" in text_of(shown)
    assert all(f"Sue Sick{slot}" in shown.text for slot in slots)
    assert f"slot={free[0]}" in shown.text, "a colleague's time is offered"
    assert f"slot={free[1]}" in shown.text, "a later time of the doctor is offered"
    assert f"slot={free[2]}" not in shown.text, "a time that will be closed is not offered"
    listed = press(staff, shown.text)  # 3
    assert "10 of 10 patients still to tell" in text_of(listed)
    looks = "SELECT DISTINCT action FROM audit_log WHERE action = any($1) AND details->>'bookings' = '10'"
    found = rows(server.database_url, looks, ["preview_schedule", "list_patients_to_tell"])
    assert len(found) == 2, "both lists of names are noted"
    found = rows(
        server.database_url, "SELECT DISTINCT status, cancel_reason FROM bookings WHERE id = any($1)", bookings
    )
    assert [tuple(each) for each in found] == [("CANCELLED", "The doctor is ill.")]
    path = listed.url.path
    staff.page = tell(staff, path, bookings[:4])  # 4
    assert "6 of 10 patients still to tell" in text_of(staff.page)
    assert "by Stella Staff" in text_of(staff.page)
    staff.page = tell(staff, path, bookings)  # 5
    assert "All 10 are told" in text_of(staff.page)
    notes = "SELECT count(*) FROM audit_log WHERE action = 'note_patients_told' AND subject = any($1)"
    assert rows(server.database_url, notes, [f"booking:{each}" for each in bookings])[0][0] == 10, "each is noted once"
    page = clinic.http.get(f"/api/bookings/{bookings[0]}", headers=clinic.admin).json()
    assert page["status"] == "CANCELLED"


def test_a_sick_day_without_appointments_tells_the_open_time_that_nobody_can_book(
    staff: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    ill, types = clinic.doctor(name="Dr. Open"), [visit_type(server.database_url, 20)]
    hours = {"doctorId": ill["id"], "firstDay": f"{DAY}", "lastDay": f"{DAY}", "weekdays": [DAY.isoweekday()]}
    hours |= {"periods": [{"from": "09:00", "to": "12:00"}], "kind": "WINDOW", "stepMinutes": 15, "visitTypeIds": types}
    body: dict[str, Any] = {"addRules": [hours]}
    body["token"] = clinic.http.post("/api/schedule/preview", json=body, headers=clinic.admin).json()["token"]
    clinic.http.post("/api/schedule/apply", json=body, headers=clinic.admin)
    staff.open(f"/admin/closures/new?where=doctor:{ill['id']}")
    shown = staff.submit("/admin/closures/new", where=f"doctor:{ill['id']}", first_day=DAY)
    assert "3 hours of open time on 1 day will be closed." in text_of(shown)
    assert "No time will be added or taken away" not in text_of(shown)
    assert "3 hours of open time on 1 day closed." in text_of(press(staff, shown.text))


def test_a_patient_of_open_time_is_offered_times_of_both_kinds_for_the_same_visit(
    staff: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    ill, colleague = (clinic.doctor(name=name, specialization="Openology") for name in ("Dr. Ill", "Dr. Well"))
    begin = datetime.combine(DAY, time(8), UTC)
    types = {20: visit_type(server.database_url, 20, name="Check-up"), 45: visit_type(server.database_url, 45)}
    morning = open_time(server.database_url, types, begin, 120, 30, ill["id"])
    open_time(server.database_url, types, begin + timedelta(hours=6), 40, 60, colleague["id"])
    start = (begin + timedelta(hours=5)).isoformat()
    slot = clinic.slot(doctorId=colleague["id"], startTime=start, visitTypeIds=[types[20]])["id"]
    other = clinic.slot(doctorId=colleague["id"], startTime=f"{DAY}T12:00:00Z")["id"]
    assert book(clinic, morning.offered(0, 20), confirm=True, userName="Sue Sick").status_code == 201
    shown = staff.send("/admin/closures/new", where=f"doctor:{ill['id']}", first_day=DAY)
    listed = press(staff, shown.text)
    for page in (shown, listed):
        assert f"?slot={slot}&amp;visit={types[20]}" in page.text
        assert f"?slot={other}" not in page.text, "it is not for this kind of visit"
    time_link, *_ = re.findall(r'href="([^"]+[?]time=[^"]+)"', listed.text)
    staff.open(unescape(time_link))
    assert "Kind of visit: Check-up" in text_of(staff.page)
    assert "Dr. Well" in text_of(staff.page)
    booked = staff.submit("/admin/bookings/new", user_name="Sue Sick", user_email="sue@example.org")
    assert "Booked and confirmed" in booked.text


def press(staff: AccountVisitor, page: str) -> Any:
    """The button of the preview, with the ticks that it came with."""
    ticks = [("cancel", each) for each in re.findall(r'name="cancel" value="(\d+)" checked', page)]
    return send(staff, "/admin/schedule", [*fields_of(page), *ticks])


def fields_of(page: str) -> list[tuple[str, str]]:
    """The hidden ones of a preview, as far as it has them."""
    found = [(name, re.findall(rf'name="{name}" value="([^"]*)"', page)) for name in ("change", "token", "choices")]
    return [(name, values[0]) for name, values in found if values]


def tell(staff: AccountVisitor, path: str, bookings: list[int]) -> Any:
    return send(staff, path, [("told", str(each)) for each in bookings])


def send(staff: AccountVisitor, path: str, fields: list[tuple[str, str]]) -> Any:
    content = "&".join(f"{name}={value.replace(' ', '+')}" for name, value in fields)
    kind = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    return staff.http.post(path, content=content, headers=kind)


def test_an_unticked_patient_stays_booked_and_is_not_to_be_told(staff: AccountVisitor, clinic: Clinic) -> None:
    doctor = clinic.doctor()
    booking = clinic.hold(slot_at(clinic, doctor, 9), confirm=True)["id"]
    staff.send("/admin/closures/new", where=f"doctor:{doctor['id']}", first_day=DAY, reason="Half ill")
    [choices] = re.findall(r'name="choices" value="([^"]*)"', staff.page.text)
    [change] = re.findall(r'name="change" value="([^"]*)"', staff.page.text)
    [token] = re.findall(r'name="token" value="([^"]*)"', staff.page.text)
    staff.send("/admin/schedule", change=change, token=token, choices=choices)
    assert clinic.http.get(f"/api/bookings/{booking}", headers=clinic.admin).json()["status"] == "CONFIRMED"
    closures = clinic.http.get("/api/closures", headers=clinic.admin).json()["items"]
    closure_id = max(each["id"] for each in closures if each["reason"] == "Half ill")
    listed = staff.open(f"/admin/closures/{closure_id}/patients")
    assert "nobody to tell" in text_of(listed)


def test_a_refusal_marks_what_differs_from_what_the_clerk_saw(staff: AccountVisitor, clinic: Clinic) -> None:
    doctor = clinic.doctor()
    slots = [slot_at(clinic, doctor, hour) for hour in (9, 10, 11)]
    stays, goes = (
        clinic.hold(slot, confirm=True, userName=name)["id"]
        for slot, name in zip(slots[:2], ("Stay", "Go"), strict=True)
    )
    seen = staff.send("/admin/closures/new", where=f"doctor:{doctor['id']}", first_day=DAY)
    clinic.http.delete(f"/api/bookings/{goes}", headers=clinic.admin)
    clinic.hold(slots[2], confirm=True, userName="Nora New")
    slot_at(clinic, doctor, 12)
    refused = press(staff, seen.text)
    assert refused.status_code == 409
    told = text_of(refused)
    assert "4 times will be taken away (before: 3)." in told
    assert "0 times will stay." in told, "a count that is the same stands alone"
    assert "1 is new in this list." in told
    assert "Nora New New" in told
    assert "Stay New" not in told
    assert f'<a href="/admin/bookings/{goes}">Booking {goes}</a>' in refused.text
    assert "You saw this appointment before. This change no longer concerns it." in told
    assert "Only the counts" not in told
    assert press(staff, refused.text).status_code == 200
    cancelled = clinic.http.get(f"/api/bookings/{stays}", headers=clinic.admin).json()
    assert cancelled["status"] == "CANCELLED"


def test_a_refusal_after_too_many_appointments_says_that_only_counts_are_compared(
    staff: AccountVisitor, clinic: Clinic
) -> None:
    doctor = clinic.doctor()
    slot_at(clinic, doctor, 9)
    staff.send("/admin/closures/new", where=f"doctor:{doctor['id']}", first_day=DAY)
    refused = staff.submit("/admin/schedule", token=token_with("another digest", Seen(0, 3, 0, None)))
    assert refused.status_code == 409
    assert "Only the counts of times are compared." in text_of(refused)
    assert "1 time will be taken away (before: 3)." in text_of(refused)


def test_a_refusal_twice_in_a_row_still_leads_to_the_button(staff: AccountVisitor, clinic: Clinic) -> None:
    """Once because an appointment that was unticked is gone; once because the message is too long."""
    doctor = clinic.doctor()
    slots = [slot_at(clinic, doctor, hour) for hour in (9, 10)]
    first, second = (clinic.hold(slot, confirm=True)["id"] for slot in slots)
    seen = staff.send("/admin/closures/new", where=f"doctor:{doctor['id']}", first_day=DAY)
    clinic.http.delete(f"/api/bookings/{first}", headers=clinic.admin)
    unticked = seen.text.replace("checked", "")
    refused = press(staff, unticked)
    assert refused.status_code == 409
    clinic.http.delete(f"/api/bookings/{second}", headers=clinic.admin)
    again = send(staff, "/admin/schedule", [*fields_of(refused.text), ("message", "x" * 1001)])
    assert (again.status_code, "Message" in text_of(again)) == (400, True)
    assert press(staff, again.text).status_code == 200


def test_a_form_that_names_a_booking_of_no_preview_is_refused(staff: AccountVisitor, clinic: Clinic) -> None:
    doctor, other = clinic.doctor(), clinic.hold(clinic.slot()["id"], confirm=True)["id"]
    clinic.hold(slot_at(clinic, doctor, 9), confirm=True)
    seen = staff.send("/admin/closures/new", where=f"doctor:{doctor['id']}", first_day=DAY)
    change, token, _ = fields_of(seen.text)
    refused = send(staff, "/admin/schedule", [change, token, ("choices", str(other))])
    assert refused.status_code == 400
    assert "Bookings: is not a booking that this change concerns." in text_of(refused)
