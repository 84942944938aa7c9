"""Two clients that change the same thing: the second is told what the first has changed (RFC 9110, 13.1.1).

A thing that is changed so has a `version`, which grows with each change and is its `ETag`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any, TypeVar

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


@contextmanager
def showing_present(view: Callable[[Any], object]) -> Iterator[None]:
    """What somebody else has changed is shown as `view` shows it."""
    try:
        yield
    except ChangedMeanwhile as error:
        raise ChangedMeanwhile(view(error.present), error.version) from error
