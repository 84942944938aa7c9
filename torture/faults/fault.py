"""A fault: something that is broken for a while and then healed."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from random import Random
from typing import NamedTuple, TypeAlias

from torture.bed import Bed

Strike: TypeAlias = Callable[[Bed, Random], AbstractAsyncContextManager[None]]


class Missed(Exception):
    """The fault hit nothing: it found no target, or nothing reached its place."""


def signalled(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


class Fault(NamedTuple):
    """`strike` breaks something when its context is entered and heals it when it is left, `seconds` later. `possible`
    says whether this machine allows it."""

    kind: str
    sentence: str
    strike: Strike
    seconds: tuple[float, float] = (0.2, 1.0)
    possible: Callable[[], bool] = lambda: True


def blow(strike: Callable[[Bed, Random], AsyncIterator[None]]) -> Strike:
    """A strike from a generator that breaks something, yields, and heals it."""
    return asynccontextmanager(strike)
