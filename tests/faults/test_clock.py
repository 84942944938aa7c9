"""The application's clock jumps, as after a time server's correction or a resumed machine; the database's does not."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.clinic import (
    ADMIN_EMAIL,
    ADMIN_PASSWORD,
    PATIENCE_SECONDS,
    Clinic,
    RunningServer,
    eventually,
    holder,
    in_hours,
    problem,
    rows,
    run_out,
)

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
HOLD_SECONDS = 120
JUMP_SECONDS = 288


class Clock:
    """The server's clock: the true time plus an offset in seconds."""

    def __init__(self, file: Path, clinic: Clinic) -> None:
        self._file = file
        self._clinic = clinic

    def jump_to(self, seconds: int) -> None:
        """Change the offset. Returns when the server's answers show the new time."""
        self._file.write_text(f"{seconds:+d}s")
        deadline = time.monotonic() + PATIENCE_SECONDS
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


@pytest.mark.slow  # a server of its own under a false clock
def test_holds_starts_and_log_ins_do_not_depend_on_the_applications_clock(jumping: tuple[Clinic, Clock]) -> None:
    clinic, clock = jumping
    slot_id, idle_doctor_id = clinic.slot(seats=100)["id"], clinic.doctor()["id"]
    for seconds in (JUMP_SECONDS, -JUMP_SECONDS):
        held_before, overdue = clinic.hold(slot_id), clinic.hold(slot_id)
        clock.jump_to(seconds)
        asked = datetime.now(UTC)
        held = clinic.hold(slot_id)
        lasts = (datetime.fromisoformat(held["expiresAt"]) - asked).total_seconds()
        assert HOLD_SECONDS <= lasts <= HOLD_SECONDS + (datetime.now(UTC) - asked).total_seconds()
        # A sweeper that went by the application's clock would sweep them together with the one that is overdue.
        run_out(clinic.server, overdue)
        eventually(partial(is_swept, clinic, overdue))
        for booking in (held_before, held):
            confirmed = clinic.http.post(f"/api/bookings/{booking['id']}/confirm", headers=holder(booking))
            assert confirmed.status_code == 200, confirmed.text
        clinic.log_in(ADMIN_EMAIL, ADMIN_PASSWORD)
        # Slots that have begun by one of the clocks only.
        body = {"doctorId": idle_doctor_id, "startTime": in_hours(seconds / 2 / 3600), "durationMinutes": 5}
        created = clinic.http.post("/api/slots", json=body, headers=clinic.admin)
        if seconds > 0:
            assert created.status_code == 201, created.text
        else:
            problem(created, 400, field="startTime")
        late = clinic.http.post(f"/api/bookings/{overdue['id']}/confirm", headers=holder(overdue))
        problem(late, 410, "hold-expired")


def is_swept(clinic: Clinic, booking: dict[str, Any]) -> bool:
    """Whether the table has it as FAILED: answers call a hold FAILED as soon as it is overdue."""
    query = "SELECT status = 'FAILED' FROM bookings WHERE id = $1"
    return bool(rows(clinic.server.database_url, query, booking["id"])[0][0])
