"""Accounts as pages for admins: find, create, change the role, deactivate, set a password."""

import re
from collections.abc import Callable, Iterator

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, rows, unique_email
from tests.web.visiting import Visitor

LIST = "/admin/users"


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with admin_of(server) as visitor:
        yield visitor


def admin_of(server: RunningServer) -> Visitor:
    visitor = Visitor(server)
    visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
    return visitor


def shown_password(visitor: Visitor) -> str:
    [password] = re.findall(r'<input id="password"[^>]* value="([^"]+)"', visitor.page.text)
    return str(password)


def actions_on(clinic: Clinic, user_id: str) -> list[str]:
    query = "SELECT action FROM audit_log WHERE subject = 'user:' || $1 AND actor = 'user:1' ORDER BY id"
    return [row["action"] for row in rows(clinic.server.database_url, query, user_id) if row["action"] != "get_user"]


def test_an_account_is_created_with_a_password_that_is_shown_once(clinic: Clinic, desk: Visitor) -> None:
    email = unique_email()
    desk.open(f"{LIST}/new")
    assert desk.submit(f"{LIST}/new", name="", email=email, role="staff").status_code == 400
    assert 'href="#name"' in desk.page.text
    desk.submit(f"{LIST}/new", name="Sam Staff", email=email, role="staff")
    clinic.log_in(email, shown_password(desk))
    [user_id] = re.findall(rf'href="{LIST}/(\d+)"', desk.page.text)
    assert shown_password_is_gone(desk, user_id)
    assert actions_on(clinic, user_id) == ["create_user"]
    assert desk.send(f"{LIST}/new", name="Sam", email=email, role="staff", password="").status_code == 409
    found = desk.open(f"{LIST}?who={email}&role=staff").text
    assert found.count('role="rowheader"') == 1
    assert desk.open(f"{LIST}?who={email}&role=doctor").text.count('role="rowheader"') == 0


def shown_password_is_gone(visitor: Visitor, user_id: str) -> bool:
    password = shown_password(visitor)
    return password not in visitor.open(f"{LIST}/{user_id}").text


def test_a_role_is_changed_and_a_user_is_deactivated_and_reactivated(clinic: Clinic, desk: Visitor) -> None:
    email = unique_email()
    desk.send(f"{LIST}/new", name="Sam", email=email, role="patient", password="a password of Sam's")
    user_id = desk.page.url.path.rpartition("/")[2]
    rights = f"{LIST}/{user_id}/rights"
    assert clinic.http.get("/api/bookings", headers=clinic.log_in(email, "a password of Sam's")).status_code == 403
    desk.send(rights, role="staff")
    assert clinic.http.get("/api/bookings", headers=clinic.log_in(email, "a password of Sam's")).status_code == 200
    desk.send(rights, active="no")
    assert "Reactivate" in desk.page.text
    body = {"email": email, "password": "a password of Sam's"}
    assert clinic.http.post("/api/auth/login", json=body).status_code == 401
    desk.send(rights, active="yes")
    assert clinic.http.post("/api/auth/login", json=body).status_code == 200
    assert desk.send(rights, role="king").status_code == 400
    desk.open(f"{LIST}/{user_id}/password")
    assert desk.submit(f"{LIST}/{user_id}/password", password="short").status_code == 400
    desk.submit(f"{LIST}/{user_id}/password", password="")
    assert clinic.http.post("/api/auth/login", json=body).status_code == 401
    clinic.log_in(email, shown_password(desk))
    assert actions_on(clinic, user_id) == ["create_user", *["change_rights"] * 3, "reset_password"]
    for place in (f"{LIST}/{10**17}", f"{LIST}/{10**17}/password"):
        assert desk.open(place).status_code == 404


def test_reloading_the_page_with_a_new_password_sets_no_other(clinic: Clinic, desk: Visitor) -> None:
    email = unique_email()
    desk.send(f"{LIST}/new", name="Sam", email=email, role="patient", password="a password of Sam's")
    password_page = f"{LIST}/{desk.page.url.path.rpartition('/')[2]}/password"
    asked = desk.open(password_page)
    desk.submit(password_page)
    shown = shown_password(desk)
    desk.page = asked
    assert desk.submit(password_page).status_code == 409
    assert "it is valid" in desk.page.text
    clinic.log_in(email, shown)
    desk.submit(password_page)
    clinic.log_in(email, shown_password(desk))


def test_admins_confirm_changes_of_their_own_account_and_the_last_one_stays(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server()
    with admin_of(server) as desk:
        desk.open(f"{LIST}/1")
        desk.send(f"{LIST}/1/rights", role="staff")
        assert desk.heading == "Change your own account?"
        desk.submit(f"{LIST}/1/rights")
        assert desk.page.status_code == 409
        assert "This is the only admin; make another user an admin first." in desk.page.text
        assert desk.open(LIST).status_code == 200  # and is still logged in
        desk.send(f"{LIST}/new", name="Next", email="next@example.org", role="admin", password="a password of Next")
        desk.send(f"{LIST}/1/rights", active="no", sure="yes")
        assert "You have been logged out" in desk.page.text
        assert desk.open(LIST).url.path == "/log-in"
