"""A preview whose change is no longer possible when its button is pressed: what was typed and ticked there stays."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, rows
from tests.web.kit.test_kept_forms import Admin, end_sessions
from tests.web.people import AccountVisitor, text_of
from tests.web.schedule.test_hours_pages import FIRST_DAY, first_slot, hours, rules
from tests.web.schedule.test_sick_day import DAY, send, slot_at
from tests.web.schedule.test_takeover import hidden

MESSAGE = "Please call us for another time."


@pytest.fixture
def admin(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        assert visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD).status_code == 303
        visitor.http.follow_redirects = True
        yield visitor


def is_decided(page: Any, booking: int) -> bool:
    """Whether a preview has the message and the tick."""
    assert "What will happen" in text_of(page), text_of(page)
    ticks = dict(re.findall(r'name="cancel" value="(\d+)" (checked)?', page.text))
    return MESSAGE in page.text and ticks[str(booking)] == "checked"


def refused(page: Any, why: str) -> None:
    assert page.status_code in {400, 409}, text_of(page)
    assert f"Nothing was changed. {why}" in text_of(page)
    assert "What you decided is kept" in text_of(page)
    assert MESSAGE in text_of(page)


def with_hours(admin: AccountVisitor, clinic: Clinic, **more: object) -> tuple[str, int]:
    """A doctor with hours, of which the first time is booked: the hours' page, and the booking."""
    doctor = clinic.doctor()["id"]
    path = f"/admin/doctors/{doctor}/hours"
    admin.send(f"{path}/new", **hours(FIRST_DAY, **more))
    admin.submit("/admin/schedule")
    return path, int(clinic.hold(first_slot(clinic, doctor)["id"], confirm=True)["id"])


def test_changed_hours_that_another_clerk_changes_meanwhile(admin: AccountVisitor, clinic: Clinic) -> None:
    path, booking = with_hours(admin, clinic)
    [rule] = rules(clinic, int(path.split("/")[3]))
    form = f"{path}/{rule['id']}"
    admin.open(form)
    admin.submit(form, from_1="11:00", to_1="12:00")
    change_elsewhere(clinic, changeRules=[{"id": rule["id"], "totalSeats": 3}])
    page = admin.submit("/admin/schedule", cancel=booking, message=MESSAGE)
    refused(page, "Change rules: was changed by somebody else meanwhile; look at it again.")
    assert f'<a href="/admin/bookings/{booking}">' in page.text
    again = admin.submit(form)
    assert again.status_code == 409
    assert "They are now as below" in text_of(again)
    assert is_decided(admin.submit(form, from_1="11:00", to_1="12:00"), booking)
    assert "Done." in text_of(admin.submit("/admin/schedule", cancel=booking, message=MESSAGE))
    assert clinic.http.get(f"/api/bookings/{booking}", headers=clinic.admin).json()["status"] == "CANCELLED"


def change_elsewhere(clinic: Clinic, **change: object) -> None:
    token = clinic.http.post("/api/schedule/preview", json=change, headers=clinic.admin).json()["token"]
    done = clinic.http.post("/api/schedule/apply", json=change | {"token": token}, headers=clinic.admin)
    assert done.status_code == 200, done.text


def test_new_hours_in_place_of_others_whose_visits_are_not_offered_meanwhile(
    admin: AccountVisitor, clinic: Clinic
) -> None:
    path, booking = with_hours(admin, clinic)
    visit_type = new_type(clinic)
    admin.send(f"{path}/new", **hours(FIRST_DAY, visit_types=visit_type, from_1="11:00", to_1="12:00", replace="yes"))
    offer(clinic, visit_type, active=False)
    refused(admin.submit("/admin/schedule", cancel=booking, message=MESSAGE), "Visit type ids: names visit type")
    form = admin.submit(f"{path}/new")
    assert form.status_code == 400
    assert "Visit types: must be among the choices" in text_of(form)
    assert is_decided(admin.submit(f"{path}/new", visit_types=""), booking)


def new_type(clinic: Clinic) -> int:
    answer = clinic.http.post("/api/visit-types", json={"name": "Travel", "minutes": 30}, headers=clinic.admin)
    return int(answer.json()["id"])


def offer(clinic: Clinic, visit_type: int, *, active: bool) -> None:
    clinic.http.patch(f"/api/visit-types/{visit_type}", json={"active": active}, headers=clinic.admin)


def test_hours_that_another_clerk_has_removed_meanwhile(admin: AccountVisitor, clinic: Clinic) -> None:
    """They have no form to go back to. To try again is refused again, and loses nothing either."""
    path, booking = with_hours(admin, clinic)
    [rule] = rules(clinic, int(path.split("/")[3]))
    admin.send(f"{path}/{rule['id']}", version=1, step="remove")
    change_elsewhere(clinic, removeRules=[rule["id"]])
    for page in (admin.submit("/admin/schedule", cancel=booking, message=MESSAGE), admin.submit("/admin/schedule")):
        refused(page, "Remove rules: does not exist.")


def test_a_take_over_by_a_colleague_who_is_deactivated_meanwhile(admin: AccountVisitor, clinic: Clinic) -> None:
    ill, colleague = (clinic.doctor(name=name) for name in ("Dr. Sick", "Dr. Leaves"))
    kept, other = (clinic.hold(slot_at(clinic, ill, 9, minute), confirm=True)["id"] for minute in (0, 10))
    absence = {"where": f"doctor:{ill['id']}", "first_day": str(DAY), "message": "Ill."}
    page = admin.send("/admin/closures/new", **absence)
    chosen = [("step", "colleague"), ("colleague_id", str(colleague["id"]))]
    page = send(admin, "/admin/schedule", [*hidden(page.text), *chosen])
    clinic.http.patch(f"/api/doctors/{colleague['id']}", json={"active": False}, headers=clinic.admin)
    choices = [("decision", f"{kept} KEEP"), ("decision", f"{other} TAKE_OVER"), ("message", MESSAGE)]
    admin.page = send(admin, "/admin/schedule", [*hidden(page.text), *choices])
    refused(admin.page, "Colleague id: must be the id of a doctor who takes appointments.")
    for way_on in ("/admin/closures/new", "/admin/schedule"):
        shown = send(admin, *filled(admin, way_on))
        assert is_decided(shown, other)
        assert f'name="cancel" value="{kept}" >' in shown.text, "what stays booked is not ticked"


