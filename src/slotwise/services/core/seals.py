"""Texts that a client keeps for the server: anyone can read them, and only the server can write them."""

import hashlib
import hmac

from slotwise.domain import base64url

_LABEL = b"slotwise seal"


class Seals:
    """`label` is what the texts are for: a text of one purpose is none of another."""

    def __init__(self, secret: str, label: bytes = _LABEL) -> None:
        self._key = hmac.digest(secret.encode(), label, hashlib.sha256)

    def seal(self, content: bytes) -> str:
        body = base64url.encode(content)
        return f"{body}.{self._mark(body)}"

    def unseal(self, text: str) -> bytes | None:
        """None for a text that was not sealed with this secret."""
        body, _, mark = text.partition(".")
        if not text.isascii() or not hmac.compare_digest(mark, self._mark(body)):
            return None
        return base64url.decode(body)

    def _mark(self, body: str) -> str:
        return hmac.digest(self._key, body.encode(), hashlib.sha256).hex()
