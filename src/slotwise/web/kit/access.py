"""Checks before a handler runs: who may open the page, and that a change comes from a page of this site."""

import re
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn
from urllib.parse import parse_qsl

from litestar import Request
from litestar.enums import RequestEncodingType
from litestar.exceptions import ClientException, PermissionDeniedException
from litestar.handlers import BaseRouteHandler

from slotwise.domain import users
from slotwise.domain.errors import NotAllowed, NotAuthenticated
from slotwise.domain.url_hosts import is_host
from slotwise.domain.users import Role, User
from slotwise.server.guarding import Guard, Guarded
from slotwise.services.core.callers import require_desk_of
from slotwise.services.core.rate_limits import client_of
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.times import note_what_is_told
from slotwise.web.kit.visitors import Connection, Visitor, visitor_of

PageRequest = Request[Any, Any, Any]

MAX_FIELDS = 200
MAX_DIGITS = 18
_TIME_ID = re.compile(r"[A-Za-z0-9_-]{1,300}\.[0-9a-f]{64}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS = {"same-origin", "none"}


class Audience(NamedTuple):
    guard: Guard


class Unsent(NamedTuple):
    """A form that was sent without a log-in, and the URL of its page."""

    page: str
    fields: list[tuple[str, str]]


def fields_in(body: bytes) -> list[tuple[str, str]]:
    """The fields of a form in their order. Raises `ValueError` for what no browser sends."""
    return parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")


def page_for(audience: Audience, form_on: str | None = None, **more: Any) -> dict[str, Any]:
    """Keyword arguments for the handler of a page: `@get("/", **page_for(ANYBODY))`.

    `form_on` is the path of the page that has the form, if it is not the path that the form is sent to.
    """
    where = {} if form_on is None else {"opt": {"form_on": form_on}}
    return {"middleware": [Guarded(audience.guard)], "include_in_schema": False, **where, **more}


def refuse_other_sites(connection: Connection) -> None:
    """Pages of other sites may not change anything in a visitor's name (CSRF).

    Browsers say where a request comes from (W3C Fetch Metadata, a full defence by OWASP's cheat sheet). Without TLS
    they do not, but send the origin with every change (RFC 6454, 7). A request with neither is refused: it does not
    come from a browser with a visitor's cookies.
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
    """The origin of this site, as browsers write it (RFC 6454, 6.2): from the settings, else from the Host header.

    A host from the header may work only on this visitor's network. A link for somebody else must say so, and stored
    data must not contain it. None if the header is not the name of a host.
    """
    named: str | None = page_parts(connection).origin
    if named is not None:
        return named
    host: str = connection.headers.get("host", "")
    return f"{connection.scope['scheme']}://{host}" if is_host(host.encode()) else None


async def _let_in(connection: Connection, _: BaseRouteHandler) -> None:
    refuse_other_sites(connection)
    note_what_is_told()
    connection.state.visitor = await visitor_of(connection)


async def _require_account(connection: Connection, handler: BaseRouteHandler) -> None:
    await _let_in(connection, handler)
    if connection.state.visitor.user is None:
        await ask_for_account(connection)


async def ask_for_account(connection: Connection) -> NoReturn:
    """Raise `NotAuthenticated`. The handler of that error keeps a form until the log-in. It cannot read it itself."""
    if isinstance(connection, Request) and connection.method == "POST":
        connection.state.unsent = await _unsent(connection, connection.route_handler)
    raise NotAuthenticated


async def _unsent(request: PageRequest, handler: BaseRouteHandler) -> Unsent:
    """Unreadable fields are left out: the answer is the same page for logging in."""
    fields: list[tuple[str, str]] = []
    if request.content_type[0] == RequestEncodingType.URL_ENCODED:
        with suppress(ValueError, ClientException):
            fields = fields_in(await request.body())
    return Unsent(_page_of_form(request, handler, dict(fields)), fields)


def _page_of_form(request: PageRequest, handler: BaseRouteHandler, fields: dict[str, str]) -> str:
    """The URL of the page that has this form: with ids, and nothing that was typed."""
    form_on: str = handler.opt.get("form_on", request.scope["path"])
    return form_on.format(chosen_time=_chosen_time(fields), **request.path_params)


def _chosen_time(fields: dict[str, str]) -> str:
    """The field that names the time, as a query."""
    slot, time_id = fields.get("slot", ""), fields.get("time", "")
    if _TIME_ID.fullmatch(time_id):
        return f"time={time_id}"
    return f"slot={slot}" if slot.isascii() and slot.isdigit() and len(slot) <= MAX_DIGITS else "slot="


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
    """The visitor that the guard let in; an unknown visitor if no guard has run."""
    visitor: Visitor = request.state.get("visitor") or Visitor()
    return visitor


def account_in(request: PageRequest) -> User:
    """The account that the guard let in."""
    user = visitor_in(request).user
    if user is None:
        raise NotAuthenticated
    return user


def require_clinic(request: PageRequest, clinic_id: int) -> None:
    """Raise `NotAllowed` for staff who work for other clinics only. Services ask the same of what they read."""
    require_desk_of(account_in(request), clinic_id)


def client_ip_of(request: PageRequest) -> str:
    """The IP by which rate limits count a client."""
    return client_of(request.client.host) if request.client else ""
