"""Many want the last seats at the same instant."""

import asyncio
from collections import Counter

import asyncpg
import httpx
import pytest

from slotwise.db.statements import NoRow, Statement
from slotwise.domain.errors import SlotFull
from slotwise.services import booking_batches
from slotwise.services.booking_batches import Held
from tests.clinic import Clinic
from tests.workers import each, holding, new_slot, violations, wanted, workers


def test_64_clients_over_http_get_exactly_the_seats_there_are(clinic: Clinic) -> None:
    """Twenty rounds against two worker processes: five seats, sixty-four who want one."""
    doctor = clinic.doctor()
    slots = [
        clinic.slot(seats=5, doctorId=doctor["id"], startTime=f"2031-01-01T{hour:02}:00:00Z")["id"]
        for hour in range(20)
    ]
    for slot_id in slots:
        answers = asyncio.run(_book_at_once(clinic.server.url, slot_id, clients=64))
        assert Counter(answer.status_code for answer in answers) == {201: 5, 409: 59}
        refusals = [answer.json() for answer in answers if answer.status_code == 409]
        assert {(refusal["code"], refusal["availableSeats"]) for refusal in refusals} == {("slot-full", 0)}
        assert clinic.free_seats(slot_id) == 0


async def _book_at_once(url: str, slot_id: int, clients: int) -> list[httpx.Response]:
    body = {"slotId": slot_id, "userName": "Ada", "userEmail": "ada@example.org"}
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=20) as client:
        await asyncio.gather(*(client.get("/health") for _ in range(clients)))
        return await asyncio.gather(*(client.post("/api/bookings", json=body) for _ in range(clients)))


async def test_two_workers_never_sell_a_seat_twice(database_url: str, connection: asyncpg.Connection) -> None:
    async with workers(database_url) as pair:
        for _ in range(25):
            request = wanted(await new_slot(connection, seats=3))
            results = await each(pair, 16, holding((request, None)))
            assert sum(isinstance(result, Held) for result in results) == 3
            assert sum(isinstance(result, SlotFull) for result in results) == 13
        assert await violations(pair[0].database) == []


async def test_without_the_lock_the_same_race_oversells(
    database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the race is real, and it is the lock that the test above relies on."""
    await connection.execute("ALTER TABLE appointment_slots DROP CONSTRAINT slot_seats_in_range")
    await connection.execute("ALTER TABLE booking_events DROP CONSTRAINT event_seats_in_range")
    # Without the lock two batches also write the same ledger sequence; keep that from hiding the overselling.
    await connection.execute("ALTER TABLE booking_events DROP CONSTRAINT booking_events_pkey")
    unlocked = Statement("bookings.lock_slots", NoRow)
    unlocked.text = unlocked.text.replace("FOR NO KEY UPDATE", "")
    monkeypatch.setattr(booking_batches, "LOCK_SLOTS", unlocked)
    async with workers(database_url) as pair:
        for _ in range(100):
            slot_id = await new_slot(connection, seats=3)
            request = wanted(slot_id)
            await each(pair, 16, holding((request, None)))
            if await connection.fetchval("SELECT available_seats < 0 FROM appointment_slots WHERE id = $1", slot_id):
                return
    pytest.fail("100 rounds without a lock and nothing was oversold: the race test proves nothing")
