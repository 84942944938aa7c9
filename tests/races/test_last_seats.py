"""Many clients want the last seats at the same instant."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import asyncpg
import httpx
from torture.patching import drop_rules, mutate

from slotwise.domain.errors import SlotFull
from slotwise.services.booking.batches import Held, HoldRequest
from tests.clinic import PATIENCE_SECONDS, Clinic
from tests.depth import many
from tests.workers import each, holding, new_slot, until_waiting_for_a_lock, violations, wanted, workers


def test_64_clients_over_http_get_exactly_the_seats_there_are(clinic: Clinic) -> None:
    """Rounds against two worker processes: 64 clients want one of five seats."""
    doctor = clinic.doctor()
    slots = [
        clinic.slot(seats=5, doctorId=doctor["id"], startTime=f"2031-01-01T{hour:02}:00:00Z")["id"]
        for hour in range(many(5, 20))
    ]
    for slot_id, answers in zip(slots, asyncio.run(_book_at_once(clinic.server.url, slots, clients=64)), strict=True):
        assert Counter(answer.status_code for answer in answers) == {201: 5, 409: 59}
        refusals = [answer.json() for answer in answers if answer.status_code == 409]
        assert {(refusal["code"], refusal["availableSeats"]) for refusal in refusals} == {("slot-full", 0)}
        assert clinic.free_seats(slot_id) == 0


async def _book_at_once(url: str, slot_ids: Sequence[int], clients: int) -> list[list[httpx.Response]]:
    """The answers of each slot, one slot after the other."""
    somebody = {"userName": "Ada", "userEmail": "ada@example.org"}
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=PATIENCE_SECONDS, verify=False) as client:
        await asyncio.gather(*(client.get("/health") for _ in range(clients)))
        return [
            await asyncio.gather(
                *(client.post("/api/bookings", json={"slotId": slot_id, **somebody}) for _ in range(clients))
            )
            for slot_id in slot_ids
        ]


async def test_two_workers_never_sell_a_seat_twice(database_url: str, connection: asyncpg.Connection) -> None:
    async with workers(database_url) as pair:
        for _ in range(25):
            request = wanted(await new_slot(connection, seats=3))
            results = await each(pair, 16, holding((request, None)))
            assert sum(isinstance(result, Held) for result in results) == 3
            assert sum(isinstance(result, SlotFull) for result in results) == 13
        assert await violations(pair[0].database) == []


async def test_without_the_lock_the_same_race_oversells(database_url: str, connection: asyncpg.Connection) -> None:
    """The negative control: the race is real, and the test above passes because of the lock."""
    await mutate(connection, "hold_seats_3", "FOR NO KEY UPDATE", "")
    # Without the lock two batches also write the same ledger sequence; keep that from hiding the overselling.
    await drop_rules(connection, "slot_seats_in_range", "event_seats_in_range", "booking_events_pkey")
    request = wanted(await new_slot(connection, seats=3))
    async with workers(database_url) as pair:
        async with connection.transaction():
            await connection.execute("LOCK TABLE bookings IN SHARE MODE")
            wanting = asyncio.ensure_future(each(pair, 16, holding((request, None))))
            await until_waiting_for_a_lock(connection, len(pair))
        assert sum(isinstance(result, Held) for result in await wanting) > 3
        assert await violations(pair[0].database)


async def test_even_without_the_lock_the_ledgers_key_refuses_the_second_of_two_batches(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The second line of defence: two batches that both saw the same free seats write the same ledger sequence."""
    await mutate(connection, "hold_seats_3", "FOR NO KEY UPDATE", "")
    request = HoldRequest(wanted(await new_slot(connection, seats=3)), "guest")
    async with workers(database_url) as pair:
        # Both may read and decide; neither may write before the other has decided.
        async with connection.transaction():
            await connection.execute("LOCK TABLE bookings IN SHARE MODE")
            batches = [asyncio.ensure_future(worker.batches.hold([request, request])) for worker in pair]
            await until_waiting_for_a_lock(connection, len(batches))
        results = await asyncio.gather(*batches, return_exceptions=True)
        assert sum(isinstance(result, asyncpg.UniqueViolationError) for result in results) == 1, results
        assert await violations(pair[0].database) == []
