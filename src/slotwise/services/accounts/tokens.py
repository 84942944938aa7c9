"""Access tokens: signed JWTs (RFC 7519) in the profile of RFC 9068, revocable through the account's token version."""

import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import jwt
from msgspec import Struct

from slotwise.domain import base64url
from slotwise.domain.errors import NotAuthenticated
from slotwise.domain.fields import MAX_ID
from slotwise.domain.users import User

ISSUER = "slotwise"
AUDIENCE = "slotwise-api"
TYPE = "at+jwt"
# How far the clocks of two servers may be apart. A token that one issues must be valid at the other.
CLOCKS_APART_SECONDS = 10 * 60
MOST_VERIFIED = 10_000
_REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti", "ver"]


class TokenClaims(Struct, frozen=True):
    user_id: int
    version: int


def _claims_of(payload: dict[str, Any]) -> TokenClaims:
    """In the spelling in which `issue` writes them."""
    user_id, version = int(payload["sub"]), payload["ver"]
    if not 0 < user_id <= MAX_ID or payload["sub"] != str(user_id) or type(version) is not int:
        raise NotAuthenticated
    return TokenClaims(user_id, version)


class _Verified(NamedTuple):
    """What a token says, and the POSIX time at which it expires."""

    claims: TokenClaims
    expires: float


class AccessTokens:
    """`seconds` is how long a token lives."""

    def __init__(self, secret: str, seconds: int) -> None:
        self._secret = secret
        self.seconds = seconds
        # By the whole token. To check a signature again takes as long as a third of a booking.
        self._verified: dict[str, _Verified] = {}

    def issue(self, user: User) -> str:
        now = datetime.now(UTC)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user.id),
            "ver": user.token_version,
            "iat": now,
            "exp": now + timedelta(seconds=self.seconds),
            "jti": secrets.token_urlsafe(12),
        }
        return jwt.encode(claims, self._secret, algorithm="HS256", headers={"typ": TYPE})

    def read(self, token: str) -> TokenClaims:
        """Raises `NotAuthenticated` unless the token is unexpired and was signed with this secret for this API."""
        verified = self._verified.get(token)
        if verified is None:
            verified = self._verify(token)
            if len(self._verified) >= MOST_VERIFIED:
                self._verified.clear()
            self._verified[token] = verified
        elif verified.expires <= time.time():
            raise NotAuthenticated
        return verified.claims

    def _verify(self, token: str) -> _Verified:
        """It must be spelled as it was issued. The signature covers only the text before it, and the library accepts a
        signature with padding."""
        try:
            decoded = self._decode(token)
            if decoded["header"].get("typ") != TYPE or _is_from_the_future(decoded["payload"]["iat"]):
                raise NotAuthenticated
            if not token.endswith(f".{base64url.encode(decoded['signature'])}"):
                raise NotAuthenticated
            return _Verified(_claims_of(decoded["payload"]), int(decoded["payload"]["exp"]))
        except (jwt.InvalidTokenError, ValueError, TypeError, OverflowError) as error:
            raise NotAuthenticated from error

    def _decode(self, token: str, *, expired: bool = False) -> dict[str, Any]:
        """Header, payload and signature. `expired` accepts a token that has expired, too."""
        return jwt.decode_complete(
            token,
            self._secret,
            algorithms=["HS256"],
            audience=AUDIENCE,
            issuer=ISSUER,
            options={"require": _REQUIRED, "strict_aud": True, "verify_iat": False, "verify_exp": not expired},
        )

    def account_named_by(self, token: str) -> int | None:
        """The id in a token that was signed with this secret, expired or not. It proves no right to anything."""
        try:
            payload = self._decode(token, expired=True)["payload"]
            return _claims_of(payload).user_id
        except (jwt.InvalidTokenError, NotAuthenticated, ValueError, TypeError, OverflowError):
            return None


def _is_from_the_future(issued_at: float) -> bool:
    return issued_at > datetime.now(UTC).timestamp() + CLOCKS_APART_SECONDS
