"""How far tests go: `make test` takes about five minutes, `.ci/run` goes through everything."""

import os
from collections.abc import Sequence
from typing import TypeVar

# Set by `make test SLOW=on`.
THOROUGH = os.environ.get("SLOTWISE_TEST_SLOW") == "on"

Item = TypeVar("Item")


def many(few: int, full: int) -> int:
    """How many examples or rounds: `few` of them in `make test`, `full` in `.ci/run`."""
    return full if THOROUGH else few


def third_of(items: Sequence[Item], turn: int) -> Sequence[Item]:
    """A third of them in `make test`, which three in each turn; all of them in `.ci/run`."""
    return items if THOROUGH else items[turn % 3 :: 3]
