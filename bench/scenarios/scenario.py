"""What a scenario is."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bench.findings import Finding
from bench.lab import Lab
from bench.tools import WRK, Tool


class Scenario(NamedTuple):
    """`measure` raises `CheckFailed` when what it measured did not do what it should."""

    name: str
    sentence: str
    measure: Callable[[Lab], Iterable[Finding]]
    needs: tuple[Tool, ...] = (WRK,)
