"""The check behind each figure of bookings: there is a row for each acknowledgement."""

import time
from collections.abc import Callable

from bench.readings import CheckFailed

SETTLE_SECONDS = 5


def require_rows(count: Callable[[], int], acknowledged: int, unheard: int) -> None:
    """Raise `CheckFailed` unless `count` finds a row for each acknowledgement.

    A load generator that stops ignores the answers to its last requests, one per connection. Only these `unheard`
    requests may have made further bookings. Waits until the server has finished them.
    """
    made = _settled(count)
    if not acknowledged <= made <= acknowledged + unheard:
        raise CheckFailed(
            f"{acknowledged:,} bookings were acknowledged and {made:,} rows are there; "
            f"up to {unheard} may have been booked unheard"
        )


def _settled(count: Callable[[], int]) -> int:
    before, made = -1, count()
    deadline = time.monotonic() + SETTLE_SECONDS
    while made != before and time.monotonic() < deadline:
        time.sleep(0.05)
        before, made = made, count()
    return made
