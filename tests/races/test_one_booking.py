"""Confirm, cancel, expiry and the next customer race for one booking and its seats."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

import asyncpg
import pytest

from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import BookingCancelled, BookingFailed, HoldExpired, SlotFull
from slotwise.services import booking_batches
from slotwise.services.booking_batches import ConfirmRow, Held
from slotwise.services.expiry import sweep
from tests.workers import DESK, GUEST, Worker, at_once, each, new_slot, violations, wanted, workers

ROUNDS = 40


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
            results = await at_once(_contenders(pair, held.booking.id, slot_id, chance))
            unexpected = [result for result in results if not isinstance(result, _EXPECTED)]
            assert not unexpected
            seen.add((await pair[0].bookings.get_booking(DESK, held.booking.id)).status)
            assert await violations(pair[0].database) == []
    assert seen >= {BookingStatus.CANCELLED, BookingStatus.FAILED}


_EXPECTED = (Booking, Held, int, HoldExpired, BookingCancelled, BookingFailed, SlotFull)


def _contenders(
    pair: list[Worker], booking_id: int, slot_id: int, chance: random.Random
) -> list[Callable[[], Awaitable[object]]]:
    first, second = pair
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: first.bookings.confirm_booking(DESK, booking_id),
        lambda: second.bookings.cancel_booking(DESK, booking_id),
        lambda: second.bookings.confirm_booking(DESK, booking_id),
        lambda: sweep(first.database),
        lambda: sweep(second.database),
        lambda: second.bookings.hold_seats(GUEST, wanted(slot_id)),
    ]
    return [partial(_later, attempt, chance.uniform(0, 0.04)) for attempt in attempts]


async def _later(attempt: Callable[[], Awaitable[object]], seconds: float) -> object:
    await asyncio.sleep(seconds)
    return await attempt()


async def _confirm_after_waiting_past_the_deadline(url: str, connection: asyncpg.Connection) -> object:
    """The slot's lock is held by somebody while a confirm waits for it and the hold's deadline passes."""
    async with workers(url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=1)
        held = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
        await _end_in(connection, held.booking.id, 0.3)
        async with connection.transaction():
            await connection.execute("SELECT 1 FROM appointment_slots WHERE id = $1 FOR UPDATE", slot_id)
            confirming = asyncio.create_task(worker.bookings.confirm_booking(DESK, held.booking.id))
            await _until_somebody_waits_for_a_lock(connection)
            await connection.execute("SELECT pg_sleep(0.4)")
        return (await asyncio.gather(confirming, return_exceptions=True))[0]


async def _until_somebody_waits_for_a_lock(connection: asyncpg.Connection) -> None:
    async with asyncio.timeout(5):
        while not await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_hold_is_not_confirmed_after_its_deadline_however_long_the_lock_took(
    database_url: str, connection: asyncpg.Connection
) -> None:
    assert isinstance(await _confirm_after_waiting_past_the_deadline(database_url, connection), HoldExpired)


async def test_the_transactions_own_clock_would_confirm_it_too_late(
    database_url: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: `now()` is the transaction's start, before the wait."""
    mutant = Statement("bookings.confirm_bookings", ConfirmRow)
    mutant.text = mutant.text.replace("clock_timestamp()", "now()")
    monkeypatch.setattr(booking_batches, "CONFIRM_BOOKINGS", mutant)
    late = await _confirm_after_waiting_past_the_deadline(database_url, connection)
    assert isinstance(late, Booking)
    assert late.status is BookingStatus.CONFIRMED


async def test_an_expired_hold_sells_again_at_once_though_nobody_swept(
    database_url: str, connection: asyncpg.Connection
) -> None:
    async with workers(database_url, count=1) as [worker]:
        slot_id = await new_slot(connection, seats=1)
        first = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
        with pytest.raises(SlotFull):
            await worker.bookings.hold_seats(GUEST, wanted(slot_id))
        await _end_in(connection, first.booking.id, 0)
        second = await worker.bookings.hold_seats(GUEST, wanted(slot_id))
        assert (await worker.bookings.get_booking(DESK, first.booking.id)).status is BookingStatus.FAILED
        assert second.booking.status is BookingStatus.PENDING
        assert await violations(worker.database) == []


async def test_many_sweepers_expire_each_hold_once(database_url: str, connection: asyncpg.Connection) -> None:
    async with workers(database_url, count=4) as several:
        slot_ids = [await new_slot(connection, seats=10) for _ in range(50)]
        for slot_id in slot_ids:
            await several[0].batches.hold([booking_batches.HoldRequest(wanted(slot_id), "guest") for _ in range(10)])
        await connection.execute("UPDATE bookings SET expires_at = clock_timestamp()")
        swept = await each(several, 4, lambda worker, _: sweep(worker.database))
        assert sum(count for count in swept if isinstance(count, int)) == 500
        assert await violations(several[0].database) == []
