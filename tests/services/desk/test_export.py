"""The export of many bookings."""

from typing import TypeAlias

import asyncpg
import pytest

from slotwise.db.pool import Database
from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.services.booking.search import BookingQuery
from slotwise.services.desk import export
from slotwise.services.desk.export import BookingExport
from tests.workers import DESK, GUEST, Worker, new_slot, wanted

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

assert DESK.user is not None
READER = DESK.user
EVERYTHING = BookingQuery()


@pytest.fixture
def desk(database: Database) -> BookingExport:
    return BookingExport(database)


async def exported(desk: BookingExport, query: BookingQuery = EVERYTHING) -> list[Booking]:
    return [one.booking async for page in desk.export_bookings(READER, query) for one in page]


async def test_an_export_has_every_booking_once_and_is_recorded_at_start_and_end(
    worker: Worker, desk: BookingExport, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot_id = await new_slot(connection, 20)
    made = [(await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=True))).booking.id for _ in range(6)]
    for page in (1, 2, 4, 6, 7):
        monkeypatch.setattr(export, "EXPORT_PAGE", page)
        assert [booking.id for booking in await exported(desk)] == made[::-1], page
    assert not await exported(desk, BookingQuery(status=BookingStatus.CANCELLED))
    notes = await connection.fetch("SELECT details::text FROM audit_log WHERE action = 'export_bookings' ORDER BY id")
    assert [note[0] for note in notes[:2]] == ["{}", '{"bookings": 6}']
    assert [note[0] for note in notes[-2:]] == ['{"status": "CANCELLED"}', '{"status": "CANCELLED", "bookings": 0}']


async def test_an_export_holds_no_connection_between_pages_and_fails_with_the_database(
    worker: Worker, database_url: str, connection: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "EXPORT_PAGE", 2)
    slot_id = await new_slot(connection, 20)
    for _ in range(5):
        await worker.bookings.hold_seats(GUEST, wanted(slot_id, confirm=True))
    database = await Database.connect(database_url, 1)
    try:
        pages = BookingExport(database).export_bookings(READER, EVERYTHING)
        assert len(await anext(pages)) == 2
        assert database.size == database.idle == 1
        await connection.execute("ALTER TABLE bookings RENAME TO gone")
        with pytest.raises(asyncpg.UndefinedTableError):
            await anext(pages)
    finally:
        await database.close()
    notes = await connection.fetch("SELECT details::text FROM audit_log WHERE action = 'export_bookings'")
    assert [note[0] for note in notes] == ["{}"]
