"""While the screen still shows the times of the filters before a change, none of them can be chosen."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import OpenWindow, log_in
from tests.clinic import Clinic, in_hours

pytestmark = pytest.mark.slow  # two to ten CPU seconds in a browser

DESK = "/admin/bookings/new"
Change = Callable[[Page], object]


class SlowNetwork:
    """Keeps the requests for these URLs until it recovers."""

    def __init__(self, page: Page, urls: str) -> None:
        self._kept: list[Route] | None = []
        page.route(urls, lambda route: route.continue_() if self._kept is None else self._kept.append(route))

    def recover(self) -> None:
        kept, self._kept = self._kept or [], None
        for route in kept:
            route.continue_()


@pytest.fixture
def slot(clinic: Clinic) -> dict[str, Any]:
    """The only time of a doctor. A colleague, and a doctor of another specialty, have times too."""
    others = clinic.doctor(name="Dr. Other", specialization=f"Other {uuid4().hex[:8]}")
    clinic.slot(doctorId=others["id"], startTime=in_hours(50), seats=3)
    doctor = clinic.doctor(name="Dr. Early", specialization=f"Kind {uuid4().hex[:8]}")
    slot = clinic.slot(doctorId=doctor["id"], startTime=in_hours(50), seats=3)
    colleague = clinic.doctor(name="Dr. Late", specialization=doctor["specialization"])
    clinic.slot(doctorId=colleague["id"], startTime=in_hours(51), seats=3)
    return {**slot, "other": others, "kind": doctor["specialization"], "colleague": colleague["id"]}


def changes(slot: dict[str, Any]) -> dict[str, Change]:
    """Each way to change a filter so that it excludes the slot."""
    other, colleague = slot["other"], str(slot["colleague"])
    day = datetime.fromisoformat(slot["startTime"]) + timedelta(days=3)

    def type_people(page: Page) -> None:
        page.get_by_label("People", exact=True).click()
        page.keyboard.type("4")

    return {
        "specialty": lambda page: page.get_by_label("Specialty").select_option(other["specialization"]),
        "doctor": lambda page: page.get_by_label("Doctor").select_option(colleague),
        "day": lambda page: page.locator("#day").fill(day.date().isoformat()),
        "people": type_people,
    }


def card(page: Page) -> Any:
    return (
        page.locator("#results .time")
        .filter(has_text="Dr. Early")
        .locator("> button, > a, > noscript > button")
        .locator("visible=true")
        .first
    )


def tap(page: Page) -> None:
    """By mouse, then by keyboard, as it is on the screen."""
    card(page).click(force=True)
    card(page).evaluate("(card) => card.focus()")
    if card(page).evaluate("(card) => card === document.activeElement"):
        page.keyboard.press("Enter")


@pytest.mark.parametrize("at_desk", [False, True])
def test_no_time_of_the_old_filters_can_be_chosen_while_the_new_list_is_on_its_way(
    request: pytest.FixtureRequest, clinic: Clinic, slot: dict[str, Any], at_desk: bool
) -> None:
    page: Page = request.getfixturevalue("desk" if at_desk else "window")
    path = DESK if at_desk else "/"
    chosen: list[str] = []
    page.on("request", lambda sent: chosen.append(sent.url) if re.search(r"/hold$|[?&]slot=", sent.url) else None)
    for name, change in changes(slot).items():
        page.goto(f"{path}?speciality={quote(slot['kind'])}")
        network = SlowNetwork(page, f"**{path}?*")
        change(page)
        tap(page)
        expect(page.locator("[data-times]"), name).to_have_attribute("aria-busy", "true")
        page.locator("body").click(position={"x": 1, "y": 1})
        assert chosen == [], name
        network.recover()
        expect(page.locator("[data-times]"), name).to_have_attribute("aria-busy", "false")
        expect(card(page), name).to_have_count(0)
        page.unroute_all()
    assert clinic.free_seats(slot["id"]) == 3


def test_a_time_that_is_chosen_while_the_list_loads_is_taken_if_the_new_list_has_it(
    window: Page, slot: dict[str, Any]
) -> None:
    window.goto(f"/?speciality={quote(slot['kind'])}")
    network = SlowNetwork(window, "**/?*")
    window.get_by_label("Doctor").select_option(str(slot["doctorId"]))
    card(window).press("Enter")
    network.recover()
    expect(window.get_by_role("heading", level=1)).to_have_text("Confirm your appointment")


def typing_while_the_list_loads(
    request: pytest.FixtureRequest, slot: dict[str, Any], at_desk: bool
) -> tuple[Page, SlowNetwork, Locator]:
    """A page that waits for the list of another doctor, with the focus in "People"."""
    page: Page = request.getfixturevalue("desk" if at_desk else "window")
    path = DESK if at_desk else "/"
    page.goto(f"{path}?speciality={quote(slot['kind'])}")
    network = SlowNetwork(page, f"**{path}?*")
    page.get_by_label("Doctor").select_option(str(slot["doctorId"]))
    people = page.get_by_label("People", exact=True)
    people.click()
    return page, network, people


@pytest.mark.parametrize("at_desk", [False, True])
def test_a_filter_that_is_typed_while_the_list_loads_stays(
    request: pytest.FixtureRequest, slot: dict[str, Any], at_desk: bool
) -> None:
    page, network, people = typing_while_the_list_loads(request, slot, at_desk)
    page.keyboard.type("2")
    network.recover()
    expect(page.locator("#results .time").filter(has_text="Dr. Late")).to_have_count(0)
    page.keyboard.type("0")
    expect(people).to_have_value("20")
    expect(people).to_be_focused()
    expect(page.locator("[data-times]")).to_have_attribute("aria-busy", "true")
    page.keyboard.press("Tab")
    page.wait_for_url("**&seats=20")
    expect(card(page)).to_have_count(0)


@pytest.mark.slow  # two pages on a slow network
@pytest.mark.parametrize("at_desk", [False, True])
def test_a_list_is_not_stale_once_its_filters_are_on_the_screen_again(
    request: pytest.FixtureRequest, slot: dict[str, Any], at_desk: bool
) -> None:
    page, network, people = typing_while_the_list_loads(request, slot, at_desk)
    page.keyboard.press("End")
    page.keyboard.type("2")
    network.recover()
    expect(page.locator("#results .time").filter(has_text="Dr. Late")).to_have_count(0)
    expect(page.locator("[data-times]")).to_have_attribute("aria-busy", "true")
    page.keyboard.press("Backspace")
    expect(people).to_have_value("1")
    expect(page.locator("[data-times]")).to_have_attribute("aria-busy", "false")
    expect(page.get_by_label("Doctor")).to_have_value(str(slot["doctorId"]))


@pytest.mark.parametrize("at_desk", [False, True])
def test_without_scripts_a_time_that_changed_filters_exclude_is_not_taken(
    open_window: OpenWindow, clinic: Clinic, slot: dict[str, Any], at_desk: bool
) -> None:
    page = open_window(java_script_enabled=False)
    if at_desk:
        log_in(page)
    changed = changes(slot)
    del changed["people"]  # the number of people is checked when the seats are held
    for name, change in changed.items():
        page.goto(f"{DESK if at_desk else '/'}?speciality={quote(slot['kind'])}")
        change(page)
        card(page).click()
        expect(page.get_by_text("so we did not take it"), name).to_be_visible()
        expect(card(page), name).to_have_count(0)
    assert clinic.free_seats(slot["id"]) == 3
    page.goto(f"{DESK if at_desk else '/'}?speciality={quote(slot['kind'])}")
    card(page).click()
    expect(page.get_by_label("Name")).to_be_visible()


@pytest.mark.parametrize("at_desk", [False, True])
def test_a_number_that_is_typed_replaces_the_preset_one(
    request: pytest.FixtureRequest, slot: dict[str, Any], at_desk: bool
) -> None:
    page: Page = request.getfixturevalue("desk" if at_desk else "window")
    for enter in ("click", "focus"):
        page.goto(f"{DESK if at_desk else '/'}?speciality={quote(slot['kind'])}")
        people = page.get_by_label("People", exact=True)
        getattr(people, enter)()
        page.keyboard.type("2")
        page.keyboard.press("Enter")
        page.wait_for_url("**&seats=2")
        expect(people).to_have_value("2")
        expect(people).to_be_focused()
