"""Password hashing: argon2id with OWASP's parameters, a bounded number at a time."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from slotwise.domain.errors import InvalidInput, Overloaded
from slotwise.domain.fields import clean_password

MAX_WAITING = 64
# The hash of a password that was thrown away, with the parameters below. Making one takes 25 ms of each start.
DECOY = "$argon2id$v=19$m=19456,t=2,p=1$KLLQ8wo88AL9Rx6QatlF3w$srzn+3dKCOLAbt0+6XVcTjDmROTn+GMmu4DHBQ7BaTc"

Result = TypeVar("Result")


class Passwords:
    """One thread hashes: each hash takes 19 MiB and a core for about 20 ms, and log-ins must not starve bookings."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19456, parallelism=1)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="argon2")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        return await self._run(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password has this hash. Without a hash (no such account) it takes the same time and is False."""
        right = await self._run(self._verify, password_hash or DECOY, password)
        return right and password_hash is not None

    def is_dated(self, password_hash: str) -> bool:
        """Whether a hash was made with other parameters than the current ones."""
        return self._hasher.check_needs_rehash(password_hash)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    def require_room(self) -> None:
        """Raise `Overloaded` when no more hashes may wait."""
        if self._waiting >= MAX_WAITING:
            raise Overloaded

    async def _run(self, work: Callable[..., Result], *arguments: str) -> Result:
        self.require_room()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        finally:
            self._waiting -= 1


def new_password(field: str, text: str) -> str:
    """The password, if it may be chosen: long enough, and not among the 30,000 that attackers try first."""
    password = clean_password(field, text)
    if password.lower() in _common_passwords():
        raise InvalidInput.of(field, "is among the most common passwords; choose another")
    return password


def random_password() -> str:
    """A password for another person: 96 random bits, to be shown once."""
    return secrets.token_urlsafe(12)


@cache
def _common_passwords() -> frozenset[str]:
    """Read when the first password is chosen: importing them takes a tenth of a worker's start."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 - see above

    return frozenset(FREQUENCY_LISTS["passwords"])
