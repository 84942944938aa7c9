"""Wrong code that the harness must notice. What survives is a fault of the harness.

Two mutants have their turn each day; `.ci/run` tries all. One that could not be tried is skipped, with the reason.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from torture.cli import NOT_TRIED
from torture.mutants import MUTANTS, of_the_day

from tests.torture.command import torture

# A try gives up after five minutes, and there are three.
MOST_SECONDS = 20 * 60


@pytest.mark.timeout(MOST_SECONDS)
@pytest.mark.parametrize("place", [0, 1])
def test_the_mutants_of_the_day_are_noticed(place: int, tmp_path: Path) -> None:
    _must_be_caught(of_the_day(datetime.now(UTC).date())[place].name, tmp_path)


@pytest.mark.slow(reason="fourteen servers, each under load for half a minute")
@pytest.mark.timeout(MOST_SECONDS)
@pytest.mark.parametrize("mutant", [mutant.name for mutant in MUTANTS])
def test_every_mutant_is_noticed(mutant: str, tmp_path: Path) -> None:
    _must_be_caught(mutant, tmp_path)


def _must_be_caught(mutant: str, folder: Path) -> None:
    ran = torture("mutants", "--only", mutant, "--directory", str(folder), seconds=MOST_SECONDS)
    print(ran.stdout)  # noqa: T201 - which mutant it was, and how sure the catch
    if ran.returncode == NOT_TRIED:
        pytest.skip(ran.stdout.splitlines()[-1])
    assert ran.returncode == 0, f"{mutant}\n{ran.stdout}\n{ran.stderr}"
    assert f"{mutant}: caught; " in ran.stdout
