"""The use cases of accounts: who somebody is and what they may do."""

import asyncio
import hashlib
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.errors import EmailTaken, InvalidCredentials, InvalidInput, NotAuthenticated, TooManyLogins
from slotwise.domain.fields import clean_email, clean_name
from slotwise.domain.users import Role, User, actor_of
from slotwise.services.audit import record_action
from slotwise.services.passwords import Passwords, new_password
from slotwise.services.tokens import AccessTokens

MAX_FAILED_LOGINS = 10
LOGIN_WINDOW_SECONDS = 15 * 60


class Credentials(Struct, frozen=True):
    id: int
    password_hash: str
    active: bool
    token_version: int


class PasswordHash(Struct, frozen=True):
    password_hash: str


class UserId(Struct, frozen=True):
    id: int


class Found(Struct, frozen=True):
    found: bool


class FailedLogins(Struct, frozen=True):
    failures: int
    retry_after: int


class Session(Struct, frozen=True):
    """A log-in. `expires_in` is in seconds."""

    access_token: str
    expires_in: int
    user: User


CREATE_USER = Statement("users.create_user", User)
GET_USER = Statement("users.get_user", User)
GET_CREDENTIALS = Statement("users.get_credentials", Credentials)
GET_PASSWORD_HASH = Statement("users.get_password_hash", PasswordHash)
CHANGE_PASSWORD = Statement("users.change_password", UserId)
RESET_PASSWORD = Statement("users.reset_password", UserId)
REHASH_PASSWORD = Statement("users.rehash_password", UserId)
REVOKE_TOKENS = Statement("users.revoke_tokens", UserId)
CHANGE_RIGHTS = Statement("users.change_rights", User)
HAS_ADMIN = Statement("users.has_admin", Found)
QUEUE_LOGIN = Statement("users.queue_login", NoRow)
COUNT_FAILED_LOGINS = Statement("users.count_failed_logins", FailedLogins)
RECORD_LOGIN_ATTEMPT = Statement("users.record_login_attempt", NoRow)
FORGET_LOGIN_ATTEMPTS = Statement("users.forget_login_attempts", NoRow)
PRUNE_LOGIN_ATTEMPTS = Statement("users.prune_login_attempts", NoRow)


