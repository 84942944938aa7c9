"""The schemas of bodies in the API document: they are made by msgspec, which also checks the bodies.

The framework's own schemas leave out what the document is for: descriptions, limits, and that unknown fields are
refused.
"""

import re
from inspect import cleandoc
from typing import Any

import msgspec
from litestar._openapi.schema_generation import SchemaCreator
from litestar.openapi.spec import Schema
from litestar.params import BodyKwarg
from litestar.plugins import OpenAPISchemaPlugin
from litestar.typing import FieldDefinition

from slotwise.http.kit.fields import limits_of

_PREFIX = "#/components/schemas/"
_GENERIC = re.compile(r"(\w+?)_(\w+)_")


class StructSchemas(OpenAPISchemaPlugin):
    """Gives the framework references, and remembers the types that they stand for."""

    def __init__(self) -> None:
        self._types: dict[str, Any] = {}

    def is_plugin_supported_field(self, field_definition: FieldDefinition) -> bool:
        return not field_definition.is_union and field_definition.is_subclass_of(msgspec.Struct)

    def to_openapi_schema(self, field_definition: FieldDefinition, schema_creator: SchemaCreator) -> Schema:
        annotation = field_definition.annotation
        (schema,), _ = msgspec.json.schema_components([annotation], ref_template="{name}")
        name = component_name(schema["$ref"])
        self._types[name] = annotation
        kept = FieldDefinition.from_annotation(annotation, kwarg_definition=BodyKwarg(schema_component_key=name))
        schema_creator.create_component_schema(kept, required=[], property_fields={})
        reference: Any = schema_creator.schema_registry.get_reference_for_field_definition(kept)
        return reference  # type: ignore[no-any-return]  # the framework takes it, too

    def components(self, *others: type) -> dict[str, dict[str, Any]]:
        """The schemas of those types and of others, which the framework does not know."""
        _, components = msgspec.json.schema_components(
            [*self._types.values(), *others], ref_template=_PREFIX + "{name}"
        )
        named = {component_name(name): _component(component_name(name), schema) for name, schema in components.items()}
        return dict(sorted(named.items()))


def component_name(name: str) -> str:
    """What clients read: `Booking` for `BookingView`, `BookingPage` for `Page_BookingView_`."""
    if generic := _GENERIC.fullmatch(name):
        return component_name(generic[2]) + generic[1]
    return name.removesuffix("View")


def _component(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(schema)
    for field, value in plain.get("properties", {}).items():
        _complete(field, value)
    named = plain | {"title": name}
    return {key: value for key, value in named.items() if (key, value) != ("required", [])}


def _plain(value: Any) -> Any:
    """With names that clients read, descriptions without indentation, and a type for every choice of words."""
    match value:
        case {"$ref": str(reference)}:
            return {**value, "$ref": _PREFIX + component_name(reference.removeprefix(_PREFIX))}
        case dict():
            plain = {key: _plain(item) for key, item in value.items()}
            if isinstance(description := plain.get("description"), str):
                plain["description"] = cleandoc(description)
            return _open(plain) | ({"type": "string"} if isinstance(plain.get("enum"), list) else {})
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """An object of any fields says so: generators take one without fields for one that never has any."""
    is_any = schema.get("type") == "object" and not schema.keys() & {"properties", "additionalProperties"}
    return schema | ({"additionalProperties": True} if is_any else {})


def _complete(name: str, schema: dict[str, Any]) -> None:
    """Add the limits of its name, and say a default in words: generators make a field with a default a required one."""
    for choice in (schema, *schema.get("anyOf", ())):
        if choice.get("type") in {"integer", "string"}:
            choice.update(limits_of(name) | choice)
    default = schema.pop("default", None)
    if default not in (None, []):
        words = [schema.get("description"), f"{json_text(default)} if not given"]
        schema["description"] = "; ".join(word for word in words if word)


def json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
