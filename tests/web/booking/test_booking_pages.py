"""From a time to a confirmed appointment and back, as forms and redirects. tests/browser tests the screen."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from icalendar import Calendar

from slotwise.domain.errors import SlotFull
from slotwise.web.kit.errors import words_of
from tests.clinic import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    PATIENCE_SECONDS,
    Clinic,
    RunningServer,
    rows,
    run_out,
    unique_email,
)
from tests.web.people import text_of
from tests.web.visiting import Visitor


@pytest.fixture
def visitor(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        yield visitor


def bookings_of(clinic: Clinic, slot_id: int) -> list[tuple[int, str]]:
    found = clinic.http.get(f"/api/bookings/slot/{slot_id}").json()["items"]
    return [(booking["seatsBooked"], booking["status"]) for booking in found]


def test_a_time_is_held_at_once_and_confirmed_with_a_name(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=2)
    visitor.hold(slot["id"])
    assert bookings_of(clinic, slot["id"]) == [(1, "PENDING")]
    visitor.confirm()
    assert visitor.heading == "You are booked"
    assert "Ada Lovelace" in visitor.page.text
    assert bookings_of(clinic, slot["id"]) == [(1, "CONFIRMED")]


def test_two_clicks_and_a_lost_answer_hold_once(clinic: Clinic, visitor: Visitor) -> None:
    """All requests have the cookies from before the first answer."""
    slot = clinic.slot(seats=5)
    visitor.open("/")  # gives the visitor their cookies
    cookies = dict(visitor.http.cookies)

    def click(_: int) -> str:
        headers = {"Sec-Fetch-Site": "same-origin"}
        with httpx.Client(base_url=clinic.server.url, cookies=cookies, verify=False, timeout=PATIENCE_SECONDS) as http:
            return http.post("/hold", data={"slot": slot["id"], "seats": "1"}, headers=headers).headers["location"]

    with ThreadPoolExecutor(4) as clicks:
        urls = set(clicks.map(click, range(4)))
    assert len(urls) == 1
    assert bookings_of(clinic, slot["id"]) == [(1, "PENDING")]


def test_confirming_twice_is_confirming_once(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot()
    url = visitor.hold(slot["id"])
    form = visitor.page
    visitor.confirm()
    visitor.page = form
    visitor.confirm(user_name="Somebody Else")
    assert (visitor.heading, visitor.url) == ("You are booked", url)
    assert "Ada Lovelace" in visitor.page.text
    assert bookings_of(clinic, slot["id"]) == [(1, "CONFIRMED")]


def test_holding_another_time_releases_the_first(clinic: Clinic, visitor: Visitor) -> None:
    first, second = clinic.slot(), clinic.slot()
    visitor.hold(first["id"])
    visitor.hold(second["id"])
    assert bookings_of(clinic, first["id"]) == [(1, "CANCELLED")]
    assert clinic.free_seats(first["id"]) == 1


def test_holding_another_time_keeps_a_booking_confirmed_in_another_window(clinic: Clinic, visitor: Visitor) -> None:
    first, second = clinic.slot(), clinic.slot()
    visitor.hold(first["id"])
    stale = dict(visitor.http.cookies)
    visitor.confirm()
    visitor.http.cookies.clear()
    visitor.http.cookies.update(stale)
    visitor.hold(second["id"])
    assert bookings_of(clinic, first["id"]) == [(1, "CONFIRMED")]


def test_releasing_a_hold_frees_the_seat_and_never_cancels_a_confirmed_booking(
    clinic: Clinic, visitor: Visitor
) -> None:
    slot = clinic.slot()
    visitor.hold(slot["id"])
    form = visitor.page
    visitor.confirm()
    visitor.page = form
    visitor.submit("/bookings/[0-9]+/release")
    assert (visitor.heading, bookings_of(clinic, slot["id"])) == ("You are booked", [(1, "CONFIRMED")])
    other = clinic.slot()
    visitor.hold(other["id"])
    visitor.submit("/bookings/[0-9]+/release")
    assert visitor.page.url.path == "/"
    assert "We no longer hold that time for you" in visitor.page.text
    assert clinic.free_seats(other["id"]) == 1


def test_a_released_time_can_be_held_again(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot()
    visitor.hold(slot["id"])
    visitor.submit("/bookings/[0-9]+/release")
    visitor.hold(slot["id"])
    assert bookings_of(clinic, slot["id"])[-1] == (1, "PENDING")


def test_errors_stand_at_their_fields_and_typed_values_stay(clinic: Clinic, visitor: Visitor) -> None:
    visitor.hold(clinic.slot()["id"])
    answer = visitor.confirm(user_name="  ", user_email="<nobody>")
    assert answer.status_code == 400
    assert re.search(r'id="user_name-error">.*?Must not be empty\.', answer.text)
    assert re.search(r'id="user_email-error">.*?Must be a valid e-mail address\.', answer.text)
    assert 'value="&lt;nobody&gt;"' in answer.text
    assert answer.text.count('aria-invalid="true"') == 2


def test_a_taken_time_is_refused_and_the_next_try_is_a_new_attempt(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot()
    other = clinic.hold(slot["id"])
    assert visitor.send("/hold", slot=slot["id"], seats=1).status_code == 409
    assert visitor.heading == "This time is no longer free"
    assert "It is booked or on hold now." in visitor.page.text
    token = {"Booking-Token": other["manageToken"]}
    clinic.http.delete(f"/api/bookings/{other['id']}", headers=token)
    visitor.hold(slot["id"])


def test_no_refusal_says_who_has_the_time(clinic: Clinic, visitor: Visitor) -> None:
    """It may be the visitor's own hold, which this browser no longer knows. And one person needs no "seat"."""
    slot = clinic.slot()
    visitor.hold(slot["id"])
    visitor.http.cookies.clear()
    pages = [visitor.send("/hold", slot=slot["id"], seats=1)]
    visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
    person = {"user_name": "Ada", "user_email": "ada@example.org"}
    pages.append(visitor.open(f"/admin/bookings/new?slot={slot['id']}"))
    pages.append(visitor.send("/admin/bookings/new", slot=slot["id"], seats=1, **person))
    other = clinic.slot()
    pages.append(visitor.send("/hold", slot=other["id"], seats=2))
    assert visitor.heading == "There is room for only 1 person"
    pages.append(visitor.send("/admin/bookings/new", slot=other["id"], seats=2, **person))
    assert [page.status_code for page in pages] == [409, 200, 409, 409, 409]
    for page in pages:
        told = text_of(page)
        assert not re.search("else|You have not|seat", told), told
        assert "on hold now" in told or "room for only 1 person" in told, told
    assert "on hold now" in words_of(SlotFull(0)).advice
    finder = text_of(visitor.open(f"/admin/bookings/new?doctor={slot['doctorId']}"))
    assert "No free times Times may be booked, or on hold at this moment." in finder


