"""Clients that read an answer slowly get all of it; clients that read nothing are cut off."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest

from slotwise.server.connections import BoundedConnection
from tests.security.serving import serving

PIECE = b"x" * 30_000
PIECES = 130
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Impatient(BoundedConnection):
    reading_seconds = 1.5


async def _talkative_application(scope: Any, receive: Any, send: Any) -> None:
    """The same text in one piece or in many."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if scope["path"] == "/whole":
        await send({"type": "http.response.body", "body": PIECE * PIECES})
        return
    for _ in range(PIECES):
        await send({"type": "http.response.body", "body": PIECE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def asking(endpoint: tuple[str, int], path: bytes) -> socket.socket:
    """A client with a small receive buffer, so that the server notices its pace."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
    client.settimeout(10)
    client.connect(endpoint)
    client.sendall(GET % path)
    return client


def read(endpoint: tuple[str, int], path: bytes, bytes_per_second: int) -> int:
    """Read an answer at that pace until its end or until it is cut off. Returns its length."""
    with asking(endpoint, path) as client:
        started, length = time.monotonic(), 0
        with suppress(ConnectionError):
            while piece := client.recv(16 * 1024):
                length += len(piece)
                time.sleep(max(0.0, started + length / bytes_per_second - time.monotonic()))
    return length


def read_after(endpoint: tuple[str, int], path: bytes, seconds: float) -> int:
    """Read nothing for so many seconds, then the rest of the answer. Returns its length."""
    with asking(endpoint, path) as client:
        time.sleep(seconds)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2**20)
        return sum(map(len, iter(lambda: client.recv(2**20), b"")))


@pytest.mark.slow  # readers of so many bytes a second take their time
def test_a_slow_reader_gets_the_whole_answer_and_a_silent_one_is_cut_off() -> None:
    whole = len(PIECE) * PIECES
    with serving(_talkative_application, Impatient) as endpoint, ThreadPoolExecutor(4) as clients:
        slow = [clients.submit(read, endpoint, path, 900_000) for path in (b"whole", b"pieces")]
        silent = [
            clients.submit(read_after, endpoint, path, Impatient.reading_seconds + 2) for path in (b"whole", b"pieces")
        ]
    assert [client.result() > whole for client in slow] == [True, True]
    assert [client.result() < whole / 2 for client in silent] == [True, True]
