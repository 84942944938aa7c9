"""Imports confirmed bookings from a file. They go through `hold_seats`, as every booking.

A booking is known by its time, the patient's name and e-mail address, so a second import of the same file adds none.
One that was cancelled since counts too: it stays cancelled.
"""

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Literal, TypeAlias

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import InvalidInput
from slotwise.domain.fields import clean_email, clean_name, email_key
from slotwise.domain.slots import MAX_SEATS
from slotwise.services.core.idempotency import KEEP_SECONDS
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
from slotwise.services.core.import_subjects import Clinics, NamedDoctors, clock_in, day_in, moment_of

COLUMNS = Columns(
    ("doctor", "day", "time", "name", "email"),
    ("people", "specialization", "clinic"),
    {"seats": "people", "seats_booked": "people", "e_mail": "email", "specialty": "specialization"},
)
# How many bookings are made in one call.
AT_ONCE = 500

# Slot, name and key of the e-mail address.
Key: TypeAlias = tuple[int, str, str]


class FoundSlot(Struct, frozen=True):
    id: int
    doctor_id: int
    start_time: datetime


class KnownBooking(Struct, frozen=True):
    slot_id: int
    user_name: str
    user_email: str


class BookedRow(Struct, frozen=True):
    place: int
    outcome: Literal["held", "slot_full", "slot_closed", "slot_started", "slot_not_found", "key_reused"]
    available_seats: int | None


FIND_SLOTS = Statement("booking/booking_imports.find_slots", FoundSlot)
LIST_KNOWN_BOOKINGS = Statement("booking/booking_imports.list_known_bookings", KnownBooking)
BOOK = Statement("booking/booking_imports.book", BookedRow)


class _Read(Struct, frozen=True):
    line: Line
    doctor_id: int
    start_time: datetime
    name: str
    email: str
    seats: int


class _Wanted(Struct, frozen=True):
    slot_id: int
    read: _Read

    @property
    def key(self) -> Key:
        return self.slot_id, self.read.name, email_key(self.read.email)


async def import_bookings(
    database: Database, lines: list[Line], first: Clinic, choices: Choices, progress: Progress
) -> Imported:
    """`first` says name and zone of the first clinic as long as nobody has changed it."""

    async def work(connection: Connection) -> Imported:
        done = Imported(0, 0, [])
        wanted = await _at_slots(connection, await _read(connection, lines, first, done.faults), done.faults)
        new = await _new(connection, wanted, done)
        for place in range(0, len(new), AT_ONCE):
            progress(place, len(new))
            await _book(connection, new[place : place + AT_ONCE], done)
        return done

    return await import_at_once(database, choices, "bookings", work)


async def _read(connection: Connection, lines: list[Line], first: Clinic, faults: list[Fault]) -> list[_Read]:
    doctors, clinics = await NamedDoctors.of(connection, lines, "doctor"), await Clinics.of(connection, first)
    found = []
    for line in lines:
        readers: dict[str, Reader] = {
            "doctor": partial(doctors.only, line),
            "start": partial(_start_in, line, clinics),
            "name": partial(_name_in, line),
            "email": partial(_email_in, line),
            "seats": partial(number_in, line, "people", 1, MAX_SEATS, 1),
        }
        read = read_fields(line, faults, readers)
        if read is not None:
            found.append(_Read(line, read["doctor"], read["start"], read["name"], read["email"], read["seats"]))
    return found


def _start_in(line: Line, clinics: Clinics) -> datetime:
    return moment_of(day_in(line, "day"), clock_in(line, "time"), clinics.of_line(line).zone)


def _name_in(line: Line) -> str:
    return clean_name("name", required(line, "name"))


def _email_in(line: Line) -> str:
    return clean_email("email", required(line, "email"))


async def _at_slots(connection: Connection, read: Sequence[_Read], faults: list[Fault]) -> list[_Wanted]:
    found = await FIND_SLOTS.all(
        connection, doctor_ids=[one.doctor_id for one in read], start_times=[one.start_time for one in read]
    )
    slots = {(slot.doctor_id, slot.start_time): slot.id for slot in found}
    wanted = []
    for one in read:
        slot_id = slots.get((one.doctor_id, one.start_time))
        if slot_id is None:
            what = "is no time of the doctor: import the timetable first, or correct day and time"
            faults.append(Fault(one.line.number, "time", what))
        else:
            wanted.append(_Wanted(slot_id, one))
    return wanted


async def _new(connection: Connection, wanted: Sequence[_Wanted], done: Imported) -> list[_Wanted]:
    """Those that are not there yet, by slot: locks of slots are taken in this order."""
    known = {
        (one.slot_id, one.user_name, email_key(one.user_email))
        for one in await LIST_KNOWN_BOOKINGS.all(connection, slot_ids=sorted({one.slot_id for one in wanted}))
    }
    line_of: dict[Key, int] = {}
    new = []
    for one in wanted:
        number = one.read.line.number
        if one.key in line_of:
            what = f"is also in line {line_of[one.key]}, at the same time: remove one of the two"
            done.faults.append(Fault(number, "name", what))
        elif one.key in known:
            done.already_there += 1
        else:
            new.append(one)
        line_of.setdefault(one.key, number)
    return sorted(new, key=lambda one: (one.slot_id, one.read.line.number))


async def _book(connection: Connection, wanted: Sequence[_Wanted], done: Imported) -> None:
    rows = await BOOK.all(
        connection,
        slot_ids=[one.slot_id for one in wanted],
        seats=[one.read.seats for one in wanted],
        user_names=[one.read.name for one in wanted],
        user_emails=[one.read.email for one in wanted],
        # Of tokens that nobody gets: an imported booking has no link.
        manage_token_hashes=[hashlib.sha256(secrets.token_bytes(32)).digest() for _ in wanted],
        actor=ACTOR,
        keep_seconds=KEEP_SECONDS,
    )
    for row in rows:
        if row.outcome == "held":
            done.added += 1
        else:
            done.faults.append(Fault(wanted[row.place - 1].read.line.number, "time", _refusal(row)))


def _refusal(row: BookedRow) -> str:
    match row.outcome:
        case "slot_full":
            return f"has only {row.available_seats} free places left: add places, or overbook it on its page"
        case "slot_closed":
            return "is closed for booking: open it, or choose another time"
        case "slot_started":
            return "has begun already: only appointments in the future can be imported"
        case _:
            raise InvalidInput.of("time", row.outcome)
