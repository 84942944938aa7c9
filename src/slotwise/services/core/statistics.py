"""Statistics of tables that have grown fast: by them, PostgreSQL plans how a statement finds its rows."""

from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.statements import Statement


class Analyzed(Struct, frozen=True):
    tables: int


ANALYZE_GROWN_TABLES = Statement("core/statistics.analyze_grown_tables", Analyzed)


async def analyze_grown_tables(database: Database) -> int:
    """Let all connections plan anew for tables that were small a moment ago; return how many there are."""
    async with database.connection() as connection:
        return (await ANALYZE_GROWN_TABLES.one(connection)).tables
