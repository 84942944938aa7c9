"""The use cases of slots."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from operator import attrgetter
from typing import Literal, assert_never
from zoneinfo import ZoneInfo

from msgspec import Struct
from msgspec.structs import replace

from slotwise.batching.batched_reads import BatchedReads
from slotwise.db.pool import Connection, Database
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.bookings import Booking, sorted_by_name
from slotwise.domain.clinics import ClinicBook
from slotwise.domain.errors import (
    DatabaseBusy,
    DoctorNotFound,
    InvalidInput,
    SeatsTaken,
    SlotNotFound,
    SlotOverlaps,
    TimeClosed,
)
from slotwise.domain.fields import FIRST_TIME, clean_period
from slotwise.domain.name_order import ENGLISH, NameOrder
from slotwise.domain.slots import Slot, SlotChange, SlotStatus, ledger_kinds
from slotwise.domain.timetables import Period, SkippedTime, Timetable, lay_out
from slotwise.domain.users import User, actor_of
from slotwise.services.core.audit import changes, encoded, record_action, request_id, rows_shown, shows_others
from slotwise.services.core.callers import require_desk_of
from slotwise.services.core.clinics import require_desk_of_slot
from slotwise.services.core.expiry import count_expired
from slotwise.services.core.open_time import OpenTime, list_open_time
from slotwise.services.core.seat_events import SeatsChanged, ignore_changes
from slotwise.services.schedule.clinics import keep_open_clinic, refuse_elsewhere, refuse_reopening
from slotwise.services.schedule.closed_times import find_closed, require_open
from slotwise.services.schedule.slot_lists import Position, SlotQuery, list_slots
from slotwise.services.schedule.visit_types import OfferedTypes, refuse_overlap, require_visit_types


class SlotId(Struct, frozen=True):
    id: int


class ChangedSlot(Struct, frozen=True):
    """A slot that is about to be changed. `added_seats` of its seats were added by overbooking."""

    slot: Slot
    added_seats: int


class LockedDoctor(Struct, frozen=True):
    """`now` is the database's clock."""

    id: int
    now: datetime


class SlotUpdate(Struct, frozen=True):
    """The result of a change, with the overlapped slot, if any. `taken` is how many seats are held or booked."""

    outcome: Literal["updated", "again", "past", "too_short", "booked", "seats_taken", "overlaps"]
    taken: int
    overlapped_start: datetime | None
    overlapped_end: datetime | None
    overlapped_closed: bool | None
    expired_holds: int
    updated_at: datetime | None


class SlotSeen(Struct, frozen=True):
    """A slot as a person saw it when they decided to change it: its period, and its newest booking."""

    start_time: datetime
    end_time: datetime
    newest_booking: int


class SlotChangedMeanwhile(Exception):
    """The slot was moved or booked since it was seen. Nothing was done: look again."""


class NewestBooking(Struct, frozen=True):
    id: int


class OverlappedSlot(Struct, frozen=True):
    """A slot that takes the doctor's time. `position` says which of the given periods overlaps it, counted from 1.

    It is open or, if `closed`, still has bookings.
    """

    position: int
    id: int
    start_time: datetime
    end_time: datetime
    closed: bool


class Clash(Struct, frozen=True):
    """A period for which no slot can be created: it overlaps `slot`, lies in a closure or, without both, has begun."""

    period: Period
    slot: OverlappedSlot | None = None
    closure_id: int | None = None


class PlannedSlot(Struct, frozen=True):
    """`id` is None while it is only planned."""

    id: int | None
    period: Period


class CreatedSlots(Struct, frozen=True):
    created: list[PlannedSlot]
    clashes: list[Clash]
    skipped: list[SkippedTime]


class WeekSlot(Struct, frozen=True):
    """A slot as the desk sees it: `total_seats` is the sum of the three others.

    `added_seats` of them were added by overbooking.
    """

    id: int
    start_time: datetime
    end_time: datetime
    total_seats: int
    available_seats: int
    held_seats: int
    confirmed_seats: int
    status: SlotStatus
    added_seats: int
    clinic_id: int


class DoctorWeek(Struct, frozen=True):
    """By start. `cut_short` if there are more."""

    slots: list[WeekSlot]
    cut_short: bool


