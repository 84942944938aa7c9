"""The use cases of slots."""

from datetime import datetime, timedelta
from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.errors import DoctorNotFound, InvalidInput, SeatsTaken, SlotNotFound
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, clean_period
from slotwise.domain.slots import Slot, SlotStatus
from slotwise.domain.users import User, actor_of
from slotwise.services.audit import record_action
from slotwise.services.expiry import expire_holds
from slotwise.services.seat_events import SeatsChanged, tell_nobody


class SlotId(Struct, frozen=True):
    id: int


class LockedDoctor(Struct, frozen=True):
    """`now` is the database's clock."""

    id: int
    now: datetime


class LockedSlot(Struct, frozen=True):
    id: int
    start_time: datetime
    end_time: datetime
    total_seats: int
    available_seats: int
    status: SlotStatus

    @property
    def duration(self) -> timedelta:
        return self.end_time - self.start_time


class SlotChange(Struct, frozen=True):
    """What to change; UNSET leaves a value as it is."""

    total_seats: int | UnsetType = UNSET
    status: SlotStatus | UnsetType = UNSET
    start_time: datetime | UnsetType = UNSET
    duration_minutes: int | UnsetType = UNSET


class SlotFilter(Struct, frozen=True):
    """Which slots on offer a person looks for. The period of starts is half-open, in UTC."""

    doctor_id: int | None = None
    specialization: str | None = None
    starts_from: datetime = FIRST_TIME
    starts_before: datetime = LAST_READABLE_TIME
    min_seats: int = 1


# Of a slot in its list: start and id.
Position: TypeAlias = tuple[datetime, int]

LOCK_DOCTORS = Statement("slots.lock_doctors", LockedDoctor)
CREATE_SLOTS = Statement("slots.create_slots", SlotId)
GET_SLOT = Statement("slots.get_slot", Slot)
LIST_SLOTS = Statement("slots.list_slots", Slot)
LIST_SLOTS_OF_SIZE = Statement("slots.list_slots_of_size", Slot)
LIST_SLOTS_OF_DOCTOR = Statement("slots.list_slots_of_doctor", Slot)
LIST_SLOTS_OF_SPECIALIZATION = Statement("slots.list_slots_of_specialization", Slot)
LOCK_SLOT = Statement("slots.lock_slot", LockedSlot)
UPDATE_SLOT = Statement("slots.update_slot", SlotId)


class Slots:
    def __init__(self, database: Database, seats_changed: SeatsChanged = tell_nobody) -> None:
        self._database = database
        self._seats_changed = seats_changed

    async def create_slot(
        self, admin: User, doctor_id: int, start_time: datetime, total_seats: int, duration_minutes: int
    ) -> Slot:
        """Raises `SlotOverlaps`, `DoctorNotFound`, and `InvalidInput` for a start that is not in the future."""
        start, end = clean_period("start_time", start_time, duration_minutes)
        async with self._database.transaction() as connection:
            _refuse_past(start, await _lock_doctor(connection, doctor_id))
            created = await CREATE_SLOTS.one(
                connection,
                doctor_ids=[doctor_id],
                start_times=[start],
                end_times=[end],
                total_seats=[total_seats],
                actor=actor_of(admin),
            )
            await record_action(connection, actor_of(admin), "create_slot", f"slot:{created.id}")
            slot = await GET_SLOT.one(connection, slot_id=created.id)
        self._seats_changed([slot.id])
        return slot

    async def get_slot(self, slot_id: int) -> Slot:
        async with self._database.connection() as connection:
            return await _get(connection, slot_id)

    async def list_slots(self, sought: SlotFilter, limit: int, after: Position = (FIRST_TIME, 0)) -> list[Slot]:
        """Future open slots with enough free seats, by start and id, after that position; at most 501."""
        after = max(after, (sought.starts_from, 0))
        async with self._database.connection() as connection:
            if sought.doctor_id is not None:
                return await _list_of_doctor(connection, sought, limit, after)
            if sought.specialization is not None:
                return await _list_of_specialization(connection, sought, limit, after)
            if sought.min_seats > 1:
                return await _list_of_size(connection, sought, limit, after)
            return await _list_all(connection, sought, limit, after)

    async def update_slot(self, admin: User, slot_id: int, change: SlotChange) -> Slot:
        """Raises `SeatsTaken` for a total below the seats held or booked, and `SlotOverlaps`."""
        async with self._database.transaction() as connection:
            # The doctor's lock first, as for a new slot. A slot never changes its doctor.
            now = await _lock_doctor(connection, (await _get(connection, slot_id)).doctor_id)
            await self._change(connection, admin, await _lock(connection, slot_id), change, now)
            await record_action(connection, actor_of(admin), "update_slot", f"slot:{slot_id}")
            slot = await _get(connection, slot_id)
        self._seats_changed([slot.id])
        return slot

    async def _change(
        self, connection: Connection, admin: User, slot: LockedSlot, change: SlotChange, now: datetime
    ) -> None:
        start, end = _changed_period(slot, change, now)
        total_seats = slot.total_seats if change.total_seats is UNSET else change.total_seats
        taken = slot.total_seats - slot.available_seats
        if total_seats < taken:
            raise SeatsTaken(taken)
        status = slot.status if change.status is UNSET else change.status
        await UPDATE_SLOT.run(
            connection,
            slot_id=slot.id,
            start_time=start,
            end_time=end,
            total_seats=total_seats,
            status=status,
            kinds=_events(slot, start, end, total_seats, status),
            actor=actor_of(admin),
        )


