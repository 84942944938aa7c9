"""The use cases of accounts: who a user is and what they may do."""

import asyncio
import hashlib
from collections.abc import Callable
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from slotwise.batching.batched_reads import BatchedReads
from slotwise.db.pool import Connection, Database
from slotwise.db.search_patterns import containing
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.errors import (
    EmailTaken,
    InvalidCredentials,
    InvalidInput,
    LastAdmin,
    NotAuthenticated,
    TooManyLogins,
)
from slotwise.domain.fields import clean_email, clean_name, email_key
from slotwise.domain.users import LimitedUser, Role, User, actor_of
from slotwise.services.accounts.passwords import Passwords, new_password
from slotwise.services.accounts.tokens import AccessTokens
from slotwise.services.core.audit import changes, record_action

MAX_FAILED_LOGINS = 10
LOGIN_WINDOW_SECONDS = 15 * 60
# How many accounts are searched for a text at a time, in about a tenth of a second.
STEP = 100_000


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


class UserQuery(Struct, frozen=True):
    """What an admin searches for. Each word of `text` is searched for inside names and e-mail addresses."""

    role: Role | None = None
    text: str | None = None

    def outline(self) -> dict[str, object]:
        """What is set, for the audit log. A text may be a name, so only its presence is recorded."""
        return ({"role": self.role} if self.role else {}) | ({"text": True} if self.text else {})


class FoundUsers(Struct, frozen=True):
    """Newest first. If the search ended early, `walked_to` is the id below which there may be more; otherwise None."""

    users: list[User]
    walked_to: int | None = None


CREATE_USER = Statement("accounts/users.create_user", User)
GET_USER = Statement("accounts/users.get_user", User)
GET_USERS = Statement("accounts/users.get_users", User)
GET_CREDENTIALS = Statement("accounts/users.get_credentials", Credentials)
GET_PASSWORD_HASH = Statement("accounts/users.get_password_hash", PasswordHash)
CHANGE_PASSWORD = Statement("accounts/users.change_password", UserId)
RESET_PASSWORD = Statement("accounts/users.reset_password", UserId)
REHASH_PASSWORD = Statement("accounts/users.rehash_password", UserId)
REVOKE_TOKENS = Statement("accounts/users.revoke_tokens", UserId)
CHANGE_RIGHTS = Statement("accounts/users.change_rights", User)
FIND_USER = Statement("accounts/users.find_user", User)
FIND_NEWEST_USER = Statement("accounts/users.find_newest_user", UserId)
LIST_USERS = Statement("accounts/users.list_users", User)
QUEUE_RIGHTS = Statement("accounts/users.queue_rights", NoRow)
HAS_ADMIN = Statement("accounts/users.has_admin", Found)
QUEUE_LOGIN = Statement("accounts/users.queue_login", NoRow)
COUNT_FAILED_LOGINS = Statement("accounts/users.count_failed_logins", FailedLogins)
RECORD_LOGIN_ATTEMPT = Statement("accounts/users.record_login_attempt", NoRow)
FORGET_LOGIN_ATTEMPTS = Statement("accounts/users.forget_login_attempts", NoRow)
PRUNE_LOGIN_ATTEMPTS = Statement("accounts/users.prune_login_attempts", NoRow)


