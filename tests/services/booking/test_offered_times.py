"""Ids of times grow old; what was answered by their idempotency key stays."""

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import pytest

from slotwise.domain.bookings import Booker
from slotwise.domain.errors import TimeGone
from slotwise.domain.offered_times import OfferedTime
from slotwise.services.booking.offered_times import OfferedTimes, OfferRequest
from slotwise.services.core.idempotency import IdempotencyKey
from slotwise.services.core.time_ids import TimeIds
from tests.races.test_carving import open_morning
from tests.workers import GUEST, new_slot, workers

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
ADA = Booker(None, "Ada Lovelace", "ada@example.org")
IDS = TimeIds("a secret of at least 32 bytes, for tests")


@pytest.mark.parametrize("published", [True, False])
async def test_an_id_that_has_grown_old_gives_the_answer_of_its_key_and_nothing_new(
    database_url: str, connection: Connection, published: bool
) -> None:
    time = await (a_slot if published else a_part_of_a_window)(connection)
    key = IdempotencyKey.of("guest", "POST /api/bookings", "a key" * 4, b"body")
    later = datetime.now(UTC) + timedelta(hours=24)
    async with workers(database_url, 1) as [worker]:
        today = OfferedTimes(worker.database, worker.bookings, IDS)
        tomorrow = OfferedTimes(worker.database, worker.bookings, IDS, lambda: later)
        wanted = OfferRequest(IDS.id_of(time))
        held = await today.hold_offered(GUEST, wanted, ADA, key)
        again = await tomorrow.hold_offered(GUEST, wanted, ADA, key)
        assert (again.replayed, again.booking.id, again.manage.token) == (True, held.booking.id, held.manage.token)
        with pytest.raises(TimeGone):
            await tomorrow.hold_offered(GUEST, wanted, ADA)


async def a_slot(connection: Connection) -> OfferedTime:
    slot_id = await new_slot(connection, seats=3)
    row = await connection.fetchrow("SELECT start_time, end_time FROM appointment_slots WHERE id = $1", slot_id)
    assert row is not None
    return OfferedTime(None, slot_id, row["start_time"], row["end_time"], None, datetime.now(UTC))


async def a_part_of_a_window(connection: Connection) -> OfferedTime:
    wanted = (await open_morning(connection)).time(0, 20)
    return OfferedTime(
        wanted.window_id, None, wanted.start_time, wanted.end_time, wanted.visit_type_id, datetime.now(UTC)
    )
