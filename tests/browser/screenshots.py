"""Pictures of every page and state at three widths: `python -m tests.browser.screenshots [FOLDER [SCENE ...]]`, by
default of all scenes into docs/screenshots. Takes three minutes. Starts a demo clinic and removes it afterwards.

Scenes are the functions that take a studio, such as `schedules`."""

import asyncio
import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import rich
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright
from scripts.chromium import WITHOUT, installed

from slotwise.db.embedded import EmbeddedServer
from slotwise.db.migrator import migrate
from tests.browser.conftest import ZONE, log_in
from tests.browser.full_clinic import BERLIN
from tests.clinic import Clinic, RunningServer, slotwise
from tests.conftest import running_server

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "screenshots"
WIDTHS = (320, 768, 1600)
HEIGHT = 900
# Lists can be very long; their beginning is enough.
TALLEST = 1200
DARK = {"find", "hold-errors", "booked", "clinic-today", "clinic-week", "clinic-bookings"}
PATIENT = ("Ada Lovelace", "ada@example.org", "a patient's secret")
CONFIRM = "Confirm appointment"
SETTINGS = {
    "SEED_DEMO": "on", "HOLD_SECONDS": "60", "CLINIC_TIME_ZONE": ZONE, "CLINIC_NAME": "Lindenhof Clinic",
}  # fmt: skip

EMPTY = {**SETTINGS, "CLINIC_NAME": "Slotwise", "SEED_DEMO": "off"}


class Studio(NamedTuple):
    browser: Browser
    clinic: Clinic
    empty: Clinic
    folder: Path

    @property
    def url(self) -> str:
        return self.clinic.server.url

    def window(self, **options: Any) -> Page:
        context = self.browser.new_context(
            base_url=self.url, timezone_id=ZONE, locale="en-GB", reduced_motion="reduce", **options
        )
        return context.new_page()

    def shoot(self, page: Page, name: str) -> None:
        """At each width; some pages once more in the dark."""
        for width in WIDTHS:
            self._save(page, name, width)
        if name in DARK:
            page.emulate_media(color_scheme="dark")
            self._save(page, f"{name}-dark", WIDTHS[1])
            page.emulate_media(color_scheme="light")

    def _save(self, page: Page, name: str, width: int) -> None:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        tall = min(TALLEST, page.evaluate("document.documentElement.scrollHeight"))
        clip: FloatRect = {"x": 0, "y": 0, "width": width, "height": max(tall, 300)}
        page.screenshot(path=self.folder / f"{name}-{width}.png", full_page=True, clip=clip)
        rich.print(f"{name}-{width}.png")


def patients(studio: Studio) -> None:
    page = studio.window()
    page.goto("/?visit=any")
    studio.shoot(page, "find")
    page.goto("/?speciality=Cardiology&seats=2")
    studio.shoot(page, "find-filtered")
    page.goto(f"/?day={datetime.now().astimezone().year + 2}-05-01")
    studio.shoot(page, "find-nothing-free")
    page.goto("/?speciality=Cardiology")
    page.locator("form[action='/hold'] button").first.click()
    page.wait_for_url("**/bookings/**")
    studio.shoot(page, "hold")
    page.get_by_role("button", name=CONFIRM).click()
    page.wait_for_selector(".summary")
    studio.shoot(page, "hold-errors")
    held = page.url
    page.goto("/?speciality=Cardiology")
    studio.shoot(page, "find-holding")
    page.goto(held)
    page.get_by_label("Your name").fill(PATIENT[0])
    page.get_by_label("E-mail address").fill(PATIENT[1])
    page.get_by_role("button", name=CONFIRM).click()
    page.wait_for_selector("text=You are booked")
    studio.shoot(page, "booked")
    page.get_by_role("link", name="Cancel appointment").click()
    studio.shoot(page, "cancel")
    page.get_by_role("button", name="Yes, cancel it").click()
    page.wait_for_selector("text=This appointment is cancelled")
    studio.shoot(page, "cancelled")
    taken(studio, page)
    page.goto("/nothing-here")
    studio.shoot(page, "not-found")


def taken(studio: Studio, page: Page) -> None:
    page.route("**/api/slots/events", lambda route: route.abort())
    page.goto("/?speciality=Dermatology")
    button = page.locator("form[action='/hold'] button").first
    slot_id = int(button.get_attribute("value") or 0)
    free = studio.clinic.free_seats(slot_id)
    studio.clinic.hold(slot_id, seatsBooked=free, userName="Somebody Quicker")
    button.dispatch_event("click")
    page.wait_for_selector("text=This time is no longer free")
    studio.shoot(page, "taken")


