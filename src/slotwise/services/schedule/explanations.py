"""Why times are not offered: what takes away the times of doctors' hours, day by day, and all reasons of one time."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct
from msgspec.structs import replace

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.errors import DoctorNotFound, VisitTypeNotFound
from slotwise.domain.explanations import DayExplanation, TimeExplanation, explain_days, explain_time
from slotwise.domain.fields import LAST_READABLE_TIME
from slotwise.domain.open_times import VisitTime
from slotwise.domain.schedule_previews import VisitLength
from slotwise.domain.time_questions import AskedVisit, DoctorTimes, Question
from slotwise.domain.time_zones import UTC_ZONE, find_zone
from slotwise.domain.users import User
from slotwise.services.schedule.schedule_state import (
    DAY,
    LIST_EXISTING_SLOTS,
    LIST_OPEN_WINDOWS,
    LIST_PLACES,
    LIST_RULES,
    LIST_VISIT_LENGTHS,
    list_closures,
)
from slotwise.services.schedule.time_searches import MAX_DAYS, READ_CLOCK


class ExplainQuery(Struct, frozen=True):
    """Of which doctor or of all, at which clinic or at all, and which visit type; without one, of slots without types.

    The period of starts is half-open, in UTC, and at most `MAX_DAYS` long. With a `time`, only that one is explained.
    `for_patients` tells what patients are offered, otherwise what the desk is.
    """

    doctor_id: int | None = None
    clinic_id: int | None = None
    visit_type_id: int | None = None
    starts_from: datetime | None = None
    starts_before: datetime | None = None
    time: datetime | None = None
    for_patients: bool = False


class ExplainedDoctor(Struct, frozen=True):
    """`days` are those that have times by the doctor's hours; with a time that was asked for, `time` explains it."""

    id: int
    name: str
    specialization: str | None
    active: bool
    days: Sequence[DayExplanation] = ()
    time: TimeExplanation | None = None


class NamedDoctor(Struct, frozen=True):
    id: int
    name: str
    specialization: str | None
    active: bool


class AskedType(Struct, frozen=True):
    minutes: int
    buffer_minutes: int
    offered: bool
    starts_from: datetime
    starts_until: datetime | None


GET_EXPLAINED_DOCTOR = Statement("schedule/explanations.get_explained_doctor", NamedDoctor)
LIST_EXPLAINED_DOCTORS = Statement("schedule/explanations.list_explained_doctors", NamedDoctor)
READ_ASKED_TYPE = Statement("schedule/explanations.read_asked_type", AskedType)


class ReadHours(Struct, frozen=True):
    """What an explanation is computed from. Of `doctors`, one more than `times` has if there are more."""

    question: Question
    time: datetime | None
    doctors: list[NamedDoctor]
    times: list[DoctorTimes]


class Explanations:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def explain_times(
        self, reader: User, query: ExplainQuery, limit: int, after_id: int = 0
    ) -> list[ExplainedDoctor]:
        """Doctors by id, after that one: at most `limit`, and one more that is not explained if there are more.

        Staff who work for some clinics get the times at these; what the doctor does elsewhere is told without details.
        Raises `DoctorNotFound` and `VisitTypeNotFound`.
        """
        async with self._database.connection() as connection:
            read = await read_hours(connection, reader, query, limit, after_id)
        return await asyncio.to_thread(explained, read)


async def read_hours(
    connection: Connection, reader: User, query: ExplainQuery, limit: int, after_id: int = 0
) -> ReadHours:
    """See `Explanations.explain_times`."""
    question = await _read_question(connection, query, reader)
    doctors = await _list_doctors(connection, query, question, limit + 1, after_id)
    times = [await _read_times(connection, doctor, question) for doctor in doctors[:limit]]
    return ReadHours(question, query.time, doctors, times)


def explained(read: ReadHours) -> list[ExplainedDoctor]:
    """Of thousands of times it takes a while: not for the event loop."""
    told = [_explain(doctor, times, read) for doctor, times in zip(read.doctors, read.times, strict=False)]
    return [*told, *(_named(doctor) for doctor in read.doctors[len(read.times) :])]


