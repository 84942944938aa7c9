"""The pages of a doctor's weekly hours: what is shown beforehand is what is done."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, rows
from tests.web.people import AccountVisitor, error_of, text_of

# Far enough away that the time of the day does not matter, in every zone.
FIRST_DAY = datetime.now(UTC).date() + timedelta(days=3)
WEEK = timedelta(days=7)


@pytest.fixture
def admin(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        assert visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD).status_code == 303
        visitor.http.follow_redirects = True
        yield visitor


def hours(first_day: date, /, **more: object) -> dict[str, object]:
    """Two half hours on the weekday of that day."""
    given = {"weekdays": first_day.isoweekday(), "from_1": "09:00", "to_1": "10:00", "first_day": first_day}
    return {**given, "slot_minutes": 30, "break_minutes": 0, "total_seats": 1, "every_weeks": 1, **more}


def add_hours(admin: AccountVisitor, path: str, **more: object) -> None:
    admin.send(f"{path}/new", **hours(FIRST_DAY, **more))
    assert admin.page.status_code == 200, text_of(admin.page)
    admin.submit("/admin/schedule")
    assert "Done." in admin.page.text, text_of(admin.page)


def starts(server: RunningServer, doctor_id: int, status: str = "OPEN") -> list[datetime]:
    query = "SELECT start_time FROM appointment_slots WHERE doctor_id = $1 AND status = $2 ORDER BY start_time"
    return [row[0] for row in rows(server.database_url, query, doctor_id, status)]


def rules(clinic: Clinic, doctor_id: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = clinic.http.get(f"/api/doctors/{doctor_id}/rules", headers=clinic.admin).json()[
        "items"
    ]
    return found


def first_slot(clinic: Clinic, doctor_id: int) -> dict[str, Any]:
    found: dict[str, Any] = clinic.http.get("/api/slots", params={"doctorId": doctor_id}).json()["items"][0]
    return found


def test_hours_of_several_days_and_periods_are_previewed_then_added(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    doctor_id = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor_id}/hours"
    assert "has no weekly hours yet" in admin.open(path).text
    fields = hours(FIRST_DAY, weekdays="1", from_2="14:00", to_2="15:00", last_day=FIRST_DAY + 2 * WEEK)
    body = [*((name, str(value)) for name, value in fields.items()), ("weekdays", "3")]
    content = "&".join(f"{name}={value}" for name, value in body)
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    admin.page = admin.http.post(f"{path}/new", content=content, headers=headers)
    assert starts(server, doctor_id) == [], "a preview changes nothing"
    shown = text_of(admin.page)
    admin.submit("/admin/schedule")
    published = starts(server, doctor_id)
    assert published
    assert f"{len(published)} times will be added" in shown
    assert [(rule["weekday"], rule["from"]) for rule in rules(clinic, doctor_id)] == [
        (1, "09:00"), (1, "14:00"), (3, "09:00"), (3, "14:00"),
    ]  # fmt: skip
    week = text_of(admin.page)
    assert "Monday 09:00 to 10:00" in week
    assert "Tuesday No hours" in week


def test_new_hours_end_the_present_ones_and_ask_about_each_booking(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    doctor_id = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor_id}/hours"
    add_hours(admin, path)
    found = starts(server, doctor_id)
    slots = clinic.http.get("/api/slots", params={"doctorId": doctor_id}).json()["items"]
    later = [slot for slot in slots if slot["startTime"][:10] >= str(FIRST_DAY + WEEK)]
    kept = clinic.hold(later[0]["id"], confirm=True)["id"]
    gone = clinic.hold(later[1]["id"], confirm=True, userName="Gus Gone")["id"]
    new = hours(FIRST_DAY + WEEK, from_1="15:00", to_1="16:00", replace="yes")
    shown = text_of(admin.send(f"{path}/new", **new))
    assert "2 booked appointments" in shown
    assert "Gus Gone" in shown
    admin.submit("/admin/schedule", cancel=gone, message="We open later now.")
    assert "1 appointment was cancelled" in text_of(admin.page)
    bookings = {each: clinic.http.get(f"/api/bookings/{each}", headers=clinic.admin).json() for each in (kept, gone)}
    assert [bookings[kept]["status"], bookings[gone]["status"]] == ["CONFIRMED", "CANCELLED"]
    [(reason,)] = rows(server.database_url, "SELECT cancel_reason FROM bookings WHERE id = $1", gone)
    assert reason == "We open later now."
    assert len(starts(server, doctor_id)) == len(found)
    assert sorted(rule["lastDay"] or "" for rule in rules(clinic, doctor_id)) == [
        "",
        str(FIRST_DAY + WEEK - timedelta(1)),
    ]


def test_the_form_of_following_hours_has_what_all_present_ones_have_in_common(
    admin: AccountVisitor, clinic: Clinic
) -> None:
    path = f"/admin/doctors/{clinic.doctor()['id']}/hours"
    add_hours(admin, path, from_2="22:00", to_2="01:00")
    following = f"{path}/new?replace=yes"
    admin.open(following)
    _, form = admin.form(f"{path}/new")
    assert [form[f"{name}_{period}"] for period in (1, 2) for name in ("from", "to")] == [
        "09:00", "10:00", "22:00", "01:00",
    ]  # fmt: skip
    assert (form["weekdays"], form["replace"]) == (str(FIRST_DAY.isoweekday()), "yes")
    assert date.fromisoformat(form["first_day"]).day == 1
    add_hours(admin, path, weekdays=(FIRST_DAY + timedelta(1)).isoweekday())
    admin.open(following)
    _, form = admin.form(f"{path}/new")
    assert "weekdays" not in form, "hours that differ from day to day are not guessed"
    assert form["replace"] == "yes"
    assert "not filled with the present hours, because the present hours are not the same" in text_of(admin.page)


def test_what_changed_since_the_preview_is_shown_and_nothing_is_done(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    doctor_id = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor_id}/hours"
    add_hours(admin, path)
    [rule] = rules(clinic, doctor_id)
    admin.send(f"{path}/{rule['id']}", version=rule["version"], step="remove")
    clinic.hold(first_slot(clinic, doctor_id)["id"], confirm=True, userName="Lara Late")
    again = admin.submit("/admin/schedule")
    assert again.status_code == 409
    assert "Something has changed since you looked" in text_of(again)
    assert "Lara Late" in text_of(again)
    assert rules(clinic, doctor_id)
    admin.submit("/admin/schedule")
    assert "Done." in admin.page.text
    assert rules(clinic, doctor_id) == []
    assert starts(server, doctor_id) == []


def test_hours_that_can_no_longer_be_added_lead_back_to_their_form_with_what_was_typed(
    admin: AccountVisitor, clinic: Clinic
) -> None:
    """Somebody stops offering their visit type between the preview and the button."""
    path = f"/admin/doctors/{clinic.doctor()['id']}/hours"
    visit_type = clinic.http.post(
        "/api/visit-types", json={"name": "Travel", "minutes": 30}, headers=clinic.admin
    ).json()["id"]
    admin.send(f"{path}/new", **hours(FIRST_DAY, visit_types=visit_type, to_1="11:30"))
    clinic.http.patch(f"/api/visit-types/{visit_type}", json={"active": False}, headers=clinic.admin)
    back = admin.submit("/admin/schedule")
    assert back.url.path == f"{path}/new"
    assert "Nothing was changed" in text_of(back)
    assert "is not offered" in text_of(back)
    _, form = admin.form(f"{path}/new")
    assert (form["weekdays"], form["to_1"]) == (str(FIRST_DAY.isoweekday()), "11:30")


def test_booked_times_outside_of_the_hours_are_listed_with_their_pages(admin: AccountVisitor, clinic: Clinic) -> None:
    doctor_id = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor_id}/hours"
    add_hours(admin, path)
    slot = first_slot(clinic, doctor_id)
    clinic.hold(slot["id"], confirm=True)
    assert "Booked outside of these hours" not in text_of(admin.open(path))
    [rule] = rules(clinic, doctor_id)
    admin.send(f"{path}/{rule['id']}", version=rule["version"], step="remove")
    admin.submit("/admin/schedule")
    shown = admin.open(path)
    assert "Booked outside of these hours" in text_of(shown)
    assert f'href="/admin/slots/{slot["id"]}"' in shown.text


def test_hours_are_changed_and_ended_and_the_second_of_two_clerks_is_told(
    admin: AccountVisitor, clinic: Clinic
) -> None:
    doctor_id = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor_id}/hours"
    add_hours(admin, path)
    [rule] = rules(clinic, doctor_id)
    own = f"{path}/{rule['id']}"
    admin.open(own)
    admin.submit(own, to_1="11:00", weekdays=rule["weekday"])
    admin.submit("/admin/schedule")
    assert rules(clinic, doctor_id)[0]["to"] == "11:00"
    refused = admin.send(own, version=rule["version"], step="remove")
    assert refused.status_code == 409
    assert "Somebody else has changed these hours" in text_of(refused)
    admin.send(own, version=rules(clinic, doctor_id)[0]["version"], step="end", end_day=FIRST_DAY)
    admin.submit("/admin/schedule")
    assert rules(clinic, doctor_id)[0]["lastDay"] == str(FIRST_DAY)
    last_day = f"until {FIRST_DAY:%a} {FIRST_DAY.day} {FIRST_DAY:%b}"
    assert text_of(admin.page).count(last_day) == 2, "no time after the last day can be booked"


def test_what_is_wrong_stands_at_its_field(admin: AccountVisitor, clinic: Clinic) -> None:
    path = f"/admin/doctors/{clinic.doctor()['id']}/hours/new"
    admin.open(path)
    wrong = admin.send(path, **hours(FIRST_DAY, from_1="9 o'clock", total_seats=0))
    assert wrong.status_code == 400
    assert "such as 09:30" in error_of(wrong, "from_1")
    assert "whole number" in error_of(wrong, "total_seats")
    wrong = admin.send(path, **hours(FIRST_DAY, slot_minutes=90))
    assert "does not fit into the hours" in error_of(wrong, "slot_minutes").lower()
    wrong = admin.send(path, **hours(FIRST_DAY, last_day=FIRST_DAY - WEEK))
    assert "before the first day" in error_of(wrong, "last_day")


def test_what_is_wrong_with_boxes_that_are_not_ticked_stands_at_them(admin: AccountVisitor, clinic: Clinic) -> None:
    path = f"/admin/doctors/{clinic.doctor()['id']}/hours/new"
    wrong = admin.send(path, **hours(FIRST_DAY, weekdays="", kind="WINDOW", step_minutes=20))
    assert 'href="#weekdays">On: choose at least one day' in wrong.text
    wrong = admin.send(path, **hours(FIRST_DAY, kind="WINDOW", step_minutes=20))
    assert 'href="#visit_types">Visit types: must have at least one visit type for open time' in wrong.text
    assert 'id="visit_types"' in wrong.text, "also where there is no visit type yet"


def test_the_chosen_kind_stays_chosen_and_fields_of_the_other_kind_are_not_read(
    admin: AccountVisitor, clinic: Clinic
) -> None:
    path = f"/admin/doctors/{clinic.doctor()['id']}/hours/new"
    unread = {"slot_minutes": "", "break_minutes": "-1", "total_seats": "many"}
    wrong = admin.send(path, **hours(FIRST_DAY, kind="WINDOW", step_minutes=2, **unread))
    assert "from 5 to 60" in error_of(wrong, "step_minutes")
    assert wrong.text.count('class="error"') == 1, text_of(wrong)
    assert admin.form(path)[1]["kind"] == "WINDOW"
    admin.send(path, **hours(FIRST_DAY, kind="FIXED", step_minutes="often"))
    assert "Nothing has been changed yet." in text_of(admin.page)
    assert "must be one of the choices" in text_of(admin.send(path, **hours(FIRST_DAY, kind="OTHER")))
    assert "kind" not in admin.form(path)[1], "then the fields of both kinds are shown"


def test_a_change_that_this_server_did_not_make_is_refused(admin: AccountVisitor) -> None:
    assert admin.send("/admin/schedule", change="e30.00", token="x").status_code == 400


def test_open_time_is_added_shown_and_becomes_shorter(admin: AccountVisitor, clinic: Clinic) -> None:
    doctor_id = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor_id}/hours"
    new = {"name": "Long talk", "minutes": 45}
    visit_type = clinic.http.post("/api/visit-types", json=new, headers=clinic.admin).json()["id"]
    given = hours(
        FIRST_DAY, kind="WINDOW", step_minutes=20, to_1="11:30", last_day=FIRST_DAY, from_2="13:00", to_2="14:00"
    )
    admin.send(f"{path}/new", **given)
    assert "must have at least one visit type for open time" in text_of(admin.page).lower()
    admin.send(f"{path}/new", **given, visit_types=visit_type)
    assert "3 hours and 30 minutes of open time on 1 day will be added." in text_of(admin.page)
    admin.submit("/admin/schedule")
    assert "Done." in admin.page.text
    assert "Open time, every 20 minutes Long talk" in text_of(admin.page)
    first, second = rules(clinic, doctor_id)
    assert [(each["kind"], each["durationMinutes"]) for each in (first, second)] == [("WINDOW", 150), ("WINDOW", 60)]
    admin.open(f"{path}/{first['id']}")
    assert admin.form(f"{path}/{first['id']}")[1]["kind"] == "WINDOW"
    admin.submit(f"{path}/{first['id']}", to_1="10:00")
    assert "Open time on 1 day will change from 3 hours and 30 minutes to 2 hours." in text_of(admin.page)
    assert "times will stay" not in text_of(admin.page), "there are none"
    admin.submit("/admin/schedule")
    assert "Done. Open time on 1 day changed from 3 hours and 30 minutes to 2 hours." in text_of(admin.page)
    assert [each["durationMinutes"] for each in rules(clinic, doctor_id)] == [60, 60]
    admin.open(f"{path}/{second['id']}")
    admin.submit(f"{path}/{second['id']}", from_1="14:00", to_1="15:00")
    assert "Open time on 1 day will move to other hours." in text_of(admin.page)
    admin.submit("/admin/schedule")
    assert "Done. Open time on 1 day moved to other hours." in text_of(admin.page)
    admin.send(f"{path}/{first['id']}", version=rules(clinic, doctor_id)[0]["version"], step="remove")
    assert "1 hour of open time on 1 day will be taken away." in text_of(admin.page)


def test_hours_of_a_day_stand_by_the_hour_and_name_their_visit_types(admin: AccountVisitor, clinic: Clinic) -> None:
    path = f"/admin/doctors/{clinic.doctor()['id']}/hours"
    types = [
        clinic.http.post("/api/visit-types", json={"name": name, "minutes": 30}, headers=clinic.admin).json()["id"]
        for name in ("Ears", "Eyes", "Nose", "Feet", "Throat")
    ]
    add_hours(admin, path, from_1="13:00", to_1="14:00")
    add_hours(admin, path, first_day=FIRST_DAY + WEEK, from_1="11:00", to_1="12:00", visit_types=types[0])
    add_hours(admin, path, first_day=FIRST_DAY + 2 * WEEK, kind="WINDOW", step_minutes=20, visit_types=types)
    clinic.http.patch(f"/api/visit-types/{types[0]}", json={"active": False}, headers=clinic.admin)
    rows_of_day = re.findall(
        r"(\S+) to \S+ from .*?, without an end (.*?) (?:until|not yet)", text_of(admin.open(path))
    )
    assert rows_of_day == [
        ("09:00", "Open time, every 20 minutes Ears (not offered), Eyes, Nose 2 more Feet, Throat"),
        ("11:00", "Fixed times, 30 minutes each Ears (not offered)"),
        ("13:00", "Fixed times, 30 minutes each None"),
    ]


def test_visits_are_shorter_from_a_day_on_by_one_change(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    """The page ends the present hours and begins those with another visit type; a type has one length on all days."""
    doctor_id, types = clinic.doctor()["id"], {}
    path = f"/admin/doctors/{doctor_id}/hours"
    for name, minutes in (("Check-up", 30), ("Short check-up", 20)):
        given = {"name": name, "minutes": minutes}
        types[minutes] = clinic.http.post("/api/visit-types", json=given, headers=clinic.admin).json()["id"]
    add_hours(admin, path, visit_types=types[30])
    shorter = hours(FIRST_DAY + WEEK, slot_minutes=20, replace="yes", visit_types=types[30])
    wrong = error_of(admin.send(f"{path}/new", **shorter), "slot_minutes")
    assert "Must be 30, the length of Check-up. For visits of 20 minutes, tick a visit type of that length" in wrong
    shown = text_of(admin.send(f"{path}/new", **shorter | {"visit_types": types[20]}))
    assert re.search(r"\d+ times will be added. \d+ times will be taken away.", shown), shown
    admin.submit("/admin/schedule")
    assert "Done." in admin.page.text
    found = rows(server.database_url, LENGTHS, doctor_id)
    assert {(each["later"], each["minutes"], each["kind"]) for each in found} == {
        (False, 30, types[30]),
        (True, 20, types[20]),
    }


LENGTHS = (
    f"SELECT start_time >= '{FIRST_DAY + WEEK}' AS later, visit_type_ids[1] AS kind,"
    " (extract(epoch FROM end_time - start_time) / 60)::integer AS minutes"
    " FROM appointment_slots WHERE doctor_id = $1 AND status = 'OPEN'"
)


def test_an_absence_says_how_much_open_time_it_closes(admin: AccountVisitor, clinic: Clinic) -> None:
    doctor_id = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor_id}/hours"
    kind = clinic.http.post("/api/visit-types", json={"name": "Chat", "minutes": 45}, headers=clinic.admin).json()["id"]
    add_hours(admin, path, kind="WINDOW", step_minutes=20, to_1="11:00", last_day=FIRST_DAY, visit_types=kind)
    told = "2 hours of open time on 1 day will be closed."
    for day, expected in ((FIRST_DAY, True), (FIRST_DAY + timedelta(1), False)):
        admin.open(f"/admin/closures/new?where=doctor:{doctor_id}&day={day}")
        shown = text_of(admin.submit("/admin/closures/new", where=f"doctor:{doctor_id}"))
        assert "Nothing has been changed yet." in shown, shown
        assert (told in shown) is expected
        assert ("No time will be added or taken away." in shown) is not expected


def test_open_time_that_the_clocks_moved_is_listed_and_published_again(
    admin: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    doctor_id = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor_id}/hours"
    kind = clinic.http.post("/api/visit-types", json={"name": "Talk", "minutes": 45}, headers=clinic.admin).json()["id"]
    add_hours(admin, path, kind="WINDOW", step_minutes=20, to_1="11:00", last_day=FIRST_DAY, visit_types=kind)
    assert "The rules of the clocks have changed" not in text_of(admin.open(path))
    [rule] = rules(clinic, doctor_id)
    rows(server.database_url, "UPDATE rule_runs SET tzdata = '1999a' WHERE rule_id = $1", rule["id"])
    moved = "UPDATE windows SET start_time = start_time - interval '1 hour', end_time = end_time - interval '1 hour'"
    rows(server.database_url, f"{moved} WHERE rule_id = $1", rule["id"])
    shown = text_of(admin.open(path))
    assert "The rules of the clocks have changed" in shown
    assert "Open time on this day no longer begins at the hour that these hours say" in shown
    assert re.search(rf"{FIRST_DAY.day} {FIRST_DAY:%b}, 08:00 , should be .*, 09:00", shown), shown
    admin.send(f"{path}/{rule['id']}", version=rule["version"], step="again")
    assert "Open time on 1 day will move to other hours." in text_of(admin.page)
    admin.submit("/admin/schedule")
    assert "Done. Open time on 1 day moved to other hours." in text_of(admin.page)
    assert "The rules of the clocks have changed" not in text_of(admin.page)