class Users:
    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        tokens: AccessTokens,
        limits_of: Callable[[int], frozenset[int] | None] = lambda _: None,
    ) -> None:
        """`limits_of` gives the clinics that an account works for, by its id; None for all."""
        self._database = database
        self._limits_of = limits_of
        self._passwords = passwords
        self._tokens = tokens
        self._accounts = BatchedReads(self._read_accounts)
        self._turns: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def register(
        self, name: str, email: str, password: str, role: Role = Role.PATIENT, actor: str | None = None
    ) -> User:
        """Create an account; without `actor`, its owner does, as patients do. Raises `EmailTaken`, `InvalidInput`."""
        name, email = clean_name("name", name), clean_email("email", email)
        password_hash = await self._passwords.hash(new_password("password", password))
        async with self._database.transaction() as connection:
            user = await CREATE_USER.first(connection, name=name, email=email, role=role, password_hash=password_hash)
            if user is None:
                raise EmailTaken
            await record_action(connection, actor or actor_of(user), "create_user", actor_of(user), {"role": role})
        return user

    async def log_in(self, email: str, password: str, client_ip: str) -> Session:
        """Raises `InvalidCredentials`, `TooManyLogins` and `InvalidInput`.

        Without an account, it raises `InvalidCredentials` in the same words and the same time.
        """
        email = _typed_email(email)
        credentials = await self._find_credentials(email)
        # Attempts are counted by account if there is one, because an e-mail address can be spelled in many ways.
        account = _login_key(f"user:{credentials.id}" if credentials else f"email:{email_key(email)}", client_ip)
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
        user = await self._accounts.read(claims.user_id)
        if user is None or not user.active or user.token_version != claims.version:
            raise NotAuthenticated
        return LimitedUser.of(user, self._limits_of(user.id))

    async def _read_accounts(self, user_ids: list[int]) -> dict[int, User]:
        async with self._database.connection() as connection:
            return {user.id: user for user in await GET_USERS.all(connection, user_ids=user_ids)}

    def account_named_by(self, token: str) -> int | None:
        """The id of the account that a token names, valid or not. It proves no right to anything."""
        return self._tokens.account_named_by(token)

    async def log_out(self, user: User) -> None:
        """Revoke every token of the account, on all devices."""
        async with self._database.transaction() as connection:
            await REVOKE_TOKENS.run(connection, user_id=user.id)

    async def change_password(self, user: User, current: str, new: str) -> None:
        """Revokes every token. Raises `InvalidCredentials` if `current` is wrong."""
        chosen = new_password("new_password", new)
        old_password_hash = await self.require_password(user, current)
        password_hash = await self._passwords.hash(chosen)
        async with self._database.transaction() as connection:
            changed = await CHANGE_PASSWORD.first(
                connection, user_id=user.id, password_hash=password_hash, old_password_hash=old_password_hash
            )
            if changed is None:  # the password was changed since it was checked
                raise InvalidCredentials

    async def require_password(self, user: User, password: str) -> str:
        """Check the account's password. Returns its hash, so that the caller can act only if it is still the same.

        Counts as a failed attempt until the password is found right, whatever the caller then does. Raises
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

    async def find_user(self, email: str) -> User | None:
        async with self._database.connection() as connection:
            return await FIND_USER.first(connection, email=clean_email("email", email))

    async def get_user(self, reader: User, user_id: int) -> User | None:
        """An account, for an admin; None if there is none."""
        async with self._database.connection() as connection:
            user = await GET_USER.first(connection, user_id=user_id)
            if user is not None and user.id != reader.id:
                await record_action(connection, actor_of(reader), "get_user", actor_of(user))
        return user

    async def list_users(self, reader: User, query: UserQuery, before_id: int, limit: int) -> FoundUsers:
        """Newest first. A text is searched for in `STEP` accounts of patients; `walked_to` says where to continue."""
        async with self._database.connection() as connection:
            floor = await _floor_of(connection, query, before_id)
            found = await LIST_USERS.all(
                connection,
                role=query.role,
                pattern=containing(query.text),
                floor_id=floor,
                before_id=before_id,
                limit=limit,
            )
            details = query.outline() | {"users": min(len(found), limit - 1)}
            await record_action(connection, actor_of(reader), "list_users", "users", details)
        return FoundUsers(found, floor if len(found) < limit and floor > 0 else None)

    async def change_rights(
        self, actor: str, user_id: int, role: Role | None = None, active: bool | None = None
    ) -> User | None:
        """Set an account's role and activity, and revoke its tokens; None if there is none. Raises `LastAdmin`."""
        async with self._database.transaction() as connection:
            await QUEUE_RIGHTS.run(connection)
            before = await GET_USER.first(connection, user_id=user_id)
            user = await CHANGE_RIGHTS.first(connection, user_id=user_id, role=role, active=active)
            if user is not None:
                details = changes(before, user, "role", "active")
                await record_action(connection, actor, "change_rights", actor_of(user), details)
            elif before is not None:
                raise LastAdmin
        return user

    async def reset_password(self, actor: str, user_id: int, password: str, token_version: int | None = None) -> bool:
        """For a user who forgot their password. Revokes every token, which increases the account's token version.

        False if there is no account or, with `token_version`, if its version is another: so a request that is sent
        again does nothing.
        """
        password_hash = await self._passwords.hash(new_password("password", password))
        async with self._database.transaction() as connection:
            changed = await RESET_PASSWORD.first(
                connection, user_id=user_id, password_hash=password_hash, token_version=token_version
            )
            if changed is not None:
                await record_action(connection, actor, "reset_password", f"user:{user_id}")
        return changed is not None

    async def has_admin(self) -> bool:
        async with self._database.connection() as connection:
            return (await HAS_ADMIN.one(connection)).found

    def _turn_of(self, account: bytes) -> asyncio.Lock:
        """One attempt at a time on an account from one IP: attempts that are still being checked count as failed, so
        ten others at once would lock out a right password."""
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
        # The version that was read with the hash: if the password was changed meanwhile, this token is already revoked.
        user = msgspec.structs.replace(user, token_version=credentials.token_version)
        return Session(self._tokens.issue(user), self._tokens.seconds, user)


def _typed_email(text: str) -> str:
    """The e-mail address as it is stored. Other text matches no account, and is refused like a wrong password."""
    try:
        return clean_email("email", text)
    except InvalidInput:
        if "\x00" in text:
            raise
        return text


async def _floor_of(connection: Connection, query: UserQuery, before_id: int) -> int:
    """The id at which a search ends. Only a search for a text in patients' accounts, which are many, ends early."""
    if not query.text or query.role not in {None, Role.PATIENT}:
        return 0
    newest = await FIND_NEWEST_USER.one(connection, before_id=before_id)
    return max(0, newest.id + 1 - STEP)


async def _store_rehash(connection: Connection, credentials: Credentials, password_hash: str) -> None:
    await REHASH_PASSWORD.run(
        connection,
        user_id=credentials.id,
        password_hash=password_hash,
        old_password_hash=credentials.password_hash,
    )


async def prune_login_attempts(database: Database) -> None:
    """Remove failures that no longer count."""
    async with database.connection() as connection:
        await PRUNE_LOGIN_ATTEMPTS.run(connection, window_seconds=LOGIN_WINDOW_SECONDS)


def password_attempts_of(user_id: int) -> bytes:
    """The key under which attempts with a password beside an access token are counted, from all IPs together."""
    return _login_key(f"user:{user_id}", "change-password")


def _login_key(account: str, source: str) -> bytes:
    return hashlib.sha256(f"{account}\n{source}".encode()).digest()
