"""Reads the schedules of some doctors, as a change of them is computed from."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo

from msgspec import Struct

from slotwise.db.pool import Connection
from slotwise.db.statements import RowId, Statement
from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import LAST_READABLE_TIME
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.domain.schedule_diff import ExistingSlot, MovedTime, moved_by_zone
from slotwise.domain.schedule_previews import LiveBooking, ScheduleState, VisitLength
from slotwise.domain.schedules import Closure, Closures, Rule
from slotwise.domain.takeovers import Colleague, InTheWay
from slotwise.domain.time_zones import UTC_ZONE, find_zone
from slotwise.domain.window_diff import ExistingWindow, MovedWindow, windows_moved_by_zone

# A local day is under way at most one day before and after it is in UTC.
DAY = timedelta(days=1)
# More than any clinic has ahead of it.
MOST_CLOSURES = 10_000


class Fingerprint(Struct, frozen=True):
    """`now` is the database's clock."""

    now: datetime
    fingerprint: str


class Run(Struct, frozen=True):
    """How far a rule is published: until the day before `published_until`. `skipped` is JSON."""

    rule_id: int
    rule_version: int
    published_until: date
    tzdata: str
    skipped: str


class ClinicPlace(Struct, frozen=True):
    id: int
    time_zone: str
    active: bool


class WorkingDoctor(Struct, frozen=True):
    """An active doctor. Without clinics, the doctor works at all."""

    id: int
    clinic_ids: tuple[int, ...]


class ReadSchedule(Struct, frozen=True):
    """The state, and the digest of it that was read before it: it is never newer than the state.

    `doctor_ids` are all whose schedules may be written, also the colleague who takes over.
    """

    doctor_ids: list[int]
    starts_from: datetime
    fingerprint: str
    state: ScheduleState
    runs: dict[int, Run]


FIND_COLLEAGUE = Statement("schedule/schedules.find_colleague", WorkingDoctor)
GET_CLOSURES = Statement("schedule/schedules.get_closures", Closure)
GET_RULES = Statement("schedule/schedules.get_rules", Rule)
LIST_CLOSURES = Statement("schedule/schedules.list_closures", Closure)
LIST_DOCTORS_OF_TYPES = Statement("schedule/schedules.list_doctors_of_types", RowId)
LIST_EXISTING_SLOTS = Statement("schedule/schedules.list_existing_slots", ExistingSlot)
LIST_IN_THE_WAY = Statement("schedule/schedules.list_in_the_way", InTheWay)
LIST_LIVE_BOOKINGS = Statement("schedule/schedules.list_live_bookings", LiveBooking)
LIST_OPEN_WINDOWS = Statement("schedule/schedules.list_open_windows", ExistingWindow)
LIST_RULES = Statement("schedule/schedules.list_rules", Rule)
LIST_RUNS = Statement("schedule/schedules.list_runs", Run)
LIST_SCHEDULED_DOCTORS = Statement("schedule/schedules.list_scheduled_doctors", RowId)
LIST_PLACES = Statement("schedule/schedules.list_places", ClinicPlace)
LIST_VISIT_LENGTHS = Statement("schedule/schedules.list_visit_lengths", VisitLength)
READ_FINGERPRINT = Statement("schedule/schedules.read_fingerprint", Fingerprint)


async def read_schedule(
    connection: Connection, doctor_ids: Sequence[int], publish_days: int, colleague_id: int | None = None
) -> ReadSchedule:
    """Everything ahead of these doctors. Slots are to be published for `publish_days` from today.

    What a colleague has is in the digest, so that nothing is done if it changes; and that doctor's closures are read.
    """
    everybody = sorted({*doctor_ids, *([] if colleague_id is None else [colleague_id])})
    starts_from = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - DAY
    seen = await READ_FINGERPRINT.one(
        connection, doctor_ids=everybody, starts_from=starts_from, starts_before=LAST_READABLE_TIME
    )
    slots = await LIST_EXISTING_SLOTS.all(
        connection, doctor_ids=doctor_ids, starts_from=starts_from, starts_before=LAST_READABLE_TIME
    )
    windows = await LIST_OPEN_WINDOWS.all(
        connection, doctor_ids=doctor_ids, starts_from=starts_from, starts_before=LAST_READABLE_TIME
    )
    taken = [slot.id for slot in slots if slot.confirmed > 0 or slot.holds > 0]
    runs = await LIST_RUNS.all(connection, doctor_ids=doctor_ids)
    places = await LIST_PLACES.all(connection)
    state = ScheduleState(
        rules=tuple(await LIST_RULES.all(connection, doctor_ids=doctor_ids)),
        closures=tuple(await list_closures(connection, starts_from, LAST_READABLE_TIME, everybody)),
        slots=tuple(slots),
        bookings=tuple(await LIST_LIVE_BOOKINGS.all(connection, slot_ids=taken)) if taken else (),
        zones={place.id: place.time_zone for place in places},
        inactive=frozenset(place.id for place in places if not place.active),
        visit_types={each.id: each for each in await LIST_VISIT_LENGTHS.all(connection)},
        now=seen.now,
        published_until=seen.now.astimezone(UTC).date() + timedelta(days=publish_days),
        windows=tuple(windows),
    )
    return ReadSchedule(everybody, starts_from, seen.fingerprint, state, {run.rule_id: run for run in runs})


