"""Who may open a page, and that a change comes from a page of ours: checked before a handler runs."""

import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from litestar import Request
from litestar.exceptions import PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from slotwise.domain import users
from slotwise.domain.errors import NotAllowed, NotAuthenticated
from slotwise.domain.users import Role, User
from slotwise.services.core.rate_limits import client_of
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.visitors import Connection, Visitor, visitor_of

PageRequest = Request[Any, Any, Any]
Guard = Callable[[Connection, BaseRouteHandler], Awaitable[None]]

_HOST = re.compile(r"([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII | re.IGNORECASE)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = {"same-origin", "none"}


class Audience(NamedTuple):
    guard: Guard


def page(audience: Audience, **more: Any) -> dict[str, Any]:
    """Keyword arguments of a page's handler."""
    return {"guards": [audience.guard], "include_in_schema": False, **more}


def refuse_other_sites(connection: Connection) -> None:
    """No other site's page may change anything in the name of a visitor (CSRF).

    Browsers say where a request comes from (W3C Fetch Metadata; OWASP's cheat sheet counts it as a full defence). Where
    they do not, because the connection is not encrypted, they send the origin with every change (RFC 6454, 7). A
    request that says neither comes from no browser that has a visitor's cookies, and is refused all the same.
    """
    if connection.scope.get("method") in _SAFE:
        return
    site = connection.headers.get("sec-fetch-site")
    if not (site in _OURS if site is not None else _is_from_us(connection)):
        raise PermissionDeniedException("This request came from another site, so nothing was changed.")


def _is_from_us(connection: Connection) -> bool:
    origin = own_origin(connection)
    return origin is not None and connection.headers.get("origin") == origin


def own_origin(connection: Connection) -> str | None:
    """Where visitors find us, as browsers write it (RFC 6454, 6.2): as it is set, else by this visitor's own word.

    That word may be an address that opens nowhere but there: what is handed to somebody else must say so, and nothing
    that is kept may have it in it. None where it is no host's name.
    """
    named: str | None = page_parts(connection).origin
    if named is not None:
        return named
    host = connection.headers.get("host", "")
    return f"{connection.scope['scheme']}://{host}" if _HOST.fullmatch(host) else None


async def _let_in(connection: Connection, _: BaseRouteHandler) -> None:
    refuse_other_sites(connection)
    connection.state.visitor = await visitor_of(connection)


async def _require_account(connection: Connection, handler: BaseRouteHandler) -> None:
    await _let_in(connection, handler)
    if connection.state.visitor.user is None:
        raise NotAuthenticated


def _require_role(*roles: Role) -> Guard:
    async def guard(connection: Connection, handler: BaseRouteHandler) -> None:
        await _require_account(connection, handler)
        if connection.state.visitor.user.role not in roles:
            raise NotAllowed

    return guard


ANYBODY = Audience(_let_in)
ACCOUNT = Audience(_require_account)
DESK = Audience(_require_role(*users.DESK))
ADMIN = Audience(_require_role(Role.ADMIN))


def visitor_in(request: PageRequest) -> Visitor:
    """Whom the guard let in; nobody in particular where none has run."""
    visitor: Visitor = request.state.get("visitor") or Visitor()
    return visitor


def account_in(request: PageRequest) -> User:
    """The account that the guard let in."""
    user = visitor_in(request).user
    if user is None:
        raise NotAuthenticated
    return user


def client_ip_of(request: PageRequest) -> str:
    """Whom limits count as one client."""
    return client_of(request.client.host) if request.client else ""
