"""What the clinic did to a booking after it was made: moved it, or cancelled it."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking


class ClinicChange(Struct, frozen=True):
    """The start and the length that the booking was made for; None if neither was changed since.

    `cancelled` if somebody at the desk cancelled it who is not its patient.
    """

    booking_id: int
    booked_start: datetime | None
    booked_minutes: int | None
    cancelled: bool


LIST_CLINIC_CHANGES = Statement("booking/clinic_changes.list_clinic_changes", ClinicChange)


class ClinicChanges:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_clinic_changes(self, bookings: Sequence[Booking]) -> dict[int, ClinicChange]:
        """By booking. For readers who may see these bookings: it shows no names, so the read is not recorded."""
        if not bookings:
            return {}
        async with self._database.connection() as connection:
            found = await LIST_CLINIC_CHANGES.all(connection, booking_ids=[booking.id for booking in bookings])
        return {change.booking_id: change for change in found}
