"""Query parameters of the API: an operation refuses those that it does not have, and those that come twice."""

from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from litestar.connection import ASGIConnection
from litestar.enums import ParamType
from litestar.handlers import BaseRouteHandler
from litestar.params import ParameterKwarg

from slotwise.domain.errors import FieldError
from slotwise.http.kit.problems import InvalidRequest
from slotwise.server.guarding import Guard

# A query has room for thousands of names, and the answer should not be many times as long.
MAX_NAMED = 10


class _Known(NamedTuple):
    names: frozenset[str]
    # The framework would read the word `null` as if the parameter was missing, and so filter by nothing.
    nullable: frozenset[str]


def refuse_other_queries(more: frozenset[str]) -> Guard:
    """A guard that accepts the query parameters of the handler and `more`, each at most once and with a value."""
    by_handler: dict[str, _Known] = {}

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        query = connection.scope["query_string"]
        if not query:
            return
        known = by_handler.get(handler.handler_id)
        if known is None:
            known = by_handler[handler.handler_id] = _known_by(handler, more)
        values: dict[str, list[str]] = {}
        for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
            values.setdefault(name, []).append(value)
        faults = (fault for name, sent in values.items() if (fault := _fault(name, sent, known)) is not None)
        if named := list(islice(faults, MAX_NAMED)):
            raise InvalidRequest(*named)

    return guard


def _known_by(handler: BaseRouteHandler, more: frozenset[str]) -> _Known:
    fields = {
        definition.name or name: field
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(definition := field.kwarg_definition, ParameterKwarg) and definition.param_type == ParamType.QUERY
    }
    nullable = {
        name
        for name, field in fields.items()
        if field.is_optional and str not in (kind.annotation for kind in field.inner_types)
    }
    return _Known(more | fields.keys(), frozenset(nullable))


def _fault(name: str, sent: list[str], known: _Known) -> FieldError | None:
    if name not in known.names:
        return FieldError(name, "is not a query parameter of this request")
    if len(sent) > 1:
        return FieldError(name, "must be given once")
    return FieldError(name, "must not be null") if name in known.nullable and sent[0].lower() == "null" else None
