"""The form of weekly hours shows what the chosen kind of hours needs, with and without scripts, narrow and wide.

So does the week.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import AssertAccessible, OpenWindow, StartSite, log_in
from tests.clinic import Clinic, RunningServer

pytestmark = pytest.mark.slow(reason="starts a server of its own, and takes five CPU seconds in a browser")

OPEN_TIME = "Open time: visits of different lengths"
FIXED_TIMES = "Fixed times: all visits have the same length"
OF_FIXED_TIMES = ("Length in minutes", "Break after each, in minutes", "People at each time")
OF_OPEN_TIME = ("A visit may begin every so many minutes",)


@pytest.fixture
def own_site(start_site: StartSite) -> RunningServer:
    """A server of its own: with a visit type, the first page of a clinic asks what patients need."""
    return start_site(CLINIC_TIME_ZONE="UTC")


@pytest.fixture
def clinic(own_site: RunningServer) -> Iterator[Clinic]:
    with Clinic(own_site) as clinic:
        yield clinic


@pytest.mark.parametrize(("scripts", "width"), [(True, 360), (False, 1200)])
def test_only_what_the_chosen_kind_needs_is_shown_and_asked(
    own_site: RunningServer,
    clinic: Clinic,
    open_window: OpenWindow,
    assert_accessible: AssertAccessible,
    scripts: bool,
    width: int,
) -> None:
    path = f"/admin/doctors/{clinic.doctor()['id']}/hours/new"
    desk = open_window(own_site, java_script_enabled=scripts, viewport={"width": width, "height": 800})
    log_in(desk)
    desk.goto(path)
    expect(desk.get_by_label(FIXED_TIMES)).to_be_checked()
    assert_shown(desk, OF_FIXED_TIMES, OF_OPEN_TIME)
    choose_by_keyboard(desk)
    assert_shown(desk, OF_OPEN_TIME, OF_FIXED_TIMES)
    expect(desk.get_by_text("Open time needs a visit type.")).to_be_visible()

    add_types(clinic, ("First visit", 30), ("Short visit", 10))
    desk.goto(path)
    check(desk, assert_accessible if scripts else None)
    desk.get_by_label(OPEN_TIME).check()
    check(desk, assert_accessible if scripts else None)
    expect(desk.get_by_role("group", name="Visit types")).to_have_accessible_description(
        "At least one. They may have different lengths."
    )
    desk.get_by_label(f"{datetime.now(UTC) + timedelta(days=1):%A}", exact=True).check()
    press(desk)
    expect(desk.get_by_label(OPEN_TIME)).to_be_checked()
    expect(desk.get_by_role("alert")).to_contain_text("Visit types: must have at least one")
    assert_shown(desk, OF_OPEN_TIME, OF_FIXED_TIMES)
    desk.get_by_label("First visit, 30 minutes").check()
    press(desk)
    expect(desk.get_by_text("of open time on")).to_be_visible()


def test_the_week_has_room_for_many_visit_types_with_long_names(
    own_site: RunningServer, clinic: Clinic, open_window: OpenWindow, assert_accessible: AssertAccessible
) -> None:
    add_types(clinic, *((f"{'Gastroenterologie' * 2} {number}", 30) for number in range(5)))
    desk = open_window(own_site)
    log_in(desk)
    desk.goto(f"/admin/doctors/{clinic.doctor()['id']}/hours/new")
    desk.get_by_label(OPEN_TIME).check()
    desk.get_by_label("Monday").check()
    for each in desk.get_by_label("Gastroenterologie").all():
        each.check()
    press(desk)
    desk.get_by_role("button", name="Do exactly this").click()
    cell = desk.get_by_role("cell").filter(has_text="2 more")
    expect(cell).to_contain_text("Gastroenterologie 2")
    expect(cell.get_by_text("Gastroenterologie 3")).to_be_hidden()
    cell.get_by_text("2 more").click()
    expect(cell.get_by_text("Gastroenterologie 3")).to_be_visible()
    for width in (320, 375, 1024):
        desk.set_viewport_size({"width": width, "height": 800})
        check(desk, assert_accessible)
        assert desk.locator(".scroll").evaluate("(part) => part.scrollWidth - part.clientWidth") <= 0, width


def choose_by_keyboard(desk: Page) -> None:
    """The arrow keys choose, and the next field is one of the chosen kind."""
    desk.get_by_label(FIXED_TIMES).focus()
    desk.keyboard.press("ArrowDown")
    expect(desk.get_by_label(OPEN_TIME)).to_be_checked()
    desk.keyboard.press("Tab")
    expect(desk.get_by_label(OF_OPEN_TIME[0])).to_be_focused()


def assert_shown(desk: Page, shown: tuple[str, ...], hidden: tuple[str, ...]) -> None:
    for label in shown:
        expect(desk.get_by_label(label, exact=True)).to_be_visible()
    for label in hidden:
        expect(desk.get_by_label(label, exact=True)).to_be_hidden()


def check(desk: Page, assert_accessible: AssertAccessible | None) -> None:
    if assert_accessible is not None:
        assert_accessible(desk)
    assert desk.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def press(desk: Page) -> None:
    desk.get_by_role("button", name="Show what would change").click()


def add_types(clinic: Clinic, *types: tuple[str, int]) -> None:
    for name, minutes in types:
        made = clinic.http.post("/api/visit-types", json={"name": name, "minutes": minutes}, headers=clinic.admin)
        assert made.is_success, made.text
