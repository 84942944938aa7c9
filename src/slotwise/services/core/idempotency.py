"""Idempotency keys: one effect and one answer per key, kept with the effect in one transaction.

Follows draft-ietf-httpapi-idempotency-key-header. Refusals are kept like successes: a key names one attempt.
"""

import hashlib

from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.statements import Statement

KEEP_SECONDS = 24 * 3600
PRUNE_LIMIT = 10_000


class IdempotencyKey(Struct, frozen=True):
    """Which attempt this is. It has hashes, because a guest's key gives access to the stored answer: it is a secret."""

    caller: str
    route: str
    key_hash: bytes
    body_hash: bytes

    @property
    def identity(self) -> tuple[str, str, bytes]:
        return self.caller, self.route, self.key_hash

    @classmethod
    def of(cls, caller: str, route: str, key: str, body: bytes) -> "IdempotencyKey":
        return cls(caller, route, _sha256(key.encode()), _sha256(body))


class Pruned(Struct, frozen=True):
    pruned: int


PRUNE_ANSWERS = Statement("core/idempotency.prune_answers", Pruned)


async def prune_answers(database: Database) -> int:
    """Remove answers older than a day, a bounded number at a time; return how many."""
    total = 0
    while True:
        async with database.connection() as connection:
            pruned = len(await PRUNE_ANSWERS.all(connection, keep_seconds=KEEP_SECONDS, limit=PRUNE_LIMIT))
        total += pruned
        if pruned < PRUNE_LIMIT:
            return total


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
