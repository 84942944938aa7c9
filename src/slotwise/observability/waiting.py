"""Reports what the program is waiting for, at a terminal or in logs."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

Report: TypeAlias = Callable[[str], None]


class Waiting:
    """Reports from time to time what the program is waiting for, with the seconds so far.

    Ignores a terminal or pipe that is closed: the wait goes on without a reader.
    """

    def __init__(self, report: Report, every: float = 5.0, first: float = 1.0) -> None:
        self._report = report
        self._every = every
        self._began = time.monotonic()
        self._next = first

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def say(self, words: str) -> None:
        if self.seconds >= self._next:
            self._next = self.seconds + self._every
            with suppress(OSError):
                self._report(f"{words} ({self.seconds:.0f} s so far)")
