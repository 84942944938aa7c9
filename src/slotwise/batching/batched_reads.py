"""Batched reads: callers that want different things of one kind, while a read is in flight, share the next one.

A statement for each caller costs a round trip and a connection; one for all of them costs hardly more than one for a
single caller. As with shared reads, nothing is cached.
"""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Generic, TypeVar

from slotwise.batching.shared_reads import SharedReads

# A connection whose server is silent holds up its own callers, and no others.
PATIENCE_SECONDS = 0.25

Wanted = TypeVar("Wanted", bound=Hashable)
Result = TypeVar("Result")


class BatchedReads(Generic[Wanted, Result]):
    """`read` returns what it finds of the wanted things; for the others, callers get None."""

    def __init__(self, read: Callable[[list[Wanted]], Awaitable[Mapping[Wanted, Result]]]) -> None:
        self._read = read
        self._wanted: set[Wanted] = set()
        self._together = SharedReads(self._read_all, patience_seconds=PATIENCE_SECONDS)

    async def read(self, wanted: Wanted) -> Result | None:
        """The result of a read that starts after this call. An error goes to all callers that share the read."""
        self._wanted.add(wanted)
        return (await self._together.read(None)).get(wanted)

    async def _read_all(self, _: None) -> Mapping[Wanted, Result]:
        wanted, self._wanted = self._wanted, set()
        return await self._read(list(wanted))
