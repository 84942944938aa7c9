"""All bookings that match a query, for a spreadsheet."""

from collections.abc import AsyncIterator

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.fields import MAX_ID
from slotwise.domain.users import User, actor_of
from slotwise.services.booking.search import BookingQuery, find_bookings
from slotwise.services.core.audit import record_action

# How many bookings are read, and so are in memory, at a time.
EXPORT_PAGE = 500


class ReasonOfBooking(Struct, frozen=True):
    booking_id: int
    cancel_reason: str


class ExportedBooking(Struct, frozen=True):
    booking: Booking
    cancel_reason: str | None


LIST_CANCEL_REASONS = Statement("desk/export.list_cancel_reasons", ReasonOfBooking)


class BookingExport:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def export_bookings(self, reader: User, query: BookingQuery) -> AsyncIterator[list[ExportedBooking]]:
        """All bookings that match, newest first, a page at a time. Bookings made since the start are left out.

        No connection is held between two pages, however slowly the client reads. The audit log has an entry before the
        first page, and one at the end with the number of bookings. Without the second, the export broke off.
        """
        query = query.within(reader.clinic_ids)
        async with self._database.connection() as connection:
            await record_action(connection, actor_of(reader), "export_bookings", "bookings", query.outline())
        before: int | None = MAX_ID
        bookings = 0
        while before is not None:
            async with self._database.connection() as connection:
                found = await find_bookings(connection, query, before, EXPORT_PAGE)
                page = await _with_reasons(connection, found.first(EXPORT_PAGE))
            full = len(found.bookings) == EXPORT_PAGE
            before = found.bookings[-1].id if full else found.walked_to
            bookings += len(page)
            yield page
        details = query.outline() | {"bookings": bookings}
        async with self._database.connection() as connection:
            await record_action(connection, actor_of(reader), "export_bookings", "bookings", details)


async def _with_reasons(connection: Connection, found: list[Booking]) -> list[ExportedBooking]:
    cancelled = [booking.id for booking in found if booking.status is BookingStatus.CANCELLED]
    given = await LIST_CANCEL_REASONS.all(connection, booking_ids=cancelled) if cancelled else []
    reasons = {reason.booking_id: reason.cancel_reason for reason in given}
    return [ExportedBooking(booking, reasons.get(booking.id)) for booking in found]
