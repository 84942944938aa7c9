"""Wrong code that the harness must notice. What survives is a fault of the harness.

One mutant has its turn each day; `.ci/run` tries all.
"""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from torture.mutants import of_the_day

from tests.depth import THOROUGH
from tests.torture.command import MOST_SECONDS_OF_A_TRIAL, must_be_caught


@pytest.mark.skipif(THOROUGH, reason="the other files try all mutants")
@pytest.mark.timeout(MOST_SECONDS_OF_A_TRIAL)
def test_the_mutant_of_the_day_is_noticed(tmp_path: Path) -> None:
    must_be_caught(of_the_day(datetime.now(UTC).date()).name, tmp_path)
