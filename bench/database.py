"""Access to the database behind a server, with a new connection for each call."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

SQL = Path(__file__).parent / "sql"


def statement(name: str) -> str:
    """The text of `sql/<name>.sql`."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def execute(url: str, *commands: str) -> None:
    """Run each command separately, because some, such as VACUUM, must not be in a transaction."""

    async def work() -> None:
        connection = await asyncpg.connect(url)
        try:
            for command in commands:
                await connection.execute(command)
        finally:
            await connection.close()

    asyncio.run(work())


def row(url: str, query: str, *arguments: object) -> Any:
    """The first row, by column name or number."""

    async def work() -> Any:
        connection = await asyncpg.connect(url)
        try:
            return await connection.fetchrow(query, *arguments)
        finally:
            await connection.close()

    return asyncio.run(work())


def rows(url: str, query: str, *arguments: object) -> list[Any]:
    async def work() -> list[Any]:
        connection = await asyncpg.connect(url)
        try:
            return list(await connection.fetch(query, *arguments))
        finally:
            await connection.close()

    return asyncio.run(work())


def number(url: str, query: str, *arguments: object) -> int:
    """The first column of the first row."""
    return int(row(url, query, *arguments)[0])


def named(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