class Offer(Struct, frozen=True):
    """Whether a slot takes bookings at all, and whether so many of its seats can be booked now."""

    open: bool
    free: bool


LOCK_DOCTORS = Statement("schedule/slots.lock_doctors", LockedDoctor)
MAKE_ROOM = Statement("schedule/slots.make_room", NoRow)
CREATE_SLOTS = Statement("schedule/slots.create_slots", SlotId)
GET_OFFER = Statement("schedule/slots.get_offer", Offer)
GET_SLOT = Statement("schedule/slots.get_slot", Slot)
GET_CHANGED_SLOT = Statement("schedule/slots.get_changed_slot", ChangedSlot)
GET_SLOTS = Statement("schedule/slots.get_slots", Slot)
LIST_CLASHES = Statement("schedule/slots.list_clashes", OverlappedSlot)
LIST_WEEK = Statement("schedule/slots.list_week", WeekSlot)
LIST_AFFECTED_BOOKINGS = Statement("schedule/slots.list_affected_bookings", Booking)
GET_NEWEST_BOOKING = Statement("schedule/slots.get_newest_booking", NewestBooking)
UPDATE_SLOT = Statement("schedule/slots.update_slot", SlotUpdate)


# A try fails only if another change of the same slot comes first.
UPDATE_TRIES = 3
# More than a page can usefully show.
MOST_OF_A_WEEK = 2_000
# How many bookings are read and sorted, of which a page shows the first.
MOST_AFFECTED = 501


