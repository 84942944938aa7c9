"""What is read of open time: a page, however many windows there are. See `test_plans`."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from slotwise.db.search_patterns import equal_to
from slotwise.db.statements import Statement
from slotwise.services.core import open_time as shown_open_time
from slotwise.services.core.invariants import Finding
from slotwise.services.desk import day_sheets
from slotwise.services.schedule import (
    bookable_times,
    found_times,
    free_times,
    time_counts,
    time_searches,
    times,
)
from tests.clusters import execute
from tests.db import filling
from tests.db.filling import ALL_ROWS, NOW
from tests.db.test_plans import PLAN_MODES, Guard, faults, plan_of

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

LARGE = {"appointment_slots", "bookings", "windows"}
DAYS = 50
CARVED = 1_000_000
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

-- Visits that were carved out of the first windows of some doctors, with ids of their own.
INSERT INTO appointment_slots (
    id, doctor_id, start_time, end_time, total_seats, available_seats, visit_type_ids, window_id
)
SELECT
    {CARVED} + row_number() OVER (), v.doctor_id, v.start_time, v.start_time + interval '20 minutes', 1, 0, '{{1}}',
    v.id
FROM windows AS v
WHERE v.doctor_id > {filling.DOCTORS} - 100 AND v.start_time < '{FIRST_NINE + timedelta(days=10)}';

INSERT INTO bookings (
    slot_id, user_name, user_email, seats_booked, status, confirmed_at, visit_type_id, manage_token_hash
)
SELECT s.id, 'Ada', 'ada@example.org', 1, 'CONFIRMED', now(), 1, '\\x00'
FROM appointment_slots AS s WHERE s.id > {CARVED};
"""


@pytest.fixture(scope="module", autouse=True)
def opened(filled_url: str) -> None:
    asyncio.run(execute(filled_url, OPEN_TIME, ALL_ROWS, "VACUUM ANALYZE"))


def open_days(case: str, statement: Statement[Any], rows: int, pages: int, **sought: object) -> Guard:
    everything: Mapping[str, object] = {
        "doctor_id": None,
        "specialization": None,
        "clinic_ids": None,
        "from_time": NOW,
        "from_doctor": 0,
        "after_time": NOW - timedelta(seconds=1),
        "after_doctor": 0,
        "starts_before": NOW + timedelta(days=time_searches.MAX_DAYS),
        "type_ids": [1],
        "limit": times.FIRST_DAYS,
    } | sought
    # Of one doctor, the planner may take another index that has the doctor: it reads as few rows.
    indexes = {"windows_on_offer"} if statement is ALL else set[str]()
    return Guard(case, statement, {name: everything[name] for name in statement.parameters}, indexes, rows, pages)


def windows(case: str, statement: Statement[Any], indexes: set[str], rows: int, pages: int, **sought: object) -> Guard:
    midnights = [FIRST_NINE.replace(hour=0) + timedelta(days=number) for number in range(found_times.DAYS_OF_STRIP + 1)]
    everything: Mapping[str, object] = {
        "doctor_id": None,
        "specialization": None,
        "clinic_ids": None,
        "places": list(range(found_times.DAYS_OF_STRIP)),
        "periods_from": midnights[:-1],
        "periods_to": midnights[1:],
        "type_ids": [1],
        "limit": time_counts.FIRST_WINDOWS,
    } | sought
    arguments = {name: everything[name] for name in statement.parameters}
    return Guard(f"windows {case}", statement, arguments, indexes, rows, pages)


def open_time(case: str, indexes: set[str], rows: int, pages: int, **sought: object) -> Guard:
    arguments: dict[str, object] = {
        "doctor_id": None,
        "specialization": None,
        "clinic_ids": None,
        "visit_type_id": None,
        "day_from": FIRST_NINE.replace(hour=0),
        "day_to": FIRST_NINE.replace(hour=0) + timedelta(days=1),
    }
    return Guard(f"open time {case}", free_times.LOOK_FOR_OPEN_TIME, arguments | sought, indexes, rows, pages)


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