def ran_out(studio: Studio) -> None:
    page = studio.window()
    page.goto("/?speciality=Orthopaedics")
    page.locator("form[action='/hold'] button").first.click()
    page.wait_for_url("**/bookings/**")
    page.get_by_label("Your name").fill(PATIENT[0])
    page.get_by_role("button", name="Hold this time again").wait_for(timeout=70_000)
    studio.shoot(page, "hold-over")
    page.reload()
    studio.shoot(page, "ran-out")


def account(studio: Studio) -> None:
    page = studio.window()
    page.goto("/log-in")
    studio.shoot(page, "log-in")
    page.goto("/register")
    studio.shoot(page, "register")
    name, email, password = PATIENT
    page.get_by_label("Name").fill(name)
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password", exact=True).fill(password)
    page.locator("main form button").last.click()
    page.wait_for_url("**/account")
    studio.shoot(page, "account-empty")
    for number in range(3):
        page.goto("/?speciality=Paediatrics")
        page.locator("form[action='/hold'] button").nth(number).click()
        page.wait_for_url("**/bookings/**")
        page.get_by_role("button", name=CONFIRM).click()
        page.wait_for_selector("text=You are booked")
    for url, shot in (("", "account"), ("/password", "account-password"), ("/data", "account-data"),
                          ("/delete", "account-delete")):  # fmt: skip
        page.goto(f"/account{url}")
        studio.shoot(page, shot)


def desk(studio: Studio) -> None:
    fill_the_day(studio)
    page = logged_in(studio)
    day = tomorrow()
    slot_id = studio.clinic.http.get("/api/slots?limit=1").json()["items"][0]["id"]
    booked = studio.clinic.http.get("/api/bookings?status=CONFIRMED&limit=1", headers=studio.clinic.admin).json()
    booking_id = booked["items"][0]["id"]
    shoot_each(
        studio,
        page,
        ("/admin", "clinic-today"),
        ("/admin/doctors", "clinic-doctors"),
        (f"/admin/doctors/1?week={day}", "clinic-week"),
        ("/admin/doctors/1/edit", "clinic-doctor"),
        ("/admin/doctors/1/slots/new", "clinic-new-times"),
        ("/admin/doctors/1/slots/new?kind=one", "clinic-new-time"),
        (f"/admin/slots/{booked['items'][0]['slotId']}", "clinic-time"),
        ("/admin/bookings", "clinic-bookings"),
        ("/admin/bookings?who=nobody-has-this", "clinic-bookings-none"),
        (f"/admin/bookings/{booking_id}", "clinic-booking"),
        ("/admin/bookings/new", "clinic-find-time"),
        (f"/admin/bookings/new?slot={slot_id}", "clinic-new-booking"),
        (f"/admin/day-sheet?doctor=1&day={day}", "clinic-day-sheet"),
        (f"/admin/day-sheet?day={day}", "clinic-day-sheet-all"),
        (f"/admin/bookings/{booking_id}/cancel", "clinic-cancel"),
        ("/admin/users", "clinic-users"),
        ("/admin/users/1", "clinic-user"),
        ("/admin/users/new", "clinic-new-user"),
        ("/admin/audit", "clinic-audit"),
        ("/admin/day-sheet", "clinic-day-sheet-choose"),
    )
    ask_first(studio, page, booked["items"][0]["slotId"])


def ask_first(studio: Studio, page: Page, slot_id: int) -> None:
    """Questions before a change, and the slip after a booking."""
    page.goto("/admin/doctors/1/slots/new")
    page.get_by_role("button", name="Show what would be added").click()
    page.wait_for_load_state()
    studio.shoot(page, "clinic-new-times-preview")
    page.goto("/admin/bookings/new")
    page.locator(".time a").first.click()
    page.get_by_label("Name").fill(PATIENT[0])
    page.get_by_label("E-mail").fill(PATIENT[1])
    page.get_by_role("button", name="Book and confirm").click()
    page.wait_for_url("**/slip")
    studio.shoot(page, "clinic-slip")
    page.goto(f"/admin/slots/{slot_id}")
    page.get_by_role("button", name="Close for booking").click()
    page.wait_for_load_state()
    studio.shoot(page, "clinic-close-time")