class Slots:
    def __init__(
        self,
        database: Database,
        clinics: ClinicBook | None = None,
        seats_changed: SeatsChanged = ignore_changes,
        order: NameOrder = ENGLISH,
        searches: Database | None = None,
    ) -> None:
        """`searches` has the connections for lists of free slots; without it, `database` has."""
        self._database = database
        self._searches = searches or database
        self._order = order
        self._clinics = clinics or ClinicBook.of_one()
        self._seats_changed = seats_changed
        self._reads = BatchedReads(self._read)

    async def create_slot(
        self,
        admin: User,
        doctor_id: int,
        start_time: datetime,
        total_seats: int,
        duration_minutes: int,
        clinic_id: int | None = None,
        visit_type_ids: Sequence[int] | None = None,
    ) -> Slot:
        """At the main clinic, unless one is given.

        Raises `SlotOverlaps`, `TimeClosed`, `DoctorNotFound`, `ClinicNotFound`, and `InvalidInput` for a start that is
        not in the future, and for a clinic where the doctor does not work.
        """
        clinic_id = clinic_id or self._clinics.main.id
        start, end = clean_period("start_time", start_time, duration_minutes)
        async with self._database.transaction() as connection:
            now = await _lock_place(connection, clinic_id, doctor_id)
            _refuse_past(start, now)
            await require_open(connection, doctor_id, clinic_id, Period(start, end))
            types = await require_visit_types(connection, visit_type_ids, duration_minutes)
            await make_room(connection, [doctor_id], [Period(start, types.busy_until(end))])
            _refuse_clashes(await _find_clashes(connection, doctor_id, clinic_id, [Period(start, end)], types, now))
            created = await CREATE_SLOTS.one(
                connection,
                doctor_ids=[doctor_id],
                clinic_ids=[clinic_id],
                start_times=[start],
                end_times=[end],
                total_seats=[total_seats],
                visit_type_ids=types.ids,
                actor=actor_of(admin),
            )
            await record_action(connection, actor_of(admin), "create_slot", f"slot:{created.id}")
            slot = await GET_SLOT.one(connection, slot_id=created.id)
        self._seats_changed([slot.id])
        return slot

    async def create_slots(
        self,
        admin: User,
        doctor_id: int,
        timetable: Timetable,
        total_seats: int,
        zone: ZoneInfo | None = None,
        *,
        dry_run: bool = False,
        skip_clashes: bool = False,
        planned: int | None = None,
        clinic_id: int | None = None,
        visit_type_ids: Sequence[int] | None = None,
    ) -> CreatedSlots:
        """Create all slots of a timetable, or none. Its zone is the clinic's, unless `zone` is given.

        A dry run returns what would be created and what clashes, and changes nothing. Otherwise a clash raises
        `SlotOverlaps`, `TimeClosed`, or `InvalidInput` for a past start, unless `skip_clashes` leaves out what clashes.
        `planned` is how many slots a dry run returned: if there would now be more or fewer, that raises `SlotOverlaps`.
        """
        clinic_id = clinic_id or self._clinics.main.id
        laid = lay_out(timetable, zone or self._clinics.zone_of(clinic_id))
        async with self._database.transaction() as connection:
            now = await _lock_place(connection, clinic_id, doctor_id)
            types = await require_visit_types(connection, visit_type_ids, timetable.duration_minutes)
            _refuse_short_breaks(laid.periods, types)
            if not dry_run:
                busy = [Period(each.start_time, types.busy_until(each.end_time)) for each in laid.periods]
                await make_room(connection, [doctor_id], busy)
            clashes = await _find_clashes(connection, doctor_id, clinic_id, laid.periods, types, now)
            clashing = {clash.period for clash in clashes}
            free = [period for period in laid.periods if period not in clashing]
            if dry_run:
                return CreatedSlots([PlannedSlot(None, period) for period in free], clashes, laid.skipped)
            if not skip_clashes:
                _refuse_any(clashes)
            if planned not in {None, len(free)}:
                raise SlotOverlaps
            created = await _create(connection, admin, doctor_id, clinic_id, free, total_seats, types)
            if created:
                details = {"slots": len(created), "first": created[0].id, "last": created[-1].id}
                await record_action(connection, actor_of(admin), "create_slots", f"doctor:{doctor_id}", details)
        self._seats_changed([slot.id for slot in created if slot.id is not None])
        return CreatedSlots(created, clashes, laid.skipped)

    async def list_week(
        self,
        doctor_id: int,
        starts_from: datetime,
        starts_before: datetime,
        clinic_ids: frozenset[int] | None = None,
    ) -> DoctorWeek:
        """Slots that take place in a period, in part or as a whole, open and closed; the first 2,000.

        Those of some clinics or, with None, of all.
        """
        async with self._database.connection() as connection:
            found = await LIST_WEEK.all(
                connection,
                doctor_id=doctor_id,
                starts_from=starts_from,
                starts_before=starts_before,
                clinic_ids=clinic_ids,
                limit=MOST_OF_A_WEEK + 1,
            )
        return DoctorWeek(found[:MOST_OF_A_WEEK], cut_short=len(found) > MOST_OF_A_WEEK)

    async def list_open_time(
        self,
        doctor_id: int,
        starts_from: datetime,
        starts_before: datetime,
        clinic_ids: frozenset[int] | None = None,
    ) -> list[OpenTime]:
        """Of the same period as `list_week`."""
        async with self._database.connection() as connection:
            return await list_open_time(connection, [doctor_id], starts_from, starts_before, clinic_ids)

    async def list_affected_bookings(self, reader: User, slot_id: int, limit: int) -> list[Booking]:
        """The live bookings that a change of the slot affects, by name, for the desk. Reads at most 501 of them."""
        await require_desk_of_slot(self._database, reader, slot_id)
        async with self._database.connection() as connection:
            affected = await LIST_AFFECTED_BOOKINGS.all(connection, slot_id=slot_id, limit=MOST_AFFECTED)
            found = sorted_by_name(affected, self._order)[:limit]
            if shows_others(reader, found):
                details = {"bookings": rows_shown(found, limit)}
                await record_action(connection, actor_of(reader), "list_affected_bookings", f"slot:{slot_id}", details)
        return found

    async def get_newest_booking(self, slot_id: int) -> int:
        """The id of the slot's newest booking, for `SlotSeen`. Read it before the bookings, so that none is missed."""
        async with self._database.connection() as connection:
            return (await GET_NEWEST_BOOKING.one(connection, slot_id=slot_id)).id

    async def get_slot(self, slot_id: int) -> Slot:
        slot = await self._reads.read(slot_id)
        if slot is None:
            raise SlotNotFound
        return slot

    async def _read(self, slot_ids: list[int]) -> dict[int, Slot]:
        async with self._database.connection() as connection:
            return {slot.id: slot for slot in await GET_SLOTS.all(connection, slot_ids=slot_ids)}

    async def get_offer(self, slot_id: int, seats: int, visit_type_id: int | None = None) -> Offer:
        """By the rules of `hold_seats`. Raises `SlotNotFound`."""
        async with self._database.connection() as connection:
            offer = await GET_OFFER.first(connection, slot_id=slot_id, seats=seats, visit_type_id=visit_type_id)
        if offer is None:
            raise SlotNotFound
        return offer

    async def list_slots(self, query: SlotQuery, limit: int, after: Position = (FIRST_TIME, 0)) -> list[Slot]:
        """Future open slots with enough free seats, by start and id, after the position; at most 501."""
        after = max(after, (query.starts_from, 0))
        async with self._searches.connection() as connection:
            return await list_slots(connection, query, limit, after)

    async def update_slot(
        self, account: User, slot_id: int, change: SlotChange, seen: SlotSeen | None = None, *, dry_run: bool = False
    ) -> Slot:
        """Raises `SeatsTaken` for a total below the seats held or booked, `InvalidInput`, `SlotOverlaps`, `TimeClosed`.

        With `seen`, raises `SlotChangedMeanwhile` if the slot has changed since. A dry run raises the same errors and
        changes nothing. Callers ask `change.may_be_made_by` first. Raises `NotAllowed` for the desk of other clinics.
        """
        for _ in range(UPDATE_TRIES):
            async with self._database.connection() as connection:
                read = await GET_CHANGED_SLOT.first(connection, slot_id=slot_id)
            if read is None:
                raise SlotNotFound
            slot = read.slot
            require_desk_of(account, slot.clinic_id)
            wanted = change.applied_to(slot, read.added_seats)
            if seen is not None and (seen.start_time, seen.end_time) != (slot.start_time, slot.end_time):
                raise SlotChangedMeanwhile
            await self._require_open(slot, wanted)
            newest = None if seen is None else seen.newest_booking
            async with self._database.effect() as connection:
                done = await _write(connection, account, slot, wanted, newest, dry_run=dry_run)
            count_expired(done.expired_holds, "update")
            # "again": another change of the slot came in between.
            if done.outcome != "again":
                break
        else:
            raise DatabaseBusy
        _refuse_update(done, read.added_seats)
        if dry_run or done.updated_at is None:
            return slot
        self._seats_changed([slot_id])
        # The slot is not read again: if that failed, the answer would deny a change that was made.
        return replace(wanted, available_seats=wanted.total_seats - done.taken, updated_at=done.updated_at)

    async def _require_open(self, before: Slot, after: Slot) -> None:
        """If the slot comes to a new time, or is reopened. If a closure comes in between, the publisher closes it."""
        period = Period(after.start_time, after.end_time)
        reopens = before.status is not after.status
        if (reopens or period != Period(before.start_time, before.end_time)) and after.status is SlotStatus.OPEN:
            async with self._database.connection() as connection:
                if reopens:
                    await refuse_reopening(connection, before.doctor_id, before.clinic_id)
                await require_open(connection, before.doctor_id, before.clinic_id, period)


