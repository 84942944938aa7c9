"""Free seats change on the page for finding a time while it is open."""

from playwright.sync_api import Page, expect

from tests.clinic import Clinic, holder


def test_free_seats_change_on_the_page_and_the_focus_stays(clinic: Clinic, window: Page) -> None:
    slot = clinic.slot(seats=2)
    with window.expect_response("**/api/slots/events"):
        window.goto(f"/?doctor={slot['doctorId']}")
    time = window.locator(f'[data-slot="{slot["id"]}"]')
    button, room = time.get_by_role("button"), time.locator("[data-room]")
    expect(room).to_have_text("room for 2 people")
    button.focus()
    clinic.hold(slot["id"])
    expect(room).to_have_text("room for 1 person")
    expect(button).to_have_accessible_name(_ending_in(button.get_attribute("aria-label"), "room for 1 person"))
    last = clinic.hold(slot["id"])
    expect(room).to_have_text("full")
    expect(button).to_be_focused()
    expect(button).to_be_disabled()
    before = window.url
    button.press("Enter")
    assert window.url == before
    clinic.http.delete(f"/api/bookings/{last['id']}", headers=holder(last))
    expect(room).to_have_text("room for 1 person")
    expect(button).to_be_enabled()
    clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    expect(room).to_have_text("no longer offered")
    expect(button).to_be_disabled()
    button.press("Enter")
    assert window.url == before


def _ending_in(sentence: str | None, words: str) -> str:
    assert sentence
    assert sentence.endswith(words)
    return sentence
