"""A person's own appointments by when they are: what is coming, and what is past or cancelled."""

from datetime import datetime
from typing import NamedTuple

from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.domain.users import User

# Of so many bookings, the newest, that an account made.
LOOKED_AT = 1000


class Position(NamedTuple):
    """Of an appointment in the order of their starts."""

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
    """What the desk booked for others is not its own, so nothing here is a read to be recorded."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_coming_bookings(self, user: User, limit: int, after: Position = FIRST) -> list[Booking]:
        """What will take place: confirmed, or held for them still."""
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
        """What has taken place, and what is cancelled, whenever it was to be."""
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
