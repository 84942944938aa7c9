"""Visit types on patients' pages: choose one, and see what belongs to the visit once it is booked."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clinic import Clinic, RunningServer, in_hours
from tests.http.booking.test_visit_types import DAY, typed_slot
from tests.http.schedule.test_visit_types import TYPES, new_type
from tests.web.people import text_of
from tests.web.visiting import Visitor

LINK = "https://video.example.org/room-1"


@pytest.fixture
def visitor(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        yield visitor


def booked_by_page(visitor: Visitor, slot: dict[str, Any]) -> str:
    """Holds and confirms a time; returns the URL of the appointment."""
    visitor.hold(slot["id"])
    visitor.confirm()
    assert visitor.heading == "You are booked", visitor.page.text
    return visitor.url


def test_a_time_with_several_types_asks_which_and_one_with_one_type_does_not(clinic: Clinic, visitor: Visitor) -> None:
    first, second = new_type(clinic, name="Vaccination"), new_type(clinic, name="Long talk")
    late = new_type(clinic, name="Needs a month", minNoticeMinutes=30 * DAY)
    visitor.send("/hold", slot=typed_slot(clinic, first)["id"])
    assert visitor.heading == "Confirm your appointment"
    assert "Vaccination" in text_of(visitor.page)
    slot = typed_slot(clinic, first, second, late)
    visitor.send("/hold", slot=slot["id"])
    assert visitor.heading == "What is your visit for?"
    assert "Needs a month" not in visitor.page.text
    visitor.send("/hold", slot=slot["id"], visit_type=second["id"])
    assert visitor.heading == "Confirm your appointment"
    assert "Long talk" in text_of(visitor.page)


def test_instructions_and_link_are_shown_once_booked_and_to_nobody_else(clinic: Clinic, visitor: Visitor) -> None:
    kind = new_type(clinic, mode="VIDEO", videoLink=LINK, instructions="Have your card ready.\nSit in a quiet room.")
    slot = typed_slot(clinic, kind)
    held = visitor.hold(slot["id"])
    assert LINK not in visitor.page.text
    visitor.confirm()
    assert LINK in visitor.page.text
    assert "Have your card ready." in text_of(visitor.page)
    calendar = visitor.http.get(visitor.url.replace("?", "/calendar.ics?")).text.replace("\r\n ", "")
    assert LINK in calendar
    assert "Sit in a quiet room." in calendar
    for url in ("/", f"/?doctor={slot['doctorId']}", held.partition("?")[0], f"/api/slots/{slot['id']}"):
        assert LINK not in clinic.http.get(url).text


def test_after_the_deadline_the_page_leads_to_the_clinic_and_the_form_is_refused(
    clinic: Clinic, visitor: Visitor
) -> None:
    url = booked_by_page(visitor, typed_slot(clinic, new_type(clinic, changeDeadlineMinutes=20 * DAY)))
    assert "too late to cancel" in text_of(visitor.page)
    assert "/cancel" not in visitor.page.text.partition("<main")[2]
    path, _, token = url.partition("?token=")
    refused = visitor.send(f"{path}/cancel", token=token)
    assert refused.status_code == 409
    assert visitor.heading == "It is too late to cancel this appointment here"
    assert clinic.http.get(f"/api{path}").json()["status"] == "CONFIRMED"


def test_the_search_by_kind_of_visit_finds_only_its_times(clinic: Clinic, visitor: Visitor) -> None:
    kind, other, doctor = new_type(clinic, name="Eye test"), new_type(clinic), clinic.doctor()
    wanted = typed_slot(clinic, kind, hours=240, doctorId=doctor["id"])
    unwanted = typed_slot(clinic, other, hours=241, doctorId=doctor["id"])
    page = visitor.open(f"/?visit={kind['id']}&doctor={doctor['id']}").text
    assert f'value="{kind["id"]}" selected' in page
    assert f'id="time-{wanted["id"]}"' in page
    assert f'id="time-{unwanted["id"]}"' not in page
    visitor.send("/hold", slot=wanted["id"], visit=kind["id"], doctor=doctor["id"])
    assert visitor.heading == "Confirm your appointment"
    clinic.http.patch(f"{TYPES}/{kind['id']}", json={"active": False}, headers=clinic.admin)
    page = visitor.open(f"/?visit={kind['id']}&doctor={doctor['id']}").text
    assert "We do not offer that kind of visit now" in page


def test_a_guest_with_too_many_visits_reads_so_when_confirming_and_keeps_the_hold(
    clinic: Clinic, server: RunningServer
) -> None:
    kind = new_type(clinic, maxLivePerPatient=1)
    first, second = typed_slot(clinic, kind), typed_slot(clinic, kind)
    email = f"{kind['id']}.{in_hours(0)[:10]}@example.org"
    for slot, heading in ((first, "You are booked"), (second, "Confirm your appointment")):
        with Visitor(server) as visitor:
            visitor.hold(slot["id"])
            visitor.confirm(user_email=email)
            assert visitor.heading == heading, visitor.page.text
    assert "You already have an appointment of this kind" in visitor.page.text
