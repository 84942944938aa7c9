"""Group commit: requests that arrive while a transaction is in flight share the next one.

A transaction per booking holds a popular slot's lock for several round trips and a log flush. A batch pays for these
only once. See docs/adr/0004-group-commit.md.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

import structlog

from slotwise.batching.pace import Pace
from slotwise.domain.errors import OutcomeUnknown, Overloaded, Unavailable
from slotwise.observability import metrics

Request = TypeVar("Request")
Outcome = TypeVar("Outcome")

DRAIN_SECONDS = 2.0
# Turns of the event loop. First: answers go out and sockets are read. Second: the new requests' tasks start. Third:
# they submit.
TURNS_TO_TAKE_IN = 3

log = structlog.get_logger()


async def take_in_what_has_arrived(enough: Callable[[], bool] = lambda: False) -> None:
    """Let the requests that are waiting in the sockets submit before the next batch starts.

    This wastes no time: every turn does work. Without it, batches are half as large, because requests that could be in
    the batch are still in the sockets when it starts.
    """
    for _ in range(TURNS_TO_TAKE_IN):
        if enough():
            return
        await asyncio.sleep(0)


class _Waiting(Generic[Request, Outcome]):
    """A request in the queue. It leaves the queue with a batch, or unserved after its deadline."""

    __slots__ = ("answer", "arrived", "request")

    def __init__(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self.answer: asyncio.Future[Outcome] = loop.create_future()
        self.arrived = loop.time()


class GroupCommit(Generic[Request, Outcome]):
    """Passes requests to `commit` in order of arrival, one batch at a time.

    `commit` takes a batch and returns one outcome per request, in the same order, after its transaction has
    committed. Two requests with the same `exclusive` key (None: no key) never share a batch. A lone request is
    committed at once: a request never waits for others to join it.

    After an error for which `rolled_back` is true, each request of the batch is tried by itself. After any other error
    the batch may have been committed, so it is never executed again: its requests raise `OutcomeUnknown`.
    """

    def __init__(
        self,
        name: str,
        commit: Callable[[Sequence[Request]], Awaitable[Sequence[Outcome]]],
        *,
        exclusive: Callable[[Request], Hashable | None] = lambda _: None,
        rolled_back: Callable[[Exception], bool] = lambda _: False,
        batch_limit: int = 256,
        queue_limit: int = 2048,
        deadline_seconds: float = 8.0,
        patience_seconds: float = 0.25,
        refusal_seconds: float = 2.0,
    ) -> None:
        self._commit = commit
        self._exclusive = exclusive
        self._rolled_back = rolled_back
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._deadline_seconds = deadline_seconds
        self._patience_seconds = patience_seconds
        self._refusal_seconds = refusal_seconds
        self._queue: deque[_Waiting[Request, Outcome]] = deque()
        # A new queue counts as fast enough for its limit: a full one would be served within the patience.
        self._pace = Pace(patience_seconds, queue_limit / batch_limit)
        self._in_flight: Sequence[_Waiting[Request, Outcome]] = ()
        self._pump: asyncio.Task[None] | None = None
        self._name = name
        self._depth = metrics.QUEUE_DEPTH.labels(name)
        self._batch_size = metrics.BATCH_SIZE.labels(name)

    async def submit(self, request: Request) -> Outcome:
        """Put a request in the queue and return its outcome.

        Raises `Overloaded` if the queue is full or the request was not in a batch before its deadline (nothing was
        done), and `OutcomeUnknown` if its batch was still in flight at the deadline.
        """
        await self.require_room()
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Request, Outcome] = _Waiting(request, loop)
        self._queue.append(waiting)
        if self._pump is None:
            self._pump = loop.create_task(self._drain(loop), name=f"group commit of {self._name}")
        return await waiting.answer

    async def require_room(self) -> None:
        """Raise `Overloaded` if the queue is full. An edge can call this early to save work.

        A full queue refuses slowly: clients that retry at once would take the time that the queued requests need.
        """
        if self._is_full():
            await asyncio.sleep(self._refusal_seconds)
            raise Overloaded

    def has_room(self) -> bool:
        return not self._is_full()

    def _is_full(self) -> bool:
        """Full at its limit, or earlier if one more request would wait too long at the pace of the recent batches."""
        waiting = len(self._queue)
        batches_ahead = waiting // self._batch_limit
        return waiting >= self._queue_limit or batches_ahead * self._pace.batch_seconds > self._patience_seconds

    async def drained(self) -> None:
        """Wait until all accepted requests are answered, at most two seconds."""
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=DRAIN_SECONDS)

    async def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        watch = loop.create_task(self._give_up_overdue(loop))
        try:
            while self._queue:
                if batch := self._next_batch():
                    self._in_flight = batch
                    started = loop.time()
                    await self._serve(batch)
                    await take_in_what_has_arrived(self._fills_a_batch)
                    self._pace.note(loop.time() - started)
        finally:
            self._in_flight = ()
            watch.cancel()
            self._pump = None

    def _fills_a_batch(self) -> bool:
        return len(self._queue) >= self._batch_limit

    async def _give_up_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail requests that have waited too long. One timer for all: a timer per request costs as much as its SQL."""
        while True:
            await asyncio.sleep(self._deadline_seconds / 16)
            latest = loop.time() - self._deadline_seconds
            self._fail([waiting for waiting in self._in_flight if waiting.arrived <= latest], OutcomeUnknown())
            while self._queue and self._queue[0].arrived <= latest:
                self._fail([self._queue.popleft()], Overloaded())

    def _next_batch(self) -> list[_Waiting[Request, Outcome]]:
        batch: list[_Waiting[Request, Outcome]] = []
        put_back: list[_Waiting[Request, Outcome]] = []
        keys: set[Hashable] = set()
        while self._queue and len(batch) < self._batch_limit:
            waiting = self._queue.popleft()
            key = self._exclusive(waiting.request)
            if waiting.answer.done():
                continue
            if key is not None and key in keys:
                put_back.append(waiting)
                continue
            keys.add(key)
            batch.append(waiting)
        self._queue.extendleft(reversed(put_back))
        self._depth.set(len(self._queue))
        return batch

    async def _serve(self, batch: Sequence[_Waiting[Request, Outcome]]) -> None:
        self._batch_size.observe(len(batch))
        try:
            outcomes = await self._commit([waiting.request for waiting in batch])
        except Unavailable as error:
            self._fail(batch, error)
        except Exception as error:
            if self._rolled_back(error):
                await self._serve_apart(batch, error)
            else:
                # By type only: a message or a traceback may quote personal data.
                log.error("batch_unreadable", queue=self._name, size=len(batch), reason=type(error).__name__)  # noqa: TRY400
                self._fail(batch, OutcomeUnknown())
        else:
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.answer.done():
                    waiting.answer.set_result(outcome)

    async def _serve_apart(self, batch: Sequence[_Waiting[Request, Outcome]], error: Exception) -> None:
        """Try the requests of a rolled-back batch one by one, so that only the faulty one fails."""
        if len(batch) == 1:
            self._fail(batch, error)
            return
        log.warning("batch_split", queue=self._name, size=len(batch), reason=type(error).__name__)
        metrics.BATCHES_SPLIT.labels(self._name).inc()
        for waiting in batch:
            if not waiting.answer.done():
                await self._serve([waiting])

    def _fail(self, batch: Sequence[_Waiting[Request, Outcome]], error: Exception) -> None:
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(error)
