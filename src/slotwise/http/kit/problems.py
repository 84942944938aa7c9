"""Answers for errors, as problem details (RFC 9457). Has the one table from error to status."""

import traceback
from collections.abc import Callable, Iterator
from functools import cache
from http import HTTPStatus
from typing import Annotated, Any, cast

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException, InternalServerException, SerializationException, ValidationException
from litestar.types import Scope
from msgspec import UNSET, Meta, UnsetType

from slotwise.domain import errors
from slotwise.domain.errors import FieldError, InvalidInput, SlotwiseError
from slotwise.observability.request_meters import REQUEST_METERS
from slotwise.server.refusals import (
    BodyEncoded,
    ExpectationFailed,
    HeadTooLarge,
    MethodUnknown,
    RequestTooSlow,
    TransferCodingUnknown,
    UnreadableRequest,
    VersionUnsupported,
    Written,
)

MEDIA_TYPE = "application/problem+json"


class UnsupportedMediaType(SlotwiseError):
    code = "unsupported-media-type"
    title = "Send JSON, with Content-Type: application/json"


class BodyTooLarge(SlotwiseError):
    code = "body-too-large"
    title = "The body has more than 64 KiB"


class Defect(SlotwiseError):
    code = "internal-error"
    title = "The server has a defect; the request id helps to find it"


class InvalidRequest(InvalidInput):
    """Invalid input whose fields keep the client's spelling."""


STATUS: dict[type[SlotwiseError], int] = {
    errors.InvalidInput: 400,
    errors.NotAuthenticated: 401,
    errors.InvalidCredentials: 401,
    errors.NotAllowed: 403,
    errors.NotFound: 404,
    RequestTooSlow: 408,
    errors.Conflict: 409,
    errors.HoldExpired: 410,
    errors.ChangedMeanwhile: 412,
    BodyTooLarge: 413,
    UnsupportedMediaType: 415,
    BodyEncoded: 415,
    ExpectationFailed: 417,
    errors.KeyReused: 422,
    errors.TooManyRequests: 429,
    HeadTooLarge: 431,
    Defect: 500,
    MethodUnknown: 501,
    TransferCodingUnknown: 501,
    errors.Unavailable: 503,
    VersionUnsupported: 505,
}

_FRAMEWORK_CODES = {
    404: "not-found",
    405: "method-not-allowed",
}
_OTHER_CODE = "http-error"


