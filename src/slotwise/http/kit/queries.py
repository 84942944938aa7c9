"""Query parameters of the API: an operation refuses those that it does not have, and those that come twice."""

from collections import Counter
from itertools import islice
from typing import Any
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.enums import ParamType
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg

from slotwise.domain.errors import FieldError
from slotwise.http.kit.access import Guard
from slotwise.http.kit.problems import InvalidRequest

# A query has room for thousands of names, and the answer should not be many times as long.
MAX_NAMED = 10


def refuse_other_queries(more: frozenset[str]) -> Guard:
    """A guard that accepts the query parameters of the handler and `more`, each at most once."""
    by_handler: dict[str, frozenset[str]] = {}

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        query = connection.scope["query_string"]
        if not query:
            return
        known = by_handler.get(handler.handler_id)
        if known is None:
            known = by_handler[handler.handler_id] = _parameters_of(handler) | more
        sent = Counter(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
        faults = (fault for name, times in sent.items() if (fault := _fault(name, times, known)) is not None)
        if named := list(islice(faults, MAX_NAMED)):
            raise InvalidRequest(*named)

    return guard


def _parameters_of(handler: BaseRouteHandler) -> frozenset[str]:
    definitions = {name: field.kwarg_definition for name, field in handler.parsed_fn_signature.parameters.items()}
    return frozenset(
        definition.name or name
        for name, definition in definitions.items()
        if isinstance(definition, ParameterKwarg) and definition.param_type == ParamType.QUERY
    )


def _fault(name: str, times: int, known: frozenset[str]) -> FieldError | None:
    if name not in known:
        return FieldError(name, "is not a query parameter of this request")
    return FieldError(name, "must be given once") if times > 1 else None
