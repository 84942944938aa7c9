"""The fast path of `POST /api/bookings`: answers a plain request without most of the framework.

The framework's handling (a request object, guards, parameters, a response object) costs several times as much as the
booking. The framework still routes the request to this class and documents the operation, and errors are the same
problem documents. Every other request, above all one with an invalid body, goes on to `BookingController.hold_seats`,
which can say what is wrong. Both paths call `hold`, and tests check that they give the same answers.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from litestar.enums import ScopeType
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from slotwise.domain.errors import SlotwiseError
from slotwise.domain.users import User
from slotwise.http.booking.idempotency import idempotency_key
from slotwise.http.booking.views import BookingView, NewBooking, seat_request
from slotwise.http.kit.access import client_ip_of, identify
from slotwise.http.kit.direct import encode, send_answer, send_refusal
from slotwise.http.kit.parts import ApiParts, api_parts
from slotwise.services.booking.batches import Held
from slotwise.services.core.callers import Caller

MAX_PLAIN_BYTES = 4096
_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})

_decode = msgspec.json.Decoder(NewBooking).decode


async def hold(api: ApiParts, user: User | None, client_ip: str, idempotency: str | None, wanted: NewBooking) -> Held:
    """Hold seats for a request that has been read; `idempotency` is the header's value."""
    api.booking_rate.admit(client_ip)
    key = idempotency_key(idempotency, user, "POST /api/bookings", wanted)
    held = await api.services.bookings.hold_seats(Caller(user), seat_request(wanted, user), key)
    api.crash_points.reach("hold_seats", "before_answer")
    return held


class FastPath(ASGIMiddleware):
    scopes = (ScopeType.HTTP,)

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        try:
            await api_parts(scope).services.bookings.require_room()
            message = await receive()
            headers = dict(scope["headers"])
            wanted = _plain_body(message) if _is_plain(scope, headers) else None
            if wanted is None:
                await next_app(scope, _with_first(message, receive), send)
            else:
                await _answer(send, await _hold(scope, headers, wanted))
        except SlotwiseError as error:
            await send_refusal(send, error)


async def _hold(scope: Scope, headers: Mapping[bytes, bytes], wanted: NewBooking) -> Held:
    api = api_parts(scope)
    user = await identify(api.services.users, _text(headers.get(b"authorization")) or "")
    return await hold(api, user, client_ip_of(scope), _text(headers.get(b"idempotency-key")), wanted)


def _is_plain(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """Whether the content type is JSON, the URL has no query, and no header comes twice.

    The ordinary path refuses two tokens, and a query.
    """
    once = len(headers) == len(list(scope["headers"]))
    return not scope["query_string"] and headers.get(b"content-type") in _JSON and once


def _plain_body(message: ReceiveMessage) -> NewBooking | None:
    """The body if it is complete, small and valid; otherwise None."""
    if message["type"] != "http.request" or message["more_body"] or len(message["body"]) > MAX_PLAIN_BYTES:
        return None
    try:
        return _decode(message["body"])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _with_first(message: ReceiveMessage, receive: Receive) -> Receive:
    """A `receive` that returns this message first, then the following ones."""
    first = [message]

    async def receive_with_first() -> ReceiveMessage:
        return first.pop() if first else await receive()

    return receive_with_first


def _text(header: bytes | None) -> str | None:
    return None if header is None else header.decode("latin-1")


async def _answer(send: Send, held: Held) -> None:
    body = encode(BookingView.of(held.booking, held.manage.token))
    await send_answer(
        send, HTTPStatus.CREATED, "application/json", {"Location": f"/api/bookings/{held.booking.id}"}, body
    )
