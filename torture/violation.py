"""What a rule of the verdict finds."""

from msgspec import Struct

# Clocks are read with a resolution, and rounded.
CLOCK_SECONDS = 0.001


class Violation(Struct, frozen=True):
    """`rule` is its id in docs/reliability.md; `slot_id` 0 where it is about no slot."""

    rule: str
    slot_id: int
    sentence: str
