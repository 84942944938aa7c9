"""Pages of a clinic in Berlin: days on which clocks change, days of the other half of the year, visits at midnight."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar
from playwright.sync_api import Page, expect

from tests.browser.conftest import LOCATION, AssertAccessible, OpenWindow
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic
from tests.web.people import AccountVisitor, text_of

BERLIN = ZoneInfo("Europe/Berlin")
YEAR = datetime.now(UTC).year + 1


def last_sunday(month: int) -> date:
    day = date(YEAR, month, 31)
    return day - timedelta(days=day.isoweekday() % 7)


AUTUMN = last_sunday(10)


def zone_words(page: str) -> str:
    """The words of the page's foot."""
    found = re.search(r"data-zone=[^>]*>([^<]*)<", page)
    assert found, page
    return found[1]


@pytest.mark.parametrize(("month", "offset"), [(1, "UTC+1"), (7, "UTC+2"), (12, "UTC+1")])
@pytest.mark.parametrize("has_times", [True, False], ids=["with times", "without times"])
def test_the_offset_is_that_of_the_day_shown(clinic: Clinic, month: int, offset: str, has_times: bool) -> None:
    slot = clinic.slot(startTime=f"{YEAR}-{month:02}-15T09:00:00Z")
    day = 15 if has_times else 16
    page = clinic.http.get(f"/?doctor={slot['doctorId']}&day={YEAR}-{month:02}-{day}").text
    assert f'data-slot="{slot["id"]}"' in page or not has_times
    if has_times:
        assert zone_words(page) == f"Europe/Berlin, {offset}"
    assert offset in zone_words(page)


def test_the_desk_reads_the_offset_of_the_days_that_are_explained(clinic: Clinic) -> None:
    doctor = clinic.slot(startTime=f"{YEAR}-07-15T09:00:00Z")["doctorId"]
    with AccountVisitor(clinic.server) as desk:
        desk.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        for asked in ("", "&at=11:00", "&at=11:05"):
            page = desk.http.get(f"/admin/bookings/new/why?doctor={doctor}&day={YEAR}-07-15{asked}").text
            assert f"15 July {YEAR}" in page
            assert zone_words(page) == "Europe/Berlin, UTC+2", asked


@pytest.mark.parametrize("kind", ["", "&kind=one"], ids=["many", "one"])
def test_a_form_for_times_of_a_day_says_the_offset_of_that_day(clinic: Clinic, kind: str) -> None:
    doctor = clinic.doctor()["id"]
    with AccountVisitor(clinic.server) as desk:
        desk.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        for month, offset in ((1, "UTC+1"), (7, "UTC+2")):
            page = desk.http.get(f"/admin/doctors/{doctor}/slots/new?day={YEAR}-{month:02}-15{kind}").text
            assert zone_words(page) == f"Europe/Berlin, {offset}"


@pytest.mark.parametrize(
    ("starts", "ends"), [("01:00", "01:30"), ("00:15", "01:15"), ("00:50", "01:10"), ("00:00", "00:30")]
)
def test_an_absence_in_an_hour_that_comes_twice_stays_when_something_else_is_changed(
    clinic: Clinic, starts: str, ends: str
) -> None:
    absence = {
        "doctorId": clinic.doctor()["id"],
        "startTime": f"{AUTUMN}T{starts}:07Z",
        "endTime": f"{AUTUMN}T{ends}:08Z",
        "kind": "ABSENCE",
    }
    change: dict[str, Any] = {"addClosures": [absence]}
    for step in ("preview", "apply"):
        done = clinic.http.post(f"/api/schedule/{step}", json=change, headers=clinic.admin)
        assert done.status_code == 200, done.text
        change["token"] = done.json().get("token")
    [number] = done.json()["closureIds"]
    with AccountVisitor(clinic.server) as desk:
        desk.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        desk.open(f"/admin/closures/{number}")
        desk.submit(f"/admin/closures/{number}", where=f"doctor:{absence['doctorId']}", reason="Ill")
        desk.submit("/admin/schedule")
    listed = clinic.http.get("/api/closures", headers=clinic.admin).json()["items"]
    [now] = [each for each in listed if each["id"] == number]
    assert (now["reason"], now["startTime"], now["endTime"]) == ("Ill", absence["startTime"], absence["endTime"])


