"""Who looks at a page: what the cookies of a browser say, and what they are set to.

Cookies are HttpOnly and SameSite=Lax; under TLS their names begin with `__Host-`, so that no other host and no
unencrypted page can set them (RFC 6265bis, 4.1.3.2).
"""

import base64
import binascii
import secrets
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from msgspec import Meta, Struct

from slotwise.domain.errors import NotAuthenticated
from slotwise.domain.fields import MAX_ID
from slotwise.domain.users import Role, User, actor_of
from slotwise.services.core.callers import Caller
from slotwise.web.kit.parts import page_parts

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]
# session: an access token. hold: the time that is being held. attempt: what makes two clicks one booking. draft: what
# was typed for a hold that ran out, or at the desk for a time that was refused. notice: a sentence for the next page.
# slip: what the desk hands to a patient, once.
CookieName = Literal["session", "hold", "attempt", "draft", "notice", "slip"]

MAX_COOKIE_CHARACTERS = 2048
NOTICE_SECONDS = 60
HOLD_COOKIE_SECONDS = 24 * 3600
ATTEMPT_SECONDS = 30 * 24 * 3600
DRAFT_SECONDS = 15 * 60
SLIP_SECONDS = 10 * 60


class HeldTime(Struct, frozen=True):
    """A booking, and the manage token that shows it to be the visitor's, or the patient's for whom the desk booked."""

    booking_id: Annotated[int, Meta(ge=1, le=MAX_ID)]
    token: str


class Draft(Struct, frozen=True):
    """`typed_by` is the account at the desk that typed it for a patient; None for a hold of the visitor's own."""

    user_name: str = ""
    user_email: str = ""
    typed_by: int | None = None


class Visitor(Struct, frozen=True):
    """`session_ended` where there was a log-in that is good no longer."""

    user: User | None = None
    hold: HeldTime | None = None
    attempt: str | None = None
    draft: Draft = Draft()
    notice: str | None = None
    session_ended: bool = False

    @property
    def at_desk(self) -> bool:
        return self.user is not None and self.user.at_desk

    @property
    def is_admin(self) -> bool:
        return self.user is not None and self.user.role is Role.ADMIN

    @property
    def actor(self) -> str:
        return actor_of(self.user)

    @property
    def is_anybody(self) -> bool:
        """Whether a page looks to them as it looks to everybody."""
        return self.user is None and self.hold is None and self.notice is None and not self.session_ended

    def draft_by(self, account_id: int | None = None) -> Draft:
        """Nobody else's: another account may have followed in this browser without a log-out in between."""
        return self.draft if self.draft.typed_by == account_id else Draft()

    def as_caller(self, booking_id: int | None = None, token: str | None = None) -> Caller:
        """By account, and by the token that was given or that of the time they hold."""
        if token is None and self.hold is not None and self.hold.booking_id == booking_id:
            token = self.hold.token
        return Caller(self.user, token)


async def visitor_of(connection: Connection) -> Visitor:
    """Asks the database only where there is a session."""
    user, ended = await _user_of(connection)
    return Visitor(
        user,
        _decoded(connection, "hold", HeldTime),
        _attempt_of(connection),
        _decoded(connection, "draft", Draft) or Draft(),
        _decoded(connection, "notice", str),
        ended,
    )


async def _user_of(connection: Connection) -> tuple[User | None, bool]:
    token = read_cookie(connection, "session")
    if token is None:
        return None, False
    try:
        return await page_parts(connection).services.users.authenticate(token), False
    except NotAuthenticated:
        return None, True


def _attempt_of(connection: Connection) -> str | None:
    attempt = read_cookie(connection, "attempt")
    return attempt if attempt is not None and len(attempt) == len(new_attempt()) and attempt.isascii() else None


def new_attempt() -> str:
    return secrets.token_urlsafe(18)


def is_secure(connection: Connection) -> bool:
    return bool(connection.scope["scheme"] == "https")


def cookie_key(connection: Connection, name: CookieName) -> str:
    return f"__Host-slotwise-{name}" if is_secure(connection) else f"slotwise-{name}"


def read_cookie(connection: Connection, name: CookieName) -> str | None:
    """By its exact name, and none if it is there twice.

    The framework strips whatever Unicode takes for a space from names: another host of the domain could set ours with a
    no-break space before it, which browsers do not take for a `__Host-` name.
    """
    key = cookie_key(connection, name)
    pairs = (
        pair.strip(" ").partition("=") for line in connection.headers.getall("cookie", []) for pair in line.split(";")
    )
    values = [value for sent, _, value in pairs if sent == key]
    return values[0] if len(values) == 1 and 0 < len(values[0]) <= MAX_COOKIE_CHARACTERS else None


def _decoded(connection: Connection, name: CookieName, kind: type[Any]) -> Any:
    """None for what we cannot have written: a cookie can be anything."""
    value = read_cookie(connection, name)
    if value is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), type=kind)
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return None


def set_cookie(connection: Connection, name: CookieName, value: str, seconds: int) -> Cookie:
    return Cookie(
        key=cookie_key(connection, name),
        value=value,
        max_age=seconds,
        path="/",
        secure=is_secure(connection),
        httponly=True,
        samesite="lax",
    )


def clear_cookie(connection: Connection, name: CookieName) -> Cookie:
    return set_cookie(connection, name, "", 0)


def session_cookie(connection: Connection, access_token: str, seconds: int) -> Cookie:
    return set_cookie(connection, "session", access_token, seconds)


def hold_cookie(connection: Connection, hold: HeldTime) -> Cookie:
    return set_cookie(connection, "hold", _encoded(hold), HOLD_COOKIE_SECONDS)


def attempt_cookie(connection: Connection) -> Cookie:
    return set_cookie(connection, "attempt", new_attempt(), ATTEMPT_SECONDS)


def slip_cookie(connection: Connection, booked: HeldTime) -> Cookie:
    """On the way to the page that shows it: an address with the token in it would be in the browser's history.

    Showing it clears the cookie; the minutes are for a page that fails to come and is asked for again.
    """
    return set_cookie(connection, "slip", _encoded(booked), SLIP_SECONDS)


def read_slip(connection: Connection, booking_id: int) -> HeldTime | None:
    slip: HeldTime | None = _decoded(connection, "slip", HeldTime)
    return slip if slip is not None and slip.booking_id == booking_id else None


def draft_cookie(connection: Connection, draft: Draft) -> Cookie:
    return set_cookie(connection, "draft", _encoded(draft), DRAFT_SECONDS)


def draft_of(user_name: str, user_email: str, typed_by: int | None = None) -> Draft | None:
    """What was typed, as far as it fits; None where nothing was."""
    draft = Draft(user_name[:200], user_email[:254], typed_by)
    return draft if user_name or user_email else None


def notice_cookie(connection: Connection, sentence: str) -> Cookie:
    return set_cookie(connection, "notice", _encoded(sentence), NOTICE_SECONDS)


def _encoded(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")
