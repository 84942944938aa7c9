"""Every page as it opens. The other files test what happens when it is used."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible
from tests.clinic import Clinic
from tests.web.visiting import routes

# Pieces of pages, files, and redirects.
NO_PAGES = {
    "/account/data.json",
    "/admin/bookings.csv",
    "/admin/today/board",
    "/admin/today/latest",
    "/bookings/{booking_id}/calendar.ics",
    "/bookings/{booking_id}/confirm",
    "/bookings/{booking_id}/seats",
    "/static/{version}/{name}",
}
FOR_STRANGERS = {"/log-in", "/register"}


def pages() -> set[str]:
    """The paths of all pages, with placeholders for ids."""
    return {path for method, path in map(str.split, routes()) if method == "GET"} - NO_PAGES


@pytest.mark.slow  # every page by axe: a minute
def test_every_page_for_visitors_is_accessible(
    clinic: Clinic, window: Page, assert_accessible: AssertAccessible
) -> None:
    held = clinic.hold(clinic.slot(seats=3)["id"])
    booking = f"/bookings/{held['id']}?token={held['manageToken']}"
    clinic.http.delete(f"/api/bookings/{held['id']}", headers={"Booking-Token": held["manageToken"]})
    for path in [*sorted(FOR_STRANGERS), booking, "/nothing-here", "/bookings/1?token=wrong"]:
        window.goto(path)
        assert_accessible(window)


@pytest.mark.slow  # every page by axe: a minute
def test_every_page_for_the_clinic_is_accessible(
    clinic: Clinic, desk: Page, assert_accessible: AssertAccessible
) -> None:
    slot = clinic.slot(seats=3)
    booking = clinic.hold(slot["id"], userName="Ada Lovelace", confirm=True)
    about = {"doctor_id": slot["doctorId"], "slot_id": slot["id"], "booking_id": booking["id"]}
    patient, me = (account_of(clinic, headers) for headers in (clinic.patient(), clinic.admin))
    looked_at = 0
    for path in sorted(pages() - FOR_STRANGERS):
        for user_id in (patient, me) if "{user_id}" in path else (me,):
            looked_at += 1
            answer = desk.goto(path.format(user_id=user_id, **about))
            assert answer is not None
            assert answer.status == 200, desk.url
            expect(desk.get_by_role("heading", level=1)).to_have_count(1)
            assert_accessible(desk)
    assert looked_at >= 20
    desk.goto("/admin/slots/999999999")
    assert_accessible(desk)
    desk.goto(f"/admin/bookings/new?slot={slot['id']}")
    assert_accessible(desk)
    # The board of a day on which somebody works; that of today may be empty.
    desk.goto(f"/admin?day={slot['startTime'][:10]}")
    expect(desk.get_by_role("table")).to_have_count(1)
    assert_accessible(desk)


def account_of(clinic: Clinic, headers: dict[str, str]) -> int:
    return int(clinic.http.get("/api/auth/me", headers=headers).json()["id"])
