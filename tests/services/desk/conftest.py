"""A worker of the booking path, which makes the bookings that the desk reads."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.workers import Worker, workers


@pytest_asyncio.fixture
async def worker(database_url: str) -> AsyncIterator[Worker]:
    async with workers(database_url, 1) as [worker]:
        yield worker
