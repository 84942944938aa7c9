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
