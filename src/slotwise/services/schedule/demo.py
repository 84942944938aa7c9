"""Demo data: doctors with weeks of slots. The same seed and first day give the same clinic."""

import random
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import Statement
from slotwise.domain.clinics import FIRST_CLINIC
from slotwise.domain.name_order import ENGLISH, NameOrder
from slotwise.services.schedule.demo_schedules import NOTHING, Made, add_schedules
from slotwise.services.schedule.slots import CREATE_SLOTS

SPECIALIZATIONS = (
    "General practice", "Cardiology", "Dermatology", "Paediatrics", "Orthopaedics", "Ophthalmology",
)  # fmt: skip
_FIRST_NAMES = (
    "Amara", "Bjorn", "Chiara", "Daniel", "Elif", "Farid", "Grace", "Hana", "Ivan", "Jun", "Kofi", "Lena", "Mateo",
    "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Thandi", "Ulrike", "Viktor", "Wanjiru", "Yuki",
)  # fmt: skip
_LAST_NAMES = (
    "Abebe", "Bauer", "Costa", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Ito", "Jensen", "Kaya", "Larsen",
    "Moreau", "Novak", "Okafor", "Petrov", "Quist", "Rossi", "Silva", "Tanaka", "Ueda", "Varga", "Weber", "Zhang",
)  # fmt: skip
SLOT_MINUTES = 30
_SLOTS_PER_STATEMENT = 2000


class NewId(Struct, frozen=True):
    id: int


class Found(Struct, frozen=True):
    found: bool


IS_EMPTY = Statement("schedule/demo.is_empty", Found)
CREATE_DOCTORS = Statement("schedule/demo.create_doctors", NewId)


class DemoPlan(NamedTuple):
    """How much to make. Days are calendar days from `first_day` on, week-ends included.

    `with_schedules`: also visit types, open time, and what comes after these days (`demo_schedules`).
    """

    doctors: int
    days: int
    first_day: date
    zone: ZoneInfo
    seed: int = 1
    order: NameOrder = ENGLISH
    with_schedules: bool = False


class Seeded(NamedTuple):
    """How much was added."""

    slots: int
    schedules: Made


class _Planned(NamedTuple):
    doctor_id: int
    start: datetime
    seats: int


async def is_empty(database: Database) -> bool:
    async with database.connection() as connection:
        return (await IS_EMPTY.one(connection)).found


async def seed_demo(database: Database, plan: DemoPlan, progress: Callable[[int, int], None]) -> Seeded:
    """Add what is planned in one transaction.

    `progress` gets the number of slots that are done and their total.
    """
    chance = random.Random(plan.seed)  # noqa: S311 - reproducible on purpose, and not secret
    async with database.transaction() as connection:
        doctor_ids = await _create_doctors(connection, plan, chance)
        slots = list(_planned_slots(doctor_ids, plan, chance))
        done = 0
        for chunk in (slots[at : at + _SLOTS_PER_STATEMENT] for at in range(0, len(slots), _SLOTS_PER_STATEMENT)):
            await _create_slots(connection, chunk)
            done += len(chunk)
            progress(done, len(slots))
        made = NOTHING
        if plan.with_schedules:
            after = plan.first_day + timedelta(days=plan.days)
            made = await add_schedules(connection, doctor_ids, plan.first_day, after, plan.zone)
    return Seeded(len(slots), made)


async def _create_doctors(connection: Connection, plan: DemoPlan, chance: random.Random) -> list[int]:
    names = [f"Dr. {chance.choice(_FIRST_NAMES)} {chance.choice(_LAST_NAMES)}" for _ in range(plan.doctors)]
    rows = await CREATE_DOCTORS.all(
        connection,
        names=names,
        name_sort_keys=[plan.order.key(name) for name in names],
        specializations=[SPECIALIZATIONS[number % len(SPECIALIZATIONS)] for number in range(plan.doctors)],
    )
    return [row.id for row in rows]


def _planned_slots(doctor_ids: Sequence[int], plan: DemoPlan, chance: random.Random) -> Iterator[_Planned]:
    """Mornings 9 to 12 and afternoons 13 to 17, by the clinic's clock; most for one person, some for small groups."""
    for offset in range(plan.days):
        day = plan.first_day + timedelta(days=offset)
        for doctor_id in doctor_ids:
            for hour in (9, 10, 11, 13, 14, 15, 16):
                for minute in (0, SLOT_MINUTES):
                    start = datetime.combine(day, time(hour, minute), plan.zone)
                    yield _Planned(doctor_id, start, chance.choice((1, 1, 1, 1, 2, 5)))


async def _create_slots(connection: Connection, planned: Sequence[_Planned]) -> None:
    await CREATE_SLOTS.run(
        connection,
        doctor_ids=[slot.doctor_id for slot in planned],
        clinic_ids=[FIRST_CLINIC] * len(planned),
        start_times=[slot.start for slot in planned],
        end_times=[slot.start + timedelta(minutes=SLOT_MINUTES) for slot in planned],
        total_seats=[slot.seats for slot in planned],
        visit_type_ids=None,
        actor="seed",
    )
