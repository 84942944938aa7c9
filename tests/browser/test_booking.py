"""A patient at a screen: from a free time to an appointment, whatever goes wrong on the way."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import HOLD_SECONDS, AssertAccessible, OpenWindow, choose
from tests.clinic import Clinic, eventually, run_out

BOOKED = re.compile("You are booked")
CONFIRM = "Confirm appointment"


def fill(page: Page, name: str = "Ada Lovelace") -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_label("E-mail address").fill("ada@example.org")


def bookings_of(clinic: Clinic, slot_id: int) -> list[str]:
    return [booking["status"] for booking in clinic.http.get(f"/api/bookings/slot/{slot_id}").json()["items"]]


def held_in(clinic: Clinic, slot_id: int) -> list[dict[str, Any]]:
    bookings: list[dict[str, Any]] = clinic.http.get(f"/api/bookings/slot/{slot_id}").json()["items"]
    return [booking for booking in bookings if booking["status"] == "PENDING"]


def a_slot(clinic: Clinic, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    doctor = clinic.doctor(name=f"Dr. Nr {clinic.http.get('/api/doctors?limit=500').text.count('id')}")
    return doctor, clinic.slot(doctorId=doctor["id"], **fields)


def test_a_patient_books_an_appointment_sees_it_and_cancels_it(
    clinic: Clinic, window: Page, assert_accessible: AssertAccessible
) -> None:
    doctor, slot = a_slot(clinic, seats=2)
    choose(window, doctor)
    expect(window.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")
    expect(window.locator("[data-left]")).to_contain_text("seconds left")
    assert_accessible(window)
    window.get_by_role("button", name=CONFIRM).click()
    expect(window.get_by_role("alert").filter(has_text="Please check the following")).to_be_focused()
    assert_accessible(window)
    window.reload()
    expect(window.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")
    fill(window)
    window.get_by_label("E-mail address").press("Enter")
    expect(window.get_by_role("heading", level=1)).to_have_text(BOOKED)
    assert_accessible(window)
    window.reload()
    expect(window.get_by_role("heading", level=1)).to_have_text(BOOKED)
    window.get_by_role("link", name="Cancel appointment").click()
    assert_accessible(window)
    window.get_by_role("button", name="Yes, cancel it").click()
    expect(window.get_by_role("heading", level=1)).to_have_text("This appointment is cancelled")
    assert_accessible(window)
    assert bookings_of(clinic, slot["id"]) == ["CANCELLED"]


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_reloading_and_going_back_keep_the_hold(clinic: Clinic, window: Page) -> None:
    doctor, slot = a_slot(clinic)
    choose(window, doctor)
    held = window.url
    window.reload()
    expect(window.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")
    window.go_back()
    expect(window.get_by_role("link", name=re.compile("[Cc]ontinue")).first).to_be_visible()
    window.get_by_role("link", name=re.compile("[Cc]ontinue")).first.click()
    assert window.url.partition("?")[0] == held.partition("?")[0]
    window.get_by_role("button", name="Choose another time instead").click()
    window.wait_for_url("**/?day=*")
    assert bookings_of(clinic, slot["id"]) == ["CANCELLED"]


def test_a_double_click_books_once(clinic: Clinic, window: Page) -> None:
    doctor, slot = a_slot(clinic, seats=3)
    window.goto(f"/?doctor={doctor['id']}")
    window.get_by_role("button", name=re.compile(re.escape(doctor["name"]))).first.dblclick()
    window.wait_for_url("**/bookings/**")
    fill(window)
    window.get_by_role("button", name=CONFIRM).dblclick()
    expect(window.get_by_role("heading", level=1)).to_have_text(BOOKED)
    assert bookings_of(clinic, slot["id"]) == ["CONFIRMED"]


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_two_browsers_want_the_last_seat_and_one_gets_it(clinic: Clinic, open_window: OpenWindow) -> None:
    doctor, slot = a_slot(clinic)
    windows = [open_window(), open_window()]
    for page in windows:
        page.route("**/api/slots/events", lambda route: route.abort())  # otherwise the slower page may show it first
        page.goto(f"/?doctor={doctor['id']}")
    # The pages click by themselves, so that neither waits for the other.
    for page in windows:
        page.evaluate("setTimeout(() => document.querySelector('form[action=\"/hold\"] button').click())")
    headings = []
    for page in windows:
        expect(page.get_by_role("heading", level=1)).not_to_have_text("Find a time")
        headings.append(page.get_by_role("heading", level=1).inner_text())
    assert sorted(headings) == ["Confirm your appointment", "This time is no longer free"]
    assert bookings_of(clinic, slot["id"]) == ["PENDING"]


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_visitor_who_is_too_late_is_shown_other_times(
    clinic: Clinic, window: Page, assert_accessible: AssertAccessible
) -> None:
    doctor, slot = a_slot(clinic)
    window.route("**/api/slots/events", lambda route: route.abort())
    window.goto(f"/?doctor={doctor['id']}")
    button = window.get_by_role("button", name=re.compile(re.escape(doctor["name"]))).first
    clinic.hold(slot["id"])
    button.dispatch_event("click")
    expect(window.get_by_role("heading", level=1)).to_have_text("This time is no longer free")
    assert_accessible(window)
    window.get_by_role("link", name=re.compile("Other times")).click()
    expect(window.get_by_role("heading", level=1)).to_be_visible()


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_typed_values_survive_the_end_of_the_hold(
    clinic: Clinic, window: Page, assert_accessible: AssertAccessible
) -> None:
    doctor, slot = a_slot(clinic)
    page = window
    page.clock.install()
    choose(page, doctor)
    page.get_by_label("Your name").fill("Ada Lovelace")
    run_out(clinic.server, *held_in(clinic, slot["id"]))
    page.clock.fast_forward(HOLD_SECONDS * 1000)
    expect(page.get_by_role("button", name="Hold this time again")).to_be_visible()
    expect(page.get_by_role("button", name=CONFIRM)).to_be_hidden()
    assert_accessible(page)
    page.get_by_role("button", name="Hold this time again").click()
    expect(page.get_by_role("button", name=CONFIRM)).to_be_visible()
    expect(page.get_by_label("Your name")).to_have_value("Ada Lovelace")
    fill(page)
    page.get_by_role("button", name=CONFIRM).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(BOOKED)
    assert bookings_of(clinic, slot["id"]) == ["FAILED", "CONFIRMED"]


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_finding_booking_and_an_expired_hold_work_without_scripts(clinic: Clinic, open_window: OpenWindow) -> None:
    doctor, slot = a_slot(clinic)
    page = open_window(java_script_enabled=False)
    choose(page, doctor)
    fill(page)
    run_out(clinic.server, *held_in(clinic, slot["id"]))
    eventually(lambda: bookings_of(clinic, slot["id"]) == ["FAILED"])
    page.get_by_role("button", name=CONFIRM).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("This time is no longer held for you")
    page.get_by_role("button", name="Hold it again").click()
    expect(page.get_by_label("Your name")).to_have_value("Ada Lovelace")
    page.get_by_role("button", name=CONFIRM).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(BOOKED)


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_lost_connection_loses_no_typed_values(clinic: Clinic, window: Page) -> None:
    doctor, slot = a_slot(clinic)
    choose(window, doctor)
    fill(window)
    window.context.set_offline(True)
    window.get_by_role("button", name=CONFIRM).click()
    expect(window.get_by_text("We cannot reach the clinic just now")).to_be_visible()
    expect(window.get_by_label("Your name")).to_have_value("Ada Lovelace")
    window.context.set_offline(False)
    window.get_by_role("button", name=CONFIRM).click()
    expect(window.get_by_role("heading", level=1)).to_have_text(BOOKED)
    assert bookings_of(clinic, slot["id"]) == ["CONFIRMED"]


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_lost_answer_does_not_book_twice(clinic: Clinic, window: Page) -> None:
    doctor, slot = a_slot(clinic)
    choose(window, doctor)
    fill(window)

    def lose(route: Route) -> None:
        route.fetch(max_redirects=0)
        route.abort()

    window.route("**/confirm", lose, times=1)
    window.get_by_role("button", name=CONFIRM).click()
    expect(window.get_by_text("We cannot reach the clinic just now")).to_be_visible()
    assert bookings_of(clinic, slot["id"]) == ["CONFIRMED"]
    window.get_by_role("button", name=CONFIRM).click()
    expect(window.get_by_role("heading", level=1)).to_have_text(BOOKED)
    assert bookings_of(clinic, slot["id"]) == ["CONFIRMED"]


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_patient_can_book_by_keyboard_alone(clinic: Clinic, window: Page) -> None:
    doctor, slot = a_slot(clinic)
    window.goto(f"/?doctor={doctor['id']}")
    window.keyboard.press("Tab")
    expect(window.get_by_role("link", name="Skip to content")).to_be_focused()
    tab_to(window, re.compile(re.escape(doctor["name"])), "BUTTON")
    window.keyboard.press("Enter")
    window.wait_for_url("**/bookings/**")
    tab_to(window, re.compile("Your name"), "INPUT")
    window.keyboard.type("Ada Lovelace")
    window.keyboard.press("Tab")
    window.keyboard.type("ada@example.org")
    window.keyboard.press("Enter")
    expect(window.get_by_role("heading", level=1)).to_have_text(BOOKED)
    expect(window.get_by_role("heading", level=1)).to_be_focused()
    assert bookings_of(clinic, slot["id"]) == ["CONFIRMED"]


def tab_to(page: Page, name: "re.Pattern[str]", tag: str) -> None:
    """Press Tab until a control of that tag and name has the focus, with a visible outline."""
    for _ in range(80):
        page.keyboard.press("Tab")
        found = page.evaluate(
            "() => { const e = document.activeElement; return [e.tagName, e.ariaLabel || e.labels?.[0]?.textContent ||"
            " e.textContent, getComputedStyle(e).outlineStyle]; }"
        )
        if found[0] == tag and name.search(found[1]):
            assert found[2] != "none"
            return
    raise AssertionError(f"Tab never comes to {name.pattern}")


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_visitor_in_another_zone_sees_how_far_their_clock_differs(clinic: Clinic, open_window: OpenWindow) -> None:
    # America puts its clocks forward two or three weeks before Europe.
    doctor, _slot = a_slot(clinic, startTime=f"{datetime.now(UTC).year + 1}-03-20T14:00:00Z")
    page = open_window(timezone_id="America/New_York")
    page.goto(f"/?doctor={doctor['id']}")
    then = "At that time, your clock is 5 hours behind the clinic's."
    expect(page.locator("#results").get_by_text(then)).to_be_visible()
    expect(page.get_by_role("contentinfo")).not_to_contain_text("your clock is")
    page.get_by_role("button", name=re.compile(re.escape(doctor["name"]))).click()
    expect(page.locator(".appointment").get_by_text(then)).to_be_visible()
    here = open_window()
    here.goto("/")
    expect(here.get_by_text("Your clock is")).to_have_count(0)


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_time_that_is_taken_meanwhile_is_shown_as_taken(clinic: Clinic, window: Page) -> None:
    doctor, slot = a_slot(clinic)
    window.goto(f"/?doctor={doctor['id']}")
    time = window.locator(f"[data-slot='{slot['id']}']")
    button, room = time.get_by_role("button"), time.locator("[data-room]")
    expect(room).to_have_text("")
    free = button.get_attribute("aria-label") or ""
    held = clinic.hold(slot["id"])
    expect(room).to_have_text("taken")
    expect(button).to_have_accessible_name(f"{free}, taken")
    clinic.http.delete(f"/api/bookings/{held['id']}", headers={"Booking-Token": held["manageToken"]})
    expect(room).to_have_text("")
    expect(button).to_have_accessible_name(free)


@pytest.mark.slow  # two to ten CPU seconds in a browser
@pytest.mark.parametrize("scripts", [True, False])
def test_a_tab_that_lost_its_hold_to_another_tab_says_so_and_leads_there(
    open_window: OpenWindow, clinic: Clinic, scripts: bool
) -> None:
    """What was typed goes along. Without scripts, the tab says it when its form is sent."""
    first, second = (clinic.doctor(name=f"Dr. {name}") for name in ("First", "Second"))
    slot, _ = (clinic.slot(doctorId=doctor["id"], seats=2) for doctor in (first, second))
    tab = open_window(java_script_enabled=scripts)
    choose(tab, first)
    fill(tab)
    other = tab.context.new_page()
    choose(other, second)
    if not scripts:
        tab.get_by_role("button", name="Confirm").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("This time is no longer held for you")
    expect(tab).to_have_title(re.compile("^This time is no longer held for you"))
    expect(tab.get_by_text("because you chose another time")).to_contain_text("with Dr. Second")
    expect(tab.locator("[data-deadline]")).to_have_count(0)
    if scripts:
        expect(tab.get_by_role("heading", level=1)).to_be_focused()
    assert clinic.free_seats(slot["id"]) == 2
    tab.get_by_role("link", name="Continue with the other time").click()
    expect(tab.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")
    expect(tab.locator("#main")).to_contain_text("Dr. Second")
    expect(tab.get_by_label("Your name")).to_have_value("Ada Lovelace")
    expect(tab.get_by_label("E-mail address")).to_have_value("ada@example.org")


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_tab_whose_hold_ended_in_another_tab_keeps_what_was_typed(clinic: Clinic, open_window: OpenWindow) -> None:
    """Released there: it can be held again with the same name. The focus outside of what is replaced stays. Controls
    that need scripts are there, and a time in another zone is told.
    """
    doctor, slot = a_slot(clinic, seats=2)
    tab = open_window(timezone_id="America/New_York")
    choose(tab, doctor)
    fill(tab)
    tab.get_by_label("People").fill("2")
    tab.get_by_role("link", name="Log in").focus()
    other = tab.context.new_page()
    other.goto(tab.url)
    other.get_by_role("button", name="Choose another time instead").click()
    expect(tab.get_by_text("You gave up this time before you confirmed it")).to_be_visible()
    expect(tab.get_by_role("link", name="Log in")).to_be_focused()
    expect(tab.locator(".appointment").get_by_text("your clock is")).to_be_visible()
    assert bookings_of(clinic, slot["id"]) == ["CANCELLED"]
    tab.get_by_role("button", name="Hold it again").click()
    expect(tab.get_by_label("Your name")).to_have_value("Ada Lovelace")
    expect(tab.get_by_label("E-mail address")).to_have_value("ada@example.org")
    other.goto(tab.url)
    fill(other, "Grace Hopper")
    other.get_by_role("button", name=CONFIRM).click()
    expect(tab.get_by_role("heading", level=1)).to_have_text(BOOKED)
    expect(tab).to_have_title(re.compile("^Your appointment"))
    expect(tab.get_by_role("button", name="Print")).to_be_visible()
    expect(tab.get_by_text("Grace Hopper")).to_be_visible()
