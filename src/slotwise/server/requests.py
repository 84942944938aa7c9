"""For every request: its id, its log line, its metrics, and the headers of every answer."""

import re
import secrets
import time
from asyncio import CancelledError
from collections.abc import Callable, Container, Iterable, Mapping
from http import HTTPStatus

import structlog
from litestar.enums import HttpMethod, ScopeType
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from slotwise.domain.errors import OutcomeUnknown, Overloaded, SlotwiseError
from slotwise.observability.logs import REQUEST_ID
from slotwise.observability.request_log import LogRequest, log_nothing
from slotwise.observability.request_meters import REQUEST_METERS
from slotwise.server.connections import answer_when_late, forget_when_late, is_endless, refusal_in, refuse
from slotwise.server.direct import Answer, Call, DirectRoute, DirectRoutes, Found, Origin
from slotwise.server.direct_connection import DIRECT, Exchange
from slotwise.server.heads import EVERYTHING
from slotwise.server.refusals import WriteRefusal

NO_ROUTES = DirectRoutes([])

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"content-security-policy": b"default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"cache-control": b"no-store",
}
_NAMES = frozenset(name.decode() for name in _HEADERS)
_SCHEMES = {"http", "https"}
_SAFE = frozenset({HttpMethod.GET, HttpMethod.HEAD, HttpMethod.OPTIONS})
_HSTS = (b"strict-transport-security", b"max-age=31536000")

# What is logged for a client that hung up before its answer.
_NOT_ANSWERED = 499
# The answer if even the one for an error cannot be made; as uvicorn's.
_BROKEN = Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain; charset=utf-8", b"Internal Server Error")

log = structlog.get_logger()


class Requests:
    """The outermost ASGI layer. It logs a route's template, never the path, which may contain a token."""

    def __init__(
        self,
        app: ASGIApp,
        write_refusal: WriteRefusal,
        log_request: LogRequest = log_nothing,
        direct: Callable[[], DirectRoutes] = lambda: NO_ROUTES,
        proxies: ProxyHeadersMiddleware | None = None,
        fault_of: Callable[[HTTPScope], SlotwiseError | None] = lambda _: None,
        *,
        hsts: bool,
    ) -> None:
        self._app = app
        self._direct = direct
        self._proxies = proxies
        self._fault_of = fault_of
        self._common = _lines(_HEADERS.items()) + (_lines([_HSTS]) if hsts else b"")
        self._write_refusal = write_refusal
        self._log_request = log_request
        self._hsts = hsts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            scope["state"][DIRECT] = self
            await self._app(scope, receive, send)
            return
        received = scope
        if scope["method"] == "HEAD":
            # A HEAD is a GET without content (RFC 9110, 9.3.2). uvicorn leaves the content out.
            scope = {**scope, "method": HttpMethod.GET.value}
            send = _head_only(send)
        request_id = _request_id(scope)
        started = time.perf_counter()
        status, answered_late = _NOT_ANSWERED, False

        async def send_observed(message: Message) -> None:
            nonlocal status
            if answered_late:
                return
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = _with_all_methods(scope, status, list(message["headers"]))
                message["headers"] = self._headers(headers, request_id)
            await send(message)

        async def answer_late() -> None:
            nonlocal answered_late
            if status == _NOT_ANSWERED:
                await refuse(_refusal_of_late(scope["method"]), scope, self._write_refusal, send_observed)
                answered_late = True

        answer_when_late(received, answer_late)
        REQUEST_ID.set(request_id)
        try:
            if (refusal := refusal_in(scope) or self._fault_of(scope)) is not None:
                await refuse(refusal, scope, self._write_refusal, send_observed)
            elif scope["raw_path"] == EVERYTHING:
                await _answer_for_server(send_observed)
            else:
                await self._app(scope, receive, send_observed)
        finally:
            forget_when_late(received)
            route, seconds = scope.get("path_template") or "unmatched", time.perf_counter() - started
            self._record(request_id, received["method"], route, int(status), seconds, timed=not is_endless(scope))

    def _record(
        self, request_id: str, method: str, route: str, status: int, seconds: float, *, timed: bool = True
    ) -> None:
        REQUEST_METERS.record(method, route, status, seconds, timed=timed)
        self._log_request(request_id, method, route, status, seconds)

    def find(self, method: bytes, url: bytes) -> Found | None:
        return self._direct().find(method, url)

    def origin_of(self, peer: str, headers: Mapping[bytes, bytes]) -> Origin:
        """As uvicorn's middleware finds it for the ordinary way."""
        if self._proxies is None or peer not in self._proxies.trusted_hosts:
            return Origin(peer, "http")
        scheme = headers.get(b"x-forwarded-proto", b"").decode("latin-1").strip()
        forwarded = headers.get(b"x-forwarded-for", b"").decode("latin-1")
        host, _port = self._proxies.trusted_hosts.get_trusted_client_address(forwarded)
        return Origin(host or peer, scheme if scheme in _SCHEMES else "http")

    async def answer_call(self, route: DirectRoute, call: Call, exchange: Exchange) -> None:
        request_id = _harmless(call.headers.get(b"x-request-id", b""))
        started = time.perf_counter()
        status = _NOT_ANSWERED

        async def answer(answer: Answer) -> None:
            nonlocal status
            if status == _NOT_ANSWERED:
                head = self._head(answer, request_id)
                status = answer.status
                await exchange.send(head, answer.body)

        async def answer_late() -> None:
            if status == _NOT_ANSWERED:
                exchange.keep_alive = False
                await answer(_late_answer(route, call))

        answer_when_late(exchange.scope, answer_late)
        REQUEST_ID.set(request_id)
        try:
            await answer(await route.operation(call))
        except CancelledError:  # the server ends, and has waited long enough
            await answer_late()
            raise
        except Exception as error:  # a defect: requests behind this one must be answered
            log.error("request_failed", error=type(error).__name__)  # noqa: TRY400 - see problems.py
            exchange.keep_alive = False
            await answer(_BROKEN)
        finally:
            forget_when_late(exchange.scope)
            self._record(request_id, route.method, route.template, status, time.perf_counter() - started)

    def _head(self, answer: Answer, request_id: str) -> list[bytes]:
        own = {"content-type": answer.media_type, "content-length": str(len(answer.body))} if answer.media_type else {}
        own.update({name.lower(): value for name, value in answer.headers.items()})
        fields = "".join(f"{name}: {value}\r\n" for name, value in own.items())
        common = self._common if own.keys().isdisjoint(_NAMES) else self._common_without(own)
        return [STATUS_LINE[answer.status], f"{fields}x-request-id: {request_id}\r\n".encode("latin-1"), common]

    def _common_without(self, own: Container[str]) -> bytes:
        others = ((name, value) for name, value in _HEADERS.items() if name.decode() not in own)
        return _lines(others) + (_lines([_HSTS]) if self._hsts else b"")

    def _headers(self, headers: list[tuple[bytes, bytes]], request_id: str) -> list[tuple[bytes, bytes]]:
        present = {name.lower() for name, _ in headers}
        headers.append((b"x-request-id", request_id.encode()))
        headers.extend((name, value) for name, value in _HEADERS.items() if name not in present)
        if self._hsts:
            headers.append(_HSTS)
        return headers


