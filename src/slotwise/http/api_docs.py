"""The API docs: the OpenAPI document, and Swagger UI to show it. All files come from this server."""

from functools import lru_cache
from importlib.resources import files
from typing import Any

from litestar import Controller, Request, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from slotwise.http.api_document import openapi_document

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
