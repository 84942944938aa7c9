"""What the clinic did to a booking after it was made: moved it, gave it to another doctor, or cancelled it."""

from collections.abc import Collection, Sequence
from datetime import datetime

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.bookings import Booking, sorted_by_name
from slotwise.domain.name_order import ENGLISH, NameOrder
from slotwise.domain.users import User, actor_of
from slotwise.services.core.audit import record_action, request_id, shows_others


class ClinicChange(Struct, frozen=True):
    """The start, the length and the doctor that the booking was made for; None if they are as they were.

    `doctor_name` is the doctor now.
    `cancelled` if somebody at the desk cancelled it who is not its patient, and the patient had not asked for it.
    """

    booking_id: int
    booked_start: datetime | None
    booked_minutes: int | None
    booked_doctor: str | None
    doctor_name: str
    cancelled: bool


class CancelledBookings(Struct, frozen=True):
    """Appointments that the clinic cancelled, by name. `cut_short` if more than `MOST_CANCELLED` were cancelled.

    Only the newest `MOST_LOOKED_AT` bookings of all slots together, in equal parts for each slot, are looked at.
    """

    bookings: list[Booking]
    cut_short: bool


class SlotOfClosure(Struct, frozen=True):
    slot_id: int | None


class TakenSlot(Struct, frozen=True):
    slot_id: int
    taken_at: datetime


class Told(Struct, frozen=True):
    """Who has told the patient of a booking; None if that account is gone."""

    booking_id: int
    told_at: datetime
    told_by: str | None


class PatientsToTell(Struct, frozen=True):
    """The appointments in the time of a closure that the clinic cancelled or that a colleague has taken over, and by
    booking who has told the patient.
    """

    bookings: list[Booking]
    told: dict[int, Told]
    cut_short: bool


LIST_CLINIC_CHANGES = Statement("booking/clinic_changes.list_clinic_changes", ClinicChange)
LIST_CANCELLED_BOOKINGS = Statement("booking/clinic_changes.list_cancelled_bookings", Booking)
LIST_TAKEN_SLOTS = Statement("booking/clinic_changes.list_taken_slots", TakenSlot)
LIST_TAKEN_OVER = Statement("booking/clinic_changes.list_taken_over", Booking)
LIST_SLOTS_OF_CLOSURE = Statement("booking/clinic_changes.list_slots_of_closure", SlotOfClosure)
NOTE_PATIENTS_TOLD = Statement("booking/clinic_changes.note_patients_told", NoRow)
LIST_TOLD = Statement("booking/clinic_changes.list_told", Told)

# How many bookings of the slots are read to find the cancelled ones, and how many of these to find the clinic's.
MOST_LOOKED_AT = 100_000
MOST_CANCELLED = 500
# A doctor's times of some months.
MOST_SLOTS_OF_CLOSURE = 5_000


class ClinicChanges:
    def __init__(self, database: Database, order: NameOrder = ENGLISH) -> None:
        self._database = database
        self._order = order

    async def list_clinic_changes(self, bookings: Sequence[Booking]) -> dict[int, ClinicChange]:
        """By booking. For readers who may see these bookings: it shows no names, so the read is not recorded."""
        if not bookings:
            return {}
        async with self._database.connection() as connection:
            found = await LIST_CLINIC_CHANGES.all(connection, booking_ids=[booking.id for booking in bookings])
        return {change.booking_id: change for change in found}

    async def list_cancelled_bookings(self, reader: User, slot_id: int) -> CancelledBookings:
        """The appointments of a slot that the clinic cancelled, with names, for the desk, which tells the patients."""
        async with self._database.connection() as connection:
            found = await cancelled_by_clinic(connection, [slot_id], self._order)
            if shows_others(reader, found.bookings):
                details = {"bookings": len(found.bookings)}
                await record_action(connection, actor_of(reader), "list_cancelled_bookings", f"slot:{slot_id}", details)
        return found

    async def list_patients_to_tell(self, reader: User, closure_id: int) -> PatientsToTell | None:
        """For the desk, which tells the patients. None if there was never such a closure."""
        async with self._database.connection() as connection:
            found = await self._to_tell(connection, reader, closure_id)
            if found is not None and shows_others(reader, found.bookings):
                details = {"bookings": len(found.bookings)}
                subject = f"closure:{closure_id}"
                await record_action(connection, actor_of(reader), "list_patients_to_tell", subject, details)
        return found

    async def note_patients_told(self, account: User, closure_id: int, booking_ids: Collection[int]) -> int:
        """Note that this account has told these patients of the closure; returns how many. Noted ones stay as noted."""
        async with self._database.connection() as connection:
            found = await self._to_tell(connection, account, closure_id)
        known = [] if found is None else [each.id for each in found.bookings if each.id not in found.told]
        noted = [each for each in known if each in booking_ids]
        async with self._database.effect() as connection:
            await NOTE_PATIENTS_TOLD.run(
                connection, actor=actor_of(account), request_id=request_id(), booking_ids=noted
            )
        return len(noted)

    async def _to_tell(self, connection: Connection, reader: User, closure_id: int) -> PatientsToTell | None:
        slots = await LIST_SLOTS_OF_CLOSURE.all(connection, closure_id=closure_id, limit=MOST_SLOTS_OF_CLOSURE)
        if not slots:
            return None
        taken = await LIST_TAKEN_SLOTS.all(connection, closure_id=closure_id, limit=MOST_SLOTS_OF_CLOSURE)
        slot_ids = {slot.slot_id for slot in slots if slot.slot_id is not None} | {slot.slot_id for slot in taken}
        found = await cancelled_by_clinic(connection, sorted(slot_ids), self._order)
        concerned = [*found.bookings, *await _taken_over(connection, taken, self._order)]
        bookings = [booking for booking in concerned if reader.works_at(booking.clinic_id)]
        told = await LIST_TOLD.all(connection, booking_ids=[booking.id for booking in bookings])
        return PatientsToTell(bookings, {each.booking_id: each for each in told}, found.cut_short)


async def _taken_over(connection: Connection, taken: Sequence[TakenSlot], order: NameOrder) -> list[Booking]:
    if not taken:
        return []
    found = await LIST_TAKEN_OVER.all(
        connection,
        slot_ids=[slot.slot_id for slot in taken],
        taken_at=[slot.taken_at for slot in taken],
        limit=MOST_CANCELLED,
    )
    return sorted_by_name(found, order)


async def cancelled_by_clinic(connection: Connection, slot_ids: Sequence[int], order: NameOrder) -> CancelledBookings:
    """Of some slots. Not those that patients cancelled, nor holds that were never confirmed."""
    cancelled = await LIST_CANCELLED_BOOKINGS.all(
        connection, slot_ids=slot_ids, looked_at=MOST_LOOKED_AT, limit=MOST_CANCELLED + 1
    )
    if not cancelled:
        return CancelledBookings([], cut_short=False)
    read = cancelled[:MOST_CANCELLED]
    changes = await LIST_CLINIC_CHANGES.all(connection, booking_ids=[booking.id for booking in read])
    by_clinic = {change.booking_id for change in changes if change.cancelled}
    told = sorted_by_name((booking for booking in read if booking.id in by_clinic), order)
    return CancelledBookings(told, cut_short=len(cancelled) > MOST_CANCELLED)
