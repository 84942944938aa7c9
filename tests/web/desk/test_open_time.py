"""The desk books visits in open time for patients who call."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer
from tests.http.booking.test_offered_times import book
from tests.open_time import MORNING, OpenTime, open_time, visit_type
from tests.web.people import text_of
from tests.web.visiting import Visitor

NEW = "/admin/bookings/new"
GRACE = {"user_name": "Grace Hopper", "user_email": "grace@example.org"}


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


@pytest.fixture
def morning(clinic: Clinic) -> OpenTime:
    """Three hours in which visits begin every half an hour."""
    doctor = clinic.doctor(name="Dr. Open", specialization="Dermatology")
    return open_time(clinic.server.database_url, step=30, doctor_id=doctor["id"])


def links_on(desk: Visitor) -> dict[str, str]:
    """Where the times of the page lead, by the clock in UTC."""
    links = re.findall(r'<a id="time-[^"]+" href="([^"]+)".*?<time datetime="[^T]+T([\d:]{5})', desk.page.text)
    return {clock: unescape(url) for url, clock in links}


def url_of(morning: OpenTime, minutes: int = 20, **more: Any) -> str:
    filters = {"visit": morning.types[minutes], "doctor": morning.doctor_id, **more}
    return f"{NEW}?" + "&".join(f"{name}={value}" for name, value in filters.items())


def test_the_desk_says_first_what_the_patient_needs(clinic: Clinic, morning: OpenTime, desk: Visitor) -> None:
    assert "What does the patient need?" in desk.open(NEW).text
    assert "What does the patient need?" in desk.open(f"{NEW}?doctor={morning.doctor_id}").text
    [link] = re.findall(rf'id="kind-{morning.types[20]}" href="([^"]+)"', desk.page.text)
    start = (MORNING + timedelta(hours=4)).isoformat()
    slot = clinic.slot(doctorId=morning.doctor_id, startTime=start, visitTypeIds=[morning.types[20]])
    desk.open(unescape(link))
    found = links_on(desk)
    assert list(found) == ["09:00", "09:30", "10:00", "10:30", "11:00", "13:00"]
    assert f"?slot={slot['id']}&" in found["13:00"]
    assert list(links_on_of(desk, f"{NEW}?doctor={morning.doctor_id}&visit=any")) == ["13:00"]


def links_on_of(desk: Visitor, url: str) -> dict[str, str]:
    desk.open(url)
    return links_on(desk)


def test_a_visit_in_open_time_is_booked_for_a_patient(clinic: Clinic, morning: OpenTime, desk: Visitor) -> None:
    desk.open(links_on_of(desk, url_of(morning, 45))["09:30"])
    assert "45 minutes" in text_of(desk.page)
    assert desk.submit(NEW, user_name="", user_email="x").status_code == 400
    assert desk.page.text.count('aria-invalid="true"') == 2
    desk.submit(NEW, **GRACE)
    assert "Booked and confirmed" in desk.page.text
    [booking_id] = re.findall(r"/admin/bookings/(\d+)", str(desk.page.url))
    booked = clinic.http.get(f"/api/bookings/{booking_id}", headers=clinic.admin).json()
    assert (booked["status"], booked["visitTypeId"], booked["userName"]) == (
        "CONFIRMED",
        morning.types[45],
        "Grace Hopper",
    )
    assert booked["slot"]["startTime"] == (MORNING + timedelta(minutes=30)).isoformat().replace("+00:00", "Z")


def test_a_form_that_is_sent_twice_books_once(morning: OpenTime, desk: Visitor) -> None:
    form = desk.open(links_on_of(desk, url_of(morning))["09:30"])
    answers = []
    for _ in range(2):
        desk.page = form
        desk.submit(NEW, **GRACE)
        answers.append(desk.url)
    assert answers[0] == answers[1]


def test_what_was_typed_is_kept_when_the_time_is_taken(clinic: Clinic, morning: OpenTime, desk: Visitor) -> None:
    desk.open(links_on_of(desk, url_of(morning))["09:30"])
    assert book(clinic, morning.offered(30, 45)).status_code == 201
    assert desk.submit(NEW, **GRACE).status_code == 409
    assert "This time is no longer free" in desk.page.text
    assert "that you typed are kept" in text_of(desk.page)
    [others] = re.findall(r'href="([^"]+)">Find another time<', desk.page.text)
    desk.open(next(iter(links_on_of(desk, unescape(others)).values())))
    assert 'value="Grace Hopper"' in desk.page.text


def test_a_form_that_was_sent_after_the_log_in_had_ended_is_shown_again(morning: OpenTime, desk: Visitor) -> None:
    url = links_on_of(desk, url_of(morning))["09:30"]
    form = desk.open(url)
    desk.http.cookies.delete("slotwise-session")
    desk.page = form
    desk.submit(NEW, **GRACE)
    assert desk.heading == "Log in"
    desk.submit("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
    assert desk.url.startswith(f"{NEW}?time=")
    assert 'value="Grace Hopper"' in desk.page.text


def test_the_desk_is_not_led_to_a_time_that_the_filters_on_screen_exclude(morning: OpenTime, desk: Visitor) -> None:
    time = links_on_of(desk, url_of(morning))["09:30"].partition("&")[0]
    for changed in (f"visit={morning.types[45]}", "doctor=1", "seats=2"):
        desk.open(f"{time}&{changed}")
        assert "so we did not take it" in desk.page.text, changed
    assert desk.open(f"{NEW}?time=forged").status_code == 409


def test_the_desk_books_what_only_the_desk_may_book(server: RunningServer, desk: Visitor) -> None:
    kind = visit_type(server.database_url, 20, name="Operation", bookable_by="STAFF", min_notice_minutes=60 * 24 * 60)
    morning = open_time(server.database_url, {20: kind}, step=30)
    desk.open(links_on_of(desk, url_of(morning))["10:00"])
    desk.submit(NEW, **GRACE)
    assert "Booked and confirmed" in desk.page.text
