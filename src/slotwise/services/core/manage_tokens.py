"""Manage tokens: with one of them a guest proves that a booking is theirs.

A token is an HMAC of a random nonce under the server's secret. A booking keeps only its SHA-256. An idempotency row
keeps the nonce, so that a repeated answer can give the token again, although no table has it.
"""

import hashlib
import hmac
import secrets

from msgspec import Struct

from slotwise.domain import base64url

NONCE_BYTES = 16
TOKEN_BYTES = 24
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
        return ManageToken(nonce, base64url.encode(mac[:TOKEN_BYTES]))


def token_digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def proves(token: str | None, digest: bytes) -> bool:
    """Whether `digest` is that of `token`. Takes the same time for any token."""
    return token is not None and hmac.compare_digest(token_digest(token), digest)
