"""The torture's browser understands what the pages say when they refuse."""

from collections.abc import Iterator

import pytest
from torture.page_client import offers_in, open_offers_in, refusal_in

from slotwise.domain.errors import SlotwiseError, TooLateToChange
from slotwise.web.booking.visits import VISIT_REFUSALS
from slotwise.web.kit.errors import WORDS
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, rows, run_out
from tests.http.schedule.test_visit_types import new_type
from tests.open_time import MORNING, open_time
from tests.web.visiting import Visitor


@pytest.fixture
def visitor(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        yield visitor


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


@pytest.mark.parametrize(("taken", "seats", "free"), [(2, 1, 0), (1, 2, 1), (0, 3, 2)])
def test_a_refused_hold_says_how_many_seats_are_free(
    clinic: Clinic, visitor: Visitor, desk: Visitor, taken: int, seats: int, free: int
) -> None:
    slot = clinic.slot(seats=2)
    if taken:
        clinic.hold(slot["id"], seatsBooked=taken)
    person = {"user_name": "Grace", "user_email": "g@example.org"}
    visitor.send("/hold", slot=slot["id"], seats=seats)
    desk.send("/admin/bookings/new", slot=slot["id"], seats=seats, **person)
    for page in (visitor.page, desk.page):
        answer = refusal_in(page.text)
        assert (page.status_code, answer.code, answer.available_seats) == (409, "slot-full", free)


def test_a_refused_change_of_seats_says_how_many_seats_are_free(clinic: Clinic, visitor: Visitor) -> None:
    slot = clinic.slot(seats=2)
    visitor.hold(slot["id"])
    visitor.confirm(seats=3)
    answer = refusal_in(visitor.page.text)
    assert (answer.code, answer.available_seats) == ("slot-full", 2)


def test_a_closed_time_is_refused_as_closed(clinic: Clinic, visitor: Visitor, desk: Visitor) -> None:
    slot, held = clinic.slot(), clinic.slot(seats=2)
    visitor.hold(held["id"])
    for closed in (slot, held):
        clinic.http.patch(f"/api/slots/{closed['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    visitor.confirm(seats=2)
    assert refusal_in(visitor.page.text).code == "slot-closed"
    visitor.send("/hold", slot=slot["id"], seats=1)
    assert refusal_in(visitor.page.text).code == "slot-closed"
    desk.send("/admin/bookings/new", slot=slot["id"], seats=1, user_name="Grace", user_email="g@example.org")
    assert refusal_in(desk.page.text).code == "slot-closed"


@pytest.mark.parametrize("refusal", [*VISIT_REFUSALS, TooLateToChange])
def test_every_rule_of_a_visit_type_is_refused_by_its_code(refusal: type[SlotwiseError]) -> None:
    assert refusal_in(f"<h1>{WORDS[refusal].heading}</h1>").code == refusal.code


def test_a_change_of_seats_keeps_the_notice_of_the_visit(clinic: Clinic, visitor: Visitor) -> None:
    """The desk holds a visit that patients cannot book any more, and somebody changes its seats with the link."""
    visit_type = new_type(clinic, minNoticeMinutes=30 * 24 * 60)
    slot = clinic.slot(seats=2)
    offer = {"visitTypeIds": [visit_type["id"]]}
    clinic.http.patch(f"/api/slots/{slot['id']}", json=offer, headers=clinic.admin).raise_for_status()
    booking = clinic.book(slot["id"], clinic.admin, visitTypeId=visit_type["id"]).json()
    visitor.send(f"/bookings/{booking['id']}/seats", seats=2, token=booking["manageToken"])
    assert (visitor.page.status_code, refusal_in(visitor.page.text).code) == (409, "too-late-to-book")


def test_words_that_nobody_knows_are_named() -> None:
    assert refusal_in("<h1 data-x>The moon is full</h1>").heading == "The moon is full"


def test_an_ended_hold_is_refused_as_expired_or_cancelled(clinic: Clinic, visitor: Visitor, desk: Visitor) -> None:
    slot = clinic.slot(seats=2)
    visitor.hold(slot["id"])
    [held] = clinic.http.get(f"/api/bookings/slot/{slot['id']}").json()["items"]
    run_out(clinic.server, held)
    visitor.confirm()
    assert refusal_in(visitor.page.text).code == "hold-expired"
    desk.send(f"/admin/bookings/{held['id']}/confirm", user_name="Grace", user_email="g@example.org")
    assert refusal_in(desk.page.text).code == "hold-expired"
    desk.send(f"/admin/bookings/{held['id']}/cancel", reason="")
    assert refusal_in(desk.page.text).code == "booking-failed"


def test_too_few_seats_for_those_taken_are_refused_with_their_number(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=3)
    clinic.hold(slot["id"], seatsBooked=2)
    desk.send(f"/admin/slots/{slot['id']}", total_seats=1)
    answer = refusal_in(desk.page.text)
    assert (answer.code, answer.seats_taken) == ("seats-taken", 2)


def test_free_seats_are_read_from_the_page_for_finding_a_time(clinic: Clinic, visitor: Visitor) -> None:
    doctor = clinic.doctor()["id"]
    single = clinic.slot(doctorId=doctor, startTime="2033-05-04T09:00:00Z")["id"]
    group = clinic.slot(doctorId=doctor, startTime="2033-05-04T12:00:00Z", seats=5)["id"]
    clinic.hold(group, seatsBooked=2)
    visitor.open(f"/?doctor={doctor}&day=2033-05-04")
    assert offers_in(visitor.page.text) == {single: 1, group: 3}


def test_open_time_is_read_from_the_page_and_refused_by_its_code(
    clinic: Clinic, visitor: Visitor, desk: Visitor, server: RunningServer
) -> None:
    morning = open_time(server.database_url, step=60, doctor_id=clinic.doctor()["id"])
    visitor.open(f"/?doctor={morning.doctor_id}&visit={morning.types[45]}&day={MORNING:%Y-%m-%d}")
    offers = open_offers_in(visitor.page.text)
    assert list(offers.values()) == [MORNING.timestamp() + 3600 * hour for hour in range(3)]
    first, second, _ = offers
    visitor.send("/hold", time=first)
    with Visitor(server) as other:
        told = [_refused_open_time(other, desk, first)]
        rows(server.database_url, "UPDATE windows SET status = 'CLOSED' WHERE id = $1 RETURNING id", morning.window_id)
        told.append(_refused_open_time(other, desk, second))
    assert told == [("slot-full", "slot-full"), ("time-gone", "time-gone")]


def _refused_open_time(visitor: Visitor, desk: Visitor, time: str) -> tuple[str | None, str | None]:
    """What a patient and the desk are told."""
    visitor.send("/hold", time=time)
    desk.send("/admin/bookings/new", time=time, user_name="Grace", user_email="g@example.org")
    return refusal_in(visitor.page.text).code, refusal_in(desk.page.text).code
