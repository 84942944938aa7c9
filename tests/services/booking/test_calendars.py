"""The data of a calendar file: its sequence grows, its uid never changes, and strangers get neither."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest
import pytest_asyncio
from msgspec.structs import replace

from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import BookingNotFound, NotAllowed, NotAuthenticated
from slotwise.domain.slots import SlotChange
from slotwise.domain.users import Role, User
from slotwise.services.booking.batches import Held
from slotwise.services.booking.calendars import CalendarEntry, Calendars
from slotwise.services.core.callers import Caller
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.slots import Slots
from tests.workers import DESK, GUEST, NOW, Worker, new_slot, wanted, workers

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ADMIN = User(0, "admin@example.org", "Ann Admin", Role.ADMIN, True, 1, NOW, NOW)
PATIENT = User(7, "pat@example.org", "Pat Patient", Role.PATIENT, True, 1, NOW, NOW)


class Appointment:
    def __init__(self, worker: Worker, slot_id: int) -> None:
        self.worker = worker
        self.slot_id = slot_id

    async def hold(self, confirm: bool = False) -> Held:
        return await self.worker.bookings.hold_seats(GUEST, wanted(self.slot_id, confirm=confirm))

    async def move(self, hours: int) -> None:
        change = SlotChange(start_time=NOW + timedelta(days=30, hours=hours))
        await Slots(self.worker.database).update_slot(ADMIN, self.slot_id, change)

    async def rename(self, **fields: Any) -> None:
        doctor_id = await self._doctor_id()
        await Doctors(self.worker.database).update_doctor(ADMIN, doctor_id, **fields)

    async def _doctor_id(self) -> int:
        return (await Slots(self.worker.database).get_slot(self.slot_id)).doctor_id

    async def entry(self, held: Held) -> CalendarEntry:
        caller = Caller(manage_token=held.manage.token)
        return await Calendars(self.worker.database).get_calendar_entry(caller, held.booking.id)


@pytest_asyncio.fixture
async def appointment(database_url: str, connection: Connection) -> AsyncIterator[Appointment]:
    async with workers(database_url, 1) as [worker]:
        yield Appointment(worker, await new_slot(connection, 10))


async def test_the_sequence_grows_when_it_is_confirmed_moved_and_cancelled_and_the_uid_stays(
    appointment: Appointment,
) -> None:
    held = await appointment.hold()
    bookings, entries = appointment.worker.bookings, [await appointment.entry(held)]
    await bookings.confirm_booking(DESK, held.booking.id)
    entries.append(await appointment.entry(held))
    for hours in (1, 2):
        await appointment.move(hours)
        entries.append(await appointment.entry(held))
    await bookings.cancel_booking(DESK, held.booking.id)
    entries.append(await appointment.entry(held))
    assert [entry.sequence for entry in entries] == [0, 1, 2, 3, 4]
    assert {entry.uid for entry in entries} == {entries[0].uid}
    assert [entry.status for entry in entries[:2]] == [BookingStatus.PENDING, BookingStatus.CONFIRMED]
    assert entries[-1].status is BookingStatus.CANCELLED
    changes = [entry.changed_at for entry in entries]
    assert changes == sorted(set(changes))
    assert all(entry.changed_at <= entry.read_at for entry in entries)
    assert entries[3].start_time - entries[1].start_time == timedelta(hours=2)


async def test_only_moves_of_its_slot_since_the_booking_count(appointment: Appointment, connection: Connection) -> None:
    await appointment.move(1)
    other = Appointment(appointment.worker, await new_slot(connection, 10))
    held = await appointment.hold(confirm=True)
    await other.move(2)
    assert (await appointment.entry(held)).sequence == 0
    await appointment.move(3)
    assert (await appointment.entry(held)).sequence == 1


async def test_the_sequence_grows_when_the_doctor_s_name_or_specialty_changes(
    appointment: Appointment, connection: Connection
) -> None:
    held = await appointment.hold(confirm=True)
    other = Appointment(appointment.worker, await new_slot(connection, 10))
    entries = [await appointment.entry(held)]
    for fields in ({"name": "Dr. New"}, {"name": "Dr. Newer"}, {"specialization": "Cardiology"}):
        await appointment.rename(**fields)
        entries.append(await appointment.entry(held))
    assert [entry.sequence for entry in entries] == [0, 1, 2, 3]
    assert (entries[-1].doctor_name, entries[-1].specialization) == ("Dr. Newer", "Cardiology")
    changes = [entry.changed_at for entry in entries]
    assert changes == sorted(set(changes)), "LAST-MODIFIED is later each time"
    await other.rename(name="Dr. Other")
    await appointment.rename(name="Dr. Newer")
    await appointment.rename(active=False)
    assert await unchanged(appointment, held, entries[-1])


async def unchanged(appointment: Appointment, held: Held, before: CalendarEntry) -> bool:
    return replace(await appointment.entry(held), read_at=before.read_at) == before


async def test_an_overdue_hold_has_ended(appointment: Appointment, connection: Connection) -> None:
    held = await appointment.hold()
    await connection.execute("UPDATE bookings SET expires_at = now() WHERE id = $1", held.booking.id)
    entry = await appointment.entry(held)
    assert (entry.status, entry.sequence) == (BookingStatus.FAILED, 1)


async def test_two_bookings_of_one_slot_are_two_entries(appointment: Appointment) -> None:
    first, second = await appointment.hold(), await appointment.hold()
    assert (await appointment.entry(first)).uid != (await appointment.entry(second)).uid


async def test_strangers_get_no_calendar_entry(appointment: Appointment) -> None:
    held = await appointment.hold()
    calendars = Calendars(appointment.worker.database)
    assert await calendars.get_calendar_entry(DESK, held.booking.id)
    for caller, refusal in (
        (GUEST, NotAuthenticated),
        (Caller(PATIENT), NotAllowed),
        (Caller(manage_token="another's"), NotAllowed),
    ):
        with pytest.raises(refusal):
            await calendars.get_calendar_entry(caller, held.booking.id)
    with pytest.raises(BookingNotFound):
        await calendars.get_calendar_entry(DESK, held.booking.id + 1)
