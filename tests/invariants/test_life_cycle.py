"""Any sequence of holds, confirms, cancels, expiries and changes, over HTTP, against a model of a dozen lines.

Time passes by moving a hold's deadline into the past, which is all that time does to a hold.
"""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import asyncpg
import httpx
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.clinic import Clinic, RunningServer, holder, in_hours
from tests.depth import many

SEATS = st.integers(1, 4)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_every_history_agrees_with_the_model(server: RunningServer, runner: asyncio.Runner) -> None:
    connection = runner.run(asyncpg.connect(server.database_url))
    with Clinic(server) as clinic:
        run_state_machine_as_test(
            # Called without arguments for each history; its annotation asks for the class itself.
            partial(LifeCycle, clinic, runner, connection),  # type: ignore[arg-type]
            settings=settings(
                max_examples=many(4, 25),
                stateful_step_count=30,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    runner.run(connection.close())


class LifeCycle(RuleBasedStateMachine):
    """`status` and `seats` are the model: what each booking should be, and how many seats it has."""

    bookings = Bundle("bookings")

    def __init__(self, clinic: Clinic, runner: asyncio.Runner, connection: asyncpg.Connection) -> None:
        super().__init__()
        self.clinic, self.runner, self.connection = clinic, runner, connection
        self.total = 6
        self.open = True
        self.slot_id = clinic.slot(seats=self.total)["id"]
        self.status: dict[int, str] = {}
        self.seats: dict[int, int] = {}
        self.keys: dict[str, tuple[int, bytes]] = {}

    @property
    def free(self) -> int:
        return self.total - sum(
            self.seats[n] for n, status in self.status.items() if status in {"PENDING", "CONFIRMED"}
        )

    @rule(target=bookings, seats=SEATS, confirm=st.booleans())
    def hold_seats(self, seats: int, confirm: bool) -> Any:
        answer = self.clinic.book(self.slot_id, seatsBooked=seats, confirm=confirm)
        if not self.open:
            assert (answer.status_code, answer.json()["code"]) == (409, "slot-closed")
        elif seats > self.free:
            assert (answer.status_code, answer.json()["code"]) == (409, "slot-full")
            assert answer.json()["availableSeats"] == self.free
        else:
            assert answer.status_code == 201
            return self._made(answer.json(), seats, "CONFIRMED" if confirm else "PENDING")
        return None

    @rule(number=st.integers(1, 3))
    def hold_with_a_key(self, number: int) -> None:
        key = f"slot-{self.slot_id}-attempt-{number:08}"
        answer = self.clinic.book(self.slot_id, headers={"Idempotency-Key": key})
        if key in self.keys:
            assert (answer.status_code, answer.content) == self.keys[key]
            return
        self.keys[key] = (answer.status_code, answer.content)
        if answer.status_code == 201:
            assert self.open
            self._made(answer.json(), 1, "PENDING")

    @rule(booking=bookings)
    def confirm_booking(self, booking: dict[str, Any] | None) -> None:
        if booking is None:
            return
        answer = self.clinic.http.post(f"/api/bookings/{booking['id']}/confirm", headers=holder(booking))
        expected = {"PENDING": 200, "CONFIRMED": 200, "FAILED": 410, "CANCELLED": 409}[self.status[booking["id"]]]
        assert answer.status_code == expected
        if expected == 200:
            self.status[booking["id"]] = "CONFIRMED"

    @rule(booking=bookings)
    def cancel_booking(self, booking: dict[str, Any] | None) -> None:
        if booking is None:
            return
        answer = self.clinic.http.delete(f"/api/bookings/{booking['id']}", headers=holder(booking))
        expected = 409 if self.status[booking["id"]] == "FAILED" else 200
        assert answer.status_code == expected
        if expected == 200:
            self.status[booking["id"]] = "CANCELLED"

    @rule(booking=bookings)
    def let_time_pass_a_hold_by(self, booking: dict[str, Any] | None) -> None:
        if booking is None or self.status[booking["id"]] != "PENDING":
            return
        self._sql("UPDATE bookings SET expires_at = clock_timestamp() WHERE id = $1", booking["id"])
        self.status[booking["id"]] = "FAILED"

    @rule(total=st.integers(1, 8))
    def resize(self, total: int) -> None:
        answer = self._patch({"totalSeats": total})
        taken = self.total - self.free
        if total < taken:
            assert (answer.status_code, answer.json()["seatsTaken"]) == (409, taken)
        else:
            assert answer.status_code == 200
            self.total = total

    @rule(to_open=st.booleans())
    def close_or_reopen(self, to_open: bool) -> None:
        assert self._patch({"status": "OPEN" if to_open else "CLOSED"}).status_code == 200
        self.open = to_open

    @precondition(lambda self: self.open)
    @rule(hours=st.integers(20, 2000))
    def move(self, hours: int) -> None:
        assert self._patch({"startTime": in_hours(hours)}).status_code == 200

    @invariant()
    def the_slot_shows_the_models_free_seats(self) -> None:
        assert self.clinic.free_seats(self.slot_id) == self.free

    @invariant()
    def counter_and_live_bookings_add_up(self) -> None:
        row = self._sql(
            "SELECT s.total_seats, s.available_seats, coalesce(sum(b.seats_booked), 0) AS live"
            " FROM appointment_slots s"
            " LEFT JOIN bookings b ON b.slot_id = s.id AND b.status IN ('PENDING', 'CONFIRMED')"
            " WHERE s.id = $1 GROUP BY s.id",
            self.slot_id,
        )
        assert 0 <= row["available_seats"] <= row["total_seats"] == row["available_seats"] + row["live"]

    @invariant()
    def every_booking_reads_as_the_model_says(self) -> None:
        page = self.clinic.http.get(f"/api/bookings/slot/{self.slot_id}").json()
        assert {booking["id"]: booking["status"] for booking in page["items"]} == self.status

    @invariant()
    def search_offers_the_slot_exactly_when_it_can_be_booked(self) -> None:
        doctor_id = self.clinic.http.get(f"/api/slots/{self.slot_id}").json()["doctorId"]
        offered = self.clinic.http.get("/api/slots", params={"doctorId": doctor_id}).json()["items"]
        assert bool(offered) == (self.open and self.free > 0)

    def _made(self, booking: dict[str, Any], seats: int, status: str) -> dict[str, Any]:
        self.status[booking["id"]], self.seats[booking["id"]] = status, seats
        return booking

    def _patch(self, change: dict[str, object]) -> httpx.Response:
        return self.clinic.http.patch(f"/api/slots/{self.slot_id}", json=change, headers=self.clinic.admin)

    def _sql(self, command: str, *arguments: object) -> Any:
        return self.runner.run(self.connection.fetchrow(command, *arguments))
