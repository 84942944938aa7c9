"""The page where people find a time, as a browser without scripts sees it."""

import gzip
import html
import re
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import quote
from uuid import uuid4
from zoneinfo import ZoneInfo

import asyncpg
import pytest
import pytest_asyncio

from slotwise.domain.clinics import ClinicBook
from slotwise.services.schedule.found_times import TimeQuery
from slotwise.services.schedule.free_times import MOST_TIMES, FreeTimes
from slotwise.services.schedule.slot_searches import MOST_LOOKED_AT
from slotwise.web.kit.assets import content_of
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.times import ClinicTime
from slotwise.web.schedule.free_times import FindPages
from slotwise.web.schedule.free_times_query import FindQuery, find_query_in
from tests.clinic import Clinic, RunningServer, in_hours, rows
from tests.open_time import times_in
from tests.web.visiting import Visitor
from tests.workers import workers

UTC_ZONE = ZoneInfo("UTC")


@pytest_asyncio.fixture
async def find_pages(database_url: str) -> AsyncIterator[FindPages]:
    async with workers(database_url, 1) as [worker]:
        renderer = Renderer(ClinicBook.of_one())
        yield FindPages(
            FreeTimes(worker.database, ClinicBook.of_one(), times_in(worker.database), MOST_LOOKED_AT - 1),
            worker.bookings,
            renderer,
        )


@pytest.fixture(autouse=True)
def no_visit_types(server: RunningServer) -> None:
    """Of other tests: the page would first ask what the visitor needs."""
    rows(server.database_url, "UPDATE visit_types SET active = FALSE WHERE active")


@pytest.fixture
def kind() -> str:
    """A specialty that no other test has, so that its page shows only this test's times."""
    return f"Kind {uuid4().hex[:12]}"


def a_slot(clinic: Clinic, kind: str, name: str = "Dr. Ada Byron", **fields: Any) -> dict[str, Any]:
    doctor = clinic.doctor(name=name, specialization=kind)
    return clinic.slot(doctorId=doctor["id"], **fields)


class Window(Visitor):
    """A visitor who reads the page for finding a time. The shared server has the machine's own zone."""

    @cached_property
    def clinic_time(self) -> ClinicTime:
        zone = re.search(r'data-zone="([^"]+)"', self.http.get("/").text)
        assert zone
        return ClinicTime(ZoneInfo(zone[1]))

    @property
    def status(self) -> str:
        found = re.search(r'role="status" id="found">(.*?)</p>', self.page.text, re.DOTALL)
        assert found, self.page.text
        return html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip()

    def sentence_of(self, slot: dict[str, Any]) -> str:
        """A time as screen readers say it, without its room: day, clock, doctor and specialty."""
        return f"{self.moment_of(slot)}, {slot['doctorName']}, {slot['specialization']}"

    def moment_of(self, slot: dict[str, Any]) -> str:
        return self.clinic_time.moment(datetime.fromisoformat(slot["startTime"]))

    def day_of(self, slot: dict[str, Any]) -> date:
        return self.clinic_time.day_of(datetime.fromisoformat(slot["startTime"]))


@pytest.fixture
def window(server: RunningServer) -> Iterator[Window]:
    with Window(server) as window:
        yield window


def test_a_time_is_one_sentence_and_leads_to_a_hold_that_can_be_continued(
    clinic: Clinic, window: Window, server: RunningServer, kind: str
) -> None:
    slot = a_slot(clinic, kind, seats=2)
    alone = a_slot(clinic, kind, name="Dr. Grace Hopper", startTime=slot["startTime"])
    with Window(server) as other:
        window.open(f"/?speciality={quote(kind)}")
        assert window.page.headers["cache-control"] == "no-store"
        assert f'aria-label="{window.sentence_of(slot)}, room for 2 people"' in window.page.text
        assert f'aria-label="{window.sentence_of(alone)}"' in window.page.text
        assert re.search(rf'data-slot="{slot["id"]}"', window.page.text)
        assert window.status.startswith(f"2 free times in {kind} on ")
        assert "holding" not in window.page.text
        window.submit("/hold", slot=alone["id"])
        held = window.url
        window.open(f"/?speciality={quote(kind)}&day={window.day_of(alone)}")
        assert "We are holding" in window.page.text
        assert f'aria-label="{window.sentence_of(alone)}, held for you: continue"' in window.page.text
        link = re.search(r'href="(/bookings/\d+)"', window.page.text)
        assert link
        assert link[1] == held.partition("?")[0]
        assert window.open(link[1]).status_code == 200
        assert window.heading == "Confirm your appointment"
        other.open(f"/?speciality={quote(kind)}")
        assert "We are holding" not in other.page.text
        assert window.sentence_of(alone) not in other.page.text
        assert other.status.startswith(f"1 free time in {kind} on ")


