"""Forms that were sent after the session had ended: what was typed is kept, and shown again after the log-in.

A signed cookie keeps it for some minutes, for the account that typed it, so that the server stores nothing. Passwords
are never kept. The form is not sent by itself: its page shows it filled in, and the person presses the button again.
Each form has a signed field with its account, because the session cookie may be gone when the form is sent.
"""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar.datastructures import Cookie
from markupsafe import Markup
from msgspec import Struct

from slotwise.domain.users import User
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.visitors import (
    KEPT_SECONDS,
    MAX_KEPT_CHARACTERS,
    Connection,
    read_cookie,
    set_cookie,
)

TYPIST = "typist"


class KeptForm(Struct, frozen=True):
    """`page` is the URL that has the form. `until` is in seconds since 1970.

    `told` says why the form is shown again, if not because the session had ended.
    """

    account_id: int
    page: str
    fields: list[tuple[str, str]]
    until: int
    told: str | None = None


class Typist(Struct, frozen=True):
    """The account that a form was shown to."""

    typist_id: int


def typist_field(connection: Connection, user: User | None) -> Markup:
    """The hidden field of a form that needs an account."""
    if user is None:
        return Markup()
    sealed = _sealed(connection, Typist(user.id))
    return Markup('<input type="hidden" name="{}" value="{}">').format(TYPIST, sealed)


def kept_cookie(
    connection: Connection, page: str, fields: Sequence[tuple[str, str]], told: str | None = None
) -> Cookie | None:
    """None if nothing can be kept: it is too long for a cookie, or it is unknown who typed it."""
    account_id = _typist_of(connection, dict(fields).get(TYPIST))
    typed = [(name, value) for name, value in fields if "password" not in name and name != TYPIST]
    if account_id is None:
        return None
    kept = KeptForm(account_id, page, typed, int(time.time()) + KEPT_SECONDS, told)
    text = _sealed(connection, kept)
    return set_cookie(connection, "kept", text, KEPT_SECONDS) if len(text) <= MAX_KEPT_CHARACTERS else None


def can_stay_on_page(connection: Connection, fields: Sequence[tuple[str, str]]) -> bool:
    """Whether the form comes from a page of an account, and has no password, which no page repeats."""
    secret = any("password" in name for name, _ in fields)
    return not secret and _typist_of(connection, dict(fields).get(TYPIST)) is not None


def kept_form_of(connection: Connection, user: User | None) -> KeptForm | None:
    """What this account typed. Another account may use this browser now, and gets nothing of it."""
    kept: KeptForm | None = _unsealed(connection, read_cookie(connection, "kept"), KeptForm) if user else None
    return kept if user and kept and kept.account_id == user.id and kept.until > time.time() else None


def _typist_of(connection: Connection, sealed: str | None) -> int | None:
    """By the form or, if it does not say, by the session that has ended."""
    typist: Typist | None = _unsealed(connection, sealed, Typist)
    if typist is not None:
        return typist.typist_id
    session = read_cookie(connection, "session")
    return None if session is None else page_parts(connection).services.users.account_named_by(session)


def _sealed(connection: Connection, value: KeptForm | Typist) -> str:
    return page_parts(connection).seals.seal(msgspec.json.encode(value))


def _unsealed(connection: Connection, text: str | None, kind: type[Any]) -> Any:
    """None for a value that this server has not written."""
    content = page_parts(connection).seals.unseal(text or "")
    try:
        return None if content is None else msgspec.json.decode(content, type=kind)
    except msgspec.MsgspecError:
        return None
