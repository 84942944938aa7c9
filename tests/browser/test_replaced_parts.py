"""Parts of pages that are replaced while somebody is using them: a control keeps the focus by its id."""

import re
from collections import Counter
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from playwright.sync_api import Page, expect

from tests.browser.full_clinic import EMPTY_DAY, FullClinic
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic
from tests.web.people import AccountVisitor

CONTROLS = {"a", "button", "input", "select", "textarea", "summary"}
HEADINGS = {"h1", "h2"}
# Elements without an end tag (HTML, 13.1.2).
VOID = {"br", "hr", "img", "input", "link", "meta", "rect"}


class Part:
    """A part of a page that is replaced: its controls, with the id of each, and its headings."""

    def __init__(self) -> None:
        self.controls: list[tuple[str, str | None]] = []
        self.headings = 0

    def note(self, tag: str, given: dict[str, str | None]) -> None:
        self.headings += tag in HEADINGS
        if (tag in CONTROLS or "tabindex" in given) and tag not in HEADINGS and given.get("type") != "hidden":
            self.controls.append((f"{tag} {given.get('href') or given.get('name') or ''}", given.get("id")))


class ReplacedParts(HTMLParser):
    """The parts of a page that htmx replaces, by their ids."""

    def __init__(self, html: str) -> None:
        super().__init__()
        named = " ".join(re.findall(r'(?:hx-target|hx-select-oob)="([^"]+)"', html))
        by_themselves = re.findall(r'id="([^"]+)"[^>]*data-renewed', html)
        self.parts = {name: Part() for name in [*re.findall(r"#([\w-]+)", named), *by_themselves]}
        self.ids: Counter[str] = Counter()
        self._open: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids.update([given["id"] or ""] if "id" in given else [])
        for part in self._around():
            part.note(tag, given)
        if tag not in VOID:
            self._open.append((tag, given.get("id")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def _around(self) -> Iterator[Part]:
        """The parts that what is read now is in. Without scripts nothing is replaced."""
        tags = {tag for tag, _ in self._open}
        return iter([] if "noscript" in tags else [self.parts[name] for _, name in self._open if name in self.parts])


def pages(full: FullClinic) -> list[str]:
    """Each page with such parts, full and empty, and in the states that have links of their own."""
    finder = "/admin/bookings/new"
    of = f"doctor={full.doctor}"
    return [
        "/admin",
        *(f"{path}?{query}" for path in ("/", finder) for query in (
            of,
            f"speciality={full.specialization}&day={full.long_day}",
            f"speciality={full.specialization}&day={full.long_day}&after={full.after}",
            f"doctor={full.taken}",
            f"doctor={full.taken}&seats=2",
            f"doctor={full.idle}",
            f"{of}&day={EMPTY_DAY}",
        )),
    ]  # fmt: skip


def test_each_control_in_a_part_that_is_replaced_has_an_id_of_its_own(clinic: Clinic, full: FullClinic) -> None:
    seen: set[str] = set()
    with AccountVisitor(clinic.server) as desk:
        desk.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        for url in pages(full):
            page, again = (ReplacedParts(desk.http.get(url).text) for _ in range(2))
            assert [name for name, times in page.ids.items() if times > 1] == [], url
            for name, part in page.parts.items():
                assert [control for control, known in part.controls if not known] == [], (url, name)
                assert part.controls == again.parts[name].controls, (url, name)
                seen.update(known for _, known in part.controls if known)
            # Where the focused control is gone, the focus moves to a heading.
            assert all(page.parts[name].headings for name in {"results", "board", "latest"} & page.parts.keys()), url
    assert {"jump-morning", "nearest", "first-times", "later-times", "all-times", "more-doctors", "again"} <= seen
    assert {"other-", "slot-", "hold-", "sheet-", "time-", "booking-"} <= {known.rstrip("0123456789") for known in seen}


def refresh(page: Page, *parts: str) -> None:
    """Let the parts of the page update themselves, and wait until each is a new one."""
    page.evaluate("(ids) => ids.forEach((id) => document.getElementById(id).dataset.old = '')", parts)
    page.evaluate("document.body.dispatchEvent(new Event('seats-refresh'))")
    expect(page.locator("[data-old], .htmx-added, .htmx-settling")).to_have_count(0)


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_the_focus_stays_on_a_control_while_its_part_of_the_page_is_replaced(desk: Page, full: FullClinic) -> None:
    desk.goto("/admin")
    desk.locator("#more-doctors").click()
    for control in ("#more-chart a >> nth=-1", "#more-chart", "#more-doctors", "#chart", "[id^=hold-] >> nth=0"):
        focused = desk.locator(control)
        focused.focus()
        refresh(desk, "board")
        expect(focused, control).to_be_focused()
    day = f"/?doctor={full.doctor}&day={full.long_day}"
    empty = f"/?doctor={full.doctor}&day={EMPTY_DAY}"
    for url, control in ((day, "#jump-afternoon"), (day, "#later-times"), (empty, "#nearest")):
        desk.goto(url)
        desk.locator(control).focus()
        refresh(desk, "results")
        expect(desk.locator(control), url).to_be_focused()
    desk.goto(day)
    desk.locator("#jump-afternoon").press("Enter")
    desk.wait_for_url("**&after=*")
    expect(desk.locator("#jump-afternoon")).to_be_focused()


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_the_focus_moves_to_a_heading_when_its_control_is_gone(clinic: Clinic, desk: Page, full: FullClinic) -> None:
    held = clinic.hold(clinic.slot()["id"])
    desk.goto("/admin")
    desk.locator(f"#hold-{held['id']}").focus()
    clinic.http.delete(f"/api/bookings/{held['id']}", headers=clinic.admin)
    refresh(desk, "board", "latest")
    expect(desk.locator("#running-out")).to_be_focused()
    for path in ("/admin/bookings/new", "/"):
        slot = clinic.slot()
        desk.goto(f"{path}?doctor={slot['doctorId']}")
        desk.route("**/api/slots/events", lambda route: route.abort())
        desk.locator(f"#time-{slot['id']}").focus()
        clinic.hold(slot["id"])
        desk.locator("#show").evaluate("(button) => button.click()")
        expect(desk.locator(f"#time-{slot['id']}")).to_have_count(0)
        expect(desk.locator("#results h2").first).to_be_focused()
    desk.locator("body").click(position={"x": 1, "y": 1})
    refresh(desk, "results")
    expect(desk.locator("body")).to_be_focused()
