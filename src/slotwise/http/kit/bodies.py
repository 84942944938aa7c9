"""Request bodies: JSON, decoded strictly, with errors that name the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from litestar.datastructures import Headers
from litestar.dto import AbstractDTO
from litestar.typing import FieldDefinition

from slotwise.domain.errors import InvalidInput
from slotwise.http.kit.problems import InvalidRequest, UnsupportedMediaType

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.openapi.spec import Reference, Schema


class StrictJson(AbstractDTO[Any]):
    """Decodes a body into the struct that the handler's `data` is annotated with.

    The framework's own decoding converts loosely ("1" and true pass for 1) and names a field by its place only.
    """

    _decoders: ClassVar[dict[str, msgspec.json.Decoder[Any]]] = {}

    def decode_bytes(self, value: bytes) -> Any:
        if value:
            _require_json(self.asgi_connection.headers)
        try:
            return self._decoders[self.asgi_connection.route_handler.handler_id].decode(value)
        except msgspec.ValidationError as error:
            raise invalid_field(str(error)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidRequest.of("body", f"must be valid JSON: {error}") from error

    @classmethod
    def create_for_field_definition(
        cls,
        field_definition: FieldDefinition,
        handler_id: str,
        backend_cls: Any = None,  # noqa: ARG003 - the framework's signature
    ) -> None:
        cls._decoders[handler_id] = msgspec.json.Decoder(field_definition.annotation)

    @classmethod
    def create_openapi_schema(
        cls,
        field_definition: FieldDefinition,
        handler_id: str,  # noqa: ARG003 - the framework's signature
        schema_creator: SchemaCreator,
    ) -> Reference | Schema:
        return schema_creator.for_field_definition(field_definition)

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        raise NotImplementedError

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        raise NotImplementedError


def invalid_field(message: str) -> InvalidInput:
    """From msgspec's "Expected `int`, got `str` - at `$.seatsBooked`" to the field and what is wrong with it."""
    fault, _, path = message.partition(" - at `$")
    field = path.strip(".`")
    for prefix, words in _WORDS.items():
        if fault.startswith(prefix):
            name = fault.removeprefix(prefix).rstrip("`")
            return InvalidRequest.of(f"{field}.{name}".lstrip("."), words)
    return InvalidRequest.of(field or "body", fault[:1].lower() + fault[1:])


_WORDS = {
    "Object contains unknown field `": "is not a field of this request",
    "Object missing required field `": "is required",
}


def _require_json(headers: Headers) -> None:
    """Refuse a body of another type, or of none: a page elsewhere may send such a one without asking for leave."""
    stated = headers.get("content-type", "").partition(";")[0].strip().lower()
    if stated != "application/json" and not stated.endswith("+json"):
        raise UnsupportedMediaType
