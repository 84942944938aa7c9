"""A worker of the booking path, for the desk to read what it made."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.workers import Worker, workers


@pytest_asyncio.fixture
async def worker(database_url: str) -> AsyncIterator[Worker]:
    async with workers(database_url, 1) as [worker]:
        yield worker