def _kinds(base: type[SlotwiseError]) -> Iterator[type[SlotwiseError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)


# Every code that an answer can have.
CODES = sorted({
    *(kind.code for kind in _kinds(SlotwiseError) if hasattr(kind, "code")),
    *_FRAMEWORK_CODES.values(),
    _OTHER_CODE,
})  # fmt: skip

log = structlog.get_logger()


class FieldProblem(msgspec.Struct, frozen=True):
    """What is wrong with one field of the body, one parameter or one header."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, rename="camel"):
    """RFC 9457 problem details. `code` is stable; `errors` names the fields of invalid input."""

    type: Annotated[str, Meta(examples=["urn:slotwise:problem:slot-full"], extra_json_schema={"format": "uri"})]
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    code: Annotated[str, Meta(extra_json_schema={"enum": CODES})]
    errors: list[FieldProblem] | UnsetType = UNSET
    available_seats: Annotated[int | UnsetType, Meta(description="How many seats are left: only with `slot-full`")] = (
        UNSET
    )
    seats_taken: Annotated[int | UnsetType, Meta(description="Only with `seats-taken`")] = UNSET
    present: Annotated[
        dict[str, Any] | UnsetType, Meta(description="What the thing is now: only with `changed-meanwhile`")
    ] = UNSET


def _detail(error: SlotwiseError) -> str:
    if isinstance(error, InvalidInput):
        return "; ".join(f"{fault.field} {fault.message}" for fault in _fields(error))
    return error.detail


def status_of(kind: type[SlotwiseError]) -> int:
    return _status_of(cast("Any", kind))


@cache
def _status_of(kind: type[SlotwiseError]) -> int:
    return next(STATUS[base] for base in kind.__mro__ if base in STATUS)


def problem_of(error: SlotwiseError) -> Problem:
    return Problem(
        type=problem_type(error.code),
        title=error.title,
        status=status_of(type(error)),
        detail=_detail(error),
        code=error.code,
        errors=_fields(error) if isinstance(error, InvalidInput) else UNSET,
        available_seats=getattr(error, "available_seats", UNSET),
        seats_taken=getattr(error, "seats_taken", UNSET),
        present=msgspec.to_builtins(error.present) if isinstance(error, errors.ChangedMeanwhile) else UNSET,
    )


def problem_type(code: str) -> str:
    return f"urn:slotwise:problem:{code}"


def camel(name: str) -> str:
    """From `start_time` to JSON's `startTime`."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def answer(problem: Problem, headers: dict[str, str] | None = None) -> Response[bytes]:
    return Response(encoded(problem), status_code=problem.status, media_type=MEDIA_TYPE, headers=headers or {})


def encoded(problem: Problem) -> bytes:
    return msgspec.json.encode(problem)


def etag_of(version: int) -> str:
    """A strong validator (RFC 9110, 8.8.3)."""
    return f'"{version}"'


def write_refusal(error: SlotwiseError, _: Scope) -> Written:
    """For the server, which answers some requests in place of the application."""
    problem = problem_of(error)
    return Written(problem.status, MEDIA_TYPE, encoded(problem), list(headers_of(error).items()))


def answer_domain_error(_: Request[Any, Any, Any], error: SlotwiseError) -> Response[bytes]:
    REQUEST_METERS.count_refusal(error.code)
    return answer(problem_of(error), headers_of(error))


def headers_of(error: SlotwiseError) -> dict[str, str]:
    """The extra headers of an error's answer."""
    headers = {}
    if (seconds := getattr(error, "retry_after", None)) is not None:
        headers["Retry-After"] = str(seconds)
    if status_of(type(error)) == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, errors.ChangedMeanwhile):
        headers["ETag"] = etag_of(error.version)
    if isinstance(error, BodyEncoded):
        headers["Accept-Encoding"] = "identity"  # RFC 9110, 15.5.16
    return headers


def answer_framework_error(_: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """For errors of the framework, before a handler runs: unknown routes, malformed bodies and parameters."""
    if isinstance(error, ValidationException) or error.status_code == HTTPStatus.BAD_REQUEST:
        return answer(problem_of(InvalidRequest(*_framework_fields(error))))
    if isinstance(error, InternalServerException):
        # Raised only if the client hung up while its body was read, so this answer reaches no client.
        return answer(problem_of(InvalidRequest.of("body", "was cut off")))
    if error.status_code == STATUS[BodyTooLarge]:
        return answer(problem_of(BodyTooLarge()))
    code = _FRAMEWORK_CODES.get(error.status_code, _OTHER_CODE)
    title = str(error.detail)
    return answer(Problem(problem_type(code), title, error.status_code, title, code), dict(error.headers or {}))


def answer_defect(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return answer(defect_of(error))


def defect_of(error: Exception) -> Problem:
    """For a defect of the server. Logs only its type and place, because its message may contain personal data."""
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]
    log.error("defect", error=type(error).__name__, frames=frames[-8:])
    return problem_of(Defect())


EXCEPTION_HANDLERS: dict[int | type[Exception], Callable[[Request[Any, Any, Any], Any], Response[Any]]] = {
    SlotwiseError: answer_domain_error,
    HTTPException: answer_framework_error,
    Exception: answer_defect,
}


def _fields(error: InvalidInput) -> list[FieldProblem]:
    spell = str if isinstance(error, InvalidRequest | UnreadableRequest) else camel
    return [FieldProblem(spell(fault.field), fault.message) for fault in error.errors]


def _framework_fields(error: HTTPException) -> list[FieldError]:
    if isinstance(error.extra, list) and error.extra:
        return [_framework_field(item) for item in error.extra]
    cause = error.__cause__
    if isinstance(cause, SerializationException):
        return [FieldError("body", "must be valid JSON")]
    return [FieldError("body", str(error.detail))]


def _framework_field(item: Any) -> FieldError:
    message = str(item.get("message", item))
    if item.get("key") == "data":
        return FieldError("body", "is required")
    return FieldError(camel(item.get("key") or "parameter"), message[:1].lower() + message[1:])
