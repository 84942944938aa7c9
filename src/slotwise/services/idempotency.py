"""Idempotency keys: one effect and one answer per key, kept with the effect in one transaction.

After draft-ietf-httpapi-idempotency-key-header. Refusals are kept like successes: a key names one attempt.
"""

import hashlib
from collections.abc import Sequence

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement

KEEP_SECONDS = 24 * 3600
PRUNE_LIMIT = 10_000


class IdempotencyKey(Struct, frozen=True):
    """Which attempt this is. Hashes, because a guest's key opens the stored answer and so is a secret."""

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


class StoredAnswer(Struct, frozen=True):
    position: int
    body_hash: bytes
    answer: str
    manage_nonce: bytes


class Kept(Struct, frozen=True):
    kept: int


class Pruned(Struct, frozen=True):
    pruned: int


FIND_ANSWERS = Statement("idempotency.find_answers", StoredAnswer)
REMEMBER_ANSWERS = Statement("idempotency.remember_answers", Kept)
PRUNE_ANSWERS = Statement("idempotency.prune_answers", Pruned)


class AnsweredMeanwhile(Exception):
    """Another worker used one of these keys since we looked. The batch rolls back and looks again."""


async def find_answers(connection: Connection, keys: Sequence[IdempotencyKey | None]) -> list[StoredAnswer | None]:
    """What was answered before to each of `keys`; None where there was no key or it is new."""
    answers: list[StoredAnswer | None] = [None] * len(keys)
    places = [place for place, key in enumerate(keys) if key is not None]
    known = [key for key in keys if key is not None]
    if not known:
        return answers
    found = await FIND_ANSWERS.all(
        connection,
        callers=[key.caller for key in known],
        routes=[key.route for key in known],
        key_hashes=[key.key_hash for key in known],
        keep_seconds=KEEP_SECONDS,
    )
    for answer in found:
        answers[places[answer.position - 1]] = answer
    return answers


async def remember_answers(connection: Connection, answers: Sequence[tuple[IdempotencyKey, str, bytes]]) -> None:
    """Keep (key, answer, manage nonce) triples; raise `AnsweredMeanwhile` unless all of them are new."""
    if not answers:
        return
    kept = await REMEMBER_ANSWERS.all(
        connection,
        callers=[key.caller for key, _, _ in answers],
        routes=[key.route for key, _, _ in answers],
        key_hashes=[key.key_hash for key, _, _ in answers],
        body_hashes=[key.body_hash for key, _, _ in answers],
        answers=[answer for _, answer, _ in answers],
        manage_nonces=[nonce for _, _, nonce in answers],
        keep_seconds=KEEP_SECONDS,
    )
    if len(kept) != len(answers):
        raise AnsweredMeanwhile


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
