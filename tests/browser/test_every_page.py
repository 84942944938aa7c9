"""Every page as it opens. The other files test what happens when it is used."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible, OpenWindow, log_in, use_account
from tests.browser.full_clinic import BERLIN, EMPTY_DAY, FullClinic, patient_of
from tests.clinic import Clinic, RunningServer, rows
from tests.conftest import fresh_database, running_server
from tests.web.visiting import routes

# Pieces of pages, files, and redirects.
NO_PAGES = {
    "/account/data.json",
    "/admin/bookings.csv",
    "/admin/today/board",
    "/admin/today/latest",
    "/bookings/{booking_id}/calendar.ics",
    "/bookings/{booking_id}/confirm",
    "/bookings/{booking_id}/seats",
    "/static/{version}/{name}",
}
FOR_STRANGERS = {"/log-in", "/register"}


def pages() -> set[str]:
    """The paths of all pages, with placeholders for ids."""
    return {path for method, path in map(str.split, routes()) if method == "GET"} - NO_PAGES


@pytest.mark.slow  # every page by axe: a minute
def test_every_page_for_visitors_is_accessible(
    clinic: Clinic, window: Page, assert_accessible: AssertAccessible
) -> None:
    held = clinic.hold(clinic.slot(seats=3)["id"])
    booking = f"/bookings/{held['id']}?token={held['manageToken']}"
    clinic.http.delete(f"/api/bookings/{held['id']}", headers={"Booking-Token": held["manageToken"]})
    for path in [*sorted(FOR_STRANGERS), booking, "/nothing-here", "/bookings/1?token=wrong"]:
        window.goto(path)
        assert_accessible(window)


@pytest.mark.slow  # every page by axe: a minute
def test_every_page_of_a_full_account_is_accessible(
    clinic: Clinic, window: Page, full: FullClinic, assert_accessible: AssertAccessible
) -> None:
    use_account(window, clinic, patient_of(clinic, full))
    looker = Looker(window, assert_accessible)
    for path in ("/account", "/account/password", "/account/data", "/account/delete", full.link):
        looker.look(path)
    for name in ("Later appointments", "Cancel the appointment", "Details of the appointment", "Confirm by"):
        window.goto("/account")
        window.get_by_role("link", name=name).first.click()
        assert_accessible(window)


# What stands behind the path of a page in other states: full lists with more than one page, and empty ones.
FULL: dict[str, tuple[str, ...]] = {
    "/": (
        "?doctor={doctor}&day={long_day}",
        "?doctor={doctor}&day={long_day}&after={after}",
        "?speciality={specialization}&day=" + EMPTY_DAY,
        "?doctor={taken}",
    ),
    "/admin": ("?live=off",),
    "/admin/bookings/new": (
        "?slot={free}",
        "?doctor={doctor}&day={long_day}",
        "?doctor={doctor}&day={long_day}&after={after}",
    ),
    "/admin/bookings/new/why": ("?doctor={doctor}&day={long_day}", "?doctor={doctor}&day={long_day}&at=11:40"),
    "/admin/closures": ("?year=2035",),
    "/admin/closures/public": ("?country=DE&year=2035",),
    "/admin/day-sheet": ("?doctor={doctor_id}&day={today}", "?day={today}"),
    "/admin/doctors/{doctor_id}": ("?week={long_day}",),
    "/admin/doctors/{doctor_id}/slots/new": ("?kind=one",),
}
EMPTY: dict[str, tuple[str, ...]] = {
    "/": ("?doctor={doctor_id}",),
    "/account": ("",),
    "/admin": (f"?day={EMPTY_DAY}",),
    "/admin/audit": ("?about=booking+999999999",),
    "/admin/bookings": ("?who=nobody-has-this", "?slot={free}"),
    "/admin/bookings/new": ("?doctor={doctor_id}", "?slot={held_slot}"),
    "/admin/bookings/new/why": ("?doctor={doctor_id}", "?doctor={doctor_id}&at=11:40"),
    "/admin/day-sheet": (f"?day={EMPTY_DAY}", "?doctor={doctor_id}&day=" + EMPTY_DAY),
    "/admin/doctors": ("?q=nobody-has-this",),
    "/admin/doctors/{doctor_id}": ("",),
    "/admin/doctors/{doctor_id}/hours": ("",),
    "/admin/slots/{slot_id}": ("",),
    "/admin/users": ("?who=nobody-has-this",),
}


def urls_of(clinic: Clinic, full: FullClinic) -> list[str]:
    """Each page that an admin can open, in each of its full states."""
    users = [account_of(clinic, headers) for headers in (patient_of(clinic, full), clinic.admin)]
    about = {
        **full._asdict(),
        "doctor_id": full.busy, "slot_id": full.slot, "booking_id": full.booking,
        "today": datetime.now(BERLIN).date(), "free": clinic.slot(seats=3)["id"],
        "clinic_id": 1,
        # Not active: where patients can choose one, the pages to find a time ask which one they need.
        "visit_type_id": clinic.http.post(
            "/api/visit-types", json={"name": "First visit", "minutes": 30, "active": False}, headers=clinic.admin
        ).json()["id"],
        "rule_id": rule_of(clinic, full.busy),
        "closure_id": closure_of(clinic),
    }  # fmt: skip
    return [
        (path + query).format(user_id=user_id, **about)
        for path in sorted(pages() - FOR_STRANGERS)
        for query in ("", *FULL.get(path, ()))
        for user_id in (users if "{user_id}" in path else users[-1:])
    ]


class Looker:
    """Looks at pages, and at the next page of a list where there is one."""

    def __init__(self, page: Page, assert_accessible: AssertAccessible) -> None:
        self._page = page
        self._assert_accessible = assert_accessible
        self.next_pages: set[str] = set()

    def look(self, url: str) -> None:
        answer = self._page.goto(url)
        assert answer is not None
        assert answer.status == 200, url
        expect(self._page.get_by_role("heading", level=1)).to_have_count(1)
        self._assert_accessible(self._page)
        older = self._page.locator("main a[rel=next]", has_text=re.compile("^(Older|Later times|Next page)$"))
        path = url.partition("?")[0]
        if path not in self.next_pages and older.count():
            self.next_pages.add(path)
            self.look(str(older.get_attribute("href")))


@pytest.mark.slow  # every page by axe: two minutes
def test_every_page_for_the_clinic_is_accessible_when_it_is_full(
    clinic: Clinic, desk: Page, full: FullClinic, assert_accessible: AssertAccessible
) -> None:
    more_than_a_page_of_each_list(clinic, full)
    looker = Looker(desk, assert_accessible)
    for url in urls_of(clinic, full):
        looker.look(url)
    assert looker.next_pages == {
        "/admin/audit",
        "/admin/bookings",
        "/admin/bookings/new",
        "/admin/doctors",
        "/admin/users",
    }
    desk.goto("/admin/slots/999999999")
    assert_accessible(desk)


@pytest.mark.slow  # every page by axe: a minute
def test_every_page_for_the_clinic_is_accessible_when_it_is_empty(
    clinic: Clinic, desk: Page, assert_accessible: AssertAccessible
) -> None:
    slot, held = clinic.slot(), clinic.hold(clinic.slot()["id"])
    about = {"doctor_id": clinic.doctor()["id"], "slot_id": slot["id"], "free": slot["id"], "held_slot": held["slotId"]}
    looker = Looker(desk, assert_accessible)
    for path, queries in EMPTY.items():
        for query in queries:
            looker.look((path + query).format(**about))


@pytest.fixture
def new_site(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """A server without doctors. Made in a thread of its own, because a browser's tests have an event loop."""
    with ThreadPoolExecutor(max_workers=1) as thread, ExitStack() as stack:

        def start() -> RunningServer:
            url = stack.enter_context(fresh_database(postgres_url, migrated_template))
            return stack.enter_context(running_server(url, {}))

        yield thread.submit(start).result()
        thread.submit(stack.close).result()


