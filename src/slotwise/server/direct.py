"""Operations that a connection answers itself, without ASGI and the framework.

Between a parsed request and the use case, ASGI and the framework cost several times as much as the use case itself. An
operation is one function from a call to an answer; the framework's handler calls the same function. This module knows
no route by name: handlers declare what may be answered directly, and the table is made from them.
"""

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeAlias, TypeVar

from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from slotwise.domain.errors import SlotwiseError

# Larger bodies go the ordinary way.
MOST_BODY_BYTES = 4096
# Of a route: how many queries are known, and how long they may be.
MOST_QUERIES = 1000
MOST_QUERY_BYTES = 500
_NUMBER = re.compile(rb"(?<=/)[1-9][0-9]{0,17}(?=/|\Z)")
_PARAMETER = re.compile(r"\{[^}]*\}")
_PLACE = b"{}"
_KEEP_ALIVE = b"keep-alive"
# A request with any other header goes the ordinary way.
_PLAIN_HEADERS = frozenset(
    {
        # No operation reads these.
        b"cache-control",
        b"dnt",
        b"pragma",
        b"priority",
        b"referer",
        b"sec-ch-ua",
        b"sec-ch-ua-mobile",
        b"sec-ch-ua-platform",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-user",
        b"sec-gpc",
        b"traceparent",
        b"upgrade-insecure-requests",
        b"user-agent",
        b"via",
        b"x-forwarded-host",
        b"x-real-ip",
        # Forms of pages are refused by this one, but none is answered directly.
        b"sec-fetch-site",
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"authorization",
        b"booking-token",
        b"connection",
        b"content-length",
        b"content-type",
        b"host",
        b"idempotency-key",
        b"if-none-match",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-request-id",
    }
)


Query = TypeVar("Query")


class Raw(NamedTuple):
    """A plain request before its body and query are read. Each header came once."""

    headers: Mapping[bytes, bytes]
    query: bytes
    body: bytes


class Origin(NamedTuple):
    """The client's IP, and `http` or `https`: as a trusted proxy says, if there is one."""

    host: str
    scheme: str


class Headed(Struct, frozen=True):
    """`headers` have each name once, in small letters."""

    headers: Mapping[bytes, bytes]

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class Call(Headed, frozen=True):
    """`numbers` are those in the path, and `data` is what the route has read."""

    numbers: tuple[int, ...]
    data: Any
    origin: Origin


class Answer(Struct, frozen=True):
    """Without a media type, it is one that has no content, such as 304."""

    status: int
    media_type: str
    body: bytes
    headers: Mapping[str, str] = {}


Operation: TypeAlias = Callable[[Call], Awaitable[Answer]]
# Writes the answer for an error, also for one that no operation raises: that an answer is late.
Refuse: TypeAlias = Callable[[SlotwiseError, Call], Answer]
# None if the request must go the ordinary way, which can say what is wrong with it.
Read: TypeAlias = Callable[[Raw], Any]
# Says whether an operation takes calls at this moment.
IsOpen: TypeAlias = Callable[[], bool]


def read_nothing(raw: Raw) -> Any:
    """For operations without body and query."""
    return None if raw.body or raw.query else ()


class KnownQueries(Generic[Query]):
    """Queries as they were spelled, with what they mean. A spelling is read once, the ordinary way."""

    def __init__(self) -> None:
        self._queries: dict[bytes, Query] = {}

    def remember(self, spelled: bytes, query: Query) -> None:
        if len(spelled) <= MOST_QUERY_BYTES:
            if len(self._queries) >= MOST_QUERIES:
                self._queries.clear()
            self._queries[spelled] = query

    def read(self, raw: Raw) -> Query | None:
        return None if raw.body else self._queries.get(raw.query)


class DirectRoute(Struct, frozen=True):
    """`template` as in the log, such as `/api/bookings/{booking_id}`; every parameter is a number."""

    method: str
    template: str
    operation: Operation
    refuse: Refuse
    read: Read = read_nothing
    is_open: IsOpen = lambda: True


class Binding(Struct, frozen=True):
    """In a handler's `opt`: makes its route for an application that has started."""

    KEY: ClassVar[str] = "direct"

    bind: Callable[[Litestar, str, str], DirectRoute]


class Found(NamedTuple):
    route: DirectRoute
    numbers: tuple[int, ...]
    query: bytes


class DirectRoutes:
    def __init__(self, routes: Iterable[DirectRoute]) -> None:
        self._routes = {
            (route.method.encode(), _PARAMETER.sub(_PLACE.decode(), route.template).encode()): route for route in routes
        }

    def find(self, method: bytes, url: bytes) -> Found | None:
        """None for a URL that is not spelled plainly, and while the operation is closed."""
        path, _, query = url.partition(b"?")
        if (route := self._routes.get((method, path))) is None:
            route = self._routes.get((method, _NUMBER.sub(_PLACE, path)))
        if route is None or b"{" in url or not route.is_open():
            return None
        return Found(route, tuple(map(int, _NUMBER.findall(path))) if "{" in route.template else (), query)


def declared_in(application: Litestar) -> DirectRoutes:
    """The routes whose handlers declare that they may be answered directly."""
    return DirectRoutes(
        handler.opt[Binding.KEY].bind(application, method, route.path_format)
        for route in application.routes
        for handler in getattr(route, "route_handlers", ())
        if isinstance(handler, HTTPRouteHandler) and Binding.KEY in handler.opt
        for method in handler.http_methods
        if method != "OPTIONS"
    )


def plain_headers(headers: list[tuple[bytes, bytes]]) -> Mapping[bytes, bytes] | None:
    """None if a header comes twice, or could change how the request must be read."""
    once = dict(headers)
    if len(once) != len(headers) or not once.keys() <= _PLAIN_HEADERS:
        return None
    return once if once.get(b"connection", _KEEP_ALIVE).lower() == _KEEP_ALIVE else None
