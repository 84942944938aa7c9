"""The short form of `make torture`. A failure prints the seed that repeats its plan."""

import re
import secrets
from pathlib import Path

import pytest
from torture.faults import FAULTS
from torture.history import read_history

from tests.torture.command import torture


@pytest.mark.timeout(300)
def test_a_short_run_is_valid_and_reaches_its_figures(tmp_path: Path) -> None:
    """20,000 acknowledged writes, 20 faults of at least 6 kinds, 500 races; every unknown outcome resolved."""
    seed = str(secrets.randbelow(2**31))
    ran = torture("run", "--short", "--keep", "--seed", seed, "--directory", str(tmp_path))
    assert ran.returncode == 0, f"seed {seed}\n{ran.stdout}\n{ran.stderr}"
    figures = {line.rpartition("  ")[0]: line for line in ran.stdout.splitlines()}
    assert "Verdict: valid" in ran.stdout
    [history] = tmp_path.glob("run-*/history.jsonl")
    attempts = list(read_history(history))
    acknowledged = [one for one in attempts if one.outcome == "ok" and one.name != "read_booking"]
    assert len(acknowledged) >= 20_000
    assert sum(one.purpose == "race" for one in attempts) >= 500 * 16
    assert len({one.epoch for one in attempts}) >= 20, figures
    assert len(re.findall(rf"^ *({'|'.join(fault.kind for fault in FAULTS)}) ", ran.stdout, re.MULTILINE)) >= 6


def test_an_unknown_kind_or_mutant_is_refused_by_name() -> None:
    for arguments in (("run", "--only", "nonsense"), ("mutants", "--only", "nonsense")):
        refused = torture(*arguments)
        assert refused.returncode == 2
        assert "there is no" in refused.stderr
        assert "nonsense" in refused.stderr


def test_the_kinds_of_faults_are_listed() -> None:
    listed = torture("run", "--list").stdout
    assert all(f"{fault.kind}\n    {fault.sentence}" in listed for fault in FAULTS)
