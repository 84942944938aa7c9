"""A clinic from nothing to its first booking, by pressing what the pages offer; and a visitor of a far clinic."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import AssertAccessible, OpenWindow, StartSite, log_in
from tests.clinic import Clinic

pytestmark = pytest.mark.slow(reason="starts a server of its own, and takes ten CPU seconds in a browser")


def test_a_new_admin_is_led_from_nothing_to_the_first_booking(
    start_site: StartSite, open_window: OpenWindow, assert_accessible: AssertAccessible
) -> None:
    server = start_site()
    page = open_window(server)
    log_in(page)
    page.get_by_role("link", name="Set up your clinic").click()
    assert_accessible(page)
    page.get_by_role("link", name="Name your clinic").first.click()
    page.get_by_label("Name", exact=True).fill("Harbour Clinic")
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    now = datetime.now(UTC) + timedelta(hours=9)
    expect(page.locator("#zone-now")).to_contain_text(f"{now:%A}")
    assert_accessible(page)
    page.get_by_role("button", name="Save").click()
    page.locator("#next").click()
    page.get_by_label("Name", exact=True).fill("Dr. First")
    page.get_by_role("button", name="Add doctor").click()
    page.get_by_role("link", name="Add times").first.click()
    for day in ("Saturday", "Sunday"):
        page.get_by_label(day).check()
    page.get_by_role("button", name="Show what would be added").click()
    page.get_by_role("button", name=re.compile("Add [0-9]+ times")).click()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Settings")
    expect(page.get_by_role("link", name="Enter weekly hours")).to_be_visible()
    expect(page.get_by_role("link", name="Add single times")).to_be_visible()
    assert_accessible(page)

    patient = open_window(server, timezone_id="Asia/Tokyo")
    patient.goto("/")
    expect(patient.locator(".brand")).to_contain_text("Harbour Clinic")
    patient.get_by_role("button", name=re.compile("09:00, Dr. First")).first.click()
    patient.get_by_label("Your name").fill("Ada Lovelace")
    patient.get_by_label("E-mail address").fill("ada@example.org")
    patient.get_by_role("button", name="Confirm appointment").click()
    expect(patient.get_by_role("heading", level=1)).to_have_text("You are booked")


def test_a_visitor_reads_their_own_time_beside_that_of_a_far_clinic(
    start_site: StartSite, open_window: OpenWindow, assert_accessible: AssertAccessible
) -> None:
    """Tokyo has no summer time, and neither has Phoenix: 09:00 there is 17:00 the day before here."""
    server = start_site(CLINIC_NAME="West", CLINIC_TIME_ZONE="America/Phoenix")
    with Clinic(server) as clinic:
        tokyo = {"name": "East", "timeZone": "Asia/Tokyo", "address": "1 Ginza"}
        east = clinic.http.post("/api/clinics", json=tokyo, headers=clinic.admin).json()["id"]
        day = datetime.now(UTC).date() + timedelta(days=5)
        start = f"{day}T09:00:00+09:00"
        clinic.slot(doctorId=clinic.doctor()["id"], startTime=start, clinicId=east)

        page = open_window(server, timezone_id="America/Phoenix")
        page.goto("/")
        assert_accessible(page)
        page.get_by_role("link", name="East").click()
        before = day - timedelta(days=1)
        words = re.compile(rf"{before:%a},? {before.day} {before:%b}, 17:00 your time")
        expect(page.locator(".own-time").first).to_contain_text(words)
        assert_accessible(page)
        page.get_by_role("button", name=words).click()
        expect(page.locator(".appointment")).to_contain_text("09:00 (")
        expect(page.locator(".appointment")).to_contain_text(words)
        expect(page.locator(".appointment")).to_contain_text("East, 1 Ginza")

        near = open_window(server, timezone_id="Asia/Tokyo")
        near.goto(f"/?clinic={east}")
        expect(near.get_by_role("button", name=re.compile("09:00, Dr. Who"))).to_be_visible()
        expect(near.locator(".own-time")).to_have_count(0)
