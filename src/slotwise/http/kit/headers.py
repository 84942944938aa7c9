"""Headers of the API besides those of every HTTP message. Pages of named origins may send and read all of these."""

from litestar.openapi.spec import OpenAPIHeader, Schema
from litestar.openapi.spec.enums import OpenAPIType

# What clients send. A browser asks for permission (CORS) before it sends any of them to another origin.
SENT = (
    "Authorization",
    "Booking-Token",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",  # by an EventSource that reconnects
    "X-Request-ID",
)

# What answers have, as the API document describes it.
DESCRIBED = {
    "Cache-Control": "How long the answer may be kept: `no-cache` means that it must be asked for again, with its ETag",
    "ETag": "The version of the answer. Send it as `If-None-Match` to get 304 while nothing has changed",
    "Location": "Where the new thing is",
    "Retry-After": "In how many seconds to try again",
    "WWW-Authenticate": "Always `Bearer`",
    "X-Request-ID": "The id of the request in the server's log: the client's own, or a new one",
}

# A browser hides these from a page of another origin unless they are exposed. `Date` is the server's clock, by which a
# hold expires.
EXPOSED = (*(name for name in DESCRIBED if name != "Cache-Control"), "Accept-Encoding", "Allow", "Date")


def header_components() -> dict[str, OpenAPIHeader]:
    return {
        name: OpenAPIHeader(
            description=description,
            schema=Schema(type=OpenAPIType.INTEGER if name == "Retry-After" else OpenAPIType.STRING),
        )
        for name, description in DESCRIBED.items()
    }
