"""Heads that two programs may understand differently (RFC 9110, RFC 9112): one table, over raw sockets."""

import asyncio

import pytest

from slotwise.server.heads import accepted
from tests.clinic import Clinic, at_most
from tests.security.test_connections import Line, met, saying, statuses

PLAIN = b"GET /health HTTP/1.1\r\nHost: a\r\n"
CLOSE = b"Connection: close\r\n\r\n"
BODY = b'{"name": "x"}'
POST = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
WHOLE = b"Content-Length: 13\r\n\r\n" + BODY
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FRAMES, CODINGS = "Transfer-Encoding", "Content-Encoding"  # words of what is said about them
GZIP = b"Content-Encoding: gzip\r\n"


def host(value: bytes) -> bytes:
    return b"GET /health HTTP/1.1\r\nHost:" + value + b"\r\n\r\n"


def line(text: bytes) -> bytes:
    return text + b"\r\nHost: a\r\n\r\n"


# What is sent, the status, and a word of the sentence that says what is wrong.
REFUSED: dict[str, tuple[bytes, int, str]] = {
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", 400, "Host must be sent once"),
    "no host with a URL": (b"GET http://a/health HTTP/1.1\r\n\r\n", 400, "Host must be sent once"),
    "two hosts": (PLAIN + b"Host: b\r\n\r\n", 400, "Host must be sent once"),
    "the same host twice": (PLAIN + b"host: a\r\n\r\n", 400, "Host must be sent once"),
    "two hosts in HTTP/1.0": (b"GET /health HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "Host must be sent once"),
    **{
        f"the host {value!r}": (host(value), 400, "Host must be the name")
        for value in (
            b"", b" ", b" a b", b" a,b", b" a/b", b" a@b", b" a:b", b" a:1:2", b" :80", b" [::1", b" [x]", b" a?b",
            b" a#b", b" a\\b", b" a\xff", b" a:99999", b" http://a", b" a%", b" a%zz", b" ..", b" .a", b" a..b",
            b" [::::]", b" [1.2.3.4]", b" [::1%25lo]", b" [::1]a", b" [::1]:65536")
    },
    "no version": (line(b"GET /health"), 400, "must name its version"),
    "a space in place of the version": (line(b"GET /health "), 400, "a path and a version"),
    "HTTP/0.9": (line(b"GET /health HTTP/0.9"), 505, "does not speak this version"),
    "HTTP/0.0": (line(b"GET /health HTTP/0.0"), 505, "does not speak this version"),
    "HTTP/2.0": (line(b"GET /health HTTP/2.0"), 505, "HTTP/1.1"),
    "HTTP/2.0 in a change": (POST.replace(b"HTTP/1.1", b"HTTP/2.0") + WHOLE, 505, "HTTP/1.1"),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "HTTP/1.1"),
    "HTTP/3.0": (line(b"GET /health HTTP/3.0"), 505, "HTTP/1.1"),
    "HTTP/1.2": (line(b"GET /health HTTP/1.2"), 505, "HTTP/1.1"),
    **{
        f"the version {version.decode()}": (line(b"GET /health " + version), 400, "a path and a version")
        for version in (b"HTTP/1", b"HTTP/2", b"HTTP/1.10", b"HTTP/10.0", b"HTTP/1.x", b"http/1.1", b"1.1")
    },
    "two spaces": (line(b"GET /health  HTTP/1.1"), 400, "single spaces"),
    "two spaces before the URL": (line(b"GET  /health HTTP/1.1"), 400, "single spaces"),
    "a tab before the URL": (line(b"GET\t/health HTTP/1.1"), 400, "HTTP/1.1"),
    "a tab behind the URL": (line(b"GET /health\tHTTP/1.1"), 400, "HTTP/1.1"),
    "a space behind the version": (line(b"GET /health HTTP/1.1 "), 400, "HTTP/1.1"),
    "a space before the method": (line(b" GET /health HTTP/1.1"), 400, "HTTP/1.1"),
    "a request of RTSP": (line(b"GET /health RTSP/1.0"), 400, "GET /health HTTP/1.1"),
    "a request of Icecast": (line(b"SOURCE /health ICE/1.0"), 400, "GET /health HTTP/1.1"),
    "a space in the URL": (line(b"GET /hea lth HTTP/1.1"), 400, "HTTP/1.1"),
    "a fragment": (line(b"GET /health#a HTTP/1.1"), 400, "fragment"),
    "a URL without its path": (line(b"GET health HTTP/1.1"), 400, "HTTP/1.1"),
    "a URL of another kind": (line(b"GET ftp://a/health HTTP/1.1"), 400, "http URL"),
    "a URL without a host": (line(b"GET http:///health HTTP/1.1"), 400, "request"),
    **{
        f"a URL with the host {value.decode()}": (line(b"GET http://" + value + b"/health HTTP/1.1"), 400, "request")
        for value in (b"u@a", b"a:99999", b"..", b"[::::]", b"a%zz", b"a:b")
    },
    "a star": (line(b"GET * HTTP/1.1"), 400, "for a path"),
    "a star with a query": (line(b"OPTIONS *?a HTTP/1.1"), 400, "for a path"),
    "a star in HTTP/0.9": (line(b"OPTIONS *"), 400, "must name its version"),
    "a tunnel": (line(b"CONNECT a:443 HTTP/1.1"), 501, "method"),
    **{
        f"the method {method.decode()}": (line(method + b" /health HTTP/1.1"), 501, "method")
        for method in (b"BREW", b"GETS", b"POSTS", b"GET-X", b"DESCRIBE", b"SETUP", b"PRI")
    },
    "a method in small letters": (line(b"get /health HTTP/1.1"), 501, "method"),
    "a method with a bracket": (line(b"G(T /health HTTP/1.1"), 400, "HTTP/1.1"),
    **{
        f"two of {name.decode()}": (PLAIN + name + b": a\r\n" + name.lower() + b": a\r\n\r\n", 400, "must be sent once")
        for name in (b"Content-Type", b"Idempotency-Key", b"Last-Event-ID", b"Origin", b"Sec-Fetch-Site")
    },
    "line feeds alone": (b"GET /health HTTP/1.1\nHost: a\n\n", 400, "HTTP/1.1"),
    "a line feed alone in the headers": (PLAIN[:-2] + b"\nA: b\r\n\r\n", 400, "HTTP/1.1"),
    "a carriage return alone": (PLAIN + b"A: b\rC: d\r\n\r\n", 400, "HTTP/1.1"),
    "a folded header": (PLAIN + b"A: b\r\n c\r\n\r\n", 400, "HTTP/1.1"),
    "a header that is folded first": (b"GET /health HTTP/1.1\r\n Host: a\r\n\r\n", 400, "HTTP/1.1"),
    "a space before the colon": (PLAIN + b"A : b\r\n\r\n", 400, "HTTP/1.1"),
    "a header without a name": (PLAIN + b": b\r\n\r\n", 400, "HTTP/1.1"),
    "a header without a colon": (PLAIN + b"A\r\n\r\n", 400, "HTTP/1.1"),
    "a name with a bracket": (PLAIN + b"A(b: c\r\n\r\n", 400, "HTTP/1.1"),
    "NUL in a header": (PLAIN + b"A: b\x00\r\n\r\n", 400, "HTTP/1.1"),
    "two lengths": (POST + b"Content-Length: 13\r\n" + WHOLE, 400, "HTTP/1.1"),
    "two lengths in one": (POST + b"Content-Length: 13, 13\r\n\r\n" + BODY, 400, "HTTP/1.1"),
    "a length with a sign": (POST + b"Content-Length: +13\r\n\r\n" + BODY, 400, "HTTP/1.1"),
    "a length in hex": (POST + b"Content-Length: 0xd\r\n\r\n" + BODY, 400, "HTTP/1.1"),
    "no length in the header": (POST + b"Content-Length: \r\n\r\n" + BODY, 400, "HTTP/1.1"),
    "a length beyond numbers": (POST + b"Content-Length: 99999999999999999999\r\n\r\n", 400, "HTTP/1.1"),
    "a length and chunks": (POST + b"Content-Length: 13\r\n" + CHUNKED + b"0\r\n\r\n", 400, FRAMES),
    "chunks and a length": (POST + b"Transfer-Encoding: chunked\r\n" + WHOLE, 400, FRAMES),
    "chunked, not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", 400, FRAMES),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400, FRAMES),
    "chunked in two headers": (POST + b"Transfer-Encoding: chunked\r\n" + CHUNKED + b"0\r\n\r\n", 400, FRAMES),
    "a coding that only looks like chunked": (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, FRAMES),
    "no chunks at all": (POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400, FRAMES),
    "no coding in the header": (POST + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n", 400, FRAMES),
    "chunks of what is compressed": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, FRAMES),
    "chunks of what is compressed, in two headers": (
        POST + b"Transfer-Encoding: gzip\r\n" + CHUNKED + b"0\r\n\r\n", 501, FRAMES),
    "chunks in HTTP/1.0": (POST.replace(b"HTTP/1.1", b"HTTP/1.0") + CHUNKED + b"0\r\n\r\n", 400, FRAMES),
    **{
        f"the size of a chunk {size!r}": (POST + CHUNKED + size + b"\r\n" + BODY + b"\r\n0\r\n\r\n", 400, "HTTP/1.1")
        for size in (b"", b"0xd", b"-1", b"+d", b"d ", b" d", b"g", b"f" * 17)
    },
    "a chunk longer than its size": (POST + CHUNKED + b"5\r\n" + BODY + b"\r\n0\r\n\r\n", 400, "HTTP/1.1"),
    "a chunk that ends in a line feed": (POST + CHUNKED + b"d\r\n" + BODY + b"\n0\r\n\r\n", 400, "HTTP/1.1"),
    "a size that ends in a line feed": (POST + CHUNKED + b"d\n" + BODY + b"\r\n0\r\n\r\n", 400, "HTTP/1.1"),
    **{
        f"a body in {coding.decode()}": (POST + b"Content-Encoding: " + coding + b"\r\n" + WHOLE, 415, CODINGS)
        for coding in (b"gzip", b"x-gzip", b"GZIP", b"br", b"identity, gzip", b"gzip, identity", b"unheard-of")
    },
    "a body in gzip and chunks": (POST + GZIP + CHUNKED + b"0\r\n\r\n", 415, CODINGS),
    "a body in two codings": (
        POST + b"Content-Encoding: identity\r\nContent-Encoding: gzip\r\n" + WHOLE, 415, CODINGS),
    "an unknown expectation": (POST + b"Expect: 200-ok\r\n" + WHOLE, 417, "Expect"),
    "an unknown expectation beside a known one": (POST + b"Expect: 100-continue, magic\r\n" + WHOLE, 417, "Expect"),
    "an unknown expectation without a body": (PLAIN + b"Expect: magic\r\n\r\n", 417, "Expect"),
}  # fmt: skip

