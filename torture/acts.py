"""The acts that a run performs after its load. Each needs its own installation, for example one whose database belongs
to `slotwise serve`. An act gets a folder and the run's seed, stops all that it started, and returns what it found.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from threading import Event
from typing import NamedTuple

from msgspec import Struct, field

from torture.restarts import RETURN_SECONDS, STOP_SECONDS, walk
from torture.violation import Violation

# Four of each of the nine kinds.
RESTARTS = 36


class Played(Struct):
    """`figures` are rows of the report: a name, the value, and the value that is wanted."""

    violations: list[Violation] = field(default_factory=list)
    figures: list[tuple[str, str, str]] = field(default_factory=list)


class Act(NamedTuple):
    """`name` begins the sentences of its violations. If `brief`, the short forms of a run perform it too."""

    name: str
    play: Callable[[Path, int], Awaitable[Played]]
    brief: bool = True


async def restart_often(folder: Path, seed: int) -> Played:
    """See restarts.py."""
    given_up = Event()
    try:
        walked = await asyncio.to_thread(walk, seed, RESTARTS, folder, lambda _: None, given_up)
    finally:
        given_up.set()
    return Played(
        [Violation("restarts", 0, sentence) for sentence in walked.violations],
        [
            ("restarts: blows to a server with its own database", f"{len(walked.steps)}", f"{RESTARTS}"),
            ("  slowest return to service", f"{walked.slowest_return:.1f} s", f"<= {RETURN_SECONDS:g} s"),
            ("  slowest end", f"{walked.slowest_stop:.1f} s", f"<= {STOP_SECONDS:g} s"),
            ("  acknowledged bookings, all there", f"{walked.acknowledged:,}", "all"),
        ],
    )


ACTS: Sequence[Act] = (Act("restarts", restart_often, brief=False),)
