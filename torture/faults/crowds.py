"""Clients that hang up, are slow, or send too much."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

from torture.bed import Bed
from torture.faults.fault import Fault, blow

HANG_UPS = 100
DAWDLERS = 50
BODY = b'{"slotId": 1, "userName": "hang-up", "userEmail": "hang-up@torture.example", "nonsense": true}'
HEAD = b"POST /api/bookings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
TOO_LARGE = 1_000_000


async def hang_up(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Clients hang up at any point of a request. The request is invalid, so that it never makes a booking."""
    request = HEAD % len(BODY) + BODY
    await asyncio.gather(*(_say(bed, request[: random.randrange(1, len(request) + 1)], 0.0) for _ in range(HANG_UPS)))
    yield


async def dawdle(bed: Bed, random: Random) -> AsyncIterator[None]:
    """Send a part of a request, then nothing for a while."""
    said = [_say(bed, HEAD[: random.randrange(10, len(HEAD))], 3.0) for _ in range(DAWDLERS)]
    waiting = asyncio.gather(*said)
    yield
    await waiting


async def say_too_much(bed: Bed, random: Random) -> AsyncIterator[None]:
    await asyncio.gather(*(_say(bed, HEAD % TOO_LARGE + b"x" * TOO_LARGE, 0.2) for _ in range(10)))
    yield


async def _say(bed: Bed, what: bytes, seconds: float) -> None:
    """Connect, send it, wait so many seconds, and abort the connection."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", bed.port)
        try:
            writer.write(what)
            await asyncio.wait_for(writer.drain(), 5)
            await asyncio.sleep(seconds)
        except TimeoutError:
            return
        finally:
            writer.transport.abort()


FAULTS = (
    Fault("hang-up", "a hundred clients hang up in the middle of a request", blow(hang_up)),
    Fault("slow-clients", "fifty clients send half a request and wait", blow(dawdle), (0.5, 3.0)),
    Fault("oversized", "bodies of a megabyte", blow(say_too_much)),
)