async def _find_clashes(
    connection: Connection,
    doctor_id: int,
    clinic_id: int,
    periods: Sequence[Period],
    types: OfferedTypes,
    now: datetime,
) -> list[Clash]:
    """Needs the doctor's lock, so that no clash arises before the slots are written.

    An overlapping slot must not be inserted, although `slot_overlaps` would refuse it: that can deadlock.
      admin: inserts it, waits for the overlapping slot, which is being booked
      booking: takes the last seat, which changes that slot's index entries, waits for the inserted slot
    """
    overlapped = await LIST_CLASHES.all(
        connection,
        doctor_id=doctor_id,
        start_times=[period.start_time for period in periods],
        busy_until=[types.busy_until(period.end_time) for period in periods],
    )
    by_period = {periods[slot.position - 1]: slot for slot in overlapped}
    closed = await find_closed(connection, doctor_id, clinic_id, periods)
    return [
        Clash(period) if period.start_time <= now else Clash(period, by_period.get(period), closed.get(period))
        for period in periods
        if period in by_period or period in closed or period.start_time <= now
    ]


async def make_room(connection: Connection, doctor_ids: Sequence[int], periods: Sequence[Period]) -> None:
    """Keep visits from being carved between the first and the last of these periods. Needs the doctors' locks."""
    if periods:
        await MAKE_ROOM.run(
            connection,
            doctor_ids=doctor_ids,
            starts_from=min(period.start_time for period in periods),
            ends_before=max(period.end_time for period in periods),
        )


