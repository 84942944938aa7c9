"""Who opens a page, by the cookies of the browser; and the cookies that pages set.

Cookies are HttpOnly and SameSite=Lax. Under TLS their names begin with `__Host-`, so that neither another host nor an
unencrypted page can set them (RFC 6265bis, 4.1.3.2).
"""

import secrets
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from msgspec import Meta, Struct

from slotwise.domain import base64url
from slotwise.domain.errors import NotAuthenticated
from slotwise.domain.fields import MAX_ID
from slotwise.domain.users import Role, User, actor_of
from slotwise.services.core.callers import Caller
from slotwise.web.kit.parts import page_parts

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]
# session: an access token. hold: the current hold. attempt: the same for two clicks, so that they make one booking.
# draft: what was typed for a hold that expired, or at the desk for a time that was refused. notice: a sentence for the
# next page. slip: the token of the patient's link, which the desk sees once.
# kept: a form that was sent after the session had ended.
CookieName = Literal["session", "hold", "attempt", "draft", "notice", "slip", "kept"]

MAX_COOKIE_CHARACTERS = 2048
# Browsers keep 4,096 characters, the name included.
MAX_KEPT_CHARACTERS = 3800
NOTICE_SECONDS = 60
HOLD_COOKIE_SECONDS = 24 * 3600
ATTEMPT_SECONDS = 30 * 24 * 3600
DRAFT_SECONDS = 15 * 60
SLIP_SECONDS = 10 * 60
KEPT_SECONDS = 15 * 60


class BookingToken(Struct, frozen=True):
    """A booking and its manage token: the visitor's, or the patient's for whom the desk booked."""

    booking_id: Annotated[int, Meta(ge=1, le=MAX_ID)]
    token: str


class Draft(Struct, frozen=True):
    """`typed_by` is the desk account that typed it for a patient; None for the visitor's own hold."""

    user_name: str = ""
    user_email: str = ""
    typed_by: int | None = None


class Visitor(Struct, frozen=True):
    """`session_ended` if the browser has a session cookie that is no longer valid."""

    user: User | None = None
    hold: BookingToken | None = None
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
        """Whether a shared page looks the same for this visitor as for all others."""
        return self.user is None and self.hold is None and self.notice is None and not self.session_ended

    def draft_by(self, account_id: int | None = None) -> Draft:
        """The draft, if this account typed it: another account may have used this browser since, without a log-out."""
        return self.draft if self.draft.typed_by == account_id else Draft()

    def as_caller(self, booking_id: int | None = None, token: str | None = None) -> Caller:
        """With the account, and with the given token or the token of the hold."""
        if token is None and self.hold is not None and self.hold.booking_id == booking_id:
            token = self.hold.token
        return Caller(self.user, token)


async def visitor_of(connection: Connection) -> Visitor:
    """Asks the database only if there is a session cookie."""
    user, ended = await _user_of(connection)
    return Visitor(
        user,
        _decoded(connection, "hold", BookingToken),
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
    return _key(name, secure=is_secure(connection))


def _key(name: CookieName, *, secure: bool) -> str:
    return f"__Host-slotwise-{name}" if secure else f"slotwise-{name}"


def read_cookie(connection: Connection, name: CookieName) -> str | None:
    """By its exact name; None if it is there twice.

    The framework strips every Unicode space from names. So another host of the domain could set a cookie with a
    no-break space before its name, which browsers do not check as a `__Host-` name.
    """
    key = cookie_key(connection, name)
    pairs = (
        pair.strip(" ").partition("=") for line in connection.headers.getall("cookie", []) for pair in line.split(";")
    )
    values = [value for sent, _, value in pairs if sent == key]
    longest = MAX_KEPT_CHARACTERS if name == "kept" else MAX_COOKIE_CHARACTERS
    return values[0] if len(values) == 1 and 0 < len(values[0]) <= longest else None


def _decoded(connection: Connection, name: CookieName, kind: type[Any]) -> Any:
    """None for a value that this server cannot have written: a cookie can be anything."""
    value = read_cookie(connection, name)
    if value is None:
        return None
    try:
        return msgspec.json.decode(base64url.decode(value), type=kind)
    except (msgspec.MsgspecError, ValueError):
        return None


def set_cookie(connection: Connection, name: CookieName, value: str, seconds: int) -> Cookie:
    return _cookie(name, value, seconds, secure=is_secure(connection))


def _cookie(name: CookieName, value: str, seconds: int, *, secure: bool) -> Cookie:
    return Cookie(
        key=_key(name, secure=secure),
        value=value,
        max_age=seconds,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def clear_cookie(connection: Connection, name: CookieName) -> Cookie:
    return set_cookie(connection, name, "", 0)


def session_cookie(connection: Connection, access_token: str, seconds: int) -> Cookie:
    return set_cookie(connection, "session", access_token, seconds)


def hold_cookie(connection: Connection, hold: BookingToken) -> Cookie:
    return set_cookie(connection, "hold", _encoded(hold), HOLD_COOKIE_SECONDS)


def attempt_cookie(connection: Connection) -> Cookie:
    return first_attempt_cookie(secure=is_secure(connection))


def first_attempt_cookie(*, secure: bool) -> Cookie:
    """For a visitor without cookies. `secure` if the page goes out under TLS."""
    return _cookie("attempt", new_attempt(), ATTEMPT_SECONDS, secure=secure)


def slip_cookie(connection: Connection, booked: BookingToken) -> Cookie:
    """Carries the token to the page that shows it: a URL with the token would stay in the browser's history.

    That page clears the cookie. It lives some minutes in case the page fails to load and is opened again.
    """
    return set_cookie(connection, "slip", _encoded(booked), SLIP_SECONDS)


def read_slip(connection: Connection, booking_id: int) -> BookingToken | None:
    slip: BookingToken | None = _decoded(connection, "slip", BookingToken)
    return slip if slip is not None and slip.booking_id == booking_id else None


def draft_cookie(connection: Connection, draft: Draft) -> Cookie:
    return set_cookie(connection, "draft", _encoded(draft), DRAFT_SECONDS)


def draft_of(user_name: str, user_email: str, typed_by: int | None = None) -> Draft | None:
    """What was typed, shortened to fit; None if nothing was."""
    draft = Draft(user_name[:200], user_email[:254], typed_by)
    return draft if user_name or user_email else None


def notice_cookie(connection: Connection, sentence: str) -> Cookie:
    return set_cookie(connection, "notice", _encoded(sentence), NOTICE_SECONDS)


def _encoded(value: object) -> str:
    return base64url.encode(msgspec.json.encode(value))
