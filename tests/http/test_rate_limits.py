"""How often one client address may book."""

from collections.abc import Callable

from tests.clinic import Clinic, RunningServer, problem


def test_a_client_that_books_too_often_is_told_when_to_come_back(start_server: Callable[..., RunningServer]) -> None:
    with Clinic(start_server(RATE_LIMIT_BOOKINGS="3/minute")) as clinic:
        slot = clinic.slot(seats=9)
        assert [clinic.book(slot["id"]).status_code for _ in range(3)] == [201] * 3
        refused = clinic.book(slot["id"])
        problem(refused, 429, "too-many-requests")
        assert 0 < int(refused.headers["retry-after"]) <= 60
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP"):
            problem(clinic.book(slot["id"], {name: "203.0.113.7"}), 429)
        problem(clinic.book(slot["id"], clinic.patient()), 429)
        assert clinic.free_seats(slot["id"]) == 6
        assert clinic.http.get("/api/slots").status_code == 200, "reading is not booking"


def test_in_development_bookings_are_not_limited(clinic: Clinic) -> None:
    slot = clinic.slot(seats=100)
    assert {clinic.book(slot["id"]).status_code for _ in range(70)} == {201}
