"""The clinic's bookings as pages: find, read, confirm, cancel, book for a patient, print a day, download."""

import csv
import io
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import httpx
import msgspec
import pytest

from slotwise.db.pool import Database
from slotwise.domain.clinics import ClinicBook
from slotwise.domain.users import Role
from slotwise.services.schedule.free_times import FreeTimes
from slotwise.web.desk.export import written
from slotwise.web.desk.phone_booking import TIMES_TEMPLATE, context_of
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.visitors import Visitor as Somebody
from slotwise.web.schedule.free_times_query import find_query_in
from tests.clinic import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    PATIENCE_SECONDS,
    Clinic,
    RunningServer,
    holder,
    in_hours,
    rows,
    unique_email,
)
from tests.open_time import times_in
from tests.web.people import text_of
from tests.web.visiting import Visitor

LIST = "/admin/bookings"
DANGEROUS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201"]


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


def plant(clinic: Clinic, slot_id: int, count: int, name: str = "Planted") -> None:
    """Plants confirmed bookings, with their ledger and the seats of the slot."""
    rows(
        clinic.server.database_url,
        "WITH made AS (INSERT INTO bookings (slot_id, user_name, user_email, seats_booked, status, confirmed_at,"
        " manage_token_hash) SELECT $1, $3 || ' ' || n, 'p@example.org', 1, 'CONFIRMED', now(), ''"
        " FROM generate_series(1, $2::int) AS n RETURNING id, slot_id),"
        " numbered AS (SELECT id, slot_id, row_number() OVER (ORDER BY id) AS n FROM made),"
        " told AS (INSERT INTO booking_events (slot_id, sequence, kind, booking_id, seats, available_after, "
        " total_after, actor, created_at) SELECT s.id, s.last_event + m.n, 'BOOKED', m.id, 1, s.available_seats - m.n,"
        " s.total_seats, 'test', now() FROM numbered AS m JOIN appointment_slots AS s ON s.id = m.slot_id)"
        " UPDATE appointment_slots SET available_seats = available_seats - $2, last_event = last_event + $2"
        " WHERE id = $1",
        slot_id,
        count,
        name,
    )


def cancel_planted(clinic: Clinic, slot_id: int) -> None:
    rows(
        clinic.server.database_url,
        "WITH ended AS (UPDATE bookings SET status = 'CANCELLED', cancelled_at = now()"
        " WHERE slot_id = $1 AND status = 'CONFIRMED' RETURNING id, slot_id),"
        " numbered AS (SELECT id, slot_id, row_number() OVER (ORDER BY id) AS n FROM ended),"
        " told AS (INSERT INTO booking_events (slot_id, sequence, kind, booking_id, seats, available_after,"
        " total_after, actor, created_at) SELECT s.id, s.last_event + e.n, 'CANCELLED', e.id, 1,"
        " s.available_seats + e.n, s.total_seats, 'test', now()"
        " FROM numbered AS e JOIN appointment_slots AS s ON s.id = e.slot_id)"
        " UPDATE appointment_slots SET available_seats = available_seats + (SELECT count(*) FROM ended),"
        " last_event = last_event + (SELECT count(*) FROM ended) WHERE id = $1",
        slot_id,
    )


def notes(clinic: Clinic, action: str, subject: str) -> list[dict[str, str]]:
    query = "SELECT actor, details::text FROM audit_log WHERE action = $1 AND subject = $2 ORDER BY id"
    return [dict(row) for row in rows(clinic.server.database_url, query, action, subject)]


def found_ids(page: httpx.Response) -> list[int]:
    return [int(number) for number in re.findall(r'<a href="/admin/bookings/(\d+)">', page.text)]


def test_bookings_are_found_by_a_query_and_shown_in_pages(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=100)
    plant(clinic, slot["id"], 51, "Quetzal")
    first = found_ids(desk.open(f"{LIST}?who=quetzal&doctor={slot['doctorId']}"))
    assert len(first) == 50
    [older] = re.findall(r'rel="next" href="([^"]+)"', desk.page.text)
    rest = found_ids(desk.open(older.replace("&amp;", "&")))
    assert len(rest) == 1
    assert sorted(first + rest, reverse=True) == first + rest
    assert 'rel="next"' not in desk.page.text
    assert 'value="quetzal"' in desk.page.text
    day = slot["startTime"][:10]
    assert len(found_ids(desk.open(f"{LIST}?slot={slot['id']}&from={day}&to={day}&status=CONFIRMED"))) == 50
    assert found_ids(desk.open(f"{LIST}?slot={slot['id']}&status=CANCELLED")) == []
    assert "No bookings found" in desk.page.text
    assert found_ids(desk.open(f"{LIST}?slot={slot['id']}&to=2026-01-01")) == []
    [number] = rest
    for typed in (f"{number}", f"%23{number}"):
        assert found_ids(desk.open(f"{LIST}?who={typed}"))[:1] == rest
        assert notes(clinic, "list_bookings", "bookings")[-1]["details"].startswith('{"text": true')
    assert f"\n{number}," in desk.open(f"{LIST}.csv?who=%23{number}").text


