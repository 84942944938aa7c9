"""The OpenAPI document. The framework describes the operations; what it has no means for is completed here."""

import re
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from litestar import Litestar
from litestar._openapi.plugin import OpenAPIPlugin
from litestar.config.app import AppConfig
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, Contact, License, SecurityScheme, Server, Tag
from litestar.routes import HTTPRoute

from slotwise import __version__
from slotwise.http.kit.answers import complete_answers, share_problems
from slotwise.http.kit.fields import ID, is_id
from slotwise.http.kit.headers import DESCRIBED as HEADERS
from slotwise.http.kit.operations import Declared, declared
from slotwise.http.kit.problems import Problem, camel
from slotwise.http.kit.schemas import StructSchemas
from slotwise.http.schedule.explanations import Audience

_DESCRIPTION = """\
Slotwise books doctors' appointments. A booking starts as a hold: it keeps its seats until `expiresAt`. Confirm it
before then, or its seats become free again. However many people book at the same instant, no slot is oversold and no
accepted booking is lost.

**Try it:** find a slot with `GET /api/slots`. Hold a seat with `POST /api/bookings`. To confirm, send the `manageToken`
from the answer in the header `Booking-Token`. To publish doctors and slots, log in as an admin at
`POST /api/auth/login` and enter the `accessToken` under *Authorize*.

Times are RFC 3339 in UTC. Lists come in pages: send `nextCursor` as `cursor` to get the next page. Errors are problem
details (RFC 9457) with a stable `code`. Answers with status 429 and 503 have a `Retry-After` header. After a 503, send
the same request again with the same `Idempotency-Key`.
"""


class Chapter(NamedTuple):
    """Operations with one tag, in the order in which a person needs them."""

    tag: str
    description: str
    operations: tuple[str, ...]


CHAPTERS = (
    Chapter(
        "Accounts",
        "Log in and out, register, manage your own data",
        (
            "log_in",
            "register",
            "get_account",
            "log_out",
            "change_password",
            "export_personal_data",
            "erase_personal_data",
        ),
    ),
    Chapter("Clinics", "Where appointments take place", ("list_clinics", "get_clinic")),
    Chapter("Doctors", "Who can be booked", ("list_doctors", "get_doctor")),
    Chapter("Visit types", "What can be booked", ("list_visit_types", "get_visit_type")),
    Chapter(
        "Times", "Find what can be booked: published slots, and doctors' open hours", ("list_times", "explain_times")
    ),
    Chapter("Slots", "Find a time with free seats, and watch them", ("list_slots", "get_slot", "watch_seats")),
    Chapter(
        "Bookings",
        "Hold, confirm, read and cancel",
        (
            "hold_seats",
            "confirm_booking",
            "get_booking",
            "cancel_booking",
            "list_bookings_of_user",
            "list_bookings_of_slot",
        ),
    ),
    Chapter(
        "Administration",
        "Publish doctors and slots, find all bookings: for staff and admins",
        (
            "create_clinic",
            "update_clinic",
            "create_doctor",
            "update_doctor",
            "create_visit_type",
            "update_visit_type",
            "create_slot",
            "create_slots",
            "update_slot",
            "list_bookings",
            "overbook_seats",
        ),
    ),
    Chapter(
        "Schedules",
        "Weekly hours, holidays and absences, and what a change of them does: for staff and admins",
        ("list_rules", "list_closures", "preview_schedule", "apply_schedule"),
    ),
    Chapter("Operation", "Health and metrics", ("get_health", "get_readiness", "get_metrics")),
)
# Types of parameters that are in no body.
_OF_PARAMETERS: tuple[type, ...] = (Audience,)
_PLACES = {name: place for place, name in enumerate(name for chapter in CHAPTERS for name in chapter.operations)}
_TAGS = {name: chapter.tag for chapter in CHAPTERS for name in chapter.operations}

# The server reads it, and no handler.
_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "schema": {"$ref": "#/components/schemas/RequestId"},
}
_SCHEMAS = {
    "RequestId": {
        "title": "RequestId",
        "description": "Your own id of the request: 1 to 64 letters, digits, `.`, `_`, `-`. The server replaces others",
        "type": "string",
    }
}

