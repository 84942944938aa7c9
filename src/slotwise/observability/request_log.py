"""One line of the log for each request. It is encoded in one go, because it is written as often as a booking."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol, TypeAlias

import msgspec

# Formats of a line, and where it goes.
Format: TypeAlias = Callable[["RequestLine"], bytes]
Write: TypeAlias = Callable[[bytes], None]

_encode = msgspec.json.Encoder().encode
_RESET = "\x1b[0m"
_COLORS = {2: "\x1b[32m", 3: "\x1b[36m", 4: "\x1b[33m", 5: "\x1b[31m"}


class RequestLine(msgspec.Struct):
    """The route's template, never the path, which may contain a token; the time until the end of the answer."""

    timestamp: datetime
    level: str
    event: str
    request_id: str
    method: str
    route: str
    status: int
    milliseconds: float


class LogRequest(Protocol):
    def __call__(self, request_id: str, method: str, route: str, status: int, seconds: float) -> None: ...


def request_log(format_line: Format, write: Write) -> LogRequest:
    def log_request(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
        milliseconds = round(seconds * 1000, 2)
        now = datetime.now(UTC)
        write(format_line(RequestLine(now, "info", "request", request_id, method, route, status, milliseconds)))

    return log_request


def log_nothing(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """For levels above info."""


def json_line(line: RequestLine) -> bytes:
    return _encode(line) + b"\n"


def readable_line(*, colors: bool) -> Format:
    """A format for people."""
    shades = {status: (shade, _RESET) for status, shade in _COLORS.items()} if colors else {}

    def format_line(line: RequestLine) -> bytes:
        color, reset = shades.get(line.status // 100, ("", ""))
        asked = f"{line.method} {line.route}"
        time = line.timestamp.isoformat(timespec="seconds")[:19]
        return f"{time}Z [{color}{line.status}{reset}] {asked:<50} {line.milliseconds} ms  {line.request_id}\n".encode()

    return format_line
