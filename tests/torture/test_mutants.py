"""Wrong code that the harness must notice. What survives is a fault of the harness."""

import re
from pathlib import Path

import pytest
from torture.mutants import MUTANTS

from tests.torture.command import torture


@pytest.mark.parametrize("mutant", [mutant.name for mutant in MUTANTS])
def test_wrong_code_is_noticed_within_a_minute(mutant: str, tmp_path: Path) -> None:
    ran = torture("mutants", "--only", mutant, "--directory", str(tmp_path), seconds=100)
    assert ran.returncode == 0, f"{mutant} survived\n{ran.stdout}\n{ran.stderr}"
    seconds = re.search(rf"{mutant} .*? (\d+) +caught", ran.stdout)
    assert seconds is not None, ran.stdout
    assert int(seconds[1]) <= 60
