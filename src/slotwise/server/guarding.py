"""Guards of handlers, asked before the handler and before a body is read.

The framework has guards of its own. For each guard of each request, it copies the whole handler, which takes as long as
a part of a booking.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ASGIApp, Receive, Scope, Send

Guard: TypeAlias = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]


class Guarded(ASGIMiddleware):
    """Asks the guards in their order. The first one that raises an error refuses the request."""

    scopes = (ScopeType.HTTP,)

    def __init__(self, *guards: Guard) -> None:
        self.guards = guards

    async def handle(self, scope: Scope, receive: Receive, send: Send, next_app: ASGIApp) -> None:
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        handler: Any = scope["route_handler"]
        for guard in self.guards:
            await guard(request, handler)
        await next_app(scope, receive, send)
