"""A person's own appointments: the upcoming ones, and those past or cancelled."""

from datetime import datetime
from typing import NamedTuple

from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.users import User

# How many of an account's newest bookings are searched.
LOOKED_AT = 1000


class Position(NamedTuple):
    """The place of an appointment in the order of start times."""

    start_time: datetime
    booking_id: int

    @classmethod
    def of(cls, booking: Booking) -> "Position":
        return cls(booking.start_time, booking.id)


FIRST = Position(FIRST_TIME, 0)
LAST = Position(LAST_READABLE_TIME, MAX_ID)

LIST_COMING_BOOKINGS = Statement("booking/my_bookings.list_coming_bookings", Booking)
LIST_PAST_BOOKINGS = Statement("booking/my_bookings.list_past_bookings", Booking)


class MyBookings:
    """Bookings that the desk made for others are left out, so no read is recorded here."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_coming_bookings(self, user: User, limit: int, after: Position = FIRST) -> list[Booking]:
        """Appointments that have not ended: confirmed, or still held."""
        async with self._database.connection() as connection:
            return await LIST_COMING_BOOKINGS.all(
                connection,
                user_id=user.id,
                own_email=_own_email(user),
                after_time=after.start_time,
                after_id=after.booking_id,
                limit=limit,
            )

    async def list_past_bookings(self, user: User, limit: int, before: Position = LAST) -> list[Booking]:
        """Appointments that have ended, and all cancelled ones."""
        async with self._database.connection() as connection:
            return await LIST_PAST_BOOKINGS.all(
                connection,
                user_id=user.id,
                own_email=_own_email(user),
                before_time=before.start_time,
                before_id=before.booking_id,
                limit=limit,
            )


def _own_email(user: User) -> str | None:
    return user.email if user.was_desk or user.at_desk else None
