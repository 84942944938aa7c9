"""The day on paper: a doctor's slots with the patients who come."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.bookings import Booking, BookingStatus, sorted_by_name
from slotwise.domain.name_order import ENGLISH, NameOrder
from slotwise.domain.users import User, actor_of
from slotwise.services.booking.clinic_changes import cancelled_by_clinic
from slotwise.services.core.audit import record_action, shows_others
from slotwise.services.core.open_time import OpenTime, list_open_time

# More slots and patients than these do not fit on a sheet that is printed. The last is how many bookings are read to
# find the patients.
LONGEST_DAY = 500
MOST_PATIENTS = 2000
MOST_LOOKED_AT = 100_000
# Sheets of all doctors together. No further sheet begins once `MOST_PATIENTS` bookings are read.
MOST_SHEETS = 50


class DaySlot(Struct, frozen=True):
    id: int
    start_time: datetime
    end_time: datetime
    total_seats: int
    available_seats: int
    status: str
    clinic_id: int
    window_id: int | None

    @property
    def is_open_time(self) -> bool:
        """Whether it was carved out of a window, and is empty again."""
        return self.window_id is not None and self.available_seats == self.total_seats

    def has_more_than(self, bookings: Sequence[Booking]) -> bool:
        """Whether more seats are taken than these bookings have."""
        return self.total_seats - self.available_seats > sum(booking.seats_booked for booking in bookings)


class DoctorOfDay(Struct, frozen=True):
    id: int
    name: str


class DaySheet(Struct, frozen=True):
    """A doctor's slots by start, with the bookings that have seats in them, by name. `cut_short` if there are more.
    `open_time` is by start, too; booked visits in it are among the slots.

    One that began the day before and ends on this day comes first.
    `to_tell` has, by slot, those that the clinic cancelled. They have no seats; their patients must be told. There may
    be more of them if `more_cancelled`.
    """

    slots: list[tuple[DaySlot, list[Booking]]]
    to_tell: dict[int, list[Booking]]
    cut_short: bool
    more_cancelled: bool
    open_time: Sequence[OpenTime] = ()

    @property
    def is_empty(self) -> bool:
        return not self.slots and not self.open_time

    @property
    def bookings(self) -> list[Booking]:
        return [booking for _, found in self.slots for booking in found]

    @property
    def cancelled(self) -> list[Booking]:
        return [booking for found in self.to_tell.values() for booking in found]


class DoctorsDay(Struct, frozen=True):
    doctor: DoctorOfDay
    sheet: DaySheet

    @property
    def has_patients(self) -> bool:
        """Who come, or whom the clinic must tell that it has cancelled. True if not all were read."""
        come = any(booking.status is BookingStatus.CONFIRMED for booking in self.sheet.bookings)
        return come or bool(self.sheet.to_tell) or self.is_cut

    @property
    def is_cut(self) -> bool:
        return self.sheet.cut_short or self.sheet.more_cancelled


class DayOfAll(Struct, frozen=True):
    """The sheets of the doctors with slots or open time that day, by name. `cut_short` if there are more doctors."""

    days: list[DoctorsDay]
    cut_short: bool


LIST_DOCTORS_OF_DAY = Statement("desk/day_sheets.list_doctors_of_day", DoctorOfDay)
LIST_SLOTS_OF_DAY = Statement("desk/day_sheets.list_slots_of_day", DaySlot)
LIST_BOOKINGS_OF_DAY = Statement("desk/day_sheets.list_bookings_of_day", Booking)


class DaySheets:
    def __init__(self, database: Database, order: NameOrder = ENGLISH) -> None:
        self._database = database
        self._order = order

    async def list_sheets_of_day(self, reader: User, starts_from: datetime, starts_before: datetime) -> DayOfAll:
        """Reads one sheet after the other. Each has its own entry in the audit log."""
        async with self._database.connection() as connection:
            doctors = await LIST_DOCTORS_OF_DAY.all(
                connection,
                starts_from=starts_from,
                starts_before=starts_before,
                clinic_ids=reader.clinic_ids,
                limit=MOST_SHEETS + 1,
            )
        days: list[DoctorsDay] = []
        patients = 0
        for doctor in doctors[:MOST_SHEETS]:
            if patients >= MOST_PATIENTS:
                break
            sheet = await self.list_bookings_of_day(reader, doctor.id, starts_from, starts_before)
            patients += sum(len(found) for _, found in sheet.slots)
            days.append(DoctorsDay(doctor, sheet))
        # Of some, a closure covers all open time.
        return DayOfAll([each for each in days if not each.sheet.is_empty], len(days) < len(doctors))

    async def list_bookings_of_day(
        self, reader: User, doctor_id: int, starts_from: datetime, starts_before: datetime
    ) -> DaySheet:
        async with self._database.connection() as connection:
            sheet = await read_sheet(connection, reader.clinic_ids, doctor_id, starts_from, starts_before, self._order)
            if shows_others(reader, [*sheet.bookings, *sheet.cancelled]):
                told = {"cancelled": len(sheet.cancelled)} if sheet.cancelled else {}
                details = {"starts_from": starts_from, "bookings": len(sheet.bookings), **told}
                await record_action(
                    connection, actor_of(reader), "list_bookings_of_day", f"doctor:{doctor_id}", details
                )
        return sheet


async def read_sheet(
    connection: Connection,
    clinic_ids: Collection[int] | None,
    doctor_id: int,
    starts_from: datetime,
    starts_before: datetime,
    order: NameOrder,
) -> DaySheet:
    """Who calls this records in the audit log that names were read."""
    period = (connection, clinic_ids, doctor_id, starts_from, starts_before)
    slots = await _slots_of_day(*period)
    found = await LIST_BOOKINGS_OF_DAY.all(
        connection,
        slot_ids=[slot.id for slot in slots[:LONGEST_DAY]],
        looked_at=MOST_LOOKED_AT,
        limit=MOST_PATIENTS,
    )
    cancelled = await cancelled_by_clinic(connection, [slot.id for slot in slots[:LONGEST_DAY]], order)
    # Read again after the bookings: a seat that was released meanwhile must not look like a missing booking.
    slots = await _slots_of_day(*period)
    by_slot, to_tell = _by_slot(sorted_by_name(found, order)), _by_slot(cancelled.bookings)
    listed = (slot for slot in slots[:LONGEST_DAY] if slot.id in to_tell or not slot.is_open_time)
    shown = [(slot, by_slot.get(slot.id, [])) for slot in listed]
    cut_short = len(slots) > LONGEST_DAY or any(slot.has_more_than(own) for slot, own in shown)
    open_time = await list_open_time(connection, [doctor_id], starts_from, starts_before, clinic_ids)
    return DaySheet(shown, to_tell, cut_short, cancelled.cut_short, open_time)


async def _slots_of_day(
    connection: Connection,
    clinic_ids: Collection[int] | None,
    doctor_id: int,
    starts_from: datetime,
    starts_before: datetime,
) -> list[DaySlot]:
    """One more than is shown, which tells whether there are more."""
    return await LIST_SLOTS_OF_DAY.all(
        connection,
        doctor_id=doctor_id,
        starts_from=starts_from,
        starts_before=starts_before,
        clinic_ids=clinic_ids,
        limit=LONGEST_DAY + 1,
    )


def _by_slot(found: Sequence[Booking]) -> dict[int, list[Booking]]:
    bookings = defaultdict(list)
    for booking in found:
        bookings[booking.slot_id].append(booking)
    return dict(bookings)