# One statement for each way to walk, and none with filters that may be null: a plan is made once for all values.


async def _list_all(connection: Connection, sought: SlotFilter, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS.all(
        connection, after_time=after[0], after_id=after[1], starts_before=sought.starts_before, limit=limit
    )


async def _list_of_size(connection: Connection, sought: SlotFilter, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS_OF_SIZE.all(
        connection,
        min_seats=sought.min_seats,
        after_time=after[0],
        after_id=after[1],
        starts_before=sought.starts_before,
        limit=limit,
    )


async def _list_of_doctor(connection: Connection, sought: SlotFilter, limit: int, after: Position) -> list[Slot]:
    return await LIST_SLOTS_OF_DOCTOR.all(
        connection,
        doctor_id=sought.doctor_id,
        specialization=sought.specialization,
        after_time=after[0],
        after_id=after[1],
        starts_before=sought.starts_before,
        min_seats=sought.min_seats,
        limit=limit,
    )


async def _list_of_specialization(
    connection: Connection, sought: SlotFilter, limit: int, after: Position
) -> list[Slot]:
    return await LIST_SLOTS_OF_SPECIALIZATION.all(
        connection,
        specialization=sought.specialization,
        after_time=after[0],
        after_id=after[1],
        starts_before=sought.starts_before,
        min_seats=sought.min_seats,
        limit=limit,
    )


async def _lock_doctor(connection: Connection, doctor_id: int) -> datetime:
    """The time by the database's clock, under the doctor's lock."""
    doctor = await LOCK_DOCTORS.first(connection, doctor_ids=[doctor_id])
    if doctor is None:
        raise DoctorNotFound
    return doctor.now


async def _lock(connection: Connection, slot_id: int) -> LockedSlot:
    """The slot under its lock, after overdue holds have given their seats back: they are not taken."""
    slot = await LOCK_SLOT.first(connection, slot_id=slot_id)
    if slot is not None and await expire_holds(connection, [slot_id], by="update"):
        slot = await LOCK_SLOT.first(connection, slot_id=slot_id)
    if slot is None:
        raise SlotNotFound
    return slot


async def _get(connection: Connection, slot_id: int) -> Slot:
    slot = await GET_SLOT.first(connection, slot_id=slot_id)
    if slot is None:
        raise SlotNotFound
    return slot


def _changed_period(slot: LockedSlot, change: SlotChange, now: datetime) -> tuple[datetime, datetime]:
    start = slot.start_time if change.start_time is UNSET else change.start_time
    minutes = slot.duration.total_seconds() / 60 if change.duration_minutes is UNSET else change.duration_minutes
    start, end = clean_period("start_time", start, round(minutes))
    if start != slot.start_time:
        _refuse_past(start, now)
    return start, end


def _events(slot: LockedSlot, start: datetime, end: datetime, total_seats: int, status: SlotStatus) -> list[str]:
    """The ledger's words for what changes."""
    events = []
    # First, because every row of the change carries the new total.
    if total_seats != slot.total_seats:
        events.append("RESIZED")
    if (start, end) != (slot.start_time, slot.end_time):
        events.append("MOVED")
    if status is not slot.status:
        events.append("CLOSED" if status is SlotStatus.CLOSED else "REOPENED")
    return events


def _refuse_past(start: datetime, now: datetime) -> None:
    if start <= now:
        raise InvalidInput.of("start_time", "must lie in the future")
