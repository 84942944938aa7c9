"""Every page on narrow and wide screens and on paper, with ordinary and with very long names."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenWindow, StartSite, use_account
from tests.browser.full_clinic import SHORT, Names, fill, patient_of
from tests.browser.test_every_page import FOR_STRANGERS, urls_of
from tests.clinic import Clinic

pytestmark = pytest.mark.slow  # every page at four widths: a minute

WIDTHS = (320, 375, 390, 1024)
# In CSS pixels, without the margins that Chromium prints.
A4_WIDTH = 718
LONG = Names(
    doctor=f"Dr. {'Wolfeschlegelsteinhausen' * 3}",
    specialization="Gastroenterologie" * 3,
    patient=f"Hubert {'Blaine' * 10}",
    email=f"{'a' * 60}@{'b' * 60}.{'c' * 11}.org",
)
LONG_CLINIC = "W" * 60
RENAME = "(name) => { document.querySelector('.brand').lastChild.data = name; }"
TOO_WIDE = """() => [document.documentElement, ...document.querySelectorAll(".scroll")]
  .filter((part) => part.scrollWidth > part.clientWidth).map((part) => part.outerHTML.slice(0, 100))"""
# Words of at most 15 characters that stand on more than one line.
BROKEN_WORDS = r"""() => {
  const broken = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (!parentElement.checkVisibility() || parentElement.closest(".visually-hidden, option")) continue;
    for (const { 0: word, index } of data.matchAll(/[\p{L}\p{N}:@.]+/gu)) {
      const range = document.createRange();
      range.setStart(texts.currentNode, index);
      range.setEnd(texts.currentNode, index + word.length);
      const boxes = [...range.getClientRects()].filter((box) => box.width > 1);
      const lines = new Set(boxes.map((box) => Math.round(box.top)));
      if (word.length <= 15 && lines.size > 1) broken.push(word);
    }
  }
  return broken;
}"""


def assert_fits(page: Page, url: str, names: Names) -> None:
    page.goto(url)
    if names is LONG:
        page.evaluate(RENAME, LONG_CLINIC)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate(TOO_WIDE) == [], (url, width)
        assert page.evaluate(BROKEN_WORDS) == [], (url, width)


@pytest.mark.parametrize("names", [SHORT, LONG], ids=["ordinary", "long"])
def test_no_page_is_wider_than_its_window_and_no_word_breaks(clinic: Clinic, window: Page, names: Names) -> None:
    full = fill(clinic, names)
    for url in sorted(FOR_STRANGERS):
        assert_fits(window, url, names)
    use_account(window, clinic, patient_of(clinic, full, names))
    for url in ("/account", "/account/data", full.link, "/nothing-here"):
        assert_fits(window, url, names)
    use_account(window, clinic, clinic.admin)
    for url in urls_of(clinic, full):
        assert_fits(window, url, names)


@pytest.mark.parametrize("names", [SHORT, LONG], ids=["ordinary", "long"])
def test_no_column_of_a_printed_day_sheet_is_lost(clinic: Clinic, desk: Page, names: Names) -> None:
    full = fill(clinic, names)
    desk.goto(f"/admin/day-sheet?doctor={full.busy}")
    desk.emulate_media(media="print")
    desk.set_viewport_size({"width": A4_WIDTH, "height": 1000})
    status = desk.get_by_role("cell", name="Cancelled by the clinic: tell this patient")
    assert status.count() > 1
    edges = desk.locator(".day-sheet :is(th, td)").evaluate_all(
        "(cells) => cells.map((cell) => cell.getBoundingClientRect().left + cell.scrollWidth)"
    )
    assert len(edges) > 20
    assert max(edges) <= A4_WIDTH
    assert desk.evaluate(BROKEN_WORDS) == []


def test_the_choices_between_kinds_of_visits_fit_however_long_their_names(
    start_site: StartSite, open_window: OpenWindow
) -> None:
    server = start_site(CLINIC_TIME_ZONE="Europe/Berlin")
    with Clinic(server) as clinic:
        kinds = [
            clinic.http.post("/api/visit-types", json={"name": name, "minutes": 20}, headers=clinic.admin).json()["id"]
            for name in ("Untersuchungsvorbereitungsgespräch", "Wolfeschlegelsteinhausen" * 8, "Check-up")
        ]
        slot = clinic.slot(visitTypeIds=kinds)
        page = open_window(server)
        assert_fits(page, "/", LONG)
        expect(page.get_by_role("link", name="Check-up")).to_be_visible()
        use_account(page, clinic, clinic.admin)
        doctor = f"/admin/doctors/{slot['doctorId']}"
        for url in (
            "/admin/bookings/new", "/admin/visit-types", f"/admin/visit-types/{kinds[1]}", f"{doctor}/hours/new",
            f"{doctor}/slots/new", f"{doctor}/slots/new?kind=one", f"/admin/slots/{slot['id']}",
        ):  # fmt: skip
            assert_fits(page, url, LONG)
