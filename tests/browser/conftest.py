"""A real browser on a real server. axe checks pages for accessibility, in light and dark."""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Literal

import psutil
import pytest
from axe_playwright_python.sync_playwright import Axe
from harness.watchdog import temporary_folder, watch
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from scripts.chromium import installed

from tests.browser.full_clinic import FullClinic, fill
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, PATIENCE_SECONDS, Clinic, RunningServer
from tests.conftest import fresh_database, running_server

ZONE = "Europe/Berlin"
LOCATION = "Lindenhof Clinic, Lindenstraße 12; 10969 Berlin"
HOLD_SECONDS = 60
# In dark mode only colours differ, so only rules about colours run.
RULES = {
    "light": {"resultTypes": ["violations"], "rules": {"label-content-name-mismatch": {"enabled": True}}},
    "dark": {
        "resultTypes": ["violations"],
        "runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
    },
}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# No page may try what the content security policy forbids.
VIOLATION = "violates the policy:"
TELL_VIOLATIONS = f"""addEventListener("securitypolicyviolation", (event) =>
  console.log("{VIOLATION}", event.violatedDirective, event.blockedURI, event.sourceFile, event.lineNumber))"""

OpenWindow = Callable[..., Page]
AssertAccessible = Callable[[Page], None]
StartSite = Callable[..., RunningServer]


@pytest.fixture(scope="session")
def site(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """A server with a clinic in another zone than most machines."""
    settings = {
        "CLINIC_TIME_ZONE": ZONE,
        "CLINIC_LOCATION": LOCATION,
        "WORKERS": "2",
        "HOLD_SECONDS": str(HOLD_SECONDS),
    }
    with fresh_database(postgres_url, migrated_template) as url, running_server(url, settings) as server:
        yield server


@pytest.fixture
def start_site(postgres_url: str, migrated_template: str) -> Iterator[StartSite]:
    """Starts a server without doctors. In a thread of its own, because a browser's tests have an event loop."""
    with ThreadPoolExecutor(max_workers=1) as thread, ExitStack() as stack:

        def start(settings: dict[str, str]) -> RunningServer:
            url = stack.enter_context(fresh_database(postgres_url, migrated_template))
            return stack.enter_context(running_server(url, settings))

        yield lambda **settings: thread.submit(start, settings).result()
        thread.submit(stack.close).result()


@pytest.fixture(scope="package")
def browser(site: RunningServer) -> Iterator[Browser]:
    """One browser for all tests. It starts after the server: while it runs, this thread can run no other event loop."""
    path = installed()
    if path is None:
        pytest.skip("NOT TESTED: the pages in a browser. It takes Chromium: sudo apt install chromium")
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    before = set(psutil.Process().children())
    # It writes to its home directory, crash reports among other things.
    with temporary_folder("browser-") as home, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox"],
            timeout=PATIENCE_SECONDS * 1000,
            env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home)},
        )
        _watch_all(set(psutil.Process().children()) - before)
        yield browser
        browser.close()


@pytest.fixture
def clinic(site: RunningServer) -> Iterator[Clinic]:
    with Clinic(site) as clinic:
        yield clinic


@pytest.fixture(scope="session")
def full(site: RunningServer) -> FullClinic:
    """What the tests of one process share, because it takes a second."""
    with Clinic(site) as clinic:
        return fill(clinic)


@pytest.fixture
def open_window(browser: Browser, site: RunningServer) -> Iterator[OpenWindow]:
    """Opens a window with cookies of its own. Keyword arguments are playwright's. Errors in the page fail the test."""
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def open_window(server: RunningServer = site, **options: Any) -> Page:
        options_of_ours = {"viewport": {"width": 1024, "height": 800}, "timezone_id": ZONE, "locale": "en-GB"}
        # Without motion, because axe would see colours in transition.
        options = {**options_of_ours, "reduced_motion": "reduce", **options}
        context = browser.new_context(base_url=server.url, **options)
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        contexts.append(context)
        context.add_init_script(TELL_VIOLATIONS)
        page = context.new_page()
        page.on("console", lambda said: faults.append(said.text) if said.text.startswith(VIOLATION) else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: _require_own(request.url, server.url, faults))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert faults == []


def _require_own(url: str, own: str, faults: list[str]) -> None:
    if not url.startswith((own, "data:", "blob:")):
        faults.append(f"a request left the machine: {url}")


def _watch_all(drivers: set[psutil.Process]) -> None:
    """Playwright's driver and the browser, which is in a process session of its own."""
    for driver in drivers:
        for process in (driver, *driver.children()):
            watch(process.pid)


@pytest.fixture
def window(open_window: OpenWindow) -> Page:
    return open_window()


@pytest.fixture
def desk(open_window: OpenWindow) -> Page:
    """A window in which the admin has logged in."""
    page = open_window()
    log_in(page)
    return page


def _faults(axe: Axe, page: Page, scheme: Literal["light", "dark"]) -> list[tuple[str, list[str]]]:
    found = axe.run(page, options=RULES[scheme]).response["violations"]
    return [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found]


@pytest.fixture(scope="session")
def assert_accessible() -> AssertAccessible:
    """axe-core finds nothing (WCAG 2.2 AA and its best practices), in the dark nothing about colours; no page scrolls
    sideways at 320 pixels."""
    axe = Axe()

    def check(page: Page) -> None:
        size = page.viewport_size
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            # A page that updates itself while axe looks is half old and half new. A fault is found each time.
            assert any(not (found := _faults(axe, page, scheme)) for _ in range(3)), (page.url, found)
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 320, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, page.url
        if size is not None:
            page.set_viewport_size(size)

    return check


def log_in(page: Page) -> None:
    """As the admin."""
    page.goto("/log-in")
    page.get_by_label("E-mail").fill(ADMIN_EMAIL)
    page.get_by_label("Password", exact=True).fill(ADMIN_PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/admin")


def choose(page: Page, doctor: dict[str, Any], clock: str = "") -> None:
    """Pick a time of a doctor on the page where people find one."""
    page.goto(f"/?doctor={doctor['id']}")
    page.get_by_role("button", name=re.compile(rf"{clock}.*{re.escape(doctor['name'])}")).first.click()
    page.wait_for_url("**/bookings/**")


def use_account(page: Page, clinic: Clinic, headers: dict[str, str]) -> None:
    """Open pages as the account whose API headers these are, without the log-in page."""
    token = headers["Authorization"].removeprefix("Bearer ")
    page.context.add_cookies([{"name": "slotwise-session", "value": token, "url": clinic.server.url}])
