"""What the server refuses by itself, before the application hears of a request.

How a refusal is written is the application's affair: it hands in a `WriteRefusal`.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from slotwise.domain.errors import InvalidInput, SlotwiseError


class RequestTooSlow(SlotwiseError):
    code = "request-timeout"
    title = "The request did not arrive in time"


class HeadTooLarge(SlotwiseError):
    code = "headers-too-large"
    title = "The headers have more than 32 KiB, or there are more than 100"


class UnreadableRequest(InvalidInput):
    """Not a request of HTTP/1.1, or one that the server does not take. Fields are named as the client wrote them."""


class Written(NamedTuple):
    """An answer to a refused request."""

    status: int
    media_type: str
    body: bytes


WriteRefusal: TypeAlias = Callable[[SlotwiseError], Written]
