"""Manage tokens: by one of these a guest proves that a booking is theirs.

A token is an HMAC of a random nonce under the server's secret. Bookings keep its SHA-256 only; an idempotency row keeps
the nonce, so that a repeated answer can give the token again without any table holding it.
"""

import base64
import hashlib
import hmac
import secrets

from msgspec import Struct

NONCE_BYTES = 16
_LABEL = b"slotwise manage token"


class ManageToken(Struct, frozen=True):
    nonce: bytes
    token: str

    @property
    def digest(self) -> bytes:
        return token_digest(self.token)


class ManageTokens:
    def __init__(self, secret: str) -> None:
        self._key = hmac.digest(secret.encode(), _LABEL, "sha256")

    def new(self) -> ManageToken:
        return self.again(secrets.token_bytes(NONCE_BYTES))

    def again(self, nonce: bytes) -> ManageToken:
        mac = hmac.digest(self._key, nonce, "sha256")
        return ManageToken(nonce, base64.urlsafe_b64encode(mac[:24]).decode())


def token_digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def proves(token: str | None, digest: bytes) -> bool:
    """Whether `token` is the one that `digest` was made of, in constant time."""
    return token is not None and hmac.compare_digest(token_digest(token), digest)