def logged_in(studio: Studio) -> Page:
    page = studio.window()
    log_in(page)
    return page


def shoot_each(studio: Studio, page: Page, *shots: tuple[str, str]) -> None:
    for url, shot in shots:
        page.goto(url)
        studio.shoot(page, shot)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).first.click()
    page.wait_for_load_state()


def schedules(studio: Studio) -> None:
    """Of a doctor with hours of their own, so that the times of the others stay as they are."""
    doctor = studio.clinic.doctor(name="Dr. Katherine Johnson", specialization="Cardiology")["id"]
    page, hours = logged_in(studio), f"/admin/doctors/{doctor}/hours"
    shoot_each(studio, page, (hours, "clinic-hours-none"), (f"{hours}/new", "clinic-hours-new"))
    add_hours(studio, doctor)
    rule = studio.clinic.http.get(f"/api/doctors/{doctor}/rules", headers=studio.clinic.admin).json()["items"][0]["id"]
    shoot_each(studio, page, (hours, "clinic-hours"), (f"{hours}/{rule}", "clinic-hours-change"))
    page.goto(f"{hours}/new?replace=yes")
    studio.shoot(page, "clinic-hours-following")
    page.get_by_label("From", exact=True).first.fill("13:00")
    page.get_by_label("To", exact=True).first.fill("12:00")
    page.get_by_label("Length in minutes").fill("0")
    press(page, "Show what would change")
    studio.shoot(page, "clinic-hours-errors")
    page.get_by_label("To", exact=True).first.fill("16:00")
    page.get_by_label("Length in minutes").fill("30")
    page.get_by_label("First day", exact=True).fill(f"{tomorrow() + timedelta(days=1)}")
    press(page, "Show what would change")
    studio.shoot(page, "clinic-hours-preview")
    press(page, "Do exactly this")
    studio.shoot(page, "clinic-hours-drifted")
    closures(studio, page, doctor)
    overbooking(studio, page)


def closures(studio: Studio, page: Page, doctor: int) -> None:
    shoot_each(
        studio,
        page,
        ("/admin/closures?year=2040", "clinic-closures-none"),
        ("/admin/closures/new", "clinic-closure-new"),
        ("/admin/closures/public", "clinic-holidays-country"),
        ("/admin/closures/public?country=DE&region=BE&year=2040", "clinic-holidays"),
    )
    page.goto(f"/admin/closures/new?where=doctor:{doctor}&day={tomorrow()}")
    page.locator("#last_day").fill(f"{tomorrow() + timedelta(days=6)}")
    page.get_by_label("Reason").fill("Flu")
    press(page, "Show what would change")
    studio.shoot(page, "clinic-sick-day-preview")
    press(page, "Do exactly this")
    page.get_by_label("Told").first.check()
    press(page, "Note who is told")
    studio.shoot(page, "clinic-patients-to-tell")
    page.goto("/admin/closures/new")
    page.get_by_label("First day", exact=True).fill(f"{datetime.now().astimezone().year + 1}-12-24")
    page.locator("#last_day").fill(f"{datetime.now().astimezone().year + 1}-12-26")
    page.get_by_label("Reason").fill("Christmas")
    press(page, "Show what would change")
    studio.shoot(page, "clinic-holiday-preview")
    press(page, "Do exactly this")
    page.goto(f"/admin/closures?year={datetime.now().astimezone().year}")
    studio.shoot(page, "clinic-closures")
    page.get_by_role("link", name=re.compile("^Open")).first.click()
    studio.shoot(page, "clinic-closure")


def takeover(studio: Studio) -> None:
    """A colleague who takes over an absence, and what stays on the page when that is no longer possible."""
    ill = studio.clinic.doctor(name="Dr. Rosalind Franklin", specialization="Neurology")["id"]
    colleague = studio.clinic.doctor(name="Dr. Dorothy Hodgkin", specialization="Neurology")["id"]
    add_hours(studio, ill)
    page = logged_in(studio)
    page.goto(f"/admin/closures/new?where=doctor:{ill}&day={tomorrow()}")
    page.locator("#last_day").fill(f"{tomorrow() + timedelta(days=6)}")
    press(page, "Show what would change")
    page.locator("#colleague_id").select_option("Dr. Dorothy Hodgkin")
    press(page, "Show what then happens")
    studio.shoot(page, "clinic-takeover-preview")
    page.get_by_label("Message for patients").fill("Dr. Franklin is ill. You will see Dr. Hodgkin at the same time.")
    page.locator("select[name=decision]").last.select_option("Stays booked")
    studio.clinic.http.patch(f"/api/doctors/{colleague}", json={"active": False}, headers=studio.clinic.admin)
    press(page, "Do exactly this")
    studio.shoot(page, "clinic-preview-refused")


