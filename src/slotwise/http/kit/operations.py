"""The declaration of an operation: its id, who may call it, and its errors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, Operation, RequestBody

from slotwise.domain.errors import DatabaseBusy, DatabaseUnavailable, InvalidInput, SlotwiseError
from slotwise.http.kit.access import Access
from slotwise.http.kit.bodies import StrictJson
from slotwise.http.kit.problems import MEDIA_TYPE, Problem, problem_type, status_of
from slotwise.http.kit.queries import refuse_other_queries


def operation(
    operation_id: str,
    access: Access,
    summary: str,
    *raises: type[SlotwiseError],
    description: str = "",
) -> dict[str, Any]:
    """Keyword arguments of a route handler. `raises` are its own errors, besides those of every operation."""
    return {
        "name": operation_id,
        "operation_id": operation_id,
        "guards": [access.guard, refuse_other_queries(access.query)],
        "security": access.security,
        "summary": summary,
        "description": f"{description}\n\n**Who:** {access.who}.".strip(),
        "dto": StrictJson,
        "return_dto": None,
        "responses": _documented([InvalidInput, *access.refuses, *raises, DatabaseUnavailable, DatabaseBusy]),
    }


def _documented(raises: Sequence[type[SlotwiseError]]) -> dict[int, ResponseSpec]:
    by_status: dict[int, list[type[SlotwiseError]]] = {}
    for kind in dict.fromkeys(raises):
        by_status.setdefault(status_of(kind), []).append(kind)
    return {status: _response(kinds) for status, kinds in sorted(by_status.items())}


def _response(kinds: Sequence[type[SlotwiseError]]) -> ResponseSpec:
    return ResponseSpec(
        data_container=Problem,
        generate_examples=False,  # they would have random values
        description="; or ".join(f"{kind.title} (`{kind.code}`)" for kind in kinds),
        media_type=MEDIA_TYPE,
        examples=[Example(summary=kind.code, value=_example(kind)) for kind in kinds],
    )


def _example(kind: type[SlotwiseError]) -> dict[str, Any]:
    problem = Problem(problem_type(kind.code), kind.title, status_of(kind), kind.title, kind.code)
    example: dict[str, Any] = msgspec.to_builtins(problem)
    return example


@dataclass
class BodyOptional(Operation):
    """An operation whose body is optional. The framework cannot document that by itself."""

    def __post_init__(self) -> None:
        if isinstance(self.request_body, RequestBody):
            self.request_body.required = False
