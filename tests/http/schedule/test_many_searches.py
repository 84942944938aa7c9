"""Many searches at once, each of which takes long: what else the server does goes on."""

import asyncio
from collections.abc import Callable

import asyncpg
import httpx

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, PATIENCE_SECONDS, Clinic, RunningServer
from tests.workers import until_waiting_for_a_lock

CONNECTIONS = 4
# Of each, as many as the pool has connections.
SEARCHES = ("/api/times?seats={}", "/api/times/explain?visitTypeId={}", "/api/slots?minSeats={}", "/?seats={}")
# What every search reads, and no log-in.
LOCK_WHAT_IS_SEARCHED = "LOCK TABLE visit_types, appointment_slots IN ACCESS EXCLUSIVE MODE"


async def test_a_log_in_gets_a_connection_while_searches_wait_for_the_database(
    start_server: Callable[..., RunningServer], connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """It would wait three seconds for one, and then be refused."""
    server = start_server(DB_POOL_SIZE=str(CONNECTIONS), SWEEP_SECONDS="3600")
    with Clinic(server) as clinic:
        admin = clinic.admin
    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS, verify=False, limits=limits) as http,
        asyncio.TaskGroup() as group,
        connection.transaction(),
    ):
        await connection.execute(LOCK_WHAT_IS_SEARCHED)
        searches = [
            group.create_task(http.get(search.format(number), headers=admin))
            for search in SEARCHES
            for number in range(2, 2 + CONNECTIONS)
        ]
        await until_waiting_for_a_lock(connection, CONNECTIONS // 2)
        log_in = await http.post("/api/auth/login", json={"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})
    assert log_in.status_code == 200, log_in.text
    assert {search.result().status_code for search in searches} <= {200, 404, 503}
