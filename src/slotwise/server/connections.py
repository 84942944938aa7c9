"""Limits of connections: the time to send a request or to read an answer, and the size of a head.

uvicorn itself waits without end for the rest of a request and for a client to read an answer, and accepts any amount of
headers. Per request, this module costs only a few comparisons: it looks at each connection once a second.
"""

import math
import socket
import sys
from asyncio import Event, Transport
from collections.abc import Callable, Coroutine
from itertools import chain
from typing import Any, cast

import httptools
from litestar.types import HTTPResponseBodyEvent, HTTPResponseStartEvent, Scope, Send
from uvicorn._types import ASGI3Application, ASGIReceiveEvent, HTTPScope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from slotwise.domain.errors import SlotwiseError
from slotwise.observability.request_meters import REQUEST_METERS
from slotwise.server.heads import (
    Headers,
    accepted,
    fault_of_unparsed,
    promises_body,
    require_line,
    require_version_in,
)
from slotwise.server.refusals import HeadTooLarge, RequestTooSlow, WriteRefusal

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
# Head, body and what chunked encoding adds. A body that is too large gets a 413 long before this limit, and the client
# may send it to its end. Beyond this limit the connection is cut.
MAX_REQUEST_BYTES = 2 * 1024 * 1024
# For a request, from its first byte to its last; for an answer, without any progress in reading it.
PATIENCE_SECONDS = 6.0
LOOK_SECONDS = 1.0
# From the start of a request to the start of its answer. Each wait inside has a limit of its own, but on a machine that
# is busy with other things several of them add up to more than the ten seconds in which every request is answered.
ANSWER_SECONDS = 6.5
# Pipelined requests that may wait for the answers to earlier ones: one piece of data could contain thousands.
MAX_WAITING = 64
# The kernel's send buffer. The kernel asks for more data only when a third of it is free. By default it has megabytes:
# a slow client may need more than PATIENCE_SECONDS for a third of that, and would look as if it read nothing.
SEND_BUFFER_BYTES = 128 * 1024
_END_OF_HEAD = b"\r\n\r\n"
_LINE_ENDS = frozenset({b"\r", b"\n"})
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
_REFUSAL = "slotwise.refusal"
_ENDING = "slotwise.ending"
_TOO_LATE = "slotwise.too_late"
_UNPARSED = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET"}


