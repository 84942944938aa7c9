"""Accounts below HTTP: what the tables store, and what happens at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from argon2 import PasswordHasher
from msgspec.structs import replace

from slotwise.db.pool import Database
from slotwise.domain.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidInput,
    LastAdmin,
    NotAuthenticated,
    TooManyLogins,
)
from slotwise.domain.users import Role, User
from slotwise.services.accounts import users as user_cases
from slotwise.services.accounts.passwords import DECOY, Passwords
from slotwise.services.accounts.tokens import AccessTokens
from slotwise.services.accounts.users import UserQuery, Users, prune_login_attempts

EMAIL = "ada@example.org"
PASSWORD = "a fine password of Ada's"
CLIENT_IP = "192.0.2.1"
LAST = 2**62
# Pairs that some function makes equal: `lower` or `upper` of a database, `str.lower`, `str.casefold`.
LOOKALIKES = [
    ("i@example.org", "\u0130@example.org"),
    ("gro\u00df@example.org", "gro\u1e9e@example.org"),
    ("\u03c3@example.org", "\u03c2@example.org"),
    ("zo\u00eb@example.org", "ZO\u00cb@example.org"),
    ("ss@example.org", "\u017fs@example.org"),
]

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest_asyncio.fixture
async def users(database: Database) -> AsyncIterator[Users]:
    passwords = Passwords()
    yield Users(database, passwords, AccessTokens("a secret of more than thirty-two bytes", 60))
    passwords.close()


@pytest_asyncio.fixture
async def ada(users: Users) -> User:
    return await users.register("Ada", EMAIL, PASSWORD)


async def test_only_one_of_several_simultaneous_registrations_succeeds(users: Users) -> None:
    emails = (EMAIL, EMAIL.upper(), "Ada@Example.org", EMAIL)
    outcomes = await asyncio.gather(
        *(users.register("Ada", email, PASSWORD) for email in emails), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["EmailTaken"] * 3 + ["User"]


async def test_an_email_is_taken_in_any_case(users: Users, ada: User) -> None:
    with pytest.raises(EmailTaken):
        await users.register("Another", "ADA@example.ORG", PASSWORD)


async def test_only_an_argon2id_hash_of_the_password_is_stored(users: Users, ada: User, connection: Rows) -> None:
    stored = await connection.fetchval("SELECT to_jsonb(u)::text FROM users AS u")
    assert PASSWORD not in stored
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in stored


async def test_ten_failures_lock_the_account_for_that_ip_only(users: Users, ada: User) -> None:
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            await users.log_in(EMAIL, "wrong", CLIENT_IP)
    with pytest.raises(TooManyLogins) as error:
        await users.log_in(EMAIL, PASSWORD, CLIENT_IP)
    assert 0 < error.value.retry_after <= 900
    assert (await users.log_in(EMAIL, PASSWORD, "192.0.2.2")).user.id == ada.id


async def test_failures_are_forgotten_after_their_time(
    users: Users, ada: User, database: Database, connection: Rows
) -> None:
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            await users.log_in(EMAIL, "wrong", CLIENT_IP)
    await connection.execute("UPDATE login_attempts SET created_at = created_at - interval '14 minutes'")
    await prune_login_attempts(database)
    with pytest.raises(TooManyLogins) as error:
        await users.log_in(EMAIL, PASSWORD, CLIENT_IP)
    assert error.value.retry_after <= 60
    await connection.execute("UPDATE login_attempts SET created_at = created_at - interval '1 minute'")
    assert (await users.log_in(EMAIL, PASSWORD, CLIENT_IP)).user.id == ada.id
    assert await connection.fetchval("SELECT count(*) FROM login_attempts") == 0


async def test_simultaneous_guesses_count_together(users: Users, ada: User) -> None:
    outcomes = await asyncio.gather(
        *(users.log_in(EMAIL, f"guess {number}", CLIENT_IP) for number in range(25)), return_exceptions=True
    )
    kinds = [type(outcome) for outcome in outcomes]
    assert (kinds.count(InvalidCredentials), kinds.count(TooManyLogins)) == (10, 15)


async def test_a_right_password_does_not_count_as_a_failure_if_the_action_is_refused(
    users: Users, ada: User, connection: Rows
) -> None:
    for _ in range(2):
        with pytest.raises(InvalidCredentials):
            await users.require_password(ada, "wrong")
    await users.require_password(ada, PASSWORD)
    assert await connection.fetchval("SELECT count(*) FROM login_attempts") == 0


async def test_login_attempts_store_no_email_and_no_ip(users: Users, connection: Rows) -> None:
    with pytest.raises(InvalidCredentials):
        await users.log_in("stranger@example.org", "wrong", CLIENT_IP)
    stored = await connection.fetchval("SELECT to_jsonb(a)::text FROM login_attempts AS a")
    assert "stranger" not in stored
    assert CLIENT_IP not in stored


async def test_a_log_in_renews_a_hash_made_with_weaker_parameters(users: Users, ada: User, connection: Rows) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(PASSWORD)
    await connection.execute("UPDATE users SET password_hash = $1", weak)
    session = await users.log_in(EMAIL, PASSWORD, CLIENT_IP)
    assert "m=19456,t=2,p=1" in await connection.fetchval("SELECT password_hash FROM users")
    assert (await users.authenticate(session.access_token)).id == ada.id
    await users.log_in(EMAIL, PASSWORD, CLIENT_IP)


def test_a_log_in_without_an_account_costs_as_much_as_one_with_a_wrong_password() -> None:
    passwords = Passwords()
    passwords.close()
    assert not passwords.is_dated(DECOY)


async def test_an_invalid_hash_matches_no_password(users: Users, ada: User, connection: Rows) -> None:
    for damaged in ("", "!", "$argon2id$", PASSWORD):
        await connection.execute("UPDATE users SET password_hash = $1", damaged)
        with pytest.raises(InvalidCredentials):
            await users.log_in(EMAIL, PASSWORD, f"{CLIENT_IP}{damaged}")


async def test_a_change_of_rights_revokes_tokens_and_is_recorded(users: Users, ada: User, connection: Rows) -> None:
    token = (await users.log_in(EMAIL, PASSWORD, CLIENT_IP)).access_token
    found = await users.find_user(EMAIL.upper())
    assert found is not None
    changed = await users.change_rights("operator", found.id, role=Role.STAFF)
    assert changed is not None
    assert (changed.id, changed.role, changed.active) == (ada.id, Role.STAFF, True)
    with pytest.raises(NotAuthenticated):
        await users.authenticate(token)
    records = await connection.fetch("SELECT actor, subject FROM audit_log WHERE action = 'change_rights'")
    assert [tuple(record) for record in records] == [("operator", f"user:{ada.id}")]
    assert "ada" not in (await connection.fetchval("SELECT jsonb_agg(a)::text FROM audit_log AS a")).lower()


async def test_the_rights_of_an_unknown_account_cannot_be_changed(users: Users, connection: Rows) -> None:
    assert await users.find_user(EMAIL) is None
    assert await users.change_rights("operator", 1, active=False) is None
    assert await users.reset_password("operator", 1, PASSWORD) is False
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == 0


async def test_a_token_does_not_outlive_its_account(users: Users, ada: User, connection: Rows) -> None:
    token = (await users.log_in(EMAIL, PASSWORD, CLIENT_IP)).access_token
    await connection.execute("DELETE FROM users")
    with pytest.raises(NotAuthenticated):
        await users.authenticate(token)


async def test_a_reset_password_is_valid_immediately(users: Users, ada: User) -> None:
    assert await users.reset_password("user:1", ada.id, "another fine password")
    with pytest.raises(InvalidCredentials):
        await users.log_in(EMAIL, PASSWORD, CLIENT_IP)
    assert (await users.log_in(EMAIL, "another fine password", CLIENT_IP)).user.id == ada.id


async def test_an_inactive_admin_is_no_admin(users: Users, connection: Rows) -> None:
    assert not await users.has_admin()
    await users.register("Boss", EMAIL, PASSWORD, Role.ADMIN)
    assert await users.has_admin()
    await connection.execute("UPDATE users SET active = FALSE")
    assert not await users.has_admin()


async def test_the_last_active_admin_stays_an_admin(users: Users, connection: Rows) -> None:
    boss = await users.register("Boss", EMAIL, PASSWORD, Role.ADMIN)
    former = await users.register("Former", "former@example.org", PASSWORD, Role.ADMIN)
    assert await users.change_rights("operator", former.id, active=False)
    changes: list[dict[str, Any]] = [{"role": Role.STAFF}, {"active": False}, {"role": Role.PATIENT, "active": True}]
    for change in changes:
        with pytest.raises(LastAdmin):
            await users.change_rights("operator", boss.id, **change)
    assert await users.change_rights("operator", boss.id, role=Role.ADMIN, active=True)
    assert await users.change_rights("operator", former.id, role=Role.STAFF)
    assert await users.has_admin()


async def test_two_admins_who_demote_each_other_leave_one_admin(
    users: Users, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [(await users.register("Boss", f"boss{n}@example.org", PASSWORD, Role.ADMIN)).id for n in (1, 2)]

    async def demote_each_other() -> list[str]:
        """Both change the other's row before either commits, unless one is made to wait."""
        await connection.execute("UPDATE users SET role = 'admin'")
        outcomes = await asyncio.gather(
            *(users.change_rights("operator", user_id, role=Role.STAFF) for user_id in ids), return_exceptions=True
        )
        return sorted(type(outcome).__name__ for outcome in outcomes)

    await connection.execute(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF new.role = 'staff' THEN PERFORM pg_sleep(0.2); END IF; RETURN new; END $$;"
        " CREATE TRIGGER dawdle BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION dawdle()"
    )
    assert await demote_each_other() == ["LastAdmin", "User"]
    # The negative control: without the queue no admin is left.
    monkeypatch.setattr(user_cases, "QUEUE_RIGHTS", user_cases.HAS_ADMIN)
    assert await demote_each_other() == ["User", "User"]
    assert not await users.has_admin()


