"""What a run plays beside its load: acts that need an installation of their own, such as one whose database belongs to
`slotwise serve`. An act gets a folder and the run's seed, and returns what it found; it stops all that it has started.
"""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from msgspec import Struct, field

from torture.violation import Violation


class Played(Struct):
    """`figures` are what was done, wanted and reached, for the report: a name, a value and what is wanted."""

    violations: list[Violation] = field(default_factory=list)
    figures: list[tuple[str, str, str]] = field(default_factory=list)


class Act(NamedTuple):
    """`name` begins the sentences of its violations; `brief` is true where the short forms of a run play it too."""

    name: str
    play: Callable[[Path, int], Awaitable[Played]]
    brief: bool = True


ACTS: Sequence[Act] = ()
