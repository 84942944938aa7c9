"""The declaration of an operation: its id, who may call it, its errors, and how they look in the API document."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.datastructures import ResponseHeader
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, Operation, RequestBody

from slotwise.domain.errors import (
    DatabaseBusy,
    DatabaseUnavailable,
    InvalidInput,
    Overloaded,
    SeatsTaken,
    SlotFull,
    SlotwiseError,
    TooManyLogins,
    TooManyRequests,
)
from slotwise.http.kit.access import Access
from slotwise.http.kit.bodies import StrictJson
from slotwise.http.kit.problems import (
    MEDIA_TYPE,
    BodyTooLarge,
    Defect,
    Problem,
    UnsupportedMediaType,
    problem_of,
    status_of,
)
from slotwise.http.kit.queries import refuse_other_queries
from slotwise.server.refusals import BodyEncoded, HeadTooLarge, RequestTooSlow

_OF_EVERY_OPERATION = (HeadTooLarge, Defect, DatabaseUnavailable, DatabaseBusy, Overloaded)
_OF_EVERY_BODY = (RequestTooSlow, BodyTooLarge, UnsupportedMediaType, BodyEncoded)
# Errors that tell more than their code.
_EXAMPLES = {
    type(error): error
    for error in (
        InvalidInput.of("slot_id", "is required"),
        SeatsTaken(2),
        SlotFull(1),
        TooManyLogins(60),
        TooManyRequests(60),
    )
}


def operation(
    operation_id: str,
    access: Access,
    summary: str,
    *raises: type[SlotwiseError],
    description: str = "",
    sends: Sequence[str] = (),
) -> dict[str, Any]:
    """Keyword arguments of a route handler.

    `raises` are its own errors, besides those of every operation; `sends` are the headers of its success.
    """
    return {
        "name": operation_id,
        "operation_id": operation_id,
        "guards": [access.guard, refuse_other_queries(access.query)],
        "security": access.security,
        "summary": summary,
        "description": f"{description}\n\n**Who:** {access.who}.".strip(),
        "dto": StrictJson,
        "return_dto": None,
        "responses": _documented([InvalidInput, *access.refuses, *raises, *_OF_EVERY_OPERATION]),
        "response_headers": [ResponseHeader(name=name, documentation_only=True) for name in sends],
    }


def _documented(raises: Iterable[type[SlotwiseError]]) -> dict[int, ResponseSpec]:
    return {
        status: ResponseSpec(
            data_container=Problem,
            generate_examples=False,
            description=_words(kinds),
            media_type=MEDIA_TYPE,
            examples=[Example(summary=kind.code, value=_example(kind)) for kind in kinds],
        )
        for status, kinds in _by_status(raises)
    }


def body_refusals() -> dict[str, Any]:
    """The refusals of every operation with a body, as the API document has them."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        str(status): {
            "description": _words(kinds),
            "content": {
                MEDIA_TYPE: {
                    "schema": schema,
                    "examples": {kind.code: {"summary": kind.code, "value": _example(kind)} for kind in kinds},
                }
            },
        }
        for status, kinds in _by_status(_OF_EVERY_BODY)
    }


def _by_status(raises: Iterable[type[SlotwiseError]]) -> list[tuple[int, list[type[SlotwiseError]]]]:
    by_status: dict[int, list[type[SlotwiseError]]] = {}
    for kind in dict.fromkeys(raises):
        by_status.setdefault(status_of(kind), []).append(kind)
    return sorted(by_status.items())


def _words(kinds: Sequence[type[SlotwiseError]]) -> str:
    return "; or ".join(f"{kind.title} (`{kind.code}`)" for kind in kinds)


def _example(kind: type[SlotwiseError]) -> dict[str, Any]:
    example: dict[str, Any] = msgspec.to_builtins(problem_of(_EXAMPLES[kind] if kind in _EXAMPLES else kind()))
    return example


@dataclass
class BodyOptional(Operation):
    """An operation whose body is optional. The framework cannot document that by itself."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False
