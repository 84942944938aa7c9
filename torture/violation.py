"""A violation of a rule of the verdict."""

from msgspec import Struct

# Tolerance for comparing clocks: they have a limited resolution, and values are rounded.
CLOCK_SECONDS = 0.001


class Violation(Struct, frozen=True):
    """`rule` is the rule's id in docs/reliability.md. `slot_id` is 0 if the violation is not about a slot."""

    rule: str
    slot_id: int
    sentence: str
