"""The declaration of an operation: its id, who may call it, its answers and its errors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from litestar.enums import MediaType
from litestar.handlers import BaseRouteHandler
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Operation, RequestBody

from slotwise.domain.errors import DatabaseBusy, DatabaseUnavailable, InvalidInput, Overloaded, SlotwiseError
from slotwise.http.kit.access import Access
from slotwise.http.kit.bodies import StrictJson
from slotwise.http.kit.problems import BodyTooLarge, Defect, Problem, UnsupportedMediaType
from slotwise.http.kit.queries import refuse_other_queries
from slotwise.server.guarding import Guard, Guarded
from slotwise.server.refusals import (
    BodyEncoded,
    ExpectationFailed,
    HeadTooLarge,
    RequestTooSlow,
    TransferCodingUnknown,
    VersionUnsupported,
)

_OF_EVERY_OPERATION = (
    InvalidInput,
    RequestTooSlow,
    BodyEncoded,
    ExpectationFailed,
    HeadTooLarge,
    Defect,
    TransferCodingUnknown,
    Overloaded,
    VersionUnsupported,
)
_OF_DATABASE = (DatabaseUnavailable, DatabaseBusy)
OF_EVERY_BODY = (BodyTooLarge, UnsupportedMediaType)

_DECLARED = "declared"


class Declared(NamedTuple):
    """What the API document says about an operation and the framework has no place for.

    `refuses` are the errors of an operation without a body; `sends` are the headers of its success. `tells` has the
    problems of errors that tell more than others.
    """

    refuses: tuple[type[SlotwiseError], ...]
    sends: tuple[str, ...]
    tells: Mapping[type[SlotwiseError], type[Problem]]


def operation(
    operation_id: str,
    access: Access,
    summary: str,
    *raises: type[SlotwiseError],
    description: str = "",
    sends: Sequence[str] = (),
    also_answers: Mapping[int, ResponseSpec] | None = None,
    needs_database: bool = True,
    first: Guard | None = None,
    tells: Mapping[type[SlotwiseError], type[Problem]] | None = None,
) -> dict[str, Any]:
    """Keyword arguments of a route handler.

    `raises` are its own errors, besides those of every operation; `sends` are the headers of its success.
    `also_answers` are those besides errors and the answer that the handler's types tell. The guard `first` is asked
    before all others. `tells` are the problems of errors that tell more than others.
    """
    shared = _OF_EVERY_OPERATION + (_OF_DATABASE if needs_database else ())
    return {
        "name": operation_id,
        "operation_id": operation_id,
        "middleware": [Guarded(*([first] if first else []), access.guard, refuse_other_queries(access.query))],
        "security": access.security,
        "summary": summary,
        "description": f"{description}\n\n**Who:** {access.who}.".strip(),
        "dto": StrictJson,
        "return_dto": None,
        "responses": also_answers,
        "opt": {_DECLARED: Declared((*access.refuses, *raises, *shared), tuple(sends), tells or {})},
    }


def declared(handler: BaseRouteHandler) -> Declared | None:
    """What `operation` said about the handler; None for one that is no operation."""
    return handler.opt.get(_DECLARED)


def answer(kind: type | None, description: str, media_type: str = MediaType.JSON) -> ResponseSpec:
    """One of `also_answers`."""
    return ResponseSpec(kind, generate_examples=False, description=description, media_type=media_type)


NOTHING_CHANGED = {304: answer(None, "Nothing has changed since that `ETag`")}


@dataclass
class BodyOptional(Operation):
    """An operation whose body is optional. The framework cannot document that by itself."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False
