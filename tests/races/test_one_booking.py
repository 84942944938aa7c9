"""Races of confirm, cancel, expiry and the next customer for one booking and its seats."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import TypeVar

import asyncpg
import pytest
from torture.patching import drop_rules, mutate

from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import BookingCancelled, BookingFailed, HoldExpired, SlotFull, SlotStarted
from slotwise.services.booking.batches import CancelRequest, ConfirmRequest, Held, HoldRequest
from slotwise.services.booking.bookings import BookingWithVisit
from slotwise.services.core.expiry import HOLDS_PER_TRANSACTION, sweep_holds
from tests.clinic import PATIENCE_SECONDS, at_most
from tests.depth import many
from tests.workers import (
    DESK,
    GUEST,
    Worker,
    at_once,
    each,
    holder_of,
    new_slot,
    until_waiting_for_a_lock,
    violations,
    waiting_for_a_lock,
    wanted,
    workers,
)

ROUNDS = many(15, 40)

Answer = TypeVar("Answer")


async def _end_in(connection: asyncpg.Connection, booking_id: int, seconds: float) -> datetime:
    """Move a hold's deadline to that many seconds from now."""
    deadline: datetime = await connection.fetchval(
        "UPDATE bookings SET expires_at = clock_timestamp() + make_interval(secs => $2) WHERE id = $1"
        " RETURNING expires_at",
        booking_id,
        seconds,
    )
    return deadline


async def test_seats_come_back_once_whatever_happens_first(database_url: str, connection: asyncpg.Connection) -> None:
    """At a hold's deadline two workers confirm, cancel, sweep and sell the seat again, all at once."""
    chance = random.Random(11)
    seen: set[BookingStatus] = set()
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            slot_id = await new_slot(connection, seats=1)
            held = await pair[0].bookings.hold_seats(GUEST, wanted(slot_id))
            await _end_in(connection, held.booking.id, 0.02)
            results = await at_once(_contenders(pair, held, slot_id, chance))
            unexpected = [result for result in results if not isinstance(result, _EXPECTED)]
            assert not unexpected
            seen.add((await pair[0].bookings.get_booking(DESK, held.booking.id)).booking.status)
            assert await violations(pair[0].database) == []
    assert seen >= {BookingStatus.CANCELLED, BookingStatus.FAILED}


_EXPECTED = (Booking, BookingWithVisit, Held, int, HoldExpired, BookingCancelled, BookingFailed, SlotFull)


def _contenders(
    pair: list[Worker], held: Held, slot_id: int, chance: random.Random
) -> list[Callable[[], Awaitable[object]]]:
    first, second = pair
    holder, booking_id = holder_of(held), held.booking.id
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: first.bookings.confirm_booking(holder, booking_id),
        lambda: second.bookings.cancel_booking(holder, booking_id),
        lambda: second.bookings.confirm_booking(DESK, booking_id),
        lambda: first.bookings.cancel_booking(DESK, booking_id),
        lambda: sweep_holds(first.database),
        lambda: sweep_holds(second.database),
        lambda: second.bookings.hold_seats(GUEST, wanted(slot_id)),
    ]
    return [partial(_later, attempt, chance.uniform(0, 0.04)) for attempt in attempts]


async def _later(attempt: Callable[[], Awaitable[object]], seconds: float) -> object:
    await asyncio.sleep(seconds)
    return await attempt()


# Times are compared after the wait for the lock.


async def _while_the_lock_is_held(
    connection: asyncpg.Connection, slot_id: int, attempt: Awaitable[Answer], seconds: float
) -> Answer | BaseException:
    """The outcome of an attempt that has to wait so long for the slot's lock."""
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM appointment_slots WHERE id = $1 FOR UPDATE", slot_id)
        waiting = asyncio.ensure_future(attempt)
        await until_waiting_for_a_lock(connection)
        await connection.execute("SELECT pg_sleep($1)", seconds)
    return (await asyncio.gather(waiting, return_exceptions=True))[0]