ACCEPTED: dict[str, bytes] = {
    "a plain request": PLAIN + CLOSE,
    "empty lines first": b"\r\n\r\n" + PLAIN + CLOSE,
    "a header with spaces around": b"GET /health HTTP/1.1\r\nHost: \t a \t\r\n" + CLOSE,
    **{
        f"the host {value.decode()}": b"GET /health HTTP/1.1\r\nHost: " + value + b"\r\n" + CLOSE
        for value in (b"clinic.example", b"CLINIC:3000", b"a_b", b"127.0.0.1:80", b"[::1]", b"[::1]:3000", b"a:",
                      b"a~b", b"%C3%A9.example", b"a!$&'()*+;=b", b"a.", b"a:65535", b"[::ffff:1.2.3.4]:")
    },
    "HTTP/1.0 without a host": b"GET /health HTTP/1.0\r\n\r\n",
    "HTTP/1.0 with a host": b"GET /health HTTP/1.0\r\nHost: a\r\n\r\n",
    "a URL": b"GET http://a/health HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a URL in capitals, with another host": b"GET HTTP://b:1/health? HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    **{
        f"a URL with the host {value.decode()}": b"GET http://" + value + b"/health HTTP/1.1\r\nHost: a\r\n" + CLOSE
        for value in (b"a~b", b"%C3%A9", b"a!b:", b"[::1]:80")
    },
    "a URL without a path": b"GET http://a HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a coding of no body": PLAIN + b"Content-Encoding: gzip\r\n" + CLOSE,
    "another protocol": PLAIN + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "a chunk with an extension": PLAIN + b"Connection: close\r\n" + CHUNKED + b"1;a=b\r\n{\r\n0\r\n\r\n",
}  # fmt: skip

