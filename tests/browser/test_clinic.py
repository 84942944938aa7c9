"""An admin at a screen: adds a doctor's first times, closes one, and watches the dashboard update itself."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible
from tests.clinic import Clinic


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_an_admin_publishes_a_week_and_closes_a_booked_time(
    clinic: Clinic, desk: Page, assert_accessible: AssertAccessible
) -> None:
    monday = datetime.now(UTC).date() + timedelta(days=14 - datetime.now(UTC).weekday())
    desk.goto("/admin/doctors")
    desk.get_by_label("Name", exact=True).fill("Dr. First Times")
    desk.get_by_label("Specialty (optional)").fill("Cardiology")
    desk.get_by_role("button", name="Add doctor").click()
    expect(desk.get_by_role("heading", level=1)).to_have_text("Dr. First Times")
    desk.get_by_role("link", name="Add times").first.click()
    desk.get_by_label("First day").fill(f"{monday}")
    desk.get_by_label("Last day").fill(f"{monday - timedelta(days=1)}")
    desk.get_by_role("button", name="Show what would be added").click()
    expect(desk.get_by_role("alert").filter(has_text="Please check the following")).to_be_focused()
    expect(desk.get_by_label("Friday")).to_be_checked()
    assert_accessible(desk)
    desk.get_by_label("Last day").fill(f"{monday + timedelta(days=6)}")
    desk.get_by_label("People at each time").fill("2")
    desk.get_by_role("button", name="Show what would be added").click()
    expect(desk.get_by_role("heading", name="30 times would be added")).to_be_visible()
    assert_accessible(desk)
    desk.get_by_role("button", name="Add 30 times").click()
    expect(desk.get_by_role("status")).to_have_text("30 times were added.")
    assert_accessible(desk)
    first = desk.get_by_role("link", name=re.compile("Monday .*, 09:00 to 09:30, 2 of 2 free"))
    first.focus()
    desk.keyboard.press("Enter")
    desk.wait_for_url("**/admin/slots/*")
    slot_id = int(desk.url.rpartition("/")[2])
    clinic.hold(slot_id, userName="Ada Lovelace")
    desk.get_by_role("button", name="Close for booking").click()
    expect(desk.get_by_role("heading", level=1)).to_have_text("Close a time with 1 booking?")
    expect(desk.get_by_role("row").filter(has_text="Ada Lovelace")).to_be_visible()
    assert_accessible(desk)
    desk.get_by_role("button", name="Close it").click()
    expect(desk.get_by_role("status")).to_have_text("Closed: it takes no new bookings.")
    assert clinic.http.get(f"/api/slots/{slot_id}").json()["status"] == "CLOSED"


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_the_dashboard_updates_itself_until_updates_are_paused(
    clinic: Clinic, desk: Page, assert_accessible: AssertAccessible
) -> None:
    desk.goto("/admin")
    slot = clinic.slot(seats=2)
    clinic.hold(slot["id"], userName="Newest Of All")
    desk.evaluate("document.body.dispatchEvent(new Event('seats-changed'))")
    newest = desk.get_by_role("row").filter(has_text="Newest Of All")
    expect(newest).to_be_visible()
    expect(desk.get_by_role("heading", name="Today", exact=False)).to_have_count(1)
    assert_accessible(desk)
    desk.get_by_role("link", name="Pause updates").click()
    expect(desk.get_by_text("Updates are paused.")).to_be_visible()
    expect(desk.locator("[hx-get]")).to_have_count(0)


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_the_dashboard_is_loaded_again_when_its_heading_or_its_foot_would_be_wrong(clinic: Clinic, desk: Page) -> None:
    desk.goto("/admin")
    # The foot names one offset only, whatever the lists of other tests show.
    one_offset = "document.querySelector('[data-offsets]').dataset.offsets = '0 {}'"
    another_day = "document.querySelector('h1 time').dateTime = '2020-01-15'"
    year = datetime.now(UTC).year + 1
    for month, offset in ((1, 120), (7, 60)):
        with loaded_again_after(desk, one_offset.format(offset)):
            clinic.hold(clinic.slot(startTime=f"{year}-{month:02}-15T09:00:00Z")["id"])
        expect(desk.get_by_role("contentinfo")).to_contain_text("UTC+1")
    expect(desk.get_by_role("contentinfo")).to_contain_text("UTC+2")
    with loaded_again_after(desk, another_day):
        pass


@contextmanager
def loaded_again_after(desk: Page, change: str) -> Iterator[None]:
    """Change the page, and have its parts updated all the time. Each part may load it again, one while another does."""
    update = "() => document.body.dispatchEvent(new Event('seats-refresh'))"
    desk.evaluate(f"() => {{ {change}; document.body.dataset.before = true; setInterval({update}, 500); }}")
    yield
    expect(desk.locator("[data-before]")).to_have_count(0)


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_the_dashboard_leads_to_the_log_in_page_after_a_log_out(desk: Page) -> None:
    desk.goto("/admin")
    desk.context.clear_cookies()
    desk.evaluate("document.body.dispatchEvent(new Event('seats-changed'))")
    expect(desk).to_have_url(re.compile(r"/log-in\?next=%2Fadmin$"))
