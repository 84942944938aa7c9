"""Patients book visits in open time on pages: they say what they need, and choose among times of both kinds."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest

from tests.clinic import Clinic, RunningServer, run_out
from tests.http.booking.test_offered_times import book
from tests.open_time import MORNING, OpenTime, open_time, time_ids_of, visit_type
from tests.web.people import AccountVisitor, text_of
from tests.web.visiting import Visitor


@pytest.fixture
def visitor(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        yield visitor


@pytest.fixture
def morning(clinic: Clinic) -> OpenTime:
    """Three hours of a dermatologist, in which visits begin every half an hour."""
    doctor = clinic.doctor(name="Dr. Open", specialization="Dermatology")
    return open_time(clinic.server.database_url, step=30, doctor_id=doctor["id"])


def url_of(morning: OpenTime, minutes: int = 20, **more: Any) -> str:
    filters = {"visit": morning.types[minutes], "doctor": morning.doctor_id, **more}
    return "/?" + "&".join(f"{name}={value}" for name, value in filters.items())


def times_on(visitor: Visitor) -> dict[str, str]:
    """What the buttons of the page send, by the clock in UTC: the field and its value."""
    one = r'<button id="time-[^"]+" name="(\w+)" value="([^"]+)".*?<time datetime="[^T]+T([\d:]{5})'
    buttons = re.findall(one, visitor.page.text)
    return {clock: f"{name}={value}" for name, value, clock in buttons}


def press(visitor: Visitor, clock: str, **filters: object) -> None:
    name, _, value = times_on(visitor)[clock].partition("=")
    visitor.send("/hold", **{name: value, **filters})


def test_a_person_says_first_what_they_need_and_keeps_the_filters(morning: OpenTime, visitor: Visitor) -> None:
    visitor.open("/")
    assert "What do you need?" in visitor.page.text
    visitor.open(f"/?doctor={morning.doctor_id}")
    assert "What do you need?" in visitor.page.text, "times in open hours depend on it"
    [link] = re.findall(rf'id="kind-{morning.types[45]}" href="([^"]+)"', visitor.page.text)
    assert unescape(link) == url_of(morning, 45)
    visitor.open(unescape(link))
    assert list(times_on(visitor)) == ["09:00", "09:30", "10:00", "10:30", "11:00"]
    [other] = re.findall(
        r'id="other-kind" href="([^"]+)"', visitor.open(f"/?doctor={morning.doctor_id}&visit=any").text
    )
    assert "No such time is free at present" in visitor.page.text
    assert "What do you need?" in visitor.open(other).text


def test_times_of_both_kinds_are_listed_in_order_and_each_can_be_held(
    clinic: Clinic, morning: OpenTime, visitor: Visitor, server: RunningServer
) -> None:
    kind = morning.types[20]
    start = (MORNING + timedelta(hours=4, minutes=15)).isoformat()
    slot = clinic.slot(doctorId=morning.doctor_id, startTime=start, visitTypeIds=[kind])
    untyped = clinic.slot(doctorId=morning.doctor_id, startTime=(MORNING + timedelta(hours=6)).isoformat())
    visitor.open(url_of(morning))
    found = times_on(visitor)
    assert list(found) == ["09:00", "09:30", "10:00", "10:30", "11:00", "13:15"]
    assert found["13:15"] == f"slot={slot['id']}"
    assert f'id="time-{untyped["id"]}"' not in visitor.page.text
    assert "6 free times for Visit with Dr. Open" in text_of(visitor.page)
    assert ">6</span>" in visitor.page.text, "the day says so too"
    for clock in found:
        with Visitor(server) as person:
            person.open(url_of(morning))
            press(person, clock, visit=kind, doctor=morning.doctor_id)
            assert person.heading == "Confirm your appointment", (clock, person.page.text)
            assert 'name="seats" type="number"' not in person.page.text
            person.submit("/bookings/[0-9]+/release")
            assert f"visit={kind}" in person.url


def test_two_clicks_make_one_hold_and_another_time_releases_it(
    morning: OpenTime, visitor: Visitor, server: RunningServer
) -> None:
    page, attempt = visitor.open(url_of(morning)), visitor.http.cookies["slotwise-attempt"]
    press(visitor, "09:30")
    first = visitor.url
    with Visitor(server) as second_click:
        second_click.http.cookies.set("slotwise-attempt", attempt)
        second_click.page = page
        press(second_click, "09:30")
        assert second_click.url == first
    visitor.open(url_of(morning))
    assert "Held for you: continue" in visitor.page.text
    assert next(iter(times_on(visitor))) == "09:55"
    time_id = time_id_of(server, morning, 30)
    visitor.send("/hold", time=time_id)
    assert visitor.url == first, "the same time is the same hold"
    visitor.open(url_of(morning))
    press(visitor, "11:00")
    assert visitor.heading == "Confirm your appointment"
    visitor.open(first)
    assert "because you chose another time" in text_of(visitor.page)


def time_id_of(server: RunningServer, morning: OpenTime, after: int, **more: Any) -> str:
    return time_ids_of(server).id_of(morning.offered(after, 20, **more))


def test_a_time_that_is_taken_old_or_forged_leads_to_what_is_free(
    clinic: Clinic, morning: OpenTime, visitor: Visitor
) -> None:
    visitor.open(url_of(morning))
    assert book(clinic, morning.offered(30, 20)).status_code == 201
    press(visitor, "09:30")
    assert (visitor.page.status_code, visitor.heading) == (409, "This time is no longer free")
    [others] = re.findall(r'href="([^"]+)">Other times of Dr. Open', visitor.page.text)
    visitor.open(unescape(others))
    assert next(iter(times_on(visitor))) == "09:55"
    old = time_id_of(clinic.server, morning, 120, issued_at=datetime.now(UTC) - timedelta(hours=25))
    visitor.send("/hold", time=old)
    assert (visitor.page.status_code, visitor.heading) == (409, "This time is no longer offered")
    assert "Other times of Dr. Open" in visitor.page.text
    for forged in ("x", old[:-1] + "0", "%00"):
        visitor.send("/hold", time=forged)
        assert (visitor.page.status_code, visitor.heading) == (409, "This time is no longer offered")


def test_a_time_that_the_filters_on_screen_exclude_is_not_held(morning: OpenTime, visitor: Visitor) -> None:
    for changed in ({"visit": morning.types[45]}, {"doctor": 1}, {"day": "2031-01-01"}, {"seats": 2}):
        visitor.open(url_of(morning))
        press(visitor, "09:00", **changed)
        assert "so we did not take it" in visitor.page.text, changed


def test_a_hold_in_open_time_can_be_held_again_while_it_is_free(
    clinic: Clinic, morning: OpenTime, visitor: Visitor, server: RunningServer
) -> None:
    visitor.open(url_of(morning))
    press(visitor, "09:30")
    page = visitor.url
    booking_id = int(page.split("/")[2].partition("?")[0])
    run_out(server, {"id": booking_id})
    visitor.open(page)
    assert "It is still free." in text_of(visitor.page)
    visitor.submit("/hold")
    assert visitor.heading == "Confirm your appointment"
    visitor.submit("/bookings/[0-9]+/release")
    assert book(clinic, morning.offered(30, 45)).status_code == 201
    visitor.open(page)
    assert "It is no longer free." in text_of(visitor.page)
    assert "Hold it again" not in visitor.page.text


def test_a_kind_for_accounts_asks_a_guest_to_log_in(server: RunningServer, visitor: Visitor) -> None:
    kind = visit_type(server.database_url, 20, name="For members", bookable_by="ACCOUNTS")
    morning = open_time(server.database_url, {20: kind}, step=30)
    visitor.open(url_of(morning))
    assert "For members needs an account" in text_of(visitor.page)
    with AccountVisitor(server) as account:
        account.register()
        account.open(url_of(morning))
        assert "09:30" in times_on(account)


def test_a_long_day_continues_where_its_page_ends(clinic: Clinic, visitor: Visitor) -> None:
    kind = visit_type(clinic.server.database_url, 10, name="Short")
    start = MORNING.replace(hour=6)
    morning = open_time(clinic.server.database_url, {10: kind}, start, 600, 5)
    visitor.open(url_of(morning, 10))
    seen: list[str] = []
    for _ in range(5):
        seen += times_on(visitor)
        later = re.findall(r'id="later-times" href="([^"]+)"', visitor.page.text)
        if not later:
            break
        visitor.open(unescape(later[0]))
    offered = clinic.http.get("/api/times", params={"visitTypeId": kind, "doctorId": morning.doctor_id, "limit": 200})
    assert seen == [time["startTime"][11:16] for time in offered.json()["items"]]
    assert len(seen) > 36
