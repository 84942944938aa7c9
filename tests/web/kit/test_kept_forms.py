"""A form that is sent after the session has ended: nothing is done, and after the log-in it is there again."""

import base64
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slotwise.services.core.seals import Seals
from slotwise.web.kit.rendering import SHOWN_AGAIN
from tests.clinic import Clinic, RunningServer, plant_account, rows, unique_email
from tests.web.kit.test_page_access import Target
from tests.web.people import PASSWORD, AccountVisitor, text_of
from tests.web.visiting import routes

TYPED = "Typed-before-the-end"
SECRET = "a secret of mine"


class Admin(AccountVisitor):
    def __init__(self, server: RunningServer) -> None:
        super().__init__(server)
        self.server = server
        self.email = new_admin(server)


@pytest.fixture
def admin(server: RunningServer) -> Iterator[Admin]:
    with Admin(server) as visitor:
        visitor.log_in(visitor.email)
        yield visitor


def new_admin(server: RunningServer) -> str:
    email = unique_email()
    plant_account(server.database_url, email, "Ann Admin", "admin", PASSWORD)
    return email


def end_sessions(server: RunningServer, email: str) -> None:
    rows(server.database_url, "UPDATE users SET token_version = token_version + 1 WHERE email = $1", email)


def forms_with_text(slot_id: int, doctor_id: int, booking_id: int, user_id: int) -> dict[str, dict[str, str]]:
    return {
        "/admin/bookings/new": {"slot": str(slot_id), "seats": "1", "user_name": TYPED, "user_email": "a@example.org"},
        f"/admin/bookings/{booking_id}/confirm": {"user_name": TYPED, "user_email": "a@example.org"},
        f"/admin/bookings/{booking_id}/cancel": {"reason": TYPED},
        "/admin/doctors": {"name": TYPED, "specialization": "New"},
        f"/admin/doctors/{doctor_id}/edit": {"name": TYPED, "specialization": "New"},
        f"/admin/doctors/{doctor_id}/slots/one": {"day": TYPED, "time": "09:00", "total_seats": "7"},
        f"/admin/doctors/{doctor_id}/slots/new": {"first_day": TYPED, "weekdays": "7", "step": "create"},
        f"/admin/slots/{slot_id}": {"day": TYPED, "time": "09:00", "duration_minutes": "20"},
        "/admin/users/new": {"name": TYPED, "email": "a@example.org", "role": "staff", "password": SECRET},
    }


def test_what_was_typed_is_there_again_after_the_log_in_and_nothing_was_done(
    admin: Admin, clinic: Clinic, server: RunningServer
) -> None:
    slot = clinic.slot(seats=3)
    held = clinic.hold(slot["id"])
    rows(server.database_url, "UPDATE bookings SET user_name = NULL, user_email = NULL WHERE id = $1", held["id"])
    [(user_id,)] = rows(server.database_url, "SELECT id FROM users WHERE email = $1", admin.email)
    for path, fields in forms_with_text(slot["id"], slot["doctorId"], held["id"], user_id).items():
        end_sessions(server, admin.email)
        refused = admin.post(path, **fields)
        assert (refused.status_code, refused.headers["location"]) == (303, "/log-in"), path
        entered = admin.log_in(admin.email)
        assert TYPED not in entered.headers["location"]
        page = admin.http.get(entered.headers["location"])
        assert page.status_code == 200, path
        assert f'value="{TYPED}"' in page.text, path
        assert SECRET not in page.text
        assert SHOWN_AGAIN in text_of(page)
        assert SHOWN_AGAIN not in admin.http.get(entered.headers["location"]).text, "shown twice"
    assert clinic.free_seats(slot["id"]) == 2
    [(named,)] = rows(server.database_url, "SELECT count(*) FROM doctors WHERE name = $1", TYPED)
    assert named == 0


def test_it_is_kept_when_the_browser_has_dropped_every_cookie(admin: Admin) -> None:
    admin.open("/admin/users/new")
    admin.http.cookies.clear()
    admin.submit("/admin/users/new", name=TYPED)
    assert f'value="{TYPED}"' in admin.http.get(admin.log_in(admin.email).headers["location"]).text


