"""Accounts over HTTP: who gets a token, what revokes it, and what is not accepted as one."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx
import jwt
import pytest

from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer, problem, slotwise, unique_email

PASSWORD = "patient's secret"


def register(clinic: Clinic, **fields: Any) -> httpx.Response:
    body = {"name": "Pat Patient", "email": unique_email(), "password": PASSWORD} | fields
    return clinic.http.post("/api/auth/register", json=body)


def new_account(clinic: Clinic) -> str:
    """The e-mail address of a new account with the password PASSWORD."""
    answer = register(clinic)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["email"])


def log_in(clinic: Clinic, email: str, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return clinic.http.post("/api/auth/login", json={"email": email, "password": password}, headers=headers)


def status_of_token(clinic: Clinic, headers: dict[str, str]) -> int:
    return clinic.http.get("/api/auth/me", headers=headers).status_code


def test_registering_makes_a_patient_without_showing_a_password(clinic: Clinic) -> None:
    answer = register(clinic, name="  Zoe\u0308  ")
    assert answer.status_code == 201
    user = answer.json()
    assert set(user) == {"id", "email", "name", "role", "createdAt", "updatedAt"}
    assert (user["role"], user["name"]) == ("patient", "Zoë")


def test_a_registration_cannot_choose_a_role(clinic: Clinic) -> None:
    problem(register(clinic, role="admin"), 400, "invalid-input", field="role")


def test_one_email_has_one_account_in_any_case(clinic: Clinic) -> None:
    email = new_account(clinic)
    problem(register(clinic, email=email.upper()), 409, "email-taken")
    problem(register(clinic, email=f"  {email} "), 409, "email-taken")


@pytest.mark.parametrize(
    "email", ["", "x", "a@", "@b.org", "a b@c.org", "a@b\r\nBcc: c@d.org", "a\x00@b.org", "a@b..org"]
)
def test_an_invalid_email_is_refused_with_its_field_name(clinic: Clinic, email: str) -> None:
    problem(register(clinic, email=email), 400, "invalid-input", field="email")


@pytest.mark.parametrize("password", ["", "7 chars", "x" * 129, "password", "12345678", "PassWord1", "qwertyuiop"])
def test_short_long_and_common_passwords_are_refused(clinic: Clinic, password: str) -> None:
    problem(register(clinic, password=password), 400, "invalid-input", field="password")
    account = clinic.patient()
    change = {"currentPassword": PASSWORD, "newPassword": password}
    refused = clinic.http.post("/api/auth/password", json=change, headers=account)
    problem(refused, 400, "invalid-input", field="newPassword")


@pytest.mark.parametrize("password", ["zq8# ünd", "x" * 127 + "1", " spaces count ", "日本語のパスワード"])
def test_every_character_of_a_password_counts(clinic: Clinic, password: str) -> None:
    email = str(register(clinic, password=password).json()["email"])
    assert log_in(clinic, email, password).status_code == 200
    problem(log_in(clinic, email, password[:-1] + "2"), 401, "invalid-credentials")
    problem(log_in(clinic, email, password[:-1]), 401, "invalid-credentials")


def test_a_log_in_gives_a_bearer_token_that_says_how_long_it_lives(clinic: Clinic) -> None:
    email = new_account(clinic)
    session = log_in(clinic, email.upper()).json()
    assert session["tokenType"] == "Bearer"
    claims = jwt.decode(session["accessToken"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == session["expiresIn"]
    me = clinic.http.get("/api/auth/me", headers={"Authorization": f"bearer {session['accessToken']}"})
    assert me.json() == session["user"]
    assert me.json()["email"] == email


def test_logging_out_revokes_every_token_of_the_account_and_no_other(clinic: Clinic) -> None:
    email, other = new_account(clinic), clinic.patient()
    phone, laptop = clinic.log_in(email, PASSWORD), clinic.log_in(email, PASSWORD)
    assert clinic.http.post("/api/auth/logout", headers=phone).status_code == 204
    assert [status_of_token(clinic, headers) for headers in (phone, laptop, other)] == [401, 401, 200]
    assert status_of_token(clinic, clinic.log_in(email, PASSWORD)) == 200


def test_changing_the_password_revokes_tokens_and_the_old_password(clinic: Clinic) -> None:
    email = new_account(clinic)
    token = clinic.log_in(email, PASSWORD)
    change = {"currentPassword": PASSWORD, "newPassword": "another fine secret"}
    assert clinic.http.post("/api/auth/password", json=change, headers=token).status_code == 204
    assert status_of_token(clinic, token) == 401
    problem(log_in(clinic, email), 401, "invalid-credentials")
    assert log_in(clinic, email, "another fine secret").status_code == 200


def test_the_password_is_not_changed_without_the_current_one(clinic: Clinic) -> None:
    token = clinic.patient()
    change = {"currentPassword": "not my secret", "newPassword": "another fine secret"}
    problem(clinic.http.post("/api/auth/password", json=change, headers=token), 401, "invalid-credentials")
    assert status_of_token(clinic, token) == 200


def test_the_current_password_cannot_be_guessed_with_a_stolen_token(clinic: Clinic) -> None:
    token = clinic.patient()
    change = {"currentPassword": "a guess, and wrong", "newPassword": "another fine secret"}
    answers = [clinic.http.post("/api/auth/password", json=change, headers=token) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0


@pytest.mark.parametrize(("method", "path"), [("GET", "me"), ("POST", "logout"), ("POST", "password")])
def test_accounts_are_closed_to_strangers(clinic: Clinic, method: str, path: str) -> None:
    answer = clinic.http.request(method, f"/api/auth/{path}", json=None if method == "GET" else {})
    problem(answer, 401, "not-authenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_deactivation_revokes_tokens_and_activation_allows_log_in_again(clinic: Clinic) -> None:
    email, database_url = new_account(clinic), clinic.server.database_url
    token = clinic.log_in(email, PASSWORD)
    assert slotwise(database_url, "user", "deactivate", email).returncode == 0
    assert status_of_token(clinic, token) == 401
    closed = log_in(clinic, email)
    assert closed.status_code == 401
    assert closed.json() == log_in(clinic, unique_email()).json(), "it shows that the password was right"
    assert slotwise(database_url, "user", "activate", email.upper()).returncode == 0
    assert status_of_token(clinic, token) == 401
    assert status_of_token(clinic, clinic.log_in(email, PASSWORD)) == 200


def test_a_change_of_role_revokes_tokens_and_the_next_token_has_the_new_rights(clinic: Clinic) -> None:
    email, database_url = new_account(clinic), clinic.server.database_url
    before = clinic.log_in(email, PASSWORD)
    problem(clinic.http.get("/api/bookings", headers=before), 403, "not-allowed")
    assert slotwise(database_url, "user", "set-role", email, "staff").returncode == 0
    problem(clinic.http.get("/api/bookings", headers=before), 401)
    assert clinic.http.get("/api/bookings", headers=clinic.log_in(email, PASSWORD)).status_code == 200


def test_an_operator_sets_a_forgotten_password(clinic: Clinic) -> None:
    email = new_account(clinic)
    token = clinic.log_in(email, PASSWORD)
    done = slotwise(clinic.server.database_url, "user", "set-password", email, "--password", "given at the desk")
    assert done.returncode == 0, done.stderr
    assert status_of_token(clinic, token) == 401
    assert log_in(clinic, email, "given at the desk").status_code == 200


def test_an_unknown_email_gets_the_same_answer_as_a_wrong_password(clinic: Clinic) -> None:
    wrong, unknown = log_in(clinic, new_account(clinic), "not my secret"), log_in(clinic, unique_email())
    assert (wrong.status_code, wrong.content) == (unknown.status_code, unknown.content)
    passing = {"x-request-id", "date"}
    assert {n: v for n, v in wrong.headers.items() if n not in passing} == {
        n: v for n, v in unknown.headers.items() if n not in passing
    }


def test_an_unknown_email_takes_as_long_as_a_wrong_password(clinic: Clinic) -> None:
    """Compares the shortest of several times, taken in turn: noise never makes an answer shorter than its hash takes.

    A busy machine may need more tries.
    """

    def seconds(typed: str) -> float:
        started = time.perf_counter()
        problem(log_in(clinic, typed, "not my secret"), 401)
        return time.perf_counter() - started

    pairs: list[tuple[float, float]] = []
    known, unknown = 0.0, 1.0
    while not known / 2 < unknown < known * 2:
        assert len(pairs) < 80, (known, unknown)
        email = new_account(clinic)  # another one: after ten failures an account is closed for a while
        pairs += [(seconds(email), seconds(unique_email())) for _ in range(8)]
        known, unknown = map(min, zip(*pairs, strict=True))


@pytest.mark.parametrize(
    "email", ["", " ", "no address", "a\x00b@example.org", "a" * 5000, "' OR 1=1 --", "\u202e@x.org"]
)
def test_a_log_in_with_any_text_as_email_is_refused_cleanly(clinic: Clinic, email: str) -> None:
    answer = log_in(clinic, email)
    if "\x00" in email:
        problem(answer, 400, "invalid-input", field="email")
    else:
        problem(answer, 401, "invalid-credentials")


def test_ten_failures_lock_an_account_for_one_ip_for_a_while(clinic: Clinic) -> None:
    email, other = new_account(clinic), new_account(clinic)
    assert [log_in(clinic, email, "a wrong guess").status_code for _ in range(10)] == [401] * 10
    closed = log_in(clinic, email)
    problem(closed, 429, "too-many-logins")
    assert 0 < int(closed.headers["retry-after"]) <= 15 * 60
    problem(log_in(clinic, email.upper()), 429)
    problem(log_in(clinic, email, **{"X-Forwarded-For": "203.0.113.7"}), 429)
    assert log_in(clinic, other).status_code == 200


def test_a_success_before_the_limit_starts_the_count_anew(clinic: Clinic) -> None:
    email = new_account(clinic)
    for _ in range(2):
        assert [log_in(clinic, email, "a wrong guess").status_code for _ in range(9)] == [401] * 9
        assert log_in(clinic, email).status_code == 200


def at_the_same_instant(clinic: Clinic, email: str, password: str, times: int) -> list[int]:
    """The statuses of log-ins that start together at a barrier, each over its own connection."""
    barrier = Barrier(times)

    def enter(_: int) -> int:
        with Clinic(clinic.server) as another:
            assert another.http.get("/health").status_code == 200
            barrier.wait()
            return log_in(another, email, password).status_code

    with ThreadPoolExecutor(times) as threads:
        return sorted(threads.map(enter, range(times)))


def test_simultaneous_guesses_at_two_workers_count_together(clinic: Clinic) -> None:
    assert at_the_same_instant(clinic, new_account(clinic), "a wrong guess", 20) == [401] * 10 + [429] * 10


def test_simultaneous_right_passwords_do_not_count_as_failures(clinic: Clinic) -> None:
    assert at_the_same_instant(clinic, new_account(clinic), PASSWORD, 24) == [200] * 24


@pytest.mark.slow  # two servers of its own: six CPU seconds
def test_the_limit_survives_a_restart(start_server: Callable[..., RunningServer]) -> None:
    first = start_server(WORKERS="2")
    with Clinic(first) as clinic:
        email = new_account(clinic)
        assert [log_in(clinic, email, "a wrong guess").status_code for _ in range(10)] == [401] * 10
    first.process.terminate()
    first.process.wait(PATIENCE_SECONDS)
    with Clinic(start_server()) as clinic:
        problem(log_in(clinic, email), 429, "too-many-logins")


# What is not accepted as a token


def secret_of(server: RunningServer) -> str:
    return (server.log.parent / "data" / "jwt_secret").read_text().strip()


def encoded(part: dict[str, Any]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")


def forged(header: dict[str, Any], claims: dict[str, Any], secret: str | None) -> str:
    """Signed by hand, because libraries refuse to sign most of these."""
    signed = encoded(header) + b"." + encoded(claims)
    signature = b"" if secret is None else hmac.digest(secret.encode(), signed, hashlib.sha256)
    return (signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()


HEADER = {"alg": "HS256", "typ": "at+jwt"}
JWK = {"kty": "oct", "k": "YXR0YWNrZXI"}
NOW = int(time.time())

FORGERIES: dict[str, Callable[[dict[str, Any], str], str]] = {
    **{
        f"alg {alg!r}": lambda claims, _, alg=alg: forged(HEADER | {"alg": alg}, claims, None)  # type: ignore[misc]  # bound by a default, which a lambda cannot annotate
        for alg in ("none", "None", "NONE", "nOnE", "", None, "HS256 ", ["none"])
    },
    "alg none with a right signature": lambda claims, secret: forged(HEADER | {"alg": "none"}, claims, secret),
    "alg missing": lambda claims, secret: forged({"typ": "at+jwt"}, claims, secret),
    "alg HS512": lambda claims, secret: jwt.encode(claims, secret, "HS512", {"typ": "at+jwt"}),
    "alg RS256 over a shared secret": lambda claims, secret: forged(HEADER | {"alg": "RS256"}, claims, secret),
    "no signature": lambda claims, _: forged(HEADER, claims, None),
    "another secret": lambda claims, _: forged(HEADER, claims, "another secret of thirty-two bytes"),
    "an empty secret": lambda claims, _: forged(HEADER, claims, ""),
    "a key of its own": lambda claims, _: forged(HEADER | {"jwk": JWK}, claims, "attacker"),
    "a key elsewhere": lambda claims, _: forged(
        HEADER | {"jku": "http://127.0.0.1:1/", "kid": "1"}, claims, "attacker"
    ),
    "a key in a file": lambda claims, _: forged(HEADER | {"kid": "../../../dev/null"}, claims, ""),
    "expired": lambda claims, secret: forged(HEADER, claims | {"exp": NOW - 1}, secret),
    "not yet valid": lambda claims, secret: forged(HEADER, claims | {"nbf": NOW + 3600}, secret),
    "issued tomorrow": lambda claims, secret: forged(HEADER, claims | {"iat": NOW + 86400}, secret),
    "expiry that is no number": lambda claims, secret: forged(HEADER, claims | {"exp": "never"}, secret),
    "another audience": lambda claims, secret: forged(HEADER, claims | {"aud": "another-api"}, secret),
    "more audiences than ours": lambda claims, secret: forged(HEADER, claims | {"aud": [claims["aud"], "x"]}, secret),
    "another issuer": lambda claims, secret: forged(HEADER, claims | {"iss": "somebody"}, secret),
    "another type": lambda claims, secret: forged(HEADER | {"typ": "JWT"}, claims, secret),
    "no type": lambda claims, secret: forged({"alg": "HS256"}, claims, secret),
    "another version": lambda claims, secret: forged(HEADER, claims | {"ver": claims["ver"] + 1}, secret),
    "nobody's": lambda claims, secret: forged(HEADER, claims | {"sub": "999999999"}, secret),
    "a subject that is no id": lambda claims, secret: forged(HEADER, claims | {"sub": "1 OR 1=1"}, secret),
    **{
        f"no {claim}": lambda claims, secret, claim=claim: forged(  # type: ignore[misc]  # as above
            HEADER, {name: value for name, value in claims.items() if name != claim}, secret
        )
        for claim in ("iss", "aud", "sub", "iat", "exp", "ver")
    },
}


@pytest.fixture
def claims(clinic: Clinic) -> dict[str, Any]:
    """The claims of a valid token."""
    token = clinic.patient()["Authorization"].removeprefix("Bearer ")
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded


def test_these_tests_can_sign_a_valid_token(clinic: Clinic, claims: dict[str, Any]) -> None:
    """Otherwise the refusals below would prove nothing."""
    token = forged(HEADER, claims, secret_of(clinic.server))
    assert status_of_token(clinic, {"Authorization": f"Bearer {token}"}) == 200


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_or_stale_token_is_refused(
    clinic: Clinic, claims: dict[str, Any], forgery: Callable[[dict[str, Any], str], str]
) -> None:
    headers = {"Authorization": f"Bearer {forgery(claims, secret_of(clinic.server))}"}
    problem(clinic.http.get("/api/auth/me", headers=headers), 401, "not-authenticated")


@pytest.mark.parametrize(
    "authorization",
    [
        b"Bearer",
        b"Bearer x",
        b"Bearer a.b.c",
        b"Bearer ....",
        b"Bearer e30.e30.e30",
        b"Bearer \xff\xfe",
        b"Bearer " + b"a" * 20_000,
        b"Bearer " + b"." * 2000,
        b"Basic YWRtaW46YWRtaW4=",
        b"Token x",
        b"Digest username=admin",
    ],
    ids=lambda value: value[:20].decode("latin-1"),
)
@pytest.mark.parametrize("path", ["/api/auth/me", "/api/doctors", "/api/slots"])
def test_an_invalid_token_is_refused_even_on_public_routes(clinic: Clinic, authorization: bytes, path: str) -> None:
    problem(clinic.http.get(path, headers=[(b"Authorization", authorization)]), 401, "not-authenticated")


def test_a_token_with_one_character_changed_is_refused(clinic: Clinic) -> None:
    token = clinic.patient()["Authorization"]
    for place in (10, len(token) // 2, len(token) - 8):
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        problem(clinic.http.get("/api/auth/me", headers={"Authorization": changed}), 401)


def test_a_token_in_the_url_does_not_count(clinic: Clinic) -> None:
    token = clinic.patient()["Authorization"].removeprefix("Bearer ")
    problem(clinic.http.get("/api/auth/me", params={"access_token": token, "token": token}), 401)
