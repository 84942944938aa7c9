"""Slow, silent and oversized clients: each is answered or reset within ten seconds and does not slow down others."""

import asyncio
import http.client
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from slotwise.http.kit.problems import write_refusal
from slotwise.server.connections import MAX_HEAD_BYTES, MAX_HEADERS, MAX_WAITING, BoundedConnection
from slotwise.server.requests import Requests
from slotwise.settings import Settings
from tests.clinic import PATIENCE_SECONDS, Clinic, at_most, holder, problem
from tests.described import described
from tests.security.serving import serving

# L3: every request is answered or reset within this time, also during faults.
LIMIT_SECONDS = 10
FORM = (
    b"POST /log-in HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
)
BOOKING = b"POST /api/bookings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"


class Answer(NamedTuple):
    """The data of a connection until its end, and the seconds until then."""

    text: bytes
    seconds: float

    @property
    def status(self) -> int:
        return int(self.text.split(b" ", 2)[1]) if self.text else 0

    @property
    def headers(self) -> dict[str, str]:
        lines = self.text.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def problem(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.text.partition(b"\r\n\r\n")[2])
        return body


class Line:
    """A connection that sends exactly the given bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._opened = time.monotonic()

    @classmethod
    async def open(cls, clinic: Clinic, limit: int = 2**16) -> "Line":
        parts = urlsplit(clinic.server.url)
        return cls(*await asyncio.open_connection(parts.hostname, parts.port, limit=limit))

    async def say(self, text: bytes) -> None:
        self._writer.write(text)
        await self._writer.drain()

    async def dribble(self, text: bytes, pause: float = 0.5) -> None:
        """Send one byte at a time until the other side hangs up."""
        for at in range(len(text)):
            try:
                await self.say(text[at : at + 1])
            except OSError:
                return
            if self._reader.at_eof():
                return
            await asyncio.sleep(pause)

    async def first_status(self) -> int:
        """The status of the next answer. The connection stays open."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            start = await self._reader.readline()
        return int(start.split(b" ", 2)[1])

    def close(self) -> None:
        self._writer.close()

    async def hear(self) -> Answer:
        """Read until the end of the connection. Fails the test if it does not come in time."""
        text = b""
        async with asyncio.timeout(self._opened + LIMIT_SECONDS + at_most(2) - time.monotonic()):
            try:
                while piece := await self._reader.read(65536):
                    text += piece
            except ConnectionError:
                pass
        self._writer.close()
        return Answer(text, time.monotonic() - self._opened)


Client = Callable[[Line], Awaitable[None]]


def saying(text: bytes) -> Client:
    return lambda line: line.say(text)


def dribbling(start: bytes, rest: bytes) -> Client:
    async def client(line: Line) -> None:
        await line.say(start)
        await line.dribble(rest)

    return client


