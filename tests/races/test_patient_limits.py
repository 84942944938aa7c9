"""One patient holds two slots at the same instant, and may have only one visit of that type."""

import asyncio

import asyncpg
import pytest
from torture.patching import mutate

from slotwise.domain.bookings import SeatRequest
from slotwise.domain.errors import BookingLimitReached, Unavailable
from slotwise.services.booking.batches import ConfirmRequest, Held, HoldRequest
from tests.depth import many
from tests.workers import GUEST, Worker, each, new_slot, until_waiting_for_a_lock, violations, workers

ROUNDS = many(10, 40)


async def new_limited_type(connection: asyncpg.Connection, slot_ids: list[int], most: int = 1) -> int:
    visit_type: int = await connection.fetchval(
        "INSERT INTO visit_types (name, minutes, max_live_per_patient) VALUES ('Check-up', 30, $1) RETURNING id", most
    )
    await connection.execute(
        "UPDATE appointment_slots SET visit_type_ids = ARRAY[$1::bigint] WHERE id = any($2::bigint[])",
        visit_type,
        slot_ids,
    )
    return visit_type


def of_ada(slot_id: int, visit_type: int) -> SeatRequest:
    return SeatRequest(slot_id, 1, None, "Ada Lovelace", "ada@example.org", visit_type_id=visit_type)


async def _race(pair: list[Worker], connection: asyncpg.Connection) -> list[object]:
    """Eight holds of one patient, each of a slot of its own, from two workers at one barrier."""
    slot_ids = [await new_slot(connection, seats=5) for _ in range(8)]
    visit_type = await new_limited_type(connection, slot_ids)

    async def attempt(worker: Worker, number: int) -> Held:
        return await worker.bookings.hold_seats(GUEST, of_ada(slot_ids[number], visit_type))

    return [*await each(pair, len(slot_ids), attempt)]


async def test_of_holds_at_one_instant_as_many_are_made_as_a_patient_may_have(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            results = await _race(pair, connection)
            assert sum(isinstance(result, Held) for result in results) == 1, results
            assert sum(isinstance(result, BookingLimitReached) for result in results) == len(results) - 1
        assert await violations(pair[0].database) == []


async def test_without_the_patients_lock_the_same_race_makes_too_many(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control: both batches count before one of them has written."""
    await mutate(connection, "lock_patients", "pg_advisory_xact_lock(k.key)", "k.key")
    slot_ids = [await new_slot(connection, seats=5) for _ in range(2)]
    visit_type = await new_limited_type(connection, slot_ids)
    async with workers(database_url) as pair:
        async with connection.transaction():
            # Both may read and decide; neither may write before the other has decided.
            await connection.execute("LOCK TABLE bookings IN SHARE MODE")

            async def attempt(worker: Worker, number: int) -> Held:
                return await worker.bookings.hold_seats(GUEST, of_ada(slot_ids[number], visit_type))

            racing = asyncio.ensure_future(each(pair, 2, attempt))
            await until_waiting_for_a_lock(connection, 2)
        assert sum(isinstance(result, Held) for result in await racing) == 2


async def test_one_batch_counts_what_it_has_admitted_itself(database_url: str, connection: asyncpg.Connection) -> None:
    slot_ids = [await new_slot(connection, seats=5) for _ in range(4)]
    visit_type = await new_limited_type(connection, slot_ids, most=2)
    async with workers(database_url, count=1) as [worker]:
        results = await worker.batches.hold([HoldRequest(of_ada(slot_id, visit_type), "guest") for slot_id in slot_ids])
    assert [type(result) for result in results] == [Held, Held, BookingLimitReached, BookingLimitReached]


@pytest.mark.parametrize("in_one_batch", [True, False])
async def test_guests_who_type_one_address_after_holding_confirm_only_as_many(
    database_url: str, connection: asyncpg.Connection, in_one_batch: bool
) -> None:
    slot_ids = [await new_slot(connection, seats=5) for _ in range(2)]
    visit_type = await new_limited_type(connection, slot_ids)
    async with workers(database_url) as pair:
        requests = [HoldRequest(SeatRequest(slot_id, 1, visit_type_id=visit_type), "guest") for slot_id in slot_ids]
        held = [one.booking.id for one in await pair[0].batches.hold(requests) if isinstance(one, Held)]
        confirms = [ConfirmRequest(one, "Ada", "ada@example.org", "guest") for one in held]
        if in_one_batch:
            outcomes = [done.outcome for done in await pair[0].batches.confirm(confirms) if done]
        else:
            done = await each(pair, 2, lambda worker, number: worker.batches.confirm([confirms[number]]))
            outcomes = [one[0].outcome for one in done if not isinstance(one, Exception) and one[0]]
        assert sorted(outcomes) == ["booking_limit_reached", "confirmed"]
        assert await violations(pair[0].database) == []


async def test_batches_of_many_patients_and_slots_in_opposite_orders_never_deadlock(
    database_url: str, connection: asyncpg.Connection
) -> None:
    slot_ids = [await new_slot(connection, seats=1000) for _ in range(6)]
    visit_type = await new_limited_type(connection, slot_ids, most=1000)
    forwards = [
        HoldRequest(SeatRequest(slot_id, 1, None, "Ada", f"{name}@example.org", visit_type_id=visit_type), "guest")
        for slot_id in slot_ids
        for name in ("ada", "bea", "cem")
    ]
    orders = (forwards, forwards[::-1])
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            results = await each(pair, 2, lambda worker, number: worker.batches.hold(orders[number]))
            assert not [result for result in results if isinstance(result, Unavailable)]
        assert await violations(pair[0].database) == []
