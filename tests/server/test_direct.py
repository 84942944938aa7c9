"""Which requests a connection answers itself, and that it does not confuse them with others."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from slotwise.domain.errors import SlotwiseError
from slotwise.http.kit.problems import write_refusal
from slotwise.server.direct import MOST_BODY_BYTES, Answer, Call, DirectRoute, DirectRoutes, Raw
from slotwise.server.direct_connection import DirectConnection
from slotwise.server.requests import Requests
from tests.clinic import PATIENCE_SECONDS
from tests.security.serving import serving

HOST = b"Host: a\r\n"


async def echo(call: Call) -> Answer:
    return Answer(200, "text/plain", b"direct %r %r" % (call.numbers, call.data))


async def dawdle(_: Call) -> Answer:
    await asyncio.sleep(0.05)
    return Answer(200, "text/plain", b"direct slow")


async def fail(_: Call) -> Answer:
    raise RuntimeError("of Ada Lovelace")


async def wait_for_ever(_: Call) -> Answer:
    await asyncio.Event().wait()
    raise AssertionError("nothing sets the event")


async def answer_what_cannot_be_sent(_: Call) -> Answer:
    return Answer(999, "text/plain", b"")


def refuse(error: SlotwiseError, _: Call) -> Answer:
    return Answer(500, "text/plain", error.code.encode())


def fail_to_refuse(_: SlotwiseError, __: Call) -> Answer:
    raise RuntimeError("of Ada Lovelace")


async def ordinary(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": f"{(await receive())['type']}.complete"})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    said = b"ordinary " + scope["path"].encode() + b" " + body
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


def read_text(raw: Raw) -> Any:
    return None if raw.body == b"bad" else (raw.query, raw.body)


class Impatient(DirectConnection):
    answer_seconds = 0.5


ROUTES = DirectRoutes(
    [
        DirectRoute("GET", "/one/{id}", echo, refuse),
        DirectRoute("GET", "/one/{id}/of/{other}", echo, refuse),
        DirectRoute("POST", "/some", echo, refuse, read_text),
        DirectRoute("GET", "/slow", dawdle, refuse),
        DirectRoute("GET", "/broken", fail, refuse),
        DirectRoute("GET", "/unsendable", answer_what_cannot_be_sent, refuse),
        DirectRoute("GET", "/stuck", wait_for_ever, refuse),
        DirectRoute("GET", "/stuck-and-broken", wait_for_ever, fail_to_refuse),
        DirectRoute("GET", "/closed", echo, refuse, is_open=lambda: False),
    ]
)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    requests = Requests(ordinary, write_refusal, direct=lambda: ROUTES, hsts=False)
    with serving(requests, Impatient, lifespan="on", grace_seconds=1) as place:
        yield place


async def said(address: tuple[str, int], *pieces: bytes, ends: bool = False) -> bytes:
    """All that a connection answers to these pieces of data, before it is asked to end, unless it `ends` by itself."""
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(PATIENCE_SECONDS):
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02 if len(pieces) > 1 else 0)  # so that each piece arrives by itself
        if not ends:
            writer.write(get(b"/bye", b"Connection: close\r\n"))
        answer = await reader.read()
    writer.close()
    return answer.rpartition(b"HTTP/1.1 ")[0] if answer.endswith(b"ordinary /bye ") else answer


def get(path: bytes, more: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"GET " + path + b" HTTP/" + version + b"\r\n" + HOST + more + b"\r\n"


def post(body: bytes, more: bytes = b"") -> bytes:
    return b"POST /some HTTP/1.1\r\n" + HOST + more + b"Content-Length: %d\r\n\r\n" % len(body) + body


DIRECT = {
    "a number": (get(b"/one/7"), b"direct (7,) ()"),
    "two numbers": (get(b"/one/7/of/12"), b"direct (7, 12) ()"),
    "a body": (post(b"x"), b"direct () (b'', b'x')"),
    "a query that is read": (post(b"x").replace(b"/some", b"/some?a=1"), b"direct () (b'a=1', b'x')"),
    "a largest body": (post(b"x" * MOST_BODY_BYTES), b"direct () (b'', b'xxx"),
    "known headers": (get(b"/one/7", b"Accept: */*\r\nUser-Agent: x\r\nConnection: Keep-Alive\r\n"), b"direct (7,)"),
}

ORDINARY = {
    "another path": get(b"/two/7"),
    "a path below": get(b"/one/7/more"),
    "a number with a zero": get(b"/one/07"),
    "a number with a sign": get(b"/one/+7"),
    "a zero": get(b"/one/0"),
    "a number in other words": get(b"/one/%37"),
    "a number beyond 64 bits": get(b"/one/9223372036854775808"),
    "the template itself": get(b"/one/{}"),
    "a slash at the end": get(b"/one/7/"),
    "two slashes": get(b"//one/7"),
    "a query that nobody reads": get(b"/one/7?x=1"),
    "an empty query": get(b"/one/7?").replace(b"?", b"?="),
    "an absolute URL": get(b"http://a/one/7"),
    "another method": get(b"/one/7").replace(b"GET", b"PUT"),
    "only the head": get(b"/one/7").replace(b"GET", b"HEAD"),
    "an old version": get(b"/one/7", version=b"1.0"),
    "an unknown header": get(b"/one/7", b"X-Anything: 1\r\n"),
    "a header twice": get(b"/one/7", b"User-Agent: a\r\nUser-Agent: b\r\n"),
    "an origin": get(b"/one/7", b"Origin: http://a\r\n"),
    "a cookie": get(b"/one/7", b"Cookie: a=b\r\n"),
    "a range": get(b"/one/7", b"Range: bytes=0-1\r\n"),
    "a connection to close": get(b"/one/7", b"Connection: close\r\n"),
    "an upgrade": get(b"/one/7", b"Connection: Upgrade\r\nUpgrade: h2c\r\n"),
    "a body nobody reads": get(b"/one/7", b"Content-Length: 1\r\n") + b"x",
    "chunks": b"POST /some HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
    "a body that is expected": post(b"x", b"Expect: 100-continue\r\n"),
    "a body of the wrong form": post(b"bad"),
    "too large a body": post(b"x" * (MOST_BODY_BYTES + 1)),
    "a closed operation": get(b"/closed"),
}


# After these the connection is closed, and what would come then might be answered by a reset.
ENDING = {"an old version", "a connection to close", "an upgrade"}


@pytest.mark.parametrize("name", DIRECT)
async def test_plain_requests_are_answered_directly(address: tuple[str, int], name: str) -> None:
    request, expected = DIRECT[name]
    assert expected in await said(address, request)


@pytest.mark.parametrize("name", ORDINARY)
async def test_all_others_go_the_ordinary_way(address: tuple[str, int], name: str) -> None:
    answer = await said(address, ORDINARY[name], ends=name in ENDING)
    assert b"direct" not in answer
    assert answer.startswith(b"HTTP/1.1 "), answer
    if b"HEAD" not in ORDINARY[name]:
        assert b"ordinary" in answer or answer.split()[1].startswith(b"4"), answer


@pytest.mark.parametrize("path", [b"/broken", b"/unsendable"])
async def test_a_defect_is_answered_and_the_connection_ends(
    address: tuple[str, int], path: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes behind it on the connection must not wait for ever."""
    answer = await said(address, get(path) + get(b"/one/7"), ends=True)
    assert answer.startswith(b"HTTP/1.1 500 "), answer
    assert b"connection: close" in answer
    assert answer.endswith(b"Internal Server Error")
    assert "Ada" not in caplog.text


