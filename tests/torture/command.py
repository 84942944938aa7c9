"""`python -m torture`, as `make torture` and `make mutants` run it."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def torture(*arguments: str, seconds: float = 240) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "torture", *arguments],
        cwd=PROJECT, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip
