"""A filled database for each module that tests what statements read.

Its tests roll back what they write; what that leaves for VACUUM would count as read in another module's tests.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.pool import SESSION
from tests.clusters import execute, named
from tests.db.filling import FILL

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def filled_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    name = f"filled_{os.getpid()}_{next(_numbers)}"
    url = named(postgres_url, name)
    asyncio.run(execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template}"))
    asyncio.run(execute(url, FILL, "VACUUM ANALYZE"))
    yield url
    asyncio.run(execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest_asyncio.fixture
async def filled(filled_url: str) -> "AsyncIterator[asyncpg.Connection[asyncpg.Record]]":
    """A connection with the settings of the program's own, inside a transaction that never commits."""
    connection = await asyncpg.connect(filled_url, server_settings=SESSION)
    transaction = connection.transaction()
    await transaction.start()
    yield connection
    await transaction.rollback()
    await connection.close()
