"""Refusals by the server itself, before a request reaches the application.

The application decides how a refusal is written: it passes in a `WriteRefusal`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from litestar.types import Scope

from slotwise.domain.errors import InvalidInput, SlotwiseError


class RequestTooSlow(SlotwiseError):
    code = "request-timeout"
    title = "The request did not arrive in time"


class HeadTooLarge(SlotwiseError):
    code = "headers-too-large"
    title = "The headers have more than 32 KiB, or there are more than 100"


class VersionUnsupported(SlotwiseError):
    code = "http-version-not-supported"
    title = "The server does not speak this version of HTTP; send the request as HTTP/1.1"


class MethodUnknown(SlotwiseError):
    code = "method-not-implemented"
    title = "The server does not know this method"


class ExpectationFailed(SlotwiseError):
    code = "expectation-failed"
    title = "The header Expect may only say 100-continue"


class BodyEncoded(SlotwiseError):
    code = "unsupported-content-encoding"
    title = "Send the body as it is, without a Content-Encoding"


class TransferCodingUnknown(SlotwiseError):
    code = "transfer-coding-not-implemented"
    title = "The only Transfer-Encoding that the server knows is chunked"


class UnreadableRequest(InvalidInput):
    """Not an HTTP/1.1 request, or one that the server does not accept. Fields keep the client's spelling."""


class Written(NamedTuple):
    """The answer to a refused request."""

    status: int
    media_type: str
    body: bytes
    headers: Sequence[tuple[str, str]]


WriteRefusal: TypeAlias = Callable[[SlotwiseError, Scope], Written]