def test_a_visitor_whose_hold_ended_loses_the_hold_cookie(clinic: Clinic, window: Window, kind: str) -> None:
    slot = a_slot(clinic, kind)
    url, _, token = window.hold(slot["id"]).partition("?token=")
    window.open("/")
    assert "slotwise-hold" in window.http.cookies
    clinic.http.delete(f"/api{url}", headers={"Booking-Token": token})
    window.open("/")
    assert "slotwise-hold" not in window.http.cookies


def test_a_form_without_scripts_is_redirected_to_the_one_url_of_its_query(
    clinic: Clinic, window: Window, kind: str
) -> None:
    slot = a_slot(clinic, kind, seats=3)
    doctor, day = slot["doctorId"], window.day_of(slot)
    for asked, url in {
        f"speciality={quote(kind)}&doctor=&day=&seats=1": f"/?speciality={quote(kind)}",
        f"seats=2&day={day}&doctor={doctor}&speciality={quote(kind)}": (
            f"/?speciality={quote(kind)}&doctor={doctor}&day={day}&seats=2"
        ),
        "speciality=&doctor=&day=&seats=1": "/",
        "utm_source=letter": "/",
    }.items():
        window.open(f"/?{asked}")
        assert window.url == url
        assert len(window.page.history) == 1
    window.open(f"/?speciality={quote(kind)}&doctor={doctor}&day={day}&seats=2")
    assert not window.page.history
    assert window.sentence_of(slot) in window.page.text
    assert re.search('<input id="seats" name="seats" [^>]* value="2">', window.page.text)


@pytest.mark.parametrize(
    "query",
    [
        "day=2026-13-45", "day=2026-W48-2", "day=20261124", "day=9999-12-31", "day=0001-01-01", "day=tomorrow",
        "doctor=0", "doctor=-1", "doctor=9223372036854775808", "doctor=99999999999999999999999", "doctor=%00",
        "doctor=9223372036854775807", "doctor=%D9%A3", "speciality=%00", "speciality=%ED%A0%80", "speciality=%FF",
        f"speciality={'x' * 2000}", "speciality=%E2%80%AE", "speciality=<script>", "speciality=Alchemy", "seats=0",
        "seats=many", "seats=1000000000000000000000", "seats=21", "seats=1&seats=x",
    ],
)  # fmt: skip
def test_an_invalid_query_still_finds_times_and_says_what_was_ignored(
    clinic: Clinic, window: Window, kind: str, query: str
) -> None:
    a_slot(clinic, kind)
    window.open(f"/?{query}")
    assert window.page.status_code == 200
    assert re.search(r"was ignored|(are|is) shown", window.status)
    assert "data-slot=" in window.page.text
    assert "<script>" not in window.page.text


@pytest.mark.parametrize("after", ["", "x", "20261124T093000Z-1", "20261399T993000Z-1", "99991231T235959Z-99"])
def test_an_invalid_position_in_a_day_means_its_start(clinic: Clinic, window: Window, kind: str, after: str) -> None:
    slot = a_slot(clinic, kind)
    window.open(f"/?speciality={quote(kind)}&day={window.day_of(slot)}&after={after}")
    assert window.sentence_of(slot) in window.page.text


@pytest.mark.parametrize(
    ("zone", "after"),
    [("Europe/Berlin", "99991231T235959Z-1"), ("America/New_York", "00010101T000000Z-1")],
)
async def test_a_position_at_the_end_of_the_calendar_is_ignored_in_every_zone(
    database_url: str, connection: Any, zone: str, after: str
) -> None:
    await fill(connection)
    clinics = ClinicBook.of_one(ZoneInfo(zone))
    async with workers(database_url, 1) as [worker]:
        pages = FindPages(
            FreeTimes(worker.database, clinics, times_in(worker.database)), worker.bookings, Renderer(clinics)
        )
        page = await pages.shared_page(find_query_in({"after": after}))
    assert b"data-slot=" in page.body


def test_a_page_without_free_times_says_why_and_where_some_are(clinic: Clinic, window: Window, kind: str) -> None:
    full, other = a_slot(clinic, kind, "Dr. Full"), a_slot(clinic, kind, "Dr. Free", startTime=in_hours(50))
    clinic.hold(full["id"])
    window.open(f"/?doctor={full['doctorId']}")
    assert "Dr. Full is fully booked" in window.page.text
    assert window.status.startswith("No free times with Dr. Full on ")
    theirs = f"/?doctor={other['doctorId']}&day={window.day_of(other)}"
    assert f'href="{html.escape(theirs)}"' in window.page.text
    assert window.sentence_of(other) in window.open(theirs).text
    window.open(f"/?speciality={quote(kind)}&day={window.day_of(full)}")
    assert "All times on this day are taken" in window.page.text
    assert window.moment_of(other) in window.page.text
    window.open(f"/?speciality={quote(kind)}&seats=2")
    assert "No time has room for 2 people" in window.page.text