@pytest.mark.slow  # every page by axe: a minute
def test_every_page_of_a_new_clinic_is_accessible(
    new_site: RunningServer, open_window: OpenWindow, assert_accessible: AssertAccessible
) -> None:
    page = open_window(new_site)
    log_in(page)
    looker = Looker(page, assert_accessible)
    for path in sorted(path for path in pages() - FOR_STRANGERS if "{" not in path):
        looker.look(path)


def account_of(clinic: Clinic, headers: dict[str, str]) -> int:
    return int(clinic.http.get("/api/auth/me", headers=headers).json()["id"])


def rule_of(clinic: Clinic, doctor_id: int) -> int:
    """Adds weekly hours of years to come; they have no times yet."""
    rule = {
        "doctorId": doctor_id, "firstDay": "2035-01-01", "weekdays": [1], "durationMinutes": 30,
        "periods": [{"from": "09:00", "to": "10:00"}],
    }  # fmt: skip
    return int(applied(clinic, addRules=[rule])["ruleIds"][0])


def closure_of(clinic: Clinic) -> int:
    """Adds a holiday."""
    closure = {"startTime": "2035-12-24T23:00:00Z", "endTime": "2035-12-25T23:00:00Z", "kind": "HOLIDAY"}
    return int(applied(clinic, addClosures=[closure])["closureIds"][0])


def applied(clinic: Clinic, **change: Any) -> dict[str, Any]:
    """Changes the schedule as previewed."""
    seen = clinic.http.post("/api/schedule/preview", json=change, headers=clinic.admin).json()
    body = {**change, "token": seen["token"]}
    done: dict[str, Any] = clinic.http.post("/api/schedule/apply", json=body, headers=clinic.admin).json()
    return done


def more_than_a_page_of_each_list(clinic: Clinic, full: FullClinic) -> None:
    """Of users, doctors and bookings, behind the server's back because that is quicker. Logging in fills the log."""
    for fill_up in (
        "INSERT INTO users (email, name, role, password_hash)"
        " SELECT 'more' || n || '@example.org', 'Pat Patient', 'patient', '' FROM generate_series(1, 60) AS n",
        "INSERT INTO doctors (name) SELECT 'Dr. Ada Lovelace' FROM generate_series(1, 60)",
        "INSERT INTO audit_log (actor, action, subject)"
        " SELECT 'seed', 'create_doctor', 'doctor:1' FROM generate_series(1, 60)",
    ):
        rows(clinic.server.database_url, fill_up)
    slot = clinic.slot(seats=60)
    for _ in range(51):
        clinic.hold(slot["id"], confirm=True)