@pytest.mark.parametrize(
    ("path", "said_late"), [(b"/stuck", b"overloaded"), (b"/stuck-and-broken", b"Internal Server Error")]
)
async def test_what_takes_too_long_is_answered_in_its_place(
    address: tuple[str, int], path: bytes, said_late: bytes
) -> None:
    assert said_late in await said(address, get(path), ends=True)


async def test_at_the_end_of_the_server_what_still_runs_is_answered() -> None:
    requests = Requests(ordinary, write_refusal, direct=lambda: ROUTES, hsts=False)
    with serving(requests, DirectConnection, lifespan="on", grace_seconds=1) as place:
        reader, writer = await asyncio.open_connection(*place)
        writer.write(get(b"/stuck"))
        await asyncio.sleep(0.1)  # so that it runs
    assert b"overloaded" in await reader.read()
    writer.close()


async def test_a_list_in_two_headers_is_one_list(address: tuple[str, int]) -> None:
    assert b"direct (7,)" in await said(address, get(b"/one/7", b"Accept: a\r\nAccept: b\r\n"))


async def test_a_body_in_pieces_goes_the_ordinary_way_in_full(address: tuple[str, int]) -> None:
    whole = post(b"0123456789")
    assert b"ordinary /some 0123456789" in await said(address, whole[:-6], whole[-6:-3], whole[-3:])


async def test_a_head_in_pieces_is_still_plain(address: tuple[str, int]) -> None:
    whole = post(b"0123456789")
    assert b"direct () (b'', b'0123456789')" in await said(address, whole[:15], whole[15:])


async def test_pipelined_requests_are_answered_in_order(address: tuple[str, int]) -> None:
    asked = [get(b"/one/1"), get(b"/slow"), post(b"x"), get(b"/two"), get(b"/one/2"), get(b"/slow"), get(b"/one/3")]
    answer = await said(address, b"".join(asked))
    told = [b"(1,)", b"slow", b"/some x", b"/two ", b"/one/2", b"/slow ", b"/one/3"]
    assert answer.count(b"HTTP/1.1 200 ") == len(asked)
    places = [answer.index(text) for text in told[:4]]
    assert places == sorted(places)


async def test_requests_behind_a_body_that_was_read_directly_are_read(address: tuple[str, int]) -> None:
    answer = await said(address, post(b"0123456789") + get(b"/two") + post(b"x") + get(b"/one/3"))
    assert answer.count(b"HTTP/1.1 200 ") == 4
    assert b"direct () (b'', b'0123456789')" in answer


async def test_a_connection_serves_many_requests_either_way(address: tuple[str, int]) -> None:
    reader, writer = await asyncio.open_connection(*address)
    for number in range(1, 20):
        for request, word in ((get(b"/one/%d" % number), b"direct (%d,)" % number), (get(b"/two"), b"ordinary /two")):
            writer.write(request)
            async with asyncio.timeout(PATIENCE_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                assert word in await reader.readexactly(length)
    writer.close()


async def test_a_client_that_hangs_up_disturbs_nobody(address: tuple[str, int]) -> None:
    for _ in range(5):
        _, writer = await asyncio.open_connection(*address)
        writer.write(get(b"/slow"))
        writer.transport.abort()
    assert b"direct (7,)" in await said(address, get(b"/one/7"))
