"""A connection that answers plain requests itself, and hands all others to the application."""

from asyncio import Task
from collections.abc import Mapping
from typing import Any, Protocol, cast

from litestar.types import HTTPScope
from msgspec import Struct
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from slotwise.server.connections import BoundedConnection
from slotwise.server.direct import MOST_BODY_BYTES, Call, DirectRoute, Found, Origin, Raw, plain_headers

# The key in the lifespan's state of who answers directly.
DIRECT = "direct"


class AnswersDirectly(Protocol):
    """What the outermost layer does for every request, without ASGI."""

    def find(self, method: bytes, url: bytes) -> Found | None: ...

    def origin_of(self, peer: str, headers: Mapping[bytes, bytes]) -> Origin: ...

    async def answer_call(self, route: DirectRoute, call: Call, exchange: "Exchange") -> None: ...


class Exchange:
    """One request and its answer on a connection: the part of uvicorn's cycle that a connection looks at."""

    def __init__(self, connection: "DirectConnection", *, keep_alive: bool) -> None:
        self._connection = connection
        self.keep_alive = keep_alive
        self.scope = cast("HTTPScope", {"headers": []})
        self.transport = connection.transport
        self.message_event = _NOTHING_WAITS
        self.disconnected = self.response_started = self.response_complete = False

    async def send(self, head: list[bytes], body: bytes) -> None:
        """Answer once; a later answer is thrown away."""
        if self.response_started:
            return
        self.response_started = True
        await self._connection.write_answer(self, head, body)


class _NoWait:
    def set(self) -> None:
        """There is no body to wait for."""


_NOTHING_WAITS = _NoWait()


class _Arriving(Struct):
    """A plain request whose body has not come to its end."""

    found: Found
    plain: Mapping[bytes, bytes]
    body: bytes = b""


class DirectConnection(BoundedConnection):
    _arriving_call: _Arriving | None = None

    def _begin(self) -> None:
        self._arriving_call = self._plain_request()
        if self._arriving_call is None:
            super()._begin()

    def _plain_request(self) -> _Arriving | None:
        """The request if it can be answered directly, as far as its head shows."""
        direct = cast("AnswersDirectly | None", self.app_state.get(DIRECT))
        if direct is None or not (self.cycle is None or self.cycle.response_complete):
            return None
        if self.parser.get_http_version() != "1.1" or self.parser.should_upgrade() or self._target != self.url:
            return None
        found = direct.find(self.parser.get_method(), self.url)
        plain = None if found is None else plain_headers(list(self.scope["headers"]))
        if found is None or plain is None or int(plain.get(b"content-length", b"0")) > MOST_BODY_BYTES:
            return None
        return _Arriving(found, plain)

    def _take_body(self, body: bytes) -> None:
        if self._arriving_call is None:
            super()._take_body(body)
        else:
            self._arriving_call.body += body

    def _take_end(self) -> None:
        if (arrived := self._arriving_call) is not None:
            data = arrived.found.route.read(Raw(arrived.plain, arrived.found.query, arrived.body))
            if data is not None:
                self._arriving_call = None
                self._answer(arrived, data)
                return
            self._go_ordinary_way()
        super()._take_end()

    def _piece_parsed(self) -> None:
        """A body that comes in pieces goes the ordinary way, which limits how long that takes."""
        if self._arriving_call is not None:
            self._go_ordinary_way()

    def _go_ordinary_way(self) -> None:
        assert self._arriving_call is not None
        body, self._arriving_call = self._arriving_call.body, None
        super()._begin()
        if body:
            super()._take_body(body)

    def send_400_response(self, msg: str) -> None:
        self._piece_parsed()
        super().send_400_response(msg)

    def _answer(self, arrived: _Arriving, data: Any) -> None:
        direct = cast("AnswersDirectly", self.app_state[DIRECT])
        origin = direct.origin_of(self.client[0] if self.client else "", arrived.plain)
        call = Call(arrived.plain, arrived.found.numbers, data, origin)
        exchange = Exchange(self, keep_alive=self.parser.should_keep_alive())
        self.cycle = self._running = cast("RequestResponseCycle", exchange)
        self._started = self.loop.time()
        task: Task[None] = self.loop.create_task(direct.answer_call(arrived.found.route, call, exchange))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def write_answer(self, exchange: Exchange, head: list[bytes], body: bytes) -> None:
        if self.flow.write_paused and not exchange.disconnected:
            await self.flow.drain()
        exchange.response_complete = True
        if exchange.disconnected:
            return
        dated = [b"".join((name, b": ", value, b"\r\n")) for name, value in self.server_state.default_headers]
        ending = [b"\r\n"] if exchange.keep_alive else [b"connection: close\r\n\r\n"]
        self.transport.write(b"".join([head[0], *dated, *head[1:], *ending, body]))
        if not exchange.keep_alive:
            exchange.transport.close()
        self._answered()

    def _answered(self) -> None:
        """Like uvicorn after an answer, but without a timer: `_look` ends idle connections."""
        if self.pipeline:
            self.on_response_complete()
        else:
            self.server_state.total_requests += 1
