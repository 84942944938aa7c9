"""What a fault is: something that is broken for a while, and then healed."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import NamedTuple, TypeAlias

from torture.bed import Bed

Strike: TypeAlias = Callable[[Bed, Random], AbstractAsyncContextManager[None]]


class Missed(Exception):
    """Nothing was broken: there was nobody to hit, or nobody came by."""


def signalled(pid: int, number: signal.Signals) -> None:
    """Send it to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class Fault(NamedTuple):
    """`strike` breaks something as its context is entered and heals it as it is left, `seconds` later; where it is
    `possible`."""

    kind: str
    sentence: str
    strike: Strike
    seconds: tuple[float, float] = (0.2, 1.0)
    possible: Callable[[], bool] = lambda: True


def blow(strike: Callable[[Bed, Random], AsyncIterator[None]]) -> Strike:
    """Of a generator that breaks, yields while it is broken, and heals."""
    return asynccontextmanager(strike)
