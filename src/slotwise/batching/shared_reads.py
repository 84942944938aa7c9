"""Shared reads: callers who want the same thing while it is being read share the next reading of it.

To reads what the group commit is to writes. Nothing is kept: a caller never gets what was read before it asked, so
everybody reads their own writes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from slotwise.batching.group_commit import take_in_what_has_arrived
from slotwise.domain.errors import Overloaded

Wanted = TypeVar("Wanted", bound=Hashable)
Result = TypeVar("Result")


class SharedReads(Generic[Wanted, Result]):
    """At most one reading of each wanted thing is in flight, and one more waits for it to end.

    A lone caller's reading starts at once. Any other waits for the one in flight, which may have begun before the
    caller's own write, and for its own. An error goes to all who share the reading.
    """

    def __init__(self, read: Callable[[Wanted], Awaitable[Result]], *, limit: int = 2048) -> None:
        """`limit` is for readings in flight and waiting, of all wanted things together."""
        self._read = read
        self._limit = limit
        self._in_flight: dict[Wanted, asyncio.Task[Result]] = {}
        self._next: dict[Wanted, asyncio.Task[Result]] = {}

    async def read(self, wanted: Wanted) -> Result:
        """What a reading that starts after this call finds. Raises `Overloaded` past the limit."""
        reading = self._next.get(wanted) or self._begin(wanted)
        # A caller that goes away must not take the reading from those who share it.
        return await asyncio.shield(reading)

    def _begin(self, wanted: Wanted) -> asyncio.Task[Result]:
        if len(self._in_flight) + len(self._next) >= self._limit:
            raise Overloaded
        reading = asyncio.create_task(self._take_turn(wanted, self._in_flight.get(wanted)), name="shared reading")
        self._next[wanted] = reading
        return reading

    async def _take_turn(self, wanted: Wanted, before: asyncio.Task[Result] | None) -> Result:
        if before is not None:
            await asyncio.wait([before])
            await take_in_what_has_arrived()
        # From here on it is too late to join.
        self._in_flight[wanted] = self._next.pop(wanted)
        try:
            return await self._read(wanted)
        finally:
            del self._in_flight[wanted]
