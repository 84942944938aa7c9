"""A filled database for each module that tests what statements read, copied from one that is filled once.

The tests roll back what they write, but the dead rows would count as read in another module's tests. Autovacuum is off,
because it would change what a statement reads, and the statistics, at random times.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.sessions import SESSION
from tests.clusters import execute
from tests.conftest import fresh_database
from tests.db.filling import ALL_ROWS, FILL

LEAVE_TO_US = """
DO $$
DECLARE
    named regclass;
BEGIN
    FOR named IN SELECT oid FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_enabled = off)', named);
    END LOOP;
END
$$
"""


@pytest.fixture(scope="session")
def filled_template(postgres_url: str, migrated_template: str) -> Iterator[str]:
    with fresh_database(postgres_url, migrated_template) as url:
        asyncio.run(execute(url, LEAVE_TO_US, FILL, ALL_ROWS, "VACUUM ANALYZE"))
        yield urlsplit(url).path[1:]


@pytest.fixture(scope="module")
def filled_url(postgres_url: str, filled_template: str) -> Iterator[str]:
    with fresh_database(postgres_url, filled_template) as url:
        yield url


@pytest_asyncio.fixture
async def filled(filled_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection with the program's own settings, inside a transaction that never commits."""
    connection = await asyncpg.connect(filled_url, server_settings=SESSION)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()
