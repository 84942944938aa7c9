"""The API docs: an OpenAPI document, and Swagger UI to show it. All files come from this server."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec
from litestar import Controller, Litestar, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, License, SecurityScheme, Tag
from litestar.params import FromPath

from slotwise import __version__
from slotwise.domain.fields import MAX_ID
from slotwise.http.kit.problems import MEDIA_TYPE, UnsupportedMediaType, problem_type
from slotwise.server.refusals import RequestTooSlow

_STATIC = files("slotwise.http") / "static"
_TYPES = {"html": "text/html", "js": "text/javascript", "css": "text/css", "png": "image/png"}
_FILES = (
    "api-docs.js",
    "swagger-ui/swagger-ui.css",
    "swagger-ui/swagger-ui-bundle.js",
    "swagger-ui/favicon-32x32.png",
)

# Swagger UI sets styles in its script and has icons as data: images.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

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

OPENAPI = OpenAPIConfig(
    title="Slotwise",
    version=__version__,
    description=_DESCRIPTION,
    license=License(name="Apache-2.0", identifier="Apache-2.0"),
    path="/api-docs/document",
    render_plugins=(JsonRenderPlugin(),),
    tags=[
        Tag("Accounts", "Register, log in and out, manage your data"),
        Tag("Doctors", "The doctors and their specializations"),
        Tag("Slots", "Find and publish slots"),
        Tag("Bookings", "Hold, confirm, cancel and read bookings"),
        Tag("Operation", "Health and metrics"),
    ],
    components=Components(
        security_schemes={
            "accessToken": SecurityScheme(
                type="http", scheme="bearer", bearer_format="JWT", description="`accessToken` of a log-in"
            ),
            "bookingToken": SecurityScheme(
                type="apiKey",
                name="Booking-Token",
                security_scheme_in="header",
                description="A booking's `manageToken`",
            ),
        }
    ),
)


@lru_cache(maxsize=1)
def openapi_document(app: Litestar) -> dict[str, Any]:
    """The document as plain JSON values. The framework's own document has examples as Python objects."""
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(app.openapi_schema.to_schema()))
    for operation in _operations_with_body(document):
        operation["responses"] |= _BODY_PROBLEMS
        for name in _schemas_of_body(operation):
            document["components"]["schemas"][name]["additionalProperties"] = False
    exact: dict[str, Any] = _with_exact_numbers(document)
    return exact


def _operations_with_body(document: dict[str, Any]) -> list[dict[str, Any]]:
    paths = document["paths"].values()
    return [operation for methods in paths for operation in methods.values() if "requestBody" in operation]


def _schemas_of_body(operation: dict[str, Any]) -> set[str]:
    """The names of a body's schemas. They refuse unknown fields, which the framework does not document."""
    body = operation["requestBody"]["content"]["application/json"]["schema"]
    return {choice["$ref"].rpartition("/")[2] for choice in (body, *body.get("oneOf", ())) if "$ref" in choice}


def _body_problem(status: int, code: str, title: str) -> dict[str, Any]:
    example = {"type": problem_type(code), "title": title, "status": status, "detail": title, "code": code}
    content = {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {code: {"value": example}}}
    return {"description": f"{title} (`{code}`)", "content": {MEDIA_TYPE: content}}


_BODY_PROBLEMS = {
    "408": _body_problem(408, RequestTooSlow.code, RequestTooSlow.title),
    "413": _body_problem(413, "body-too-large", "The body has more than 64 KiB"),
    "415": _body_problem(415, UnsupportedMediaType.code, UnsupportedMediaType.title),
}


def _with_exact_numbers(value: Any) -> Any:
    """Integers in place of floats. The framework has bounds as floats, which cannot represent the largest id."""
    match value:
        case dict():
            return {name: _with_exact_numbers(item) for name, item in value.items()}
        case list():
            return [_with_exact_numbers(item) for item in value]
        case float() if value >= MAX_ID:
            return MAX_ID
        case float() if value.is_integer():
            return int(value)
        case _:
            return value


class ApiDocsController(Controller):
    path = "/api-docs"
    include_in_schema = False

    @get("/", media_type="text/html")
    async def show(self) -> Response[bytes]:
        return _file("api-docs.html", {"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"})

    @get("/openapi.json")
    async def document(self, request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
        return Response(openapi_document(request.app), headers={"Cache-Control": "no-cache"})

    @get("/static/{name:path}")
    async def static(self, name: FromPath[str]) -> Response[bytes]:
        wanted = name.lstrip("/")
        if wanted not in _FILES:
            raise NotFoundException
        return _file(wanted, {"Cache-Control": "public, max-age=86400"})


@lru_cache
def _content(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


def _file(name: str, headers: dict[str, str]) -> Response[bytes]:
    return Response(_content(name), headers=headers, media_type=_TYPES[name.rpartition(".")[2]])