async def read_colleague(connection: Connection, change: ScheduleChange, slots: Iterable[ExistingSlot]) -> Colleague:
    """The doctor who is to take over, and what of that doctor is in the way of the booked slots in the absence.

    Raises `InvalidInput` for a doctor who takes no appointments.
    """
    colleague_id = change.decisions.colleague_id
    found = await FIND_COLLEAGUE.first(connection, doctor_id=colleague_id)
    if found is None:
        raise InvalidInput.of("decisions.colleague_id", "must be the id of a doctor who takes appointments")
    closures = Closures((*change.add_closures, *change.change_closures))
    booked = [
        slot.id
        for slot in slots
        if slot.confirmed > 0
        and closures.find(slot.doctor_id, slot.clinic_id, slot.start_time, slot.end_time) is not None
    ]
    others = await LIST_IN_THE_WAY.all(connection, slot_ids=booked, colleague_id=colleague_id) if booked else []
    return Colleague(found.id, found.clinic_ids, tuple(others))


async def list_closures(
    connection: Connection, starts_from: datetime, starts_before: datetime, doctor_ids: Sequence[int] | None = None
) -> list[Closure]:
    """Those that touch the period, by start: all, or those that may concern some doctors."""
    return await LIST_CLOSURES.all(
        connection, starts_from=starts_from, starts_before=starts_before, doctor_ids=doctor_ids, limit=MOST_CLOSURES
    )


def moved_times(read: ReadSchedule) -> list[MovedTime]:
    """The times ahead that the clinics' clocks show differently by now, by start."""
    return moved_by_zone(slots_ahead(read), read.state.rules, _zones(read))


def moved_windows(read: ReadSchedule) -> list[MovedWindow]:
    """The same of open time, by id."""
    ahead = [window for window in read.state.windows if window.start_time > read.state.now]
    return windows_moved_by_zone(ahead, read.state.rules, _zones(read))


def _zones(read: ReadSchedule) -> dict[int, tzinfo]:
    return {clinic_id: find_zone(name) or UTC_ZONE for clinic_id, name in read.state.zones.items()}


def slots_ahead(read: ReadSchedule) -> list[ExistingSlot]:
    """Those that have not begun, by start."""
    ahead = (slot for slot in read.state.slots if slot.start_time > read.state.now)
    return sorted(ahead, key=lambda slot: (slot.start_time, slot.id))


async def find_concerned(connection: Connection, change: ScheduleChange) -> list[int]:
    """The doctors whose schedules a change may concern, in order of id."""
    rule_ids = [*(rule.id for rule in change.change_rules), *change.remove_rules]
    closure_ids = [*(closure.id for closure in change.change_closures), *change.remove_closures]
    rules = [*change.add_rules, *change.change_rules, *await GET_RULES.all(connection, rule_ids=rule_ids)]
    closures = [
        *change.add_closures,
        *change.change_closures,
        *await GET_CLOSURES.all(connection, closure_ids=closure_ids),
    ]
    doctors = {rule.doctor_id for rule in rules}
    doctors |= {closure.doctor_id for closure in closures if closure.doctor_id is not None}
    wide = [closure for closure in closures if closure.doctor_id is None]
    clinics = {zone.clinic_id for zone in change.change_zones}
    clinics |= {closure.clinic_id for closure in wide if closure.clinic_id is not None}
    type_ids = [length.visit_type_id for length in change.change_lengths]
    # In some zone it is still that day.
    yesterday = datetime.now(UTC).date() - DAY
    buffered = [length.visit_type_id for length in change.change_lengths if length.buffer_minutes is not None]
    with_types = await LIST_DOCTORS_OF_TYPES.all(
        connection, visit_type_ids=type_ids, buffered_type_ids=buffered, today=yesterday
    )
    doctors |= {doctor.id for doctor in with_types}
    if wide or clinics:
        doctors |= await _doctors_of(connection, clinics, of_all=any(each.clinic_id is None for each in wide))
    return sorted(doctors)


async def _doctors_of(connection: Connection, clinic_ids: Iterable[int], *, of_all: bool) -> set[int]:
    found = await LIST_SCHEDULED_DOCTORS.all(
        connection, clinic_ids=sorted(clinic_ids), of_all=of_all, starts_from=datetime.now(UTC)
    )
    return {doctor.id for doctor in found}
