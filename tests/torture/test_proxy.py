"""The effects of the proxy on a connection to an echo server."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from torture.proxy import Proxy, to_port

from tests.clinic import PATIENCE_SECONDS

# An answer that is dropped would have come long before. A slow machine cannot make such a test fail.
SILENCE_SECONDS = 0.3


@asynccontextmanager
async def proxied_echo() -> AsyncIterator[tuple[Proxy, list[bytes]]]:
    """A proxy, and the data that the server behind it received."""
    heard: list[bytes] = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            heard.append(data)
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy(to_port(lambda: server.sockets[0].getsockname()[1]))
    await proxy.start()
    try:
        yield proxy, heard
    finally:
        await proxy.stop()
        server.close()


async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, what: bytes) -> bytes:
    """Send data. Returns the answer, however long a busy machine takes."""
    writer.write(what)
    return await asyncio.wait_for(reader.read(100), PATIENCE_SECONDS)


async def is_silent(reader: asyncio.StreamReader) -> bool:
    try:
        await asyncio.wait_for(reader.read(100), SILENCE_SECONDS)
    except TimeoutError:
        return True
    return False


async def until_heard(heard: list[bytes]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not heard:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.005)


async def test_it_passes_data_on() -> None:
    async with proxied_echo() as (proxy, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(reader, writer, b"hello") == b"hello"
        assert heard == [b"hello"]
        writer.close()


async def test_cut_answers_let_requests_through() -> None:
    async with proxied_echo() as (proxy, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        proxy.toxic = "cut_answers"
        writer.write(b"hello")
        await until_heard(heard)
        assert heard == [b"hello"]
        assert await is_silent(reader)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await reader.read(100)


async def test_a_black_hole_drops_both_directions_without_an_error() -> None:
    async with proxied_echo() as (proxy, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(reader, writer, b"hello") == b"hello"
        proxy.toxic = "black_hole"
        writer.write(b"are you there")
        assert await is_silent(reader)
        assert heard == [b"hello"]
        writer.close()


async def test_refused_connections_are_reset() -> None:
    async with proxied_echo() as (proxy, heard):
        proxy.toxic = "refuse"
        reader, _ = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.read(100)
        assert heard == []


async def test_data_stays_in_order_when_the_latency_ends_in_between() -> None:
    async with proxied_echo() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(reader, writer, b"hello") == b"hello"
        proxy.latency = 0.1
        writer.write(b"first ")
        await asyncio.sleep(0.05)
        proxy.heal()
        writer.write(b"second")
        assert await reader.readexactly(12) == b"first second"
        writer.close()


async def test_latency_is_added_both_ways_and_keeps_the_order() -> None:
    async with proxied_echo() as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await say(reader, writer, b"hello") == b"hello"
        proxy.latency = 0.05
        began = time.monotonic()
        writer.write(b"1")
        await asyncio.sleep(0)
        writer.write(b"2")
        assert await reader.readexactly(2) == b"12"
        assert time.monotonic() - began >= 0.1
        writer.close()
