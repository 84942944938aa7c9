"""The clinic's pages as forms and redirects: dashboard, doctors, weeks and times. tests/browser tests the screen."""

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from uuid import uuid4

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, plant_account, rows, unique_email
from tests.web.visiting import Visitor

DAY = "2032-05-04"  # a Tuesday
MORNING: dict[str, Any] = {
    "first_day": DAY,
    "last_day": DAY,
    "weekdays": "2",
    "from_1": "09:00",
    "to_1": "11:00",
    **dict.fromkeys(("from_2", "to_2", "from_3", "to_3"), ""),
    "duration_minutes": "30",
    "break_minutes": "0",
    "total_seats": "2",
}
MOVING = ("shown_period", "day", "time", "duration_minutes")


def logged_in(server: RunningServer, email: str, password: str) -> Visitor:
    visitor = Visitor(server)
    visitor.send("/log-in", email=email, password=password)
    return visitor


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with logged_in(server, ADMIN_EMAIL, ADMIN_PASSWORD) as visitor:
        yield visitor


def words(desk: Visitor) -> str:
    """The text of the page, without tags."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", desk.page.text)).split())


def slots_of(clinic: Clinic, doctor_id: int) -> list[str]:
    items = clinic.http.get("/api/slots", params={"doctorId": doctor_id}).json()["items"]
    return [slot["startTime"][11:16] for slot in items]


def audited(clinic: Clinic, action: str, subject: str) -> int:
    noted = rows(
        clinic.server.database_url, "SELECT id FROM audit_log WHERE action = $1 AND subject = $2", action, subject
    )
    return len(noted)


def slot_with_bookings(clinic: Clinic, seats: int = 3) -> dict[str, Any]:
    slot = clinic.slot(seats=seats, startTime=f"{DAY}T12:00:00Z")
    clinic.hold(slot["id"], userName="Ada Lovelace", confirm=True)
    clinic.hold(slot["id"], userName="Grace Hopper")
    return slot


def test_staff_close_and_reopen_a_time_and_change_nothing_else(clinic: Clinic, server: RunningServer) -> None:
    slot = slot_with_bookings(clinic)
    url = f"/admin/slots/{slot['id']}"
    email = unique_email()
    plant_account(server.database_url, email, "Rita Reception", "staff", "receptionist's secret")
    with logged_in(server, email, "receptionist's secret") as staff:
        staff.open(url)
        assert "Move this time" not in staff.page.text
        staff.submit(url, status="CLOSED")
        assert staff.heading == "Close a time with 2 bookings?"
        staff.submit(url)
        assert "Closed: it takes no new bookings." in staff.page.text
        for fields in ({"total_seats": 9}, {"day": DAY, "time": "15:00", "duration_minutes": 30}, {"day": "x"}):
            assert staff.send(url, **fields).status_code == 403
        as_it_was = clinic.http.get(f"/api/slots/{slot['id']}").json()
        assert (as_it_was["status"], as_it_was["startTime"], as_it_was["totalSeats"]) == (
            "CLOSED",
            slot["startTime"],
            3,
        )
        staff.open(url)
        staff.submit(url, status="OPEN")
        assert "Open for booking again." in staff.page.text
    [(user_id,)] = rows(server.database_url, "SELECT id FROM users WHERE email = $1", email)
    noted = rows(
        server.database_url,
        "SELECT details ->> 'status' FROM audit_log WHERE action = 'update_slot' AND subject = $1 AND actor = $2",
        f"slot:{slot['id']}",
        f"user:{user_id}",
    )
    assert [tuple(row) for row in noted] == [('["OPEN", "CLOSED"]',), ('["CLOSED", "OPEN"]',)]


def test_staff_see_doctors_and_only_admins_change_them(clinic: Clinic, server: RunningServer) -> None:
    slot = clinic.slot(seats=2)
    booking = clinic.hold(slot["id"])
    slot = clinic.http.get(f"/api/slots/{slot['id']}").json()
    email = unique_email()
    person = {"name": "Rita Reception", "email": email, "password": "receptionist's secret"}
    assert clinic.http.post("/api/auth/register", json=person).status_code == 201
    rows(server.database_url, "UPDATE users SET role = 'staff' WHERE email = $1", email)
    looking = ("/admin", "/admin/doctors", f"/admin/doctors/{slot['doctorId']}", f"/admin/slots/{slot['id']}")
    changing = (
        "/admin/doctors",
        f"/admin/doctors/{slot['doctorId']}/edit",
        f"/admin/doctors/{slot['doctorId']}/active",
        f"/admin/doctors/{slot['doctorId']}/slots/new",
        f"/admin/doctors/{slot['doctorId']}/slots/one",
    )
    with logged_in(server, email, "receptionist's secret") as staff:
        for url in looking:
            assert staff.open(url).status_code == 200, url
            forms = staff.page.text.partition("<main")[2].count('method="post"')
            assert forms == ("/slots/" in url), url  # to close it
        for url in (f"/admin/bookings/{booking['id']}", f"/admin/bookings?slot={slot['id']}"):
            assert f'href="/admin/slots/{slot["id"]}"' in staff.open(url).text, url
        for url in changing:
            assert staff.send(url, name="Dr. No", status="CLOSED").status_code == 403, url
    with Visitor(server) as stranger:
        for url in looking:
            stranger.open(url)
            assert stranger.page.url.path == "/log-in", url
    assert clinic.http.get(f"/api/slots/{slot['id']}").json() == slot


def test_a_doctor_is_added_found_edited_deactivated_and_reactivated(clinic: Clinic, desk: Visitor) -> None:
    name = f"Dr. {unique_email()}"
    desk.send("/admin/doctors", name=f" {name} ", specialization="Podiatry")
    assert desk.heading == name
    assert "has no times this week" in words(desk)
    url = desk.page.url.path
    desk.open(f"/admin/doctors?q={name}")
    assert f'href="{url}"' in desk.page.text
    desk.open(f"{url}/edit")
    desk.submit(f"{url}/edit", name=f"{name} II", specialization="")
    desk.send(f"{url}/active", active="no")
    assert "Takes no new appointments" in words(desk)
    known = clinic.http.get(f"/api/doctors/{url.rpartition('/')[2]}").json()
    assert (known["name"], known["specialization"], known["active"]) == (f"{name} II", None, False)
    desk.send(f"{url}/active", active="yes")
    assert clinic.http.get(f"/api/doctors/{known['id']}").json()["active"] is True


def test_the_next_page_of_doctors_begins_where_the_last_one_ended_after_a_rename(clinic: Clinic, desk: Visitor) -> None:
    word = uuid4().hex
    plant = "INSERT INTO doctors (name) SELECT $1 || to_char(number, ' FM00') FROM generate_series(0, 52) AS number"
    rows(clinic.server.database_url, plant, word)
    desk.open(f"/admin/doctors?q={word}")
    [following] = re.findall(r'rel="next" href="([^"]+)"', desk.page.text)
    last = rows(clinic.server.database_url, "SELECT id FROM doctors WHERE name = $1", f"{word} 49")[0]["id"]
    clinic.http.patch(f"/api/doctors/{last}", json={"name": f"{word} 00"}, headers=clinic.admin)
    desk.open(unescape(following))
    assert re.findall(rf">{word} (\d\d)<", desk.page.text) == ["50", "51", "52"]
    for unreadable in ("7", "7.", "x.", "-1.eA", "7.e", "9" * 30 + ".eA"):
        desk.open(f"/admin/doctors?q={word}&after={unreadable}")
        assert f">{word} 00<" in desk.page.text


def test_a_doctor_without_a_name_is_refused_at_the_field(desk: Visitor) -> None:
    answer = desk.send("/admin/doctors", name="  ", specialization="Podiatry")
    assert answer.status_code == 400
    assert 'id="name-error"' in answer.text
    assert 'value="Podiatry"' in answer.text


def test_times_are_added_only_after_a_preview(clinic: Clinic, desk: Visitor) -> None:
    doctor = clinic.doctor()["id"]
    new = f"/admin/doctors/{doctor}/slots/new"
    desk.open(new)
    assert "Show what would be added" in desk.page.text
    desk.send(new, **MORNING, step="preview")
    assert "4 times would be added" in words(desk)
    assert slots_of(clinic, doctor) == []
    desk.submit(new, step="create")
    assert desk.url == f"/admin/doctors/{doctor}?week=2032-05-03"
    assert "4 times were added" in words(desk)
    assert "Tuesday 4 May 2032, 09:00 to 09:30, 2 of 2 free" in words(desk)
    assert slots_of(clinic, doctor) == ["09:00", "09:30", "10:00", "10:30"]


def test_a_preview_lists_clashes_and_the_other_times_can_be_added(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(startTime=f"{DAY}T09:45:00Z")
    new = f"/admin/doctors/{slot['doctorId']}/slots/new"
    desk.send(new, **MORNING, step="preview")
    assert "2 times would be added, 2 overlap existing ones" in words(desk)
    assert desk.page.text.count(f'href="/admin/slots/{slot["id"]}"') == 2
    assert desk.page.text.index("Add the other 2 times") < desk.page.text.index("2 times overlap existing ones")
    desk.submit(new, step="create-others")
    assert slots_of(clinic, slot["doctorId"]) == ["09:00", "09:45", "10:30"]


def test_only_previewed_times_are_added_and_an_edited_form_gets_a_new_preview(clinic: Clinic, desk: Visitor) -> None:
    doctor = clinic.doctor()["id"]
    new = f"/admin/doctors/{doctor}/slots/new"
    two_days = {**MORNING, "last_day": "2032-05-05", "to_2": "12:30", "from_2": "12:00"}
    for field, typed in (("to_1", "10:00"), ("total_seats", "3"), ("weekdays", "3"), ("first_day", "2032-05-03")):
        desk.send(new, **two_days, step="preview")
        desk.submit(new, step="create", **{field: typed})
        assert desk.page.status_code == 409
        assert "You changed the form after the preview" in words(desk)
        assert slots_of(clinic, doctor) == []
    assert "5 times would be added" in words(desk)
    desk.submit(new, step="create", to_1="11:00 ")
    assert slots_of(clinic, doctor) == ["09:00", "09:30", "10:00", "10:30", "12:00"]


def test_times_published_since_the_preview_stop_the_whole_addition(clinic: Clinic, desk: Visitor) -> None:
    doctor = clinic.doctor()["id"]
    new = f"/admin/doctors/{doctor}/slots/new"
    desk.send(new, **MORNING, step="preview")
    clinic.slot(doctorId=doctor, startTime=f"{DAY}T09:00:00Z")
    assert desk.submit(new, step="create").status_code == 409
    assert "Nothing was added. Please check the new preview." in words(desk)
    assert slots_of(clinic, doctor) == ["09:00"]
    clinic.slot(doctorId=doctor, startTime=f"{DAY}T09:30:00Z")
    assert desk.submit(new, step="create-others").status_code == 409
    assert slots_of(clinic, doctor) == ["09:00", "09:30"]
    desk.submit(new, step="create-others")
    assert slots_of(clinic, doctor) == ["09:00", "09:30", "10:00", "10:30"]


@pytest.mark.parametrize(
    ("field", "typed", "fault"),
    [
        ("first_day", "", "first_day"),
        ("last_day", "2032-05-03", "last_day"),
        ("weekdays", "", "weekdays"),
        ("from_1", "noon", "from_1"),
        ("to_1", "08:00", "from_1"),
        ("from_2", "08:00", "to_2"),
        ("duration_minutes", "0", "duration_minutes"),
        ("break_minutes", "-1", "break_minutes"),
        ("total_seats", "2000000", "total_seats"),
    ],
)
def test_an_invalid_timetable_is_shown_again_with_the_error_at_its_field(
    clinic: Clinic, desk: Visitor, field: str, typed: str, fault: str
) -> None:
    new = f"/admin/doctors/{clinic.doctor()['id']}/slots/new"
    answer = desk.send(new, **{**MORNING, field: typed}, step="preview")
    assert answer.status_code == 400
    assert f'id="{fault}-error"' in answer.text
    assert f'value="{typed}"' in answer.text or field == "weekdays"


@pytest.mark.parametrize(("field", "bounds"), [("duration_minutes", "1 to 1440"), ("break_minutes", "0 to 1440")])
def test_an_invalid_length_is_refused_with_its_bounds(clinic: Clinic, desk: Visitor, field: str, bounds: str) -> None:
    desk.send(f"/admin/doctors/{clinic.doctor()['id']}/slots/new", **{**MORNING, field: "x"}, step="preview")
    assert f"ust be a whole number from {bounds}." in words(desk)


def test_a_single_time_is_added_unless_it_overlaps_another(clinic: Clinic, desk: Visitor) -> None:
    doctor = clinic.doctor()["id"]
    one: dict[str, Any] = {"day": DAY, "time": "09:30", "duration_minutes": 30, "total_seats": 1}
    desk.send(f"/admin/doctors/{doctor}/slots/one", **one)
    assert desk.url == f"/admin/doctors/{doctor}?week=2032-05-03"
    assert desk.send(f"/admin/doctors/{doctor}/slots/one", **one).status_code == 409
    assert re.search(r"already has an open time then: Tuesday 4 May 2032, 09:30 to 10:00", words(desk))
    assert desk.send(f"/admin/doctors/{doctor}/slots/one", **{**one, "day": "2020-01-01"}).status_code == 400
    assert 'id="time-error"' in desk.page.text
    assert slots_of(clinic, doctor) == ["09:30"]


def test_a_week_with_too_many_times_says_where_the_others_are(clinic: Clinic, desk: Visitor) -> None:
    doctor = clinic.doctor()["id"]
    rows(
        clinic.server.database_url,
        "WITH s AS (INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats,"
        " status) SELECT $1, t, t + interval '1 minute', 1, 1, 'CLOSED'"
        f" FROM (SELECT '{DAY}T12:00:00Z'::timestamptz AS t) AS at CROSS JOIN generate_series(1, 2001) RETURNING *)"
        " INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        " SELECT id, 1, 'CREATED', 1, 1, 1, 'test', now() FROM s",
        doctor,
    )
    desk.open(f"/admin/doctors/{doctor}?week={DAY}")
    assert "Only the first 2000 times of this week fit here" in words(desk)
    assert (words(desk).count("No times"), words(desk).count("Not shown here")) == (1, 5)
    assert f'href="/admin/day-sheet?doctor={doctor}&amp;day=2032-05-09"' in desk.page.text


@pytest.mark.parametrize(
    ("change", "question", "after"),
    [
        ({"status": "CLOSED"}, "Close a time with 2 bookings?", ("CLOSED", "12:00")),
        ({"day": DAY, "time": "14:00", "duration_minutes": 30}, "Move a time with 2 bookings?", ("OPEN", "14:00")),
    ],
)
def test_a_change_that_affects_bookings_lists_them_and_asks_first(
    clinic: Clinic, desk: Visitor, change: dict[str, Any], question: str, after: tuple[str, str]
) -> None:
    slot = slot_with_bookings(clinic)
    url = f"/admin/slots/{slot['id']}"
    desk.send(url, **change)
    assert desk.heading == question
    assert "Ada Lovelace" in words(desk)
    assert "Grace Hopper" in words(desk)
    assert audited(clinic, "list_affected_bookings", f"slot:{slot['id']}") == 1
    before = clinic.http.get(f"/api/slots/{slot['id']}").json()
    assert (before["status"], before["startTime"]) == ("OPEN", slot["startTime"])
    desk.submit(url)
    assert desk.url == url
    changed = clinic.http.get(f"/api/slots/{slot['id']}").json()
    assert (changed["status"], changed["startTime"][11:16]) == after


def test_an_impossible_move_is_refused_without_asking(clinic: Clinic, desk: Visitor) -> None:
    slot = slot_with_bookings(clinic)
    clinic.slot(doctorId=slot["doctorId"], startTime=f"{DAY}T14:15:00Z")
    url = f"/admin/slots/{slot['id']}"
    desk.open(url)
    assert desk.send(url, **moved(desk, time="14:00")).status_code == 409
    assert "already has an open time then: Tuesday 4 May 2032, 14:15 to 14:45." in words(desk)
    assert 'value="14:00"' in desk.page.text
    assert "Ada Lovelace" not in desk.page.text
    assert audited(clinic, "list_affected_bookings", f"slot:{slot['id']}") == 0
    desk.send(url, **moved(desk, time="13:45"))
    assert desk.heading == "Move a time with 2 bookings?"


def test_a_closed_time_is_not_opened_over_another(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(startTime=f"{DAY}T12:00:00Z")
    url = f"/admin/slots/{slot['id']}"
    desk.send(url, status="CLOSED")
    clinic.slot(doctorId=slot["doctorId"], startTime=f"{DAY}T12:15:00Z")
    assert desk.send(url, status="OPEN").status_code == 409
    assert "Tuesday 4 May 2032, 12:15 to 12:45. Move or close that one first" in words(desk)
    assert clinic.http.get(f"/api/slots/{slot['id']}").json()["status"] == "CLOSED"


def test_a_booking_made_after_the_question_is_listed_before_the_change(clinic: Clinic, desk: Visitor) -> None:
    slot = slot_with_bookings(clinic)
    url = f"/admin/slots/{slot['id']}"
    desk.send(url, status="CLOSED")
    clinic.hold(slot["id"], userName="Newest Of All")
    desk.submit(url)
    assert desk.heading == "Close a time with 3 bookings?"
    assert "Newest Of All" in words(desk)
    assert clinic.http.get(f"/api/slots/{slot['id']}").json()["status"] == "OPEN"
    desk.submit(url)
    assert clinic.http.get(f"/api/slots/{slot['id']}").json()["status"] == "CLOSED"


def test_changing_only_the_length_keeps_the_start(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(startTime=f"{DAY}T12:00:30Z")
    url = f"/admin/slots/{slot['id']}"
    desk.open(url)
    desk.send(url, **moved(desk, duration_minutes=45))
    assert "It now lasts 45 minutes" in words(desk)
    changed = clinic.http.get(f"/api/slots/{slot['id']}").json()
    assert (changed["startTime"], changed["durationMinutes"]) == (slot["startTime"], 45)


def test_an_outdated_form_does_not_move_a_time_back(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(startTime=f"{DAY}T12:00:00Z")
    url = f"/admin/slots/{slot['id']}"
    desk.open(url)
    stale = moved(desk, duration_minutes=45)
    desk.send(url, **moved(desk, time="15:00"))
    now = clinic.http.get(f"/api/slots/{slot['id']}").json()
    assert now["startTime"] != slot["startTime"]
    assert desk.send(url, **stale).status_code == 409
    assert "This page shows the time as it is now" in words(desk)
    assert 'value="15:00"' in desk.page.text
    assert clinic.http.get(f"/api/slots/{slot['id']}").json() == now


def moved(desk: Visitor, **typed: object) -> dict[str, object]:
    """The fields of the form that moves the time, with typed values."""
    form = desk.page.text.partition('aria-labelledby="move-heading"')[2]
    shown = {name: re.search(rf'name="{name}"[^>]*?value="([^"]*)"', form) for name in MOVING}
    return {**{name: found[1] for name, found in shown.items() if found}, **typed}


def test_a_change_that_affects_no_booking_is_made_at_once(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=3)
    url = f"/admin/slots/{slot['id']}"
    desk.send(url, status="CLOSED")
    assert "it takes no new bookings" in words(desk)
    desk.send(url, status="OPEN")
    desk.send(url, total_seats="5")
    assert "It now has room for 5 people" in words(desk)
    assert (clinic.http.get(f"/api/slots/{slot['id']}").json()["totalSeats"]) == 5


def test_seats_cannot_go_below_those_taken_and_the_page_says_how_many(clinic: Clinic, desk: Visitor) -> None:
    slot = slot_with_bookings(clinic)
    desk.open(f"/admin/slots/{slot['id']}")
    assert "Confirmed 1 On hold 1" in words(desk)
    assert desk.send(f"/admin/slots/{slot['id']}", total_seats="1").status_code == 409
    assert "2 seats are held or booked; the total cannot be lower" in words(desk)
    assert 'name="total_seats" type="number" value="1"' in " ".join(desk.page.text.split())


def test_the_dashboard_shows_the_seats_of_each_doctor_and_of_the_day(clinic: Clinic, desk: Visitor) -> None:
    doctor = clinic.doctor(name="Dr. Of The Day")["id"]
    slot = clinic.slot(seats=4, doctorId=doctor, startTime="2033-06-07T10:00:00Z")
    clinic.hold(slot["id"], seatsBooked=2, confirm=True)
    clinic.hold(slot["id"])
    desk.open("/admin?day=2033-06-07")
    assert desk.heading == "Tuesday 7 June 2033"
    assert "Dr. Of The Day 3 of 4, 75" in words(desk)
    assert "Confirmed appointments 1 Taken 3 of 4 Still free 1 Cancelled 0" in words(desk)
    assert "Latest bookings" not in words(desk)
    desk.open("/admin?day=2033-06-08")
    assert "No doctor has times on this day" in words(desk)


def test_the_latest_bookings_are_sent_again_only_when_they_changed(clinic: Clinic, desk: Visitor) -> None:
    desk.open("/admin")
    mark = re.search(r'hx-get="(/admin/today/latest\?mark=\w+)"', desk.page.text)
    assert mark, desk.page.text
    shown = audited(clinic, "list_latest_bookings", "bookings")
    assert desk.open(mark[1]).status_code in {200, 204}
    slot = clinic.slot()
    clinic.hold(slot["id"], userName="Newest Of All")
    answer = desk.open(mark[1])
    assert answer.status_code == 200
    assert "Newest Of All" in answer.text
    assert "<html" not in answer.text
    assert audited(clinic, "list_latest_bookings", "bookings") > shown
    assert "Newest Of All" not in desk.open("/admin/today/board").text


@pytest.mark.parametrize(
    "url", ["/admin?day=yesterday", "/admin?day=9999-12-31", "/admin/doctors/1?week=1", "/admin/doctors/0"]
)
def test_an_invalid_url_is_answered_with_an_error_page(desk: Visitor, url: str) -> None:
    assert desk.open(url).status_code in {400, 404}
    assert desk.heading
