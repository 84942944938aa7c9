"""A scenario's own clinic: an empty database, its servers, and checks that no booking was lost or invented."""

import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import httpx

from bench.acknowledgements import require_rows
from bench.database import number, row, statement
from bench.installation import ADMIN_EMAIL, ADMIN_PASSWORD, Installation
from bench.processes import ToolFailed, output_of
from bench.readings import CheckFailed
from bench.server import SLOTWISE, Server, baseline_server, slotwise_server
from slotwise.services.core.time_ids import TimeIds

MOST_SEATS = 1_000_000
SLOTS_PER_STATEMENT = 100_000
SLOTS_PER_DOCTOR = 1_000
# Even with only a thousand slots, each doctor, speciality and day then has a full page.
FEWEST_DOCTORS = 10
IDLE_SECONDS = 60


class Clinic:
    """`server` has the run's settings; `serve` starts others on the same database."""

    def __init__(self, installation: Installation, database_url: str) -> None:
        self.database_url = database_url
        self._installation = installation
        self._settings = {**installation.settings, "DATABASE_URL": database_url}

    @property
    def folder(self) -> Path:
        return self._installation.folder

    @property
    def time_ids(self) -> TimeIds:
        """Makes the same ids as the servers, which have the same secret."""
        return TimeIds(self._settings["JWT_SECRET"])

    def serve(self, **settings: str) -> AbstractContextManager[Server]:
        """Another server; the arguments are environment variables."""
        return slotwise_server(self._settings | settings, self._installation.folder)

    def serve_baseline(self, app: str, **settings: str) -> AbstractContextManager[Server]:
        return baseline_server(app, self._settings | settings, self._installation.folder)

    def open_slots(self, count: int = 1, seats: int = MOST_SEATS) -> range:
        """Open slots in the future; returns their ids."""
        ids = [self._open_some(min(SLOTS_PER_STATEMENT, count - done), seats) for done in _steps(count)]
        return range(ids[0].start, ids[-1].stop)

    def _open_some(self, count: int, seats: int) -> range:
        doctors = min(count, max(FEWEST_DOCTORS, -(-count // SLOTS_PER_DOCTOR)))
        made = row(self.database_url, statement("open_slots"), doctors, count, seats)
        return range(made["first"], made["last"] + 1)

    def newest_booking(self) -> int:
        """The id of the newest booking; 0 if there is none."""
        return number(self.database_url, "SELECT coalesce(max(id), 0) FROM bookings")

    def require_bookings(self, slots: range, since: int, acknowledged: int, unheard: int) -> None:
        """Raise `CheckFailed` unless the slots have a row for each acknowledgement since that booking."""
        query = "SELECT count(*) FROM bookings WHERE id > $1 AND slot_id BETWEEN $2 AND $3"
        require_rows(partial(number, self.database_url, query, since, slots[0], slots[-1]), acknowledged, unheard)

    def await_idle(self) -> None:
        """Return when the database runs no statement. Raises `CheckFailed` if statements do not end."""
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        deadline = time.monotonic() + IDLE_SECONDS
        while number(self.database_url, query) > 1:
            if time.monotonic() > deadline:
                raise CheckFailed(f"statements still ran {IDLE_SECONDS} s after the load had ended")
            time.sleep(0.05)

    def require_invariants(self) -> None:
        """Raise `CheckFailed` with the violations that `slotwise check-invariants` finds, if any."""
        environment = {"PATH": os.environ["PATH"], **self._settings}
        try:
            output_of([SLOTWISE, "check-invariants"], environment, self._installation.folder)
        except ToolFailed as error:
            raise CheckFailed(str(error)) from error

    def log_in(self, server: Server, email: str = ADMIN_EMAIL, password: str = ADMIN_PASSWORD) -> str:
        """An access token."""
        body = {"email": email, "password": password}
        answer = httpx.post(f"{server.url}/api/auth/login", json=body, verify=False)
        return str(answer.raise_for_status().json()["accessToken"])


def _steps(count: int) -> range:
    return range(0, count, SLOTS_PER_STATEMENT)


@contextmanager
def new_clinic(installation: Installation) -> Iterator[Clinic]:
    """A clinic. Its invariants are checked at the end of the block, unless the block failed."""
    with installation.new_database() as url:
        clinic = Clinic(installation, url)
        yield clinic
        clinic.require_invariants()
