"""A choice is taken only if the filters that were on screen include it."""

from datetime import datetime, timedelta

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, in_hours
from tests.web.visiting import Visitor


def test_a_time_that_the_filters_on_screen_exclude_is_not_held(clinic: Clinic, server: RunningServer) -> None:
    doctor, other = clinic.doctor(specialization="Cardiology"), clinic.doctor(specialization="Dermatology")
    slot = clinic.slot(doctorId=doctor["id"], startTime=in_hours(200), seats=3)
    another_day = (datetime.fromisoformat(slot["startTime"]) + timedelta(days=3)).date()
    for changed in ({"speciality": "Dermatology"}, {"doctor": other["id"]}, {"day": another_day}):
        with Visitor(server) as visitor:
            fields = {"speciality": "", "doctor": "", "day": "", "seats": "", **changed}
            visitor.send("/hold", slot=slot["id"], **fields)
            assert visitor.heading == "Find a time", changed
            assert "so we did not take it" in visitor.page.text
            assert clinic.free_seats(slot["id"]) == 3


@pytest.mark.parametrize(("seats", "free"), [("", 2), ("2", 1)])
def test_a_time_that_they_include_is_held_for_as_many_people(
    clinic: Clinic, server: RunningServer, seats: str, free: int
) -> None:
    doctor = clinic.doctor(specialization="Cardiology")
    slot = clinic.slot(doctorId=doctor["id"], seats=3)
    with Visitor(server) as visitor:
        visitor.send("/hold", slot=slot["id"], speciality="cardiology", doctor=doctor["id"], day="", seats=seats)
        assert visitor.heading == "Confirm your appointment"
    assert clinic.free_seats(slot["id"]) == free


def test_the_desk_is_not_led_to_a_time_that_the_filters_on_screen_exclude(
    clinic: Clinic, server: RunningServer
) -> None:
    doctor, other = clinic.doctor(specialization="Cardiology"), clinic.doctor(specialization="Dermatology")
    slot = clinic.slot(doctorId=doctor["id"], startTime=in_hours(200))
    day = datetime.fromisoformat(slot["startTime"]).date()
    with Visitor(server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        for name, value, excluded in (
            ("speciality", "Dermatology", True),
            ("doctor", other["id"], True),
            ("day", day + timedelta(days=3), True),
            ("day", day - timedelta(days=3), False),
            ("speciality", "CARDIOLOGY", False),
        ):
            visitor.open(f"/admin/bookings/new?seats=1&{name}={value}&slot={slot['id']}")
            assert ("so we did not take it" in visitor.page.text, 'name="user_email"' in visitor.page.text) == (
                excluded,
                not excluded,
            ), name


def test_the_page_of_a_released_hold_leads_to_the_chosen_one(clinic: Clinic, server: RunningServer) -> None:
    first, second = clinic.slot(), clinic.slot()
    with Visitor(server) as visitor:
        page = visitor.hold(first["id"])
        other = visitor.hold(second["id"])
        visitor.open(page)
        assert visitor.heading == "This time is no longer held for you"
        assert "because you chose another time" in visitor.page.text
        assert f'href="{other}"' in visitor.page.text
        assert "cancelled" not in visitor.page.text
