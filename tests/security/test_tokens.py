"""Attacks on access tokens and manage tokens, besides those in `tests/http/accounts/test_auth.py`. All must fail."""

import ast
import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

import jwt
import pytest
from litestar.connection import ASGIConnection

from slotwise.domain.errors import InvalidInput
from slotwise.http.kit.paging import IdPosition, decode_cursor, encode_cursor
from slotwise.services.core.manage_tokens import ManageTokens, proves
from slotwise.services.core.seals import Seals
from slotwise.web.kit.visitors import BookingToken, read_slip, slip_cookie
from tests.architecture.sources import Source, functions, sources
from tests.clinic import Clinic, RunningServer, holder, problem, rows
from tests.http.accounts.test_auth import HEADER, NOW, encoded, forged, secret_of
from tests.security.test_connections import met, saying

Claims = dict[str, Any]
Forgery = Callable[[Claims, str], str]

PUBLIC_KEY = (
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEVs/o5+uQbTjL3chynL4wXgUg2R9\n"
    "q9UU8I5mEovUf86QZ7kOBIjJwqnzD1omageEHWwHdBO6B+dFabmdT9POxg==\n"
    "-----END PUBLIC KEY-----\n"
)


def as_is(header: bytes, claims: bytes, secret: str) -> str:
    """A token with the given header and claims, signed with the right secret."""
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    signature = base64.urlsafe_b64encode(hmac.digest(secret.encode(), signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


# These tokens have a valid signature, so another rule must refuse them.
ATTACKS: dict[str, Forgery] = {
    **{
        f"{algorithm} over the shared secret": lambda claims, secret, algorithm=algorithm: forged(  # type: ignore[misc]  # bound by a default
            HEADER | {"alg": algorithm}, claims, secret
        )
        for algorithm in ("ES256", "PS256", "EdDSA", "HS384", "hs256", "dir")
    },
    "HMAC with a public key": lambda claims, _: forged(HEADER, claims, PUBLIC_KEY),
    "a public key that the token brings": lambda claims, _: forged(HEADER | {"x5c": [PUBLIC_KEY]}, claims, PUBLIC_KEY),
    "a certificate elsewhere": lambda claims, _: forged(HEADER | {"x5u": "http://127.0.0.1:1/"}, claims, "attacker"),
    "a key id with SQL": lambda claims, _: forged(HEADER | {"kid": "' UNION SELECT 'attacker"}, claims, "attacker"),
    "an extension that must be understood": lambda claims, secret: forged(
        HEADER | {"crit": ["exp"], "exp": 0}, claims, secret
    ),
    "a payload that is not encoded": lambda claims, secret: forged(
        HEADER | {"b64": False, "crit": ["b64"]}, claims, secret
    ),
    "two algorithms, none last": lambda claims, secret: as_is(
        b'{"alg": "HS256", "typ": "at+jwt", "alg": "none"}', json.dumps(claims).encode(), secret
    ),
    "a header that is a list": lambda claims, secret: as_is(b'["HS256"]', json.dumps(claims).encode(), secret),
    "claims that are a list": lambda _, secret: as_is(json.dumps(HEADER).encode(), b"[1]", secret),
    "claims that are not JSON": lambda _, secret: as_is(json.dumps(HEADER).encode(), b"\xff", secret),
    "no id": lambda claims, secret: forged(HEADER, {k: v for k, v in claims.items() if k != "jti"}, secret),
    "an expiry beyond numbers": lambda claims, secret: forged(HEADER, claims | {"exp": float("inf")}, secret),
    "an expiry of long ago": lambda claims, secret: forged(HEADER, claims | {"exp": -1}, secret),
    "a start that is no number": lambda claims, secret: forged(HEADER, claims | {"nbf": "now"}, secret),
    "a subject beyond 64 bits": lambda claims, secret: forged(HEADER, claims | {"sub": str(2**63)}, secret),
    "a subject below nothing": lambda claims, secret: forged(HEADER, claims | {"sub": "-1"}, secret),
    "a subject that is a number": lambda claims, secret: forged(HEADER, claims | {"sub": int(claims["sub"])}, secret),
    "a subject of 5,000 digits": lambda claims, secret: forged(HEADER, claims | {"sub": "1" * 5000}, secret),
    "a version that is a list": lambda claims, secret: forged(HEADER, claims | {"ver": [claims["ver"]]}, secret),
    "a version that is nothing": lambda claims, secret: forged(HEADER, claims | {"ver": None}, secret),
    "a version without an end": lambda claims, secret: forged(HEADER, claims | {"ver": float("inf")}, secret),
    "a version that is a text": lambda claims, secret: forged(HEADER, claims | {"ver": str(claims["ver"])}, secret),
    "a version with a fraction": lambda claims, secret: forged(HEADER, claims | {"ver": claims["ver"] + 0.5}, secret),
    "a version that is a truth": lambda claims, secret: forged(HEADER, claims | {"ver": bool(claims["ver"])}, secret),
    "a subject with a space": lambda claims, secret: forged(HEADER, claims | {"sub": f" {claims['sub']}"}, secret),
    "a subject with a zero": lambda claims, secret: forged(HEADER, claims | {"sub": f"0{claims['sub']}"}, secret),
    "a subject with a line": lambda claims, secret: forged(HEADER, claims | {"sub": f"0_{claims['sub']}"}, secret),
    "an audience that is nothing": lambda claims, secret: forged(HEADER, claims | {"aud": None}, secret),
    "an audience in a list": lambda claims, secret: forged(HEADER, claims | {"aud": [claims["aud"]]}, secret),
    "one more part": lambda claims, secret: forged(HEADER, claims, secret) + ".e30",
    "a point at the end": lambda claims, secret: forged(HEADER, claims, secret) + ".",
    "two points": lambda claims, secret: forged(HEADER, claims, secret).replace(".", "..", 1),
    "five parts, as if encrypted": lambda claims, secret: ".".join(["e30"] * 2 + [forged(HEADER, claims, secret)]),
    "the claims of another": lambda claims, secret: ".".join([
        forged(HEADER, claims, secret).split(".")[0],
        encoded(claims | {"sub": "1"}).decode(),
        forged(HEADER, claims, secret).split(".")[2],
    ]),
    "half a signature": lambda claims, secret: forged(HEADER, claims, secret)[:-20],
    "issued in an hour": lambda claims, secret: forged(HEADER, claims | {"iat": NOW + 3600}, secret),
    "issued at no time": lambda claims, secret: forged(HEADER, claims | {"iat": "now"}, secret),
    "issued at nothing": lambda claims, secret: forged(HEADER, claims | {"iat": None}, secret),
}  # fmt: skip


@pytest.fixture(scope="module")
def victim(server: RunningServer) -> dict[str, str]:
    with Clinic(server) as clinic:
        return clinic.patient()


@pytest.mark.parametrize("name", ATTACKS)
def test_no_such_token_gets_in(clinic: Clinic, victim: dict[str, str], name: str) -> None:
    claims = jwt.decode(victim["Authorization"][7:], options={"verify_signature": False})
    token = ATTACKS[name](claims, secret_of(clinic.server))
    problem(clinic.http.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}), 401, "not-authenticated")


