"""Authentication and roles: who may call an operation. Checked before a request's body is read."""

from typing import Any, NamedTuple

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Scope

from slotwise.domain import users
from slotwise.domain.errors import NotAllowed, NotAuthenticated, SlotwiseError
from slotwise.domain.users import Role, User
from slotwise.http.kit.parts import api_parts
from slotwise.server.guarding import Guard
from slotwise.services.accounts.users import Users
from slotwise.services.core.callers import Caller
from slotwise.services.core.rate_limits import client_of

ApiRequest = Request[User | None, Any, Any]

MAX_TOKEN_CHARACTERS = 2048


class Access(NamedTuple):
    """Who may call an operation: the check, its words in the API docs, and its OpenAPI security."""

    guard: Guard
    who: str
    security: list[dict[str, list[str]]]
    refuses: tuple[type[SlotwiseError], ...] = (NotAuthenticated, NotAllowed)
    # Query parameters that prove who the caller is, besides those that the handler takes.
    query: frozenset[str] = frozenset()


async def _allow_all(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Ignore any token: a log-in may come with an expired one, and liveness must not need the database."""
    connection.scope["user"] = None


async def identify(accounts: Users, authorization: str) -> User | None:
    """The account of the access token in the Authorization header; None without one. Refuses an invalid token.

    Exactly one space separates scheme and token, and nothing follows. The scheme may be in any case (RFC 9110, 11.1).
    """
    scheme, _space, token = authorization.partition(" ")
    if not scheme:
        return None
    if scheme.lower() != "bearer" or len(token) > MAX_TOKEN_CHARACTERS:
        raise NotAuthenticated
    return await accounts.authenticate(token)


async def _identify(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    connection.scope["user"] = None
    sent = connection.headers.getall("authorization", [""])
    if len(sent) > 1:
        # A proxy in front of the server may have checked the other one.
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

OPEN = Access(_allow_all, "anyone", [], refuses=())
ANYONE = Access(_identify, "anyone", [], refuses=(NotAuthenticated,))
# Anyone, but an account makes a difference.
RECOGNIZED = ANYONE._replace(security=[{}, _BEARER])
ACCOUNT = Access(_require_account, "any account", [_BEARER], refuses=(NotAuthenticated,))
DESK = Access(_require_role(*users.DESK), "staff and admins", [_BEARER])
ADMIN = Access(_require_role(Role.ADMIN), "admins", [_BEARER])
HOLDER = Access(
    _identify,
    "the booking's account, anyone with its manage token, staff and admins",
    [_BEARER, _BOOKING_TOKEN],
    query=frozenset({"token"}),
)
REDACTED = Access(
    _identify,
    "anyone; only the booking's account, anyone with its manage token, staff and admins get name and e-mail address",
    [{}, _BEARER, _BOOKING_TOKEN],
    refuses=(NotAuthenticated,),
    query=frozenset({"token"}),
)


def account_of(request: ApiRequest) -> User:
    """The account that the guard has identified."""
    if request.user is None:
        raise NotAuthenticated
    return request.user


def caller_of(request: ApiRequest) -> Caller:
    """The account that the guard has identified, and the manage token. One that is sent twice is refused."""
    sent = [*request.headers.getall("booking-token", []), *request.query_params.getall("token", [])]
    if len(sent) > 1:
        raise NotAuthenticated
    return Caller(request.user, sent[0] or None if sent else None)


def client_ip_of(scope: Scope) -> str:
    """The client IP that rate limits count by; for IPv6 its network. Empty if the server does not know it."""
    return client_of(scope["client"][0]) if scope["client"] else ""