# These reach the operation, which refuses what the body says and names the field.
READ: dict[str, bytes] = {
    "no coding": WHOLE,
    "identity": b"Content-Encoding: identity\r\n" + WHOLE,
    "an empty coding": b"Content-Encoding: \r\n" + WHOLE,
    "identity with spaces around": b"Content-Encoding: \t identity \t\r\n" + WHOLE,
    "identity twice, in capitals": b"Content-Encoding: IDENTITY, identity\r\n" + WHOLE,
    "chunks": CHUNKED + b"D\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunks in capitals": (
        b"Transfer-Encoding: Chunked\r\n\r\n5\r\n" + BODY[:5] + b"\r\n8\r\n" + BODY[5:] + b"\r\n0\r\n\r\n"),
    "a continuation": b"Expect: 100-continue\r\n" + WHOLE,
    "a continuation in another case": b"Expect: 100-Continue\r\n" + WHOLE,
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_a_doubtful_head_is_refused_with_a_clear_problem_and_the_end_of_the_connection(
    clinic: Clinic, name: str
) -> None:
    text, status, words = REFUSED[name]
    answer = await met(clinic, saying(text + PLAIN + b"\r\n"))
    assert (answer.status, answer.seconds < at_most(2.5)) == (status, True), answer
    assert len(statuses(answer)) == 1, answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert words in answer.problem["detail"]


@pytest.mark.parametrize("name", REFUSED)
async def test_a_doubtful_head_behind_another_request_is_refused_too(clinic: Clinic, name: str) -> None:
    """In one piece of data, as somebody would send it who wants a proxy to see other requests than the server."""
    text, status, _ = REFUSED[name]
    answer = await met(clinic, saying(PLAIN + b"\r\n" + text + PLAIN + b"\r\n"))
    assert statuses(answer) == [200, status], answer


@pytest.mark.parametrize("before", [WHOLE, CHUNKED + b"D\r\n" + BODY + b"\r\n0\r\n\r\n"])
async def test_a_doubtful_head_behind_a_body_is_refused_too(clinic: Clinic, before: bytes) -> None:
    answer = await met(clinic, saying(POST + before + line(b"GET /health RTSP/1.0")))
    assert statuses(answer) == [400, 400], answer


async def test_requests_in_one_piece_of_data_are_all_answered(clinic: Clinic) -> None:
    posts = POST + WHOLE, POST + CHUNKED + b"D\r\n" + BODY + b"\r\n0\r\n\r\n"
    pieces = [*posts, PLAIN + b"\r\n", *posts, b"\r\n" + PLAIN + CLOSE]
    answer = await met(clinic, saying(b"".join(pieces)))
    assert statuses(answer) == [400, 400, 200, 400, 400, 200], answer


SLOT = b"GET /api/slots/999999 HTTP/1.1\r\nHost: a\r\n\r\n"
TRAILED = POST + CHUNKED + b"D\r\n" + BODY + b"\r\n0\r\nX-T: 12\r\n\r\n"


@pytest.mark.parametrize("pause_at", range(len(POST), len(TRAILED), 3))
async def test_chunks_and_trailers_may_come_in_pieces_before_another_request(clinic: Clinic, pause_at: int) -> None:
    async def talk(line: Line) -> None:
        await line.say(TRAILED[:pause_at])
        await asyncio.sleep(0.01)
        await line.say(TRAILED[pause_at:] + SLOT + PLAIN + CLOSE)

    assert statuses(await met(clinic, talk)) == [400, 404, 200]


@pytest.mark.parametrize("empty", [b"\r\n", b"\r\n\r\n", b"\r\n" * 5, b"\n\n"])
async def test_empty_lines_before_a_request_hide_neither_it_nor_the_next(clinic: Clinic, empty: bytes) -> None:
    answer = await met(clinic, saying(empty + PLAIN + b"\r\n" + empty + SLOT + empty + PLAIN + CLOSE))
    assert statuses(answer) == [200, 404, 200], answer


async def test_empty_lines_before_a_request_for_another_protocol_are_not_its_body(clinic: Clinic) -> None:
    upgrade = b"Upgrade: x\r\nConnection: upgrade\r\n"
    answer = await met(clinic, saying(b"\r\n\r\n" + POST + upgrade + WHOLE))
    assert statuses(answer) == [400]
    assert b"malformed" not in answer.text, "the application was given something else"


async def test_a_refused_head_request_gets_no_content(clinic: Clinic) -> None:
    answer = await met(clinic, saying(b"HEAD /health HTTP/1.1\r\n\r\n"))
    assert answer.status == 400
    assert answer.text.endswith(b"\r\n\r\n"), answer


@pytest.mark.parametrize("name", ACCEPTED)
async def test_a_head_that_is_right_is_accepted(clinic: Clinic, name: str) -> None:
    answer = await met(clinic, saying(ACCEPTED[name]))
    assert answer.status == 200, answer


@pytest.mark.parametrize("host", [b"a", b"b:80"])
async def test_the_server_as_a_whole_answers_options(clinic: Clinic, host: bytes) -> None:
    answer = await met(clinic, saying(b"OPTIONS * HTTP/1.1\r\nHost: " + host + b"\r\n\r\n" + PLAIN + CLOSE))
    assert statuses(answer) == [204, 200], answer


def test_headers_that_are_one_list_are_read_as_one(clinic: Clinic) -> None:
    """Of a doctor whose slots nobody else books meanwhile."""
    path = f"/api/slots?doctorId={clinic.slot()['doctorId']}"
    etag = clinic.http.get(path).headers["etag"]
    for one, other in ((etag, '"another"'), ('"another"', etag), (f'"a", {etag}', ""), ("", f"W/{etag}")):
        sent = [("If-None-Match", one), ("X-Between", "a"), ("if-none-match", other)]
        assert clinic.http.get(path, headers=sent).status_code == 304, sent
    accepts = [("Accept", "image/png"), ("Accept", "text/html")]
    assert clinic.http.get("/nothing", headers=accepts).headers["content-type"].startswith("text/html")
    encodings = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
    assert clinic.http.get("/", headers=encodings).headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("name", READ)
async def test_a_body_in_a_known_coding_is_read(clinic: Clinic, name: str) -> None:
    answer = await met(clinic, saying(POST + b"Connection: close\r\n" + READ[name]))
    final = answer.text.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert final.startswith(b"HTTP/1.1 400 "), answer
    assert b'"name"' in final or b'"email"' in final, answer


async def test_a_body_that_is_said_to_be_compressed_books_nothing(clinic: Clinic) -> None:
    slot = clinic.slot(seats=2)
    body = b'{"slotId": %d, "userName": "Ada", "userEmail": "ada@example.org"}' % slot["id"]
    head = b"POST /api/bookings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n"
    answer = await met(clinic, saying(head + b"Content-Length: %d\r\n\r\n" % len(body) + body))
    assert (answer.status, answer.headers["accept-encoding"]) == (415, "identity")
    assert clinic.http.get(f"/api/slots/{slot['id']}").json()["availableSeats"] == 2


@pytest.mark.parametrize("method", [b"TRACE", b"PROPFIND", b"PUT"])
async def test_a_method_that_the_route_does_not_have_is_refused_with_those_that_it_has(
    clinic: Clinic, method: bytes
) -> None:
    answer = await met(clinic, saying(method + b" /health HTTP/1.1\r\nHost: a\r\n" + CLOSE))
    assert (answer.status, answer.problem["code"]) == (405, "method-not-allowed")
    assert "GET" in answer.headers["allow"]


async def test_a_client_that_waits_for_a_refusal_before_its_body_gets_it(clinic: Clinic) -> None:
    connection = await Line.open(clinic)
    await connection.say(POST + b"Expect: 100-continue\r\nContent-Encoding: gzip\r\nContent-Length: 13\r\n\r\n")
    answer = await connection.hear()
    assert (answer.status, b"100 Continue" in answer.text) == (415, False), answer


async def test_the_only_line_of_http_0_9_is_refused_at_once(clinic: Clinic) -> None:
    """Nothing follows it, so the end of its head would never come."""
    answer = await met(clinic, saying(b"GET /health\r\n"))
    assert (answer.status, answer.seconds < at_most(2.5)) == (400, True), answer
    assert "must name its version" in answer.problem["detail"]


async def test_a_client_of_http_1_0_gets_no_interim_answer(clinic: Clinic) -> None:
    head = POST.replace(b"HTTP/1.1", b"HTTP/1.0") + b"Expect: 100-continue\r\n"
    assert (await met(clinic, saying(head + WHOLE))).status == 400


def test_the_host_of_a_url_counts_and_not_the_header() -> None:
    def read(url: bytes, *headers: tuple[bytes, bytes], version: str = "1.1") -> tuple[bytes, object]:
        return accepted(version, url, list(headers), upgrades=False)[:2]

    host, other = (b"host", b"header.example"), (b"a", b"b")
    there = [(b"host", b"url.example:8"), other]
    assert read(b"http://url.example:8/x?y=/z", host, other) == (b"/x?y=/z", there)
    assert read(b"https://url.example:8?y", other, host) == (b"/?y", there)
    assert read(b"HTTP://url.example:8", other, version="1.0") == (b"/", there)
    assert read(b"/http://url.example/", other, host) == (b"/http://url.example/", [other, host])
