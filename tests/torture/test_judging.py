"""A run is judged whatever happened to its database: everything that is missing is a violation that says so."""

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
import pytest_asyncio
from torture.bed import Bed
from torture.history import History
from torture.judging import SHOWN, Findings, Judge
from torture.plan import Plan
from torture.run import Run
from torture.violation import Violation

SMALL = Plan(
    5, acknowledged=60, faults=0, races=1, patients=8, racers=1, receptionists=1, readers=1, slots=3, quiet_seconds=0.1
)


class Loss(NamedTuple):
    """A statement that makes something missing, the statement that restores it, and the expected violation."""

    of: str
    how: str
    undo: str
    told: str


def _gone(table: str, told: str) -> Loss:
    return Loss(f"{table} is gone", f"ALTER TABLE {table} RENAME TO lost", f"ALTER TABLE lost RENAME TO {table}", told)


def _left(table: str, rows: str, told: str) -> Loss:
    """Keep only these rows of a table."""
    return Loss(
        f"of {table} only: {rows}",
        f"ALTER TABLE {table} RENAME TO lost; CREATE TABLE {table} AS SELECT * FROM lost WHERE {rows}",
        f"DROP TABLE {table}; ALTER TABLE lost RENAME TO {table}",
        told,
    )


LOSSES = (
    _left("bookings", "FALSE", "is missing"),
    _left("bookings", "id <> (SELECT min(id) FROM lost)", "is missing"),
    _gone("bookings", "after healing, the bookings cannot be read"),
    _left("booking_events", "FALSE", "the slot has no ledger"),
    _gone("booking_events", "after healing, the ledger cannot be read"),
    _left("appointment_slots", "id > 1", "the slot is missing"),
    _left("appointment_slots", "FALSE", "the slot is missing"),
    _gone("appointment_slots", "after healing, the slots cannot be read"),
    _gone("bookings_now", "after healing, every booking by the API cannot be read"),
    _gone("slots_now", "by the API cannot be read"),
    _gone("users", "after healing, every booking by the API cannot be read"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def played(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Bed, History]]:
    """A small run that was valid, on an installation that still runs."""
    bed = Bed(tmp_path_factory.mktemp("bed"), {})
    try:
        await bed.start()
        run = Run(bed, SMALL, [], lambda _: None, thorough=False)
        result = await run()
        assert result.verdict == "valid", list(result.violations)
        yield bed, run.history
    finally:
        await bed.stop()


@pytest.mark.slow(reason="each loss is judged by reading everything again: 20 s on a quiet machine")
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("loss", LOSSES, ids=[loss.of for loss in LOSSES])
async def test_a_loss_is_judged_as_a_violation(loss: Loss, played: tuple[Bed, History]) -> None:
    bed, history = played
    async with bed.look() as connection:
        await connection.execute(loss.how)
        try:
            found = await _judged(bed, history)
        finally:
            await connection.execute(loss.undo)
    assert [violation for violation in found.kept if loss.told in violation.sentence], [*found.some(3)]


@pytest.mark.slow(reason="it needs the installation of the test above")
@pytest.mark.asyncio(loop_scope="module")
async def test_a_complete_installation_is_judged_valid(played: tuple[Bed, History]) -> None:
    found = await _judged(*played)
    assert [*found.some(3)] == []


async def _judged(bed: Bed, history: History) -> Findings:
    findings = Findings()
    await Judge(bed, history, findings, settle=0.0, pause=0.01)(thorough=False)
    return findings


def test_a_thousand_findings_of_one_kind_are_counted_and_some_kept() -> None:
    findings = Findings()
    findings.add(Violation("S3", 7, f"booking {number} is missing") for number in range(1_000))
    findings.add([Violation("S3", 8, "booking 1001 is missing")])
    assert (findings.count("S3"), findings.total, findings.rules) == (1_001, 1_001, ["S3"])
    assert len(findings.kept) == SHOWN + 1