def test_a_released_hold_is_found_but_not_as_a_cancelled_appointment(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=3)
    released, cancelled = (clinic.hold(slot["id"], confirm=confirm) for confirm in (False, True))
    for booking in (released, cancelled):
        assert clinic.http.delete(f"/api/bookings/{booking['id']}", headers=holder(booking)).status_code == 200
    of_slot = f"slot={slot['id']}"
    assert found_ids(desk.open(f"{LIST}?{of_slot}")) == [cancelled["id"], released["id"]]
    assert desk.page.text.count(">Released</span>") == 1
    for query in (of_slot, f"who={released['userEmail']}", f"who={released['id']}&{of_slot}"):
        ids = found_ids(desk.open(f"{LIST}?status=CANCELLED&{query}"))
        assert released["id"] not in ids, query
    assert found_ids(desk.open(f"{LIST}?status=CANCELLED&{of_slot}")) == [cancelled["id"]]
    for query in (of_slot, f"who={released['userEmail']}&{of_slot}", f"who={released['id']}&{of_slot}"):
        assert found_ids(desk.open(f"{LIST}?status=RELEASED&{query}")) == [released["id"]], query
    assert '<option value="RELEASED" selected>Released</option>' in desk.page.text
    assert found_ids(desk.open(f"{LIST}?status=RELEASED&who={cancelled['id']}&{of_slot}")) == []
    # The column is called Cancelled too.
    for status, counts in (("CANCELLED", (2, 0)), ("RELEASED", (1, 1))):
        file = desk.open(f"{LIST}.csv?status={status}&{of_slot}").text
        assert (file.count("Cancelled"), file.count("Released")) == counts


def test_a_hold_is_released_and_not_cancelled(clinic: Clinic, desk: Visitor) -> None:
    """On every page of the desk, in its form and in the log."""
    booking = clinic.hold(clinic.slot()["id"])
    place, form = f"{LIST}/{booking['id']}", f"{LIST}/{booking['id']}/cancel"
    seen = [desk.open(place), desk.open(form)]
    assert desk.heading == "Release this hold?"
    desk.submit(form, reason="Rang")
    assert "The hold is released." in desk.page.text
    seen += [desk.page, desk.send(f"{place}/confirm", again="yes"), desk.open(form)]
    assert "no longer on hold, so it cannot be confirmed" in seen[3].text
    assert desk.url == place, "there is nothing left to ask about"
    assert not [page.url for page in seen if "cancel" in text_of(page).lower()]
    log = desk.open(f"/admin/audit?about=booking+{booking['id']}&action=cancel_booking").text.partition("<tbody")[2]
    assert "Released a hold" in log
    assert "with a reason, status from on hold to released" in log
    assert "ancelled" not in log


def test_a_hold_that_is_confirmed_before_the_desk_releases_it_stays(clinic: Clinic, desk: Visitor) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    form = f"{LIST}/{booking['id']}/cancel"
    desk.open(form)
    clinic.http.post(f"/api/bookings/{booking['id']}/confirm", headers=holder(booking))
    desk.submit(form)
    assert "The booking was confirmed meanwhile, so it stays." in desk.page.text
    assert clinic.http.get(f"/api/bookings/{booking['id']}").json()["status"] == "CONFIRMED"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=MAYBE", "status"),
        ("doctor=x", "doctor"),
        ("from=2026-13-01", "from"),
        ("from=2026-02-02&to=2026-02-01", "to"),
        ("from=9998-02-02", "from"),
        ("who=%00", "who"),
    ],
)
def test_an_invalid_query_is_shown_again_with_its_error(desk: Visitor, query: str, field: str) -> None:
    assert desk.open(f"{LIST}?{query}").status_code == 400
    assert f'href="#{field}"' in desk.page.text
    assert desk.open(f"{LIST}.csv?{query}").status_code == 400