class Users:
    def __init__(self, database: Database, passwords: Passwords, tokens: AccessTokens) -> None:
        self._database = database
        self._passwords = passwords
        self._tokens = tokens
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def register(
        self, name: str, email: str, password: str, role: Role = Role.PATIENT, actor: str | None = None
    ) -> User:
        """A new account, made by `actor` or, as a patient does, by its owner. Raises `EmailTaken`, `InvalidInput`."""
        name, email = clean_name("name", name), clean_email("email", email)
        password_hash = await self._passwords.hash(new_password("password", password))
        async with self._database.transaction() as connection:
            user = await CREATE_USER.first(connection, name=name, email=email, role=role, password_hash=password_hash)
            if user is None:
                raise EmailTaken
            await record_action(connection, actor or actor_of(user), "create_user", actor_of(user), {"role": role})
        return user

    async def log_in(self, email: str, password: str, address: str) -> Session:
        """Raises `InvalidCredentials`, alike in words and time whoever exists, `TooManyLogins` and `InvalidInput`."""
        email = _typed_address(email)
        credentials = await self._find_credentials(email)
        # By the account where there is one: an address can be spelled in more ways than we would think of.
        account = _login_key(f"user:{credentials.id}" if credentials else f"email:{email.lower()}", address)
        async with self._turn_of(account):
            self._passwords.require_room()
            await self._count_attempt(account)
            known = credentials.password_hash if credentials else None
            right = await self._passwords.verify(known, password)
            if credentials is None or not right or not credentials.active:
                raise InvalidCredentials
            return await self._open_session(account, credentials, password)

    async def authenticate(self, token: str) -> User:
        """The account of an access token; raises `NotAuthenticated` unless both are still valid."""
        claims = self._tokens.read(token)
        async with self._database.connection() as connection:
            user = await GET_USER.first(connection, user_id=claims.user_id)
        if user is None or not user.active or user.token_version != claims.version:
            raise NotAuthenticated
        return user

    async def log_out(self, user: User) -> None:
        """Revokes every token of the account, on all its devices."""
        async with self._database.transaction() as connection:
            await REVOKE_TOKENS.run(connection, user_id=user.id)

    async def change_password(self, user: User, current: str, new: str) -> None:
        """Revokes every token. Raises `InvalidCredentials` when `current` is wrong."""
        chosen = new_password("new_password", new)
        old_password_hash = await self.require_password(user, current)
        password_hash = await self._passwords.hash(chosen)
        async with self._database.transaction() as connection:
            changed = await CHANGE_PASSWORD.first(
                connection, user_id=user.id, password_hash=password_hash, old_password_hash=old_password_hash
            )
            if changed is None:  # somebody else changed it since it was checked
                raise InvalidCredentials

    async def require_password(self, user: User, password: str) -> str:
        """The hash that the account's password was checked against, for whoever acts on it only while it stays.

        Counts as a failed attempt until it was found right, whatever becomes of what it was given for. Raises
        `InvalidCredentials`, `TooManyLogins` and `Overloaded`.
        """
        attempts = password_attempts_of(user.id)
        self._passwords.require_room()
        await self._count_attempt(attempts)
        async with self._database.connection() as connection:
            stored = await GET_PASSWORD_HASH.one(connection, user_id=user.id)
        if not await self._passwords.verify(stored.password_hash, password):
            raise InvalidCredentials
        async with self._database.connection() as connection:
            await FORGET_LOGIN_ATTEMPTS.run(connection, account_hash=attempts)
        return stored.password_hash

    async def change_rights(
        self, actor: str, email: str, role: Role | None = None, active: bool | None = None
    ) -> User | None:
        """Sets role and activity of the account with that address and revokes its tokens; None if there is none."""
        async with self._database.transaction() as connection:
            user = await CHANGE_RIGHTS.first(connection, email=clean_email("email", email), role=role, active=active)
            if user is not None:
                details = {"role": user.role, "active": user.active}
                await record_action(connection, actor, "change_rights", actor_of(user), details)
        return user

    async def reset_password(self, email: str, password: str) -> bool:
        """As an operator does for somebody who forgot theirs. Revokes every token; False if there is no account."""
        password_hash = await self._passwords.hash(new_password("password", password))
        account = await self._find_credentials(clean_email("email", email))
        if account is None:
            return False
        async with self._database.transaction() as connection:
            await RESET_PASSWORD.run(connection, user_id=account.id, password_hash=password_hash)
            await record_action(connection, "operator", "reset_password", f"user:{account.id}")
        return True

    async def has_admin(self) -> bool:
        async with self._database.connection() as connection:
            return (await HAS_ADMIN.one(connection)).found

    def _turn_of(self, account: bytes) -> asyncio.Lock:
        """One attempt at a time on an account from an address: a right password must not count as ten failures
        because ten others are still being checked."""
        return self._turns.setdefault(account, asyncio.Lock())

    async def _count_attempt(self, account: bytes) -> None:
        async with self._database.transaction() as connection:
            await QUEUE_LOGIN.run(connection, account_hash=account)
            failed = await COUNT_FAILED_LOGINS.one(
                connection, account_hash=account, window_seconds=LOGIN_WINDOW_SECONDS
            )
            if failed.failures >= MAX_FAILED_LOGINS:
                raise TooManyLogins(max(1, failed.retry_after))
            await RECORD_LOGIN_ATTEMPT.run(connection, account_hash=account)

    async def _find_credentials(self, email: str) -> Credentials | None:
        async with self._database.connection() as connection:
            return await GET_CREDENTIALS.first(connection, email=email)

    async def _open_session(self, account: bytes, credentials: Credentials, password: str) -> Session:
        renewed = await self._passwords.hash(password) if self._passwords.is_dated(credentials.password_hash) else None
        async with self._database.transaction() as connection:
            await FORGET_LOGIN_ATTEMPTS.run(connection, account_hash=account)
            if renewed is not None:
                await _store_rehash(connection, credentials, renewed)
            user = await GET_USER.one(connection, user_id=credentials.id)
        # Under the version that was read with the hash: a password changed meanwhile has revoked this token already.
        user = msgspec.structs.replace(user, token_version=credentials.token_version)
        return Session(self._tokens.issue(user), self._tokens.seconds, user)


def _typed_address(text: str) -> str:
    """In the form in which addresses are kept; what is no address is nobody's, and refused like a wrong password."""
    try:
        return clean_email("email", text)
    except InvalidInput:
        if "\x00" in text:
            raise
        return text


async def _store_rehash(connection: Connection, credentials: Credentials, password_hash: str) -> None:
    await REHASH_PASSWORD.run(
        connection,
        user_id=credentials.id,
        password_hash=password_hash,
        old_password_hash=credentials.password_hash,
    )


async def prune_login_attempts(database: Database) -> None:
    """Forget failures that count no longer."""
    async with database.connection() as connection:
        await PRUNE_LOGIN_ATTEMPTS.run(connection, window_seconds=LOGIN_WINDOW_SECONDS)


def password_attempts_of(user_id: int) -> bytes:
    """Under which key attempts count that give the password beside an access token, from wherever they come."""
    return _login_key(f"user:{user_id}", "change-password")


def _login_key(account: str, address: str) -> bytes:
    return hashlib.sha256(f"{account}\n{address}".encode()).digest()