class BoundedConnection(HttpToolsProtocol):
    """One client's connection. Its scope carries the reason if the request is refused here; see `refusal_in`."""

    # Between requests, and before the first one.
    idle_seconds = 75.0
    # Without progress in reading an answer.
    reading_seconds = PATIENCE_SECONDS
    # For an answer that has not begun.
    answer_seconds = ANSWER_SECONDS

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as in the class above
        super().connection_made(transport)
        self.client = _as_ipv4(self.client)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._in_head = self._arriving = False
        self._deaf = False  # if true, further data is thrown away, and the connection ends after the pending answers
        self._hung_up = math.inf
        self._running: RequestResponseCycle | None = None
        self._piece = self._first_piece = self._bytes = self._unsent = 0
        self._target = b""  # as sent; `url` has only its path and query
        self._opening = b""  # the head being read and what came with it; nothing if another request came before it
        # Where in it the next head begins; None if that is not known, behind chunks.
        self._place: int | None = 0
        self._unread = b""  # what the parser leaves behind a head with an Upgrade header
        self._began = self._busy = self._read = self.loop.time()
        self._watch = self.loop.call_later(LOOK_SECONDS, self._look)

    def shutdown(self) -> None:
        super().shutdown()
        if self._running is not None and (end := _ending_in(self._running.scope)) is not None:
            end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch.cancel()
        # The base class notifies only the newest request, which may be waiting for the one that runs.
        for cycle in chain([self._running] if self._running else [], (waiting for waiting, _ in self.pipeline)):
            cycle.disconnected = not cycle.response_complete
            cycle.message_event.set()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        """Note the progress. The next look may not see it, because just as much may have been written since."""
        self._read = self.loop.time()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._piece = len(data)
        self._bytes += self._piece
        if not self._in_head:
            # It is not known how much of the piece belongs to chunks and their trailers.
            in_chunks = self._arriving and self._place is None
            self._opening, self._place = data, None if in_chunks else 0
        else:
            self._opening += data
        super().data_received(data)
        if self._unread:
            rest, self._unread = self._unread, b""
            super().data_received(rest)
        self._piece_parsed()
        if not self._in_head:
            self._opening = b""
        if self._deaf:
            return
        if self._in_head:
            self._look_at_half_a_head()
        elif self._bytes > MAX_REQUEST_BYTES and self._arriving:
            self.transport.abort()
        elif self._arriving:
            self._receive_in_time()  # needed only for a body that comes in pieces

    def _look_at_half_a_head(self) -> None:
        try:
            if self._bytes - self._first_piece > MAX_HEAD_BYTES:
                raise HeadTooLarge
            require_version_in(self._line())
        except SlotwiseError as error:
            self._refuse(error)

    def _piece_parsed(self) -> None:
        """For a connection that does more with a piece of data when it has been parsed."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deaf:
            return
        self._in_head = self._arriving = True
        # Counts also the data before the head in this piece, so it is an upper bound; beyond the limit it is checked.
        self._bytes = self._first_piece = self._piece
        self._began = self.loop.time()

    def on_headers_complete(self) -> None:
        if not self._deaf:
            self._take_head()
        # The parser reports trailers like headers. They must not be added to the headers (RFC 9110, 6.5.1): they would
        # come after those that a proxy has set.
        self.headers = []
        self._in_head = False  # only now: a head that cannot be read to its end must be refused as a head

    def _read_body_with_another_parser(self) -> None:
        """The parser takes what is behind an Upgrade header for another protocol, which is ignored (RFC 9110, 7.8)."""
        framing = [b"%b: %b\r\n" % header for header in self.headers if header[0] in _FRAMING]
        self._unread = b"".join([b"POST / HTTP/1.1\r\n", *framing, b"\r\n", self._opening[self._place :]])
        self.parser = httptools.HttpRequestParser(_LastBody(self))

    def _take_head(self) -> None:
        if len(self.pipeline) >= MAX_WAITING:
            self._end_after(self.cycle)
            return
        try:
            self._target = self.url
            self.url, self.scope["headers"], self.expect_100_continue = self._accepted()
        except SlotwiseError as error:
            self._refuse(error)
        else:
            self._begin()

    def _begin(self) -> None:
        """Give the request to the application; its body may follow."""
        super().on_headers_complete()
        if (upgrades := self.parser.should_upgrade()) or not self.cycle.keep_alive:
            # The connection stays HTTP/1.1, but after an Upgrade header the parser accepts no further request.
            self._let_end(self.cycle)
        if upgrades and promises_body(self.headers):
            self._read_body_with_another_parser()

    def _accepted(self) -> tuple[bytes, Headers, bool]:
        """The head as the application gets it. Raises the reason if it is refused."""
        if len(self.headers) > MAX_HEADERS or (self._bytes > MAX_HEAD_BYTES < self._size_of_head()):
            raise HeadTooLarge
        version = self.parser.get_http_version()
        require_line(self.parser.get_method(), self.url, version, self._opening, self._place)
        # A body is read behind an Upgrade header, too, if it is known where the body begins.
        lost = self.parser.should_upgrade() and self._place is None
        head = accepted(version, self.url, self.headers, upgrades=lost)
        self._pass_head()
        return head

    def on_body(self, body: bytes) -> None:
        if self._place is not None:
            self._place += len(body)
        if not self._deaf:
            self._take_body(body)

    def _take_body(self, body: bytes) -> None:
        if self.cycle.response_complete:
            # Read the body to its end and throw it away: a client that is still sending would lose the answer if the
            # connection broke.
            self._bytes -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._unread:
            return
        self._arriving = False
        if not self._deaf:
            self._take_end()

    def _take_end(self) -> None:
        super().on_message_complete()

    def on_chunk_header(self) -> None:
        self._place = None

    def _pass_head(self) -> None:
        if self._place is None:
            return
        # There may be empty lines before a request (RFC 9112, 2.2).
        while self._opening[self._place : self._place + 1] in _LINE_ENDS:
            self._place += 1
        if (found := self._opening.find(_END_OF_HEAD, self._place)) >= 0:
            self._place = found + len(_END_OF_HEAD)

    def _line(self) -> bytes:
        """What begins with the request line; empty if it is not known where that begins."""
        return b"" if self._place is None else self._opening[self._place :]

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the server's text is no problem document
        error = fault_of_unparsed(self._line(), _reason_of(sys.exception()))
        if self._arriving and not self._in_head:
            self._give_up(error)
        elif not self._deaf:
            self._refuse(error)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        self._started = self.loop.time()
        super()._start_asgi_task(cycle, app)

    def _end_after(self, cycle: RequestResponseCycle) -> None:
        """Answer this request and those before it, and ignore all further data."""
        self._deaf, self._arriving = True, False
        self._let_end(cycle)

    def _let_end(self, cycle: RequestResponseCycle) -> None:
        cycle.keep_alive = False
        cycle.transport = cast("Transport", _LastAnswer(self.transport, self.hang_up))

    def hang_up(self) -> None:
        """Close. While the client may still send, read its data and throw it away: a reset could destroy the answer."""
        if not (self._deaf or self._arriving):
            self.transport.close()
            return
        self._deaf, self._arriving, self._hung_up = True, False, self.loop.time()
        self.pipeline.clear()
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.flow.resume_reading()

    def _size_of_head(self) -> int:
        """The size as sent: each header with colon, space and line end."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _refuse(self, error: SlotwiseError) -> None:
        """Answer in place of the application, after the earlier requests, and hang up."""
        extensions = {"extensions": {_REFUSAL: error}}
        # Keep only the header that says which page may read the answer: another one may be what is wrong.
        heard = [(name, value) for name, value in self.headers if name == b"origin"]
        method = {"method": "HEAD"} if self._line().lstrip(b"\r\n").startswith(b"HEAD ") else {}
        place = {"path": "/", "raw_path": b"/", "query_string": b"", "root_path": "", "headers": heard, "state": {}}
        origin = {"server": self.server, "client": self.client, "scheme": self.scheme}
        earlier, scope = self.cycle, cast("HTTPScope", _UNPARSED | method | place | origin | extensions)
        self.cycle = self._cycle_of(scope)
        self._end_after(self.cycle)
        if earlier is None or earlier.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.pipeline.appendleft((self.cycle, self.app))

    def _cycle_of(self, scope: HTTPScope) -> RequestResponseCycle:
        return RequestResponseCycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self.server_state.default_headers,
            message_event=Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )

    def _look(self) -> None:
        now = self.loop.time()
        if self._is_unread(now):
            self.transport.abort()
            return
        if self._arriving and self.flow.read_paused:
            self._began = now  # the client cannot send, because we do not read
        elif self._arriving and now - self._began > PATIENCE_SECONDS:
            self._end_waiting()
        elif self._is_forgotten(now) or now - self._hung_up > PATIENCE_SECONDS:
            self.transport.close()
        self._answer_if_late(now)
        self._watch = self.loop.call_later(LOOK_SECONDS, self._look)

    def _answer_if_late(self, now: float) -> None:
        """Answer in the application's place. It is not cut short: what it has sent to the database may be done."""
        cycle = self._running
        # Its own body must be there; what arrives behind it does not matter.
        arrives = self._arriving and not self._in_head and cycle is self.cycle
        if cycle is None or cycle.response_started or arrives or now - self._started <= self.answer_seconds:
            return
        if (answer := cast("dict[str, Any]", cycle.scope).pop(_TOO_LATE, None)) is not None:
            self._late = self.loop.create_task(answer())

    def _is_unread(self, now: float) -> bool:
        """Whether the client has read nothing of an answer for too long, also after we have closed."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent < self._unsent:
            self._read = now
        self._unsent = unsent
        return now - self._read > self.reading_seconds

    def _end_waiting(self) -> None:
        if self._in_head:
            self._refuse(RequestTooSlow())
        else:
            self._give_up(RequestTooSlow())

    def _receive_in_time(self) -> "_InTime":
        if not isinstance(self.cycle.receive, _InTime):
            self.cycle.receive = _InTime(self.cycle)  # type: ignore[method-assign]
        return self.cycle.receive

    def _give_up(self, error: SlotwiseError) -> None:
        """Stop waiting for the rest of a body. Reading the body raises the error."""
        self._end_after(self.cycle)
        self._receive_in_time().fault = error
        self.cycle.message_event.set()
        if self.cycle.response_complete:
            self.hang_up()

    def _is_forgotten(self, now: float) -> bool:
        """Whether the connection is idle for too long.

        uvicorn's own timer stops at the first byte and is not set before the first answer.
        """
        if self._arriving or not (self.cycle is None or self.cycle.response_complete):
            self._busy = now
        return now - max(self._busy, self._began) > self.idle_seconds


class _LastBody:
    """Hands the last body of a connection on to it, and nothing that comes behind."""

    def __init__(self, connection: BoundedConnection) -> None:
        self._connection: BoundedConnection | None = connection

    def on_body(self, body: bytes) -> None:
        if self._connection is not None:
            self._connection.on_body(body)

    def on_message_complete(self) -> None:
        if self._connection is not None:
            self._connection.on_message_complete()
            self._connection = None


class _LastAnswer:
    """The transport for the last answer of a connection: closing it calls `hang_up`."""

    def __init__(self, transport: Transport, hang_up: Callable[[], None]) -> None:
        self.write, self.is_closing, self.close = transport.write, transport.is_closing, hang_up


def _as_ipv4(client: tuple[str, int] | None) -> tuple[str, int] | None:
    """The client's IPv4 in its usual form, as in TRUSTED_PROXIES, also if one socket serves both IP versions."""
    return (client[0].removeprefix("::ffff:"), client[1]) if client else None


