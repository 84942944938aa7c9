"""The clock of the application jumps, as by a time server or a resumed machine; the database's does not."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, holder, in_hours, past, problem

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOLD_SECONDS = 3
JUMP_SECONDS = 288


class Clock:
    """What the server takes the time to be: the true one, and so many seconds."""

    def __init__(self, file: Path, clinic: Clinic) -> None:
        self._file = file
        self._clinic = clinic

    def jump_to(self, seconds: int) -> None:
        """Returns when the server's own answers show that it believes it."""
        self._file.write_text(f"{seconds:+d}s")
        deadline = time.monotonic() + 5
        while abs(self._ahead() - seconds) > 3:
            assert time.monotonic() < deadline, "the clock did not jump: this test would show nothing"
            time.sleep(0.05)

    def _ahead(self) -> float:
        shown = parsedate_to_datetime(self._clinic.http.get("/health").headers["Date"])
        return (shown - datetime.now(UTC)).total_seconds()


@pytest.fixture
def jumping(start_server: Callable[..., RunningServer], tmp_path: Path) -> Iterator[tuple[Clinic, Clock]]:
    if not LIBRARIES:
        pytest.skip("NOT TESTED: a clock that jumps. It takes libfaketime, in Debian the package faketime")
    file = tmp_path / "clock"
    file.write_text("+0s")
    server = start_server(
        HOLD_SECONDS=str(HOLD_SECONDS),
        RATE_LIMIT_BOOKINGS="1000/minute",
        LD_PRELOAD=str(LIBRARIES[0]),
        FAKETIME_TIMESTAMP_FILE=str(file),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    with Clinic(server) as clinic:
        yield clinic, Clock(file, clinic)


def test_holds_starts_and_log_ins_do_not_mind_the_clock_of_the_application(jumping: tuple[Clinic, Clock]) -> None:
    clinic, clock = jumping
    slot_id, idle_doctor_id = clinic.slot(seats=100)["id"], clinic.doctor()["id"]
    for seconds in (JUMP_SECONDS, -JUMP_SECONDS):
        held_before, overdue = clinic.hold(slot_id), clinic.hold(slot_id)
        clock.jump_to(seconds)
        held = clinic.hold(slot_id)
        assert seconds_left(held) == pytest.approx(HOLD_SECONDS, abs=1)
        time.sleep(1.2)  # for a sweeper that went by the application's clock to sweep them
        for booking in (held_before, held):
            confirmed = clinic.http.post(f"/api/bookings/{booking['id']}/confirm", headers=holder(booking))
            assert confirmed.status_code == 200, confirmed.text
        clinic.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        # Already begun by the one clock and not by the other, or the other way round.
        body = {"doctorId": idle_doctor_id, "startTime": in_hours(seconds / 2 / 3600), "durationMinutes": 5}
        created = clinic.http.post("/api/slots", json=body, headers=clinic.admin)
        if seconds > 0:
            assert created.status_code == 201, created.text
        else:
            problem(created, 400, field="startTime")
        past(overdue["expiresAt"])
        late = clinic.http.post(f"/api/bookings/{overdue['id']}/confirm", headers=holder(overdue))
        problem(late, 410, "hold-expired")


def seconds_left(booking: dict[str, Any]) -> float:
    return (datetime.fromisoformat(booking["expiresAt"]) - datetime.now(UTC)).total_seconds()