def filled(admin: AccountVisitor, action: str) -> tuple[str, list[tuple[str, str]]]:
    where, fields = admin.form(action)
    return where, list(fields.items())


def test_a_closure_that_another_clerk_changes_meanwhile(admin: AccountVisitor, clinic: Clinic) -> None:
    doctor = clinic.doctor()
    booking = clinic.hold(slot_at(clinic, doctor, 9), confirm=True)["id"]
    far = {"doctorId": doctor["id"], "startTime": "2035-12-24T00:00:00Z", "endTime": "2035-12-25T00:00:00Z"}
    change_elsewhere(clinic, addClosures=[far])
    closure = next(each["id"] for each in closures(clinic) if each["doctorId"] == doctor["id"])
    path = f"/admin/closures/{closure}"
    admin.open(path)
    admin.submit(path, where=f"doctor:{doctor['id']}", first_day=DAY, last_day=DAY)
    change_elsewhere(clinic, changeClosures=[{"id": closure, "reason": "A cold"}])
    refused(admin.submit("/admin/schedule", cancel=booking, message=MESSAGE), "Change closures: was changed")
    assert admin.submit(path).status_code == 409
    assert is_decided(admin.submit(path, where=f"doctor:{doctor['id']}", first_day=DAY, last_day=DAY), booking)


def closures(clinic: Clinic) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = clinic.http.get(
        "/api/closures", params={"from": "2035-12-24T00:00:00Z"}, headers=clinic.admin
    ).json()["items"]
    return found


def test_a_length_of_a_type_whose_hours_get_another_type_meanwhile(admin: AccountVisitor, clinic: Clinic) -> None:
    used, other = new_type(clinic), new_type(clinic)
    path, booking = with_hours(admin, clinic, visit_types=used)
    [rule] = rules(clinic, int(path.split("/")[3]))
    form = f"/admin/visit-types/{used}"
    admin.open(form)
    admin.submit(form, minutes=20)
    change_elsewhere(clinic, changeRules=[{"id": rule["id"], "visitTypeIds": [used, other]}])
    refused(admin.submit("/admin/schedule", cancel=booking, message=MESSAGE), "Minutes: needs the same length")
    assert is_decided(admin.submit(form), booking)


def test_a_preview_that_is_impossible_after_the_log_in(server: RunningServer, clinic: Clinic) -> None:
    with Admin(server) as admin:
        admin.log_in(admin.email)
        admin.http.follow_redirects = True
        path, booking = with_hours(admin, clinic)
        [rule] = rules(clinic, int(path.split("/")[3]))
        admin.open(f"{path}/{rule['id']}")
        admin.submit(f"{path}/{rule['id']}", from_1="11:00", to_1="12:00")
        end_sessions(server, admin.email)
        admin.submit("/admin/schedule", cancel=booking, message=MESSAGE)
        change_elsewhere(clinic, changeRules=[{"id": rule["id"], "totalSeats": 3}])
        admin.page = admin.log_in(admin.email)
        refused(admin.page, "Change rules: was changed by somebody else")
        assert admin.submit(f"{path}/{rule['id']}").status_code == 409
        assert is_decided(admin.submit(f"{path}/{rule['id']}", from_1="11:00", to_1="12:00"), booking)


def test_a_message_that_is_too_long_is_shown_again_with_the_ticks(admin: AccountVisitor, clinic: Clinic) -> None:
    doctor = clinic.doctor()
    booking = clinic.hold(slot_at(clinic, doctor, 9), confirm=True)["id"]
    page = admin.send("/admin/closures/new", where=f"doctor:{doctor['id']}", first_day=DAY)
    again = send(admin, "/admin/schedule", [*hidden(page.text), ("message", MESSAGE * 40)])
    assert again.status_code == 400
    assert MESSAGE * 40 in again.text
    assert f'name="cancel" value="{booking}" >' in again.text, "it was not ticked"


def test_what_no_cookie_can_hold_stays_on_the_page_that_asks_to_log_in(server: RunningServer, clinic: Clinic) -> None:
    """A thousand letters that take three bytes each."""
    long = "\u0e01" * 1000
    doctor = clinic.doctor()
    booking = clinic.hold(slot_at(clinic, doctor, 9), confirm=True)["id"]
    with Admin(server) as admin:
        admin.log_in(admin.email)
        admin.send("/admin/closures/new", where=f"doctor:{doctor['id']}", first_day=DAY)
        end_sessions(server, admin.email)
        page = admin.submit("/admin/schedule", cancel=booking, message=long)
        assert page.status_code == 401
        assert "Nothing was changed" in text_of(page)
        assert '<a href="/log-in" target="_blank">' in page.text
        admin.log_in(admin.email)
        assert admin.submit("/admin/schedule").status_code == 303
    found = clinic.http.get(f"/api/bookings/{booking}", headers=clinic.admin).json()
    assert found["status"] == "CANCELLED"
    [(told,)] = rows(server.database_url, "SELECT cancel_reason FROM bookings WHERE id = $1", booking)
    assert told == long