def test_the_victims_own_token_does_get_in(clinic: Clinic, victim: dict[str, str]) -> None:
    assert clinic.http.get("/api/auth/me", headers=victim).status_code == 200


def test_a_token_of_a_server_whose_clock_is_minutes_ahead_gets_in(clinic: Clinic, victim: dict[str, str]) -> None:
    claims = jwt.decode(victim["Authorization"][7:], options={"verify_signature": False})
    token = forged(HEADER, claims | {"iat": int(time.time()) + 500}, secret_of(clinic.server))
    assert clinic.http.get("/api/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200


def other_last_letter(token: str) -> str:
    """The same bytes with spare bits set: 32 bytes, as a signature has, need 43 letters, which have 258 bits."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = {0: 0, 2: 15, 3: 3}[len(token.rpartition(".")[2]) % 4]
    return token[:-1] + letters[letters.index(token[-1]) | spare]


RESPELLED: dict[str, Callable[[str], str]] = {
    "padded": lambda token: f"Bearer {token}=",
    "padded twice": lambda token: f"Bearer {token}==",
    "a tab behind": lambda token: f"Bearer {token}\t",
    "a space behind": lambda token: f"Bearer {token} ",
    "a tab before": lambda token: f"Bearer\t{token}",
    "two spaces": lambda token: f"Bearer  {token}",
    "a space inside the signature": lambda token: f"Bearer {token[:-5]} {token[-5:]}",
    "a letter of no alphabet inside": lambda token: f"Bearer {token[:-5]}!{token[-5:]}",
    "spare bits": lambda token: f"Bearer {other_last_letter(token)}",
    "in quotes": lambda token: f'Bearer "{token}"',
    "with a parameter": lambda token: f"Bearer {token}, realm=x",
    "two tokens": lambda token: f"Bearer {token}, Bearer {token}",
    "no space": lambda token: f"Bearer{token}",
    "another scheme": lambda token: f"Token {token}",
    "no token": lambda _: "Bearer",
}


@pytest.mark.parametrize("name", RESPELLED)
async def test_a_token_in_another_spelling_is_none(clinic: Clinic, victim: dict[str, str], name: str) -> None:
    """Sent as bytes: a client library may remove spaces."""
    header = RESPELLED[name](victim["Authorization"][7:]).encode()
    body = b'{"slotId": 1}'
    for line in (b"GET /api/auth/me", b"POST /api/bookings"):
        head = line + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n"
        sent = head + b"Content-Length: 13\r\nAuthorization: " + header + b"\r\n\r\n" + body
        answer = await met(clinic, saying(sent))
        assert (answer.status, answer.problem["code"]) == (401, "not-authenticated"), answer


@pytest.mark.parametrize("scheme", ["bearer", "BEARER"])
def test_the_scheme_may_be_in_any_case(clinic: Clinic, victim: dict[str, str], scheme: str) -> None:
    """RFC 9110, 11.1."""
    header = {"Authorization": f"{scheme} {victim['Authorization'][7:]}"}
    assert clinic.http.get("/api/auth/me", headers=header).status_code == 200


@pytest.mark.parametrize("respell", [lambda t: t + "=", lambda t: t[:-5] + "!" + t[-5:], other_last_letter])
def test_a_session_cookie_in_another_spelling_is_none(
    clinic: Clinic, victim: dict[str, str], respell: Callable[[str], str]
) -> None:
    token = victim["Authorization"][7:]
    for sent, status in ((token, 200), (respell(token), 303)):
        answer = clinic.http.get("/account", headers={"Cookie": f"slotwise-session={sent}"}, follow_redirects=False)
        assert answer.status_code == status


@pytest.mark.parametrize("path", ["/api/auth/me", "/api/doctors", "/api/bookings/1"])
def test_a_token_sent_twice_is_none(clinic: Clinic, victim: dict[str, str], path: str) -> None:
    """A proxy might check one and the server the other."""
    good, bad = (b"Authorization", victim["Authorization"].encode()), (b"Authorization", b"Bearer x.y.z")
    for headers in ([good, bad], [bad, good], [good, good], [good, (b"authorization", b"")]):
        problem(clinic.http.get(path, headers=headers), 401, "not-authenticated")


def test_a_booking_with_a_token_sent_twice_is_refused(clinic: Clinic, victim: dict[str, str]) -> None:
    good, bad = (b"Authorization", victim["Authorization"].encode()), (b"Authorization", b"Bearer x.y.z")
    body = {"slotId": clinic.slot()["id"], "userName": "Ada", "userEmail": "ada@example.org"}
    for headers in ([good, bad], [bad, good]):
        problem(clinic.http.post("/api/bookings", json=body, headers=headers), 401, "not-authenticated")


# Everything else that is kept in base64url by clients

MANAGE = ManageTokens("a secret of at least 32 bytes, for tests").new()
SEALS = Seals("a secret of at least 32 bytes, for tests")


def with_cookie(value: str) -> Any:
    scope: Any = {"type": "http", "scheme": "http", "headers": [(b"cookie", b"slotwise-slip=" + value.encode())]}
    return ASGIConnection(scope)


def reads_cursor(text: str) -> bool:
    try:
        return decode_cursor(text, IdPosition(0)) == IdPosition(70)
    except InvalidInput:
        return False


def reads_cookie(text: str) -> bool:
    return read_slip(with_cookie(text), 1) is not None


# A text, which may be followed by its mark, and whether it is read.
KEPT: dict[str, tuple[str, Callable[[str], bool]]] = {
    "a cursor": (encode_cursor(IdPosition(70)), reads_cursor),
    "a cookie": (slip_cookie(with_cookie(""), BookingToken(1, "token")).value or "", reads_cookie),
    "a sealed form": (SEALS.seal(b"content"), lambda text: SEALS.unseal(text) is not None),
    "a manage token": (MANAGE.token, lambda text: proves(text, MANAGE.digest)),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_a_client_keeps_is_read_in_one_spelling_only(name: str) -> None:
    text, is_read = KEPT[name]
    body, dot, mark = text.partition(".")
    assert is_read(text)
    for other in {body + "=", body + "==", body[:-1] + "!" + body[-1], other_last_letter(body)} - {body}:
        assert not is_read(other + dot + mark), other


# Manage tokens


def test_manage_tokens_are_24_bytes_that_differ_in_every_place() -> None:
    tokens = ManageTokens("a secret of at least 32 bytes, for tests")
    made = [base64.urlsafe_b64decode(tokens.new().token) for _ in range(5000)]
    assert len(set(made)) == 5000
    for place in range(24):
        seen = {token[place] for token in made}
        assert len(seen) == 256, place


def test_a_manage_token_needs_the_secret_and_its_own_nonce() -> None:
    tokens, others = ManageTokens("one secret of more than 32 bytes.."), ManageTokens("another of more than 32 bytes..")
    given = tokens.new()
    assert tokens.again(given.nonce) == given
    assert others.again(given.nonce).token != given.token
    assert proves(given.token, given.digest)
    for wrong in (None, "", given.token[:-1], given.token + "=", given.token.swapcase(), given.nonce.hex()):
        assert not proves(wrong, given.digest)


@pytest.mark.parametrize("change", ["", "x", "=", "\x00", "%00", "é", "a" * 7000])
def test_a_manage_token_that_is_nearly_right_manages_nothing(clinic: Clinic, change: str) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    token = booking["manageToken"]
    for wrong in {change, token + change, change + token, token[:-1] + change} - {token}:
        proofs: list[dict[str, Any]] = (
            [{"headers": [(b"Booking-Token", wrong.encode())]}] if "\x00" not in wrong else []
        )
        for proof in [*proofs, {"params": {"token": wrong}}]:
            shown = clinic.http.get(f"/api/bookings/{booking['id']}", **proof)
            assert shown.json()["userName"] is None
            assert clinic.http.delete(f"/api/bookings/{booking['id']}", **proof).status_code in {401, 403}
    assert clinic.http.get(f"/api/bookings/{booking['id']}", headers=holder(booking)).json()["status"] == "PENDING"


def test_a_manage_token_sent_twice_is_none(clinic: Clinic) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    path, good = f"/api/bookings/{booking['id']}", (b"Booking-Token", booking["manageToken"].encode())
    query = {"token": booking["manageToken"]}
    for headers, params in (
        ([good, good], {}),
        ([good, (b"booking-token", b"x")], {}),
        ([(b"Booking-Token", b"x"), good], {}),
        ([good], query),
    ):
        problem(clinic.http.delete(path, headers=headers, params=params), 401, "not-authenticated")
    assert clinic.http.get(path, params=query).json()["userName"] is not None


def test_no_table_holds_a_token_or_a_password(clinic: Clinic) -> None:
    """Every column of every row, as text, in the server's own tables."""
    bearer = clinic.patient()
    key = {"Idempotency-Key": "hard-to-guess-and-in-no-table"}
    booking = clinic.hold(clinic.slot()["id"], headers=key)
    secrets = [bearer["Authorization"][7:], booking["manageToken"], "patient's secret", key["Idempotency-Key"]]
    wanted = [form for secret in secrets for form in (secret, secret.encode().hex())]
    raw = base64.urlsafe_b64decode(booking["manageToken"]).hex()
    url = clinic.server.database_url
    tables = rows(url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    assert len(tables) >= 8
    for (table,) in (tuple(row) for row in tables):
        query = (
            f"SELECT count(*) FROM {table} AS held, unnest($1::text[]) AS secret WHERE strpos(held::text, secret) > 0"
        )
        assert rows(url, query, [*wanted, raw])[0][0] == 0, table
    digest = rows(
        url, "SELECT count(*) FROM bookings WHERE strpos(bookings::text, encode($1, 'hex')) > 0", _digest(booking)
    )
    assert digest[0][0] == 1, "this way of looking finds nothing"


def _digest(booking: dict[str, Any]) -> bytes:
    return hashlib.sha256(booking["manageToken"].encode()).digest()


SECRET_WORDS = re.compile(r"digest|signature|password|secret|manage_token|token_hash|\btoken\b")


def comparisons_of_secrets(found: Iterable[Source]) -> list[str]:
    """`==` and `!=` between what must be compared in constant time: they stop at the first byte that differs."""
    return [
        f"{source.path}: {ast.unparse(node)}"
        for source in found
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Compare)
        and any(isinstance(operator, ast.Eq | ast.NotEq) for operator in node.ops)
        and SECRET_WORDS.search(ast.unparse(node))
        and not ast.unparse(node).startswith("bool(")  # checks whether there is one, not which one
    ]


def test_secrets_are_compared_in_constant_time() -> None:
    assert not comparisons_of_secrets(sources())
    [compares] = [node for source in sources() for node in functions(source.tree) if node.name == "proves"]
    assert "hmac.compare_digest" in ast.unparse(compares)
    planted = Source.of("services/x.py", "def proves(token, digest):\n    return token_digest(token) == digest\n")
    assert len(comparisons_of_secrets([planted])) == 1
