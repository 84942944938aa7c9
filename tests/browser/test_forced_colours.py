"""Where the person's own few colours replace all others (high contrast), nothing is told by a colour alone."""

from itertools import combinations
from typing import Any

import pytest
from playwright.sync_api import Locator, Page

from tests.browser.conftest import use_account
from tests.browser.full_clinic import EMPTY_DAY, FullClinic, patient_of
from tests.clinic import Clinic

pytestmark = pytest.mark.slow  # two to ten CPU seconds in a browser

SHAPE = ("background-color", "border-style", "border-width")
# What stands out from its surroundings by a background: each gets a mark. Pages and controls keep their own borders.
MARK_BACKGROUNDS = """() => {
  const clear = (colour) => colour === "rgba(0, 0, 0, 0)";
  const behind = (element) => {
    const colour = element ? getComputedStyle(element).backgroundColor : "";
    return element && clear(colour) ? behind(element.parentElement) : colour;
  };
  for (const element of document.querySelectorAll("body *")) {
    const own = getComputedStyle(element).backgroundColor;
    const seen = element.checkVisibility() && element.getBoundingClientRect().width > 2;
    if (seen && !clear(own) && own !== behind(element.parentElement)) element.dataset.marked = "";
  }
}"""
WITHOUT_EDGE = """() => [...document.querySelectorAll("[data-marked]")].filter((element) => {
  const style = getComputedStyle(element);
  const sides = ["Top", "Right", "Bottom", "Left"].map((side) => `border${side}`);
  const edges = [...sides, "outline"].map((edge) => [style[`${edge}Style`], style[`${edge}Width`]]);
  const adjusts = style.forcedColorAdjust === "none" || element.matches("svg *");
  return !adjusts && edges.every(([line, width]) => line === "none" || width === "0px");
}).map((element) => element.outerHTML.slice(0, 100))"""


def forced(page: Page, active: bool) -> None:
    page.emulate_media(forced_colors="active" if active else "none")


def all_different(looks: list[Any]) -> bool:
    return len(looks) > 1 and all(one != other for one, other in combinations(looks, 2))


def looks_of(things: Locator, *properties: str, pseudo: str = "") -> list[Any]:
    read = """(things, [pseudo, properties]) => things.map((thing) => {
      const style = getComputedStyle(thing, pseudo);
      return properties.map((name) => style.getPropertyValue(name)).join(" ");
    })"""
    looks: list[Any] = things.evaluate_all(read, [pseudo, list(properties)])
    return looks


def test_what_stands_out_by_its_background_has_an_edge(clinic: Clinic, window: Page, full: FullClinic) -> None:
    account = patient_of(clinic, full)
    week = f"/admin/doctors/{full.doctor}?week={full.long_day}"
    desk_pages = [
        "/admin", "/admin/bookings", "/admin/bookings/new", "/admin/doctors", "/admin/users", week,
        f"/admin/bookings/{full.booking}", f"/admin/slots/{full.slot}", f"/admin/day-sheet?doctor={full.busy}",
    ]  # fmt: skip
    own_pages = ["/account", full.link, f"/?doctor={full.doctor}&day={full.long_day}", f"/?day={EMPTY_DAY}"]
    held = clinic.hold(clinic.slot()["id"])
    for headers, urls in (
        (account, [*own_pages, f"/bookings/{held['id']}?token={held['manageToken']}"]),
        (clinic.admin, desk_pages),
    ):
        use_account(window, clinic, headers)
        for url in urls:
            forced(window, active=False)
            window.goto(url)
            window.evaluate(MARK_BACKGROUNDS)
            assert window.locator("[data-marked]").count(), url
            forced(window, active=True)
            assert window.evaluate(WITHOUT_EDGE) == [], url


def test_what_differs_by_its_colour_differs_in_forced_colours(desk: Page, full: FullClinic) -> None:
    forced(desk, active=True)
    desk.goto("/admin")
    assert all_different(looks_of(desk.locator(".legend .key"), *SHAPE))
    row = desk.get_by_role("row").filter(has=desk.locator(f"#doctor-{full.busy}"))
    parts = row.locator(".bar rect")
    assert all_different(looks_of(parts, "fill"))
    for kind in ("confirmed", "held"):
        [bar] = looks_of(row.locator(f"rect.bar-{kind}"), "fill")
        assert looks_of(desk.locator(f".key.bar-{kind}"), "background-color") == [bar]
    desk.goto(f"/admin/doctors/{full.busy}")
    assert all_different(looks_of(desk.locator(".legend .key"), *SHAPE))
    [today] = looks_of(desk.locator(".day.is-today"), *SHAPE)
    assert today not in looks_of(desk.locator(".day:not(.is-today)"), *SHAPE)
    desk.goto(f"/admin/bookings/{full.booking}")
    events = desk.locator(".history li")
    events.first.evaluate("(li) => li.after(Object.assign(li.cloneNode(true), {className: 'of-slot'}))")
    dots = looks_of(events, "background-color", pseudo="::before")
    assert dots[0] != dots[1]
    desk.goto(f"/?doctor={full.doctor}&day={full.long_day}")
    [chosen] = looks_of(desk.locator(".days [aria-current]"), "outline-style")
    assert chosen not in looks_of(desk.locator(".days a:not([aria-current])"), "outline-style")
