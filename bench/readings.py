"""The readings of one measurement, and series of readings over several rounds."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import NamedTuple

from msgspec import Struct


class CheckFailed(Exception):
    """A scenario's check failed: the data does not agree with the answers. None of its figures count."""


class Reading(NamedTuple):
    """One load, measured once. `rate` is successes per second; times are milliseconds per request."""

    rate: float
    p50: float
    p99: float


class Series(Struct, frozen=True):
    """The same figure, once in each round."""

    values: tuple[float, ...]

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def over(self, other: "Series") -> "Series":
        """The ratio in each round. An influence on the whole round, such as a busy machine, cancels out."""
        if not all(other.values):
            raise CheckFailed("nothing can be compared with a case in which nothing succeeded")
        return Series(tuple(mine / its for mine, its in zip(self.values, other.values, strict=True)))


def series(readings: Sequence[Reading], figure: Callable[[Reading], float]) -> Series:
    return Series(tuple(figure(reading) for reading in readings))


class Measured:
    """The readings of each case, one for each round."""

    def __init__(self, readings: dict[str, list[Reading]]) -> None:
        self._readings = readings

    def rate(self, case: str) -> Series:
        return series(self._readings[case], lambda reading: reading.rate)

    def p50(self, case: str) -> Series:
        return series(self._readings[case], lambda reading: reading.p50)

    def p99(self, case: str) -> Series:
        return series(self._readings[case], lambda reading: reading.p99)