async def _confirm_after_waiting_past_the_deadline(url: str, connection: asyncpg.Connection) -> object:
    async with workers(url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=1)
        held = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
        soon = at_most(0.2)
        await _end_in(connection, held.booking.id, soon)
        confirming = worker.bookings.confirm_booking(holder_of(held), held.booking.id)
        return await _while_the_lock_is_held(connection, slot_id, confirming, soon)


async def test_a_hold_is_not_confirmed_after_its_deadline_however_long_the_lock_took(
    database_url: str, connection: asyncpg.Connection
) -> None:
    assert isinstance(await _confirm_after_waiting_past_the_deadline(database_url, connection), HoldExpired)


async def test_the_transactions_own_clock_would_confirm_it_too_late(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control: `now()` is the transaction's start, before the wait."""
    await mutate(connection, "confirm_bookings", "clock_timestamp()", "now()")
    late = await _confirm_after_waiting_past_the_deadline(database_url, connection)
    assert isinstance(late, BookingWithVisit)
    assert late.booking.status is BookingStatus.CONFIRMED


async def test_the_desk_and_patients_do_not_wait_for_each_other(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The desk's holds wait for the slot's lock, a patient's hold elsewhere for nothing; and the other way round."""
    async with workers(database_url, count=1) as [worker]:
        for waiting, other in ((DESK, GUEST), (GUEST, DESK)):
            slot_id, elsewhere = [await new_slot(connection, seats=4) for _ in range(2)]
            async with connection.transaction():
                await connection.execute("SELECT 1 FROM appointment_slots WHERE id = $1 FOR UPDATE", slot_id)
                asked = [asyncio.ensure_future(worker.bookings.hold_seats(waiting, wanted(slot_id))) for _ in range(4)]
                async with asyncio.timeout(PATIENCE_SECONDS):
                    held = await worker.bookings.hold_seats(other, wanted(elsewhere))
                    await worker.bookings.confirm_booking(other if other is DESK else holder_of(held), held.booking.id)
                assert not any(one.done() for one in asked)
            assert [type(answer) for answer in await asyncio.gather(*asked)] == [Held] * 4


async def _hold_after_waiting_past_the_start(url: str, connection: asyncpg.Connection) -> object:
    async with workers(url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=1)
        soon = at_most(0.2)
        await _start_in(connection, slot_id, soon)
        holding = worker.bookings.hold_seats(GUEST, wanted(slot_id))
        return await _while_the_lock_is_held(connection, slot_id, holding, soon)


async def test_no_seat_is_held_after_the_start_however_long_the_lock_took(
    database_url: str, connection: asyncpg.Connection
) -> None:
    assert isinstance(await _hold_after_waiting_past_the_start(database_url, connection), SlotStarted)


async def test_the_transactions_own_clock_would_hold_a_seat_of_a_slot_that_has_started(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control."""
    await mutate(connection, "hold_seats_3", "clock := clock_timestamp()", "clock := now()")
    assert isinstance(await _hold_after_waiting_past_the_start(database_url, connection), Held)


async def _cancel_after_waiting_past_the_start(url: str, connection: asyncpg.Connection) -> object:
    async with workers(url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=1)
        held = await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=True))
        soon = at_most(0.2)
        await _start_in(connection, slot_id, soon)
        cancelling = worker.bookings.cancel_booking(holder_of(held), held.booking.id)
        return await _while_the_lock_is_held(connection, slot_id, cancelling, soon)


async def test_nothing_is_cancelled_after_the_start_however_long_the_lock_took(
    database_url: str, connection: asyncpg.Connection
) -> None:
    assert isinstance(await _cancel_after_waiting_past_the_start(database_url, connection), SlotStarted)


async def test_the_transactions_own_clock_would_cancel_an_appointment_that_has_started(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control."""
    await mutate(connection, "cancel_bookings", "clock_timestamp()", "now()")
    assert isinstance(await _cancel_after_waiting_past_the_start(database_url, connection), Booking)


async def _start_in(connection: asyncpg.Connection, slot_id: int, seconds: float) -> None:
    await connection.execute(
        "UPDATE appointment_slots SET start_time = clock_timestamp() + make_interval(secs => $2) WHERE id = $1",
        slot_id,
        seconds,
    )


# Periods are half-open: the instant itself belongs to what comes after it.

INSTANT = "2040-01-01 09:00:00+00"


@pytest.mark.parametrize(("microseconds", "outcome"), [(1, "confirmed"), (0, "expired"), (-1, "expired")])
async def test_a_hold_is_over_at_its_deadline_and_not_a_microsecond_before(
    database_url: str, connection: asyncpg.Connection, microseconds: int, outcome: str
) -> None:
    await mutate(connection, "confirm_bookings", "clock_timestamp()", f"timestamptz '{INSTANT}'")
    async with workers(database_url, count=1) as [worker]:
        held = await worker.bookings.hold_seats(GUEST, wanted(await new_slot(connection, seats=1)))
        await connection.execute(
            f"UPDATE bookings SET expires_at = timestamptz '{INSTANT}' + make_interval(secs => $1)", microseconds / 1e6
        )
        [confirmed] = await worker.batches.confirm([ConfirmRequest(held.booking.id, None, None, "guest")])
    assert confirmed is not None
    assert confirmed.outcome == outcome


@pytest.mark.parametrize(("microseconds", "outcome"), [(1, "cancelled"), (0, "started"), (-1, "started")])
async def test_an_appointment_can_be_cancelled_until_a_microsecond_before_it_starts(
    database_url: str, connection: asyncpg.Connection, microseconds: int, outcome: str
) -> None:
    await mutate(connection, "cancel_bookings", "clock_timestamp()", f"timestamptz '{INSTANT}'")
    async with workers(database_url, count=1) as [worker]:
        held = await worker.bookings.hold_seats(GUEST, wanted(await new_slot(connection, seats=1), confirm=True))
        await connection.execute(
            "UPDATE appointment_slots SET end_time = '2041-01-01Z',"
            f" start_time = timestamptz '{INSTANT}' + make_interval(secs => $1)",
            microseconds / 1e6,
        )
        [cancelled] = await worker.batches.cancel([CancelRequest(held.booking.id, None, "guest")])
    assert cancelled is not None
    assert cancelled.outcome == outcome


# Seats come back once.


async def _cancel_at_once(pair: list[Worker], connection: asyncpg.Connection) -> int:
    """The free seats of a slot with ten seats, five of them booked, after many clients cancel one booking at once."""
    slot_id, request = await _one_of_five_bookings(pair[0], connection)
    await each(pair, 8, lambda worker, _: worker.batches.cancel([request]))
    return await _free_seats(connection, slot_id)


async def _one_of_five_bookings(worker: Worker, connection: asyncpg.Connection) -> tuple[int, CancelRequest]:
    """The slot, which has ten seats, and the wish to cancel one of its bookings."""
    slot_id = await new_slot(connection, seats=10)
    held = await worker.batches.hold([HoldRequest(wanted(slot_id, confirm=True), "guest")] * 5)
    assert isinstance(held[0], Held)
    return slot_id, CancelRequest(held[0].booking.id, None, "guest")


async def _free_seats(connection: asyncpg.Connection, slot_id: int) -> int:
    free: int = await connection.fetchval("SELECT available_seats FROM appointment_slots WHERE id = $1", slot_id)
    return free


async def test_a_booking_that_many_cancel_at_once_gives_its_seat_back_once(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url) as pair:
        assert [await _cancel_at_once(pair, connection) for _ in range(ROUNDS)] == [6] * ROUNDS
        assert await violations(pair[0].database) == []


async def test_without_its_guard_a_cancel_gives_the_seat_back_again(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control: a booking that is cancelled already."""
    await mutate(connection, "cancel_bookings", "WHEN b.status = 'CANCELLED' THEN 'already_cancelled'", "")
    async with workers(database_url) as pair:
        assert await _cancel_at_once(pair, connection) > 6
        assert await violations(pair[0].database)


async def test_without_the_lock_two_cancels_both_find_the_booking_live(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control: the guard alone is not enough."""
    await mutate(connection, "cancel_bookings", "FOR NO KEY UPDATE", "")
    await drop_rules(connection, "booking_events_pkey")
    async with workers(database_url) as pair:
        slot_id, request = await _one_of_five_bookings(pair[0], connection)
        # Both may read and decide; neither may write before the other has decided. A lock of the table would make them
        # wait too early: they decide in the statement that writes.
        async with connection.transaction():
            await connection.execute("SELECT FROM bookings WHERE id = $1 FOR UPDATE", request.booking_id)
            cancelling = asyncio.ensure_future(each(pair, 2, lambda worker, _: worker.batches.cancel([request])))
            await until_waiting_for_a_lock(connection, 2)
        await cancelling
        assert await _free_seats(connection, slot_id) > 6


async def test_the_seats_of_an_expired_hold_are_bookable_before_any_sweep(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=1)
        first = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
        with pytest.raises(SlotFull):
            await worker.bookings.hold_seats(GUEST, wanted(slot_id))
        await _end_in(connection, first.booking.id, 0)
        second = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
        assert (await worker.bookings.get_booking(DESK, first.booking.id)).booking.status is BookingStatus.FAILED
        assert second.booking.status is BookingStatus.PENDING
        assert await violations(worker.database) == []


async def test_many_sweepers_expire_each_hold_once(database_url: str, connection: asyncpg.Connection) -> None:
    async with workers(database_url, count=4) as several:
        slot_ids = [await new_slot(connection, seats=10) for _ in range(50)]
        for slot_id in slot_ids:
            await several[0].batches.hold([HoldRequest(wanted(slot_id), "guest") for _ in range(10)])
        await connection.execute("UPDATE bookings SET expires_at = clock_timestamp()")
        swept = await each(several, 4, lambda worker, _: sweep_holds(worker.database))
        assert sum(count for count in swept if isinstance(count, int)) == 500
        assert await violations(several[0].database) == []


async def _sweep_beside_a_locked_slot(
    url: str, connection: asyncpg.Connection, holds_of_locked: int = 1
) -> int | BaseException:
    """The outcome of a sweep of two slots with overdue holds, while the slot with the older holds is locked.

    Raises `TimeoutError` if the sweep waits for the lock.
    """
    async with workers(url, count=1) as [worker]:
        slot_ids = [await new_slot(connection, seats) for seats in (holds_of_locked, 1)]
        await worker.batches.hold([HoldRequest(wanted(slot_ids[0]), "guest")] * holds_of_locked)
        await worker.bookings.hold_seats(GUEST, wanted(slot_ids[1]))
        await connection.execute("UPDATE bookings SET expires_at = now() - interval '1 hour' + id * interval '1 ms'")
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM appointment_slots WHERE id = $1 FOR UPDATE", slot_ids[0])
            sweeping = asyncio.ensure_future(sweep_holds(worker.database))
            while not sweeping.done():
                if await waiting_for_a_lock(connection):
                    sweeping.cancel()
                    return TimeoutError()
                await asyncio.sleep(0.005)
            return await sweeping


async def test_a_sweep_skips_a_locked_slot_and_expires_the_others(
    database_url: str, connection: asyncpg.Connection
) -> None:
    assert await _sweep_beside_a_locked_slot(database_url, connection) == 1


@pytest.mark.parametrize("holds", [HOLDS_PER_TRANSACTION - 1, HOLDS_PER_TRANSACTION, HOLDS_PER_TRANSACTION + 1])
async def test_a_locked_slot_with_many_overdue_holds_does_not_keep_the_sweep_from_others(
    database_url: str, connection: asyncpg.Connection, holds: int
) -> None:
    assert await _sweep_beside_a_locked_slot(database_url, connection, holds) == 1


async def test_a_sweep_that_waits_for_a_locked_slot_frees_no_seat_in_that_time(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control."""
    await mutate(connection, "sweep_holds", "SKIP LOCKED", "")
    assert isinstance(await _sweep_beside_a_locked_slot(database_url, connection), TimeoutError)


async def _sweep_a_slot_of_every_kind(url: str, connection: asyncpg.Connection) -> list[BookingStatus]:
    """A slot with an overdue hold, a live one and a booking confirmed in time whose hold would be over by now."""
    async with workers(url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=3)
        overdue, live, confirmed = [await worker.bookings.hold_seats(GUEST, wanted(slot_id)) for _ in range(3)]
        await worker.bookings.confirm_booking(holder_of(confirmed), confirmed.booking.id)
        await connection.execute(
            "UPDATE bookings SET expires_at = clock_timestamp() WHERE id = any($1::bigint[])",
            [overdue.booking.id, confirmed.booking.id],
        )
        await sweep_holds(worker.database)
        return [
            (await worker.bookings.get_booking(DESK, held.booking.id)).booking.status
            for held in (overdue, live, confirmed)
        ]


async def test_a_sweep_fails_the_overdue_holds_of_a_slot_and_nothing_else(
    database_url: str, connection: asyncpg.Connection
) -> None:
    statuses = await _sweep_a_slot_of_every_kind(database_url, connection)
    assert statuses == [BookingStatus.FAILED, BookingStatus.PENDING, BookingStatus.CONFIRMED]


@pytest.mark.parametrize(
    ("check", "wronged"),
    [("AND b.expires_at <= (SELECT clock_timestamp())", 1), ("AND b.status = 'PENDING'", 2)],
    ids=["deadline", "status"],
)
async def test_a_sweep_that_does_not_look_again_under_the_lock_fails_others_too(
    database_url: str, connection: asyncpg.Connection, check: str, wronged: int
) -> None:
    """The negative control: a slot that was found overdue may have other bookings too."""
    await mutate(connection, "expire_holds", check, "")
    statuses = await _sweep_a_slot_of_every_kind(database_url, connection)
    assert statuses[wronged] is BookingStatus.FAILED


async def _resell_while_sweeping(pair: list[Worker], connection: asyncpg.Connection, chance: random.Random) -> None:
    """Two sweepers and a customer find the same overdue hold at once."""
    slot_id = await new_slot(connection, seats=2)
    held = await pair[0].bookings.hold_seats(GUEST, wanted(slot_id, 2))
    await _end_in(connection, held.booking.id, 0)
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: sweep_holds(pair[0].database),
        lambda: pair[1].bookings.hold_seats(GUEST, wanted(slot_id, 2)),
        lambda: sweep_holds(pair[1].database),
        lambda: pair[0].bookings.hold_seats(GUEST, wanted(slot_id, 2)),
    ]
    results = await at_once([partial(_later, attempt, chance.uniform(0, 0.004)) for attempt in attempts])
    assert sum(isinstance(result, Held) for result in results) == 1
    assert sum(isinstance(result, SlotFull) for result in results) == 1


async def test_sweepers_and_customers_who_find_the_same_overdue_hold_free_it_once(
    database_url: str, connection: asyncpg.Connection
) -> None:
    chance = random.Random(5)
    async with workers(database_url) as pair:
        for _ in range(ROUNDS):
            await _resell_while_sweeping(pair, connection, chance)
        assert await violations(pair[0].database) == []


async def _sweep_after_a_customer_was_faster(worker: Worker, connection: asyncpg.Connection) -> int:
    """A sweeper has found the slot overdue; before it gets the lock, a customer fails the hold and takes the seat."""
    slot_id = await new_slot(connection, seats=2)
    held = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
    await _end_in(connection, held.booking.id, 0)
    await worker.bookings.hold_seats(GUEST, wanted(slot_id))
    async with worker.database.transaction() as inside:
        await inside.execute("SELECT 1 FROM appointment_slots WHERE id = $1 FOR NO KEY UPDATE", slot_id)
        freed = "SELECT coalesce(sum(e.holds), 0)::integer FROM expire_holds(ARRAY[$1::bigint], 'sweeper') AS e"
        holds: int = await inside.fetchval(freed, slot_id)
    return holds


async def test_a_sweeper_that_comes_second_finds_nothing_to_free(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, count=1) as [worker]:
        assert await _sweep_after_a_customer_was_faster(worker, connection) == 0
        assert await violations(worker.database) == []


async def test_without_a_second_look_at_the_status_it_frees_the_seat_again(
    database_url: str, connection: asyncpg.Connection
) -> None:
    """The negative control."""
    await mutate(connection, "expire_holds", "AND b.status = 'PENDING'", "")
    async with workers(database_url, count=1) as [worker]:
        assert await _sweep_after_a_customer_was_faster(worker, connection) == 1
        assert await violations(worker.database)
