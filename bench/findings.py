"""Figures of the report: name, unit, values, and whether the target is met."""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from bench.readings import Series

DIGITS = {"/s": 0, "ms": 2, "x": 2, "MB": 0, "bytes": 0, "s": 1, "": 0}


class Bound(StrEnum):
    AT_LEAST = "at least"
    AT_MOST = "at most"


class Target(NamedTuple):
    bound: Bound
    value: float

    def met_by(self, value: float) -> bool:
        return value >= self.value if self.bound is Bound.AT_LEAST else value <= self.value


def at_least(value: float) -> Target:
    return Target(Bound.AT_LEAST, value)


def at_most(value: float) -> Target:
    return Target(Bound.AT_MOST, value)


class Finding(Struct, frozen=True):
    """One row of the report. Its target is compared with the median of the rounds."""

    what: str
    unit: str
    series: Series
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None if there is no target."""
        return None if self.target is None else self.target.met_by(self.series.middle)

    def written(self, value: float) -> str:
        return f"{value:,.{DIGITS[self.unit]}f}"


class Result(Struct, frozen=True):
    """The findings of a scenario, or why they do not count."""

    scenario: str
    sentence: str
    findings: tuple[Finding, ...] = ()
    failure: str | None = None
