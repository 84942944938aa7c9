"""The header `Idempotency-Key`: a string of RFC 8941, or the same without quotes."""

import re
from typing import Annotated

import msgspec
from litestar.openapi.spec import Example
from litestar.params import HeaderParameter

from slotwise.domain.errors import InvalidInput
from slotwise.domain.users import User, actor_of
from slotwise.services.core.idempotency import IdempotencyKey

MAX_CHARACTERS = 255
MIN_GUEST_CHARACTERS = 16
# In quotes. A key of quotes has a backslash before each.
_MAX_SENT = 2 * MAX_CHARACTERS + 2

IdempotencyHeader = Annotated[
    str | None,
    HeaderParameter(
        name="Idempotency-Key",
        description="A name for this attempt. For 24 hours, the same key with the same body gives the same answer and "
        f"no second booking. At most {MAX_CHARACTERS} characters. Without an access token it needs at least "
        f"{MIN_GUEST_CHARACTERS} and must be hard to guess, because the answer contains the manage token.",
        examples=[Example(value="3f1c7b1e-4c1b-4d0a-9a53-0d8e6a3c8a55")],
        schema_extra={"minLength": 1, "maxLength": _MAX_SENT},
    ),
]

_FIELD = "Idempotency-Key"
_QUOTED = re.compile(r'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_BARE = re.compile(r"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]+")


def parse_key(header: str) -> str:
    """The key: quoted (RFC 8941, 3.3.3), or bare, as visible ASCII without quotes, commas, semicolons, backslashes."""
    sent = header.strip(" \t")
    if quoted := _QUOTED.fullmatch(sent):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    elif _BARE.fullmatch(sent):
        key = sent
    else:
        raise InvalidInput.of(_FIELD, "must be a quoted string (RFC 8941) or visible ASCII characters")
    if not 1 <= len(key) <= MAX_CHARACTERS:
        raise InvalidInput.of(_FIELD, f"must have 1 to {MAX_CHARACTERS} characters")
    return key


def idempotency_key(header: str | None, user: User | None, route: str, body: msgspec.Struct) -> IdempotencyKey | None:
    """The idempotency key of a request, or None. Bodies that differ only in spelling count as the same body."""
    if header is None:
        return None
    key = parse_key(header)
    if user is None and len(key) < MIN_GUEST_CHARACTERS:
        raise InvalidInput.of(_FIELD, f"must have at least {MIN_GUEST_CHARACTERS} characters when no token is sent")
    return IdempotencyKey.of(actor_of(user), route, key, msgspec.json.encode(body))
