"""Seat events: a change of seats at any worker reaches the clients that watch seats at any worker.

A change is published after its commit, together with all others of the last moment, on a connection that does nothing
else. The booking path adds to a set and waits for nothing. Only ids are published; each worker reads a slot once for
all its listeners. So a lost event costs freshness until the slot's next event, and never a seat.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TypeAlias

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.errors import DatabaseUnavailable, Overloaded, TooManyRequests, Unavailable
from slotwise.domain.slots import SlotStatus
from slotwise.observability.metrics import SEAT_LISTENERS

CHANNEL = "slotwise_seats"
# With ids of 19 digits and a comma each, this stays below the 8,000 bytes that a message may have.
IDS_IN_MESSAGE = 350
# If more slots than this change before listeners are told, it is simpler for them to read everything again.
MOST_SLOTS = 1000
# Published in place of ids, for all slots. No slot has this id.
EVERY_SLOT = 0

LISTENERS_AT_ONCE = 50
# A place becomes free when somebody closes a page.
RETRY_SECONDS = 30

SeatsChanged: TypeAlias = Callable[[Collection[int]], None]


class Publishing(Struct, frozen=True):
    """Whether the server is read-only, and how many messages it took."""

    read_only: bool
    messages: int


class Seats(Struct, frozen=True):
    """`available_seats` counts the seats of overdue holds as free. `window_id` if the slot is a visit in open time."""

    slot_id: int
    available_seats: int
    total_seats: int
    status: SlotStatus
    window_id: int | None = None


PUBLISH_SEATS = Statement("core/seat_events.publish_seats", Publishing)
READ_SEATS = Statement("core/seat_events.read_seats", Seats)


def ignore_changes(_: Collection[int]) -> None:
    """The default for code that runs without a server, and so without listeners."""


@asynccontextmanager
async def announcing_changes(database: Database) -> AsyncIterator[SeatsChanged]:
    """For a command, which has no relay: if seats changed in the block, tell all workers to read everything again.

    Also after an error in the block, because some seats may have changed before it. A failure to publish is ignored.
    """
    changed: set[int] = set()
    try:
        yield changed.update
    finally:
        if changed:
            with suppress(Unavailable):
                async with database.connection() as connection:
                    await PUBLISH_SEATS.run(connection, channel=CHANNEL, messages=[str(EVERY_SLOT)])


class News:
    """What a listener gets: the newest seats of some slots, or the request to read everything again.

    It never changes, so that all listeners can share it and an edge encodes it once.
    """

    def __init__(self, seats: Mapping[int, Seats], look_again: bool = False) -> None:
        self.seats = seats
        self.look_again = look_again

    def then(self, later: "News") -> "News":
        """Both in one, for a listener that has not taken the first yet."""
        if self.look_again or later.look_again:
            return LOOK_AGAIN
        seats = {**self.seats, **later.seats}
        return News(seats) if len(seats) <= MOST_SLOTS else LOOK_AGAIN


LOOK_AGAIN = News({}, look_again=True)


class Listener:
    """A client that watches seats. However slow it is, only the newest state of each slot waits for it."""

    __slots__ = ("_news", "_woken", "over")

    def __init__(self) -> None:
        self._news: News | None = None
        self._woken = asyncio.Event()
        self.over = False

    def tell(self, news: News) -> None:
        self._news = self._news.then(news) if self._news else news
        self._woken.set()

    def end(self) -> None:
        """End the wait for news."""
        self.over = True
        self._woken.set()

    async def news(self, seconds: float) -> News | None:
        """Wait for news, at most that long. Returns what has come since the last call, or None."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        if not self.over:
            self._woken.clear()
        news, self._news = self._news, None
        return news


