"""Clients that are gone before they have their answer, at every point of a request."""

import asyncio
import json
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from slotwise.worker.gauges import SECONDS
from tests.clinic import Clinic, RunningServer, eventually
from tests.depth import many
from tests.faults.test_hanging_database import idle_pools
from tests.http.test_health import samples

# Promise L4 asks for 10,000, which take ten seconds: SLOTWISE_TEST_HANG_UPS=10000.
CLIENTS = int(os.environ.get("SLOTWISE_TEST_HANG_UPS", many(500, 2000)))
AT_ONCE = 50
UNIX_SOCKETS = Path("/proc/net/unix")
ABORT = struct.pack("ii", 1, 0)  # linger time 0: the connection is reset, not closed


@pytest.mark.slow(reason="thousands of connections")
def test_thousands_of_clients_that_hang_up_leave_no_connection_behind(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server(HOLD_SECONDS="60")  # one worker, which serves: a second one could still be starting
    with Clinic(server) as clinic:
        slot_id = clinic.slot(seats=1_000_000)["id"]
        eventually(lambda: idle_pools(clinic))
        before = descriptors(server)
        asyncio.run(hang_up(server, slot_id))
        assert clinic.book(slot_id).status_code == 201
        time.sleep(SECONDS + 0.1)  # the gauges may be as old as that
        eventually(lambda: idle_pools(clinic))
        eventually(
            lambda: len(descriptors(server)) <= len(before), instead=lambda: sorted(descriptors(server) - before)
        )
        waiting = {name: value for name, value in samples(clinic).items() if name[0] == "slotwise_queue_depth"}
        assert not any(waiting.values()), waiting
        assert clinic.book(slot_id).status_code == 201


async def hang_up(server: RunningServer, slot_id: int) -> None:
    """Each client hangs up at the next point of a request; every second one resets instead of closing."""
    points = cycle(pieces(slot_id))
    manners = cycle((b"", ABORT))
    turns = asyncio.Semaphore(AT_ONCE)
    parts = urlsplit(server.url)

    async def client(piece: bytes, abort: bytes) -> None:
        async with turns:
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
            if abort:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, abort)
            writer.write(piece)
            await asyncio.sleep(0)  # the piece is on its way
            writer.close()

    await asyncio.gather(*(client(next(points), next(manners)) for _ in range(CLIENTS)))


def pieces(slot_id: int) -> list[bytes]:
    """What a client has sent when it goes: nothing, half a head, half a body, all of it, and more than one request."""
    body = json.dumps({"slotId": slot_id, "userName": "Ada", "userEmail": "ada@example.org"}).encode()
    head = b"POST /api/bookings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    request = head % len(body) + body
    page = b"GET /api/slots HTTP/1.1\r\nHost: x\r\n\r\n"
    return [b"", request[:40], request[:-20], request, page, request + page]


def descriptors(server: RunningServer) -> set[tuple[int, str, str]]:
    """Process, number and target of open files and sockets, without sockets to the database: a pool may open more of
    them at any time. Never too few: what is opened between the two looks is in neither.
    """
    opened = {found for worker in psutil.Process(server.process.pid).children() for found in _opened(worker.pid)}
    unix = {f"socket:[{line.split()[6]}]" for line in UNIX_SOCKETS.read_text().splitlines()[1:]}
    return {found for found in opened if found[2] not in unix}


def _opened(pid: int) -> Iterator[tuple[int, str, str]]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed since it was listed
            yield pid, descriptor.name, str(descriptor.readlink())