def test_the_hour_that_comes_twice_is_told_apart_everywhere(clinic: Clinic) -> None:
    doctor = clinic.doctor(name="Dr. Night")["id"]
    starts = [f"{AUTUMN}T00:30:00Z", f"{AUTUMN}T01:30:00Z"]
    first, _ = (clinic.slot(doctorId=doctor, startTime=start, durationMinutes=60) for start in starts)
    held = clinic.hold(first["id"], confirm=True)
    token = held["manageToken"]
    before, after = "02:30 UTC+2", "02:30 UTC+1"
    finder = clinic.http.get(f"/?doctor={doctor}&day={AUTUMN}")
    assert after in text_of(finder)
    assert zone_words(finder.text) == "Europe/Berlin, UTC+1"
    own = text_of(clinic.http.get(f"/bookings/{held['id']}?token={token}", follow_redirects=True))
    assert re.search(rf", {re.escape(before)} .* Until {re.escape(after)}", own), own
    with AccountVisitor(clinic.server) as desk:
        desk.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        for page in (
            f"/admin/doctors/{doctor}?week={AUTUMN}",
            f"/admin/day-sheet?doctor={doctor}&day={AUTUMN}",
            f"/admin/slots/{first['id']}",
            f"/admin/bookings/{held['id']}",
        ):
            shown = text_of(desk.http.get(page))
            assert before in shown, page
            assert after in shown, page
        assert 'value="02:30"' in desk.http.get(f"/admin/slots/{first['id']}").text
        assert before in text_of(desk.http.get(f"/admin/bookings?doctor={doctor}"))
        table = desk.http.get(f"/admin/bookings.csv?doctor={doctor}").text
        assert f"{AUTUMN} 02:30:00+02:00,{AUTUMN} 02:30:00+01:00" in table


def test_a_visit_across_midnight_is_on_the_pages_of_both_days(clinic: Clinic) -> None:
    doctor = clinic.doctor(name="Dr. Midnight")["id"]
    sunday = last_sunday(5)
    monday, before = sunday + timedelta(days=1), f"Sun {sunday.day} {sunday:%b} {YEAR}"
    slot = clinic.slot(doctorId=doctor, startTime=f"{sunday}T21:45:00Z", durationMinutes=60)
    clinic.hold(slot["id"], confirm=True)
    with AccountVisitor(clinic.server) as desk:
        desk.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)

        def shown(page: str) -> str:
            return text_of(desk.http.get(page))

        sheet = f"/admin/day-sheet?doctor={doctor}&day="
        assert f"{before}, 23:45 \u2013 00:45 Began the day before" in shown(f"{sheet}{monday}")
        assert "Ada Lovelace" in shown(f"{sheet}{monday}")
        after = f"Mon {monday.day} {monday:%b} {YEAR}, 00:45"
        assert f"23:45 \u2013 {after}" in shown(f"{sheet}{sunday}")
        assert "Began" not in shown(f"{sheet}{sunday}")
        assert "Dr. Midnight" in shown(f"/admin/day-sheet?day={monday}")
        assert "Dr. Midnight" in shown(f"/admin?day={monday}")
        assert "Until 00:45 booked" in shown(f"/admin/doctors/{doctor}?week={monday}")
        assert "Until 00:45" not in shown(f"/admin/doctors/{doctor}?week={sunday}")
        assert "23:45 booked" in shown(f"/admin/doctors/{doctor}?week={sunday}")
        assert f"23:45 to {after}" in shown(f"/admin/slots/{slot['id']}")