class SeatEvents:
    """The seat events of one worker: its own changes, those heard from all workers, and its listeners."""

    def __init__(self, most: int, most_of_one_client: int) -> None:
        self._most = most
        self._most_of_one_client = most_of_one_client
        self._changed: set[int] = set()
        self._heard: set[int] = set()
        self._work = asyncio.Event()
        self._listeners: set[Listener] = set()
        self._clients: Counter[str] = Counter()

    def seats_changed(self, slot_ids: Collection[int]) -> None:
        """Publish soon that the seats of these slots have changed. Call it after the commit."""
        if slot_ids:
            _add(self._changed, slot_ids)
            self._work.set()

    def hear(self, message: str) -> None:
        """Take a message that a worker published."""
        # A later version may publish something else.
        readable = all(word.isdecimal() for word in message.split(","))
        _add(self._heard, [int(word) for word in message.split(",")] if readable else [EVERY_SLOT])
        self._work.set()

    def wake(self) -> None:
        """Make the relay check its connection."""
        self._work.set()

    async def work(self, seconds: float) -> None:
        """Wait until there is something to relay, at most that long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._work.wait()
        self._work.clear()

    async def relay(self, connection: Connection) -> None:
        """Publish the changes of this worker, and tell its listeners what was heard."""
        await self._publish(connection)
        # What was just published is heard on this connection before the answer to the statement.
        await self._pass_on(connection)

    async def look_again(self) -> None:
        """Tell all listeners that changes may have been missed."""
        await self._tell(LOOK_AGAIN)

    def require_place(self, client: str) -> None:
        """Raise `Overloaded` if there are too many listeners, `TooManyRequests` if this client has too many."""
        if self._clients[client] >= self._most_of_one_client:
            raise TooManyRequests(RETRY_SECONDS)
        if len(self._listeners) >= self._most:
            raise Overloaded

    @contextmanager
    def watch_seats(self, client: str) -> Iterator[Listener]:
        """A listener while the block runs. Raises like `require_place`."""
        self.require_place(client)
        listener = Listener()
        self._add_listener(listener, client)
        try:
            yield listener
        finally:
            self._remove_listener(listener, client)

    def _add_listener(self, listener: Listener, client: str) -> None:
        self._listeners.add(listener)
        self._clients[client] += 1
        SEAT_LISTENERS.set(len(self._listeners))

    def _remove_listener(self, listener: Listener, client: str) -> None:
        self._listeners.discard(listener)
        self._clients[client] -= 1
        if not self._clients[client]:
            del self._clients[client]
        SEAT_LISTENERS.set(len(self._listeners))

    async def _publish(self, connection: Connection) -> None:
        changed, self._changed = self._changed, set()
        taken = False
        try:
            done = await PUBLISH_SEATS.one(connection, channel=CHANNEL, messages=_messages(sorted(changed)))
            # A server that is no longer the primary takes no bookings either. The changes are kept for the new primary.
            taken = not done.read_only
        finally:
            if not taken:
                _add(self._changed, changed)
        if not taken:
            raise DatabaseUnavailable

    async def _pass_on(self, connection: Connection) -> None:
        heard, self._heard = self._heard, set()
        if not (heard and self._listeners):
            return
        if EVERY_SLOT in heard:
            await self._tell(LOOK_AGAIN)
        elif found := await READ_SEATS.all(connection, slot_ids=sorted(heard)):
            await self._tell(News({seats.slot_id: seats for seats in found}))

    async def _tell(self, news: News) -> None:
        """Tell a few at a time, and let bookings run in between: a thousand take longer than a booking may wait."""
        for place, listener in enumerate(list(self._listeners), 1):
            listener.tell(news)
            if place % LISTENERS_AT_ONCE == 0:
                await asyncio.sleep(0)


def _add(slots: set[int], slot_ids: Collection[int]) -> None:
    slots.update(slot_ids)
    if len(slots) > MOST_SLOTS:
        slots.clear()
        slots.add(EVERY_SLOT)


def _messages(slot_ids: Sequence[int]) -> list[str]:
    return [
        ",".join(map(str, slot_ids[first : first + IDS_IN_MESSAGE]))
        for first in range(0, len(slot_ids), IDS_IN_MESSAGE)
    ]
