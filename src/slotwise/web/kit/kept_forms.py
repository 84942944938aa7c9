"""Forms that were sent after the session had ended: what was typed is kept, and shown again after the log-in.

A signed cookie keeps it for some minutes, for the account that typed it, so that the server stores nothing. Passwords
are never kept. The form is not sent by itself: its page shows it filled in, and the person presses the button again.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.datastructures import Cookie
from msgspec import Struct

from slotwise.domain.users import User
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.visitors import (
    KEPT_SECONDS,
    MAX_KEPT_CHARACTERS,
    TYPIST_SECONDS,
    Connection,
    CookieName,
    read_cookie,
    set_cookie,
)


class KeptForm(Struct, frozen=True):
    """`page` is the URL that has the form. `until` is in seconds since 1970."""

    account_id: int
    page: str
    fields: list[tuple[str, str]]
    until: int


class Typist(Struct, frozen=True):
    """The account that logged in last on this browser."""

    typist_id: int


def typist_cookie(connection: Connection, user: User) -> Cookie:
    """Outlives the session, so that it tells who typed a form when the session cookie is gone."""
    return set_cookie(connection, "typist", _sealed(connection, Typist(user.id)), TYPIST_SECONDS)


def kept_cookie(connection: Connection, page: str, fields: Sequence[tuple[str, str]]) -> Cookie | None:
    """None if nothing can be kept: nothing was typed, it is too long for a cookie, or it is unknown who typed it."""
    account_id = _typist_of(connection)
    typed = [(name, value) for name, value in fields if "password" not in name]
    if account_id is None or not typed:
        return None
    kept = KeptForm(account_id, page, typed, int(time.time()) + KEPT_SECONDS)
    text = _sealed(connection, kept)
    return set_cookie(connection, "kept", text, KEPT_SECONDS) if len(text) <= MAX_KEPT_CHARACTERS else None


def kept_form_of(connection: Connection, user: User | None) -> KeptForm | None:
    """What this account typed. Another account may use this browser now, and gets nothing of it."""
    kept: KeptForm | None = _unsealed(connection, "kept", KeptForm) if user is not None else None
    return kept if user and kept and kept.account_id == user.id and kept.until > time.time() else None


def _typist_of(connection: Connection) -> int | None:
    """By the session that has ended or, once that cookie is gone, by the log-in before."""
    session = read_cookie(connection, "session")
    if session is not None:
        return page_parts(connection).services.users.account_named_by(session)
    typist: Typist | None = _unsealed(connection, "typist", Typist)
    return None if typist is None else typist.typist_id


def _sealed(connection: Connection, value: KeptForm | Typist) -> str:
    return page_parts(connection).seals.seal(msgspec.json.encode(value))


def _unsealed(connection: Connection, name: CookieName, kind: type[Any]) -> Any:
    """None without the cookie, and for a value that this server has not written."""
    content = page_parts(connection).seals.unseal(read_cookie(connection, name) or "")
    try:
        return None if content is None else msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError:
        return None