def _explain(doctor: NamedDoctor, times: DoctorTimes, read: ReadHours) -> ExplainedDoctor:
    if read.time is None:
        return replace(_named(doctor), days=explain_days(times, read.question))
    return replace(_named(doctor), time=explain_time(times, read.question, read.time))


def _named(doctor: NamedDoctor) -> ExplainedDoctor:
    return ExplainedDoctor(doctor.id, doctor.name, doctor.specialization, doctor.active)


async def _read_question(connection: Connection, query: ExplainQuery, reader: User) -> Question:
    now = (await READ_CLOCK.one(connection)).now
    starts_from, starts_before = _period(query, now)
    lengths = await LIST_VISIT_LENGTHS.all(connection)
    places = await LIST_PLACES.all(connection)
    return Question(
        visit=await _read_visit(connection, query, now),
        starts_from=starts_from,
        starts_before=starts_before,
        now=now,
        zones={place.id: find_zone(place.time_zone) or UTC_ZONE for place in places},
        visit_times={each.id: _visit_time(each) for each in lengths if each.active},
        buffers={each.id: each.buffer_minutes for each in lengths},
        inactive=frozenset(place.id for place in places if not place.active),
        clinic_ids=_asked_clinics(query, reader),
        readable=reader.clinic_ids,
    )


def _period(query: ExplainQuery, now: datetime) -> tuple[datetime, datetime]:
    """What is over for more than a day is not explained: rules have changed since. One time always is."""
    if query.time is not None:
        return query.time, query.time + timedelta.resolution
    starts_from = max(query.starts_from or now, now - DAY)
    latest = min(starts_from + timedelta(days=MAX_DAYS), LAST_READABLE_TIME)
    return starts_from, max(starts_from, min(query.starts_before or latest, latest))


async def _read_visit(connection: Connection, query: ExplainQuery, now: datetime) -> AskedVisit:
    if query.visit_type_id is None:
        return AskedVisit(offered=True, starts_from=now)
    found = await READ_ASKED_TYPE.first(connection, visit_type_id=query.visit_type_id, by_desk=not query.for_patients)
    if found is None:
        raise VisitTypeNotFound
    time = _visit_time(VisitLength(query.visit_type_id, found.minutes, found.buffer_minutes))
    return AskedVisit(found.offered, found.starts_from, query.visit_type_id, time, found.starts_until)


def _visit_time(length: VisitLength) -> VisitTime:
    return VisitTime(timedelta(minutes=length.minutes), timedelta(minutes=length.buffer_minutes))


def _asked_clinics(query: ExplainQuery, reader: User) -> frozenset[int] | None:
    if query.clinic_id is None:
        return reader.clinic_ids
    asked = frozenset({query.clinic_id})
    return asked if reader.clinic_ids is None else asked & reader.clinic_ids


async def _list_doctors(
    connection: Connection, query: ExplainQuery, question: Question, limit: int, after_id: int
) -> list[NamedDoctor]:
    if query.doctor_id is not None:
        doctor = await GET_EXPLAINED_DOCTOR.first(connection, doctor_id=query.doctor_id)
        if doctor is None:
            raise DoctorNotFound
        return [doctor] if doctor.id > after_id else []
    return await LIST_EXPLAINED_DOCTORS.all(
        connection,
        clinic_ids=question.clinic_ids,
        visit_type_id=query.visit_type_id,
        starts_from=question.starts_from,
        starts_before=question.starts_before,
        after_id=after_id,
        limit=limit,
    )


async def _read_times(connection: Connection, doctor: NamedDoctor, question: Question) -> DoctorTimes:
    """With two days more on each side: what is offered of a day depends on all that is in it, in every zone."""
    starts_from, starts_before = question.starts_from - 2 * DAY, question.starts_before + 2 * DAY
    return DoctorTimes(
        doctor.id,
        doctor.active,
        await LIST_RULES.all(connection, doctor_ids=[doctor.id]),
        await list_closures(connection, starts_from, starts_before, [doctor.id]),
        await LIST_OPEN_WINDOWS.all(
            connection, doctor_ids=[doctor.id], starts_from=starts_from, starts_before=starts_before
        ),
        await LIST_EXISTING_SLOTS.all(
            connection, doctor_ids=[doctor.id], starts_from=starts_from, starts_before=starts_before
        ),
    )
