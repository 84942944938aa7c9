"""What a calendar shows of a booking, and the id by which it recognises the booking again."""

import uuid
from datetime import datetime

from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import BookingNotFound
from slotwise.services.core.callers import Caller, Claim, refuse

_NAMESPACE = uuid.UUID("6f0d2a4e-7d4b-4c1f-9a55-3b8f8c2f5e1d")


class CalendarEntry(Struct, frozen=True):
    """A booking without name and e-mail. `sequence` grows with each change of what the entry says."""

    manage_token_hash: bytes
    status: BookingStatus
    seats_booked: int
    doctor_name: str
    specialization: str | None
    start_time: datetime
    end_time: datetime
    created_at: datetime
    changed_at: datetime
    read_at: datetime
    sequence: int

    @property
    def uid(self) -> str:
        """Never changes, and is unique among installations: all of them count ids from 1, and their URLs can change."""
        return str(uuid.uuid5(_NAMESPACE, self.manage_token_hash.hex()))


class ClaimedEntry(Struct, frozen=True):
    """An entry, and what a caller must match to see it."""

    entry: CalendarEntry
    user_id: int | None
    user_email: str | None
    clinic_id: int

    @property
    def claim(self) -> Claim:
        return Claim(self.user_id, self.user_email, self.entry.manage_token_hash, self.clinic_id)


READ_CLAIMED_ENTRY = Statement("booking/calendars.read_claimed_entry", ClaimedEntry)


class Calendars:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_calendar_entry(self, caller: Caller, booking_id: int) -> CalendarEntry:
        """For callers who may manage the booking. It shows no patient's name, so the desk's reads are not recorded."""
        async with self._database.connection() as connection:
            read = await READ_CLAIMED_ENTRY.first(connection, booking_id=booking_id)
        if read is None:
            raise BookingNotFound
        if not caller.may_manage(read.claim):
            refuse(caller)
        return read.entry