def test_passwords_are_not_kept(admin: Admin) -> None:
    """Not even in the cookie, which anyone at this computer can read."""
    for path, fields in {
        "/account/password": {"username": TYPED, "current_password": SECRET, "new_password": SECRET},
        "/account/delete": {"username": TYPED, "password": SECRET},
        "/admin/users/new": {"name": TYPED, "password": SECRET},
    }.items():
        end_sessions(admin.server, admin.email)
        admin.post(path, **fields)
        content = base64.urlsafe_b64decode(admin.http.cookies["slotwise-kept"].partition(".")[0] + "==")
        assert TYPED.encode() in content
        assert SECRET.encode() not in content
        page = admin.http.get(admin.log_in(admin.email).headers["location"])
        assert page.url.path == path
        assert SECRET not in page.text
        assert SHOWN_AGAIN in text_of(page)


def test_a_form_without_anything_to_keep_is_shown_again_after_the_log_in(admin: Admin) -> None:
    """Nothing was typed but passwords, it is too long for a cookie, or the browser has dropped who typed it."""
    for path, fields in {
        "/account/password": {"current_password": SECRET, "new_password": SECRET},
        "/account/delete": {"password": SECRET},
        "/admin/users/new": {"name": TYPED * 1000, "password": SECRET},
    }.items():
        for cookies_stay in (True, False):
            end_sessions(admin.server, admin.email)
            if not cookies_stay:
                admin.http.cookies.clear()
            asked = admin.post(path, **fields)
            asks = admin.http.get(asked.headers["location"])
            assert SECRET not in str(admin.http.cookies)
            next_url = re.findall(r'name="next" value="([^"]*)"', asks.text)
            entered = admin.log_in(admin.email, **({"next": next_url[0]} if next_url else {}))
            assert entered.headers["location"] == path


def test_a_patient_typed_for_a_time_that_is_taken_meanwhile_is_kept_for_the_next_time(
    admin: Admin, clinic: Clinic
) -> None:
    slot, next_slot = clinic.slot(), clinic.slot()
    end_sessions(admin.server, admin.email)
    admin.post("/admin/bookings/new", slot=str(slot["id"]), seats="1", user_name=TYPED, user_email="a@example.org")
    clinic.hold(slot["id"])
    page = admin.http.get(admin.log_in(admin.email).headers["location"])
    assert "The name and e-mail that you typed are kept." in text_of(page)
    assert f'value="{TYPED}"' in admin.http.get(f"/admin/bookings/new?slot={next_slot['id']}").text


def test_another_account_on_the_same_browser_sees_nothing_of_it(admin: Admin, server: RunningServer) -> None:
    end_sessions(server, admin.email)
    admin.post("/admin/doctors", name=TYPED)
    admin.log_in(new_admin(server))
    assert TYPED not in admin.http.get("/admin/doctors").text
    assert "slotwise-kept" not in admin.http.cookies
    assert TYPED not in server.log.read_text()


def test_every_form_that_needs_an_account_names_a_page_that_exists(admin: Admin, clinic: Clinic) -> None:
    slot = clinic.slot()
    held = clinic.hold(slot["id"], confirm=True)
    other = new_admin(admin.server)
    [(user_id,)] = rows(admin.server.database_url, "SELECT id FROM users WHERE email = $1", other)
    [(visit_type,)], [(rule,)], [(closure,)] = (
        rows(admin.server.database_url, f"INSERT INTO {made} RETURNING id")
        for made in (
            "visit_types (name, minutes) VALUES ('Visit', 30)",
            "schedule_rules (doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes)"
            f" VALUES ({slot['doctorId']}, 1, '2035-01-01', 1, 540, 600, 30)",
            "closures (start_time, end_time, kind) VALUES ('2035-12-24 23:00Z', '2035-12-25 23:00Z', 'HOLIDAY')",
        )
    )
    target = Target(slot["doctorId"], slot["id"], held["id"], user_id, "", visit_type, 1, rule, closure)
    of_account = ("POST /admin", "POST /account", "POST /bookings/")
    needing = [route.removeprefix("POST ") for route in routes() if route.startswith(of_account)]
    # It is kept only with a change that was previewed: see below.
    needing.remove("/admin/schedule")
    # It has a form only while there are patients to tell.
    needing.remove("/admin/closures/{closure_id}/patients")
    assert len(needing) > 15
    assert {route for route in routes() if route.startswith("POST") and not route.startswith(of_account)} == {
        "POST /hold",
        "POST /log-in",
        "POST /log-out",
        "POST /register",
    }
    for path in needing:
        end_sessions(admin.server, admin.email)
        asked = admin.post(path.format(**target._asdict()), typed="yes", slot=str(slot["id"]))
        assert asked.headers["location"] == "/log-in", path
        leads_to = admin.log_in(admin.email).headers["location"]
        page = admin.http.get(leads_to)
        assert page.status_code == 200, (path, leads_to)
        assert SHOWN_AGAIN in text_of(page), (path, leads_to)


