"""What the desk does with bookings beside finding and changing them: tell one's story, print a day, export many."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus
from slotwise.domain.errors import BookingNotFound
from slotwise.domain.fields import MAX_ID
from slotwise.domain.users import User, actor_of
from slotwise.services.audit import record_action, shows_others
from slotwise.services.booking_search import BookingFilter, find_bookings
from slotwise.services.bookings import READ_BOOKINGS

# Of what happened to a booking's slot meanwhile.
MOST_CHANGES = 200
# Slots of a day, and those who come: more fit on no sheet that anybody prints. They are looked for among so many.
LONGEST_DAY = 500
MOST_PATIENTS = 2000
MOST_LOOKED_AT = 100_000
# Of all doctors together: no more begin when so many have been read.
MOST_SHEETS = 50
# Bookings that are read at a time, and so in memory together.
EXPORT_PAGE = 500


class StoryEvent(Struct, frozen=True):
    """A row of the ledger. `seats` are those that it moved, or of a slot's new total."""

    sequence: int
    kind: str
    of_slot: bool
    seats: int
    available_after: int
    total_after: int
    actor: str
    actor_name: str | None
    created_at: datetime


class Story(Struct, frozen=True):
    """`cut_short` where part of what happened is not told: more of the slot than fits, or of the booking itself what
    its ledger does not have where the booking's times say, as after a clock was set back.
    """

    booking: Booking
    cancel_reason: str | None
    events: list[StoryEvent]
    cut_short: bool


class DaySlot(Struct, frozen=True):
    id: int
    start_time: datetime
    end_time: datetime
    total_seats: int
    available_seats: int
    status: str

    def has_more_than(self, bookings: Sequence[Booking]) -> bool:
        """Whether more seats are taken than those of some bookings."""
        return self.total_seats - self.available_seats > sum(booking.seats_booked for booking in bookings)


class DoctorOfDay(Struct, frozen=True):
    id: int
    name: str


class DaySheet(Struct, frozen=True):
    """A doctor's slots by start, with the bookings that have seats in them. `cut_short` where there are more."""

    slots: list[tuple[DaySlot, list[Booking]]]
    cut_short: bool


class DoctorsDay(Struct, frozen=True):
    doctor: DoctorOfDay
    sheet: DaySheet


class DayOfAll(Struct, frozen=True):
    """The sheets of those who have slots that day, by name. `cut_short` where there are more of them."""

    days: list[DoctorsDay]
    cut_short: bool


class Ending(Struct, frozen=True):
    """`events` is how many the ledger has of the booking."""

    cancel_reason: str | None
    events: int


class ReasonOfBooking(Struct, frozen=True):
    booking_id: int
    cancel_reason: str


class ExportedBooking(Struct, frozen=True):
    booking: Booking
    cancel_reason: str | None


GET_ENDING = Statement("booking_desk.get_ending", Ending)
LIST_CANCEL_REASONS = Statement("booking_desk.list_cancel_reasons", ReasonOfBooking)
LIST_STORY = Statement("booking_desk.list_story", StoryEvent)
LIST_DOCTORS_OF_DAY = Statement("booking_desk.list_doctors_of_day", DoctorOfDay)
LIST_SLOTS_OF_DAY = Statement("booking_desk.list_slots_of_day", DaySlot)
LIST_BOOKINGS_OF_DAY = Statement("booking_desk.list_bookings_of_day", Booking)


