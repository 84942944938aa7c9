"""Imports the times of doctors from a file.

A time is known by its doctor and its start, so a second import of the same file adds none.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.fields import FIRST_TIME
from slotwise.domain.slots import MAX_DURATION_MINUTES, MAX_SEATS
from slotwise.domain.timetables import (
    MINUTES_OF_A_DAY,
    Hours,
    Period,
    Timetable,
    lay_out,
    local_time,
)
from slotwise.services.core.import_files import (
    ACTOR,
    Choices,
    Columns,
    Fault,
    Imported,
    Line,
    Progress,
    Reader,
    import_at_once,
    number_in,
    read_fields,
    required,
)
from slotwise.services.core.import_subjects import Clinics, NamedDoctors, clock_in, day_in
from slotwise.services.schedule.clinics import keep_open_clinic, refuse_elsewhere
from slotwise.services.schedule.closed_times import find_closed
from slotwise.services.schedule.slots import CREATE_SLOTS, LIST_CLASHES, LOCK_DOCTORS, make_room

COLUMNS = Columns(
    ("doctor", "first_day", "last_day", "weekdays", "from", "to"),
    ("duration_minutes", "break_minutes", "total_seats", "specialization", "clinic"),
    {"minutes": "duration_minutes", "seats": "total_seats", "people": "total_seats", "specialty": "specialization"},
)
WEEKDAYS = {name: number for number, name in enumerate(("mon", "tue", "wed", "thu", "fri", "sat", "sun"), 1)}
USUAL_MINUTES = 30


class KnownSlot(Struct, frozen=True):
    doctor_id: int
    start_time: datetime
    end_time: datetime


LIST_KNOWN_SLOTS = Statement("schedule/timetable_imports.list_known_slots", KnownSlot)


class _Wanted(Struct, frozen=True):
    """What a line wants: the periods of a doctor in a clinic."""

    line: Line
    doctor_id: int
    clinic: Clinic
    periods: list[Period]
    seats: int


class _Progress(Struct):
    """`line_of` says which line has made the time of a doctor that starts then."""

    done: Imported
    now: datetime
    line_of: dict[tuple[int, datetime], int]


async def import_timetables(
    database: Database, lines: list[Line], first: Clinic, choices: Choices, progress: Progress
) -> Imported:
    """`first` says name and zone of the first clinic as long as nobody has changed it."""

    async def work(connection: Connection) -> Imported:
        done = Imported(0, 0, [])
        wanted = await _wanted(connection, lines, first, done.faults)
        shut = await _keep_open_clinics(connection, wanted)
        # All at once and in id order, as everything that adds slots.
        doctor_ids = sorted({one.doctor_id for one in wanted})
        locked = await LOCK_DOCTORS.all(connection, doctor_ids=doctor_ids)
        await make_room(connection, doctor_ids, [period for one in wanted for period in one.periods])
        state = _Progress(done, locked[0].now if locked else FIRST_TIME, {})
        for place, one in enumerate(wanted):
            progress(place, len(wanted))
            await _add(connection, one, state, shut)
        return done

    return await import_at_once(database, choices, "timetables", work)


async def _wanted(connection: Connection, lines: list[Line], first: Clinic, faults: list[Fault]) -> list[_Wanted]:
    doctors, clinics = await NamedDoctors.of(connection, lines, "doctor"), await Clinics.of(connection, first)
    found = []
    for line in lines:
        readers: dict[str, Reader] = {
            "doctor": partial(doctors.only, line),
            "clinic": partial(clinics.of_line, line),
            "timetable": partial(_timetable_in, line),
            "seats": partial(number_in, line, "total_seats", 1, MAX_SEATS, 1),
        }
        read = read_fields(line, faults, readers)
        laid = read and read_fields(line, faults, {"periods": partial(_periods_of, read["timetable"], read["clinic"])})
        if read and laid:
            found.append(_Wanted(line, read["doctor"], read["clinic"], laid["periods"], read["seats"]))
    return found


def _timetable_in(line: Line) -> Timetable:
    """Raises `InvalidInput` for the first thing that is wrong."""
    opens, closes = clock_in(line, "from"), _closing(line)
    return Timetable(
        day_in(line, "first_day"),
        day_in(line, "last_day"),
        _weekdays_in(line),
        (Hours(opens.hour * 60 + opens.minute, closes),),
        number_in(line, "duration_minutes", 1, MAX_DURATION_MINUTES, USUAL_MINUTES),
        number_in(line, "break_minutes", 0, MAX_DURATION_MINUTES, 0),
    )


def _closing(line: Line) -> int:
    """24:00 and 00:00 end the day."""
    if line.text("to") in {"24:00", "00:00"}:
        return MINUTES_OF_A_DAY
    closes = clock_in(line, "to")
    return closes.hour * 60 + closes.minute


def _weekdays_in(line: Line) -> frozenset[int]:
    """`1 3 5` or `Mon Wed Fri`."""
    words = required(line, "weekdays").lower().split()
    days = [int(word) if word in set("1234567") else WEEKDAYS.get(word[:3], 0) for word in words]
    if 0 in days:
        raise InvalidInput.of("weekdays", "must be days such as 1 3 5, where 1 is Monday, or Mon Wed Fri")
    return frozenset(days)


def _periods_of(timetable: Timetable, clinic: Clinic) -> list[Period]:
    """Raises `InvalidInput`, which names the columns."""
    try:
        return lay_out(timetable, clinic.zone).periods
    except InvalidInput as error:
        faults = (FieldError("from" if one.field == "periods" else one.field, one.message) for one in error.errors)
        raise InvalidInput(*faults) from error


async def _keep_open_clinics(connection: Connection, wanted: Sequence[_Wanted]) -> frozenset[int]:
    """Keep those open that take appointments, until the transaction ends. Returns the ids of the others."""
    shut = set()
    for clinic_id in sorted({one.clinic.id for one in wanted}):
        try:
            await keep_open_clinic(connection, clinic_id)
        except InvalidInput:
            shut.add(clinic_id)
    return frozenset(shut)


async def _add(connection: Connection, wanted: _Wanted, state: _Progress, shut: frozenset[int]) -> None:
    """Add the times of a line that are not there yet, or what is wrong with the line."""
    known = {
        slot.start_time: slot.end_time
        for slot in await LIST_KNOWN_SLOTS.all(
            connection, doctor_id=wanted.doctor_id, start_times=[period.start_time for period in wanted.periods]
        )
    }
    new = [period for period in wanted.periods if period.start_time not in known]
    fault = _repeated(wanted, state) or await _fault_of(connection, wanted, new, state.now, shut)
    if fault:
        state.done.faults.append(Fault(wanted.line.number, *fault))
        return
    await _create(connection, wanted, new)
    state.line_of |= {(wanted.doctor_id, period.start_time): wanted.line.number for period in new}
    state.done.added += len(new)
    state.done.already_there += len(known)


def _repeated(wanted: _Wanted, state: _Progress) -> tuple[str, str] | None:
    """The column and what is wrong, if a line before it makes the same times."""
    again = [state.line_of.get((wanted.doctor_id, period.start_time)) for period in wanted.periods]
    twice = [number for number in again if number is not None]
    if not twice:
        return None
    return "from", f"makes {len(twice)} times that line {twice[0]} makes too: remove one of the two"


async def _fault_of(
    connection: Connection, wanted: _Wanted, new: Sequence[Period], now: datetime, shut: frozenset[int]
) -> tuple[str, str] | None:
    """The column and what is wrong: what also people cannot add. Needs the doctor's lock and the clinic's."""
    past = [period for period in new if period.start_time <= now]
    if past:
        return "first_day", f"makes {len(past)} times that are in the past, the first {_first_of(past, wanted)}"
    elsewhere = await _refused_place(connection, wanted, shut) if new else None
    if elsewhere:
        return "clinic", elsewhere
    closed = await find_closed(connection, wanted.doctor_id, wanted.clinic.id, new)
    if closed:
        closed_words = "at which the doctor is away or the clinic is closed"
        return "first_day", f"makes {len(closed)} times {closed_words}, the first {_first_of(closed, wanted)}"
    clashes = await LIST_CLASHES.all(
        connection,
        doctor_id=wanted.doctor_id,
        start_times=[period.start_time for period in new],
        busy_until=[period.end_time for period in new],
    )
    if clashes:
        overlapped = f"the first the one of {_told(clashes[0].start_time, wanted)}"
        return "from", f"makes {len(clashes)} times that overlap others of the doctor, {overlapped}"
    return None


async def _refused_place(connection: Connection, wanted: _Wanted, shut: frozenset[int]) -> str | None:
    """Why the doctor can have no times at the clinic."""
    if wanted.clinic.id in shut:
        return "is a clinic that takes no appointments"
    try:
        await refuse_elsewhere(connection, wanted.doctor_id, wanted.clinic.id)
    except InvalidInput as error:
        return error.errors[0].message
    return None


async def _create(connection: Connection, wanted: _Wanted, periods: Sequence[Period]) -> None:
    await CREATE_SLOTS.run(
        connection,
        doctor_ids=[wanted.doctor_id] * len(periods),
        clinic_ids=[wanted.clinic.id] * len(periods),
        start_times=[period.start_time for period in periods],
        end_times=[period.end_time for period in periods],
        total_seats=[wanted.seats] * len(periods),
        visit_type_ids=None,
        actor=ACTOR,
    )


def _first_of(periods: Iterable[Period], wanted: _Wanted) -> str:
    return _told(min(period.start_time for period in periods), wanted)


def _told(moment: datetime, wanted: _Wanted) -> str:
    return f"{local_time(moment, wanted.clinic.zone):%Y-%m-%d %H:%M}"