async def test_a_clinic_without_doctors_says_so(find_pages: FindPages) -> None:
    page = (await find_pages.shared_page(FindQuery(TimeQuery(), unread=False))).body.decode()
    assert "There is nothing to book yet" in page
    assert "<form" not in page


async def test_the_first_page_is_small_even_when_it_is_full(find_pages: FindPages, connection: Any) -> None:
    await fill(connection)
    page = await find_pages.shared_page(FindQuery(TimeQuery(), unread=False))
    assert gzip.decompress(page.compressed) == page.body
    assert page.body.count(b"data-slot=") == MOST_TIMES
    names = re.findall(r'(?:src|href)="/static/\w+/([\w.-]+)"', page.body.decode())
    assert {"slotwise.css", "htmx.min.js", "find.js"} <= set(names)
    files = [content_of(name) for name in set(names)]
    assert len(page.compressed) + sum(len(gzip.compress(content)) for content in files) < 50_000
    assert len(page.body) + sum(map(len, files)) < 140_000


async def fill(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """A hundred doctors with long names, each with free times on the same day."""
    await connection.execute(
        "INSERT INTO doctors (name, specialization) SELECT 'Dr. Wilhelmina van der Meer ' || n, 'Specialty ' || n % 20"
        " FROM generate_series(1, 100) AS n"
    )
    await connection.execute(
        "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
        " SELECT d.id, $1::timestamptz, $1::timestamptz + interval '30 minutes', 5, 5 FROM doctors AS d",
        datetime.now(UTC) + timedelta(days=1),
    )


async def test_the_parts_of_a_long_day_link_to_their_first_times(find_pages: FindPages, connection: Any) -> None:
    doctor = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    await connection.execute(
        "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
        " SELECT $1, $2::timestamptz + n * interval '10 minutes', $2::timestamptz + (n + 1) * interval '10 minutes', 1,"
        " 1 FROM generate_series(0, 143) AS n",
        doctor,
        midnight,
    )
    noon = midnight + timedelta(hours=12)
    url = f"/?day={midnight.date()}&amp;after={noon:%Y%m%dT%H%M%SZ}-0"
    page = (await find_pages.shared_page(FindQuery(TimeQuery(), unread=False))).body.decode()
    assert f'href="{url}">Afternoon</a>' in page
    after = (
        await find_pages.shared_page(FindQuery(TimeQuery(day=midnight.date(), after=(noon, 0)), unread=False))
    ).body
    assert re.findall(r"<time [^>]*>(\d\d:\d\d)</time>", after.decode())[:2] == ["12:00", "12:10"]


async def test_a_day_with_too_many_times_to_count_has_no_number_and_can_be_searched(
    find_pages: FindPages, connection: Any
) -> None:
    """Nearly all of its times have room for one person only. The page of the day itself looks at each time."""
    doctor = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    await connection.execute(
        "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
        " SELECT $1, start, start + interval '1 minute', 2, CASE WHEN start < $3 THEN 1 ELSE 2 END"
        " FROM generate_series($2::timestamptz, $3::timestamptz, interval '1 minute') AS start",
        doctor,
        midnight,
        midnight + timedelta(minutes=MOST_LOOKED_AT),
    )
    day = midnight.date()
    before = (
        await find_pages.shared_page(FindQuery(TimeQuery(day=day - timedelta(days=1), seats=2), unread=False))
    ).body
    link = re.search(
        rf'<a id="day-{day}" href="[^"]+"\s+aria-label="([^"]+)" >.*?class="free">([^<]+)</span></a>', before.decode()
    )
    assert link
    assert link[1].endswith(", free times not counted")
    assert link[2] == "?"
    itself = (await find_pages.shared_page(FindQuery(TimeQuery(day=day, seats=2), unread=False))).body.decode()
    assert "1 free time for 2 people on " in itself
    assert ', 1 free time"' in itself
    unasked = (await find_pages.shared_page(FindQuery(TimeQuery(seats=2), unread=False))).body.decode()
    assert "No time for 2 people found yet" in unasked
    assert f'href="/?day={day}&amp;seats=2">Search from ' in unasked
    after = (
        await find_pages.shared_page(FindQuery(TimeQuery(day=day + timedelta(days=1), seats=2), unread=False))
    ).body
    assert b"No later day has room for 2 people." in after
    assert b"Search from" not in after
