"""New hours from next month on, and 25 December: each a matter of at most ten clicks."""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ZONE, AssertAccessible, OpenWindow, StartSite, log_in
from tests.browser.full_clinic import BERLIN
from tests.clinic import Clinic, RunningServer, problem, rows

pytestmark = pytest.mark.slow(reason="starts a server of its own, and takes five CPU seconds in a browser")

MOST_CLICKS = 10
ONE_DAY = timedelta(days=1)


class Hand:
    """Works with a page as a person does. Counts each click, also that into a field before something is typed."""

    def __init__(self) -> None:
        self.clicks = 0

    def click(self, target: Locator) -> None:
        target.click()
        self.clicks += 1

    def type(self, field: Locator, text: str) -> None:
        self.click(field)
        field.fill(text)

    def follow(self, page: Page, name: str) -> None:
        self.click(page.get_by_role("link", name=name, exact=True))

    def press(self, page: Page, name: str) -> None:
        self.click(page.get_by_role("button", name=name, exact=True))


@pytest.fixture
def own_site(start_site: StartSite) -> RunningServer:
    """A server of its own: what closes for everybody would close for other tests too."""
    return start_site(CLINIC_TIME_ZONE=ZONE, PUBLISH_DAYS="400")


@pytest.fixture
def clinic(own_site: RunningServer) -> Iterator[Clinic]:
    with Clinic(own_site) as clinic:
        yield clinic


def test_new_hours_from_next_month_on_in_ten_clicks(
    clinic: Clinic, own_site: RunningServer, open_window: OpenWindow, assert_accessible: AssertAccessible
) -> None:
    doctor = clinic.doctor(name="Dr. Grace Hopper")
    works(clinic, doctor)
    first_day = (today().replace(day=1) + timedelta(days=31)).replace(day=1)
    monday = first_day + timedelta(days=7 - first_day.weekday())
    kept, cancelled = slots_of(clinic, doctor, monday)[:2]
    clinic.hold(kept["id"], confirm=True, userName="Kate Kept")
    clinic.hold(cancelled["id"], confirm=True, userName="Gus Gone")

    desk, hand = open_window(own_site), Hand()
    log_in(desk)
    hand.follow(desk, "Doctors")
    hand.follow(desk, "Dr. Grace Hopper")
    hand.follow(desk, "Weekly hours")
    hand.follow(desk, "New hours from a day on")
    expect(desk.get_by_label("First day", exact=True)).to_have_value(str(first_day))
    expect(desk.get_by_label("Tuesday")).to_be_checked()
    expect(desk.get_by_label("Saturday")).not_to_be_checked()
    assert_accessible(desk)
    hand.type(desk.get_by_label("From", exact=True).first, "13:00")
    hand.type(desk.get_by_label("To", exact=True).first, "15:00")
    hand.press(desk, "Show what would change")
    expect(desk.get_by_text("Nothing has been changed yet.")).to_be_visible()
    expect(desk.get_by_role("heading", name="2 booked appointments")).to_be_visible()
    assert_accessible(desk)
    hand.click(desk.get_by_label("Cancel the appointment of Gus Gone"))
    hand.press(desk, "Do exactly this")
    expect(desk.get_by_text("1 appointment was cancelled: please tell the patients.")).to_be_visible()
    expect(desk.get_by_role("heading", name="Booked outside of these hours")).to_be_visible()
    assert_accessible(desk)
    assert hand.clicks <= MOST_CLICKS

    patient = open_window(own_site)
    patient.goto(f"/?doctor={doctor['id']}&day={monday}")
    expect(patient.get_by_role("button", name=re.compile("13:00, Dr. Grace Hopper")).first).to_be_visible()
    expect(patient.get_by_role("button", name=re.compile("09:00, Dr. Grace Hopper"))).to_have_count(0)


