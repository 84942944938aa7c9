"""Seat events: an endless stream of server-sent events (WHATWG HTML, 9.2)."""

import asyncio
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import msgspec
from litestar import Controller, get
from litestar.connection import ASGIConnection
from litestar.di import NamedDependency
from litestar.handlers import BaseRouteHandler
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send
from msgspec import Struct

from slotwise.domain.errors import TooManyRequests
from slotwise.domain.slots import SlotStatus
from slotwise.http.kit.access import ANYONE, ApiRequest, client_ip_of
from slotwise.http.kit.operations import answer, operation
from slotwise.http.kit.parts import api_parts
from slotwise.server.connections import end_at_shutdown
from slotwise.services.core.seat_events import Listener, News, SeatEvents

MEDIA_TYPE = "text/event-stream"
# `retry`: after how many milliseconds a browser reconnects when the stream breaks.
_HELLO = b"retry: 2000\nevent: hello\ndata: {}\n\n"
_REFRESH = b"event: refresh\ndata: {}\n\n"
# Keeps proxies from closing the stream as idle (section 9.2.7).
_HEARTBEAT = b":\n\n"
HEARTBEAT_SECONDS = 15.0
_EVENTS = (
    "Server-sent events. `hello` comes first. `seats` lists the slots that have changed, with their present state: "
    "`slotId, availableSeats, totalSeats, status, windowId`; with a `windowId`, the times in a doctor's open "
    "hours have changed: ask `GET /api/times` again. `refresh` says that changes were missed: read again what you "
    "show. A second `hello`, after a broken connection, means the same. One worker process accepts at most 1,000 "
    "clients, 20 from one client IP, unless its settings say otherwise."
)


class SeatsView(Struct, frozen=True, rename="camel"):
    slot_id: int
    available_seats: int
    total_seats: int
    status: SlotStatus
    window_id: int | None


async def _require_place(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Thousands of streams may come at once, and every other request waits until they are refused."""
    api_parts(connection.scope).services.seat_events.require_place(client_ip_of(connection.scope))


class EventStream(ASGIResponse):
    """Sends a listener's events until the client hangs up or the server ends.

    The framework's own stream would encode each event once per client, in a thread.
    """

    _should_set_content_length = False

    def __init__(self, watching: AbstractContextManager[Listener]) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(media_type=MEDIA_TYPE, headers=headers)
        self._watching = watching

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._watching as listener:
            end_at_shutdown(scope, listener.end)
            hang_up = asyncio.create_task(_end_at_hang_up(receive, listener))
            try:
                await self.start_response(send)
                await _send_events(listener, send)
            finally:
                hang_up.cancel()


class SeatEventController(Controller):
    path = "/api/slots/events"

    @get(
        "/",
        **operation(
            "watch_seats",
            ANYONE,
            "Watch free seats",
            TooManyRequests,
            description=_EVENTS,
            sends=("X-Accel-Buffering",),
            first=_require_place,
            also_answers={200: answer(str, "Events, until either side hangs up", MEDIA_TYPE)},
        ),
    )
    async def watch_seats(self, request: ApiRequest, seat_events: NamedDependency[SeatEvents]) -> EventStream:
        return EventStream(seat_events.watch_seats(client_ip_of(request.scope)))


async def _send_events(listener: Listener, send: Send) -> None:
    await _send(send, _HELLO)
    while not listener.over:
        news = await listener.news(HEARTBEAT_SECONDS)
        await _send(send, _HEARTBEAT if news is None else _encoded(news))
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _end_at_hang_up(receive: Receive, listener: Listener) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.end()


@lru_cache(maxsize=64)
def _encoded(news: News) -> bytes:
    """Encoded once for all clients that get the same event."""
    if news.look_again:
        return _REFRESH
    views = [SeatsView(*msgspec.structs.astuple(seats)) for seats in news.seats.values()]
    return b"event: seats\ndata: %b\n\n" % msgspec.json.encode(views)
