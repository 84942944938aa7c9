"""By which e-mail addresses are compared: one meaning, whatever the locale of the database."""

from typing import TypeAlias

import asyncpg

from slotwise.domain.fields import email_key

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CHARACTERS = [chr(point) for point in range(1, 0x3400) if not 0xD800 <= point < 0xE000]


async def test_the_database_and_the_server_compare_every_character_alike(connection: Connection) -> None:
    rows = await connection.fetch("SELECT email_key(c) AS key FROM unnest($1::text[]) AS c", CHARACTERS)
    assert [row["key"] for row in rows] == [email_key(character) for character in CHARACTERS]


async def test_no_two_accounts_have_an_email_that_differs_in_case_alone(connection: Connection) -> None:
    """The index has `lower(email)`, which is `email_key(email)` by the column's collation."""
    collation = "SELECT collname FROM pg_collation WHERE oid = (SELECT attcollation FROM pg_attribute"
    column = " WHERE attrelid = 'users'::regclass AND attname = 'email')"
    assert await connection.fetchval(collation + column) == "C"
