"""The token of a preview: a digest of all that was looked at and, in short, what the preview showed.

What it showed is only compared with what would be done now, to say what differs. Who forges it deceives themselves.
"""

from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from slotwise.domain import base64url
from slotwise.domain.schedule_previews import Preview

# Of more bookings, a token keeps only how many times come, go and stay.
MOST_KEPT = 1000
# A step between two ids takes at most nine bytes.
MAX_TOKEN_CHARACTERS = 16_000

Count = Annotated[int, Meta(ge=0)]


class Seen(Struct, frozen=True):
    """What a preview showed. `booking_ids` is None if there were too many to keep."""

    come: int
    go: int
    stay: int
    booking_ids: frozenset[int] | None = frozenset()


class Differs(Struct, frozen=True):
    """What differs from what was seen before. The bookings are None if there were too many to compare."""

    before: Seen
    new_booking_ids: tuple[int, ...] | None
    gone_booking_ids: tuple[int, ...] | None


class _Short(Struct, frozen=True, array_like=True):
    """As it is written: each booking id as the step from the one before."""

    come: Count
    go: Count
    stay: Count
    steps: tuple[Count, ...] | None


def seen_of(preview: Preview, named: Iterable[int] = ()) -> Seen:
    """`named` are bookings that decisions name, and that an earlier preview listed."""
    listed = frozenset(hit.booking.id for hit in preview.hits) | frozenset(named)
    return Seen(preview.come, preview.go, preview.stay, listed if len(listed) <= MOST_KEPT else None)


def token_with(digest: str, seen: Seen) -> str:
    ids = None if seen.booking_ids is None else sorted(seen.booking_ids)
    steps = None if ids is None else tuple(later - earlier for earlier, later in pairwise([0, *ids]))
    short = _Short(seen.come, seen.go, seen.stay, steps)
    return f"{digest}.{base64url.encode(msgspec.msgpack.encode(short))}"


def digest_in(token: str) -> str:
    return token.partition(".")[0]


def seen_in(token: str) -> Seen | None:
    """None for a text that is no token of this release."""
    try:
        short = msgspec.msgpack.decode(base64url.decode(token.partition(".")[2]), type=_Short)
    except (ValueError, msgspec.MsgspecError):
        return None
    ids = None if short.steps is None else frozenset(accumulate(short.steps))
    return Seen(short.come, short.go, short.stay, ids)


def differs(before: Seen, preview: Preview) -> Differs:
    if before.booking_ids is None:
        return Differs(before, None, None)
    now = [hit.booking.id for hit in preview.hits]
    new = tuple(each for each in now if each not in before.booking_ids)
    return Differs(before, new, tuple(sorted(before.booking_ids.difference(now))))