class BookingDesk:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def list_story(self, reader: User, booking_id: int) -> Story:
        """A booking with what happened to it. Raises `BookingNotFound`."""
        async with self._database.connection() as connection:
            found = await READ_BOOKINGS.first(connection, booking_ids=[booking_id])
            if found is None:
                raise BookingNotFound
            ending = await GET_ENDING.one(connection, booking_id=booking_id)
            events = await LIST_STORY.all(connection, booking_id=booking_id, most_of_slot=MOST_CHANGES + 1)
            # Recorded even where the booking is the reader's own: the story tells the names of colleagues.
            await record_action(connection, actor_of(reader), "list_story", f"booking:{booking_id}")
        own = [event for event in events if not event.of_slot]
        of_slot = [event for event in events if event.of_slot]
        told = sorted(own + of_slot[:MOST_CHANGES], key=lambda event: event.sequence)
        return Story(found, ending.cancel_reason, told, len(own) < ending.events or len(of_slot) > MOST_CHANGES)

    async def get_slip(self, reader: User, booking_id: int) -> Booking:
        """A booking as the slip tells it that its patient is handed. Raises `BookingNotFound`."""
        async with self._database.connection() as connection:
            booking = await READ_BOOKINGS.first(connection, booking_ids=[booking_id])
            if booking is None:
                raise BookingNotFound
            if shows_others(reader, [booking]):
                await record_action(connection, actor_of(reader), "get_slip", f"booking:{booking_id}")
        return booking

    async def list_sheets_of_day(self, reader: User, starts_from: datetime, starts_before: datetime) -> DayOfAll:
        """One after the other, each with its note of who was shown whom."""
        async with self._database.connection() as connection:
            doctors = await LIST_DOCTORS_OF_DAY.all(
                connection, starts_from=starts_from, starts_before=starts_before, limit=MOST_SHEETS + 1
            )
        days: list[DoctorsDay] = []
        patients = 0
        for doctor in doctors[:MOST_SHEETS]:
            if patients >= MOST_PATIENTS:
                break
            sheet = await self.list_bookings_of_day(reader, doctor.id, starts_from, starts_before)
            patients += sum(len(found) for _, found in sheet.slots)
            days.append(DoctorsDay(doctor, sheet))
        return DayOfAll(days, len(days) < len(doctors))

    async def list_bookings_of_day(
        self, reader: User, doctor_id: int, starts_from: datetime, starts_before: datetime
    ) -> DaySheet:
        async with self._database.connection() as connection:
            slots = await _slots_of_day(connection, doctor_id, starts_from, starts_before)
            found = await LIST_BOOKINGS_OF_DAY.all(
                connection,
                slot_ids=[slot.id for slot in slots[:LONGEST_DAY]],
                looked_at=MOST_LOOKED_AT,
                limit=MOST_PATIENTS,
            )
            # Again, as they are after the bookings were read: a seat given back meanwhile is nobody who is missing.
            slots = await _slots_of_day(connection, doctor_id, starts_from, starts_before)
            if shows_others(reader, found):
                details = {"starts_from": starts_from, "bookings": len(found)}
                await record_action(
                    connection, actor_of(reader), "list_bookings_of_day", f"doctor:{doctor_id}", details
                )
        shown = _with_bookings(slots[:LONGEST_DAY], found)
        return DaySheet(shown, len(slots) > LONGEST_DAY or any(slot.has_more_than(theirs) for slot, theirs in shown))

    async def export_bookings(self, reader: User, sought: BookingFilter) -> AsyncIterator[list[ExportedBooking]]:
        """All that fit the filter, newest first, some at a time; made since it began are none of them.

        Between two pages no connection is held, however slowly somebody reads. The log notes it before the first page,
        and at the end with how many there were: a first note without a second is an export that broke off.
        """
        async with self._database.connection() as connection:
            await record_action(connection, actor_of(reader), "export_bookings", "bookings", sought.outline())
        before: int | None = MAX_ID
        bookings = 0
        while before is not None:
            async with self._database.connection() as connection:
                found = await find_bookings(connection, sought, before, EXPORT_PAGE)
                page = await _with_reasons(connection, found.first(EXPORT_PAGE))
            full = len(found.bookings) == EXPORT_PAGE
            before = found.bookings[-1].id if full else found.walked_to
            bookings += len(page)
            yield page
        details = sought.outline() | {"bookings": bookings}
        async with self._database.connection() as connection:
            await record_action(connection, actor_of(reader), "export_bookings", "bookings", details)


async def _slots_of_day(
    connection: Connection, doctor_id: int, starts_from: datetime, starts_before: datetime
) -> list[DaySlot]:
    """One more than are shown, where there are."""
    return await LIST_SLOTS_OF_DAY.all(
        connection,
        doctor_id=doctor_id,
        starts_from=starts_from,
        starts_before=starts_before,
        limit=LONGEST_DAY + 1,
    )


async def _with_reasons(connection: Connection, found: list[Booking]) -> list[ExportedBooking]:
    cancelled = [booking.id for booking in found if booking.status is BookingStatus.CANCELLED]
    given = await LIST_CANCEL_REASONS.all(connection, booking_ids=cancelled) if cancelled else []
    reasons = {reason.booking_id: reason.cancel_reason for reason in given}
    return [ExportedBooking(booking, reasons.get(booking.id)) for booking in found]


def _with_bookings(slots: list[DaySlot], found: list[Booking]) -> list[tuple[DaySlot, list[Booking]]]:
    bookings = defaultdict(list)
    for booking in found:
        bookings[booking.slot_id].append(booking)
    return [(slot, bookings[slot.id]) for slot in slots]
