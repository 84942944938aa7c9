"""Hours, absences and weeks where a clinic is in UTC and another in Auckland, 12 or 13 hours ahead of it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, plant_account, rows, unique_email
from tests.conftest import fresh_database, running_server
from tests.http.schedule.test_schedules import apply
from tests.http.schedule.test_visit_types import new_type
from tests.web.people import text_of
from tests.web.visiting import Visitor

AUCKLAND = ZoneInfo("Pacific/Auckland")
PASSWORD = "a password of Sam's"
NEW = "/admin/closures/new"
# Far enough away that the time of the day does not matter, in both zones.
SOON = datetime.now(UTC).date() + timedelta(days=10)
MONDAY = SOON + timedelta(days=-SOON.weekday() % 7)
# As the form of hours has them.
HOURS: dict[str, object] = {
    "weekdays": 1, "from_1": "09:00", "to_1": "10:00", "first_day": MONDAY, "last_day": MONDAY,
    "slot_minutes": 30, "break_minutes": 0, "total_seats": 1, "every_weeks": 1,
}  # fmt: skip


class Two(NamedTuple):
    """Clinic 1 is in UTC, `east` in Auckland."""

    clinic: Clinic
    east: int


@pytest.fixture(scope="module")
def two(postgres_url: str, migrated_template: str) -> Iterator[Two]:
    settings = {"CLINIC_NAME": "West", "CLINIC_TIME_ZONE": "UTC"}
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, settings) as server,
        Clinic(server) as clinic,
    ):
        yield Two(clinic, new_clinic(clinic, "East")["id"])


def new_clinic(clinic: Clinic, name: str) -> dict[str, Any]:
    given = {"name": name, "timeZone": AUCKLAND.key}
    made: dict[str, Any] = clinic.http.post("/api/clinics", json=given, headers=clinic.admin).json()
    return made


@pytest.fixture
def admin(two: Two) -> Iterator[Visitor]:
    with Visitor(two.clinic.server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


@pytest.fixture
def easterner(two: Two, admin: Visitor) -> Iterator[Visitor]:
    """A receptionist of the clinic in the east only."""
    email = unique_email()
    url = two.clinic.server.database_url
    plant_account(url, email, "Sam Staff", "staff", PASSWORD)
    [account] = rows(url, "SELECT id FROM users WHERE email = $1", email)
    admin.send(f"/admin/users/{account['id']}/clinics", clinics=two.east)
    assert "works for the clinics that you chose" in admin.page.text
    with Visitor(two.clinic.server) as visitor:
        visitor.send("/log-in", email=email, password=PASSWORD)
        yield visitor


def at(day: date, hour: int, zone: ZoneInfo = AUCKLAND) -> str:
    return datetime.combine(day, time(hour), zone).isoformat()


def closures(two: Two, reason: str) -> list[tuple[int | None, int | None, datetime, datetime]]:
    """Doctor, clinic, start and end of those in force."""
    query = "SELECT doctor_id, clinic_id, start_time, end_time FROM closures WHERE reason = $1 AND removed_at IS NULL"
    return [tuple(row) for row in rows(two.clinic.server.database_url, query, reason)]


def close(two: Two, reason: str, start: str, end: str, **more: object) -> str:
    """Adds a closure; returns the path of its page."""
    given = {"startTime": start, "endTime": end, "reason": reason}
    return f"/admin/closures/{apply(two.clinic, addClosures=[given | more])['closureIds'][0]}"


def hours(two: Two, doctor_id: int, **more: object) -> str:
    """Adds a rule of one day from 09:00 to 10:00; returns the path of its page."""
    given = {"doctorId": doctor_id, "firstDay": str(MONDAY), "lastDay": str(MONDAY), "weekdays": [1]}
    done = apply(two.clinic, addRules=[given | {"periods": [{"from": "09:00", "to": "10:00"}]} | more])
    return f"/admin/doctors/{doctor_id}/hours/{done['ruleIds'][0]}"


# A doctor's week.


def test_a_week_has_the_times_of_each_clinic_on_the_days_of_its_own_clock(two: Two, admin: Visitor) -> None:
    doctor = two.clinic.doctor()["id"]
    for clinic_id, zone in ((two.east, AUCKLAND), (1, ZoneInfo("UTC"))):
        days = [(MONDAY, 5), (MONDAY + timedelta(days=6), 22), (MONDAY + timedelta(days=7), 5)]
        first, last, next_week = (
            two.clinic.slot(doctorId=doctor, startTime=at(day, hour, zone), clinicId=clinic_id)["id"]
            for day, hour in days
        )
        week = week_of(admin, doctor, MONDAY).split('<li class="day')[1:]
        assert [place for place, day in enumerate(week) if f"/admin/slots/{first}" in day] == [0]
        assert [place for place, day in enumerate(week) if f"/admin/slots/{last}" in day] == [6]
        assert not any(f"/admin/slots/{next_week}" in day for day in week)
        assert f"/admin/slots/{next_week}" in week_of(admin, doctor, MONDAY + timedelta(days=7))
        assert f"/admin/slots/{last}" not in admin.page.text


def week_of(admin: Visitor, doctor_id: int, monday: date) -> str:
    return admin.open(f"/admin/doctors/{doctor_id}?week={monday}").text


def test_a_week_whose_neighbours_have_times_is_empty(two: Two, admin: Visitor) -> None:
    doctor = two.clinic.doctor()["id"]
    two.clinic.slot(doctorId=doctor, startTime=at(MONDAY, 5), clinicId=two.east)
    page = week_of(admin, doctor, MONDAY - timedelta(days=7))
    assert "/admin/slots/" not in page.partition("<main")[2].replace("/slots/new", "")
    assert '<ol class="week">' not in page


# Weekly hours.


def test_times_that_the_clocks_moved_are_in_the_zone_of_their_clinic(two: Two, admin: Visitor) -> None:
    doctor = two.clinic.doctor()["id"]
    path = hours(two, doctor, clinicId=two.east).rpartition("/")[0]
    url = two.clinic.server.database_url
    rows(url, "UPDATE rule_runs SET tzdata = '1999a' WHERE rule_id IN (SELECT max(id) FROM schedule_rules)")
    moved = "UPDATE appointment_slots SET start_time = start_time - interval '1 hour', end_time = end_time - $2"
    rows(url, f"{moved}::interval WHERE doctor_id = $1", doctor, timedelta(hours=1))
    shown = text_of(admin.open(path))
    assert "no longer at the hour" in shown
    assert ", 08:00 , should be" in shown
    assert ", 09:00" in shown.partition("should be")[2][:30]


def test_a_rule_keeps_the_types_that_are_no_longer_offered(two: Two, admin: Visitor) -> None:
    kind, other = (new_type(two.clinic, name=name)["id"] for name in ("Retired", "Never chosen"))
    path = f"/admin/doctors/{two.clinic.doctor()['id']}/hours"
    admin.send(f"{path}/new", **HOURS, visit_types=kind)
    admin.submit("/admin/schedule")
    [rule] = rules_of(two, path)
    own = f"{path}/{rule['id']}"
    for each in (kind, other):
        stop = {"active": False}
        headers = {**two.clinic.admin, "If-Match": "*"}
        assert two.clinic.http.patch(f"/api/visit-types/{each}", json=stop, headers=headers).status_code == 200
    page = admin.open(own).text
    assert f'name="visit_types" value="{kind}" checked' in page
    assert "Never chosen" not in page
    admin.submit(own, weekdays=1, visit_types=kind, to_1="11:00")
    assert admin.page.status_code == 200, text_of(admin.page)
    admin.submit("/admin/schedule")
    assert [rule["to"] for rule in rules_of(two, path)] == ["11:00"]
    assert f'name="visit_types" value="{kind}" checked' in admin.open(own).text


def rules_of(two: Two, path: str) -> list[dict[str, Any]]:
    found = two.clinic.http.get(f"/api/doctors/{path.split('/')[3]}/rules", headers=two.clinic.admin)
    listed: list[dict[str, Any]] = found.json()["items"]
    return listed


def test_hours_are_offered_where_the_doctor_works_and_the_clinic_is_active(two: Two, admin: Visitor) -> None:
    closed = new_clinic(two.clinic, "Former")["id"]
    doctor = two.clinic.doctor()["id"]
    own = hours(two, doctor, clinicId=1)
    admin.send(f"/admin/clinics/{closed}/active", active="no")
    assert offered(admin, own) == [1, two.east]
    admin.send(f"/admin/doctors/{doctor}/clinics", clinics=two.east)
    new = own.rpartition("/")[0] + "/new"
    assert offered(admin, new) == [], "there is no choice"
    assert offered(admin, own) == [1, two.east], "the rule's own and the doctor's"
    fields = HOURS | {"from_1": "14:00", "to_1": "15:00"}
    assert admin.send(new, **fields, clinic=closed).status_code == 400
    assert admin.send(new, **fields).status_code == 200
    admin.submit("/admin/schedule")
    assert {rule["clinicId"] for rule in rules_of(two, new) if rule["from"] == "14:00"} == {two.east}


def offered(admin: Visitor, path: str) -> list[int]:
    choice = admin.open(path).text.partition('<select id="clinic"')[2].partition("</select>")[0]
    return [int(part.partition('"')[0]) for part in choice.split('<option value="')[1:]]


# Holidays and absences.


def test_an_absence_at_one_clinic_stays_there_by_its_clock(two: Two, admin: Visitor) -> None:
    doctor = two.clinic.doctor(name="Dr. Away")["id"]
    own = close(two, "One of two", at(MONDAY, 13), at(MONDAY, 15), doctorId=doctor, clinicId=two.east)
    page = admin.open(own).text
    assert 'value="13:00"' in page
    assert f'<option value="doctor:{doctor}" selected>Dr. Away, East</option>' in page
    admin.submit(own, where=f"doctor:{doctor}", end_time="16:00")
    admin.submit("/admin/schedule")
    [found] = closures(two, "One of two")
    assert found == (doctor, two.east, *map(datetime.fromisoformat, (at(MONDAY, 13), at(MONDAY, 16))))


def test_to_change_a_day_of_everybody_adds_no_other(two: Two, admin: Visitor) -> None:
    day = MONDAY + timedelta(days=400)
    utc = ZoneInfo("UTC")
    own = close(two, "Everybody's", at(day, 0, utc), at(day + timedelta(days=1), 0, utc))
    admin.open(own)
    admin.submit(own, where="all", last_day=day + timedelta(days=1))
    admin.submit("/admin/schedule")
    [found] = closures(two, "Everybody's")
    assert found == (None, None, *map(datetime.fromisoformat, (at(day, 0, utc), at(day + timedelta(days=2), 0, utc))))


@pytest.mark.parametrize(("days", "places"), [(420, ("East",)), (430, ("West", "East"))])
def test_a_holiday_of_all_leads_to_the_patients_to_tell_of_the_clinic_that_has_some(
    two: Two, admin: Visitor, days: int, places: tuple[str, ...]
) -> None:
    """It is a closure of each clinic. If several have patients to tell, the list of closures leads to each."""
    day, ids = MONDAY + timedelta(days=days), {"West": 1, "East": two.east}
    slots = [two.clinic.slot(clinicId=ids[place], startTime=at(day, 13))["id"] for place in places]
    bookings = [two.clinic.hold(slot, confirm=True)["id"] for slot in slots]
    admin.send(NEW, where="all", first_day=day, reason=f"Holiday {days}")
    action, fields = admin.form("/admin/schedule")
    sent: dict[str, Any] = {**fields, "cancel": [str(each) for each in bookings]}
    done = admin.http.post(action, data=sent, headers={"Sec-Fetch-Site": "same-origin", "Accept": "text/html"})
    query = "SELECT id FROM closures WHERE reason = $1 AND clinic_id = $2"
    [[east]] = rows(two.clinic.server.database_url, query, f"Holiday {days}", two.east)
    if len(places) > 1:
        assert done.url.path.rstrip("/") == "/admin/closures"
    else:
        assert done.url.path == f"/admin/closures/{east}/patients"
        assert "Ada Lovelace ada@example.org cancelled" in text_of(done)


def test_a_closure_of_a_clinic_that_stopped_is_still_of_that_clinic(two: Two, admin: Visitor) -> None:
    former = new_clinic(two.clinic, "Stopped")["id"]
    day = MONDAY + timedelta(days=410)
    own = close(two, "Of the stopped", at(day, 0), at(day + timedelta(days=1), 0), clinicId=former)
    admin.send(f"/admin/clinics/{former}/active", active="no")
    assert f'<option value="clinic:{former}" selected>' in admin.open(own).text


def test_staff_of_one_clinic_enter_an_absence_there(two: Two, easterner: Visitor) -> None:
    doctor = two.clinic.doctor()["id"]
    easterner.send("/admin/closures/new", where=f"doctor:{doctor}", first_day=MONDAY, reason="Flu in the east")
    assert easterner.page.status_code == 200, text_of(easterner.page)
    easterner.submit("/admin/schedule")
    begin, end = (datetime.fromisoformat(at(MONDAY + timedelta(days=days), 0)) for days in (0, 1))
    assert closures(two, "Flu in the east") == [(doctor, two.east, begin, end)]


def test_staff_of_one_clinic_do_not_read_why_doctors_are_away_elsewhere(
    two: Two, easterner: Visitor, admin: Visitor
) -> None:
    """The admin is the negative control."""
    staff = {"Authorization": f"Bearer {easterner.http.cookies['slotwise-session']}"}
    works_here, works_everywhere = two.clinic.doctor()["id"], two.clinic.doctor()["id"]
    admin.send(f"/admin/doctors/{works_here}/clinics", clinics=1)
    day = MONDAY + timedelta(days=1)
    for reason, more, is_shown in (
        ("Secret at clinic one", {"doctorId": works_everywhere, "clinicId": 1}, False),
        ("Secret of another doctor", {"doctorId": works_here}, False),
        ("Known at the own clinic", {"doctorId": works_everywhere, "clinicId": two.east}, True),
        ("Known of an own doctor", {"doctorId": works_everywhere}, True),
        ("Known holiday", {"clinicId": 1}, True),
    ):
        own = close(two, reason, at(day, 9), at(day, 10), **more)
        for path in (own, f"/admin/closures?year={day.year}"):
            assert reason in admin.open(path).text
            assert (reason in easterner.open(path).text) is is_shown, (path, reason)
            assert easterner.page.status_code == 200
        for headers, shown in ((two.clinic.admin, True), (staff, is_shown)):
            listed = two.clinic.http.get("/api/closures", headers=headers)
            assert (listed.status_code, reason in listed.text) == (200, shown), reason


def test_staff_of_one_clinic_choose_among_the_doctors_who_come_there(
    two: Two, easterner: Visitor, admin: Visitor
) -> None:
    """Also one who comes no longer and still has times there. The admin is the negative control."""
    elsewhere, once_here, of_all = (two.clinic.doctor()["id"] for _ in range(3))
    two.clinic.slot(doctorId=once_here, startTime=at(MONDAY, 9), clinicId=two.east)
    for doctor in (elsewhere, once_here):
        admin.send(f"/admin/doctors/{doctor}/clinics", clinics=1)
    offered = {
        who: {doctor for doctor in (elsewhere, once_here, of_all) if f'"doctor:{doctor}"' in page.text}
        for who, page in (("admin", admin.open(NEW)), ("staff", easterner.open(NEW)))
    }
    assert offered == {"admin": {elsewhere, once_here, of_all}, "staff": {once_here, of_all}}
    easterner.send(NEW, where=f"doctor:{elsewhere}", first_day=MONDAY, reason="Of no concern")
    assert easterner.page.status_code == 400
    away = close(two, "Moved away since", at(MONDAY, 9), at(MONDAY, 10), doctorId=of_all, clinicId=two.east)
    admin.send(f"/admin/doctors/{of_all}/clinics", clinics=1)
    assert f'"doctor:{of_all}"' in easterner.open(away).text
    easterner.submit(away, where=f"doctor:{of_all}", reason="Still away")
    assert easterner.page.status_code == 200


# Numbers that no page sends.


def test_numbers_of_thousands_of_digits_are_nobody(two: Two, admin: Visitor) -> None:
    doctor, many = two.clinic.doctor()["id"], "9" * 5_000
    admin.send("/admin/closures/new", where=f"doctor:{doctor}", first_day=MONDAY, reason="Of many digits")
    answer = admin.submit("/admin/schedule", choices=many, cancel=many)
    assert answer.status_code == 200
    [row] = rows(two.clinic.server.database_url, "SELECT max(id) AS id FROM closures WHERE reason = 'Of many digits'")
    told = admin.send(f"/admin/closures/{row['id']}/patients", told=many)
    assert "Nobody was ticked" in text_of(told)