async def _answer_for_server(send: Send) -> None:
    """`OPTIONS *` asks about no path: it only tries whether the server answers (RFC 9110, 9.3.7)."""
    await send({"type": "http.response.start", "status": HTTPStatus.NO_CONTENT, "headers": []})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _refusal_of_late(method: str) -> SlotwiseError:
    """A change may still happen, or have happened; a read that is repeated does no harm (RFC 9110, 9.2.1)."""
    return Overloaded() if method in _SAFE else OutcomeUnknown()


def _late_answer(route: DirectRoute, call: Call) -> Answer:
    error = _refusal_of_late(route.method)
    REQUEST_METERS.count_refusal(error.code)
    try:
        return route.refuse(error, call)
    except Exception as defect:
        log.error("request_failed", error=type(defect).__name__)  # noqa: TRY400 - see problems.py
        return _BROKEN


def _head_only(send: Send) -> Send:
    """A `send` that ends the answer after its head, because the content may be endless."""

    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return send_head


def _with_all_methods(scope: HTTPScope, status: int, headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Complete the framework's `Allow`, of a method that the route does not have and of OPTIONS.

    It leaves HEAD out, which every route with GET has; and for OPTIONS, all methods but those of one handler.
    """
    if (allow := dict(headers).get(b"allow")) is None:
        return headers
    methods = {name.strip() for name in allow.decode().split(",")} - {""}
    if status == HTTPStatus.NO_CONTENT:
        methods |= _methods_of(scope)
    if HttpMethod.GET in methods:
        methods.add(HttpMethod.HEAD.value)
    complete = (b"allow", ", ".join(sorted(methods)).encode())
    return [complete, *((name, value) for name, value in headers if name != b"allow")]


def _methods_of(scope: HTTPScope) -> set[str]:
    template = scope.get("path_template")
    routes = (route for route in scope["litestar_app"].routes if isinstance(route, HTTPRoute))
    return {str(method) for route in routes if route.path_format == template for method in route.methods}


def _request_id(scope: HTTPScope) -> str:
    return _harmless(next((value for name, value in scope["headers"] if name == b"x-request-id"), b""))


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(name + b": " + value + b"\r\n" for name, value in headers)


def _harmless(sent: bytes) -> str:
    """The client's own request id if it is harmless, so that its logs and ours can be joined; else a new one."""
    return sent.decode() if _REQUEST_ID.fullmatch(sent) else secrets.token_hex(8)
