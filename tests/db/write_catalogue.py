"""Writes `src/slotwise/sql/catalogue.txt` anew, what the sources make: `python -m tests.db.write_catalogue`."""

import asyncio
import tempfile
from pathlib import Path

import asyncpg

from slotwise.db.embedded import EmbeddedServer
from slotwise.db.migrator import _apply, _replace, ignore_report
from slotwise.db.schema import Catalogue, changed_sources, read_catalogue
from tests.architecture.sources import ROOT

PATH = ROOT / "sql" / "catalogue.txt"


def lines_of(catalogue: Catalogue) -> str:
    return "".join(f"{name} | {definition}\n" for name, definition in catalogue.items())


async def catalogue_of(url: str) -> Catalogue:
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        return await read_catalogue(connection)
    finally:
        await connection.close()


async def _write(url: str) -> None:
    await _apply(url, ignore_report)
    connection = await asyncpg.connect(url)
    await _replace(connection, changed_sources([]))
    await connection.close()
    PATH.write_text(lines_of(await catalogue_of(url)), encoding="utf-8")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder) / "data", None) as server:
        asyncio.run(_write(server.url))
