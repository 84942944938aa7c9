"""Two clinics in two zones: where patients come, what the desk sees, and who of the desk sees it."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest

from tests.clinic import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    PATIENCE_SECONDS,
    Clinic,
    holder,
    in_hours,
    problem,
    rows,
    unique_email,
)
from tests.conftest import fresh_database, running_server
from tests.web.visiting import Visitor

BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")
PASSWORD = "a password of Sam's"


class Two(NamedTuple):
    """Clinic 1 is in Berlin, `east` in Tokyo. Each has a time, of one doctor, with a booking."""

    clinic: Clinic
    east: int
    doctor: int
    here: dict[str, Any]
    there: dict[str, Any]
    booked_here: dict[str, Any]
    booked_there: dict[str, Any]


@pytest.fixture(scope="module")
def two(postgres_url: str, migrated_template: str) -> Iterator[Two]:
    settings = {"CLINIC_NAME": "West", "CLINIC_TIME_ZONE": "Europe/Berlin", "HOLD_SECONDS": "3600"}
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, settings) as server,
        Clinic(server) as clinic,
    ):
        given = {"name": "East", "timeZone": "Asia/Tokyo", "address": "1 Ginza", "telephone": "+81 3 1234 5678"}
        east = clinic.http.post("/api/clinics", json=given, headers=clinic.admin).json()["id"]
        doctor = clinic.doctor(name="Dr. Who")["id"]
        day = datetime.now(UTC).date() + timedelta(days=10)
        nine = f"{day}T09:00:00"
        here = clinic.slot(3, doctorId=doctor, startTime=_at(nine, BERLIN))
        there = clinic.slot(3, doctorId=doctor, startTime=_at(nine, TOKYO), clinicId=east)
        booked_here = clinic.book(here["id"], userName="Wanda West", confirm=True).json()
        booked_there = clinic.book(there["id"], userName="Eddy East", confirm=True).json()
        yield Two(clinic, east, doctor, here, there, booked_here, booked_there)


def _at(wall: str, zone: ZoneInfo) -> str:
    return datetime.fromisoformat(wall).replace(tzinfo=zone).isoformat()


@pytest.fixture
def visitor(two: Two) -> Iterator[Visitor]:
    with Visitor(two.clinic.server) as visitor:
        yield visitor


@pytest.fixture
def admin(two: Two) -> Iterator[Visitor]:
    with Visitor(two.clinic.server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


@pytest.fixture
def easterner(two: Two, admin: Visitor) -> Iterator[Visitor]:
    """A receptionist of the clinic in the east only."""
    with Visitor(two.clinic.server) as visitor:
        _limit(two, admin, visitor, two.east)
        yield visitor


def _limit(two: Two, admin: Visitor, visitor: Visitor, clinic_id: int) -> str:
    email = unique_email()
    admin.send("/admin/users/new", name="Sam Staff", email=email, role="staff", password=PASSWORD)
    user_id = int(re.findall(r"/admin/users/(\d+)", str(admin.page.url))[0])
    admin.send(f"/admin/users/{user_id}/clinics", clinics=clinic_id)
    assert "works for the clinics that you chose" in admin.page.text
    visitor.send("/log-in", email=email, password=PASSWORD)
    return email


# Where patients come.


def test_the_finder_asks_where(visitor: Visitor, two: Two) -> None:
    page = visitor.open("/").text
    assert "Where would you like to come?" in page
    assert "1 Ginza" in page
    assert "data-slot=" not in page


def test_the_finder_shows_the_times_of_the_chosen_clinic_by_its_clock(visitor: Visitor, two: Two) -> None:
    for clinic_id, own, other in ((1, two.here, two.there), (two.east, two.there, two.here)):
        page = visitor.open(f"/?clinic={clinic_id}").text
        assert f'data-slot="{own["id"]}"' in page
        assert f'data-slot="{other["id"]}"' not in page
        assert re.search(r"<time [^>]*>09:00</time>", page)
    assert 'All times are in the time zone of East: <span data-zone="Asia/Tokyo"' in page


def test_an_old_link_to_a_clinic_that_is_gone_asks_where(visitor: Visitor, two: Two) -> None:
    assert "Where would you like to come?" in visitor.open(f"/?clinic={two.east + 1000}").text


def test_a_clinic_without_free_times_says_so_and_how_to_reach_it(two: Two, visitor: Visitor) -> None:
    """One has no time at all, and one only a past time."""
    idle, past = _new_clinic(two, "Idle", "+44 20 7946 0000"), _new_clinic(two, "Long ago", None)
    url = two.clinic.server.database_url
    slot = two.clinic.slot(doctorId=two.clinic.doctor()["id"], startTime=in_hours(24 * 60), clinicId=past)
    rows(
        url,
        "UPDATE appointment_slots SET start_time = start_time - interval '90 days',"
        " end_time = end_time - interval '90 days' WHERE id = $1",
        slot["id"],
    )
    _wait_until_known(visitor, "Long ago")
    found = visitor.page.text.split('<li class="card">')
    cards = {name: card for card in found for name in NAMES if f">{name}<" in card}
    assert list(cards)[:2] == ["West", "East"]
    for name in ("West", "East"):
        assert "No free times" not in cards[name]
    assert 'No free times at present. Call Idle: <a href="tel:+442079460000">+44 20 7946 0000</a>.' in cards["Idle"]
    assert "No free times at present." in cards["Long ago"]
    page = visitor.open(f"/?clinic={idle}").text
    assert "Call Idle:" in page
    assert "Choose another clinic" in page
    assert f'<option value="{past}" >Long ago (no free times)</option>' in page
    assert '<option value="1" >West</option>' in page
    for clinic_id in (idle, past):
        change = {"active": False}
        two.clinic.http.patch(f"/api/clinics/{clinic_id}", json=change, headers=two.clinic.admin)


NAMES = ("West", "East", "Idle", "Long ago")


def _new_clinic(two: Two, name: str, telephone: str | None) -> int:
    given = {"name": name, "timeZone": "Europe/Berlin", "telephone": telephone}
    made: int = two.clinic.http.post("/api/clinics", json=given, headers=two.clinic.admin).json()["id"]
    return made


def _wait_until_known(visitor: Visitor, name: str) -> None:
    deadline = datetime.now(UTC) + timedelta(seconds=PATIENCE_SECONDS)
    while name not in visitor.open("/").text:
        assert datetime.now(UTC) < deadline


def test_a_time_of_another_clinic_than_the_chosen_one_is_not_taken(visitor: Visitor, two: Two) -> None:
    visitor.send("/hold", slot=two.here["id"], seats=1, clinic=two.east)
    assert "does not fit your search" in visitor.page.text


def test_an_appointment_says_where_it_is_and_has_the_zone_of_its_clinic(visitor: Visitor, two: Two) -> None:
    visitor.open(f"/bookings/{two.booked_there['id']}?token={two.booked_there['manageToken']}")
    assert "East, 1 Ginza" in visitor.page.text
    assert "+81 3 1234 5678" in visitor.page.text
    assert ", 09:00</time>" in visitor.page.text
    calendar = visitor.open(
        f"/bookings/{two.booked_there['id']}/calendar.ics?token={two.booked_there['manageToken']}"
    ).text
    assert "LOCATION:East\\, 1 Ginza" in calendar


def test_the_api_lists_the_free_slots_of_one_clinic(two: Two) -> None:
    def listed(**query: int) -> set[int]:
        return {slot["id"] for slot in two.clinic.http.get("/api/slots", params=query).json()["items"]}

    assert listed() >= {two.here["id"], two.there["id"]}
    searches: list[dict[str, int]] = [{}, {"doctorId": two.doctor}, {"minSeats": 2}]
    for more in searches:
        assert two.there["id"] in listed(clinicId=two.east, **more)
        assert two.here["id"] not in listed(clinicId=two.east, **more)
        assert two.here["id"] in listed(clinicId=1, **more)


# Times.


def test_a_timetable_is_by_the_clock_of_its_clinic(two: Two) -> None:
    doctor = two.clinic.doctor()["id"]
    day = (datetime.now(UTC).date() + timedelta(days=20)).isoformat()
    body = {"doctorId": doctor, "firstDay": day, "lastDay": day, "periods": [{"from": "09:00", "to": "09:30"}]}
    made = two.clinic.http.post("/api/slots/batch", json=body | {"clinicId": two.east}, headers=two.clinic.admin)
    [slot] = made.json()["created"]
    assert datetime.fromisoformat(slot["startTime"]) == datetime.fromisoformat(_at(f"{day}T09:00:00", TOKYO))
    assert two.clinic.http.get(f"/api/slots/{slot['id']}").json()["clinicId"] == two.east


def test_a_doctor_has_times_only_at_the_clinics_where_the_doctor_works(two: Two, admin: Visitor) -> None:
    doctor = two.clinic.doctor()["id"]
    admin.send(f"/admin/doctors/{doctor}/clinics", clinics=two.east)
    assert "works at the clinics that you chose" in admin.page.text
    body = {"doctorId": doctor, "startTime": in_hours(24 * 30)}
    refused = two.clinic.http.post("/api/slots", json=body | {"clinicId": 1}, headers=two.clinic.admin)
    assert problem(refused, 400)["errors"] == [
        {"field": "clinicId", "message": "is a clinic where this doctor does not work"}
    ]
    made = two.clinic.http.post("/api/slots", json=body | {"clinicId": two.east}, headers=two.clinic.admin)
    assert made.status_code == 201


def test_a_clinic_that_does_not_exist_is_refused(two: Two) -> None:
    body = {"doctorId": two.doctor, "startTime": two.here["startTime"], "clinicId": two.east + 1000}
    refused = two.clinic.http.post("/api/slots", json=body, headers=two.clinic.admin)
    assert problem(refused, 404)["code"] == "clinic-not-found"


def test_the_page_for_new_times_asks_at_which_clinic(two: Two, admin: Visitor) -> None:
    doctor = two.clinic.doctor()["id"]
    day = (datetime.now(UTC).date() + timedelta(days=20)).isoformat()
    assert "Times are by its clock" in admin.open(f"/admin/doctors/{doctor}/slots/new?kind=one").text
    typed = {"clinic_id": two.east, "day": day, "time": "09:00", "duration_minutes": 30, "total_seats": 1}
    admin.send(f"/admin/doctors/{doctor}/slots/one", **typed)
    [slot] = rows(two.clinic.server.database_url, "SELECT * FROM appointment_slots WHERE doctor_id = $1", doctor)
    assert slot["clinic_id"] == two.east
    assert slot["start_time"] == datetime.fromisoformat(_at(f"{day}T09:00:00", TOKYO))


# What the desk sees.


def test_each_row_of_the_desk_has_its_clinic_and_its_own_clock(two: Two, admin: Visitor) -> None:
    page = admin.open("/admin/bookings").text
    for name, words in (("Wanda West", "West"), ("Eddy East", "East, Asia/Tokyo")):
        row = next(row for row in page.split("<tr") if name in row)
        assert ", 09:00</time>" in row
        assert f'<span class="quiet small">{words}</span>' in row


# What staff of one clinic see and change. The negative control is an account without limits, which may do all of it.


def pages_about(two: Two, booking: dict[str, Any], slot: dict[str, Any]) -> list[str]:
    return [
        f"/admin/bookings/{booking['id']}",
        f"/admin/bookings/{booking['id']}/cancel",
        f"/admin/slots/{slot['id']}",
        f"/admin/slots/{slot['id']}/overbook",
        f"/admin/bookings/new?slot={slot['id']}",
    ]


def test_staff_of_one_clinic_open_only_its_pages(two: Two, easterner: Visitor, admin: Visitor) -> None:
    for path in pages_about(two, two.booked_here, two.here):
        assert admin.open(path).status_code == 200, path
        assert easterner.open(path).status_code == 403, path
        assert "Wanda" not in easterner.page.text
    for path in pages_about(two, two.booked_there, two.there):
        assert easterner.open(path).status_code == 200, path


def lists_of(two: Two) -> list[str]:
    day = datetime.fromisoformat(two.there["startTime"]).astimezone(BERLIN).date()
    return [
        "/admin",
        "/admin/bookings",
        "/admin/bookings?who=a",
        f"/admin/bookings?doctor={two.doctor}",
        f"/admin/bookings?who={two.booked_here['id']}",
        f"/admin/bookings?slot={two.here['id']}",
        "/admin/bookings.csv",
        "/admin/today/latest",
        f"/admin/day-sheet?day={day}",
        f"/admin/day-sheet?day={day}&doctor={two.doctor}",
    ]


# What is offered can be held: staff of one clinic are not offered the times of another.


OFFERS = ("/admin/bookings/new", "/admin/bookings/new?seats=2", "/")


def _offered(visitor: Visitor, path: str) -> set[int]:
    page = visitor.open(path).text
    return {int(slot_id) for slot_id in re.findall(r'id="time-(\d+)"', page)}


def test_staff_of_one_clinic_are_offered_only_its_times(two: Two, easterner: Visitor, admin: Visitor) -> None:
    here, there = two.here["id"], two.there["id"]
    more = f"doctor={two.doctor}"
    for path in (*OFFERS, f"/admin/bookings/new?{more}", f"/admin/bookings/new?clinic=1&{more}", "/?clinic=1"):
        assert here not in _offered(easterner, path), path
        assert there in _offered(easterner, path), path
    for path in OFFERS[:2]:
        assert {here, there} <= _offered(admin, path), path


def test_every_time_that_staff_of_one_clinic_are_offered_can_be_held(two: Two, easterner: Visitor) -> None:
    for slot_id in _offered(easterner, "/admin/bookings/new"):
        assert easterner.open(f"/admin/bookings/new?slot={slot_id}").status_code == 200, slot_id


def test_who_works_for_one_clinic_need_not_choose_it(two: Two, easterner: Visitor, admin: Visitor) -> None:
    for path in OFFERS[1:]:
        assert 'id="clinic"' not in easterner.open(path).text
        assert "Where would you like to come?" not in easterner.page.text
    assert 'id="clinic"' in admin.open("/admin/bookings/new").text


def test_staff_of_one_clinic_choose_from_the_doctors_who_work_there(
    two: Two, easterner: Visitor, admin: Visitor
) -> None:
    doctor = two.clinic.doctor(name="Dr. Westerly")["id"]
    admin.send(f"/admin/doctors/{doctor}/clinics", clinics=1)
    assert "Dr. Westerly" in admin.open("/admin/bookings/new").text
    assert "Dr. Westerly" not in easterner.open("/admin/bookings/new").text


def test_the_api_offers_staff_of_one_clinic_what_they_can_hold(two: Two, admin: Visitor) -> None:
    """Both ways: a query is spelled for the first time, which the framework answers, and then once more."""
    with Visitor(two.clinic.server) as visitor:
        staff = two.clinic.log_in(_limit(two, admin, visitor, two.east), PASSWORD)
    http, here, there = two.clinic.http, two.here["id"], two.there["id"]
    for query in ({}, {"doctorId": two.doctor}, {"minSeats": 2}, {"clinicId": two.east}, {"limit": 499}):
        spelled = {**query, "limit": 100 + len(query)} if "limit" not in query else query
        for _ in range(2):
            offered = {slot["id"] for slot in http.get("/api/slots", params=spelled, headers=staff).json()["items"]}
            assert there in offered, query
            assert here not in offered, query
            everybody = {slot["id"] for slot in http.get("/api/slots", params=spelled).json()["items"]}
            assert (here in everybody) == (query != {"clinicId": two.east}), query
    elsewhere = http.get("/api/slots", params={"clinicId": 1}, headers=staff)
    assert (elsewhere.status_code, elsewhere.json()["items"]) == (200, [])


def test_lists_show_staff_of_one_clinic_nobody_of_another(two: Two, easterner: Visitor, admin: Visitor) -> None:
    for path in lists_of(two):
        assert "Wanda West" in admin.open(path).text or "Eddy East" in admin.page.text, path
        assert "Wanda" not in easterner.open(path).text, path
        assert easterner.page.status_code == 200, path
    assert "Eddy East" in easterner.open("/admin/bookings").text
    assert "Eddy East" in easterner.open("/admin").text


def test_the_board_counts_only_the_clinics_of_its_reader(two: Two, easterner: Visitor, admin: Visitor) -> None:
    day = datetime.fromisoformat(two.there["startTime"]).astimezone(BERLIN).date()
    for reader, seats in ((admin, 6), (easterner, 3)):
        assert f"of {seats}</small>" in reader.open(f"/admin?day={day}").text


def test_a_week_shows_staff_only_the_times_of_their_clinics(two: Two, easterner: Visitor, admin: Visitor) -> None:
    day = datetime.fromisoformat(two.there["startTime"]).date()
    path = f"/admin/doctors/{two.doctor}?week={day}"
    assert f"/admin/slots/{two.here['id']}" in admin.open(path).text
    assert f"/admin/slots/{two.here['id']}" not in easterner.open(path).text
    assert f"/admin/slots/{two.there['id']}" in easterner.page.text


def test_staff_of_one_clinic_change_nothing_of_another(two: Two, easterner: Visitor) -> None:
    person = {"user_name": "Nell New", "user_email": "nell@example.org", "seats": 1}
    for path, fields in (
        (f"/admin/bookings/{two.booked_here['id']}/cancel", {"reason": "none"}),
        (f"/admin/slots/{two.here['id']}", {"status": "CLOSED"}),
        ("/admin/bookings/new", {"slot": two.here["id"], **person}),
        (f"/admin/slots/{two.here['id']}/overbook", {**person, "reason": "an emergency"}),
    ):
        assert easterner.send(path, **fields).status_code == 403, path
    told = two.clinic.http.get(f"/api/bookings/{two.booked_here['id']}", headers=holder(two.booked_here)).json()
    assert told["status"] == "CONFIRMED"
    slot = two.clinic.http.get(f"/api/slots/{two.here['id']}").json()
    assert (slot["status"], slot["availableSeats"]) == ("OPEN", 2)


def test_the_api_keeps_to_the_limits_of_staff(two: Two, admin: Visitor) -> None:
    with Visitor(two.clinic.server) as visitor:
        email = _limit(two, admin, visitor, two.east)
    staff = two.clinic.log_in(email, PASSWORD)
    http, here, there = two.clinic.http, two.booked_here["id"], two.booked_there["id"]
    assert http.get(f"/api/bookings/{here}", headers=staff).json()["userName"] is None
    assert http.get(f"/api/bookings/{there}", headers=staff).json()["userName"] == "Eddy East"
    of_slot = http.get(f"/api/bookings/slot/{two.here['id']}", headers=staff).json()["items"]
    assert [item["userName"] for item in of_slot] == [None]
    found = {item["userName"] for item in http.get("/api/bookings", headers=staff).json()["items"]}
    assert found == {"Eddy East"}
    body = {"slotId": two.here["id"], "userName": "Nell", "userEmail": "nell@example.org"}
    for refused in (
        http.delete(f"/api/bookings/{here}", headers=staff),
        http.post(f"/api/bookings/{here}/confirm", headers=staff),
        http.patch(f"/api/slots/{two.here['id']}", json={"status": "CLOSED"}, headers=staff),
        http.post("/api/bookings", json=body, headers=staff),
    ):
        assert problem(refused, 403)["code"] == "not-allowed"


def test_a_limit_is_taken_away_within_seconds(two: Two, admin: Visitor, easterner: Visitor) -> None:
    path = f"/admin/slots/{two.here['id']}"
    assert easterner.open(path).status_code == 403
    newest = "(SELECT max(user_id) FROM user_clinics)"
    rows(two.clinic.server.database_url, f"DELETE FROM user_clinics WHERE user_id = {newest}")
    deadline = datetime.now(UTC) + timedelta(seconds=PATIENCE_SECONDS)
    while easterner.open(path).status_code != 200:
        assert datetime.now(UTC) < deadline


# Two clerks who edit one clinic.


def test_the_second_of_two_clerks_is_shown_what_the_first_saved_and_keeps_their_own_typing(
    two: Two, admin: Visitor
) -> None:
    page = f"/admin/clinics/{two.east}"
    with Visitor(two.clinic.server) as colleague:
        colleague.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        colleague.open(page)
        admin.open(page)
        colleague.submit(page, directions="Bus 7")
        assert "East was saved." in colleague.page.text
    admin.submit(page, opening_note="Closed on Sundays")
    assert admin.page.status_code == 409
    assert "Saved by somebody else" in admin.page.text
    assert '<dd class="lines">Bus 7</dd>' in admin.page.text
    assert ">Closed on Sundays</textarea>" in admin.page.text
    admin.submit(page, opening_note="Closed on Sundays", directions="Bus 7")
    assert "East was saved." in admin.page.text
    saved = two.clinic.http.get(f"/api/clinics/{two.east}").json()
    assert (saved["directions"], saved["openingNote"]) == ("Bus 7", "Closed on Sundays")


def test_a_clinic_says_in_its_form_whether_it_wants_the_list_of_tomorrow(two: Two, admin: Visitor) -> None:
    page = f"/admin/clinics/{two.east}"
    for wanted in (False, True):
        admin.open(page)
        admin.submit(page, evening_list="yes" if wanted else "no")
        assert two.clinic.http.get(f"/api/clinics/{two.east}").json()["eveningList"] == wanted
        admin.open(page)
        admin.submit(page, directions="Bus 7")
        assert two.clinic.http.get(f"/api/clinics/{two.east}").json()["eveningList"] == wanted


def test_a_clinic_with_open_times_says_why_it_cannot_stop(two: Two, admin: Visitor) -> None:
    admin.send(f"/admin/clinics/{two.east}/active", active="no")
    assert admin.page.status_code == 409
    assert "has open times or weekly hours ahead" in admin.page.text


def test_a_new_name_is_on_every_page_within_seconds(two: Two, admin: Visitor, visitor: Visitor) -> None:
    page = f"/admin/clinics/{two.east}"
    admin.open(page)
    admin.submit(page, name="Far East")
    deadline = datetime.now(UTC) + timedelta(seconds=PATIENCE_SECONDS)
    while "Far East" not in visitor.open("/").text:
        assert datetime.now(UTC) < deadline
    admin.open(page)
    admin.submit(page, name="East")


def test_staff_of_one_clinic_see_only_there_whom_an_absence_concerns(two: Two, admin: Visitor) -> None:
    """An absence at all clinics would show them the patients of the others."""
    with Visitor(two.clinic.server) as visitor:
        staff = two.clinic.log_in(_limit(two, admin, visitor, two.east), PASSWORD)
    begins = datetime.fromisoformat(two.there["startTime"])
    absence = {
        "doctorId": two.doctor,
        "startTime": begins.isoformat(),
        "endTime": (begins + timedelta(days=1)).isoformat(),
    }
    for clinic, status in (({}, 403), ({"clinicId": 1}, 403), ({"clinicId": two.east}, 200)):
        change = {"addClosures": [absence | clinic]}
        shown = two.clinic.http.post("/api/schedule/preview", json=change, headers=staff)
        assert shown.status_code == status, shown.text
        assert "Wanda" not in shown.text
    assert "Eddy East" in shown.text


def test_an_export_has_each_booking_by_the_clock_of_its_clinic(two: Two, admin: Visitor) -> None:
    lines = admin.open("/admin/bookings.csv").text.splitlines()
    assert lines[0].endswith(",Clinic,Time zone")
    for name, clinic in (("Wanda West", "West,Europe/Berlin"), ("Eddy East", "East,Asia/Tokyo")):
        line = next(line for line in lines if name in line)
        assert " 09:00:00," in line
        assert line.endswith(clinic)


def test_staff_of_one_clinic_enter_an_absence_at_that_clinic_only(two: Two, easterner: Visitor) -> None:
    doctor = two.clinic.doctor()["id"]
    easterner.send("/admin/closures/new", where=f"doctor:{doctor}", first_day="2040-05-08", reason="Away in the east")
    easterner.submit("/admin/schedule")
    found = two.clinic.http.get("/api/closures", headers=two.clinic.admin).json()["items"]
    assert [each["clinicId"] for each in found if each["reason"] == "Away in the east"] == [two.east]


def test_who_is_ticked_for_every_clinic_of_today_is_still_limited(two: Two, admin: Visitor) -> None:
    """Otherwise the account would see each clinic that is added later, or was deactivated before."""
    url = two.clinic.server.database_url
    email = unique_email()
    admin.send("/admin/users/new", name="Sam Staff", email=email, role="staff", password=PASSWORD)
    [user_id] = re.findall(r"/admin/users/(\d+)", str(admin.page.url))
    path = f"/admin/users/{user_id}"
    known = {"name": "Out of use", "timeZone": "Asia/Tokyo", "active": False}
    shut = two.clinic.http.post("/api/clinics", json=known, headers=two.clinic.admin).json()["id"]
    chosen = "SELECT clinic_id FROM user_clinics WHERE user_id = $1::text::bigint ORDER BY clinic_id"
    _tick(admin, path, 1, two.east)
    assert "works for the clinics that you chose" in admin.page.text
    assert [row[0] for row in rows(url, chosen, user_id)] == [1, two.east]
    assert f'value="{shut}"' not in admin.open(path).text
    _tick(admin, path, 1, two.east, shut)
    page = admin.open(path).text
    assert f'name="clinics" value="{shut}" checked' in page
    # One that this worker has not read yet. Leaving it out would leave none, which means all.
    _tick(admin, path, 10**6)
    assert admin.page.status_code == 400
    assert [row[0] for row in rows(url, chosen, user_id)] == [1, two.east, shut]
    assert "Out of use (takes no appointments)" in page
    _tick(admin, path, *map(int, re.findall(r'name="clinics" value="(\d+)" checked', page)))
    assert [row[0] for row in rows(url, chosen, user_id)] == [1, two.east, shut]
    _tick(admin, path)
    assert "works for all clinics" in admin.page.text
    assert rows(url, chosen, user_id) == []


def _tick(admin: Visitor, path: str, *clinic_ids: int) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    boxes = {"clinics": [str(each) for each in clinic_ids]}
    admin.page = admin.http.post(f"{path}/clinics", data=boxes, headers=headers)
