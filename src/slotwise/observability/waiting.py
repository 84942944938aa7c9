"""Saying what is waited for, for people at a terminal and for logs."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeAlias

Report: TypeAlias = Callable[[str], None]


class Waiting:
    """Says what is waited for, with the seconds so far, now and then while it lasts.

    Nothing ends for want of a reader: a terminal or pipe that is gone is passed over.
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
