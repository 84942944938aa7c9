"""Open time: windows without end for a load, and the ids of all visits that fit them."""

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.clinic import Clinic
from bench.database import row, rows, statement
from slotwise.domain.offered_times import OfferedTime
from slotwise.domain.time_zones import EDITION

VISIT = timedelta(minutes=10)
VISITS_OF_A_WINDOW = 72
PERIODS = "SELECT v.id, v.start_time FROM windows AS v WHERE v.id BETWEEN $1 AND $2 ORDER BY v.id"


class Opened(NamedTuple):
    """Windows with consecutive ids, and the visit type that they are for."""

    windows: range
    visit_type_id: int


def open_windows(clinic: Clinic, doctors: int, days: int) -> Opened:
    """Windows from tomorrow on, one on each day of each doctor, with room for `VISITS_OF_A_WINDOW`."""
    made = row(clinic.database_url, statement("open_windows"), doctors, days, EDITION)
    return Opened(range(made["first"], made["last"] + 1), made["visit_type_id"])


def write_time_ids(clinic: Clinic, opened: Opened, folder: Path) -> Path:
    """A file with an id for each visit, in any order: what clients have read from `GET /api/times`."""
    time_ids = [clinic.time_ids.id_of(offered) for offered in _offered(clinic, opened)]
    Random(0).shuffle(time_ids)
    file = folder / f"time-ids-{secrets.token_hex(4)}"
    file.write_text("\n".join(time_ids))
    return file


def _offered(clinic: Clinic, opened: Opened) -> Iterator[OfferedTime]:
    now = datetime.now(UTC)
    for window in rows(clinic.database_url, PERIODS, opened.windows[0], opened.windows[-1]):
        for number in range(VISITS_OF_A_WINDOW):
            start = window["start_time"] + number * VISIT
            yield OfferedTime(window["id"], None, start, start + VISIT, opened.visit_type_id, now)