def test_a_booking_is_confirmed_and_cancelled_with_a_reason_in_its_history(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=2)
    with Visitor(clinic.server) as patient:
        patient.hold(slot["id"], seats=2)
    [booking] = clinic.http.get(f"/api/bookings/slot/{slot['id']}").json()["items"]
    place = f"{LIST}/{booking['id']}"
    desk.open(place)
    assert desk.submit(f"{place}/confirm", user_name="", user_email="x").status_code == 400
    assert desk.page.text.count('aria-invalid="true"') == 1  # only the first error: the name
    desk.submit(f"{place}/confirm", user_name="Ada Lovelace", user_email="ada@example.org")
    assert "The booking is confirmed" in desk.page.text
    desk.open(f"{place}/cancel")
    assert desk.heading == "Cancel this booking?"
    assert clinic.free_seats(slot["id"]) == 0
    assert desk.submit(f"{place}/cancel", reason="x" * 201).status_code == 400
    desk.submit(f"{place}/cancel", reason="  Rang & <moved>  ")
    assert clinic.free_seats(slot["id"]) == 2
    assert "Rang &amp; &lt;moved&gt;" in desk.page.text
    words = [word.strip() for word in re.findall(r"<strong>\s*(.*?)\s*</strong>", desk.page.text, re.DOTALL)]
    assert words == ["Held, for 2 people", "Confirmed", "Cancelled, for 2 people"]
    assert "Patient without an account" in desk.page.text
    assert "Administrator" in desk.page.text
    assert desk.send(f"{place}/confirm", again="yes").status_code == 409
    assert desk.open(f"{LIST}/{10**17}").status_code == 404
    assert len(notes(clinic, "get_history", f"booking:{booking['id']}")) >= 4
    changed = [notes(clinic, action, f"booking:{booking['id']}") for action in ("confirm_booking", "cancel_booking")]
    assert changed == [
        [{"actor": "user:1", "details": '{"status": ["PENDING", "CONFIRMED"]}'}],
        [{"actor": "user:1", "details": '{"reason": true, "status": ["CONFIRMED", "CANCELLED"]}'}],
    ]


