"""What the head of a request must be (RFC 9110, RFC 9112), beyond what the parser checks.

The parser accepts some heads that two programs may understand differently: without a host or with two, with a version
or a coding that this server does not speak. Such a request is refused, and its connection is closed.
"""

import re
from collections.abc import Sequence

from slotwise.domain.errors import SlotwiseError
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
_LINE = re.compile(rb"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^\s]+ HTTP/([0-9]\.[0-9])\r\n")
_HOST = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)([^#]*)", re.IGNORECASE)
# Each costs a look when it is there; most requests have only the first one of these.
_LOOKED_AT = frozenset({b"host", b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"})
_CONTINUE = [b"100-continue"]


def fault_of_head(version: str, url: bytes, headers: Headers, *, upgrades: bool) -> SlotwiseError | None:
    """Why this head is refused; None if it is not. `upgrades` if the parser will not read HTTP after it."""
    if version not in VERSIONS:
        return _fault_of_version(version)
    hosts, others = [], False
    for name, value in headers:
        if name == b"host":
            hosts.append(value.strip(b" \t"))
        elif name in _LOOKED_AT:
            others = True
    if (fault := _fault_of_hosts(version, hosts) or _fault_of_target(url)) is not None:
        return fault
    return _fault_of_others(version, headers, upgrades=upgrades) if others else None


def fault_of_unparsed(received: bytes, reason: str) -> SlotwiseError:
    """Why a request that begins with these bytes could not be parsed; `reason` is the parser's, or empty."""
    line = _LINE.match(received)
    if line is not None and line[1].decode() not in VERSIONS:
        return VersionUnsupported()
    if line is not None and reason == "Invalid method encountered":
        return MethodUnknown()
    said = f" ({reason})" if reason else ""
    return UnreadableRequest.of("request", f"could not be read as an HTTP/1.1 request{said}")


def origin_form(url: bytes, headers: Headers) -> tuple[bytes, Headers]:
    """A target in absolute form as a path, and its host in place of the header `Host` (RFC 9112, 3.2.2)."""
    if url.startswith(b"/") or (absolute := _ABSOLUTE.fullmatch(url)) is None:
        return url, headers
    host, rest = absolute[1], absolute[2]
    path = rest if rest.startswith(b"/") else b"/" + rest
    return path, [(name, host if name == b"host" else value) for name, value in headers]


def promises_body(headers: Headers) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 ") != b"")
        for name, value in headers
    )


def _fault_of_version(version: str) -> SlotwiseError:
    # The parser takes a request line without a version for HTTP/0.9.
    if version == "0.9":
        return UnreadableRequest.of("request", "must name its version after the path: HTTP/1.1")
    return VersionUnsupported()


def _fault_of_hosts(version: str, hosts: Sequence[bytes]) -> SlotwiseError | None:
    if len(hosts) > 1 or (not hosts and version != "1.0"):
        return UnreadableRequest.of("Host", "must be sent once")
    if hosts and _HOST.fullmatch(hosts[0]) is None:
        return UnreadableRequest.of("Host", "must be the name or the IP of a host, with a port if needed")
    return None


def _fault_of_target(url: bytes) -> SlotwiseError | None:
    """The parser accepts a fragment, which belongs to the client, and hosts that no `Host` could name."""
    if b"#" in url:
        return UnreadableRequest.of("request", "must not have a fragment (#) in its URL")
    if url.startswith(b"/"):
        return None
    absolute = _ABSOLUTE.fullmatch(url)
    if absolute is None or _HOST.fullmatch(absolute[1]) is None:
        return UnreadableRequest.of("request", "must be for a path, such as /health, or for an http URL")
    return None


def _fault_of_others(version: str, headers: Headers, *, upgrades: bool) -> SlotwiseError | None:
    if upgrades and promises_body(headers):
        # The parser takes the body as data of the other protocol, so the request would be handled without its body.
        return UnreadableRequest.of("Upgrade", "cannot be sent with a body")
    if (transfer := _members(headers, b"transfer-encoding")) and (version == "1.0" or transfer != [b"chunked"]):
        return _fault_of_transfer(version, transfer)
    codings = _members(headers, b"content-encoding")
    if any(coding != b"identity" for coding in codings) and promises_body(headers):
        return BodyEncoded()
    if any(expected not in _CONTINUE for expected in _members(headers, b"expect")):
        return ExpectationFailed()
    return None


def _fault_of_transfer(version: str, codings: Sequence[bytes]) -> SlotwiseError:
    """RFC 9112, 6.1: an unknown coding is 501; what makes the end of the body doubtful is 400."""
    if version == "1.0":
        return UnreadableRequest.of("Transfer-Encoding", "is not part of HTTP/1.0")
    if codings[-1] != b"chunked" or codings.count(b"chunked") > 1:
        return UnreadableRequest.of("Transfer-Encoding", "must end with chunked, once")
    return TransferCodingUnknown()


def _members(headers: Headers, wanted: bytes) -> list[bytes]:
    """The members of a list (RFC 9110, 5.6.1) in small letters, from all headers of that name."""
    members = [member.strip(b" \t").lower() for name, value in headers if name == wanted for member in value.split(b",")]
    return [member for member in members if member]
