"""Several clinics, of which one has no free times: what a patient reads there, and the way to the others."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible, OpenWindow, StartSite
from tests.clinic import Clinic, RunningServer, eventually

pytestmark = pytest.mark.slow(reason="starts a server of its own, and takes five CPU seconds in a browser")


@pytest.fixture
def own_site(start_site: StartSite) -> RunningServer:
    """Of its two clinics, one has a doctor with two times, the other nothing."""
    server = start_site(CLINIC_NAME="Lindenhof Clinic", CLINIC_TIME_ZONE="UTC")
    with Clinic(server) as clinic:
        given = {"name": "Harbour Clinic", "timeZone": "UTC", "telephone": "+44 20 7946 0000"}
        assert clinic.http.post("/api/clinics", json=given, headers=clinic.admin).is_success
        doctor = clinic.doctor(name="Dr. Grace Hopper")["id"]
        nine = (datetime.now(UTC) + timedelta(days=10)).replace(hour=9, minute=0, second=0, microsecond=0)
        kind = {"name": "Check-up", "minutes": 30}
        check_up = clinic.http.post("/api/visit-types", json=kind, headers=clinic.admin).json()["id"]
        clinic.slot(doctorId=doctor, startTime=nine.isoformat())
        ten = (nine + timedelta(hours=1)).isoformat()
        clinic.slot(doctorId=doctor, startTime=ten, durationMinutes=30, visitTypeIds=[check_up])
        # A worker hears of the second clinic a moment later.
        eventually(lambda: "Harbour Clinic" in clinic.http.get("/", headers={"Accept": "text/html"}).text)
    return server


@pytest.mark.parametrize(("scripts", "width"), [(True, 360), (False, 1200)])
def test_a_patient_finds_the_way_from_a_clinic_without_free_times_to_another(
    own_site: RunningServer, open_window: OpenWindow, assert_accessible: AssertAccessible, scripts: bool, width: int
) -> None:
    size = {"width": width, "height": 800}
    page = open_window(own_site, java_script_enabled=scripts, viewport=size, timezone_id="UTC")
    page.goto("/")
    cards = page.get_by_role("main").get_by_role("listitem")
    expect(cards.first).to_contain_text("Lindenhof Clinic")
    expect(cards.last).to_contain_text("No free times at present. Call Harbour Clinic: +44 20 7946 0000.")
    if scripts:
        assert_accessible(page)
    follow(page, "Harbour Clinic")
    expect(page.get_by_role("main")).to_contain_text("Harbour Clinic has no free times at present. Call")
    expect(page.get_by_role("link", name="Choose another clinic")).to_be_visible()
    if scripts:
        assert_accessible(page)

    page.get_by_role("link", name=re.compile("^Check-up")).click()
    expect(page.get_by_role("heading", name="No free times at present")).to_be_visible()
    expect(page.get_by_text("Call Harbour Clinic:")).to_be_visible()
    if scripts:
        assert_accessible(page)
    follow(page, "Choose another clinic")
    expect(page.get_by_role("heading", name="Where would you like to come?")).to_be_visible()
    follow(page, "Lindenhof Clinic")
    expect(page.locator("#found")).to_contain_text("1 free time for Check-up")
    page.get_by_role("button", name=re.compile("10:00, Dr. Grace Hopper")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")
    expect(page.get_by_role("main")).to_contain_text("Lindenhof Clinic")


def follow(page: Page, name: str) -> None:
    page.get_by_role("main").get_by_role("link", name=name, exact=True).click()
