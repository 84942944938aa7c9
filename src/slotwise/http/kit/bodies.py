"""Request bodies: JSON that is decoded strictly. Errors name the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from litestar.datastructures import Headers
from litestar.dto import AbstractDTO
from litestar.typing import FieldDefinition
from litestar.utils.typing import make_non_optional_union

from slotwise.domain.errors import InvalidInput
from slotwise.http.kit.problems import InvalidRequest, UnsupportedMediaType

if TYPE_CHECKING:
    from litestar._openapi.schema_generation import SchemaCreator
    from litestar.openapi.spec import Reference, Schema


class StrictJson(AbstractDTO[Any]):
    """Decodes a body into the type of the handler's parameter `data`.

    The framework's own decoding is lax (it takes "1" and true as 1), and its errors do not name the field in full.
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
        """An optional body may be missing, but one that is sent must be of its kind: `null` is not."""
        cls._decoders[handler_id] = msgspec.json.Decoder(_kind_of(field_definition))

    @classmethod
    def create_openapi_schema(
        cls,
        field_definition: FieldDefinition,
        handler_id: str,  # noqa: ARG003 - the framework's signature
        schema_creator: SchemaCreator,
    ) -> Reference | Schema:
        return schema_creator.for_field_definition(FieldDefinition.from_annotation(_kind_of(field_definition)))

    @classmethod
    def generate_field_definitions(cls, model_type: type[Any]) -> Any:
        raise NotImplementedError

    @classmethod
    def detect_nested_field(cls, field_definition: FieldDefinition) -> bool:
        raise NotImplementedError


def _kind_of(field_definition: FieldDefinition) -> Any:
    annotation = field_definition.annotation
    return make_non_optional_union(annotation) if field_definition.is_optional else annotation


def invalid_field(message: str) -> InvalidInput:
    """An error with field and message, from msgspec's text "Expected `int`, got `str` - at `$.seatsBooked`"."""
    fault, _, path = message.partition(" - at `$")
    field = path.strip(".`")
    for prefix, words in _WORDS.items():
        if fault.startswith(prefix):
            name = fault.removeprefix(prefix).rstrip("`")
            return InvalidRequest.of(f"{field}.{name}".lstrip("."), words)
    return InvalidRequest.of(field or "body", fault[:1].lower() + fault[1:])


_CHARSETS = frozenset({"utf-8", "utf8", "us-ascii"})
_WORDS = {
    "Object contains unknown field `": "is not a field of this request",
    "Object missing required field `": "is required",
}


def _require_json(headers: Headers) -> None:
    """Refuse a body with another content type or none: a foreign web page may send such a body without a CORS check.

    JSON is UTF-8 (RFC 8259, 8.1): a body that names another charset would be read as what it is not.
    """
    if not _is_json(headers.get("content-type", "").lower()):
        raise UnsupportedMediaType


def _is_json(stated: str) -> bool:
    media_type, *parameters = (part.strip() for part in stated.split(";"))
    kind, _, name = media_type.partition("/")
    pairs = [(parameter, value.strip('"')) for parameter, _, value in (each.partition("=") for each in parameters)]
    charsets = {value for parameter, value in pairs if parameter == "charset"}
    return kind == "application" and (name == "json" or name.endswith("+json")) and charsets <= _CHARSETS