# What `look_for_open_time` may be asked for: a day after the last window.
FAR = FIRST_NINE + timedelta(days=DAYS)
OUTSIDE = Statement("core/invariants.find_visits_outside_windows", Finding)
# A part of the slots, as `check-invariants` goes through them: all have been carved.
PART = {"first_slot": CARVED, "last_slot": CARVED + 1000, "limit": 20}
BY_DOCTOR, OF_PERIODS = {"windows_of_doctor"}, time_counts.LIST_WINDOWS_OF_DOCTORS

# What the desk sees: a doctor's week with visits in it, and the day of all doctors.
WEEK = {"starts_from": FIRST_NINE, "starts_before": FIRST_NINE + timedelta(days=7), "clinic_ids": None}
ONE_DAY = {"starts_from": FIRST_NINE, "starts_before": FIRST_NINE + timedelta(hours=12), "clinic_ids": None}
SHEETS = ONE_DAY | {"limit": day_sheets.MOST_SHEETS + 1}
OF_WEEK = WEEK | {"doctor_ids": [filling.DOCTORS]}
OF_DOCTORS_SHOWN = ONE_DAY | {"doctor_ids": list(range(1, 51))}

GUARDS = [
    open_days("first", ALL, 26, 130),
    open_days("next", ALL, 26, 130, after_time=FIRST_NINE, after_doctor=100),
    open_days("while all work", ALL, 2 * filling.DOCTORS + 30, 3000, **DURING),
    open_days("of a clinic", ALL, 26, 130, clinic_ids=[1]),
    open_days("of a doctor", OF_DOCTORS, 55, 230, doctor_id=filling.DOCTOR),
    open_days("of a doctor at work", OF_DOCTORS, 55, 230, doctor_id=filling.DOCTOR, **DURING),
    open_days("of a rare kind", OF_DOCTORS, 30 * RARE, 420, specialization=equal_to("rare")),
    open_days("of a common kind", OF_DOCTORS, 2 * COMMON + 10, 1500, specialization=equal_to("common")),
    windows("of each day", time_counts.LIST_WINDOWS_OF_PERIODS, {"windows_on_offer"}, 14 * 420, 1300),
    windows("of a common kind", OF_PERIODS, BY_DOCTOR, 480, 1550, specialization=equal_to("common")),
    open_time("of any type", BY_DOCTOR, 4, 45),
    open_time("of a common kind", BY_DOCTOR, 4, 45, specialization=equal_to("common")),
    open_time("of a type without rules", set(), 1, 20, visit_type_id=2),
    open_time("of a clinic without rules", set(), 1, 20, clinic_ids=[2]),
    open_time("that begins later", BY_DOCTOR, 400, 2300, day_from=FAR, day_to=FAR + timedelta(days=1)),
    Guard("visits outside windows", OUTSIDE, PART, {"window_overlaps"}, 5500, 15000),
    Guard("week of a doctor", shown_open_time.LIST_OPEN_TIME, OF_WEEK, BY_DOCTOR, 30, 140),
    Guard("day of fifty doctors", shown_open_time.LIST_OPEN_TIME, OF_DOCTORS_SHOWN, BY_DOCTOR, 60, 600),
    Guard(
        "doctors with windows",
        shown_open_time.LIST_DOCTORS_WITH_WINDOWS,
        ONE_DAY | {"limit": 51},
        {"windows_on_offer"},
        410,
        30,
    ),
    Guard("doctors of a day", day_sheets.LIST_DOCTORS_OF_DAY, ONE_DAY | {"limit": 51}, BY_DOCTOR, 410, 2700),
    Guard("whole days", bookable_times.READ_OPEN_DAYS, DAYS_READ, {"slots_of_doctor"}, 90, 530),
]


@pytest.mark.parametrize("mode", PLAN_MODES)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.case)
async def test_open_days_are_found_by_an_index_and_no_more_are_read_than_asked_for(
    filled: Connection, guard: Guard, mode: str
) -> None:
    assert not faults(guard, await plan_of(filled, guard, mode), LARGE)
