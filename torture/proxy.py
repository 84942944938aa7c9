"""A TCP proxy that breaks connections on request, in toxiproxy's words: latency, reset, black hole ("timeout" there).

https://github.com/Shopify/toxiproxy#toxics
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Literal, TypeAlias, cast

# pass: everything flows. black_hole: nothing flows in either direction, without an error. cut_answers: requests arrive,
# answers are dropped. refuse: new connections are reset at once.
Toxic: TypeAlias = Literal["pass", "black_hole", "cut_answers", "refuse"]
Upstream: TypeAlias = Callable[[asyncio.Protocol], Awaitable[tuple[asyncio.BaseTransport, asyncio.BaseProtocol]]]

# With a linger time of 0 the kernel sends a reset instead of a normal close.
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Listens on a loopback port and opens a connection to `upstream` for each client connection. `swallowed` counts
    the pieces of answers that were dropped."""

    def __init__(self, upstream: Upstream) -> None:
        self.toxic: Toxic = "pass"
        self.latency = 0.0
        self.swallowed = 0
        self.port = 0
        self._upstream = upstream
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Link(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self.reset_all()
        if self._server is not None:
            self._server.close()

    def reset_all(self) -> None:
        """Reset every connection, on both sides."""
        for link in list(self._links):
            link.reset()

    def heal(self) -> None:
        """Let everything through again. Connections that lost data are reset."""
        if self.toxic != "pass":
            self.reset_all()
        self.toxic, self.latency = "pass", 0.0

    async def connect(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        transport, _ = await self._upstream(protocol)
        return cast("asyncio.Transport", transport)

    def opened(self, link: "_Link") -> None:
        self._links.add(link)

    def closed(self, link: "_Link") -> None:
        self._links.discard(link)


def to_port(port: Callable[[], int]) -> Upstream:
    """`port` is called for each connection, because a restarted server may have another port."""
    return lambda protocol: asyncio.get_running_loop().create_connection(lambda: protocol, "127.0.0.1", port())


def to_socket(path: str) -> Upstream:
    return lambda protocol: asyncio.get_running_loop().create_unix_connection(lambda: protocol, path)


class _Link(asyncio.Protocol):
    """One connection through the proxy: this is the client's side, `_Answers` the server's."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self._client: asyncio.Transport | None = None
        self._server: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._due: dict[asyncio.Transport, float] = {}
        self._connecting: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client = cast("asyncio.Transport", transport)
        self.proxy.opened(self)
        if self.proxy.toxic == "refuse":
            self.reset()
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        try:
            self._server = await self.proxy.connect(_Answers(self))
        except OSError:
            self.reset()
            return
        for data in self._early:
            self.forward(data, self._server)

    def data_received(self, data: bytes) -> None:
        if self.proxy.toxic == "black_hole":
            return
        if self._server is None:
            self._early.append(data)
        else:
            self.forward(data, self._server)

    def answered(self, data: bytes) -> None:
        if self.proxy.toxic in {"black_hole", "cut_answers"}:
            self.proxy.swallowed += 1
        elif self._client is not None:
            self.forward(data, self._client)

    def forward(self, data: bytes, to: asyncio.Transport) -> None:
        """Forward in order even if the latency changes: data is never due before data that was sent earlier."""
        loop = asyncio.get_running_loop()
        due = max(loop.time() + self.proxy.latency, self._due.get(to, 0.0))
        if due > loop.time():
            self._due[to] = due
            loop.call_at(due, _write, to, data)
        else:
            _write(to, data)

    def connection_lost(self, _: Exception | None) -> None:
        self.end()

    def end(self) -> None:
        """One side has closed, so close the other too."""
        self.proxy.closed(self)
        for transport in (self._client, self._server):
            if transport is not None and not transport.is_closing():
                transport.close()

    def reset(self) -> None:
        self.proxy.closed(self)
        for transport in (self._client, self._server):
            if transport is not None:
                _abort(transport)


class _Answers(asyncio.Protocol):
    def __init__(self, link: _Link) -> None:
        self._link = link

    def data_received(self, data: bytes) -> None:
        self._link.answered(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._link.end()


def _write(to: asyncio.Transport, data: bytes) -> None:
    if not to.is_closing():
        to.write(data)


def _abort(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.family != socket.AF_UNIX and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()
