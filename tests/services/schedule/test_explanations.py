"""What is left after all causes is what is offered, and a reason's code is the answer that a hold gets."""

from datetime import datetime, timedelta
from random import Random
from typing import TypeAlias

import asyncpg
import pytest

from slotwise.domain.errors import DoctorNotFound, VisitTypeNotFound
from slotwise.domain.reasons import Cause
from slotwise.domain.users import LimitedUser, User
from slotwise.services.schedule.explanations import ExplainedDoctor, ExplainQuery, explained, read_hours
from slotwise.services.schedule.time_searches import TimesQuery
from tests.depth import many
from tests.services.schedule.test_schedules import STAFF
from tests.services.schedule.test_times import House, account, everything, stop_clock

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def explain(connection: Connection, query: ExplainQuery, reader: User = STAFF) -> list[ExplainedDoctor]:
    return explained(await read_hours(connection, reader, query, 10))


async def furnished(connection: Connection, seed: int) -> House:
    await stop_clock(connection)
    house = House(connection, Random(seed))
    await house.furnish()
    return house


@pytest.mark.parametrize("seed", range(many(4, 60)))
@pytest.mark.parametrize("for_patients", [True, False])
async def test_what_is_left_is_what_the_list_of_times_offers(
    connection: Connection, seed: int, for_patients: bool
) -> None:
    async with connection.transaction():
        house = await furnished(connection, seed)
        patient = await account(connection) if for_patients else None
        listed = await everything(connection, TimesQuery(user_id=patient, by_desk=not for_patients), limit=50)
        for doctor_id in {window["doctor_id"] for window in house.windows}:
            for type_id in (*house.types, None):
                query = ExplainQuery(doctor_id, visit_type_id=type_id, for_patients=for_patients)
                [doctor] = await explain(connection, query)
                left = sorted(start for day in doctor.days for start in day.left)
                assert left == sorted(
                    time.start_time for time in listed if (time.doctor_id, time.visit_type_id) == (doctor_id, type_id)
                )


@pytest.mark.parametrize("seed", range(many(4, 60)))
async def test_the_first_code_is_the_answer_that_a_hold_of_the_time_gets(connection: Connection, seed: int) -> None:
    async with connection.transaction():
        house = await furnished(connection, seed)
        # At the start of a published slot there would be two times to hold.
        await connection.execute("UPDATE appointment_slots SET visit_type_ids = NULL WHERE window_id IS NULL")
        for window in house.windows:
            for type_id in window["visit_type_ids"]:
                # A guest needs an account first, which is not what these codes are about.
                if house.types[type_id]["bookable_by"] != "ACCOUNTS":
                    for start in await house.starts_of(window):
                        await compare_with_hold(house, window, start, type_id)


async def compare_with_hold(house: House, window: asyncpg.Record, start: datetime, type_id: int) -> None:
    query = ExplainQuery(window["doctor_id"], visit_type_id=type_id, time=start, for_patients=True)
    [doctor] = await explain(house.connection, query)
    assert doctor.time is not None
    codes = [reason.code for reason in doctor.time.reasons if reason.code is not None]
    trial = house.connection.transaction()
    await trial.start()
    outcome = await house.hold(window, start, type_id)
    await trial.rollback()
    expected = "held" if not codes else (codes[0] or "").replace("-", "_")
    assert outcome == expected, (doctor.time, window, start)


async def test_what_a_doctor_does_elsewhere_is_told_without_its_slot(connection: Connection) -> None:
    async with connection.transaction():
        house = await furnished(connection, 1)
        elsewhere = await connection.fetchval(
            "INSERT INTO clinics (name, time_zone) VALUES ('Elsewhere', 'UTC') RETURNING id"
        )
        await connection.execute("DELETE FROM closures")
        await connection.execute("UPDATE appointment_slots SET clinic_id = $1", elsewhere)
        readers = [STAFF, *(LimitedUser.of(STAFF, frozenset({clinic_id})) for clinic_id in (1, elsewhere))]
        everybody, here, there = [await causes_for(house, reader) for reader in readers]
        busy = {Cause.BOOKING, Cause.HOLD, Cause.SLOT}
        assert everybody & busy
        assert Cause.ELSEWHERE in here
        assert not here & busy
        assert Cause.ELSEWHERE not in there


async def causes_for(house: House, reader: User) -> set[Cause]:
    """All that a reader is told of all windows."""
    found = set[Cause]()
    for window in house.windows:
        for type_id in window["visit_type_ids"]:
            query = ExplainQuery(window["doctor_id"], visit_type_id=type_id)
            [doctor] = await explain(house.connection, query, reader)
            found |= {taken.reason.cause for day in doctor.days for taken in day.taken}
    return found


async def test_a_clinic_has_the_doctors_with_hours_for_the_visit_type(connection: Connection) -> None:
    async with connection.transaction():
        house = await furnished(connection, 2)
        by_type = {
            type_id: sorted({each["doctor_id"] for each in house.windows if type_id in each["visit_type_ids"]})
            for type_id in house.types
        }
        await connection.execute("DELETE FROM bookings")
        await connection.execute("UPDATE appointment_slots SET visit_type_ids = NULL")
        for type_id, doctor_ids in by_type.items():
            query = ExplainQuery(clinic_id=1, visit_type_id=type_id)
            assert [doctor.id for doctor in await explain(connection, query)] == doctor_ids
            everywhere = ExplainQuery(visit_type_id=type_id)
            assert [doctor.id for doctor in await explain(connection, everywhere)] == doctor_ids
            later = explained(await read_hours(connection, STAFF, query, 1))
            assert [doctor.id for doctor in later] == doctor_ids[:2]
            nobody = await explain(connection, query, LimitedUser.of(STAFF, frozenset({99})))
            assert nobody == []


async def test_what_does_not_exist_is_named(connection: Connection) -> None:
    with pytest.raises(DoctorNotFound):
        await explain(connection, ExplainQuery(2**40))
    with pytest.raises(VisitTypeNotFound):
        await explain(connection, ExplainQuery(clinic_id=1, visit_type_id=2**40))


async def test_what_is_over_for_more_than_a_day_is_not_explained(connection: Connection) -> None:
    query = ExplainQuery(clinic_id=1, starts_from=datetime.fromisoformat("2001-01-01T00:00:00Z"))
    read = await read_hours(connection, STAFF, query, 1)
    assert read.question.now - read.question.starts_from == timedelta(days=1)