def _refuse_clashes(clashes: Sequence[Clash]) -> None:
    """Clashes of one period that has not begun."""
    for slot in (clash.slot for clash in clashes):
        if slot is not None:
            raise SlotOverlaps(period=(slot.start_time, slot.end_time), closed=slot.closed)


def _refuse_short_breaks(periods: Sequence[Period], types: OfferedTypes) -> None:
    """The doctor is busy between two of the slots for as long as the visit types say."""
    for one, following in pairwise(sorted(periods, key=attrgetter("start_time"))):
        if following.start_time < types.busy_until(one.end_time):
            wanted = f"must leave {types.buffer_minutes} minutes after each, as the visit types say"
            raise InvalidInput.of("break_minutes", wanted)


def _refuse_any(clashes: Sequence[Clash]) -> None:
    """Clashes of many periods."""
    overlaps = sum(1 for clash in clashes if clash.slot is not None)
    if overlaps > 0:
        raise SlotOverlaps(overlaps)
    closed = sum(1 for clash in clashes if clash.closure_id is not None)
    if closed > 0:
        raise TimeClosed(closed)
    if clashes:
        raise InvalidInput.of("first_day", f"makes {len(clashes)} times that are in the past")


async def _create(
    connection: Connection,
    admin: User,
    doctor_id: int,
    clinic_id: int,
    periods: Sequence[Period],
    total_seats: int,
    types: OfferedTypes,
) -> list[PlannedSlot]:
    ids = await CREATE_SLOTS.all(
        connection,
        doctor_ids=[doctor_id] * len(periods),
        clinic_ids=[clinic_id] * len(periods),
        start_times=[period.start_time for period in periods],
        end_times=[period.end_time for period in periods],
        total_seats=[total_seats] * len(periods),
        visit_type_ids=types.ids,
        actor=actor_of(admin),
    )
    return [PlannedSlot(row.id, period) for row, period in zip(ids, periods, strict=True)]


async def _lock_place(connection: Connection, clinic_id: int, doctor_id: int) -> datetime:
    """Keep the clinic open and lock the doctor, who works there. Returns the time, read under the locks."""
    await keep_open_clinic(connection, clinic_id)
    now = await _lock_doctor(connection, doctor_id)
    await refuse_elsewhere(connection, doctor_id, clinic_id)
    return now


async def _lock_doctor(connection: Connection, doctor_id: int) -> datetime:
    """Lock the doctor. Returns the time by the database's clock, read under the lock."""
    doctor = await LOCK_DOCTORS.first(connection, doctor_ids=[doctor_id])
    if doctor is None:
        raise DoctorNotFound
    return doctor.now


async def _write(
    connection: Connection, admin: User, before: Slot, after: Slot, newest_booking: int | None, *, dry_run: bool
) -> SlotUpdate:
    return await UPDATE_SLOT.one(
        connection,
        slot_id=before.id,
        old_start_time=before.start_time,
        old_end_time=before.end_time,
        old_total_seats=before.total_seats,
        old_status=before.status,
        start_time=after.start_time,
        end_time=after.end_time,
        total_seats=after.total_seats,
        status=after.status,
        kinds=ledger_kinds(before, after),
        newest_booking=newest_booking,
        dry_run=dry_run,
        actor=actor_of(admin),
        details=encoded(changes(before, after, "start_time", "duration_minutes", "total_seats", "status")),
        request_id=request_id(),
    )


def _refuse_update(done: SlotUpdate, added_seats: int) -> None:
    match done.outcome:
        case "updated" | "again":
            return
        case "past":
            raise InvalidInput.of("start_time", "must be in the future")
        case "too_short":
            raise InvalidInput.of("duration_minutes", "must not be shorter than a visit type of this time takes")
        case "booked":
            raise SlotChangedMeanwhile
        case "seats_taken":
            raise SeatsTaken(done.taken, added_seats)
        case "overlaps":
            refuse_overlap(done)
        case _:
            assert_never(done.outcome)


def _refuse_past(start: datetime, now: datetime) -> None:
    if start <= now:
        raise InvalidInput.of("start_time", "must be in the future")