def test_the_25th_of_december_is_closed_and_opened_again_in_ten_clicks(
    clinic: Clinic, own_site: RunningServer, open_window: OpenWindow, assert_accessible: AssertAccessible
) -> None:
    christmas = next_christmas()
    doctors = [clinic.doctor(name=name) for name in ("Dr. Grace Hopper", "Dr. Alan Turing")]
    for doctor in doctors:
        works(clinic, doctor, weekdays=[1, 2, 3, 4, 5, 6, 7])
    booked, free = slots_of(clinic, doctors[0], christmas)[:2]
    clinic.hold(booked["id"], confirm=True, userName="Gus Gone")

    desk, patient, hand = open_window(own_site), open_window(own_site), Hand()
    log_in(desk)
    hand.follow(desk, "Holidays")
    hand.follow(desk, "Add a holiday or an absence")
    hand.type(desk.get_by_label("First day", exact=True), str(christmas))
    hand.press(desk, "Show what would change")
    expect(desk.get_by_text("4 times will be taken away.")).to_be_visible()
    expect(desk.get_by_role("heading", name="1 booked appointment")).to_be_visible()
    hand.press(desk, "Do exactly this")
    expect(desk.get_by_role("heading", level=1)).to_have_text("Patients to tell")
    expect(desk.get_by_text("1 of 1 patient still to tell.")).to_be_visible()
    assert_accessible(desk)

    for doctor in doctors:
        patient.goto(f"/?doctor={doctor['id']}&day={christmas}")
        expect(patient.get_by_role("button", name=re.compile(f"{christmas:%a}.*09:00, Dr."))).to_have_count(0)
    problem(clinic.book(free["id"]), 409)

    hand.follow(desk, "Holidays")
    hand.click(desk.get_by_role("link", name=re.compile("Open Everybody")))
    hand.press(desk, "Show what would come back")
    expect(desk.get_by_text("4 times will be added.")).to_be_visible()
    hand.press(desk, "Do exactly this")
    expect(desk.get_by_text("Done. 4 times added")).to_be_visible()
    assert hand.clicks <= MOST_CLICKS
    patient.goto(f"/?doctor={doctors[0]['id']}&day={christmas}")
    patient.get_by_role("button", name=re.compile("09:00, Dr. Grace Hopper")).first.click()
    expect(patient.get_by_role("button", name="Confirm appointment")).to_be_visible()


def test_a_preview_with_a_colleague_and_its_refusals_are_accessible(
    clinic: Clinic, own_site: RunningServer, open_window: OpenWindow, assert_accessible: AssertAccessible
) -> None:
    ill, colleague = (clinic.doctor(name=name) for name in ("Dr. Grace Hopper", "Dr. Alan Turing"))
    works(clinic, ill, weekdays=[1, 2, 3, 4, 5, 6, 7])
    monday = today() + timedelta(days=7)
    clinic.hold(slots_of(clinic, ill, monday)[0]["id"], confirm=True, userName="Gus Gone")
    desk = open_window(own_site)
    log_in(desk)
    desk.goto(f"/admin/closures/new?where=doctor:{ill['id']}&day={monday}")
    desk.get_by_role("button", name="Show what would change").click()
    chooses = desk.get_by_label("A colleague who takes over (optional)")
    expect(chooses).to_have_value("")
    assert_accessible(desk)
    chooses.select_option("Dr. Alan Turing")
    desk.get_by_role("button", name="Show what then happens").click()
    expect(desk.get_by_label("What happens to the appointment of Gus Gone")).to_contain_text("Dr. Alan Turing takes")
    assert_accessible(desk)
    message = desk.get_by_label("Message for patients")
    message.fill("Please call us.")
    clinic.http.patch(f"/api/doctors/{colleague['id']}", json={"active": False}, headers=clinic.admin)
    desk.get_by_role("button", name="Do exactly this").click()
    expect(desk.get_by_role("heading", name="What you decided is kept")).to_be_visible()
    assert_accessible(desk)
    desk.get_by_role("button", name="Try again").click()
    expect(message).to_have_value("Please call us.")
    message.fill("\u0e01" * 1000)
    rows(own_site.database_url, "UPDATE users SET token_version = token_version + 1")
    desk.get_by_role("button", name="Do exactly this").click()
    expect(desk.get_by_role("heading", name="Please log in")).to_be_visible()
    assert_accessible(desk)
    with desk.context.expect_page() as opened:
        desk.get_by_role("link", name="Log in, in a new tab").click()
    log_in(opened.value)
    desk.get_by_role("button", name="Send the form again").click()
    expect(desk.get_by_text("1 appointment was cancelled: please tell the patients.")).to_be_visible()


def today() -> date:
    return datetime.now(BERLIN).date()


def next_christmas() -> date:
    """Tomorrow at the earliest."""
    days = (date(today().year + later, 12, 25) for later in (0, 1))
    return next(day for day in days if day > today())


def works(clinic: Clinic, doctor: dict[str, Any], weekdays: list[int] | None = None) -> None:
    """From 9 to 10, in half hours."""
    rule = {
        "doctorId": doctor["id"], "firstDay": str(today()), "weekdays": weekdays or [1, 2, 3, 4, 5],
        "durationMinutes": 30, "periods": [{"from": "09:00", "to": "10:00"}],
    }  # fmt: skip
    change = {"addRules": [rule]}
    seen = clinic.http.post("/api/schedule/preview", json=change, headers=clinic.admin).json()
    done = clinic.http.post("/api/schedule/apply", json={**change, "token": seen["token"]}, headers=clinic.admin)
    assert done.is_success, done.text


def slots_of(clinic: Clinic, doctor: dict[str, Any], day: date) -> list[dict[str, Any]]:
    query = {"doctorId": doctor["id"], "from": f"{day}T00:00:00Z", "to": f"{day + ONE_DAY}T00:00:00Z"}
    answer = clinic.http.get("/api/slots", params=query)
    assert answer.is_success, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found
