"""Mutants that carve visits where there is no room. A separate file, because test processes share work by files."""

from pathlib import Path

import pytest
from torture.mutants import OF_OPEN_TIME

from tests.torture.command import MOST_SECONDS_OF_A_TRIAL, must_be_caught


@pytest.mark.slow(reason="each is a server of its own under load, for half a minute or more")
@pytest.mark.timeout(MOST_SECONDS_OF_A_TRIAL)
@pytest.mark.parametrize("mutant", [mutant.name for mutant in OF_OPEN_TIME])
def test_wrong_code_is_noticed(mutant: str, tmp_path: Path) -> None:
    must_be_caught(mutant, tmp_path)