def overbooking(studio: Studio, page: Page) -> None:
    slot = studio.clinic.slot()["id"]
    studio.clinic.hold(slot, confirm=True, userName="Grace Hopper")
    page.goto(f"/admin/slots/{slot}/overbook")
    studio.shoot(page, "clinic-overbook")
    page.get_by_label("Name").fill(PATIENT[0])
    page.get_by_label("E-mail").fill(PATIENT[1])
    page.get_by_label("Reason").fill("In pain since this morning")
    press(page, "Overbook and confirm")
    page.goto(f"/admin/slots/{slot}")
    studio.shoot(page, "clinic-overbooked")


def evening_list(studio: Studio) -> None:
    """The file that is written for tomorrow."""
    folder = studio.folder / "lists"
    folder.mkdir()
    slotwise(studio.clinic.server.database_url, "evening-list", "--directory", str(folder))
    page = studio.window()
    page.goto(next(folder.glob("*.html")).as_uri())
    studio.shoot(page, "evening-list")
    shutil.rmtree(folder)


def clinics(studio: Studio) -> None:
    """The last scene: with a second clinic, each page tells of clinics."""
    page = logged_in(studio)
    shoot_each(
        studio,
        page,
        ("/admin/visit-types", "clinic-visit-types-none"),
        ("/admin/visit-types/new", "clinic-visit-type-new"),
        ("/admin/clinics", "clinic-clinics-one"),
        ("/admin/clinics/1", "clinic-clinic"),
        ("/admin/clinics/new", "clinic-clinic-new"),
        ("/admin/set-up", "clinic-settings"),
    )
    for name, minutes, mode in (("First visit", 30, "IN_PERSON"), ("Follow-up by video", 15, "VIDEO")):
        made = {"name": name, "minutes": minutes, "mode": mode}
        made |= {"videoLink": "https://video.example/room"} if mode == "VIDEO" else {}
        answer = studio.clinic.http.post("/api/visit-types", json=made, headers=studio.clinic.admin)
        assert answer.is_success, answer.text
    shoot_each(
        studio,
        page,
        ("/admin/visit-types", "clinic-visit-types"),
        (f"/admin/visit-types/{answer.json()['id']}", "clinic-visit-type"),
    )
    page.goto("/admin/doctors/1/hours/new")
    page.get_by_label("Open time: visits of different lengths").check()
    studio.shoot(page, "clinic-hours-open-time")
    open_time(studio, page)
    east = {"name": "Harbour Clinic", "timeZone": "Asia/Tokyo", "address": "1 Ginza, Tokyo"}
    studio.clinic.http.post("/api/clinics", json=east, headers=studio.clinic.admin)
    shoot_each(studio, page, ("/admin/clinics", "clinic-clinics"), ("/", "find-clinic"))


def open_time(studio: Studio, page: Page) -> None:
    """Of a doctor with open time in the mornings and fixed times in the afternoons."""
    clinic = studio.clinic
    doctor = clinic.doctor(name="Dr. Rita Levi-Montalcini", specialization="Neurology")["id"]
    types = clinic.http.get("/api/visit-types").json()["items"]
    common = {"doctorId": doctor, "firstDay": f"{tomorrow()}", "weekdays": [1, 2, 3, 4, 5]}
    mornings = {"kind": "WINDOW", "stepMinutes": 15, "visitTypeIds": [each["id"] for each in types]}
    apply(
        clinic,
        {**common, **mornings, "periods": [{"from": "09:00", "to": "12:00"}]},
        {**common, "durationMinutes": 60, "periods": [{"from": "13:00", "to": "15:00"}]},
    )
    monday = tomorrow() + timedelta(days=7 - tomorrow().weekday())
    query = {"doctorId": doctor, "from": f"{monday}T00:00:00Z", "limit": 200}
    for place in (1, 12, 30):
        time = clinic.http.get("/api/times", params=query).json()["items"][place]
        person = {"userName": "Grace Hopper", "userEmail": PATIENT[1], "confirm": True}
        booked = clinic.http.post("/api/bookings", json={"timeId": time["timeId"], **person})
        assert booked.is_success, booked.text
    shoot_each(
        studio,
        page,
        (f"/admin/doctors/{doctor}?week={monday}", "clinic-week-open-time"),
        (f"/admin/doctors/{doctor}/hours", "clinic-hours-visit-types"),
    )