async def test_accounts_are_found_by_role_and_text_a_step_at_a_time(
    users: Users, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    boss = await users.register("Boss", EMAIL, PASSWORD, Role.ADMIN)
    await connection.execute(
        "INSERT INTO users (id, email, name, role, password_hash) SELECT 100 + n, 'p' || n || '@example.net',"
        " CASE WHEN n IN (3, 9) THEN 'Rare_Na\u0308me, Zoë' ELSE 'Somebody' END, 'patient', ''"
        " FROM generate_series(1, 10) AS n"
    )
    first = await users.list_users(boss, UserQuery(), LAST, 5)
    assert [user.id for user in first.users] == [110, 109, 108, 107, 106]
    assert first.walked_to is None
    assert [user.id for user in (await users.list_users(boss, UserQuery(Role.ADMIN), LAST, 5)).users] == [boss.id]
    monkeypatch.setattr(user_cases, "STEP", 4)
    found, before = [], LAST
    while True:
        page = await users.list_users(boss, UserQuery(text="zoe\u0308 RARE_NAME"), before, 5)
        found.append([user.id for user in page.users])
        if page.walked_to is None:
            break
        before = page.walked_to
    assert found[:3] == [[109], [103], []]
    assert not any(found[3:])
    # The few accounts of staff are all searched at once, however many patients are newer.
    of_role = await users.list_users(boss, UserQuery(Role.ADMIN, "boss"), LAST, 5)
    assert ([user.id for user in of_role.users], of_role.walked_to) == ([boss.id], None)
    of_patients = await users.list_users(boss, UserQuery(Role.PATIENT, "rare_name"), LAST, 5)
    assert ([user.id for user in of_patients.users], of_patients.walked_to) == ([109], 107)
    notes = await connection.fetch("SELECT details::text FROM audit_log WHERE action = 'list_users' ORDER BY id")
    assert [note[0] for note in notes[:3]] == [
        '{"users": 4}',
        '{"role": "admin", "users": 1}',
        '{"text": true, "users": 1}',
    ]


async def test_a_bad_registration_stores_nothing(users: Users, connection: Rows) -> None:
    for name, email, password in (("", EMAIL, PASSWORD), ("Ada", "x", PASSWORD), ("Ada", EMAIL, "short")):
        with pytest.raises(InvalidInput):
            await users.register(name, email, password)
    assert await connection.fetchval("SELECT count(*) FROM users") == 0


async def test_a_log_in_with_the_old_password_gives_no_token_that_outlives_the_change(
    database: Database, users: Users, ada: User
) -> None:
    """The password changes after the old one was checked and before the token is issued."""

    class ChangesMeanwhile(Passwords):
        async def verify(self, password_hash: str | None, password: str) -> bool:
            right = await super().verify(password_hash, password)
            await users.change_password(ada, PASSWORD, "quite another password")
            return right

    slow = Users(database, ChangesMeanwhile(), AccessTokens("a secret of more than thirty-two bytes", 60))
    session = await slow.log_in(EMAIL, PASSWORD, CLIENT_IP)
    with pytest.raises(NotAuthenticated):
        await users.authenticate(session.access_token)


async def test_another_spelling_of_an_email_gives_no_more_guesses(users: Users) -> None:
    await users.register("Kiwi", "victim.kiwi@example.org", PASSWORD)
    for _ in range(10):
        with pytest.raises(InvalidCredentials):
            await users.log_in("victim.kiwi@example.org", "wrong", CLIENT_IP)
    with pytest.raises(TooManyLogins):
        await users.log_in("VICTIM.KIWI@example.org", PASSWORD, CLIENT_IP)


@pytest.mark.parametrize(("known", "similar"), LOOKALIKES)
async def test_an_email_that_folds_to_another_is_another_account(users: Users, known: str, similar: str) -> None:
    """Some databases fold a dotted capital I to i, and some Unicode letters to others."""
    first = await users.register("First", known, PASSWORD)
    assert await users.find_user(similar) is None
    with pytest.raises(InvalidCredentials):
        await users.log_in(similar, PASSWORD, CLIENT_IP)
    second = await users.register("Second", similar, f"{PASSWORD} too")
    assert (await users.log_in(similar, f"{PASSWORD} too", CLIENT_IP)).user.id == second.id != first.id
    receptionist = replace(first, was_desk=True)
    assert receptionist.owns(first.id, known.upper() if known.isascii() else known)
    assert not receptionist.owns(first.id, similar)
