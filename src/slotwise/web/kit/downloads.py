"""Downloads that are made while they are sent."""

from collections.abc import AsyncIterator
from typing import TypeVar

from litestar.response import Stream

from slotwise.web.kit.rendering import HEADERS

Piece = TypeVar("Piece", str, bytes)


async def download(name: str, media_type: str, pieces: AsyncIterator[Piece], awaited: int = 1) -> Stream:
    """Awaits the first pieces before the answer begins: most errors happen there, and can still become an error page.

    If a later piece fails, the connection is cut before the end of the answer, so that no browser takes the part for
    the whole file.
    """
    first = [await anext(pieces) for _ in range(awaited)]
    headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}"'}
    return Stream(_joined(first, pieces), media_type=media_type, headers=headers)


async def _joined(first: list[Piece], others: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    for piece in first:
        yield piece
    async for piece in others:
        yield piece