def test_a_history_that_is_cut_short_says_where_the_rest_is(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot()
    booking = clinic.hold(slot["id"])
    rows(
        clinic.server.database_url,
        "WITH s AS (UPDATE appointment_slots SET last_event = last_event + 201 WHERE id = $1 RETURNING *)"
        " INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        " SELECT id, last_event - 201 + n, 'MOVED', total_seats, available_seats, total_seats, 'test',"
        " clock_timestamp() FROM s CROSS JOIN generate_series(1, 201) AS n",
        slot["id"],
    )
    desk.open(f"{LIST}/{booking['id']}")
    assert desk.page.text.count("Moved to another time") == 200
    assert "Part of the history is not shown here" in desk.page.text
    assert desk.open(f"/admin/audit?about=slot+{slot['id']}").text.count(f'href="/admin/slots/{slot["id"]}"') == 1


def test_the_history_of_a_booking_shows_the_old_and_new_time_of_each_move(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(startTime="2033-11-23T09:00:00Z")
    booking = clinic.hold(slot["id"], confirm=True)
    for change in (
        {"startTime": "2033-11-24T09:00:00Z", "durationMinutes": 45},
        {"totalSeats": 2},
        {"durationMinutes": 20},
        {"startTime": "2033-11-23T09:00:00Z"},
    ):
        clinic.http.patch(f"/api/slots/{slot['id']}", json=change, headers=clinic.admin)
    there, here = r"Wed 23 Nov 2033, \d\d:00", r"Thu 24 Nov 2033, \d\d:00"
    told = [
        rf"The appointment was moved from {there} to {here} and lasts 45 minutes instead of 30",
        "The appointment lasts 20 minutes instead of 45",
        rf"The appointment was moved from {here} to {there}",
    ]
    assert has_moves(desk, booking["id"], told)
    # A change of seats in the same microsecond as a move is not a move.
    rows(
        clinic.server.database_url,
        "WITH s AS (UPDATE appointment_slots SET last_event = last_event + 1 WHERE id = $1 RETURNING *)"
        " INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        " SELECT s.id, s.last_event, 'RESIZED', total_seats, available_seats, total_seats, 'test', e.created_at"
        " FROM s JOIN booking_events AS e ON e.slot_id = s.id AND e.sequence = s.last_event - 1 AND e.kind = 'MOVED'",
        slot["id"],
    )
    assert has_moves(desk, booking["id"], told)
    assert desk.page.text.count("Room changed to 2 people in all") == 2
    # As an older release recorded it, without details.
    forget = "UPDATE audit_log SET details = '{}' WHERE subject = $1 AND action = 'update_slot'"
    with_trigger_off = "ALTER TABLE audit_log %s TRIGGER audit_log_append_only"
    rows(clinic.server.database_url, with_trigger_off % "DISABLE")
    rows(clinic.server.database_url, forget, f"slot:{slot['id']}")
    rows(clinic.server.database_url, with_trigger_off % "ENABLE")
    assert has_moves(desk, booking["id"], ["Moved to another time or doctor"] * 3)


def has_moves(desk: Visitor, booking_id: int, moves: list[str]) -> bool:
    desk.open(f"{LIST}/{booking_id}")
    told = re.findall(r"<strong>\s*((?:The appointment |Moved to ).*?)\s*</strong>", desk.page.text, re.DOTALL)
    return len(told) == len(moves) and all(map(re.fullmatch, moves, told))


def test_a_phone_booking_that_is_sent_several_times_books_once(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=3)
    form = desk.open(f"{LIST}/new?slot={slot['id']}")
    [key] = re.findall(r'name="key" value="([^"]+)"', form.text)
    typed = {"slot": slot["id"], "key": key, "user_name": "Grace", "user_email": "g@example.org", "seats": 2}
    cookies = dict(desk.http.cookies)

    def click(_: int) -> str:
        with httpx.Client(base_url=clinic.server.url, cookies=cookies, verify=False, timeout=PATIENCE_SECONDS) as http:
            return http.post(f"{LIST}/new", data=typed, headers={"Sec-Fetch-Site": "same-origin"}).headers["location"]

    with ThreadPoolExecutor(4) as clicks:
        assert len(set(clicks.map(click, range(4)))) == 1
    assert clinic.free_seats(slot["id"]) == 1
    query = "SELECT user_id, user_name, status FROM bookings WHERE slot_id = $1"
    [booked] = rows(clinic.server.database_url, query, slot["id"])
    assert tuple(booked) == (None, "Grace", "CONFIRMED")
    [booking] = clinic.http.get(f"/api/bookings/slot/{slot['id']}").json()["items"]
    details = f'{{"slot": {slot["id"]}, "seats": 2, "status": "CONFIRMED"}}'
    assert notes(clinic, "hold_seats", f"booking:{booking['id']}") == [{"actor": "user:1", "details": details}]


def test_a_change_of_seats_by_the_desk_is_audited_with_the_replaced_booking(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=4)
    held = clinic.hold(slot["id"])
    desk.send(f"/bookings/{held['id']}/seats", token=held["manageToken"], seats=3)
    [(booking_id,)] = rows(
        clinic.server.database_url, "SELECT id FROM bookings WHERE slot_id = $1 AND status = 'PENDING'", slot["id"]
    )
    [noted] = notes(clinic, "hold_seats", f"booking:{booking_id}")
    assert msgspec.json.decode(noted["details"]) == {
        "slot": slot["id"], "seats": 3, "status": "PENDING", "instead_of_booking": held["id"],
    }  # fmt: skip


def test_the_patients_link_is_shown_once_and_appears_in_no_url_and_no_log(clinic: Clinic, desk: Visitor) -> None:
    slot, other = clinic.slot(seats=3), clinic.hold(clinic.slot()["id"])["id"]
    typed = {"slot": slot["id"], "user_name": "Grace", "user_email": "g@example.org", "seats": 2}
    same_origin = {"Sec-Fetch-Site": "same-origin"}
    answer = desk.http.post(f"{LIST}/new", data=typed, headers=same_origin, follow_redirects=False)
    [cookie] = [line for line in answer.headers.get_list("set-cookie") if line.startswith("slotwise-slip=")]
    assert all(part in cookie for part in ("HttpOnly", "SameSite=lax", "Max-Age=600"))
    assert desk.open(f"{LIST}/{other}/slip").url.path == f"{LIST}/{other}"
    slip = desk.open(answer.headers["location"])
    assert (slip.url.path.endswith("/slip"), slip.headers["cache-control"]) == (True, "no-store")
    assert "may not work outside the clinic" in slip.text, "it is made of what the desk's browser sent"
    [link] = re.findall(rf'id="link"[^>]*>{re.escape(clinic.server.url)}(/bookings/\d+\?token=[\w-]+)<', slip.text)
    with Visitor(clinic.server) as patient:
        patient.open(link)
        assert (patient.heading, "for 2 people" in patient.page.text) == ("You are booked", True)
    token = link.partition("token=")[2]
    assert token not in clinic.server.log.read_text()
    assert not rows(clinic.server.database_url, "SELECT 1 FROM audit_log WHERE audit_log::text LIKE $1", f"%{token}%")
    again = desk.open(slip.url.path)
    assert (again.url.path, token in again.text) == (slip.url.path.removesuffix("/slip"), False)
    assert "was shown once" in again.text
    looks = "SELECT action FROM audit_log WHERE subject = $1 AND action IN ('get_slip', 'get_managed_booking')"
    booked = f"booking:{slip.url.path.split('/')[-2]}"
    assert [row["action"] for row in rows(clinic.server.database_url, looks, booked)] == ["get_slip"]


def test_the_desk_finds_times_across_all_days_and_doctors(clinic: Clinic, desk: Visitor) -> None:
    kind = f"Kind {unique_email()}"
    first, second = (clinic.doctor(name=f"Dr. {name}", specialization=kind)["id"] for name in ("Ash", "Birch"))
    starts = [f"2034-05-0{day}T12:00:00Z" for day in (4, 5, 6)]
    slots = [
        clinic.slot(doctorId=doctor, startTime=start, seats=seats)["id"]
        for doctor, start, seats in zip((second, first, second), starts, (1, 3, 1), strict=True)
    ]

    def found(**query: str | int) -> list[int]:
        desk.page = desk.http.get(f"{LIST}/new", params={"speciality": kind, **query})
        return [int(number) for number in re.findall(r'href="/admin/bookings/new\?slot=(\d+)', desk.page.text)]

    assert found() == slots
    assert re.findall(r'<h2 id="day-2034-05-0(\d)">', desk.page.text) == ["4", "5", "6"]
    assert f'aria-label="Thursday 4 May 2034, 12:00, Dr. Birch, {kind}"' in desk.page.text
    assert (found(doctor=first), found(day="2034-05-05"), found(seats=2)) == (slots[1:2], slots[1:], slots[1:2])
    desk.open(f"{LIST}/new?slot={slots[1]}&seats=2")
    desk.submit(f"{LIST}/new", user_name="Grace", user_email="g@example.org")
    assert desk.heading == "Booked and confirmed"
    assert (found(seats=2), "fewer people" in desk.page.text) == ([], True)
    assert found(seats="many") == slots
    assert "Part of the search could not be read" in desk.page.text


def test_free_times_continue_on_a_next_page(clinic: Clinic, desk: Visitor) -> None:
    doctor = clinic.doctor()["id"]
    plant_slots = (
        "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats) SELECT $1, s,"
        " s + interval '1 hour', 1, 1 FROM generate_series(now() + '1 day', now() + '39 days', '1 day'::interval) AS s"
    )
    rows(clinic.server.database_url, plant_slots, doctor)
    shown: list[str] = []
    desk.open(f"{LIST}/new?doctor={doctor}")
    for more in (True, False):
        shown += re.findall(r'href="/admin/bookings/new\?slot=(\d+)"', desk.page.text)
        later = re.findall(r'rel="next" href="([^"]+)"', desk.page.text)
        assert bool(later) is more
        desk.open(unescape((later or [f"{LIST}/new"])[0]))
    assert len(shown) == len(set(shown)) == 39


async def test_the_desk_can_search_on_where_nearly_every_time_has_too_few_seats(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    doctor = await connection.fetchval("INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")
    await connection.execute(
        "INSERT INTO appointment_slots (doctor_id, start_time, end_time, total_seats, available_seats)"
        " SELECT $1, start, start + interval '1 hour', 2, CASE n WHEN 7 THEN 2 ELSE 1 END"
        " FROM generate_series(1, 7) AS n CROSS JOIN LATERAL (VALUES (now() + n * interval '1 day')) AS s (start)",
        doctor,
    )
    clinics = ClinicBook.of_one()
    renderer, free_times = Renderer(clinics), FreeTimes(database, clinics, times_in(database), 5)

    async def page_of(url: str) -> str:
        query = find_query_in(dict(parse_qsl(urlsplit(url).query)))
        context = context_of(renderer, query, await free_times.list_next_times(query.times))
        return renderer.render(TIMES_TEMPLATE, visitor=Somebody(), path=f"{LIST}/new", **context)

    nothing = await page_of(f"{LIST}/new?seats=2")
    assert "No time for 2 people found yet" in nothing
    [later] = re.findall(r'href="([^"]+)">Search later times</a>', nothing)
    assert 'rel="next"' not in nothing
    assert len(re.findall(r'href="/admin/bookings/new\?slot=\d+&amp;seats=2"', await page_of(unescape(later)))) == 1


def test_a_refused_phone_booking_shows_its_errors_and_can_be_sent_again(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=2)
    desk.open(f"{LIST}/new?slot={slot['id']}")
    assert desk.submit(f"{LIST}/new", user_name="", user_email="x", seats="many").status_code == 400
    assert desk.page.text.count('aria-invalid="true"') == 3
    grace, email = "Grace", "g@example.org"
    assert desk.submit(f"{LIST}/new", seats=3, user_name=grace, user_email=email).status_code == 409
    assert "There is room for only 2 people." in desk.page.text
    desk.submit(f"{LIST}/new", seats=2, user_name=grace, user_email=email)
    assert "Booked and confirmed" in desk.page.text
    assert "This time is full" in desk.open(f"{LIST}/new?slot={slot['id']}").text
    assert desk.open(f"{LIST}/new").status_code == 200
    assert desk.open(f"{LIST}/new?slot={10**17}").status_code == 404


def test_typed_values_are_kept_for_the_next_time_when_a_time_is_taken(clinic: Clinic, desk: Visitor) -> None:
    taken = clinic.slot(seats=2)
    other = clinic.slot(seats=2, doctorId=taken["doctorId"], startTime=in_hours(100))
    desk.open(f"{LIST}/new?slot={taken['id']}")
    clinic.hold(taken["id"], seatsBooked=2)
    typed = {"user_name": "Grace", "user_email": "g@example.org"}
    assert desk.submit(f"{LIST}/new", seats=2, **typed).status_code == 409
    assert "that you typed are kept" in desk.page.text
    [others] = re.findall(r'href="([^"]+)">Find another time<', desk.page.text)
    [following] = re.findall(r'href="(/admin/bookings/new\?slot=\d+[^"]*)"', desk.open(unescape(others)).text)
    assert f"slot={other['id']}&" in unescape(following)

    def has_typed(page: httpx.Response) -> bool:
        assert 'name="user_email"' in page.text
        return any(f'value="{value}"' in page.text for value in typed.values())

    with Visitor(clinic.server) as colleague:
        colleague.http.cookies.set("slotwise-draft", desk.http.cookies["slotwise-draft"], domain="127.0.0.1")
        colleague.hold(other["id"])
        assert not has_typed(colleague.page), "of a patient in the same browser"
        email = unique_email()
        desk.send("/admin/users/new", name="Sam", email=email, role="staff", password="a password of Sam's")
        colleague.send("/log-in", email=email, password="a password of Sam's")
        assert not has_typed(colleague.open(unescape(following))), "of another account"
    following = following.replace("seats=2", "seats=1")
    assert has_typed(desk.open(unescape(following)))
    desk.submit(f"{LIST}/new")
    assert desk.heading == "Booked and confirmed"
    assert "slotwise-draft" not in desk.http.cookies


def test_the_desk_can_clear_what_was_typed_for_another_patient(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=2)
    desk.send(f"{LIST}/new", slot=slot["id"], seats=3, user_name="Grace", user_email="g@example.org")
    assert 'value="Grace"' in desk.open(f"{LIST}/new?slot={slot['id']}").text
    [somebody_else] = re.findall(r'href="([^"]+)">Book for another patient<', desk.page.text)
    for page in (unescape(somebody_else), f"{LIST}/new?slot={slot['id']}"):
        assert 'value="Grace"' not in desk.open(page).text
        assert "You typed this name" not in desk.page.text


def test_a_day_sheet_shows_the_day_of_the_doctor(clinic: Clinic, desk: Visitor) -> None:
    # Not over midnight, where a visit is on both days.
    slot = clinic.slot(seats=2, startTime=in_hours(48)[:10] + "T12:00:00Z")
    clinic.hold(slot["id"], userName="Grace Hopper", confirm=True)
    sheet = f"/admin/day-sheet?doctor={slot['doctorId']}&day="
    seen = [desk.open(sheet + day).text.count(">Grace Hopper</a>") for day in days_around(slot["startTime"])]
    assert sum(seen) == 1
    assert desk.open("/admin/day-sheet").status_code == 200
    assert desk.open(f"{sheet}2026-02-30").status_code == 400
    assert "No times on this day" in desk.open(f"{sheet}2031-01-01").text
    assert len(notes(clinic, "list_bookings_of_day", f"doctor:{slot['doctorId']}")) == 1


def test_patients_whose_appointments_the_clinic_cancelled_are_listed_until_they_are_told(
    clinic: Clinic, desk: Visitor
) -> None:
    """On the day sheet and on the page of the time: not those who cancelled themselves, nor holds."""
    slot = clinic.slot(seats=4, startTime="2031-03-06T12:00:00Z")
    names = ("Grace Hopper", "Alan Turing", "Mary Somerville")
    grace, alan, mary = (clinic.hold(slot["id"], userName=name, confirm=True) for name in names)
    held = clinic.hold(slot["id"], userName="Holly Hold")
    clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    for booking, by in ((grace, clinic.admin), (alan, holder(alan)), (held, clinic.admin), (mary, clinic.admin)):
        assert clinic.http.delete(f"/api/bookings/{booking['id']}", headers=by).status_code == 200
    sheet = f"/admin/day-sheet?doctor={slot['doctorId']}&day=2031-03-06"
    for url in (sheet, "/admin/day-sheet?doctor=&day=2031-03-06", f"/admin/slots/{slot['id']}"):
        page = unescape(desk.open(url).text)
        for name, listed in (*zip(names, (1, 0, 1), strict=True), ("Holly Hold", 0)):
            assert page.count(f">{name}</a>") == listed, (url, name)
        assert "Cancelled by the clinic: tell th" in page
        assert grace["userEmail"] in page
    assert "0 of 4 taken, closed" in desk.open(sheet).text
    assert len(notes(clinic, "list_cancelled_bookings", f"slot:{slot['id']}")) == 1
    assert ">Grace Hopper</a>" not in desk.open(f"/admin/day-sheet?doctor={slot['doctorId']}&day=2031-03-07").text


def test_a_visit_across_midnight_is_found_on_both_days_also_in_the_file(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(startTime="2031-03-07T23:45:00Z", durationMinutes=60)
    booking = clinic.hold(slot["id"], userName="Nora Night", confirm=True)["id"]
    days = [f"2031-03-{day:02}" for day in range(6, 11)]
    queries = {day: f"doctor={slot['doctorId']}&from={day}&to={day}" for day in days}
    assert [day for day in days if found_ids(desk.open(f"{LIST}?{queries[day]}")) == [booking]] == days[1:3]
    assert [day for day in days if "Nora Night" in desk.open(f"{LIST}.csv?{queries[day]}").text] == days[1:3]
    by_start = {
        day: {"from": f"{day}T00:00:00Z", "to": f"{day}T23:59:59Z", "doctorId": slot["doctorId"]} for day in days
    }
    found = {day: clinic.http.get("/api/bookings", params=by_start[day], headers=clinic.admin).json() for day in days}
    assert [day for day in days if found[day]["items"]] == days[1:2], "by the start, as the API says"


def test_lists_of_the_patients_of_a_time_stand_by_name(clinic: Clinic, desk: Visitor) -> None:
    """Patients with a cancelled appointment, patients who come, and patients whose time is to be changed."""
    slot = clinic.slot(seats=10, startTime="2031-03-08T12:00:00Z")
    in_order = ["adam", "\u00c4rger", "\u00d8berg", "Ohm", "Zoe"]
    cancelled, _ = (
        [clinic.hold(slot["id"], userName=name, confirm=True) for name in reversed(in_order)] for _ in range(2)
    )
    for booking in cancelled:
        clinic.http.delete(f"/api/bookings/{booking['id']}", headers=clinic.admin)

    def listed(page: httpx.Response) -> list[str]:
        return re.findall(f"({'|'.join(in_order)})</a>", unescape(page.text))

    assert listed(desk.open(f"/admin/day-sheet?doctor={slot['doctorId']}&day=2031-03-08")) == in_order * 2
    assert listed(desk.open(f"/admin/slots/{slot['id']}")) == in_order
    assert listed(desk.send(f"/admin/slots/{slot['id']}", status="CLOSED")) == in_order


def test_more_cancelled_appointments_than_are_read_are_not_passed_over_in_silence(
    clinic: Clinic, desk: Visitor
) -> None:
    """On the day sheet and on the page of the time, even if none of those that were read is the clinic's."""
    slot = clinic.slot(seats=501, startTime="2031-03-09T12:00:00Z")
    sheet, page = f"/admin/day-sheet?doctor={slot['doctorId']}&day=2031-03-09", f"/admin/slots/{slot['id']}"
    for number, more in ((500, 0), (1, 1)):
        plant(clinic, slot["id"], number)
        cancel_planted(clinic, slot["id"])
        for url in (sheet, page):
            assert unescape(desk.open(url).text).count(">all cancelled appointments of this") == more, (number, url)
    [link] = re.findall(r'href="([^"]+)">all cancelled appointments of this', desk.open(sheet).text)
    assert len(found_ids(desk.open(unescape(link)))) == 50


def test_the_day_sheet_of_all_doctors_lists_those_with_slots_by_name(clinic: Clinic, desk: Visitor) -> None:
    """The read is audited for each doctor. Doctors without slots on that day are left out."""
    start = "2043-03-04T12:00:00Z"
    doctors = [clinic.doctor(name=name)["id"] for name in ("Dr. Zeta", "dr. Alpha", "Dr. Idle")]
    for doctor, name in zip(doctors, ("Grace Hopper", "Alan Turing"), strict=False):
        clinic.hold(clinic.slot(doctorId=doctor, startTime=start)["id"], userName=name, confirm=True)
    page = desk.open("/admin/day-sheet?doctor=&day=2043-03-04").text
    assert re.findall(r'<h2 id="doctor-(\d+)">', page) == [str(doctors[1]), str(doctors[0])]
    assert page.index(">Alan Turing</a>") < page.index(">Grace Hopper</a>")
    assert [len(notes(clinic, "list_bookings_of_day", f"doctor:{doctor}")) for doctor in doctors] == [1, 1, 0]
    assert "No doctor has times" in desk.open("/admin/day-sheet?day=2043-03-05").text


def days_around(moment: str) -> list[str]:
    """The days before, at and after the moment in UTC. One of them is its day in the clinic's zone."""
    day = datetime.fromisoformat(moment).toordinal()
    return [datetime.fromordinal(day + step).date().isoformat() for step in (-1, 0, 1)]


def test_a_download_has_the_bookings_of_the_list_as_csv(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=5, startTime=in_hours(30))
    rung = clinic.hold(slot["id"], userName='=cmd|"/C calc"!A1', confirm=True)
    clinic.hold(slot["id"], userName='Zoë, "the" Obrien')
    desk.send(f"{LIST}/{rung['id']}/cancel", reason="=HYPERLINK(1); rang")
    answer = desk.open(f"{LIST}.csv?slot={slot['id']}")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="bookings-\d{4}-\d\d-\d\d\.csv"', answer.headers["content-disposition"])
    assert answer.content.startswith(b"\xef\xbb\xbfBooking,Status,")
    assert answer.content.count(b"\r\n") == 3
    heading, newest, oldest = csv.reader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""))
    assert (newest[1], newest[7]) == ("On hold", 'Zoë, "the" Obrien')
    assert (oldest[1], oldest[7]) == ("Cancelled", '\'=cmd|"/C calc"!A1')
    assert [heading[-2], newest[-2], oldest[-2]] == ["Reason for cancelling", "", "'=HYPERLINK(1); rang"]
    guide = (Path(__file__).resolve().parents[3] / "docs" / "using.md").read_text()
    assert [column for column in heading if f"`{column.partition(' (')[0]}`" not in guide] == []
    ours = [
        note["details"] for note in notes(clinic, "export_bookings", "bookings") if f": {slot['id']}" in note["details"]
    ]
    assert ours == [f'{{"slot_id": {slot["id"]}}}', f'{{"slot_id": {slot["id"]}, "bookings": 2}}']


@pytest.mark.parametrize("text", DANGEROUS)
def test_no_cell_of_a_download_is_a_formula(text: str) -> None:
    assert next(csv.reader(io.StringIO(written([[text, "Ann-Marie +1", -1]]), newline=""))) == [
        f"'{text}",
        "Ann-Marie +1",
        "-1",
    ]


def test_a_download_is_cut_off_when_the_database_fails_in_the_middle(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=20_000)
    plant(clinic, slot["id"], 12_000, "Name enough to fill what the kernel keeps of an answer")
    whole = desk.open(f"{LIST}.csv?slot={slot['id']}").content
    assert whole.count(b"\r\n") == 12_001
    with reading_slowly(clinic.server, f"{LIST}.csv?slot={slot['id']}", desk) as client:
        beginning = client.recv(1024)
        assert beginning.startswith(b"HTTP/1.1 200")
        rows(clinic.server.database_url, "ALTER VIEW bookings_now RENAME TO gone")
        try:
            rest = b"".join(iter(lambda: client.recv(2**16), b""))
        finally:
            rows(clinic.server.database_url, "ALTER VIEW gone RENAME TO bookings_now")
    assert b"transfer-encoding: chunked" in (beginning + rest).lower()
    assert not rest.endswith(b"0\r\n\r\n")  # the end of an answer in chunks
    assert len(rest) < len(whole)
    begun = notes(clinic, "export_bookings", "bookings")[-1]
    assert "bookings" not in begun["details"]


def reading_slowly(server: RunningServer, path: str, visitor: Visitor) -> socket.socket:
    """A client with a small receive buffer, so that the server is never far ahead."""
    url = urlsplit(server.url)
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    client.settimeout(20)
    client.connect((url.hostname, url.port))
    cookies = "; ".join(f"{name}={value}" for name, value in visitor.http.cookies.items())
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nCookie: {cookies}\r\n\r\n".encode())
    return client


PLACES = {
    Role.STAFF: [LIST, f"{LIST}.csv?who=nobody", f"{LIST}/new", "/admin/day-sheet"],
    Role.ADMIN: ["/admin/audit", "/admin/users", "/admin/users/new", "/admin/users/1", "/admin/users/1/password"],
}


def test_bookings_are_for_staff_and_users_and_audit_log_for_admins(clinic: Clinic, server: RunningServer) -> None:
    opened = {role: [200] * len(PLACES[Role.STAFF]) + [403] * len(PLACES[Role.ADMIN]) for role in (Role.STAFF,)}
    refused = [403] * sum(map(len, PLACES.values()))
    for role in Role:
        email = unique_email()
        account = {"name": "Sam", "email": email, "password": "a password of Sam's"}
        assert clinic.http.post("/api/auth/register", json=account).status_code == 201
        rows(server.database_url, "UPDATE users SET role = $1 WHERE email = $2", role.value, email)
        with Visitor(server) as visitor:
            visitor.send("/log-in", email=email, password=account["password"])
            seen = [visitor.open(place).status_code for place in (*PLACES[Role.STAFF], *PLACES[Role.ADMIN])]
            sent = [visitor.send(f"/admin/users/{10**17}/rights", role="admin").status_code]
        rows(server.database_url, "UPDATE users SET role = 'patient' WHERE email = $1", email)
        assert seen == ([200] * len(refused) if role is Role.ADMIN else opened.get(role, refused)), role
        assert sent == [404 if role is Role.ADMIN else 403], role
    with Visitor(server) as stranger:
        assert [stranger.open(place).url.path for place in PLACES[Role.STAFF]] == ["/log-in"] * 4
