"""Finding a time in a browser: filters, days and the way back, by mouse, by keyboard, and without scripts."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible, OpenWindow
from tests.clinic import Clinic, RunningServer, holder, in_hours, rows

NewTimes = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def no_visit_types(site: RunningServer) -> None:
    """Of other tests: the page would first ask what the visitor needs."""
    rows(site.database_url, "UPDATE visit_types SET active = FALSE WHERE active")


@pytest.fixture
def kind() -> str:
    """A specialty that no other test has."""
    return f"Kind {uuid4().hex[:8]}"


@pytest.fixture
def new_times(clinic: Clinic, kind: str) -> NewTimes:
    """Times of one doctor, each so many hours from now."""

    def new_times(name: str, *hours: float, seats: int = 1) -> list[dict[str, Any]]:
        doctor = clinic.doctor(name=name, specialization=kind)
        return [clinic.slot(doctorId=doctor["id"], startTime=in_hours(each), seats=seats) for each in hours]

    return new_times


def times(page: Page) -> Any:
    return page.locator("#results li button")


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_filters_and_days_change_the_page_in_place_and_back_works(
    window: Page, new_times: NewTimes, kind: str, assert_accessible: AssertAccessible
) -> None:
    [early, *_] = new_times("Dr. Early", 50, 100)
    new_times("Dr. Late", 100, 150)
    window.goto("/")
    window.evaluate("window.stays = true")
    window.get_by_label("Specialty").focus()
    window.get_by_label("Specialty").select_option(kind)
    expect(window.get_by_role("status")).to_contain_text(f"1 free time in {kind} on")
    expect(window.get_by_label("Specialty")).to_be_focused()
    assert window.url.endswith(f"/?speciality={quote(kind)}")
    expect(window.get_by_label("Doctor").locator("option")).to_have_text(["Any doctor", "Dr. Early", "Dr. Late"])
    assert_accessible(window)
    window.get_by_role("link", name=re.compile("2 free times")).click()
    expect(times(window)).to_have_count(2)
    expect(window.locator("#results [aria-current=date]")).to_be_focused()
    assert re.search(r"/\?speciality=[^&]+&day=\d{4}-\d\d-\d\d$", window.url)
    window.get_by_label("Doctor").select_option("Dr. Late")
    expect(window.get_by_role("status")).to_contain_text("1 free time with Dr. Late on")
    window.go_back()
    expect(times(window)).to_have_count(2)
    window.go_back()
    expect(times(window)).to_have_count(1)
    expect(times(window)).to_have_accessible_name(re.compile(rf"Dr\. Early, {kind}$"))
    expect(times(window)).to_have_attribute("value", str(early["id"]))
    assert window.evaluate("window.stays") is True


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_time_is_found_and_held_by_keyboard_alone(window: Page, new_times: NewTimes, kind: str) -> None:
    new_times("Dr. Early", 50, 100)
    window.goto(f"/?speciality={quote(kind)}")
    window.get_by_label("Doctor").focus()
    for _ in range(40):
        window.keyboard.press("Tab")
        if re.search("[1-9] free time", window.evaluate("document.activeElement.ariaLabel || ''")):
            break
    window.keyboard.press("Enter")
    expect(window.locator("#results [aria-current=date]")).to_be_focused()
    for _ in range(40):
        window.keyboard.press("Tab")
        if window.evaluate("document.activeElement.matches('[data-slot] button')"):
            break
    window.keyboard.press("Enter")
    expect(window.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_finding_a_time_works_without_scripts(open_window: OpenWindow, new_times: NewTimes, kind: str) -> None:
    new_times("Dr. Early", 50, 100)
    window = open_window(java_script_enabled=False)
    window.goto("/")
    window.get_by_label("Specialty").select_option(kind)
    window.get_by_role("button", name="Show times").click()
    window.wait_for_url(f"**/?speciality={quote(kind)}")
    expect(window.get_by_role("status")).to_contain_text(f"1 free time in {kind} on")
    window.get_by_role("link", name=re.compile(", 1 free time$")).last.click()
    expect(times(window)).to_have_count(1)
    times(window).click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")
    window.get_by_role("link", name="Find a time").click()
    expect(window.get_by_text("We are holding")).to_be_visible()


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_lost_focus_moves_to_the_day_and_an_empty_day_is_accessible(
    window: Page, clinic: Clinic, new_times: NewTimes, assert_accessible: AssertAccessible
) -> None:
    [slot] = new_times("Dr. Full", 50)
    new_times("Dr. Free", 50)
    clinic.hold(slot["id"])
    window.goto(f"/?doctor={slot['doctorId']}")
    expect(window.get_by_role("heading", name="Dr. Full is fully booked")).to_be_visible()
    assert_accessible(window)
    window.get_by_role("link", name=re.compile("Dr. Free")).press("Enter")
    expect(times(window)).to_have_count(1)
    expect(window.locator("#day-heading")).to_be_focused()


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_times_change_on_the_page_when_others_change_them(
    window: Page, clinic: Clinic, new_times: NewTimes, kind: str
) -> None:
    """After a lost connection or a change at the desk, the page reads its times again and the focus stays."""
    [slot, other] = new_times("Dr. Early", 50, 50.6, seats=2)
    window.goto(f"/?speciality={quote(kind)}")
    times(window).first.focus()
    clinic.hold(other["id"], seatsBooked=2)
    window.evaluate("document.body.dispatchEvent(new Event('seats-refresh'))")
    expect(times(window)).to_have_count(1)
    expect(times(window)).to_be_focused()
    expect(times(window)).to_have_attribute("value", str(slot["id"]))
    expect(window.get_by_role("status")).to_contain_text("1 free time in")
    assert window.url.endswith(f"/?speciality={quote(kind)}")


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_time_that_becomes_free_appears_on_an_empty_day(
    window: Page, clinic: Clinic, new_times: NewTimes, kind: str
) -> None:
    [slot] = new_times("Dr. Full", 50)
    held = clinic.hold(slot["id"])
    window.goto(f"/?speciality={quote(kind)}")
    expect(window.get_by_role("heading", name=f"{kind} is fully booked")).to_be_visible()
    window.get_by_label("Doctor").focus()
    assert clinic.http.delete(f"/api/bookings/{held['id']}", headers=holder(held)).status_code == 200
    expect(times(window)).to_have_count(1)
    expect(window.get_by_role("status")).to_contain_text("1 free time in")
    expect(window.get_by_label("Doctor")).to_be_focused()


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_an_error_replaces_the_page_only_after_an_action_of_the_visitor(
    window: Page, new_times: NewTimes, kind: str
) -> None:
    new_times("Dr. Early", 50, 100)
    window.goto(f"/?speciality={quote(kind)}")
    window.route("**/?speciality=*", lambda route: route.fulfill(status=503, body="<h1>Busy</h1>"))
    with window.expect_response(lambda answer: answer.status == 503):
        window.evaluate("document.body.dispatchEvent(new Event('seats-refresh'))")
    expect(times(window)).to_have_count(1)
    window.get_by_role("link", name=re.compile(", 1 free time$")).last.click()
    expect(window.get_by_role("heading", level=1)).to_have_text("Busy")
    assert "&day=" in window.url


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_the_first_time_is_on_the_first_screen_and_nothing_shifts_while_the_page_loads(
    window: Page, new_times: NewTimes, kind: str
) -> None:
    new_times("Dr. Early", 50, 51, 52)
    window.add_init_script(
        "window.shift = 0; new PerformanceObserver((list) => { for (const entry of list.getEntries())"
        " window.shift += entry.value; }).observe({ type: 'layout-shift', buffered: true });"
    )
    for width, height in ((320, 640), (768, 1024), (1280, 900)):
        window.set_viewport_size({"width": width, "height": height})
        window.goto(f"/?speciality={quote(kind)}")
        expect(times(window).first).to_be_in_viewport()
        assert window.evaluate("window.shift") < 0.01


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_the_focus_stays_where_it_is_when_the_list_loads(window: Page, new_times: NewTimes, kind: str) -> None:
    new_times("Dr. Early", 50, 100, seats=3)
    for key, focused in (("Tab", "#show"), ("Shift+Tab", "#day"), ("Enter", "#seats")):
        window.goto(f"/?speciality={quote(kind)}")
        window.locator("#seats").focus()
        window.keyboard.type("2")
        window.keyboard.press(key)
        window.wait_for_url("**&seats=2")
        expect(window.locator("[data-times]")).to_have_attribute("aria-busy", "false")
        expect(window.locator(focused)).to_be_focused()


@pytest.mark.slow  # two to ten CPU seconds in a browser
@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_a_time_of_day_stands_on_one_line(window: Page, new_times: NewTimes, kind: str, width: int) -> None:
    new_times("Dr. Early", 50)
    window.set_viewport_size({"width": width, "height": 800})
    window.goto(f"/?speciality={quote(kind)}")
    lines = "time => time.getBoundingClientRect().height / parseFloat(getComputedStyle(time).fontSize)"
    assert times(window).locator("time").evaluate(lines) < 2
