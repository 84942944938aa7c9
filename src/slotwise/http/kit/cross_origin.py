"""Pages of other origins: which may call the API, and what they may send and read (CORS, in the Fetch standard)."""

from collections.abc import Iterator

from litestar.config.cors import CORSConfig
from litestar.types import HTTPScope

from slotwise.domain.errors import FieldError, SlotwiseError
from slotwise.http.kit import headers
from slotwise.server.refusals import UnreadableRequest

_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_WANTED_METHOD = "Access-Control-Request-Method"
_WANTED_HEADERS = "Access-Control-Request-Headers"
# Every page may send these (Fetch, 2.2.2).
_SAFE_HEADERS = frozenset({"accept", "accept-language", "content-language", "content-type"})
_ALLOWED_HEADERS = _SAFE_HEADERS | {name.lower() for name in headers.SENT}


def cors_of(origins: list[str]) -> CORSConfig | None:
    """Off unless origins are named. The API takes credentials in headers, not in cookies, so it allows no cookies."""
    if not origins:
        return None
    return CORSConfig(
        allow_origins=origins,
        allow_methods=list(_METHODS),  # type: ignore[arg-type]  # has no HEAD, which browsers ask for, too
        allow_headers=list(headers.SENT),
        expose_headers=list(headers.EXPOSED),
    )


def fault_of_preflight(cors: CORSConfig | None, scope: HTTPScope) -> SlotwiseError | None:
    """Why a browser's question before a request is refused; None if it is not, or if this is another request.

    The framework's own refusal is a line of text.
    """
    if cors is None or scope["method"] != "OPTIONS":
        return None
    sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    if not (origin := sent.get("origin")):
        return None
    faults = list(_faults(cors, origin, sent.get(_WANTED_METHOD.lower()), sent.get(_WANTED_HEADERS.lower(), "")))
    return UnreadableRequest(*faults) if faults else None


def _faults(cors: CORSConfig, origin: str, method: str | None, names: str) -> Iterator[FieldError]:
    if not cors.is_origin_allowed(origin):
        yield FieldError("Origin", "must be one that CORS_ORIGINS names")
    if method and method not in _METHODS:
        yield FieldError(_WANTED_METHOD, f"must be one of {', '.join(_METHODS)}")
    unknown = {name.strip().lower() for name in names.split(",")} - _ALLOWED_HEADERS - {""}
    if unknown:
        yield FieldError(_WANTED_HEADERS, "must name only headers that the API reads")
