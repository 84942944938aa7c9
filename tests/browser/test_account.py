"""A patient's account at a screen: created, used and deleted. axe checks each page and each error."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible
from tests.clinic import Clinic, unique_email

PASSWORD = "a long secret of Pat's"


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_patient_creates_an_account_and_finds_their_appointment(
    clinic: Clinic, window: Page, assert_accessible: AssertAccessible
) -> None:
    window.goto("/account")
    heading(window, "Log in")
    window.get_by_role("link", name="Create an account").click()
    window.get_by_role("button", name="Create account").click()
    expect(window.get_by_role("alert").filter(has_text="Please check the following")).to_be_focused()
    expect(window.get_by_label("Your name")).to_have_accessible_description("Error: Must not be empty.")
    assert_accessible(window)
    window.get_by_role("link", name="Name: must not be empty.").click()
    expect(window.get_by_label("Your name")).to_be_focused()
    window.get_by_label("Your name").fill("Pat Patient")
    window.get_by_label("E-mail address").fill(unique_email())
    window.get_by_label("Password", exact=True).fill(PASSWORD)
    window.get_by_label("Password", exact=True).press("Enter")
    heading(window, "My appointments")
    token = next(cookie["value"] for cookie in window.context.cookies() if cookie.get("name") == "slotwise-session")
    slot = clinic.slot()
    clinic.hold(slot["id"], headers={"Authorization": f"Bearer {token}"}, confirm=True)
    window.reload()
    assert_accessible(window)
    window.get_by_role("link", name="Cancel the appointment on ").click()
    heading(window, "Cancel this appointment?")
    window.go_back()
    with window.expect_download() as download:
        window.get_by_role("link", name="Add to calendar the appointment on ").click()
    assert b"BEGIN:VEVENT" in download.value.path().read_bytes()
    window.get_by_role("link", name="Details of the appointment on ").click()
    heading(window, "You are booked")


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_patient_changes_the_password_downloads_data_and_deletes_the_account(
    window: Page, clinic: Clinic, assert_accessible: AssertAccessible
) -> None:
    email = unique_email()
    clinic.http.post("/api/auth/register", json={"name": "Pat Patient", "email": email, "password": PASSWORD})
    window.goto("/account/password")
    window.get_by_label("E-mail address").fill(email)
    window.get_by_label("Password", exact=True).fill("wrong")
    window.get_by_role("button", name="Log in").click()
    expect(window.get_by_role("alert").filter(has_text="the password is wrong")).to_be_focused()
    assert_accessible(window)
    window.get_by_label("Password", exact=True).fill(PASSWORD)
    window.get_by_role("button", name="Log in").click()
    heading(window, "Change your password")
    window.get_by_label("Current password").fill("wrong")
    window.get_by_label("New password").fill(f"new {PASSWORD}")
    window.get_by_role("button", name="Change password").click()
    expect(window.get_by_label("Current password")).to_have_accessible_description("Error: This is not your password.")
    assert_accessible(window)
    window.get_by_label("Current password").fill(PASSWORD)
    window.get_by_label("New password").fill(f"new {PASSWORD}")
    window.get_by_role("button", name="Change password").click()
    expect(window.get_by_role("status").filter(has_text="Your password is changed.")).to_be_visible()
    window.get_by_role("link", name="Your data").click()
    with window.expect_download() as download:
        window.get_by_role("link", name="Download your data").click()
    assert email.encode() in download.value.path().read_bytes()
    window.get_by_role("link", name="Delete my account").click()
    window.get_by_label("Your password").fill(f"new {PASSWORD}")
    window.get_by_role("button", name="Delete my account permanently").click()
    heading(window, "Find a time")
    expect(window.get_by_role("status").filter(has_text="Your account is deleted")).to_be_visible()