def test_a_refusal_for_too_few_seats_says_how_many_are_left(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=2)
    visitor.send("/hold", slot=slot["id"], seats=3)
    assert visitor.heading == "There is room for only 2 people"
    visitor.submit("/hold")
    assert bookings_of(clinic, slot["id"]) == [(2, "PENDING")]


def test_a_closed_time_is_refused_with_its_reason(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot()
    clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    visitor.send("/hold", slot=slot["id"], seats=1)
    assert visitor.heading == "This time is no longer offered"


@pytest.mark.parametrize(
    ("total", "taken_by_others"), [(5, 0), (2, 0), (4, 2)], ids=["room", "own seats", "just enough"]
)
def test_seats_are_changed_while_a_time_is_held(
    clinic: Clinic, visitor: Visitor, total: int, taken_by_others: int
) -> None:
    slot = clinic.slot(seats=total)
    if taken_by_others:
        clinic.hold(slot["id"], seatsBooked=taken_by_others)
    visitor.hold(slot["id"])
    path = visitor.page.url.path
    visitor.submit("/bookings/[0-9]+/confirm", user_name="")
    visitor.send(f"{path}/seats", token=token_of(visitor), seats=2, user_name="Ada Lovelace")
    assert "We are now holding this time for 2 people" in visitor.page.text
    assert 'value="Ada Lovelace"' in visitor.page.text
    visitor.confirm()
    assert visitor.heading == "You are booked"
    assert clinic.free_seats(slot["id"]) == total - taken_by_others - 2


def test_too_many_seats_are_refused_and_the_hold_stays(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=2)
    visitor.hold(slot["id"])
    visitor.confirm(seats=3)
    assert visitor.page.status_code == 409
    assert "There is room for only 2 people." in visitor.page.text
    assert bookings_of(clinic, slot["id"]) == [(1, "PENDING")]


def test_the_confirm_button_also_changes_the_number_of_seats(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=2)
    visitor.hold(slot["id"])
    form = visitor.page
    for _ in range(2):
        visitor.page = form
        visitor.confirm(seats=2)
        assert visitor.heading == "You are booked"
    assert bookings_of(clinic, slot["id"]) == [(1, "CANCELLED"), (2, "CONFIRMED")]


def token_of(visitor: Visitor) -> str:
    found = re.search(r'name="token" value="([^"]+)"', visitor.page.text)
    assert found
    return found[1]


def again(visitor: Visitor, before: dict[str, str], url: str, **fields: object) -> None:
    """Sends the form again with the earlier cookies, as after a lost answer."""
    visitor.http.cookies.clear()
    visitor.http.cookies.update(before)
    visitor.send(url, **fields)


@pytest.mark.parametrize("seats", [2, 5], ids=["beside the first", "with its own"])
def test_changing_seats_again_after_a_lost_answer_makes_one_hold(clinic: Clinic, visitor: Visitor, seats: int) -> None:
    slot = clinic.slot(seats=5)
    url = visitor.hold(slot["id"])
    path, token = urlsplit(url).path, parse_qs(urlsplit(url).query)["token"][0]
    before = dict(visitor.http.cookies)
    for _ in range(2):
        again(visitor, before, f"{path}/seats", token=token, seats=seats)
        assert visitor.heading == "Confirm your appointment"
    assert bookings_of(clinic, slot["id"]) == [(1, "CANCELLED"), (seats, "PENDING")]


def test_choosing_the_held_time_again_continues_the_hold(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=2)
    url = visitor.hold(slot["id"])
    assert visitor.hold(slot["id"]) == url
    visitor.hold(slot["id"], seats=2)
    assert bookings_of(clinic, slot["id"]) == [(1, "CANCELLED"), (2, "PENDING")]


def test_a_booking_keeps_its_owner_when_another_account_changes_its_seats(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=5)
    visitor.send("/register", name="Pat", email=unique_email(), password="a fine secret indeed")
    url = visitor.hold(slot["id"])
    with Visitor(clinic.server) as friend:
        friend.send("/register", name="Fay", email=unique_email(), password="a fine secret indeed")
        friend.open(url)
        friend.confirm(seats=2)
        assert friend.heading == "You are booked"
    [(old,), (new,)] = rows(
        clinic.server.database_url, "SELECT user_id FROM bookings WHERE slot_id = $1 ORDER BY id", slot["id"]
    )
    assert old == new is not None


def test_the_hold_of_a_closed_time_stays_but_its_seats_cannot_change(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=5)
    visitor.hold(slot["id"])
    clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    visitor.confirm(seats=2)
    assert visitor.page.status_code == 409
    assert "The number of people can no longer be changed. We still hold this time for you." in visitor.page.text
    assert 'value="Ada Lovelace"' in visitor.page.text
    visitor.confirm(seats=1)
    assert visitor.heading == "You are booked"


def test_typed_values_are_not_shown_to_the_next_visitor(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=5)
    path = urlsplit(visitor.hold(slot["id"])).path
    visitor.send(f"{path}/seats", token=token_of(visitor), seats=2, user_name="Ada Lovelace")
    assert 'value="Ada Lovelace"' in visitor.page.text
    visitor.submit("/bookings/[0-9]+/release")
    visitor.hold(slot["id"])
    assert "Ada" not in visitor.page.text


def test_cancelling_asks_first(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot()
    url = visitor.hold(slot["id"])
    visitor.confirm()
    visitor.open(url.replace("?", "/cancel?"))
    assert visitor.heading == "Cancel this appointment?"
    assert bookings_of(clinic, slot["id"]) == [(1, "CONFIRMED")]
    visitor.submit("/bookings/[0-9]+/cancel")
    assert visitor.heading == "This appointment is cancelled"
    assert clinic.free_seats(slot["id"]) == 1
    visitor.submit("/hold")
    assert visitor.heading == "Confirm your appointment"


def test_the_link_alone_opens_the_appointment_and_nothing_else_does(
    server: RunningServer, clinic: Clinic, visitor: Visitor
) -> None:
    url = visitor.hold(clinic.slot()["id"])
    visitor.confirm()
    with Visitor(server) as elsewhere:
        elsewhere.open(url)
        assert elsewhere.heading == "You are booked"
        token = parse_qs(urlsplit(url).query)["token"][0]
        for wrong in (urlsplit(url).path, url.replace(token, token[::-1]), "/bookings/999999999?token=x"):
            assert elsewhere.open(wrong).status_code == 404
            assert elsewhere.heading == "We cannot find that appointment"
            assert "Ada" not in elsewhere.page.text


def test_the_link_to_keep_opens_the_appointment(clinic: Clinic, visitor: Visitor) -> None:
    """A visitor with access by account does not get a wrong token from the URL in their link."""
    visitor.send("/register", name="Pat", email=unique_email(), password="a fine secret indeed")
    url = visitor.hold(clinic.slot()["id"])
    visitor.confirm()
    path = urlsplit(url).path
    assert f'value="{clinic.server.url}{url}"' in visitor.open(url).text
    for opened in (path, f"{path}?token=guessed"):
        page = visitor.open(opened).text
        assert (visitor.heading, "Keep this link" in page, "guessed" in page) == ("You are booked", False, False)
        assert f'value="{clinic.server.url}{path}"' in page
        assert "To see or cancel the appointment later, log in" in page


def test_the_link_opens_the_calendar_file(clinic: Clinic, visitor: Visitor) -> None:
    url = visitor.hold(clinic.slot()["id"])
    visitor.confirm()
    file = visitor.open(url.replace("?", "/calendar.ics?"))
    assert file.headers["content-type"] == "text/calendar; method=PUBLISH; charset=utf-8"
    assert "attachment" in file.headers["content-disposition"]
    event = Calendar.from_ical(file.content).events[0]
    assert (event["STATUS"], event["SUMMARY"]) == ("CONFIRMED", "Appointment with Dr. Who")
    assert str(event["URL"]).endswith(url)
    visitor.http.cookies.clear()
    assert visitor.open(urlsplit(url).path + "/calendar.ics").status_code == 404


def test_a_stranger_cannot_change_an_appointment(server: RunningServer, clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot()
    path = urlsplit(visitor.hold(slot["id"])).path
    with Visitor(server) as stranger:
        for action in ("confirm", "seats", "release", "cancel"):
            assert stranger.send(f"{path}/{action}", token="guessed", user_name="X", seats=1).status_code in {403, 404}
    assert bookings_of(clinic, slot["id"]) == [(1, "PENDING")]


def test_the_token_is_in_no_log_and_no_referrer(server: RunningServer, clinic: Clinic, visitor: Visitor) -> None:
    url = visitor.hold(clinic.slot()["id"])
    token = parse_qs(urlsplit(url).query)["token"][0]
    visitor.confirm()
    assert visitor.page.headers["referrer-policy"] == "strict-origin"
    assert visitor.page.headers["cache-control"] == "no-store"
    assert token not in server.log.read_text()
    assert not rows(server.database_url, "SELECT 1 FROM audit_log WHERE details::text LIKE '%' || $1 || '%'", token)


def test_an_expired_hold_keeps_typed_values_and_offers_the_time_again(
    unswept_server: RunningServer,
) -> None:
    with Clinic(unswept_server) as clinic, Visitor(unswept_server) as visitor:
        slot = clinic.slot()
        visitor.open("/")
        before = dict(visitor.http.cookies)
        url = visitor.hold(slot["id"])
        [held] = clinic.http.get(f"/api/bookings/slot/{slot['id']}").json()["items"]
        run_out(clinic.server, held)
        again(visitor, before, "/hold", slot=slot["id"], seats=1)  # click again after a lost answer
        assert visitor.heading == "Confirm your appointment"
        visitor.submit("/bookings/[0-9]+/release")
        visitor.open(url)
        assert visitor.heading == "This time is no longer held for you"
        visitor.submit("/hold")
        form = visitor.page
        [*_, held] = clinic.http.get(f"/api/bookings/slot/{slot['id']}").json()["items"]
        run_out(clinic.server, held)
        visitor.page = form
        late = visitor.confirm()
        assert (late.status_code, visitor.heading) == (410, "This time is no longer held for you")
        assert "It is still free" in late.text
        visitor.submit("/hold")
        assert 'value="Ada Lovelace"' in visitor.page.text
        visitor.submit("/bookings/[0-9]+/release")
        clinic.hold(slot["id"])
        visitor.open(url)
        assert "It is booked or on hold now" in visitor.page.text
        assert bookings_of(clinic, slot["id"])[0] == (1, "FAILED")


# What other sites may not do


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {},
    ],
    ids=["cross-site", "same-site", "another origin", "no origin", "neither"],
)
def test_a_form_from_another_site_changes_nothing(clinic: Clinic, visitor: Visitor, headers: dict[str, str]) -> None:
    slot = clinic.slot()
    answer = visitor.http.post("/hold", data={"slot": slot["id"], "seats": "1"}, headers=headers)
    assert answer.status_code == 403
    assert bookings_of(clinic, slot["id"]) == []


def test_a_form_with_our_own_origin_is_accepted_without_fetch_metadata(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot()
    origin = {"Origin": clinic.server.url}
    visitor.http.post("/hold", data={"slot": slot["id"], "seats": "1"}, headers=origin)
    assert bookings_of(clinic, slot["id"]) == [(1, "PENDING")]


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data; boundary=x"])
def test_only_form_bodies_are_accepted(visitor: Visitor, kind: str) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": kind}
    assert visitor.http.post("/hold", content=b"slot=1&seats=1", headers=headers).status_code == 415


# What can come in a form


@pytest.mark.parametrize("slot", ["", "x", "0", "-1", "1.0", "9" * 30, "\u0661", "1e3", "1\x00"])
def test_a_slot_that_is_not_a_number_is_refused(visitor: Visitor, slot: str) -> None:
    assert visitor.send("/hold", slot=slot, seats=1).status_code == 400


@pytest.mark.parametrize("name", ["\x00", "a\x00b", "\u202eevil", "x" * 201, "\u200b"])
def test_hostile_names_are_refused_at_their_field(clinic: Clinic, visitor: Visitor, name: str) -> None:
    visitor.hold(clinic.slot()["id"])
    answer = visitor.confirm(user_name=name)
    assert answer.status_code == 400
    assert 'id="user_name-error"' in answer.text


def test_a_name_with_markup_is_shown_as_it_was_typed(clinic: Clinic, visitor: Visitor) -> None:
    visitor.hold(clinic.slot()["id"])
    visitor.confirm(user_name="<script>alert(1)</script>")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in visitor.page.text
    assert "<script>alert" not in visitor.page.text


@pytest.mark.parametrize("cookie", ["", "x", "e30", "W10", "eyJib29raW5nX2lkIjoxfQ", "%00", "A" * 5000])
def test_pages_survive_any_cookie(clinic: Clinic, visitor: Visitor, cookie: str) -> None:
    slot = clinic.slot()
    for name in ("session", "hold", "attempt", "draft", "notice"):
        visitor.http.cookies.set(f"slotwise-{name}", cookie, domain="127.0.0.1")
    assert visitor.open("/").status_code == 200
    assert visitor.open("/bookings/1").status_code == 404
    visitor.hold(slot["id"])


def test_a_missing_page_is_html_for_browsers_and_a_problem_for_programs(visitor: Visitor) -> None:
    assert visitor.open("/nothing").status_code == 404
    assert visitor.heading == "This page does not exist"
    assert visitor.http.get("/nothing").headers["content-type"] == "application/problem+json"
    assert visitor.open("/api/nothing").headers["content-type"] == "application/problem+json"
    assert visitor.open("/bookings/x?token=y").status_code == 404
    assert visitor.open(f"/bookings/{2**70}?token=y").status_code == 404
