"""Shared reads: callers that want the same thing while it is being read share the next read of it.

The counterpart of group commit. Nothing is cached: a caller never gets the result of a read that started before its
call, so all callers see their own writes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from slotwise.batching.group_commit import take_in_what_has_arrived
from slotwise.domain.errors import Overloaded

# If a connection falls silent, later callers must not wait for it. A read of very many slots may take longer than this
# by itself: then two of them run.
PATIENCE_SECONDS = 1.0

Wanted = TypeVar("Wanted", bound=Hashable)
Result = TypeVar("Result")


class SharedReads(Generic[Wanted, Result]):
    """For each wanted thing, one read is in flight, and one more waits for it to end.

    A lone caller's read starts at once. Other callers wait for the read in flight, which may have begun before their
    own write, and then for the next one. An error goes to all callers that share the read.
    """

    def __init__(
        self,
        read: Callable[[Wanted], Awaitable[Result]],
        *,
        limit: int = 2048,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """`limit` counts all reads in flight and waiting, of all wanted things.

        A read does not wait longer than `patience_seconds` for the one before it, which may have lost its server.
        """
        self._read = read
        self._limit = limit
        self._patience_seconds = patience_seconds
        self._in_flight: dict[Wanted, asyncio.Task[Result]] = {}
        self._next: dict[Wanted, asyncio.Task[Result]] = {}

    async def read(self, wanted: Wanted) -> Result:
        """The result of a read that starts after this call. Raises `Overloaded` beyond the limit."""
        reading = self._next.get(wanted) or self._begin(wanted)
        # The cancellation of one caller must not cancel the read for the others.
        return await asyncio.shield(reading)

    def _begin(self, wanted: Wanted) -> asyncio.Task[Result]:
        if len(self._in_flight) + len(self._next) >= self._limit:
            raise Overloaded
        reading = asyncio.create_task(self._take_turn(wanted, self._in_flight.get(wanted)), name="shared reading")
        self._next[wanted] = reading
        return reading

    async def _take_turn(self, wanted: Wanted, before: asyncio.Task[Result] | None) -> Result:
        if before is not None:
            await asyncio.wait([before], timeout=self._patience_seconds)
            await take_in_what_has_arrived()
        # From here on, new callers cannot join this read.
        reading = self._in_flight[wanted] = self._next.pop(wanted)
        try:
            return await self._read(wanted)
        finally:
            if self._in_flight.get(wanted) is reading:
                del self._in_flight[wanted]
