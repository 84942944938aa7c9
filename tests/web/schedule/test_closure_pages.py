"""The pages of holidays and absences."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, plant_account, unique_email
from tests.web.people import AccountVisitor, error_of, text_of

LIST = "/admin/closures"
DAY = datetime.now(UTC).date() + timedelta(days=5)
PASSWORD = "a fine staff password"


@pytest.fixture
def admin(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        assert visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD).status_code == 303
        visitor.http.follow_redirects = True
        yield visitor


@pytest.fixture
def staff(server: RunningServer) -> Iterator[AccountVisitor]:
    email = unique_email()
    plant_account(server.database_url, email, "Stan Staff", "staff", PASSWORD)
    with AccountVisitor(server) as visitor:
        assert visitor.log_in(email, PASSWORD).status_code == 303
        visitor.http.follow_redirects = True
        yield visitor


def slot_at(clinic: Clinic, doctor_id: int, day: date, hour: int) -> int:
    """By UTC, at an hour that is on the same day in each zone of Europe."""
    found = clinic.slot(doctorId=doctor_id, startTime=f"{day}T{hour:02}:00:00Z", durationMinutes=30)
    return int(found["id"])


def status_of(clinic: Clinic, slot_id: int) -> str:
    return str(clinic.http.get(f"/api/slots/{slot_id}", headers=clinic.admin).json()["status"])


def closure_of(clinic: Clinic, reason: str) -> int:
    found = clinic.http.get("/api/closures", headers=clinic.admin).json()["items"]
    return int(max(each["id"] for each in found if each["reason"] == reason))


def test_staff_enter_an_absence_and_undo_it(staff: AccountVisitor, clinic: Clinic) -> None:
    doctor_id = clinic.doctor(name="Dr. Ill")["id"]
    closed, other = slot_at(clinic, doctor_id, DAY, 10), slot_at(clinic, doctor_id, DAY + timedelta(days=2), 10)
    booking = clinic.hold(closed, confirm=True, userName="Hilda Hit")["id"]
    staff.open(f"{LIST}/new?where=doctor:{doctor_id}")
    fields = {"where": f"doctor:{doctor_id}", "first_day": DAY, "reason": "Flu of Dr. Ill", "message": "I am ill."}
    shown = staff.submit(f"{LIST}/new", **fields)
    assert "Hilda Hit" in text_of(shown)
    assert status_of(clinic, closed) == "OPEN", "a preview changes nothing"
    staff.submit("/admin/schedule", cancel=booking)
    assert "1 appointment was cancelled" in text_of(staff.page)
    assert (status_of(clinic, closed), status_of(clinic, other)) == ("CLOSED", "OPEN")
    assert "Flu of Dr. Ill" in text_of(staff.open(f"{LIST}?year={DAY.year}"))
    own = f"{LIST}/{closure_of(clinic, 'Flu of Dr. Ill')}"
    staff.open(own)
    staff.send(own, version=1, step="undo")
    staff.submit("/admin/schedule")
    assert status_of(clinic, closed) == "OPEN"


def test_a_half_day_closes_the_hours_that_it_says(admin: AccountVisitor, clinic: Clinic) -> None:
    doctor_id = clinic.doctor()["id"]
    early, late = slot_at(clinic, doctor_id, DAY, 5), slot_at(clinic, doctor_id, DAY, 19)
    half = {"where": f"doctor:{doctor_id}", "first_day": DAY, "start_time": "13:00", "reason": "Half day"}
    admin.send(f"{LIST}/new", **half)
    admin.submit("/admin/schedule")
    assert (status_of(clinic, early), status_of(clinic, late)) == ("OPEN", "CLOSED")
    page = admin.open(f"{LIST}/{closure_of(clinic, 'Half day')}").text
    assert 'value="13:00"' in page


def test_public_holidays_are_proposed_and_the_ticked_ones_close_the_clinic(
    admin: AccountVisitor, clinic: Clinic
) -> None:
    proposal = text_of(admin.open(f"{LIST}/public?country=DE&region=BE&year=2041"))
    assert "25 Dec 2041: Christmas Day" in proposal
    assert "8 Mar 2041: " in proposal, "a holiday of the region"
    shown = admin.send(f"{LIST}/public", country="DE", region="BE", year=2041, where="all", day="2041-12-25")
    assert shown.status_code == 200
    admin.submit("/admin/schedule")
    year = admin.open(f"{LIST}?year=2041")
    assert "Everybody" in text_of(year)
    assert '<td class="day-closed">25<span class="visually-hidden"> closed</span></td>' in year.text
    own = f"{LIST}/{closure_of(clinic, 'Christmas Day')}"
    admin.send(own, version=1, step="undo")
    admin.submit("/admin/schedule")
    assert "No holidays and no absences in 2041" in text_of(admin.open(f"{LIST}?year=2041"))


def test_staff_read_holidays_and_cannot_change_them(staff: AccountVisitor) -> None:
    refused = staff.send(f"{LIST}/new", where="all", first_day=DAY)
    assert refused.status_code == 403
    assert "Everybody" not in staff.open(f"{LIST}/new").text


def test_what_is_wrong_stands_at_its_field(admin: AccountVisitor, clinic: Clinic) -> None:
    where = f"doctor:{clinic.doctor()['id']}"
    admin.open(f"{LIST}/new")
    wrong = admin.submit(f"{LIST}/new", where=where, first_day="soon")
    assert wrong.status_code == 400
    assert "date" in error_of(wrong, "first_day")
    wrong = admin.submit(f"{LIST}/new", where=where, first_day=DAY, last_day=DAY - timedelta(days=1))
    assert "before the first day" in error_of(wrong, "last_day")
    wrong = admin.submit(f"{LIST}/new", where=where, first_day=DAY, last_day="", start_time="12:00", end_time="11:00")
    assert "after the beginning" in error_of(wrong, "end_time")


def test_the_second_of_two_clerks_is_shown_what_the_first_changed(admin: AccountVisitor, clinic: Clinic) -> None:
    where = f"doctor:{clinic.doctor()['id']}"
    admin.send(f"{LIST}/new", where=where, first_day=DAY, reason="Training of two clerks")
    admin.submit("/admin/schedule")
    own = f"{LIST}/{closure_of(clinic, 'Training of two clerks')}"
    admin.open(own)
    admin.submit(own, where=where, last_day=DAY + timedelta(days=1))
    admin.submit("/admin/schedule")
    refused = admin.send(own, version=1, where=where, first_day=DAY)
    assert refused.status_code == 409
    assert "Somebody else has changed this meanwhile" in text_of(refused)
    assert f'value="{DAY + timedelta(days=1)}"' in refused.text
