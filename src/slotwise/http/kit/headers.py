"""Headers of the API besides those of every HTTP message. Pages of named origins may send and read all of these."""

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

# What answers have. A browser hides them from a page of another origin unless they are exposed.
ANSWERED = (
    "Accept-Encoding",
    "Allow",
    "Date",  # of the server's clock, by which a hold expires
    "ETag",
    "Location",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)