def _reason_of(error: BaseException | None) -> str:
    """The parser's words for what it cannot read. They never contain what the client sent."""
    is_known = isinstance(error, httptools.HttpParserError) and not isinstance(error, httptools.HttpParserCallbackError)
    return str(error) if is_known else ""


class _InTime:
    """A `receive` that raises the fault if the body was too slow or cannot be read."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle
        self.fault: SlotwiseError | None = None

    async def __call__(self) -> ASGIReceiveEvent:
        message = await RequestResponseCycle.receive(self._cycle)
        if self.fault is not None:
            raise self.fault
        return message


def refusal_in(scope: Scope) -> SlotwiseError | None:
    """Why the server refused the request of this scope; None if it did not."""
    extensions = cast("dict[str, Any]", scope.get("extensions") or {})
    return cast("SlotwiseError | None", extensions.get(_REFUSAL))


def end_at_shutdown(scope: Scope, end: Callable[[], None]) -> None:
    """For an endless answer: the server calls `end` when it wants to shut down."""
    cast("dict[str, Any]", scope)[_ENDING] = end


def answer_when_late(scope: Scope, answer: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """`answer` is called when the application takes too long to begin its answer."""
    cast("dict[str, Any]", scope)[_TOO_LATE] = answer


def forget_when_late(scope: Scope) -> None:
    """For the end of a request. `answer` refers to the scope: without this, only a garbage collection frees both."""
    cast("dict[str, Any]", scope).pop(_TOO_LATE, None)


def is_endless(scope: Scope) -> bool:
    """Whether the answer to the request of this scope is endless."""
    return _ENDING in scope


def _ending_in(scope: Any) -> Callable[[], None] | None:
    return cast("Callable[[], None] | None", scope.get(_ENDING))


async def refuse(error: SlotwiseError, scope: Scope, write: WriteRefusal, send: Send) -> None:
    REQUEST_METERS.count_refusal(error.code)
    status, media_type, body, more = write(error, scope)
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *((name.lower().encode(), value.encode()) for name, value in more),
    ]
    start: HTTPResponseStartEvent = {"type": "http.response.start", "status": status, "headers": headers}
    end: HTTPResponseBodyEvent = {"type": "http.response.body", "body": body, "more_body": False}
    await send(start)
    await send(end)