def new_clinic(studio: Studio) -> None:
    """The first steps of an admin, in a clinic that has nothing yet."""
    empty = studio._replace(clinic=studio.empty)
    shoot_each(empty, logged_in(empty), ("/admin", "new-today"), ("/admin/set-up", "new-set-up"))


def add_hours(studio: Studio, doctor: int) -> None:
    """With some appointments in the days ahead."""
    clinic, weekdays = studio.clinic, [1, 2, 3, 4, 5, 6, 7]
    rule = {
        "doctorId": doctor, "firstDay": f"{tomorrow()}", "weekdays": weekdays, "durationMinutes": 30,
        "periods": [{"from": "09:00", "to": "12:00"}],
    }  # fmt: skip
    apply(clinic, rule)
    slots = clinic.http.get("/api/slots", params={"doctorId": doctor, "limit": 30}).json()["items"]
    for slot, name in zip(slots[1::6], ("Grace Hopper", "Alan Turing", "Barbara Liskov", "Tony Hoare"), strict=False):
        email = re.sub(r"\W+", ".", name.lower()) + "@example.org"
        clinic.book(slot["id"], userName=name, userEmail=email, confirm=True)


def apply(clinic: Clinic, *rules: dict[str, Any]) -> None:
    change: dict[str, Any] = {"addRules": rules}
    seen = clinic.http.post("/api/schedule/preview", json=change, headers=clinic.admin).json()
    done = clinic.http.post("/api/schedule/apply", json={**change, "token": seen["token"]}, headers=clinic.admin)
    assert done.is_success, done.text


def tomorrow() -> date:
    return datetime.now(BERLIN).date() + timedelta(days=1)


def fill_the_day(studio: Studio) -> None:
    """Books so much that there is something to see."""
    names = ("Grace Hopper", "Alan Turing", "Edsger Dijkstra", "Barbara Liskov", "Tony Hoare", "Frances Allen")
    slots = studio.clinic.http.get("/api/slots?limit=90").json()["items"]
    for number, slot in enumerate(slots[::2]):
        name = names[number % len(names)]
        email = re.sub(r"\W+", ".", name.lower()) + "@example.org"
        studio.clinic.book(slot["id"], userName=name, userEmail=email, confirm=number % 9 != 0)
    for slot in slots[1:8:3]:
        booked = studio.clinic.book(slot["id"], userName="Katherine Johnson", confirm=True)
        if booked.is_success:
            studio.clinic.http.delete(f"/api/bookings/{booked.json()['id']}", headers=studio.clinic.admin)


@contextmanager
def demo_clinic(settings: dict[str, str]) -> Iterator[RunningServer]:
    folder = Path(tempfile.mkdtemp(prefix="slotwise-screenshots-"))
    with EmbeddedServer(folder) as postgres:
        asyncio.run(migrate(postgres.url))
        with running_server(postgres.url, settings) as server:
            yield server
    shutil.rmtree(folder, ignore_errors=True)


def require_different(folder: Path) -> None:
    """Two equal pictures mean that a state was photographed twice."""
    seen: dict[str, str] = {}
    for picture in sorted(folder.glob("*.png")):
        digest = hashlib.sha256(picture.read_bytes()).hexdigest()
        if digest in seen:
            raise SystemExit(f"{picture.name} is the same as {seen[digest]}")
        seen[digest] = picture.name


SCENES = (patients, ran_out, account, desk, schedules, takeover, evening_list, new_clinic, clinics)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    chosen = set(sys.argv[2:])
    path = installed()
    if path is None:
        raise SystemExit(WITHOUT)
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        # Servers start before the browser: while it runs, this thread can run no other event loop.
        clinic, empty = (
            stack.enter_context(Clinic(stack.enter_context(demo_clinic(settings)))) for settings in (SETTINGS, EMPTY)
        )
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        studio = Studio(browser, clinic, empty, folder)
        for scene in SCENES:
            if not chosen or scene.__name__ in chosen:
                scene(studio)
        browser.close()
    require_different(folder)


if __name__ == "__main__":
    main()
