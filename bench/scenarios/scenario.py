"""A scenario: its name, its sentence and its measurement."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from bench.findings import Finding
from bench.lab import Lab
from bench.tools import WRK, Tool


class Scenario(NamedTuple):
    """`measure` raises `CheckFailed` if the server did not do what it should. `on_request` ones run only if named."""

    name: str
    sentence: str
    measure: Callable[[Lab], Iterable[Finding]]
    needs: tuple[Tool, ...] = (WRK,)
    on_request: bool = False
