"""Wrong code that the harness must notice. What survives is a fault of the harness.

Two mutants have their turn each day; `.ci/run` tries all.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from torture.mutants import of_the_day

from tests.torture.command import MOST_SECONDS_OF_A_TRIAL, must_be_caught


@pytest.mark.timeout(MOST_SECONDS_OF_A_TRIAL)
@pytest.mark.parametrize("place", [0, 1])
def test_the_mutants_of_the_day_are_noticed(place: int, tmp_path: Path) -> None:
    must_be_caught(of_the_day(datetime.now(UTC).date())[place].name, tmp_path)
