"""The smallest possible app in front of the booking path: a baseline for the cost of Slotwise's HTTP layers.

An ASGI app on the same group commit and the same batches. It decodes the body, holds the seats and sends the booking
as JSON. It has no routing, no checks of names, no limits, no request ids, no request metrics and no log.
"""

import gc
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec
from msgspec import Struct

from slotwise.app import GARBAGE_THRESHOLDS
from slotwise.db.pool import Database
from slotwise.domain.bookings import SeatRequest
from slotwise.services.booking.batches import BookingBatches
from slotwise.services.booking.bookings import Bookings
from slotwise.services.booking.queues import BookingQueues
from slotwise.services.core.callers import Caller
from slotwise.services.core.manage_tokens import ManageTokens
from slotwise.settings import Settings, load_settings, signing_secret

PATIENTS_CONNECTIONS = 3

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class BookingRequest(Struct, frozen=True, rename="camel"):
    slot_id: int
    user_name: str
    user_email: str
    seats_booked: int = 1


class BareApp:
    """Books on every POST. Answers 200 to everything else, for the check whether it is up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._decoder = msgspec.json.Decoder(BookingRequest)
        self._encoder = msgspec.json.Encoder()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["method"] == "POST":
            await self._book(receive, send)
        else:
            await _answer(send, 200, b"")

    async def _book(self, receive: Receive, send: Send) -> None:
        request = self._decoder.decode(await _body(receive))
        seats = SeatRequest(request.slot_id, request.seats_booked, None, request.user_name, request.user_email)
        held = await self._bookings.hold_seats(Caller(), seats)
        await _answer(send, 201, self._encoder.encode(held.booking))

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        url = str(self._settings.database_url)
        database = await Database.connect(url, self._settings.db_pool_size)
        writers = await Database.connect(url, PATIENTS_CONNECTIONS)
        tokens = ManageTokens(signing_secret(self._settings))
        batches = BookingBatches(writers, tokens, self._settings.hold_seconds)
        self._bookings = Bookings(database, BookingQueues(batches), BookingQueues(batches))
        # As the server does: its framework would otherwise be looked through with every collection.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*GARBAGE_THRESHOLDS)
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._bookings.drained()
        await writers.close()
        await database.close()
        await send({"type": "lifespan.shutdown.complete"})


def create_app() -> BareApp:
    """The app of a worker process. Reads the environment."""
    return BareApp(load_settings())


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
