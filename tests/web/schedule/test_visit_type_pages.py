"""The pages on which admins keep the kinds of visits."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, rows
from tests.web.people import AccountVisitor, error_of, text_of

LIST = "/admin/visit-types"


@pytest.fixture
def admin(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        assert visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD).status_code == 303
        visitor.http.follow_redirects = True
        yield visitor


def new_type(admin: AccountVisitor, clinic: Clinic, name: str) -> int:
    """Adds it by the form, with only what is required; returns its id."""
    admin.open(f"{LIST}/new")
    page = admin.submit(f"{LIST}/new", name=name)
    assert f"{name} was added" in page.text
    listed = clinic.http.get("/api/visit-types", params={"limit": 500}, headers=clinic.admin).json()["items"]
    return int(max(one["id"] for one in listed if one["name"] == name))


def test_an_admin_adds_changes_and_stops_a_type(admin: AccountVisitor, clinic: Clinic) -> None:
    visit_type = new_type(admin, clinic, "Vaccination")
    path = f"{LIST}/{visit_type}"
    admin.open(path)
    admin.submit(path, minutes="20", min_notice="2", min_notice_unit="days", instructions="Bring your pass.")
    read = clinic.http.get(f"/api/visit-types/{visit_type}").json()
    assert (read["minutes"], read["minNoticeMinutes"], read["instructions"]) == (20, 2880, "Bring your pass.")
    page = admin.open(path)
    assert 'name="min_notice" type="number"' in page.text
    assert 'value="2"' in page.text
    admin.send(path, active="no", version=read_version(clinic, visit_type))
    assert "no longer offered" in admin.page.text
    assert not clinic.http.get(f"/api/visit-types/{visit_type}").json()["active"]


def test_another_length_of_a_type_that_hours_have_is_previewed_and_done(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    visit_type, doctor = new_type(admin, clinic, "Blood test"), clinic.doctor()["id"]
    day = datetime.now(UTC).date() + timedelta(days=3)
    hours = {
        "weekdays": day.isoweekday(), "from_1": "09:00", "to_1": "10:00", "first_day": day, "last_day": day,
        "slot_minutes": 30, "break_minutes": 0, "total_seats": 1, "every_weeks": 1, "visit_types": visit_type,
    }  # fmt: skip
    admin.send(f"/admin/doctors/{doctor}/hours/new", **hours)
    admin.submit("/admin/schedule")
    path = f"{LIST}/{visit_type}"
    admin.open(path)
    page = admin.submit(path, minutes="20", name="Blood")
    assert page.status_code == 400
    assert "Save the other changes first" in error_of(page, "minutes")
    admin.open(path)
    page = admin.submit(path, minutes="20")
    assert "3 times will be added" in text_of(page)
    assert clinic.http.get(path.replace("/admin", "/api")).json()["minutes"] == 30
    assert "Done." in admin.submit("/admin/schedule").text
    assert clinic.http.get(path.replace("/admin", "/api")).json()["minutes"] == 20
    starts = "SELECT count(*) FROM appointment_slots WHERE doctor_id = $1 AND status = 'OPEN'"
    assert rows(server.database_url, starts, doctor)[0][0] == 3


def test_types_of_the_same_hours_get_another_length_together(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    """The second shares hours with the first, and the third with the second. The fourth is alone."""
    bodies = [{"name": name, "minutes": 30} for name in ("Ear", "Nose", "Throat", "Knee")]
    made = [clinic.http.post("/api/visit-types", json=body, headers=clinic.admin) for body in bodies]
    types = [each.json()["id"] for each in made]
    add = """INSERT INTO schedule_rules
        (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, visit_type_ids)
        VALUES ($1, 1, current_date + 3, 1, $2, $2 + 60, 30, $3) RETURNING id"""
    doctor = clinic.doctor()["id"]
    for opens, together in ((540, types[:2]), (660, types[1:3]), (780, types[3:])):
        rows(server.database_url, add, doctor, opens, together)
    path = f"{LIST}/{types[0]}"
    admin.open(path)
    page = admin.submit(path, minutes="20")
    assert "Length of Ear, Nose and Throat, which have the same hours" in text_of(page)
    admin.submit("/admin/schedule")
    read = [clinic.http.get(f"/api/visit-types/{each}").json()["minutes"] for each in types]
    assert read == [20, 20, 20, 30]


def test_a_new_length_that_has_become_too_much_leads_back_to_its_form(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    visit_type, doctor = new_type(admin, clinic, "X-ray"), clinic.doctor()["id"]
    add = """INSERT INTO schedule_rules
        (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, visit_type_ids)
        SELECT $1::bigint, 1, current_date + 3, 1 + n % 7, 0, 1440, 30, ARRAY[$2::bigint]
        FROM generate_series(1, $3::integer) AS n RETURNING id"""
    rows(server.database_url, add, doctor, visit_type, 1)
    path = f"{LIST}/{visit_type}"
    admin.open(path)
    admin.submit(path, minutes="1")
    rows(server.database_url, add, doctor, visit_type, 20)
    back = admin.submit("/admin/schedule")
    assert (back.status_code, back.url.path) == (200, path)
    assert "can be changed at once" in text_of(back)
    assert "to the hours of a few doctors at a time" in text_of(back)
    assert admin.form(path)[1]["minutes"] == "1"


def read_version(clinic: Clinic, visit_type: int) -> str:
    return str(clinic.http.get(f"/api/visit-types/{visit_type}").headers["etag"]).strip('"')


def test_the_second_of_two_clerks_is_shown_what_the_first_changed_and_keeps_both(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    visit_type = new_type(admin, clinic, "Check-up")
    path = f"{LIST}/{visit_type}"
    with AccountVisitor(server) as second:
        second.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        second.open(path)
        admin.open(path)
        admin.submit(path, minutes="45")
        refused = second.submit(path, name="Long check-up")
        assert refused.status_code == 409
        assert "Length: was 30, is now 45" in text_of(refused)
        assert clinic.http.get(f"/api/visit-types/{visit_type}").json()["name"] == "Check-up"
        second.submit(path)
    read = clinic.http.get(f"/api/visit-types/{visit_type}").json()
    assert (read["name"], read["minutes"]) == ("Long check-up", 45)


def test_what_is_wrong_stands_at_its_field(admin: AccountVisitor) -> None:
    admin.open(f"{LIST}/new")
    page = admin.submit(f"{LIST}/new", name="", minutes="0", video_link="javascript:alert(1)")
    assert page.status_code == 400
    assert "whole number from 1 to 1440" in error_of(page, "minutes")
    page = admin.submit(f"{LIST}/new", name="", minutes="30", video_link="javascript:alert(1)")
    assert "must not be empty" in error_of(page, "name").lower()
    assert "link" in error_of(page, "video_link")
