"""The requests that open a clinic."""

import asyncio
import gc
from typing import Any

import aiohttp
from torture.clinic import ask


async def answer_in_two_parts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """As a busy server does: the head, and later the body."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.write(b"{}")
    await writer.drain()
    writer.close()


async def test_no_answer_is_left_open_when_the_session_ends() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, complaint: complaints.append(complaint))
    async with await asyncio.start_server(answer_in_two_parts, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            answers = await asyncio.gather(*(ask(session, "GET", "/") for _ in range(20)))
        gc.collect()
    assert answers == [b"{}"] * 20
    assert complaints == []
