"""Who may call an operation: authentication and roles, checked before a request's body is read."""

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from slotwise.domain import users
from slotwise.domain.errors import NotAllowed, NotAuthenticated, SlotwiseError
from slotwise.domain.users import Role, User
from slotwise.http.kit.parts import api_parts
from slotwise.services.accounts.users import Users
from slotwise.services.core.callers import Caller
from slotwise.services.core.rate_limits import client_of

ApiRequest = Request[User | None, Any, Any]
Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]

MAX_TOKEN_CHARACTERS = 2048


class Access(NamedTuple):
    """A rule, the words for it in the API docs, and what it means for OpenAPI."""

    guard: Guard
    who: str
    security: list[dict[str, list[str]]]
    refuses: tuple[type[SlotwiseError], ...] = (NotAuthenticated, NotAllowed)


async def _let_in(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Look at no token at all: whoever logs in may send a stale one, and liveness asks no database."""
    connection.scope["user"] = None


async def identify(accounts: Users, authorization: str) -> User | None:
    """The account of the access token in that header; None if it is empty. A bad token is never ignored."""
    scheme, _space, token = authorization.partition(" ")
    if not scheme:
        return None
    if scheme.lower() != "bearer" or len(token) > MAX_TOKEN_CHARACTERS:
        raise NotAuthenticated
    return await accounts.authenticate(token.strip())


async def _identify(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    connection.scope["user"] = None
    sent = connection.headers.getall("authorization", [""])
    if len(sent) > 1:
        # A proxy before us may have looked at the other one.
        raise NotAuthenticated
    connection.scope["user"] = await identify(api_parts(connection.scope).services.users, sent[0])


async def _require_account(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    await _identify(connection, handler)
    if connection.scope["user"] is None:
        raise NotAuthenticated


def _require_role(*roles: Role) -> Guard:
    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        await _require_account(connection, handler)
        if connection.scope["user"].role not in roles:
            raise NotAllowed

    return guard


_BEARER: dict[str, list[str]] = {"accessToken": []}
_BOOKING_TOKEN: dict[str, list[str]] = {"bookingToken": []}

OPEN = Access(_let_in, "anyone", [{}], refuses=())
ANYONE = Access(_identify, "anyone", [{}, _BEARER], refuses=(NotAuthenticated,))
ACCOUNT = Access(_require_account, "any account", [_BEARER], refuses=(NotAuthenticated,))
DESK = Access(_require_role(*users.DESK), "staff and admins", [_BEARER])
ADMIN = Access(_require_role(Role.ADMIN), "admins", [_BEARER])
HOLDER = Access(
    _identify,
    "the account that made the booking, whoever has its manage token, staff and admins",
    [_BEARER, _BOOKING_TOKEN],
)
REDACTED = Access(
    _identify,
    "anyone; without name and e-mail address except for the booking's account, whoever has its manage token, "
    "staff and admins",
    [{}, _BEARER, _BOOKING_TOKEN],
    refuses=(NotAuthenticated,),
)


def account_of(request: ApiRequest) -> User:
    """The account that the guard let in."""
    if request.user is None:
        raise NotAuthenticated
    return request.user


def caller_of(request: ApiRequest) -> Caller:
    token = request.headers.get("booking-token") or request.query_params.get("token")
    return Caller(request.user, token)


def client_ip_of(scope: Scope) -> str:
    """Whom a rate limit counts: a client's IP, of IPv6 its network; empty where the server knows none."""
    return client_of(scope["client"][0]) if scope["client"] else ""
