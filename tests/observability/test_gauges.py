"""The metrics of the database connections."""

import asyncio

from prometheus_client import REGISTRY

from slotwise.db.pool import Database
from slotwise.worker.gauges import gauges


def test_the_first_look_shows_the_connections(database_url: str) -> None:
    """Otherwise a server that has just started would lack the metrics that its dashboards and alarms ask for."""

    async def look() -> tuple[float | None, float | None]:
        database = await Database.connect(database_url, 2)
        try:
            async with gauges({"new": database}, shared=None):
                return (
                    REGISTRY.get_sample_value("slotwise_pool_connections", {"pool": "new", "state": "open"}),
                    REGISTRY.get_sample_value("slotwise_pool_wait_seconds_total", {"pool": "new"}),
                )
        finally:
            await database.close()

    assert asyncio.run(look()) == (0.0, 0.0)


def test_of_a_share_only_its_waits_are_shown(database_url: str) -> None:
    """Its connections are among those of the pool, which would be counted twice in a sum."""

    async def look() -> tuple[float | None, float | None]:
        database = await Database.connect(database_url, 2)
        try:
            async with gauges({"shared": database.share(1)}, shared=None):
                return (
                    REGISTRY.get_sample_value("slotwise_pool_connections", {"pool": "shared", "state": "open"}),
                    REGISTRY.get_sample_value("slotwise_pool_wait_seconds_total", {"pool": "shared"}),
                )
        finally:
            await database.close()

    assert asyncio.run(look()) == (None, 0.0)
