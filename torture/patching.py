"""Changes functions of the booking path in a mutant's own database."""

from typing import TypeAlias

import asyncpg

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def mutate(connection: Connection, function: str, old: str, new: str) -> None:
    """Replace `old`, which must occur exactly once in the function, by `new`. Every session sees it at once."""
    text: str = await connection.fetchval("SELECT pg_get_functiondef($1::text::regproc)", function)
    assert text.count(old) == 1, f"{function} has {old!r} {text.count(old)} times"
    await _declare_later_release(connection)
    await connection.execute(text.replace(old, new))


async def drop_rules(connection: Connection, *constraints: str) -> None:
    """Drop constraints that would hide the effect of a mutant."""
    await _declare_later_release(connection)
    for constraint in constraints:
        table = await connection.fetchval(
            "SELECT conrelid::regclass::text FROM pg_constraint WHERE conname = $1", constraint
        )
        assert table, f"there is no constraint {constraint}"
        await connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {constraint}")


async def _declare_later_release(connection: Connection) -> None:
    """Pretend that a later release has migrated: otherwise a server with changed functions would not start."""
    await connection.execute(
        "INSERT INTO schema_history (name, checksum, release) VALUES ('mutant', '', '1000000') ON CONFLICT DO NOTHING"
    )
