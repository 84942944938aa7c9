"""By which e-mail addresses are compared: one meaning, whatever the locale of the database."""

import random
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from slotwise.db.schema import migrations
from slotwise.domain.fields import email_key
from tests.clusters import execute
from tests.db.test_migrations import dbmate, empty_url, user

__all__ = ["empty_url"]

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Of the planes with letters that have cases.
CHARACTERS = [chr(point) for point in range(1, 0x20000) if not 0xD800 <= point < 0xE000]
SEED = 12


def texts() -> list[str]:
    """Each character once in its place, and once at a random one, because some fold by what stands beside them."""
    mixed = random.Random(SEED).sample(CHARACTERS, len(CHARACTERS))
    return [
        "".join(all_of_them[n : n + 2000]) for all_of_them in (CHARACTERS, mixed) for n in range(0, 1_112_063, 2000)
    ]


async def test_the_database_and_the_server_compare_every_text_alike(connection: Connection) -> None:
    rows = await connection.fetch("SELECT email_key(t) AS key FROM unnest($1::text[]) AS t", texts())
    assert [row["key"] for row in rows] == [email_key(text) for text in texts()]


async def test_no_two_accounts_have_an_email_that_differs_in_case_alone(connection: Connection) -> None:
    """The index has `lower(email)`, which is `email_key(email)` by the column's collation."""
    await connection.execute(user("ada@example.org", "patient"))
    await connection.execute(user("\u0130ris@example.org", "patient") + ";" + user("iris@example.org", "patient"))
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute(user("ADA@example.org", "patient"))


async def test_the_release_before_still_adds_accounts(connection: Connection) -> None:
    added = user("ada@example.org", "patient") + " ON CONFLICT ((lower(email))) DO NOTHING"
    assert [await connection.execute(added) for _ in range(2)] == ["INSERT 0 1", "INSERT 0 0"]


async def test_accounts_that_were_two_in_the_locale_before_are_named_by_number(empty_url: str, tmp_path: Path) -> None:
    """By the Turkish locale, I and i are two letters. The tests' PostgreSQL has none, so the index is dropped."""
    before, now = migrations()[:2]
    (tmp_path / before.name.rpartition("/")[2]).write_text(before.text)
    assert dbmate(empty_url, tmp_path).returncode == 0
    (tmp_path / now.name.rpartition("/")[2]).write_text(now.text)
    await execute(empty_url, "DROP INDEX user_email_unique")
    await execute(empty_url, *(user(f"{name}@example.org", "patient") for name in ("ada", "iris", "Iris")))
    failed = dbmate(empty_url, tmp_path)
    assert "accounts 2 and 3 have one e-mail address but for case" in failed.stderr
    assert "@example.org" not in failed.stderr
    index = "CREATE UNIQUE INDEX user_email_unique ON users (lower(email))"
    await execute(empty_url, "DELETE FROM users WHERE id = 3", index)
    assert dbmate(empty_url, tmp_path).returncode == 0
