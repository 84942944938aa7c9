"""The pages of an account: appointments, the password, personal data and deletion."""

import re
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest

from slotwise.web.booking.my_bookings import PAGE_SIZE
from tests.clinic import Clinic, RunningServer, in_hours, rows
from tests.web.people import PASSWORD, AccountVisitor, cookie_of, error_of, text_of

NEW_PASSWORD = "another fine secret"


@pytest.fixture
def visitor(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        yield visitor


def bookings_on(page: str) -> list[int]:
    """In the order in which they are shown."""
    return list(dict.fromkeys(int(number) for number in re.findall(r'href="/bookings/(\d+)', page)))


def test_appointments_are_listed_with_their_actions(visitor: AccountVisitor, clinic: Clinic) -> None:
    visitor.register("Pat <Patient>")
    doctor = clinic.doctor(name="Dr. <b>No</b>", specialization="Cardiology")
    slots = [clinic.slot(doctorId=doctor["id"], seats=3, startTime=in_hours(hours)) for hours in (50, 30, 40, 60, 70)]
    later, sooner, cancelled, past, on = (
        clinic.hold(slot["id"], headers=visitor.bearer, confirm=True, seatsBooked=2)["id"] for slot in slots
    )
    held = clinic.hold(slots[0]["id"], headers=visitor.bearer)["id"]
    clinic.http.delete(f"/api/bookings/{cancelled}", headers=visitor.bearer)
    move = "UPDATE appointment_slots SET start_time = now() + $2, end_time = now() + $3 WHERE id = $1"
    for slot, start, end in ((slots[3], -2, -1), (slots[4], -1, 1)):
        rows(clinic.server.database_url, move, slot["id"], timedelta(hours=start), timedelta(hours=end))
    page = visitor.http.get("/account")
    assert bookings_on(page.text) == [on, sooner, later, held, cancelled, past]
    assert bookings_on(page.text.partition("Past and cancelled")[2]) == [cancelled, past]
    entries = re.findall(r"<li class=\"card.*?</ul>\s*</li>", page.text, re.DOTALL)
    for entry, actions, words in zip(
        entries,
        ([""], ["", "/calendar.ics", "/cancel"], ["", "/calendar.ics", "/cancel"], [""], [""], [""]),
        ("Confirmed", "Confirmed", "Confirmed", "On hold", "Cancelled", "for 2 people"),
        strict=True,
    ):
        assert re.findall(r'href="/bookings/\d+(.*?)"', entry) == actions
        assert words in entry
        assert "Dr. &lt;b&gt;No" in entry
    assert "Pat &lt;Patient&gt;" in page.text
    for url in re.findall(r'href="(/bookings/\d+(?:/calendar.ics|/cancel)?)"', page.text):
        assert visitor.http.get(url).status_code == 200, url


def test_without_appointments_the_page_links_to_finding_a_time(visitor: AccountVisitor) -> None:
    visitor.register()
    page = visitor.http.get("/account")
    assert "You have no upcoming appointments. Find a time" in text_of(page)
    assert "Past" not in text_of(page)


def test_upcoming_and_past_appointments_have_pages_of_their_own(visitor: AccountVisitor, clinic: Clinic) -> None:
    email = visitor.register()
    doctor = clinic.doctor()
    plant = """
    WITH slots AS (
        INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)
        SELECT $1, start, start + interval '1 hour', 2, 1
        FROM generate_series(now() - interval '30.5 hours', now() + interval '29.5 hours', '1 hour') AS start
        RETURNING id
    )
    INSERT INTO bookings (
        slot_id, user_id, user_name, user_email, seats_booked, status, confirmed_at, manage_token_hash
    )
    SELECT s.id, u.id, u.name, u.email, 1, 'CONFIRMED', now(), '' FROM slots AS s, users AS u WHERE u.email = $2
    """
    rows(clinic.server.database_url, plant, doctor["id"], email)
    first = visitor.http.get("/account").text
    coming, past = first.partition('id="past"')[::2]
    for part, parameter in ((coming, "after"), (past, "before")):
        [more] = re.findall(rf'href="(/account\?{parameter}=[^"]+)"', part)
        rest = visitor.http.get(more).text
        assert len(bookings_on(part)) == PAGE_SIZE
        # The appointment that is going on now has not ended, so it counts as upcoming.
        assert len({*bookings_on(part), *bookings_on(rest)}) == (31 if parameter == "after" else 30)
        assert 'href="/account"' in rest.partition("<main")[2]
        assert f"?{parameter}=" not in rest


def test_an_invalid_position_is_refused_with_an_error_page(visitor: AccountVisitor) -> None:
    visitor.register()
    start = "2026-11-24T09:00:00Z"
    for place in ("", "x", start, f"{start}.", f"{start}.x", f"{start}.-1", f"{start[:-1]}.7", f"{start}.{2**63}",
                  "0001-01-01T00:00:00Z.1", "9999-12-31T23:59:59-14:00.1", "\x00"):  # fmt: skip
        for name in ("after", "before"):
            page = visitor.http.get("/account", params={name: place})
            assert (page.status_code, "This request is not valid" in page.text) == (400, True), place


def test_a_new_password_ends_all_other_sessions(visitor: AccountVisitor, server: RunningServer) -> None:
    email = visitor.register()
    with AccountVisitor(server) as other:
        other.log_in(email)
        answer = visitor.post("/account/password", current_password=PASSWORD, new_password=NEW_PASSWORD)
        assert (answer.status_code, answer.headers["location"]) == (303, "/account")
        assert "Your password is changed." in text_of(visitor.http.get("/account"))
        assert not other.is_logged_in()
        assert other.log_in(email).status_code == 401
        assert other.log_in(email, NEW_PASSWORD).status_code == 303


def test_a_password_that_is_wrong_or_too_weak_changes_nothing(visitor: AccountVisitor) -> None:
    email = visitor.register()
    for fields, status, field, sentence in (
        ({"current_password": "wrong"}, 401, "current_password", "This is not your password."),
        ({"new_password": "short"}, 400, "new_password", "Must have 8 to 128 characters."),
        ({"new_password": "x" * 129}, 400, "new_password", "Must have 8 to 128 characters."),
        ({"new_password": "12345678"}, 400, "new_password", "Is among the most common passwords; choose another."),
    ):
        sent = {"current_password": PASSWORD, "new_password": NEW_PASSWORD} | fields
        answer = visitor.post("/account/password", **sent)
        assert (answer.status_code, error_of(answer, field)) == (status, sentence)
        assert NEW_PASSWORD not in answer.text
    assert visitor.is_logged_in()
    assert visitor.log_in(email).status_code == 303


def test_after_ten_wrong_passwords_the_account_pages_say_when_to_try_again(visitor: AccountVisitor) -> None:
    visitor.register()
    for _ in range(10):
        assert visitor.post("/account/delete", password="wrong").status_code == 401
    for path, fields in (
        ("/account/delete", {"password": PASSWORD}),
        ("/account/password", {"current_password": PASSWORD, "new_password": NEW_PASSWORD}),
    ):
        answer = visitor.post(path, **fields)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) > 800
        assert "Too many wrong passwords. Try again in 1" in text_of(answer)
    assert visitor.is_logged_in()


