"""What the head of a request must be (RFC 9110, RFC 9112), beyond what the parser checks.

The parser accepts some heads that two programs may understand differently: without a host or with two, with a version
or a coding that this server does not speak. Such a request is refused, and its connection is closed.
"""

import re
from collections import Counter
from collections.abc import Sequence

from slotwise.domain.errors import SlotwiseError
from slotwise.domain.url_hosts import is_host
from slotwise.server.refusals import (
    BodyEncoded,
    ExpectationFailed,
    MethodUnknown,
    TransferCodingUnknown,
    UnreadableRequest,
    VersionUnsupported,
)

Headers = Sequence[tuple[bytes, bytes]]

VERSIONS = frozenset({"1.0", "1.1"})
# What the parser takes a request line without a version for.
_OLDEST = "0.9"
_LINE = re.compile(rb"[\r\n]*[!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ ([^\r\n]*)\r\n")
_VERSION = re.compile(rb"HTTP/([0-9]\.[0-9])")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
# White space around a value does not belong to it (RFC 9110, 5.5). The parser leaves it behind the value.
_SPACE = b" \t"
_LINE_ENDS = b"\r\n"
# Most requests have none of these. Only those that have one are looked at closely.
_LOOKED_AT = frozenset({b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"})
_CONTINUE = b"100-continue"
# The whole server, in place of a path (RFC 9112, 3.2.4).
EVERYTHING = b"*"
# Lists that the application reads. Several headers of such a name are one list (RFC 9110, 5.3).
_LISTS = frozenset({b"accept", b"accept-encoding", b"access-control-request-headers", b"if-none-match"})
# Headers that are no lists: if there are two, another program may have read the other one. Access tokens and manage
# tokens are not here: the application refuses two of them as no proof at all.
_SINGLE = {
    name.lower().encode(): name
    for name in (
        "Access-Control-Request-Method", "Content-Type", "Host", "Idempotency-Key", "Last-Event-ID", "Origin",
        "Sec-Fetch-Site",
    )
}  # fmt: skip
_ONCE = "must be sent once"
_NO_LINE = "must begin with a method, a path and a version, like GET /health HTTP/1.1, with single spaces"
_NO_VERSION = "must name its version after the path: HTTP/1.1"
_NO_TARGET = "must be for a path, such as /health, or for an http URL"


def require_line(method: bytes, url: bytes, version: str, received: bytes, place: int | None) -> None:
    """Refuse what the parser accepts in place of a request line: several spaces, the names of other protocols.

    `received` has the line at this place, behind the requests that came before; or anywhere, if the place is None.
    """
    if method == b"CONNECT":
        raise MethodUnknown
    line = method + b" " + url + b" HTTP/"
    is_there = received.__contains__ if place is None else received[place:].lstrip(_LINE_ENDS).startswith
    if version == _OLDEST and not is_there(line):
        raise UnreadableRequest.of("request", _NO_VERSION)
    if version not in VERSIONS:
        raise VersionUnsupported
    if not is_there(line + b"1"):
        raise UnreadableRequest.of("request", _NO_LINE)
    if url == EVERYTHING and method != b"OPTIONS":
        raise UnreadableRequest.of("request", _NO_TARGET)


def accepted(version: str, url: bytes, headers: Headers, *, upgrades: bool) -> tuple[bytes, Headers, bool]:
    """The path and the headers for the application, and whether the client waits for 100 (Continue).

    Raises the reason if the head is refused. `upgrades` if the parser will not read HTTP after it.
    """
    sent = dict(headers)
    if len(sent) < len(headers):
        headers = _with_whole_lists(headers)
    headers = _with_host(version, headers, sent.get(b"host"))
    waits = not _LOOKED_AT.isdisjoint(sent) and _waits(version, headers, upgrades=upgrades)
    if not url.startswith(b"/") or b"#" in url:
        url, headers = _origin_form(url, headers)
    return url, headers, waits


def require_version_in(received: bytes) -> None:
    """Refuse the first line of HTTP/0.9 as soon as it is there: no headers follow it, so the head would never end."""
    line, end, _ = received.lstrip(_LINE_ENDS).partition(_LINE_ENDS)
    if end and line.count(b" ") == 1:
        raise UnreadableRequest.of("request", _NO_VERSION)


def fault_of_unparsed(received: bytes, reason: str) -> SlotwiseError:
    """Why a request that begins with these bytes could not be parsed; `reason` is the parser's, or empty."""
    line = _LINE.match(received)
    if line is not None:
        version = _VERSION.fullmatch(line[1])
        if version is None:
            return UnreadableRequest.of("request", _NO_LINE)
        if version[1].decode() not in VERSIONS:
            return VersionUnsupported()
        if " method" in reason or reason.startswith("Expected HTTP/2"):
            return MethodUnknown()
    said = f" ({reason})" if reason else ""
    return UnreadableRequest.of("request", f"could not be read as an HTTP/1.1 request{said}")


def promises_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 ") != b"")
        for name, value in headers
    )


def _with_whole_lists(headers: Headers) -> Headers:
    """The headers with one of each name in `_LISTS`. Raises the reason if there are two of a name in `_SINGLE`."""
    times = Counter(name for name, _ in headers)
    for name in _SINGLE.keys() & times.keys():
        if times[name] > 1:
            raise UnreadableRequest.of(_SINGLE[name], _ONCE)
    lists = {name: b", ".join(value for other, value in headers if other == name) for name in _LISTS & times.keys()}
    return [*((name, value) for name, value in headers if name not in lists), *lists.items()]


def _with_host(version: str, headers: Headers, sent: bytes | None) -> Headers:
    """The headers, without white space around the host (RFC 9112, 3.2)."""
    if sent is None:
        if version != "1.0":
            raise UnreadableRequest.of("Host", _ONCE)
        return headers
    if is_host(sent):
        return headers
    if not is_host(host := sent.strip(_SPACE)):
        raise UnreadableRequest.of("Host", "must be the name or the IP of a host, with a port if needed")
    return _naming(host, headers)


def _origin_form(url: bytes, headers: Headers) -> tuple[bytes, Headers]:
    """A target in absolute form as a path, and its host in place of the header `Host` (RFC 9112, 3.2.2).

    The parser accepts a fragment, which belongs to the client, and hosts that no `Host` could name.
    """
    if url == EVERYTHING:
        return url, headers
    if b"#" in url:
        raise UnreadableRequest.of("request", "must not have a fragment (#) in its URL")
    absolute = _ABSOLUTE.fullmatch(url)
    if absolute is None or not is_host(absolute[1]):
        raise UnreadableRequest.of("request", _NO_TARGET)
    host, rest = absolute[1], absolute[2]
    return rest if rest.startswith(b"/") else b"/" + rest, _naming(host, headers)


def _naming(host: bytes, headers: Headers) -> Headers:
    return [(b"host", host), *((name, value) for name, value in headers if name != b"host")]


def _waits(version: str, headers: Headers, *, upgrades: bool) -> bool:
    """Whether the client waits for 100 (Continue). Raises the reason if a header of `_LOOKED_AT` is refused."""
    if upgrades and promises_body(headers):
        # The parser takes the body as data of the other protocol, so the request would be handled without its body.
        raise UnreadableRequest.of("Upgrade", "cannot be sent with a body")
    if (transfer := _members(headers, b"transfer-encoding")) and (version == "1.0" or transfer != [b"chunked"]):
        raise _fault_of_transfer(version, transfer)
    codings = _members(headers, b"content-encoding")
    if any(coding != b"identity" for coding in codings) and promises_body(headers):
        raise BodyEncoded
    expected = _members(headers, b"expect")
    if any(each != _CONTINUE for each in expected):
        raise ExpectationFailed
    # HTTP/1.0 has no interim answers (RFC 9110, 10.1.1).
    return bool(expected) and version != "1.0"


def _fault_of_transfer(version: str, codings: Sequence[bytes]) -> SlotwiseError:
    """RFC 9112, 6.1: an unknown coding is 501; what makes the end of the body doubtful is 400."""
    if version == "1.0":
        return UnreadableRequest.of("Transfer-Encoding", "is not part of HTTP/1.0")
    if codings[-1] != b"chunked" or codings.count(b"chunked") > 1:
        return UnreadableRequest.of("Transfer-Encoding", "must end with chunked, once")
    return TransferCodingUnknown()


def _members(headers: Headers, wanted: bytes) -> list[bytes]:
    """The members of a list (RFC 9110, 5.6.1) in small letters, from all headers of that name."""
    values = [value.lower() for name, value in headers if name == wanted]
    members = [member.strip(_SPACE) for value in values for member in value.split(b",")]
    return [member for member in members if member]
