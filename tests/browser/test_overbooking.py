"""A receptionist squeezes one more patient in, by keyboard."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible
from tests.clinic import Clinic


@pytest.mark.slow  # two CPU seconds in a browser
def test_the_desk_overbooks_a_full_time_by_keyboard(
    clinic: Clinic, desk: Page, assert_accessible: AssertAccessible
) -> None:
    slot = clinic.slot()
    clinic.hold(slot["id"], confirm=True)
    desk.goto(f"/admin/slots/{slot['id']}")
    desk.get_by_role("link", name="Overbook this time").focus()
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("heading", level=1)).to_have_text("Overbook this time")
    assert_accessible(desk)
    desk.get_by_label("Name").fill("Grace Hopper")
    desk.get_by_label("E-mail").fill("grace@example.org")
    desk.get_by_label("Reason").fill("In pain")
    desk.keyboard.press("Enter")
    expect(desk.get_by_role("heading", level=1)).to_have_text("Booked and confirmed")
    desk.goto(f"/admin/slots/{slot['id']}")
    expect(desk.get_by_text("1 person more than planned")).to_be_visible()
    assert_accessible(desk)
    assert clinic.free_seats(slot["id"]) == 0
