"""Refusals by the server itself, before a request reaches the application.

The application decides how a refusal is written: it passes in a `WriteRefusal`.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

from slotwise.domain.errors import InvalidInput, SlotwiseError


class RequestTooSlow(SlotwiseError):
    code = "request-timeout"
    title = "The request did not arrive in time"


class HeadTooLarge(SlotwiseError):
    code = "headers-too-large"
    title = "The headers have more than 32 KiB, or there are more than 100"


class UnreadableRequest(InvalidInput):
    """Not an HTTP/1.1 request, or one that the server does not accept. Fields keep the client's spelling."""


class Written(NamedTuple):
    """The answer to a refused request."""

    status: int
    media_type: str
    body: bytes
    headers: Mapping[str, str]


WriteRefusal: TypeAlias = Callable[[SlotwiseError], Written]