def test_the_download_of_personal_data_is_that_of_the_api(visitor: AccountVisitor, clinic: Clinic) -> None:
    visitor.register()
    clinic.hold(clinic.slot()["id"], headers=visitor.bearer, confirm=True)
    answer = visitor.http.get("/account/data.json")
    assert answer.headers["content-disposition"] == 'attachment; filename="my-data.json"'
    assert answer.headers["content-type"].startswith("application/json")
    of_api = clinic.http.get("/api/auth/me/data", headers=visitor.bearer).json()
    downloaded = answer.json()
    # Each read is audited before it happens.
    assert [note["action"] for note in of_api["auditLog"]][len(downloaded["auditLog"]) :] == ["export_personal_data"]
    assert downloaded["account"] == of_api["account"]
    assert downloaded["bookings"] == of_api["bookings"]
    assert len(downloaded["bookings"]) == 1


def test_an_account_is_deleted_only_with_its_password(visitor: AccountVisitor, clinic: Clinic) -> None:
    email = visitor.register()
    slot = clinic.slot()
    booking = clinic.hold(slot["id"], headers=visitor.bearer, confirm=True)
    refused = visitor.post("/account/delete", password="wrong")
    assert (refused.status_code, error_of(refused, "password")) == (401, "This is not your password.")
    assert visitor.is_logged_in()
    token = visitor.bearer
    answer = visitor.post("/account/delete", password=PASSWORD)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert cookie_of(answer, "slotwise-session")["max-age"] == "0"
    assert "Your account is deleted" in text_of(visitor.http.get("/log-in"))
    assert clinic.http.get("/api/auth/me", headers=token).status_code == 401
    assert clinic.free_seats(slot["id"]) == 1
    left = clinic.http.get(f"/api/bookings/{booking['id']}", headers=clinic.admin).json()
    assert (left["status"], left["userName"], left["userEmail"]) == ("CANCELLED", "Erased", "erased@erased.invalid")
    assert visitor.log_in(email).status_code == 401


def test_the_only_admin_cannot_delete_their_account(visitor: AccountVisitor, clinic: Clinic) -> None:
    email = visitor.register()
    url = clinic.server.database_url
    admins = [row["id"] for row in rows(url, "SELECT id FROM users WHERE role = 'admin'")]
    set_role = "UPDATE users SET role = $1 WHERE id = ANY($2)"
    [own] = [row["id"] for row in rows(url, "UPDATE users SET role = 'admin' WHERE email = $1 RETURNING id", email)]
    rows(url, set_role, "patient", admins)
    try:
        answer = visitor.post("/account/delete", password=PASSWORD)
    finally:
        rows(url, set_role, "admin", admins)
        rows(url, set_role, "patient", [own])
    assert answer.status_code == 409
    assert "This is the only admin; make another user an admin first." in text_of(answer)
    assert visitor.is_logged_in()


@pytest.mark.parametrize("path", ["", "/password", "/data", "/data.json", "/delete"])
def test_strangers_are_asked_to_log_in(visitor: AccountVisitor, path: str) -> None:
    answer = visitor.http.get(f"/account{path}")
    wanted = quote(f"/account{path}", safe="")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/log-in?next={wanted}")
