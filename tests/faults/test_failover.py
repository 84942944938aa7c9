"""A primary that dies or hangs, and the standby that takes over, with both in DATABASE_URL."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import uuid4

import httpx
import pytest

import slotwise.db.pool
from slotwise.db.migrator import migrate
from slotwise.db.pool import Database
from slotwise.db.readiness import wait_for_server
from slotwise.domain.errors import OutcomeUnknown
from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer, at_most, eventually, rows
from tests.conftest import running_server
from tests.postgres import Pair, replicated_postgres

BODY = {"userName": "Ada", "userEmail": "ada@example.org", "confirm": True}
ADD = "INSERT INTO doctors (name) VALUES ('Dr. Who')"
CLIENTS = 8


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with replicated_postgres() as pair:
        yield pair


@pytest.fixture(scope="module")
def migrated(pair: Pair) -> Pair:
    """Migrate as an operator's first start does, with the standby first in the URL."""
    asyncio.run(wait_for_server(pair.url, 1, report=lambda _: None))
    assert asyncio.run(migrate(pair.url))
    return pair


@pytest.mark.slow  # a primary and a standby: twenty seconds
async def test_the_primary_is_found_behind_a_standby(migrated: Pair) -> None:
    database = await Database.connect(migrated.url, 2)
    async with database.connection() as connection:
        assert not await connection.fetchval("SELECT pg_is_in_recovery()")
    await database.close()


@pytest.mark.slow(reason="a standby is made from a backup")
async def test_a_commit_that_waits_for_its_standby_stays_invisible_after_its_client_has_gone(
    migrated: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If it were visible on the primary, a retry with its key would be acknowledged, and then lost with the primary."""
    monkeypatch.setattr(slotwise.db.pool, "GRACE_SECONDS", 0.4)
    database = await Database.connect(migrated.url, 1, statement_seconds=0.6)
    before = await asyncio.to_thread(doctors, migrated)
    migrated.standby.pause()
    try:
        with pytest.raises(OutcomeUnknown):
            async with database.effect() as connection:
                await connection.execute(ADD)
        with pytest.raises(OutcomeUnknown):
            async with database.transaction() as connection:
                await connection.execute(ADD)
        await asyncio.sleep(0.5)  # for a cancel to arrive, if one was sent
        assert await asyncio.to_thread(doctors, migrated) == before
    finally:
        migrated.standby.resume()
        await database.close()
    await asyncio.to_thread(eventually, lambda: doctors(migrated) == before + 2)


def doctors(pair: Pair) -> int:
    """The doctors on the primary."""
    return int(rows(pair.primary.url, "SELECT count(*) FROM doctors")[0][0])


@pytest.mark.slow  # a primary and a standby: twenty seconds
def test_bookings_go_on_with_the_standby_and_none_that_was_acknowledged_is_lost(migrated: Pair) -> None:
    """Must be the last test here: the primary is dead afterwards."""
    with running_server(migrated.url, {"WORKERS": "2"}) as server, Clinic(server) as clinic:
        slot_id = clinic.slot(seats=100_000)["id"]
        load = asyncio.run(_fail_over_under_load(server, slot_id, migrated))
        assert clinic.http.get("/health/ready").status_code == 200
        booked = {row["id"] for row in rows(migrated.standby.url, "SELECT id FROM bookings")}
    assert len(load.acknowledged) > CLIENTS
    assert load.acknowledged == booked, "every key was retried until it had its one booking"
    assert load.codes <= {"database-unavailable", "database-busy", "outcome-unknown", "overloaded"}
    assert load.slowest < at_most(10)
    assert load.back_after < at_most(5)


class Load:
    """The answers to clients that repeat each request with its key until it is acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self.codes: set[str] = set()
        self.slowest = 0.0
        self.back_after = float("inf")
        self.promoted = float("inf")
        self.over = False
        self.back = asyncio.Event()

    async def client(self, server: RunningServer, slot_id: int) -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE_SECONDS, verify=False) as http:
            while not self.over:
                key = {"Idempotency-Key": uuid4().hex}
                acknowledged = False
                while not acknowledged:
                    acknowledged = await self._book(http, slot_id, key)

    async def _book(self, http: httpx.AsyncClient, slot_id: int, key: dict[str, str]) -> bool:
        began = time.monotonic()
        answer = await http.post("/api/bookings", json=BODY | {"slotId": slot_id}, headers=key)
        now = time.monotonic()
        self.slowest = max(self.slowest, now - began)
        if answer.status_code != 201:
            assert answer.status_code == 503, answer.text
            assert answer.headers["Retry-After"]
            self.codes.add(answer.json()["code"])
            await asyncio.sleep(0.1)
            return False
        self.acknowledged.add(answer.json()["id"])
        if began > self.promoted and not self.back.is_set():
            self.back_after = now - self.promoted
            self.back.set()
        return True


async def _fail_over_under_load(server: RunningServer, slot_id: int, pair: Pair) -> Load:
    load = Load()
    clients = [asyncio.create_task(load.client(server, slot_id)) for _ in range(CLIENTS)]
    await asyncio.sleep(0.7)
    await asyncio.to_thread(pair.primary.kill)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(pair.standby.promote)
    load.promoted = time.monotonic()
    with suppress(TimeoutError):
        await asyncio.wait_for(load.back.wait(), 10)
    load.over = True
    await asyncio.gather(*clients)
    return load
