"""Two clients that change the same thing: the second is told what the first has changed (RFC 9110, 13.1.1).

A thing that is changed so has a `version`, which grows with each change and is its `ETag`. A client that has this
version already need not be sent it again (RFC 9110, 13.1.2).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any, TypeVar, cast

from litestar import Response
from litestar.params import HeaderParameter

from slotwise.domain.errors import ChangedMeanwhile, InvalidInput
from slotwise.http.kit.problems import etag_of

View = TypeVar("View")
MAX_TAGS_CHARACTERS = 200

IfMatch = Annotated[
    str | None,
    HeaderParameter(
        name="If-Match",
        description="The `ETag` of the version that you change. If there is another version by now, the answer is 412 "
        "and shows it",
        max_length=MAX_TAGS_CHARACTERS,
    ),
]
_TAG = re.compile(r'(?P<weak>W/)?"(?P<version>[^"]*)"')
# As `etag_of` writes it: without zeros in front.
_VERSION = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)


def versions_in(if_match: str | None) -> frozenset[int] | None:
    """The versions that may be changed; None for any. A weak tag matches none, as the comparison is strong."""
    if if_match is None or if_match.strip() == "*":
        return None
    tags = [_TAG.fullmatch(tag.strip()) for tag in if_match.split(",")]
    if not all(tags):
        raise InvalidInput.of("If-Match", "must be the ETag of an earlier answer")
    return frozenset(
        int(tag["version"]) for tag in tags if tag and not tag["weak"] and _VERSION.fullmatch(tag["version"])
    )


def versioned(view: View, version: int, **more: Any) -> Response[View]:
    """An answer with its `ETag`. `more` are arguments of the answer; its headers are kept."""
    headers = {**more.pop("headers", {}), "ETag": etag_of(version)}
    return Response(view, headers=headers, **more)


def versioned_unless_known(view: View, version: int, if_none_match: str | None) -> Response[View]:
    """304 if the client has this version. `no-cache`: it may be stored, but must be asked for again."""
    headers = {"Cache-Control": "no-cache"}
    if is_known(etag_of(version), if_none_match):
        nothing = cast("Any", None)
        return versioned(nothing, version, headers=headers, status_code=HTTPStatus.NOT_MODIFIED)
    return versioned(view, version, headers=headers)


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the header has this tag. The comparison is weak."""
    tags = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return etag in tags or "*" in tags


@contextmanager
def showing_present(view: Callable[[Any], object]) -> Iterator[None]:
    """What somebody else has changed is shown as `view` shows it."""
    try:
        yield
    except ChangedMeanwhile as error:
        raise ChangedMeanwhile(view(error.present), error.version) from error