def test_a_preview_is_looked_at_anew_after_the_log_in(admin: Admin, clinic: Clinic) -> None:
    """With the ticks and the message, and with what differs by now."""
    doctor, day = clinic.doctor()["id"], datetime.now(UTC).date() + timedelta(days=9)
    slots = [clinic.slot(doctorId=doctor, startTime=f"{day}T{hour}:00:00Z")["id"] for hour in (10, 11, 12)]
    ticked, unticked = (clinic.hold(slot, confirm=True)["id"] for slot in slots[:2])
    admin.page = admin.post("/admin/closures/new", where=f"doctor:{doctor}", first_day=str(day))
    end_sessions(admin.server, admin.email)
    admin.submit("/admin/schedule", cancel=str(ticked), message=TYPED)
    new = clinic.hold(slots[2], confirm=True)["id"]
    admin.page = admin.http.get(admin.log_in(admin.email).headers["location"])
    told = text_of(admin.page)
    assert (admin.page.url.path, admin.page.status_code) == ("/admin/schedule", 200)
    assert SHOWN_AGAIN in told
    assert TYPED in admin.page.text
    assert "1 is new in this list." in told
    ticks = dict(re.findall(r'name="cancel" value="(\d+)" (checked)?', admin.page.text))
    assert ticks == {str(ticked): "checked", str(unticked): "", str(new): "checked"}
    assert admin.submit("/admin/schedule", cancel=str(ticked)).status_code == 303
    assert clinic.http.get(f"/api/bookings/{ticked}", headers=clinic.admin).json()["status"] == "CANCELLED"
    gone = admin.http.get("/admin/schedule")
    assert (gone.status_code, gone.headers["location"]) == (303, "/admin"), "it is shown once"


def test_a_preview_that_is_no_longer_possible_leads_back_to_its_form(admin: Admin, clinic: Clinic) -> None:
    doctor = clinic.doctor()["id"]
    hours = {
        "doctorId": doctor,
        "firstDay": "2035-01-01",
        "weekdays": [1],
        "periods": [{"from": "09:00", "to": "10:00"}],
    }
    [rule] = applied(clinic, addRules=[hours])["ruleIds"]
    path = f"/admin/doctors/{doctor}/hours"
    admin.page = admin.post(f"{path}/{rule}", version="1", step="remove")
    end_sessions(admin.server, admin.email)
    admin.submit("/admin/schedule")
    applied(clinic, removeRules=[rule])
    led = admin.http.get(admin.log_in(admin.email).headers["location"])
    assert led.headers["location"] == path
    assert "Nothing was changed. Remove rules: does not exist." in text_of(admin.http.get(path))
    assert "slotwise-kept" not in admin.http.cookies


def applied(clinic: Clinic, **change: object) -> dict[str, list[int]]:
    token = clinic.http.post("/api/schedule/preview", json=change, headers=clinic.admin).json()["token"]
    answer = clinic.http.post("/api/schedule/apply", json=change | {"token": token}, headers=clinic.admin)
    done: dict[str, list[int]] = answer.raise_for_status().json()
    return done


def test_every_form_that_needs_an_account_says_whose_it_is() -> None:
    forms = [
        (template.name, form)
        for template in Path("src/slotwise/web/templates").rglob("*.html")
        for form in re.findall(
            r'<form [^>]*method="post" action="(?:/admin|/account|/bookings).*?</form>', template.read_text(), re.DOTALL
        )
    ]
    assert len(forms) > 18
    for template, form in forms:
        assert "{{ typist_field }}" in form or "{{ hidden_token() }}" in form, template


def test_nobody_else_can_write_a_seal() -> None:
    sealed = Seals("one secret").seal(b"content")
    assert Seals("one secret").unseal(sealed) == b"content"
    for forged in ("", ".", sealed[:-1], "x" + sealed, sealed.partition(".")[0], "é" + sealed):
        assert Seals("one secret").unseal(forged) is None
    assert Seals("another secret").unseal(sealed) is None