def test_a_calendar_file_has_the_instant_the_location_and_the_doctor_s_new_name(clinic: Clinic) -> None:
    doctor = clinic.doctor(name="Dr. Autumn")["id"]
    slot = clinic.slot(doctorId=doctor, startTime=f"{AUTUMN}T01:00:00Z", durationMinutes=30)
    held = clinic.hold(slot["id"], confirm=True)
    sequences = []
    for name in ("Dr. Autumn", "Dr. Winter"):
        answer = clinic.http.patch(f"/api/doctors/{doctor}", json={"name": name}, headers=clinic.admin)
        assert answer.status_code == 200, answer.text
        file = clinic.http.get(f"/bookings/{held['id']}/calendar.ics?token={held['manageToken']}").content
        events: list[Any] = Calendar.from_ical(file).events
        [event] = events
        assert (event.start, event.end) == (
            datetime.combine(AUTUMN, time(1), UTC),
            datetime.combine(AUTUMN, time(1, 30), UTC),
        )
        assert (event["summary"], event["location"]) == (f"Appointment with {name}", LOCATION)
        sequences.append(event["sequence"])
    assert sequences[0] < sequences[1]


def test_a_calendar_file_says_in_which_zone_a_moved_appointment_was(clinic: Clinic) -> None:
    slot = clinic.slot(startTime=f"{YEAR}-07-15T07:00:00Z")
    held = clinic.hold(slot["id"], confirm=True)
    moved = {"startTime": f"{YEAR}-12-15T10:00:00Z"}
    assert clinic.http.patch(f"/api/slots/{slot['id']}", json=moved, headers=clinic.admin).status_code == 200
    file = clinic.http.get(f"/bookings/{held['id']}/calendar.ics?token={held['manageToken']}").content
    events: list[Any] = Calendar.from_ical(file).events
    assert (
        f"15 July {YEAR} at 09:00. That is in the clinic's time zone, Europe/Berlin, UTC+2." in events[0]["description"]
    )


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_a_visitor_in_another_zone_reads_one_difference_for_one_day(clinic: Clinic, open_window: OpenWindow) -> None:
    # America puts its clocks forward two or three weeks before Europe.
    doctor = clinic.doctor(name="Dr. Spring")
    for start in (f"{YEAR}-03-20T14:00:00Z", f"{YEAR}-07-20T14:00:00Z"):
        clinic.slot(doctorId=doctor["id"], startTime=start)
    page = open_window(timezone_id="America/New_York")
    page.goto(f"/?doctor={doctor['id']}")
    told = page.get_by_text("your clock is").locator("visible=true")
    expect(told).to_have_text("At that time, your clock is 5 hours behind the clinic's.")
    page.goto(f"/?doctor={doctor['id']}&day={YEAR}-07-20")
    expect(told).to_have_text("At that time, your clock is 6 hours behind the clinic's.")
    expect(page.get_by_role("contentinfo")).to_contain_text("Europe/Berlin, UTC+2.")
    page.get_by_label("Day", exact=True).fill(f"{YEAR}-03-20")
    expect(told).to_have_text("At that time, your clock is 5 hours behind the clinic's.")
    expect(page.get_by_role("contentinfo")).to_contain_text("Europe/Berlin, UTC+1.")


@pytest.mark.slow  # two to ten CPU seconds in a browser
def test_long_times_fit_their_places(clinic: Clinic, desk: Page, assert_accessible: AssertAccessible) -> None:
    doctor = clinic.doctor(name="Dr. Ada Lovelace-Byron")["id"]
    for start in (f"{AUTUMN - timedelta(days=1)}T21:30:00Z", f"{AUTUMN}T00:30:00Z", f"{AUTUMN}T01:30:00Z"):
        clinic.slot(doctorId=doctor, startTime=start, durationMinutes=60)
    for page in (f"/?doctor={doctor}&day={AUTUMN}", f"/admin/doctors/{doctor}?week={AUTUMN}"):
        desk.goto(page)
        assert_accessible(desk)
    desk.goto(f"/admin/day-sheet?doctor={doctor}&day={AUTUMN}")
    assert_accessible(desk)
    desk.set_viewport_size({"width": 700, "height": 800})
    desk.emulate_media(media="print")
    too_wide = (
        "[...document.querySelectorAll('.day-sheet :is(th, td)')].filter((e) => e.scrollWidth > e.clientWidth + 1)"
    )
    assert desk.evaluate(f"{too_wide}.map((e) => e.textContent)") == []
