"""A booking's history, and the slip for its patient."""

from datetime import datetime

from msgspec import Struct

from slotwise.db.pool import Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking
from slotwise.domain.errors import BookingNotFound
from slotwise.domain.users import User, actor_of
from slotwise.services.booking.bookings import READ_BOOKINGS
from slotwise.services.core.audit import record_action, shows_others
from slotwise.services.core.callers import require_desk_of

# The most changes of its slot that a history shows.
MOST_CHANGES = 200


class HistoryEvent(Struct, frozen=True):
    """A row of the ledger. `seats` is how many it moved or, if `of_slot`, the slot's new total."""

    sequence: int
    kind: str
    of_slot: bool
    seats: int
    available_after: int
    total_after: int
    actor: str
    actor_name: str | None
    created_at: datetime


class History(Struct, frozen=True):
    """`cut_short` if events are missing: the slot has more than are shown, or the ledger does not have the booking's
    events at the times that the booking says, as after a clock was set back.
    """

    booking: Booking
    cancel_reason: str | None
    overbooking_reason: str | None
    patient_asked: bool
    events: list[HistoryEvent]
    cut_short: bool


class Ending(Struct, frozen=True):
    """`patient_asked` if the desk cancelled it because the patient asked for it. `events` is how many events of the
    booking the ledger must have.
    """

    cancel_reason: str | None
    overbooking_reason: str | None
    patient_asked: bool
    events: int


GET_ENDING = Statement("desk/history.get_ending", Ending)
GET_HISTORY = Statement("desk/history.get_history", HistoryEvent)


class BookingHistory:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def get_history(self, reader: User, booking_id: int) -> History:
        """A booking with its history. Raises `BookingNotFound`, and `NotAllowed` for the desk of other clinics."""
        async with self._database.connection() as connection:
            found = await READ_BOOKINGS.first(connection, booking_ids=[booking_id])
            if found is None:
                raise BookingNotFound
            require_desk_of(reader, found.clinic_id)
            ending = await GET_ENDING.one(connection, booking_id=booking_id)
            events = await GET_HISTORY.all(connection, booking_id=booking_id, most_of_slot=MOST_CHANGES + 1)
            # Recorded even if the booking is the reader's own: the history shows the names of colleagues.
            await record_action(connection, actor_of(reader), "get_history", f"booking:{booking_id}")
        own = [event for event in events if not event.of_slot]
        of_slot = [event for event in events if event.of_slot]
        shown = sorted(own + of_slot[:MOST_CHANGES], key=lambda event: event.sequence)
        cut_short = len(own) < ending.events or len(of_slot) > MOST_CHANGES
        return History(found, ending.cancel_reason, ending.overbooking_reason, ending.patient_asked, shown, cut_short)

    async def get_slip(self, reader: User, booking_id: int) -> Booking:
        """The booking, for the slip that its patient gets. Raises `BookingNotFound` and `NotAllowed`."""
        async with self._database.connection() as connection:
            booking = await READ_BOOKINGS.first(connection, booking_ids=[booking_id])
            if booking is None:
                raise BookingNotFound
            require_desk_of(reader, booking.clinic_id)
            if shows_others(reader, [booking]):
                await record_action(connection, actor_of(reader), "get_slip", f"booking:{booking_id}")
        return booking
