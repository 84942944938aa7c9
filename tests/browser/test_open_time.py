"""Visits in open time, in a browser: a person says what they need, and books a time of any length by hand."""

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible, OpenWindow, StartSite, log_in
from tests.clinic import Clinic, RunningServer
from tests.open_time import MORNING, OpenTime, open_time, visit_type

pytestmark = pytest.mark.slow(reason="starts a server of its own, and takes ten CPU seconds in a browser")


@pytest.fixture
def own_site(start_site: StartSite) -> RunningServer:
    return start_site(CLINIC_NAME="Harbour Clinic", CLINIC_TIME_ZONE="UTC")


@pytest.fixture
def morning(own_site: RunningServer) -> OpenTime:
    """Three hours of a doctor, with a slot of a colleague for the same kind of visit at 10:15."""
    url = own_site.database_url
    types = {
        10: visit_type(url, 10, name="Telephone advice", mode="TELEPHONE"),
        20: visit_type(url, 20, name="Check-up"),
        45: visit_type(url, 45, name="First visit", patients="NEW"),
    }
    with Clinic(own_site) as clinic:
        doctor, colleague = (
            clinic.doctor(name=name, specialization="Dermatology") for name in ("Dr. Open", "Dr. Fixed")
        )
        start = (MORNING + timedelta(minutes=75)).isoformat()
        clinic.slot(doctorId=colleague["id"], startTime=start, durationMinutes=20, visitTypeIds=[types[20]])
        clinic.slot(doctorId=colleague["id"], startTime=(MORNING + timedelta(days=1)).isoformat())
    return open_time(url, types, step=30, doctor_id=doctor["id"])


def clocks(page: Page) -> list[str]:
    return page.locator("#results .times time").all_inner_texts()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_patient_says_what_they_need_and_books_a_time_in_open_hours(
    own_site: RunningServer,
    morning: OpenTime,
    open_window: OpenWindow,
    assert_accessible: AssertAccessible,
    scripts: bool,
) -> None:
    page = open_window(own_site, java_script_enabled=scripts, viewport={"width": 360, "height": 740})
    page.goto("/")
    expect(page.get_by_role("heading", level=2)).to_have_text("What do you need?")
    if scripts:
        assert_accessible(page)
    page.get_by_role("link", name=re.compile("Check-up 20 minutes")).click()
    expect(page.locator("#found")).to_contain_text("free times for Check-up")
    assert clocks(page)[:4] == ["09:00", "09:30", "10:00", "10:15"]
    if scripts:
        assert_accessible(page)
    page.get_by_role("button", name=re.compile("09:30, Dr. Open")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")
    expect(page.get_by_label("People")).to_have_count(0)
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_label("E-mail address").fill("ada@example.org")
    page.get_by_role("button", name="Confirm appointment").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are booked")
    expect(page.locator(".appointment")).to_contain_text("Check-up")
    expect(page.locator(".appointment")).to_contain_text("09:50")
    page.goto(f"/?visit={morning.types[20]}")
    # At 9:00 and 10:00, it would leave five minutes in which nothing fits.
    assert clocks(page)[:3] == ["09:55", "10:15", "10:30"]


def test_the_desk_says_what_the_patient_needs_and_books_a_time_in_open_hours(
    own_site: RunningServer, morning: OpenTime, open_window: OpenWindow, assert_accessible: AssertAccessible
) -> None:
    desk = open_window(own_site)
    log_in(desk)
    desk.goto("/admin/bookings/new")
    assert_accessible(desk)
    desk.get_by_role("link", name=re.compile("First visit")).click()
    expect(desk.get_by_role("heading", level=2)).to_have_count(1)
    assert clocks(desk) == ["09:00", "09:30", "10:00", "10:30", "11:00"]
    assert_accessible(desk)
    desk.get_by_label("Kind of visit").select_option("Check-up")
    expect(desk.locator("#results")).to_contain_text("Dr. Fixed")
    desk.get_by_role("link", name=re.compile("09:00, Dr. Open")).click()
    expect(desk.locator("main")).to_contain_text("Kind of visit: Check-up")
    assert_accessible(desk)
    desk.get_by_label("Name").fill("Grace Hopper")
    desk.get_by_label("E-mail").fill("grace@example.org")
    desk.get_by_role("button", name="Book and confirm").click()
    expect(desk.get_by_role("heading", level=1)).to_contain_text("Booked")


def test_an_open_list_follows_what_others_book_in_open_hours(
    own_site: RunningServer, morning: OpenTime, open_window: OpenWindow
) -> None:
    page, other = open_window(own_site), open_window(own_site)
    with page.expect_response("**/api/slots/events"):
        page.goto(f"/?visit={morning.types[20]}")
    other.goto(f"/?visit={morning.types[20]}")
    other.get_by_role("button", name=re.compile("09:00, Dr. Open")).click()
    expect(page.locator("#results .times time").first).to_have_text("09:25")
