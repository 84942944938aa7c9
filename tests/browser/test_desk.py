"""A receptionist at a screen: books for a caller, cancels, prints the day, looks up who did what."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, unique_email


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_the_desk_books_with_a_double_click_and_cancels(
    clinic: Clinic, desk: Page, assert_accessible: AssertAccessible
) -> None:
    slot = clinic.slot(seats=3)
    desk.goto("/admin/bookings/new")
    desk.get_by_label("Doctor").select_option(str(slot["doctorId"]))
    desk.get_by_role("button", name="Show times").click()
    assert_accessible(desk)
    desk.get_by_role("link", name="room for 3 people").focus()
    desk.keyboard.press("Enter")
    desk.get_by_label("Name").fill("   ")
    desk.get_by_label("E-mail").fill("xerxes@example.org")
    desk.get_by_role("button", name="Book and confirm").click()
    expect(desk.get_by_role("alert").filter(has_text="Please check the following")).to_be_focused()
    assert_accessible(desk)
    desk.get_by_label("Name").fill("Xerxes Quint")
    desk.get_by_role("button", name="Book and confirm").dblclick()
    expect(desk.get_by_role("heading", level=1)).to_have_text("Booked and confirmed")
    assert_accessible(desk)
    desk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desk.get_by_role("button", name="Copy link").click()
    expect(desk.get_by_role("button", name="Copied")).to_be_visible()
    assert "?token=" in desk.evaluate("navigator.clipboard.readText()")
    assert clinic.free_seats(slot["id"]) == 2
    desk.get_by_role("link", name="Bookings", exact=True).click()
    desk.get_by_label("Patient or booking").fill("xerxes")
    desk.get_by_role("button", name="Find").click()
    assert_accessible(desk)
    desk.get_by_role("link", name="Xerxes Quint").click()
    desk.get_by_role("link", name="Cancel the booking").click()
    desk.get_by_label("Reason").fill("Rang to cancel")
    assert_accessible(desk)
    desk.get_by_role("button", name="Cancel the booking").click()
    expect(desk.get_by_text("Rang to cancel")).to_be_visible()
    assert clinic.free_seats(slot["id"]) == 3
    assert_accessible(desk)
    desk.get_by_role("link", name="Day sheet").click()
    expect(desk.get_by_role("button", name="Print")).to_be_visible()
    assert_accessible(desk)
    desk.emulate_media(media="print")
    expect(desk.get_by_role("button", name="Print")).to_be_hidden()
    expect(desk.get_by_role("navigation", name="Clinic")).to_be_hidden()


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_an_admin_adds_an_account_and_finds_it_in_the_audit_log(
    desk: Page, assert_accessible: AssertAccessible
) -> None:
    desk.goto("/admin/users")
    desk.get_by_role("link", name="Add a user").click()
    desk.get_by_label("Name", exact=True).fill("Sam Staff")
    desk.get_by_label("E-mail").fill(unique_email())
    desk.get_by_role("button", name="Add the user").click()
    assert len(desk.get_by_label("Password").input_value()) >= 16
    assert_accessible(desk)
    desk.get_by_role("link", name="Done").click()
    desk.get_by_role("link", name="Log entries about this user").click()
    expect(desk.get_by_role("cell", name="Added an account")).to_be_visible()


def test_a_form_is_there_again_after_the_session_has_ended(clinic: Clinic, desk: Page) -> None:
    slot = clinic.slot()
    desk.goto(f"/admin/bookings/new?slot={slot['id']}")
    desk.get_by_label("Name").fill("Xerxes Quint")
    desk.context.clear_cookies()
    desk.get_by_label("E-mail").fill("xerxes@example.org")
    desk.get_by_role("button", name="Book and confirm").click()
    expect(desk.get_by_text("What you typed is kept for 15 minutes")).to_be_visible()
    desk.get_by_label("E-mail").fill(ADMIN_EMAIL)
    desk.get_by_label("Password", exact=True).fill(ADMIN_PASSWORD)
    desk.get_by_role("button", name="Log in").click()
    expect(desk.get_by_text("The form was not sent.")).to_be_visible()
    expect(desk.get_by_label("Name")).to_have_value("Xerxes Quint")
    expect(desk.get_by_label("E-mail")).to_have_value("xerxes@example.org")
    assert clinic.free_seats(slot["id"]) == 1
    desk.get_by_role("button", name="Book and confirm").click()
    expect(desk.get_by_role("heading", level=1)).to_have_text("Booked and confirmed")
