"""All kinds of callers with their headers: accounts of every role, guests, valid and invalid tokens."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from argon2 import PasswordHasher

from slotwise.domain.users import Role, User
from slotwise.services.accounts.tokens import AccessTokens
from tests.clinic import RunningServer, rows, unique_email

PASSWORD = "everybody's good secret"
NOW = datetime.now(UTC)
_HASH = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1).hash(PASSWORD)
_ADD = (
    "INSERT INTO users (email, name, role, password_hash, active)"
    " SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[]) RETURNING id, token_version"
)

ROLES = {
    "owner": Role.PATIENT,
    "other": Role.PATIENT,
    "doctor": Role.DOCTOR,
    "staff": Role.STAFF,
    # Whoever uses it says for which clinics it works.
    "away": Role.STAFF,
    "admin": Role.ADMIN,
    "disabled": Role.ADMIN,
    "expired": Role.ADMIN,
    "revoked": Role.ADMIN,
}

Headers = Mapping[str, str]


class People(NamedTuple):
    """`headers` has the keys of `ROLES`. The last three were an admin's and are no longer valid."""

    owner_email: str
    headers: dict[str, Headers]


def secret_of(server: RunningServer) -> str:
    return (server.log.parent / "data" / "jwt_secret").read_text().strip()


def new_people(server: RunningServer, owner_name: str) -> People:
    """New accounts that no other test uses, so that a test may log them out, change or erase them."""
    emails = [unique_email() for _ in ROLES]
    names = [owner_name if who == "owner" else "Somebody Else" for who in ROLES]
    active = [who != "disabled" for who in ROLES]
    added = rows(
        server.database_url, _ADD, emails, names, [str(role) for role in ROLES.values()], [_HASH] * len(ROLES), active
    )
    headers = {
        who: _headers(server, User(row["id"], email, name, role, True, row["token_version"], NOW, NOW), who)
        for (who, role), email, name, row in zip(ROLES.items(), emails, names, added, strict=True)
    }
    return People(emails[0], headers)


def _headers(server: RunningServer, user: User, who: str) -> Headers:
    tokens = AccessTokens(secret_of(server), -60 if who == "expired" else 600)
    if who == "revoked":
        rows(server.database_url, "UPDATE users SET token_version = token_version + 1 WHERE id = $1", user.id)
    return {"Authorization": f"Bearer {tokens.issue(user)}"}
