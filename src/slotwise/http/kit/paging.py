"""Paging by keyset. A cursor names the row after which the next page starts; it is opaque to clients."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from slotwise.domain import base64url
from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.name_order import MAX_KEY_BYTES

Item = TypeVar("Item")
View = TypeVar("View")
Position = TypeVar("Position")

DEFAULT_LIMIT = 100
MAX_LIMIT = 500
# The longest has a sort key of `MAX_KEY_BYTES`.
MAX_CURSOR = 1500

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="Most items of a page")]
Cursor = Annotated[
    str | None, QueryParameter(name="cursor", description="`nextCursor` of the previous page", max_length=MAX_CURSOR)
]


class IdPosition(msgspec.Struct, array_like=True, frozen=True):
    id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]


class StartPosition(msgspec.Struct, array_like=True, frozen=True):
    start_time: Annotated[datetime, msgspec.Meta(tz=True)]
    id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]

    def __post_init__(self) -> None:
        # No slot starts outside these limits, and the database cannot compare with times far outside.
        if not FIRST_TIME <= self.start_time < LAST_READABLE_TIME:
            raise ValueError("out of range")


class TimePosition(msgspec.Struct, array_like=True, frozen=True):
    """A place in the list of times. A time without a visit type has 0."""

    start_time: Annotated[datetime, msgspec.Meta(tz=True)]
    doctor_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
    visit_type_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]

    def __post_init__(self) -> None:
        if not FIRST_TIME <= self.start_time < LAST_READABLE_TIME:
            raise ValueError("out of range")


class NamePosition(msgspec.Struct, array_like=True, frozen=True):
    """A place in a list by name. It stays the same when the name that it was made of is changed."""

    sort_key: Annotated[bytes, msgspec.Meta(max_length=MAX_KEY_BYTES)]
    id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]


class Page(msgspec.Struct, Generic[View], frozen=True, rename="camel"):
    """`nextCursor` is null on the last page."""

    items: list[View]
    next_cursor: str | None


def page_of(
    found: Sequence[Item],
    limit: int,
    view: Callable[[Item], View],
    position: Callable[[Item], msgspec.Struct],
    walked_to: msgspec.Struct | None = None,
) -> Page[View]:
    """A page of at most `limit` items. `found` has up to `limit + 1`: the extra item shows that there are more.

    If there is no extra item, the next page starts after `walked_to`; None if this is the last page.
    """
    shown = found[:limit]
    last = position(shown[-1]) if len(found) > limit else walked_to
    return Page([view(item) for item in shown], encode_cursor(last) if last else None)


def encode_cursor(position: msgspec.Struct) -> str:
    return base64url.encode(msgspec.json.encode(position))


def decode_cursor(cursor: str | None, start: Position) -> Position:
    """The position in the cursor; `start` without a cursor."""
    if cursor is None:
        return start
    try:
        return msgspec.json.decode(base64url.decode(cursor), type=type(start))
    except (msgspec.MsgspecError, ValueError) as error:
        raise InvalidInput.of("cursor", "is not a nextCursor of this list") from error
