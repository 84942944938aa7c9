"""The static files of the pages. The URL has a hash of the content, so that a browser can keep a file for ever."""

import gzip
import hashlib
import re
from functools import cache
from importlib.resources import files

from litestar import Controller, Response, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath

from slotwise.web.kit.access import PageRequest

_STATIC = files("slotwise.web") / "static"
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
# An older name of it (RFC 9110, 8.4.1.3), and the weight of what is not acceptable (12.4.2).
_GZIP = frozenset({"gzip", "x-gzip"})
_REFUSED = re.compile(r"[qQ]=0(\.0{0,3})?")
_FOR_EVER = "public, max-age=31536000, immutable"


@cache
def content_of(name: str) -> bytes:
    return (_STATIC / name).read_bytes()


@cache
def _compressed(name: str) -> bytes:
    return gzip.compress(content_of(name), mtime=0)


@cache
def _version(name: str) -> str:
    return hashlib.sha256(content_of(name)).hexdigest()[:12]


@cache
def _names() -> frozenset[str]:
    return frozenset(file.name for file in _STATIC.iterdir() if file.name.rpartition(".")[2] in _TYPES)


def asset(name: str) -> str:
    """The URL of a file in `static/`."""
    return f"/static/{_version(name)}/{name}"


def accepts_gzip(accept_encoding: str) -> bool:
    """By the header's value (RFC 9110, 12.5.3)."""
    offers = (offer.partition(";") for offer in accept_encoding.split(","))
    return any(
        coding.strip().lower() in _GZIP and not _REFUSED.fullmatch(quality.strip()) for coding, _, quality in offers
    )


class AssetController(Controller):
    path = "/static"
    include_in_schema = False

    @get("/{version:str}/{name:str}")
    async def show_asset(self, request: PageRequest, version: FromPath[str], name: FromPath[str]) -> Response[bytes]:
        if name not in _names():
            raise NotFoundException
        headers = {"Vary": "Accept-Encoding"}
        # A page of another release may ask for its own version. It gets the current one, and must not keep it.
        headers["Cache-Control"] = _FOR_EVER if version == _version(name) else "no-cache"
        body = content_of(name)
        if accepts_gzip(request.headers.get("accept-encoding", "")):
            headers["Content-Encoding"], body = "gzip", _compressed(name)
        return Response(body, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])
