"""Operations that are served in two ways: by the connection itself, and by the framework.

An operation is one function from a call to an answer. The connection calls it for plain requests; see
`server/direct.py`. For all other requests, the framework's handler calls it through `answered`. So there is one
implementation, and the framework validates, documents and guards.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar, cast

import msgspec
from litestar import Response
from msgspec import Struct

from slotwise.domain.errors import SlotwiseError
from slotwise.http.kit import access
from slotwise.http.kit.access import ApiRequest, client_ip_of, identify
from slotwise.http.kit.parts import ApiParts, api_parts
from slotwise.http.kit.parts import Application as HasApi
from slotwise.http.kit.problems import MEDIA_TYPE, defect_of, encoded, headers_of, problem_of
from slotwise.observability.request_meters import REQUEST_METERS
from slotwise.server.direct import Answer, Binding, Call, DirectRoute, Headed, Raw, Read, read_nothing
from slotwise.services.core.callers import Caller
from slotwise.services.core.rate_limits import client_of

Data = TypeVar("Data")

JSON = "application/json"
_OPERATION, _CALLER_OF = "operation", "caller_of"
_JSON = frozenset({b"application/json", b"application/json; charset=utf-8", b"application/json;charset=utf-8"})
_encode = msgspec.json.Encoder().encode


class ApiCall(Headed, Generic[Data], frozen=True):
    """A request that was read, from a caller who is known.

    `numbers` are those in the path, `data` is what was read from body or query, and `client` is what rate limits count
    by.
    """

    caller: Caller
    client: str
    numbers: tuple[int, ...]
    data: Data


class Callers(NamedTuple):
    """Who calls, on either way: by the connection, and by the framework after its guards."""

    of_call: Callable[[ApiParts, Call], Awaitable[Caller]]
    of_request: Callable[[ApiRequest], Caller]


async def _account_of(api: ApiParts, call: Call) -> Caller:
    return Caller(await identify(api.services.users, call.header(b"authorization") or ""))


async def _holder_of(api: ApiParts, call: Call) -> Caller:
    return Caller((await _account_of(api, call)).user, call.header(b"booking-token") or None)


async def _stranger(_: ApiParts, __: Call) -> Caller:
    return Caller()


# Ignores all tokens.
UNIDENTIFIED = Callers(_stranger, lambda _: Caller())
# By an access token.
BY_ACCOUNT = Callers(_account_of, lambda request: Caller(request.user))
# By an access token, the booking's manage token, or both.
BY_HOLDER = Callers(_holder_of, access.caller_of)

# The first argument is what the operation needs of the API's parts.
Operation: TypeAlias = Callable[[Any, ApiCall[Any]], Awaitable[Answer]]


def direct(
    operation: Operation,
    read: Read = read_nothing,
    is_open: Callable[[ApiParts], bool] = lambda _: True,
    *,
    callers: Callers = BY_ACCOUNT,
) -> dict[str, Any]:
    """Keyword arguments of a handler whose operation the connection may answer itself while `is_open` says so.

    The operation is for everybody: guards of roles are not asked.
    """

    def bind(application: Any, method: str, template: str) -> DirectRoute:
        api = cast("HasApi", application).api
        answer = _for_connection(api, operation, callers.of_call)
        return DirectRoute(method, template, answer, lambda error, _: _refusal(error), read, lambda: is_open(api))

    return {Binding.KEY: Binding(bind), _OPERATION: operation, _CALLER_OF: callers.of_request}


async def answered(request: ApiRequest, *numbers: int, data: Any = None) -> Response[Any]:
    """The answer of the operation that the request's handler declares."""
    operation: Operation = request.route_handler.opt[_OPERATION]
    caller_of: Callable[[ApiRequest], Caller] = request.route_handler.opt[_CALLER_OF]
    headers = dict(request.scope["headers"])  # the server has refused what may come once and came twice
    call = ApiCall(headers, caller_of(request), client_ip_of(request.scope), numbers, data)
    answer = await operation(api_parts(request.scope), call)
    body, media_type = answer.body or None, answer.media_type or None
    return Response(body, status_code=answer.status, media_type=media_type, headers=dict(answer.headers))


def read_json(kind: Any, default: Any = None) -> Read:
    """Reads a valid body; None for all others, because only the ordinary way can say what is wrong."""
    decode = msgspec.json.Decoder(kind).decode

    def read(raw: Raw) -> Any:
        if not raw.body and not raw.query:
            return default
        if raw.query or raw.headers.get(b"content-type") not in _JSON:
            return None
        try:
            return decode(raw.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None

    return read


def json_answer(view: Struct, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, JSON, _encode(view), headers or {})


def _for_connection(
    api: ApiParts, operation: Operation, caller_of: Callable[[ApiParts, Call], Awaitable[Caller]]
) -> Callable[[Call], Awaitable[Answer]]:
    """The operation for calls that are not identified yet; its errors become problem documents."""

    async def answer(call: Call) -> Answer:
        try:
            caller, client = await caller_of(api, call), client_of(call.origin.host)
            return await operation(api, ApiCall(call.headers, caller, client, call.numbers, call.data))
        except SlotwiseError as error:
            REQUEST_METERS.count_refusal(error.code)
            return _refusal(error)
        except Exception as error:  # a defect: the connection must answer and go on
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, MEDIA_TYPE, encoded(defect_of(error)))

    return answer


def _refusal(error: SlotwiseError) -> Answer:
    problem = problem_of(error)
    return Answer(problem.status, MEDIA_TYPE, encoded(problem), headers_of(error))