_CONFIG = OpenAPIConfig(
    title="Slotwise",
    version=__version__,
    description=_DESCRIPTION,
    contact=Contact(name="The operator of this server"),
    license=License(name="Apache-2.0", identifier="Apache-2.0"),
    servers=[Server(url="/", description="This server")],
    tags=[Tag(chapter.tag, chapter.description) for chapter in CHAPTERS],
    components=Components(
        security_schemes={
            "accessToken": SecurityScheme(
                type="http", scheme="bearer", bearer_format="JWT", description="`accessToken` of a log-in"
            ),
            "bookingToken": SecurityScheme(
                type="apiKey",
                name="Booking-Token",
                security_scheme_in="header",
                description="A booking's `manageToken`. In a link, it may be the query parameter `token` instead",
            ),
        },
    ),
)


@lru_cache(maxsize=1)
def openapi_document(app: Litestar) -> dict[str, Any]:
    """The document as plain JSON values. The framework's own document has examples as Python objects."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(_described(app)))
    said = _declarations(app)
    operations = [operation for methods in document["paths"].values() for operation in methods.values()]
    for operation in operations:
        _complete(operation, said[operation["operationId"]])
    problems: list[type] = [Problem, *(problem for each in said.values() for problem in each.tells.values())]
    document["paths"] = _in_order_of_learning(document["paths"])
    document["components"] |= {
        "headers": HEADERS,
        "responses": share_problems(operations),
        "schemas": _SCHEMAS | app.plugins.get(StructSchemas).components(*problems, *_OF_PARAMETERS),
    }
    return document


def _described(app: Litestar) -> dict[str, Any]:
    """What the framework says about the operations.

    Its plugin gets the configuration here and not from the application: with the application's, it would also serve
    what it says, as a second document that is not complete.
    """
    plugin = app.plugins.get(OpenAPIPlugin)
    plugin.on_app_init(AppConfig(openapi_config=_CONFIG))
    return plugin.provide_openapi_schema()


def _declarations(app: Litestar) -> dict[str, Declared]:
    """What the handlers say about themselves, by the ids of their operations."""
    handlers = [handler for route in app.routes if isinstance(route, HTTPRoute) for handler in route.route_handlers]
    return {handler.name: said for handler in handlers if handler.name and (said := declared(handler)) is not None}


def _complete(operation: dict[str, Any], said: Declared) -> None:
    del operation["deprecated"]
    operation["tags"] = [_TAGS[operation["operationId"]]]
    operation.setdefault("security", [])
    operation["parameters"] = [*map(_parameter, operation.get("parameters", ())), _REQUEST_ID]
    operation["responses"] = complete_answers(operation["responses"], said, has_body="requestBody" in operation)


def _parameter(given: dict[str, Any]) -> dict[str, Any]:
    """A parameter without its empty choices. One in a path has the spelling of JSON's fields."""
    name = camel(given["name"]) if given["in"] == "path" else given["name"]
    described = {"description": given["description"]} if "description" in given else {}
    schema = _exact({key: value for key, value in given["schema"].items() if key not in {"oneOf", "description"}})
    # A parameter that may be missing is never null.
    for choice in given["schema"].get("oneOf", ()):
        schema |= choice if choice.get("type") != "null" else {}
    return {"name": name, "in": given["in"], **described, "required": given["required"]} | {
        "schema": schema | (ID if is_id(name) else {})
    }


def _exact(schema: dict[str, Any]) -> dict[str, Any]:
    """Integers in place of floats: the framework has all limits as floats."""
    return {key: int(value) if isinstance(value, float) else value for key, value in schema.items()}


def _in_order_of_learning(paths: dict[str, Any]) -> dict[str, Any]:
    """Paths by the first operation that a person needs of each, and so the methods of a path."""

    def place(item: tuple[str, dict[str, Any]]) -> int:
        return _PLACES[item[1]["operationId"]]

    ordered = {_spelled(path): dict(sorted(methods.items(), key=place)) for path, methods in paths.items()}
    return dict(sorted(ordered.items(), key=lambda item: min(map(place, item[1].items()))))


def _spelled(path: str) -> str:
    """With its parameters spelled like JSON's fields."""
    return re.sub(r"{(\w+)}", lambda name: f"{{{camel(name[1])}}}", path)
