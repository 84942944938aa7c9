"""A figure that does not hold is refused: wrong counts, broken invariants, pages with other items."""

from pathlib import Path

import pytest
from bench.baseline import Baseline, new_baseline
from bench.clinic import Clinic
from bench.database import execute, row
from bench.history import Fate, fill, fill_slot
from bench.installation import SETTINGS, Installation
from bench.load import pgbench
from bench.readings import CheckFailed, Reading
from bench.scenarios.finding import require_times


@pytest.fixture
def clinic(database_url: str, tmp_path: Path) -> Clinic:
    settings = SETTINGS | {"SLOTWISE_DATA_DIR": str(tmp_path / "data"), "WORKERS": "1"}
    return Clinic(Installation(database_url, tmp_path, settings), database_url)


def quietly(*_: object) -> None:
    """Progress is not reported."""


def test_fewer_rows_than_acknowledgements_are_refused(clinic: Clinic) -> None:
    slots = clinic.open_slots(3)
    fill(clinic, slots, 10, "CONFIRMED", quietly)
    clinic.require_bookings(slots, since=0, acknowledged=30, unheard=0)
    with pytest.raises(CheckFailed, match="31 bookings were acknowledged and 30 rows"):
        clinic.require_bookings(slots, since=0, acknowledged=31, unheard=64)


def test_more_rows_are_believed_only_up_to_the_connections_that_were_cut(clinic: Clinic) -> None:
    slots = clinic.open_slots(3)
    fill(clinic, slots, 10, "CONFIRMED", quietly)
    clinic.require_bookings(slots, since=0, acknowledged=26, unheard=4)
    with pytest.raises(CheckFailed, match="unheard"):
        clinic.require_bookings(slots, since=0, acknowledged=25, unheard=4)


def test_bookings_before_the_measurement_and_of_other_slots_do_not_count(clinic: Clinic) -> None:
    slots, others = clinic.open_slots(2), clinic.open_slots(2)
    fill(clinic, slots, 5, "CONFIRMED", quietly)
    newest = clinic.newest_booking()
    fill(clinic, others, 5, "CONFIRMED", quietly)
    clinic.require_bookings(slots, since=newest, acknowledged=0, unheard=0)
    clinic.require_bookings(others, since=newest, acknowledged=10, unheard=0)


@pytest.mark.slow  # three CPU seconds for commands or a server of its own
def test_history_is_what_the_server_could_have_written(clinic: Clinic) -> None:
    """Every fate in two parts, of which the second continues the ledger; a missing seat is noticed all the same."""
    fates: tuple[Fate, ...] = ("CONFIRMED", "CANCELLED", "FAILED")
    for fate in fates:
        slots = clinic.open_slots(3, seats=100)
        fill(clinic, slots, 20, fate, quietly)
        fill(clinic, slots, 10, fate, quietly)
    clinic.require_invariants()
    execute(clinic.database_url, f"UPDATE appointment_slots SET total_seats = 101 WHERE id = {slots[0]}")
    with pytest.raises(CheckFailed, match="FAIL"):
        clinic.require_invariants()


def test_a_long_history_leaves_half_of_the_seats(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.history.LIVE_AT_MOST", 30)
    slot = fill_slot(clinic, 50, quietly)
    found = row(
        clinic.database_url,
        "SELECT count(*) AS bookings, count(*) FILTER (WHERE status = 'CONFIRMED') AS live FROM bookings"
        " WHERE slot_id = $1",
        slot[0],
    )
    assert (found["bookings"], found["live"]) == (50, 30)


def test_pgbench_that_counts_other_than_the_rows_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    baseline: Baseline = new_baseline(database_url)
    monkeypatch.setattr(pgbench, "run", lambda *_: (Reading(1000, 1, 1), 1000))
    with pytest.raises(CheckFailed, match="committed 1,000 bookings, but 0 rows"):
        baseline.book(slots=1, clients=1, seconds=1)


@pytest.mark.slow  # three CPU seconds for commands or a server of its own
def test_pgbench_books_as_many_rows_as_it_says(database_url: str) -> None:
    baseline = new_baseline(database_url)
    reading = baseline.book(slots=1000, clients=2, seconds=1)
    assert baseline.rows() > 0
    assert reading.rate > 0
    assert reading.p50 <= reading.p99


@pytest.mark.slow  # three CPU seconds for commands or a server of its own
def test_a_page_with_other_times_than_the_first_is_refused(clinic: Clinic) -> None:
    slots = clinic.open_slots(100)
    with clinic.serve(CLINIC_TIME_ZONE="UTC") as server:
        require_times(clinic, server)
        execute(clinic.database_url, f"UPDATE appointment_slots SET status = 'CLOSED' WHERE id = {slots[0]}")
        with pytest.raises(CheckFailed, match="36 times"):
            require_times(clinic, server)
