"""`python -m torture`, as `make torture` and `make mutants` run it."""

import subprocess
import sys
from pathlib import Path

import pytest
from harness.watchdog import run
from torture.cli import NOT_TRIED

PROJECT = Path(__file__).parents[2]


def torture(*arguments: str, seconds: float = 1200) -> "subprocess.CompletedProcess[str]":
    return run([sys.executable, "-m", "torture", *arguments], seconds, directory=PROJECT)


# No try begins after ten minutes, and its load gives up after five. On a busy machine, to start a server and to judge
# take as long again.
MOST_SECONDS_OF_A_TRIAL = 40 * 60


def must_be_caught(mutant: str, folder: Path) -> None:
    """A mutant that could not be tried is skipped, with the reason."""
    ran = torture("mutants", "--only", mutant, "--directory", str(folder), seconds=MOST_SECONDS_OF_A_TRIAL - 60)
    print(ran.stdout)  # noqa: T201 - which mutant it was, and how sure the catch
    if ran.returncode == NOT_TRIED:
        pytest.skip(ran.stdout.splitlines()[-1])
    assert ran.returncode == 0, f"{mutant}\n{ran.stdout}\n{ran.stderr}"
    assert f"{mutant}: caught; " in ran.stdout
