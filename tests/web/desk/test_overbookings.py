"""Overbooking on the pages: the form, and where the desk sees that a booking is overbooked."""

import csv
import io
import re
from collections.abc import Iterator

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, rows
from tests.web.people import text_of
from tests.web.visiting import Visitor

REASON = "In pain, asked by Dr. Who"


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


@pytest.fixture
def full(clinic: Clinic) -> dict[str, int]:
    slot = clinic.slot()
    clinic.hold(slot["id"], confirm=True)
    return slot


def overbook(desk: Visitor, slot_id: int, **fields: str) -> None:
    form = desk.open(f"/admin/slots/{slot_id}/overbook")
    [key] = re.findall(r'name="key" value="([^"]+)"', form.text)
    typed = {"key": key, "user_name": "Grace Hopper", "user_email": "g@example.org", "seats": "1", "reason": REASON}
    desk.send(f"/admin/slots/{slot_id}/overbook", **typed | fields)


def test_the_desk_overbooks_a_full_time_and_gets_the_patients_slip(
    clinic: Clinic, desk: Visitor, full: dict[str, int]
) -> None:
    page = desk.open(f"/admin/slots/{full['id']}").text
    assert f'href="/admin/slots/{full["id"]}/overbook"' in page
    overbook(desk, full["id"])
    assert desk.page.url.path.endswith("/slip")
    query = (
        "SELECT seats_booked, added_seats, overbooking_reason, status FROM bookings"
        " WHERE user_name = 'Grace Hopper' AND slot_id = $1"
    )
    [booked] = rows(clinic.server.database_url, query, full["id"])
    assert tuple(booked) == (1, 1, REASON, "CONFIRMED")


def test_lists_day_sheet_csv_and_the_bookings_page_say_that_it_is_overbooked(
    clinic: Clinic, desk: Visitor, full: dict[str, int]
) -> None:
    overbook(desk, full["id"])
    booking_id = desk.page.url.path.split("/")[3]
    told = text_of(desk.open(f"/admin/bookings?slot={full['id']}"))
    assert told.count("Overbooked") == 1
    page = text_of(desk.open(f"/admin/bookings/{booking_id}"))
    assert "Confirmed Overbooked" in page
    assert f"Reason for overbooking: {REASON}" in page
    day = desk.open(f"/admin/slots/{full['id']}").text
    [sheet] = re.findall(r'href="(/admin/day-sheet\?doctor=[^"]+)"', day)
    assert text_of(desk.open(sheet.replace("&amp;", "&"))).count("Overbooked") == 1
    [week] = re.findall(r'href="(/admin/doctors/[^"]+\?week=[^"]+)"', day)[:1]
    assert "all 2 taken, overbooked" in text_of(desk.open(week.replace("&amp;", "&")))
    assert text_of(desk.open("/admin?live=off")).count("Overbooked") >= 1
    exported = desk.http.get(f"/admin/bookings.csv?slot={full['id']}").text.removeprefix("\ufeff")
    marks = {row["Booking"]: row["Overbooked"] for row in csv.DictReader(io.StringIO(exported))}
    assert sorted(marks.values()) == ["", "yes"]
    assert marks[booking_id] == "yes"


def test_a_change_of_the_number_of_people_leaves_out_what_was_added(
    clinic: Clinic, desk: Visitor, full: dict[str, int]
) -> None:
    overbook(desk, full["id"])
    page = desk.open(f"/admin/slots/{full['id']}")
    assert "1 person more than planned" in text_of(page)
    assert re.search(r'name="total_seats"[^>]*?value="1"', page.text, re.DOTALL)
    desk.send(f"/admin/slots/{full['id']}", total_seats="2")
    slot = clinic.http.get(f"/api/slots/{full['id']}").json()
    assert (slot["totalSeats"], slot["availableSeats"]) == (3, 1)


def test_a_refused_form_keeps_what_was_typed_and_books_nothing(
    clinic: Clinic, desk: Visitor, full: dict[str, int]
) -> None:
    overbook(desk, full["id"], reason="no")
    assert desk.page.status_code == 400
    assert "must have 3 to 200 characters" in text_of(desk.page)
    assert 'value="Grace Hopper"' in desk.page.text
    assert clinic.http.get(f"/api/slots/{full['id']}").json()["totalSeats"] == 1


def test_a_form_that_is_sent_twice_books_once(clinic: Clinic, desk: Visitor, full: dict[str, int]) -> None:
    form = desk.open(f"/admin/slots/{full['id']}/overbook")
    [key] = re.findall(r'name="key" value="([^"]+)"', form.text)
    typed = {"key": key, "user_name": "Grace", "user_email": "g@example.org", "seats": "1", "reason": REASON}
    first = desk.send(f"/admin/slots/{full['id']}/overbook", **typed).url.path
    assert desk.send(f"/admin/slots/{full['id']}/overbook", **typed).url.path == first
    assert clinic.http.get(f"/api/slots/{full['id']}").json()["totalSeats"] == 2


def test_a_closed_time_cannot_be_overbooked(clinic: Clinic, desk: Visitor, full: dict[str, int]) -> None:
    clinic.http.patch(f"/api/slots/{full['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    assert "/overbook" not in desk.open(f"/admin/slots/{full['id']}").text
    page = desk.open(f"/admin/slots/{full['id']}/overbook")
    assert "This time is closed for booking" in text_of(page)
    assert '<form class="stack"' not in page.text
