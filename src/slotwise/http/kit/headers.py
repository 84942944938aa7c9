"""Headers of the API besides those of every HTTP message. Pages of named origins may send and read all of these."""

from typing import Any, Final

# What clients send. A browser asks for permission (CORS) before it sends any of them to another origin.
SENT = (
    "Authorization",
    "Booking-Token",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",  # by an EventSource that reconnects
    "X-Request-ID",
)

# What every answer of an operation has.
OF_EVERY_ANSWER = ("X-Request-ID", "Cache-Control")

# What answers have, as the API document describes it.
DESCRIBED: Final[dict[str, dict[str, Any]]] = {
    "Accept-Encoding": {
        "description": "Only if the body came with a `Content-Encoding`: the one that the server takes",
        "schema": {"type": "string", "enum": ["identity"]},
    },
    "Cache-Control": {
        "description": "`no-store`: keep no copy of the answer. `no-cache`: ask again with its `ETag` before you use a "
        "copy",
        "schema": {"type": "string", "enum": ["no-cache", "no-store"]},
    },
    "ETag": {
        "description": "The version of the answer. Send it as `If-None-Match` to get 304 while nothing has changed, "
        "or as `If-Match` to change only this version",
        "schema": {"type": "string", "pattern": '^"[0-9a-f]+"$'},
    },
    "Location": {
        "description": "The path of what was made",
        "schema": {"type": "string", "format": "uri-reference"},
    },
    "Retry-After": {
        "description": "In how many seconds to try again",
        "schema": {"type": "integer", "minimum": 1},
    },
    "WWW-Authenticate": {
        "description": "What the header `Authorization` must begin with",
        "schema": {"type": "string", "enum": ["Bearer"]},
    },
    "X-Accel-Buffering": {
        "description": "Tells a proxy to pass on each event at once",
        "schema": {"type": "string", "enum": ["no"]},
    },
    "X-Request-ID": {
        "description": "The id of the request in the server's log: the client's own, or a new one",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    },
}

# Browsers show `Cache-Control` to every page, and the other one is for proxies.
_NOT_HIDDEN = frozenset({"Cache-Control", "X-Accel-Buffering"})
# A browser hides these from a page of another origin unless they are exposed. `Date` is the server's clock, by which a
# hold expires.
EXPOSED = (*(name for name in DESCRIBED if name not in _NOT_HIDDEN), "Allow", "Date")
