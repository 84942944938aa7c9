"""What the lists of times in open time read: a page, however many windows there are. See `test_plans`."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from slotwise.db.search_patterns import equal_to
from slotwise.db.statements import Statement
from slotwise.services.schedule import times
from tests.clusters import execute
from tests.db import filling
from tests.db.filling import NOW
from tests.db.test_plans import PLAN_MODES, Guard, faults, plan_of

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LARGE = {"appointment_slots", "bookings", "windows"}
DAYS = 50
# Each doctor works at nine, some days after the last slot.
FIRST_NINE = datetime(NOW.year, NOW.month, NOW.day, 9, tzinfo=UTC) + timedelta(days=10)
OPEN_TIME = f"""
INSERT INTO visit_types (id, name, minutes, buffer_minutes) VALUES (1, 'Visit', 20, 5), (2, 'Nowhere', 20, 0);

INSERT INTO schedule_rules (
    id, doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, visit_type_ids, kind, step_minutes
)
SELECT i, i, 1, '2020-01-01', 1, 540, 1020, 480, '{{1}}', 'WINDOW', 10
FROM generate_series(1, {filling.DOCTORS}) AS i;

INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, local_start)
SELECT i, 1, i, d.start AT TIME ZONE 'UTC', d.start AT TIME ZONE 'UTC' + interval '8 hours', d.start
FROM generate_series(1, {filling.DOCTORS}) AS i
CROSS JOIN LATERAL (
    SELECT '{FIRST_NINE:%Y-%m-%d %H:%M}'::timestamp + n * interval '1 day' AS start
    FROM generate_series(0, {DAYS - 1}) AS n
) AS d;
"""


@pytest.fixture(scope="module", autouse=True)
def opened(filled_url: str) -> None:
    asyncio.run(execute(filled_url, OPEN_TIME, "VACUUM ANALYZE"))


def open_days(case: str, statement: Statement[Any], rows: int, pages: int, **sought: object) -> Guard:
    everything: Mapping[str, object] = {
        "doctor_id": None,
        "specialization": None,
        "clinic_ids": None,
        "from_time": NOW,
        "from_doctor": 0,
        "after_time": NOW - timedelta(seconds=1),
        "after_doctor": 0,
        "starts_before": NOW + timedelta(days=times.MAX_DAYS),
        "type_ids": [1],
        "limit": times.FIRST_DAYS,
    } | sought
    # Of one doctor, the planner may take another index that has the doctor: it reads as few rows.
    indexes = {"windows_on_offer"} if statement is ALL else set[str]()
    return Guard(case, statement, {name: everything[name] for name in statement.parameters}, indexes, rows, pages)


ALL, OF_DOCTORS = times.LIST_OPEN_DAYS, times.LIST_OPEN_DAYS_OF_DOCTORS
LATER = FIRST_NINE + timedelta(days=20)
DURING = {"from_time": LATER + timedelta(hours=1), "after_time": LATER}
DAYS_READ = {
    "doctor_ids": list(range(1, times.FIRST_DAYS + 1)),
    "clinic_ids": [1] * times.FIRST_DAYS,
    "days": [LATER.date()] * times.FIRST_DAYS,
    "near": [LATER] * times.FIRST_DAYS,
}
# Doctors of the kinds; of each, one page of days is looked at.
RARE, COMMON = 2, 100

GUARDS = [
    open_days("first", ALL, 26, 130),
    open_days("next", ALL, 26, 130, after_time=FIRST_NINE, after_doctor=100),
    open_days("while all work", ALL, 2 * filling.DOCTORS + 30, 3000, **DURING),
    open_days("of a clinic", ALL, 26, 130, clinic_ids=[1]),
    open_days("of a doctor", OF_DOCTORS, 30, 230, doctor_id=filling.DOCTOR),
    open_days("of a doctor at work", OF_DOCTORS, 30, 230, doctor_id=filling.DOCTOR, **DURING),
    open_days("of a rare kind", OF_DOCTORS, 30 * RARE, 420, specialization=equal_to("rare")),
    open_days("of a common kind", OF_DOCTORS, 30 * COMMON, 21000, specialization=equal_to("common")),
    Guard("whole days", times.READ_OPEN_DAYS, DAYS_READ, {"slots_of_doctor"}, 90, 530),
]


@pytest.mark.parametrize("mode", PLAN_MODES)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.case)
async def test_open_days_are_found_by_an_index_and_no_more_are_read_than_asked_for(
    filled: Connection, guard: Guard, mode: str
) -> None:
    assert not faults(guard, await plan_of(filled, guard, mode), LARGE)
