"""Bookings over HTTP: hold, confirm, cancel, read."""

import time

import pytest

from tests.clinic import Clinic, holder


def test_a_hold_is_pending_and_takes_its_seats(clinic: Clinic) -> None:
    slot = clinic.slot(seats=3)
    booking = clinic.hold(slot["id"], seatsBooked=2)
    assert booking["status"] == "PENDING"
    assert booking["expiresAt"] is not None
    assert clinic.free_seats(slot["id"]) == 1