SLOW: dict[str, tuple[Client, int]] = {
    "half a request line": (saying(b"GET /hea"), 408),
    "half a head": (saying(b"GET /health HTTP/1.1\r\nHost: a\r\n"), 408),
    "a head byte by byte": (dribbling(b"GET /", b"x" * 60), 408),
    "a header byte by byte": (dribbling(b"GET / HTTP/1.1\r\nHost: a\r\nA: ", b"x" * 60), 408),
    "a head without its body": (saying(BOOKING + b"Content-Length: 90\r\n\r\n"), 408),
    "half a body": (saying(BOOKING + b'Content-Length: 90\r\n\r\n{"slotId": 1,'), 408),
    "a body byte by byte": (dribbling(BOOKING + b"Content-Length: 90\r\n\r\n", b'{"slotId": 1' + b" " * 60), 408),
    "chunks without an end": (dribbling(BOOKING + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n" * 10), 408),
    "half a body of another operation": (
        saying(b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n{"), 408),
    "half a form of a page": (saying(FORM + b"Content-Length: 90\r\n\r\nemail="), 408),
    "a body that is promised and not sent": (
        saying(BOOKING + b"Expect: 100-continue\r\nContent-Length: 90\r\n\r\n"), 408),
    "half a request after a whole one": (saying(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /hea"), 408),
    "a body nobody wants": (saying(b"GET /health HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n{"), 200),
}  # fmt: skip


def statuses(answer: Answer) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer.text)]


async def until_cut_off(clinic: Clinic) -> float:
    """Seconds until a client is cut off that requests more than fits into the kernel's buffers and reads nothing."""
    line = await Line.open(clinic, limit=1024)
    await line.say(b"GET /api-docs/static/swagger-ui/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n" * 40)
    started = time.monotonic()
    while time.monotonic() < started + LIMIT_SECONDS + at_most(1):
        await asyncio.sleep(0.2)
        try:
            await line.say(b"\r\n")
        except ConnectionError:
            break
    return time.monotonic() - started


async def longest_wait(clinic: Clinic, seconds: float) -> float:
    """The longest wait of a well-behaved client that sends requests for so many seconds."""
    longest, deadline = 0.0, time.monotonic() + seconds
    while (started := time.monotonic()) < deadline:
        await asyncio.to_thread(clinic.http.get, "/health")
        longest = max(longest, time.monotonic() - started)
        await asyncio.sleep(0.05)
    return longest


async def met(clinic: Clinic, client: Client) -> Answer:
    line = await Line.open(clinic)
    talk = asyncio.ensure_future(client(line))
    answer = await line.hear()
    talk.cancel()
    return answer


async def test_whoever_keeps_the_server_waiting_is_answered_or_reset_in_time(clinic: Clinic) -> None:
    """All of them at once, and a normal client beside them that is not slowed down."""
    everybody = asyncio.gather(*(met(clinic, client) for client, _ in SLOW.values()))
    cut_off, longest = await asyncio.gather(until_cut_off(clinic), longest_wait(clinic, 5))
    assert cut_off < LIMIT_SECONDS + at_most(0.5)
    assert longest < at_most(1)
    for (name, (_, status)), answer in zip(SLOW.items(), await everybody, strict=True):
        assert answer.seconds < LIMIT_SECONDS + at_most(0.5), name
        assert statuses(answer)[-1] == status, (name, answer)
        if answer.status == 408:
            assert answer.headers["connection"] == "close", name
            if name == "half a form of a page":
                assert b"<h1>Your request did not arrive in time</h1>" in answer.text
            else:
                described("GET", "/health", 408, answer.headers, json.dumps(answer.problem).encode())
                assert answer.problem["code"] == "request-timeout", name


async def test_hundreds_of_streams_from_one_client_do_not_stop_the_others(clinic: Clinic) -> None:
    """All but a few are refused, which costs each other request less than a second."""

    lines: list[Line] = []

    async def watch() -> int:
        lines.append(line := await Line.open(clinic))
        await line.say(b"GET /api/slots/events HTTP/1.1\r\nHost: a\r\n\r\n")
        return await line.first_status()

    crowd = asyncio.gather(*(watch() for _ in range(700)))
    longest = await longest_wait(clinic, 1)
    found = Counter(await crowd)
    for line in lines:
        line.close()
    assert set(found) == {200, 429}
    assert found[200] <= 2 * Settings().seat_streams_per_client
    assert longest < at_most(1)


HEAD = b"GET /health HTTP/1.1\r\nHost: a\r\n"
LONG = b"x" * MAX_HEAD_BYTES
REFUSED = {
    "one long header": (HEAD + b"A: " + LONG + b"\r\n\r\n", 431, "headers-too-large"),
    "a long header that never ends": (HEAD + b"A: " + LONG * 20, 431, "headers-too-large"),
    "a long URL": (b"GET /?" + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431, "headers-too-large"),
    "many headers": (HEAD + b"A: b\r\n" * MAX_HEADERS + b"\r\n", 431, "headers-too-large"),
    "headers without an end": (HEAD + b"A: b\r\n" * 100_000, 431, "headers-too-large"),
    "many headers before a body": (
        BOOKING + b"A: b\r\n" * 100 + b"Content-Length: 2\r\n\r\n{}", 431, "headers-too-large"),
    "what is not HTTP": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "invalid-input"),
    "a length below nothing": (BOOKING + b"Content-Length: -1\r\n\r\n", 400, "invalid-input"),
    "two lengths": (BOOKING + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", 400, "invalid-input"),
    "a length and chunks": (
        BOOKING + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "invalid-input"),
    "a name with a space": (HEAD + b"Content-Length : 2\r\n\r\n{}", 400, "invalid-input"),
    "a folded header": (HEAD + b"A: b\r\n Transfer-Encoding: chunked\r\n\r\n", 400, "invalid-input"),
    "a bare carriage return": (HEAD + b"A: b\rC: d\r\n\r\n", 400, "invalid-input"),
    "a URL that is not ASCII": (b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n", 400, "invalid-input"),
    "a tunnel": (b"CONNECT evil.example:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501, "method-not-implemented"),
    "a broken chunk": (BOOKING + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "invalid-input"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_is_no_request_is_refused_with_a_problem_and_the_headers_of_every_answer(
    clinic: Clinic, name: str
) -> None:
    text, status, code = REFUSED[name]
    answer = await met(clinic, saying(text))
    assert (answer.status, answer.seconds < at_most(2.5)) == (status, True), answer
    assert answer.problem["code"] == code
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-request-id"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


async def test_a_head_of_exactly_the_limit_is_read(clinic: Clinic) -> None:
    size = MAX_HEAD_BYTES - len("/healthHosta") - 2 * 4 - len("A")
    line = await Line.open(clinic)
    await line.say(HEAD + b"A: " + b"x" * size + b"\r\n\r\n")
    await line.say(HEAD + b"A: b\r\n" * (MAX_HEADERS - 2) + b"Connection: close\r\n\r\n")
    answer = await line.hear()
    assert answer.text.count(b"HTTP/1.1 200 ") == 2, answer


async def test_requests_sent_before_a_bad_one_are_answered_first(clinic: Clinic) -> None:
    answer = await met(clinic, saying((HEAD + b"\r\n") * 3 + b"GET\r\n\r\n" + HEAD + b"\r\n"))
    assert statuses(answer) == [200, 200, 200, 400]
    assert b"could not be read as an HTTP/1.1 request" in answer.text


async def test_requests_behind_a_refused_one_are_neither_done_nor_refused(clinic: Clinic) -> None:
    too_many = HEAD + b"A: b\r\n" * MAX_HEADERS + b"\r\n"
    for behind in (too_many, HEAD + b"\r\n", b"GET\r\n\r\n", HEAD + b"A: " + LONG):
        assert statuses(await met(clinic, saying(too_many + behind))) == [431], behind[:20]


async def test_of_thousands_of_pipelined_requests_only_the_allowed_number_is_answered(clinic: Clinic) -> None:
    answer = await met(clinic, saying(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 9_000))
    assert set(statuses(answer)) == {200}
    assert len(statuses(answer)) == 1 + MAX_WAITING


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_a_large_upload_gets_a_413(clinic: Clinic, connection: str) -> None:
    """A client that sends everything before it reads would get no answer if the connection broke."""
    parts = urlsplit(clinic.server.url)
    headers = {"Content-Type": "application/json", "Connection": connection}
    for megabytes in (5, 20):
        client = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=PATIENCE_SECONDS)
        client.request("POST", "/api/bookings", b" " * (megabytes << 20), headers)
        assert client.getresponse().status == 413
        client.close()


def test_a_large_head_gets_a_431(clinic: Clinic) -> None:
    parts = urlsplit(clinic.server.url)
    with socket.create_connection((str(parts.hostname), parts.port), timeout=PATIENCE_SECONDS) as client:
        client.sendall(HEAD + b"A: " + LONG * 200)
        assert client.makefile("rb").readline() == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"


async def test_chunks_without_a_length_are_refused_beyond_64_kib(clinic: Clinic) -> None:
    """After the body, the connection can be used for the next request."""
    chunks = (b"400\r\n" + b" " * 1024 + b"\r\n") * 70 + b"0\r\n\r\n"
    last = HEAD + b"Connection: close\r\n\r\n"
    answer = await met(clinic, saying(BOOKING + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + last))
    assert statuses(answer) == [413, 200]
    assert b'"body-too-large"' in answer.text


class Hasty(BoundedConnection):
    idle_seconds = 1.5


async def _slow_application(scope: Any, receive: Any, send: Any) -> None:
    """Takes longer than a connection may be idle."""
    await asyncio.sleep(3)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def test_an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(_slow_application, http=Hasty, lifespan="off", log_config=None, timeout_keep_alive=60)
    server = uvicorn.Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))

    async def meet(text: bytes, pause: float) -> Answer:
        line = Line(*await asyncio.open_connection(*listener.getsockname()))
        talk = asyncio.ensure_future(line.dribble(text, pause))
        answer = await line.hear()
        talk.cancel()
        return answer

    silent, blank, busy = await asyncio.gather(meet(b"", 1), meet(b"\r\n" * 60, 0.2), meet(HEAD + b"\r\n", 0))
    server.should_exit = True
    await serving
    for idle in (silent, blank):
        assert (idle.text, 1 < idle.seconds < at_most(3)) == (b"", True)
    assert busy.status == 200
    assert 4 < busy.seconds < 4 + at_most(3), "idle for its time after the answer, and then closed"


class Hurried(BoundedConnection):
    answer_seconds = 0.2


@pytest.mark.parametrize(
    ("method", "code"), [("GET", "overloaded"), ("HEAD", "overloaded"), ("POST", "outcome-unknown")]
)
async def test_a_request_is_answered_in_time_though_the_application_is_not(method: str, code: str) -> None:
    """The application goes on to its end, and its answer is not sent."""
    ended = threading.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await _slow_application(scope, receive, send)
        ended.set()

    with serving(Requests(late, write_refusal, hsts=False), Hurried) as address:
        async with httpx.AsyncClient(base_url=f"http://{address[0]}:{address[1]}", verify=False) as client:
            began = time.monotonic()
            answer = await client.request(method, "/", timeout=PATIENCE_SECONDS)
        assert time.monotonic() - began < at_most(2.5)
        assert answer.status_code == 503
        assert method == "HEAD" or answer.json()["code"] == code
        assert answer.headers["connection"] == "close"
        assert answer.headers["x-request-id"]
        assert answer.headers["retry-after"]
        assert await asyncio.to_thread(ended.wait, PATIENCE_SECONDS)


@pytest.mark.parametrize(
    "behind", [b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n{", b"GET / HTTP/1.1\r\n"]
)
async def test_half_a_request_behind_one_that_is_late_changes_nothing(behind: bytes) -> None:
    with serving(Requests(_slow_application, write_refusal, hsts=False), Hurried) as address:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" + behind)
        async with asyncio.timeout(at_most(2.5)):
            assert b" 503 " in await reader.readuntil(b"\r\n")
        writer.close()


async def test_an_answer_that_has_begun_is_not_cut_short() -> None:
    async def halting(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"on", "more_body": True})
        await asyncio.sleep(2.5)
        await send({"type": "http.response.body", "body": b"ly"})

    with serving(Requests(halting, write_refusal, hsts=False), Hurried) as address:
        async with httpx.AsyncClient(base_url=f"http://{address[0]}:{address[1]}", verify=False) as client:
            answer = await client.get("/", timeout=PATIENCE_SECONDS)
    assert (answer.status_code, answer.text) == (200, "only")


async def test_trailers_are_no_headers(clinic: Clinic) -> None:
    """RFC 9110, 6.5.1: they would come after what a proxy has set."""
    token = clinic.patient()["Authorization"]
    head = b"GET /api/auth/me HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n"
    bearer = f"Authorization: {token}\r\n".encode()
    assert (await met(clinic, saying(head + bearer + b"\r\n0\r\n\r\n"))).status == 200
    assert (await met(clinic, saying(head + b"\r\n0\r\n" + bearer + b"\r\n"))).status == 401


async def test_a_request_without_an_end_is_cut_off(clinic: Clinic) -> None:
    """For each part of a request that does not end, so that the server never stores data without limit."""
    endless = {"a trailer": (b"0\r\nA: ", b"x"), "trailers": (b"0\r\n", b"A: b\r\n"), "a chunk's name": (b"1;", b"x")}

    async def until_cut_off(start: bytes, more: bytes) -> int:
        line = await Line.open(clinic)
        await line.say(BOOKING + b"Transfer-Encoding: chunked\r\n\r\n" + start)
        for said in range(0, 64):
            try:
                await line.say(more * (256 * 1024 // len(more)))
            except ConnectionError:
                return said
        return 64

    for name, (start, more) in endless.items():
        assert await until_cut_off(start, more) < 64, name


WISH = b"Connection: Upgrade\r\nUpgrade: %b\r\n"


@pytest.mark.parametrize("protocol", [b"websocket", b"h2c", b"TLS/1.0"])
async def test_a_request_for_another_protocol_is_ignored(clinic: Clinic, protocol: bytes) -> None:
    """RFC 9110, 7.8: a server may ignore it."""
    for length in (b"", b"Content-Length: 0\r\n"):
        answer = await met(clinic, saying(HEAD + WISH % protocol + length + b"\r\n"))
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert answer.seconds < at_most(5)


def framed(body: bytes) -> tuple[bytes, bytes]:
    """The end of a head and the body, with its length or in chunks."""
    chunks = b"%x\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (9, body[:9], len(body) - 9, body[9:])
    return (
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
        b"Transfer-Encoding: chunked\r\n\r\n" + chunks,
    )


@pytest.mark.parametrize("behind", [b"", b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\n", b"{}"])
async def test_the_body_of_a_request_for_another_protocol_is_read(clinic: Clinic, behind: bytes) -> None:
    """Java's client asks for HTTP/2 with its first request. Whatever is behind the body is no part of it."""
    slot = await asyncio.to_thread(clinic.slot, seats=9)
    body = json.dumps({"slotId": slot["id"], "userName": "Grace", "userEmail": "grace@example.org"}).encode()
    for sent in framed(body):
        answer = await met(clinic, saying(BOOKING + WISH % b"h2c" + sent + behind))
        assert (statuses(answer), answer.headers["connection"]) == ([201], "close")
        assert answer.seconds < at_most(5)
    assert clinic.free_seats(slot["id"]) == 7


@pytest.mark.parametrize("pause_at", [1, 40, -90, -70, -40, -1])
async def test_such_a_body_may_come_in_pieces_and_behind_another_request(clinic: Clinic, pause_at: int) -> None:
    slot = await asyncio.to_thread(clinic.slot, seats=9)
    body = json.dumps({"slotId": slot["id"], "userName": "Grace", "userEmail": "grace@example.org"}).encode()
    for sent in framed(body):
        whole = BOOKING + WISH % b"h2c" + sent
        for first in (b"", HEAD + b"\r\n"):

            async def talk(line: Line, first: bytes = first, whole: bytes = whole) -> None:
                await line.say(first + whole[:pause_at])
                await asyncio.sleep(0.01)
                await line.say(whole[pause_at:])

            assert statuses(await met(clinic, talk)) == ([200, 201] if first else [201])


async def test_a_body_behind_chunks_with_a_request_for_another_protocol_is_refused(clinic: Clinic) -> None:
    """It is not known where the body begins, and without its body the request would mean something else."""
    (_, chunked), body = framed(b'{"slotId": 1}'), b'{"slotId": 1}'
    for sent in framed(body):
        answer = await met(clinic, saying(BOOKING + chunked + BOOKING + WISH % b"h2c" + sent))
        assert statuses(answer) == [400, 400]
        assert b'"field":"Upgrade"' in answer.text


async def test_a_broken_body_with_a_request_for_another_protocol_is_refused(clinic: Clinic) -> None:
    for broken in (b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"):
        answer = await met(clinic, saying(BOOKING + WISH % b"h2c" + broken))
        assert statuses(answer) == [400], answer


async def test_a_running_request_learns_that_its_client_hung_up_even_if_others_wait_behind_it() -> None:
    heard: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        heard.append((await receive())["type"])

    with serving(application, BoundedConnection) as endpoint:
        with socket.create_connection(endpoint) as client:
            client.sendall((HEAD + b"\r\n") * 3)
            await asyncio.sleep(0.3)
        while not heard:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)
        assert heard == ["http.disconnect"]


def test_every_overridden_method_exists_in_uvicorn() -> None:
    """Most of them are private to uvicorn. If a new version removed one, our override would never be called."""
    ours = {"idle_seconds", "reading_seconds", "hang_up"}
    methods = {name for name in vars(BoundedConnection) if not name.startswith("__")} - ours
    inherited = {name for name in methods if hasattr(HttpToolsProtocol, name)}
    assert inherited == {
        "connection_made", "connection_lost", "data_received", "resume_writing", "on_message_begin", "on_body",
        "on_headers_complete", "on_message_complete", "send_400_response", "shutdown", "_start_asgi_task"}  # fmt: skip


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has one version of IP only")
async def test_a_trusted_proxy_is_recognised_by_its_ipv4_on_a_dual_stack_socket() -> None:
    """There its IP is ::ffff:127.0.0.1. If it were not recognised, all clients would share its IP and its limits."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["client"][0].encode()})

    with serving(application, BoundedConnection, host="::") as endpoint:
        line = Line(*await asyncio.open_connection(*endpoint))
        await line.say(HEAD + b"Connection: close\r\nX-Forwarded-For: 203.0.113.7\r\n\r\n")
        assert b"203.0.113.7" in (await line.hear()).text


def test_a_body_that_does_not_say_that_it_is_json_is_refused(clinic: Clinic) -> None:
    """A page of another site may send such a body in a user's name without a CORS check (Fetch, no-cors)."""
    slot = clinic.slot()
    body = b'{"slotId": %d, "userName": "A", "userEmail": "a@example.org"}' % slot["id"]
    problem(clinic.http.post("/api/bookings", content=body), 415, "unsupported-media-type")
    held = clinic.hold(slot["id"])
    path = f"/api/bookings/{held['id']}/confirm"
    problem(clinic.http.post(path, content=b'{"userName": "B"}', headers=holder(held)), 415)
    assert clinic.http.post(path, headers=holder(held)).status_code == 200
