"""What the desk sees of a doctor's open time: in the week, on the day sheet and on the board of the day."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, holder, rows, unique_email
from tests.conftest import fresh_database, running_server
from tests.http.booking.test_offered_times import book
from tests.open_time import OpenTime, open_time
from tests.web.people import text_of
from tests.web.visiting import Visitor

BERLIN, TOKYO = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Tokyo")
# A Wednesday, some weeks ahead.
DAY = datetime.now(UTC).date() + timedelta(days=30)
DAY += timedelta(days=(2 - DAY.weekday()) % 7)
PASSWORD = "a password of Sam's"
CLOSE = (
    "INSERT INTO closures (doctor_id, start_time, end_time, kind)"
    " VALUES ($1, $2, $2::timestamptz + make_interval(mins => $3), 'ABSENCE')"
)


class Two(NamedTuple):
    """Clinic 1 is in Berlin, `east` in Tokyo."""

    clinic: Clinic
    east: int


@pytest.fixture(scope="module")
def two(postgres_url: str, migrated_template: str) -> Iterator[Two]:
    settings = {"CLINIC_NAME": "West", "CLINIC_TIME_ZONE": "Europe/Berlin"}
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, settings) as server,
        Clinic(server) as clinic,
    ):
        given = {"name": "East", "timeZone": "Asia/Tokyo"}
        east = clinic.http.post("/api/clinics", json=given, headers=clinic.admin).json()["id"]
        yield Two(clinic, east)


@pytest.fixture
def desk(two: Two) -> Iterator[Visitor]:
    with Visitor(two.clinic.server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


@pytest.fixture
def easterner(two: Two, desk: Visitor) -> Iterator[Visitor]:
    """A receptionist of the clinic in the east only."""
    email = unique_email()
    desk.send("/admin/users/new", name="Sam Staff", email=email, role="staff", password=PASSWORD)
    [user_id] = re.findall(r"/admin/users/(\d+)", str(desk.page.url))
    desk.send(f"/admin/users/{user_id}/clinics", clinics=two.east)
    with Visitor(two.clinic.server) as visitor:
        visitor.send("/log-in", email=email, password=PASSWORD)
        yield visitor


def opened(two: Two, name: str, hour: int = 9, minutes: int = 180, day: date = DAY, *, east: bool = False) -> OpenTime:
    """Open time of a new doctor from that hour on, by the clock of the clinic."""
    doctor = two.clinic.doctor(name=name)["id"]
    start = at(hour, day, TOKYO if east else BERLIN)
    clinic_id = two.east if east else 1
    url = two.clinic.server.database_url
    return open_time(url, start=start, minutes=minutes, doctor_id=doctor, clinic_id=clinic_id)


def at(hour: int, day: date = DAY, zone: ZoneInfo = BERLIN) -> datetime:
    return datetime(day.year, day.month, day.day, hour, tzinfo=zone)


def close(two: Two, found: OpenTime, after: int, minutes: int) -> None:
    start = found.start + timedelta(minutes=after)
    rows(two.clinic.server.database_url, CLOSE, found.doctor_id, start, minutes)


def days_of(desk: Visitor, found: OpenTime, day: date = DAY) -> list[str]:
    """The text of each day of the week."""
    page = desk.open(f"/admin/doctors/{found.doctor_id}?week={day}").text
    days = page.partition('<ol class="week">')[2].partition("</ol>")[0].split('<li class="day')[1:]
    return [" ".join(unescape(re.sub(r"<[^>]*>", " ", f"<{each}")).split()) for each in days]


def link_to(found: OpenTime, day: date = DAY, clinic_id: int = 1) -> str:
    return f"/admin/bookings/new?clinic={clinic_id}&amp;doctor={found.doctor_id}&amp;day={day}"


def test_a_week_says_when_a_doctor_has_open_time_and_leads_to_its_times(two: Two, desk: Visitor) -> None:
    found = opened(two, "Dr. Both")
    early, late = (two.clinic.slot(doctorId=found.doctor_id, startTime=at(hour).isoformat()) for hour in (8, 14))
    days = days_of(desk, found)
    assert "09:00\N{EN DASH}12:00 West Open time, all free Find a time" in days[2]
    in_order = re.findall(r'<a class="slot [^"]+" href="(?:/admin/slots/)?([^"]+)"', desk.page.text)
    assert in_order == [str(early["id"]), link_to(found), str(late["id"])]
    assert ["No times" in day for day in days] == [True, True, False, True, True, True, True]
    [url] = set(re.findall(r'href="(/admin/bookings/new[^"]+)"', desk.page.text))
    assert url == link_to(found)
    assert "What does the patient need?" in desk.open(unescape(url)).text
    [kind] = re.findall(rf'id="kind-{found.types[45]}" href="([^"]+)"', desk.page.text)
    assert f'datetime="{found.start.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"' in desk.open(unescape(kind)).text


def test_a_week_says_how_much_of_open_time_is_taken(two: Two, desk: Visitor) -> None:
    found = opened(two, "Dr. Taken", minutes=110)
    assert book(two.clinic, found.offered(30, 45)).status_code == 201
    assert "Open time, 50 minutes of 1 hour and 50 minutes taken Find a time" in days_of(desk, found)[2]
    assert book(two.clinic, found.offered(0, 20)).status_code == 201
    assert book(two.clinic, found.offered(80, 20)).status_code == 201
    close(two, found, 25, 5)
    close(two, found, 105, 5)
    days = days_of(desk, found)
    assert days[2].count("Open time, all taken") == 2
    assert "Find a time" not in days[2]


def test_closed_time_is_not_shown_as_open(two: Two, desk: Visitor) -> None:
    found = opened(two, "Dr. Away")
    close(two, found, 60, 30)
    day = days_of(desk, found)[2]
    assert "09:00\N{EN DASH}10:00 West Open time, all free" in day
    assert "10:30\N{EN DASH}12:00 West Open time, all free" in day
    assert "09:00\N{EN DASH}12:00" not in day
    close(two, found, -60, 300)
    assert "has no times this week" in desk.open(f"/admin/doctors/{found.doctor_id}?week={DAY}").text
    assert "No times on this day" in desk.open(f"/admin/day-sheet?doctor={found.doctor_id}&day={DAY}").text
    for path in (f"/admin/day-sheet?doctor=&day={DAY}", f"/admin?day={DAY}"):
        assert found.doctor_id not in doctors_on(desk, path), path


def test_open_time_is_shown_by_the_clock_of_its_clinic(two: Two, desk: Visitor) -> None:
    found = opened(two, "Dr. East", hour=1, east=True)
    assert "01:00\N{EN DASH}04:00 East, Asia/Tokyo Open time, all free" in days_of(desk, found)[2]
    assert link_to(found, clinic_id=two.east) in desk.page.text


def test_open_time_past_midnight_is_on_both_days(two: Two, desk: Visitor) -> None:
    found = opened(two, "Dr. Night", hour=22, minutes=240)
    days = days_of(desk, found)
    assert f"22:00\N{EN DASH}{DAY + timedelta(days=1):%a} {(DAY + timedelta(days=1)).day}" in days[2]
    assert "Until 02:00 West Open time, all free" in days[3]
    assert link_to(found) in desk.page.text
    assert link_to(found, DAY + timedelta(days=1)) in desk.page.text
    assert "No times" in days[1]
    assert "No times" in days[4]


def test_open_time_that_is_over_has_no_link(two: Two, desk: Visitor) -> None:
    yesterday = datetime.now(BERLIN).date() - timedelta(days=1)
    found = opened(two, "Dr. Past", day=yesterday)
    day = days_of(desk, found, yesterday)[yesterday.weekday()]
    assert "Open time, all free" in day
    assert "Find a time" not in day


def test_the_day_of_a_doctor_with_only_open_time_says_what_is_open(two: Two, desk: Visitor) -> None:
    day = DAY + timedelta(days=100)
    found = opened(two, "Dr. Only", day=day)
    for path in (f"doctor={found.doctor_id}&day={day}", f"doctor=&day={day}"):
        told = text_of(desk.open(f"/admin/day-sheet?{path}"))
        assert "09:00 \N{EN DASH} 12:00 West open time, all free Find a time" in told, path
        assert "Nobody is booked." in told, path
        assert "No times on this day" not in told, path
        assert link_to(found, day) in desk.page.text, path
    told = text_of(desk.open(f"/admin?day={day}"))
    assert "Dr. Only 09:00 \N{EN DASH} 12:00 West open time, all free Find a time" in told
    assert "No doctor has times on this day" not in told
    assert link_to(found, day) in desk.page.text
    assert book(two.clinic, found.offered(30, 45)).status_code == 201
    for path in (f"/admin/day-sheet?doctor=&day={day}", f"/admin?day={day}"):
        assert "open time, 50 minutes of 3 hours taken" in text_of(desk.open(path)), path


def test_a_visit_in_open_time_is_counted_alone_and_is_open_time_again_when_cancelled(two: Two, desk: Visitor) -> None:
    """Of how many visits it is one depends on how long the others will be."""
    day, clinic = DAY + timedelta(weeks=42), two.clinic
    found = opened(two, "Dr. Counted", day=day)
    for confirm, board, week in (
        (True, "Open time: 1 booked 0 \N{EN DASH}", "10:05 West booked"),
        (False, "Open time: 1 on hold 1 \N{EN DASH}", "10:05 West on hold"),
    ):
        booking = book(clinic, found.offered(65, 45), confirm=confirm).json()
        told = text_of(desk.open(f"/admin?day={day}"))
        assert f"Dr. Counted {board}" in told
        assert "Visits in open time 1" in told
        assert " of 1" not in told
        assert week in days_of(desk, found, day)[2]
        clinic.http.delete(f"/api/bookings/{booking['id']}", headers=holder(booking))
        assert "Nobody is booked on this day." in text_of(desk.open(f"/admin?day={day}"))
        assert "10:05" not in days_of(desk, found, day)[2]
        assert "10:05" not in text_of(desk.open(f"/admin/day-sheet?doctor={found.doctor_id}&day={day}"))


def test_patients_to_tell_of_visits_in_open_time_stay_on_the_day_sheet(two: Two, desk: Visitor) -> None:
    day = DAY + timedelta(weeks=57)
    found = opened(two, "Dr. Told", day=day)
    booking = book(two.clinic, found.offered(65, 45), confirm=True).json()
    two.clinic.http.delete(f"/api/bookings/{booking['id']}", headers=two.clinic.admin)
    told = text_of(desk.open(f"/admin/day-sheet?doctor={found.doctor_id}&day={day}"))
    assert "Cancelled by the clinic: tell this patient" in told


def test_staff_of_one_clinic_see_only_its_open_time(two: Two, desk: Visitor, easterner: Visitor) -> None:
    day = DAY + timedelta(days=200)
    west, east = opened(two, "Dr. Westerly", 12, day=day), opened(two, "Dr. Easterly", 20, day=day, east=True)
    for path in (f"/admin/day-sheet?doctor=&day={day}", f"/admin?day={day}"):
        assert doctors_on(desk, path) == {west.doctor_id, east.doctor_id}, path
        assert doctors_on(easterner, path) == {east.doctor_id}, path
    for found, shown in ((west, False), (east, True)):
        paths = (
            f"/admin/doctors/{found.doctor_id}?week={day}",
            f"/admin/day-sheet?doctor={found.doctor_id}&day={day}",
        )
        for path in paths:
            assert ("all free" in easterner.open(path).text) == shown, path
            assert "all free" in desk.open(path).text, path


def doctors_on(desk: Visitor, path: str) -> set[int]:
    """Those with open time on a sheet of all doctors or on the board."""
    return set(map(int, re.findall(r'id="open-(\d+)-', desk.open(path).text)))
