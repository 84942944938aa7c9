"""What hot statements read: only a page or a batch, however many rows there are.

Each statement runs on a filled database, with a generic plan and with a plan for its values. The plan must use the
index that was made for it, must not scan a whole large table, and may read rows and pages only in proportion to the
result. No test measures time.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Set
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import pytest

from slotwise.db.search_patterns import containing, equal_to
from slotwise.db.statements import Statement
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME, MAX_ID
from slotwise.http.kit.paging import MAX_LIMIT
from slotwise.services.accounts import users
from slotwise.services.booking import bookings, calendars, my_bookings
from slotwise.services.booking import search as booking_search
from slotwise.services.core import audit, callers, idempotency, seat_events
from slotwise.services.core.invariants import Finding
from slotwise.services.desk import dashboard, day_sheets, export, history
from slotwise.services.privacy import personal_data
from slotwise.services.schedule import (
    explanations,
    found_times,
    free_times,
    schedule_state,
    slot_lists,
    slot_searches,
    slots,
)
from tests.db import filling
from tests.db.filling import NOW

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Plan: TypeAlias = dict[str, Any]

LARGE = {"appointment_slots", "bookings", "booking_events", "idempotency_keys", "users", "login_attempts", "audit_log"}
PLAN_MODES = ("force_generic_plan", "force_custom_plan")
PAGE = 100


class Guard(NamedTuple):
    """A statement and what it may use and read: indexes, rows of large tables before filters, and pages."""

    case: str
    statement: Statement[Any]
    arguments: Mapping[str, object]
    indexes: set[str]
    rows: int
    pages: int


# Reading a plan.


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


def rows_read(plan: Plan, large: Set[str] = LARGE) -> int:
    """Rows of large tables that the plan's scans read, including those that a filter removed."""
    return round(sum(_rows_of_scan(node) for node in nodes(plan) if node.get("Relation Name") in large))


def _rows_of_scan(node: Plan) -> float:
    if node["Node Type"] == "ModifyTable":
        return 0
    dropped = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    found: float = sum(node.get(name, 0) for name in ("Actual Rows", *dropped))
    return found * float(node["Actual Loops"])


def faults(guard: Guard, plan: Plan, large: Set[str] = LARGE) -> list[str]:
    used = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    scanned = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    found = {
        f"does not use {', '.join(sorted(guard.indexes - used))}": not guard.indexes <= used,
        f"scans {', '.join(sorted(scanned & large))}": bool(scanned & large),
        f"reads {rows_read(plan, large)} rows": rows_read(plan, large) > guard.rows,
        f"reads {pages} pages": pages > guard.pages,
    }
    return [fault for fault, true in found.items() if true]


async def plan_of(connection: Connection, guard: Guard, mode: str, before: str = "") -> Plan:
    """The plan, as executed after the command `before`.

    Uses a prepared statement: EXPLAIN of a text with parameters always plans for their values, whatever the mode.
    """
    if before:
        await connection.execute(before)
    await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
    await connection.execute(f"PREPARE guarded AS {guard.statement.text}")
    arguments = ", ".join(literal(guard.arguments[name]) for name in guard.statement.parameters)
    values = f"({arguments})" if arguments else ""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) EXECUTE guarded{values}"
    plan: Plan = json.loads(await connection.fetchval(explain))[0]["Plan"]
    await connection.execute("DEALLOCATE guarded")
    return plan


def literal(value: object) -> str:
    """A value as an SQL literal without a type, so that it gets the parameter's type."""
    match value:
        case None:
            return "NULL"
        case bytes():
            return f"'\\x{value.hex()}'"
        case list():
            items = ", ".join(json.dumps(str(item)) for item in value)
            return f"'{{{items}}}'"
        case _:
            return "'" + str(value).replace("'", "''") + "'"


# The guards.


def free_slots(case: str, statement: Statement[Any], index: str, rows: int, pages: int, **sought: object) -> Guard:
    everything = {
        "after_time": FIRST_TIME,
        "after_id": 0,
        "starts_before": LAST_READABLE_TIME,
        "min_seats": 1,
        "specialization": None,
        "clinic_ids": None,
        "visit_type_id": None,
        "by_desk": False,
        "limit": PAGE,
    } | sought
    arguments = {name: everything[name] for name in statement.parameters}
    return Guard(f"slots {case}", statement, arguments, {index, "holds_by_deadline"}, rows, pages)


BY_START, BY_DOCTOR, BY_SIZE = "slots_on_offer", "slots_on_offer_by_doctor", "slots_on_offer_by_size"
BY_CLINIC, OF_CLINICS = "slots_on_offer_by_clinic", slot_lists.LIST_SLOTS_OF_CLINICS
BY_TYPES, OF_TYPE = "slots_on_offer_by_types", slot_lists.LIST_SLOTS_OF_VISIT_TYPE
OF_DOCTOR, OF_SPECIALIZATION = slot_lists.LIST_SLOTS_OF_DOCTOR, slot_lists.LIST_SLOTS_OF_SPECIALIZATION

FREE_SLOTS = [
    free_slots("first page", slot_lists.LIST_SLOTS, BY_START, 370, 1300),
    free_slots("largest page", slot_lists.LIST_SLOTS, BY_START, 1400, 5100, limit=MAX_LIMIT + 1),
    free_slots("deep page", slot_lists.LIST_SLOTS, BY_START, 370, 1320, after_time=NOW + timedelta(days=4)),
    free_slots("of an hour", slot_lists.LIST_SLOTS, BY_START, 480, 1400, starts_before=NOW + timedelta(hours=1)),
    free_slots("for two", slot_lists.LIST_SLOTS_OF_SIZE, BY_SIZE, 380, 1600, min_seats=2),
    free_slots("for more than any has", slot_lists.LIST_SLOTS_OF_SIZE, BY_SIZE, 110, 290, min_seats=60),
    free_slots("of a doctor", OF_DOCTOR, BY_DOCTOR, 170, 530, doctor_id=filling.DOCTOR),
    free_slots("of an idle doctor", OF_DOCTOR, BY_DOCTOR, 100, 260, doctor_id=filling.DOCTOR_WITHOUT_SLOTS),
    free_slots("of a rare kind", OF_SPECIALIZATION, BY_DOCTOR, 290, 960, specialization=equal_to("rare")),
    free_slots("of a common kind", OF_SPECIALIZATION, BY_DOCTOR, 600, 2500, specialization=equal_to("common")),
    free_slots("of a booked-out kind", OF_SPECIALIZATION, BY_DOCTOR, 130, 540, specialization=equal_to("booked out")),
    free_slots("of a clinic", OF_CLINICS, BY_CLINIC, 380, 1300, clinic_ids=[1]),
    free_slots("of clinics for two", OF_CLINICS, BY_CLINIC, 2400, 6000, clinic_ids=[1, 2], min_seats=2),
    free_slots("of a clinic without slots", OF_CLINICS, BY_CLINIC, 100, 260, clinic_ids=[2]),
    free_slots("of no kind", OF_SPECIALIZATION, "holds_by_deadline", 100, 260, specialization=equal_to("none")),
]


def free_days(
    case: str, statement: Statement[Any], indexes: set[str], rows: int, pages: int, **sought: object
) -> Guard:
    midnights = [NOW + timedelta(days=number) for number in range(found_times.DAYS_OF_STRIP + 1)]
    everything = {
        "days_from": midnights[:-1],
        "days_to": midnights[1:],
        "day_from": midnights[2],
        "day_to": midnights[3],
        "starts_from": FIRST_TIME,
        "min_seats": 1,
        "doctor_id": None,
        "visit_type_id": None,
        "specialization": None,
        "clinic_ids": None,
        "most_looked_at": slot_searches.MOST_LOOKED_AT,
        "limit": slot_searches.MOST_COUNTED,
    } | sought
    arguments = {name: everything[name] for name in statement.parameters}
    return Guard(f"free times {case}", statement, arguments, indexes, rows, pages)


COUNT, COUNT_OF_DOCTORS = slot_searches.COUNT_FREE_TIMES, slot_searches.COUNT_FREE_TIMES_OF_DOCTORS
OTHERS, PUBLISHED = free_times.LIST_OTHER_DOCTORS, free_times.LOOK_FOR_PUBLISHED
COUNT_OF_CLINICS = slot_searches.COUNT_FREE_TIMES_OF_CLINICS
SIZES, DOCTORS = {BY_SIZE, "holds_by_deadline"}, {BY_DOCTOR, "holds_by_deadline"}
CLINICS = {BY_CLINIC, "holds_by_deadline"}

FREE_DAYS = [
    free_days("by day", COUNT, SIZES, 760, 2460),
    free_days("by day for two", COUNT, SIZES, 800, 2600, min_seats=2),
    free_days("by day for more than any has", COUNT, SIZES, 110, 370, min_seats=60),
    free_days("by day of a doctor", COUNT_OF_DOCTORS, DOCTORS, 140, 390, doctor_id=filling.DOCTOR),
    free_days("by day of a common kind", COUNT_OF_DOCTORS, DOCTORS, 730, 4740, specialization=equal_to("common")),
    free_days(
        "by day of a booked-out kind", COUNT_OF_DOCTORS, DOCTORS, 110, 1660, specialization=equal_to("booked out")
    ),
    free_days(
        "of other doctors",
        OTHERS,
        DOCTORS,
        230,
        1150,
        doctor_id=filling.DOCTOR,
        specialization=equal_to("common"),
        limit=5,
    ),
    free_days("within reach for two", slot_searches.FIND_REACH, {BY_SIZE}, 510, 600, min_seats=2),
    free_days(
        "within reach of a common kind",
        slot_searches.FIND_REACH_OF_SPECIALIZATION,
        {BY_DOCTOR},
        710,
        2600,
        specialization=equal_to("common"),
    ),
    free_days("by day of a clinic", COUNT_OF_CLINICS, CLINICS, 760, 2460, clinic_ids=[1]),
    free_days("by day of a clinic without slots", COUNT_OF_CLINICS, CLINICS, 100, 260, clinic_ids=[2]),
    free_days(
        "within reach of two clinics", slot_searches.FIND_REACH_OF_CLINICS, {BY_CLINIC}, 260, 300, clinic_ids=[1, 2]
    ),
    free_days("published", PUBLISHED, {"slots_of_doctor"}, 4, 12),
    free_days("published of a common kind", PUBLISHED, {"slots_of_doctor"}, 4, 20, specialization=equal_to("common")),
]


def desk(case: str, statement: Statement[Any], indexes: set[str], rows: int, pages: int, **sought: object) -> Guard:
    everything: dict[str, object] = {
        "status": None,
        "slot_id": None,
        "doctor_id": None,
        "user_id": None,
        "any_start": "starts_from" not in sought,
        "starts_from": FIRST_TIME,
        "starts_before": LAST_READABLE_TIME,
        "ends_after": FIRST_TIME,
        "pattern": None,
        "before_id": MAX_ID,
        "floor_id": 0,
        "after_id": 0,
        "limit": PAGE,
    } | sought
    arguments = {name: everything[name] for name in statement.parameters}
    return Guard(f"bookings {case}", statement, arguments, {"bookings_pkey", *indexes}, rows, pages)


DEEP = filling.BOOKINGS // 2
OF_SLOTS, OF_SLOTS_BY = booking_search.LIST_BOOKINGS_OF_SLOTS, {"slots_of_doctor", "bookings_of_slot"}
OF_STATUS, BY_STATUS = booking_search.LIST_BOOKINGS_OF_STATUS, {"bookings_of_status"}

LISTS_OF_BOOKINGS = [
    desk(
        "of a user",
        bookings.LIST_BOOKINGS_OF_USER,
        {"bookings_of_user"},
        380,
        1050,
        user_id=filling.REGULAR,
        own_email=None,
    ),
    desk(
        "of a user, deep",
        bookings.LIST_BOOKINGS_OF_USER,
        {"bookings_of_user"},
        380,
        1050,
        user_id=filling.REGULAR,
        own_email=None,
        before_id=DEEP,
    ),
    desk("of a slot", bookings.LIST_BOOKINGS_OF_SLOT, {"bookings_of_slot"}, 20, 50, slot_id=1),
    desk(
        "of a slot with a history",
        bookings.LIST_BOOKINGS_OF_SLOT,
        {"bookings_of_slot"},
        380,
        950,
        slot_id=filling.OLD_SLOT,
    ),
    desk("of all", booking_search.LIST_BOOKINGS, set(), 380, 950),
    desk("of all, largest page", booking_search.LIST_BOOKINGS, set(), 1880, 4700, limit=MAX_LIMIT + 1),
    desk("of all, deep", booking_search.LIST_BOOKINGS, set(), 380, 950, before_id=DEEP),
    desk("confirmed", booking_search.LIST_BOOKINGS, set(), 390, 1140, status="CONFIRMED", before_id=DEEP),
    desk(
        "with a text that nobody has",
        booking_search.LIST_BOOKINGS,
        set(),
        1260,
        40,
        pattern=containing("nobody"),
        before_id=DEEP,
        floor_id=DEEP - 1000,
    ),
    desk(
        "of a week, by a walk",
        booking_search.LIST_BOOKINGS,
        set(),
        2500,
        3790,
        starts_from=NOW + timedelta(days=300),
        before_id=DEEP,
        floor_id=DEEP - 1000,
    ),
    desk("cancelled, which are rare", OF_STATUS, BY_STATUS, 100, 310, status="CANCELLED"),
    desk("failed", OF_STATUS, BY_STATUS, 380, 1400, status="FAILED"),
    desk("pending", OF_STATUS, BY_STATUS, 380, 920, status="PENDING"),
    desk("failed, deep", OF_STATUS, BY_STATUS, 430, 1160, status="FAILED", before_id=DEEP),
    desk("of the desk's slot", OF_SLOTS, {"bookings_of_slot"}, 20, 60, slot_id=1),
    desk("of the desk's slot with a history", OF_SLOTS, {"bookings_of_slot"}, 720, 1150, slot_id=filling.OLD_SLOT),
    desk("of a doctor", OF_SLOTS, OF_SLOTS_BY, 760, 2000, doctor_id=filling.DOCTOR),
    desk("of a doctor, deep", OF_SLOTS, OF_SLOTS_BY, 690, 2050, doctor_id=filling.DOCTOR, before_id=DEEP),
    desk("of a doctor, cancelled", OF_SLOTS, OF_SLOTS_BY, 500, 900, doctor_id=filling.DOCTOR, status="CANCELLED"),
    desk(
        "of a doctor's day",
        OF_SLOTS,
        OF_SLOTS_BY,
        220,
        550,
        doctor_id=filling.DOCTOR,
        starts_from=NOW,
        starts_before=NOW + timedelta(days=1),
    ),
    desk(
        "of a doctor's day, in part or as a whole",
        OF_SLOTS,
        OF_SLOTS_BY,
        240,
        600,
        doctor_id=filling.DOCTOR,
        starts_from=NOW - timedelta(days=1),
        starts_before=NOW + timedelta(days=1),
        ends_after=NOW,
    ),
    desk("of an hour", OF_SLOTS, OF_SLOTS_BY, 1380, 4300, starts_from=NOW, starts_before=NOW + timedelta(hours=1)),
]


def look_up(statement: Statement[Any], index: str, rows: int, pages: int, **arguments: object) -> Guard:
    return Guard(statement.name, statement, arguments, {index}, rows, pages)


MINE = [
    desk(
        "coming of a user",
        my_bookings.LIST_COMING_BOOKINGS,
        {"bookings_of_user"},
        2200,
        4600,
        user_id=filling.REGULAR,
        own_email=None,
        after_time=FIRST_TIME,
        limit=21,
    ),
    desk(
        "past of a user",
        my_bookings.LIST_PAST_BOOKINGS,
        {"bookings_of_user"},
        2200,
        4600,
        user_id=filling.REGULAR,
        own_email=None,
        before_time=LAST_READABLE_TIME,
        limit=21,
    ),
]


def noted(case: str, index: str, rows: int, pages: int, **sought: object) -> Guard:
    arguments = {
        "actor": None,
        "action": None,
        "subject": None,
        "noted_from": FIRST_TIME,
        "before_time": LAST_READABLE_TIME,
        "before_id": MAX_ID,
        "limit": PAGE,
    } | sought
    return Guard(f"audit {case}", audit.LIST_AUDIT, arguments, {index}, rows, pages)


def accounts(case: str, index: str, rows: int, pages: int, **sought: object) -> Guard:
    arguments = {"role": None, "pattern": None, "floor_id": 0, "before_id": MAX_ID, "limit": PAGE} | sought
    return Guard(f"users {case}", users.LIST_USERS, arguments, {index}, rows, pages)


DESK_LISTS = [
    noted("of anything", "audit_log_by_time", 220, 340),
    noted("of anything, deep", "audit_log_by_time", 220, 340, before_time=NOW - timedelta(days=3)),
    noted("of an hour", "audit_log_by_time", 140, 220, noted_from=NOW - timedelta(hours=1)),
    noted("of an actor", "audit_log_of_actor", 120, 240, actor="user:2"),
    noted("of a rare action", "audit_log_of_action", 50, 100, action="change_rights"),
    noted("of a subject", "audit_log_of_subject", 4, 20, subject="booking:7"),
    # PostgreSQL 15 reads twice the pages that 18 does here, and the rows tell what is older.
    noted(
        "of a busy actor's hour", "audit_log_of_actor", 140, 450, actor="user:1", noted_from=NOW - timedelta(hours=1)
    ),
    noted(
        "of a common action's hour",
        "audit_log_of_action",
        140,
        450,
        action="get_booking",
        noted_from=NOW - timedelta(hours=1),
    ),
    accounts("of any role", "users_pkey", 220, 340),
    accounts("of any role, deep", "users_pkey", 220, 340, before_id=filling.USERS // 2),
    accounts("of a rare role", "users_of_role", 100, 180, role="staff"),
    accounts(
        "with a text that nobody has",
        "users_pkey",
        1100,
        30,
        pattern=containing("nobody"),
        before_id=filling.USERS // 2,
        floor_id=filling.USERS // 2 - 1000,
    ),
]

SOME_BOOKINGS = list(range(1, filling.BOOKINGS, filling.BOOKINGS // 64))[:64]
SOME_SLOTS = list(range(1, filling.SLOTS, filling.SLOTS // 64))[:64]
SOME_HASH = hashlib.md5(b"1").digest()

WEEK = {
    "doctor_id": filling.DOCTOR,
    "starts_from": NOW,
    "starts_before": NOW + timedelta(days=7),
    "limit": 2000,
    "clinic_ids": None,
}
WANTED_STARTS = [NOW + timedelta(hours=hours) for hours in range(-40, 24)]
WANTED = {"start_times": WANTED_STARTS, "busy_until": [start + timedelta(hours=1) for start in WANTED_STARTS]}

# Bookings of a day's slots, among which those who come are looked for.
LOOKED_AT = 2000
# Of a day, the slots of the day before are read too: one of them may end on it.
DAY = {"starts_from": NOW, "starts_before": NOW + timedelta(hours=6), "clinic_ids": None}

LOOK_UPS = [
    look_up(dashboard.LIST_UTILISATION, "slots_of_doctor", 6600, 10000, **DAY),
    look_up(dashboard.COUNT_DAY, "slots_of_doctor", 14500, 15000, **DAY),
    look_up(
        dashboard.LIST_NEARLY_FULL,
        "slots_on_offer_by_size",
        620,
        700,
        starts_before=NOW + timedelta(days=7),
        clinic_ids=None,
    ),
    look_up(dashboard.LIST_EXPIRING_HOLDS, "holds_by_deadline", 30, 90, clinic_ids=None),
    look_up(dashboard.LIST_LATEST_BOOKINGS, "bookings_pkey", 80, 250),
    look_up(dashboard.LIST_LATEST_BOOKINGS_OF_CLINICS, "bookings_pkey", 120, 350, clinic_ids=[1]),
    look_up(slots.LIST_WEEK, "slots_of_doctor", 80, 300, **WEEK),
    look_up(slots.LIST_CLASHES, "slot_overlaps", 1050, 1700, doctor_id=filling.DOCTOR, **WANTED),
    look_up(slots.GET_NEWEST_BOOKING, "bookings_of_slot", 5, 12, slot_id=filling.FRESH_SLOT),
    look_up(slots.LIST_AFFECTED_BOOKINGS, "bookings_of_slot", 20, 60, slot_id=1, limit=PAGE),
    look_up(bookings.READ_BOOKINGS, "bookings_pkey", 164, 728, booking_ids=SOME_BOOKINGS),
    # PostgreSQL before 18 reads each booking twice here.
    look_up(bookings.READ_CLAIMED_BOOKINGS, "bookings_pkey", 228, 920, booking_ids=SOME_BOOKINGS),
    look_up(export.LIST_CANCEL_REASONS, "bookings_pkey", 164, 728, booking_ids=SOME_BOOKINGS),
    look_up(
        day_sheets.LIST_DOCTORS_OF_DAY,
        "slots_of_doctor",
        410,
        1700,
        starts_from=NOW,
        starts_before=NOW + timedelta(days=1),
        clinic_ids=None,
        limit=51,
    ),
    # Each doctor has slots ahead, of no visit type.
    look_up(
        explanations.LIST_EXPLAINED_DOCTORS,
        "slots_of_doctor",
        60,
        200,
        clinic_ids=[1],
        visit_type_id=None,
        starts_from=NOW,
        starts_before=NOW + timedelta(days=7),
        after_id=0,
        limit=11,
    ),
    look_up(
        schedule_state.LIST_EXISTING_SLOTS,
        "slots_of_doctor",
        150,
        600,
        doctor_ids=[filling.DOCTOR],
        starts_from=NOW,
        starts_before=NOW + timedelta(days=7),
    ),
    look_up(callers.READ_CLAIMS, "bookings_pkey", 5, 13, booking_ids=[1]),
    look_up(calendars.READ_CLAIMED_ENTRY, "changes_of_slot", 20, 40, booking_id=filling.BOOKINGS + 1),
    look_up(history.GET_ENDING, "bookings_pkey", 5, 11, booking_id=1),
    look_up(
        day_sheets.LIST_SLOTS_OF_DAY,
        "slots_of_doctor",
        40,
        130,
        doctor_id=filling.DOCTOR,
        starts_from=NOW,
        starts_before=NOW + timedelta(days=1),
        clinic_ids=None,
        limit=500,
    ),
    look_up(
        day_sheets.LIST_BOOKINGS_OF_DAY,
        "bookings_of_slot",
        230,
        850,
        slot_ids=list(range(1, 25)),
        looked_at=LOOKED_AT,
        limit=2000,
    ),
    look_up(free_times.FIND_CLINICS_WITH_TIMES, "slots_on_offer_by_clinic", 160, 180, clinic_ids=[1, 2, 3]),
    look_up(idempotency.PRUNE_ANSWERS, "idempotency_keys_by_age", 254, 640, keep_seconds=24 * 3600, limit=100),
    look_up(personal_data.FIND_ACCOUNT, "user_email_unique", 5, 11, email="PERSON7@example.org"),
    look_up(personal_data.GET_ACCOUNT, "users_pkey", 5, 11, user_id=filling.REGULAR),
    look_up(personal_data.LIST_BOOKINGS_OF_ACCOUNT, "bookings_of_user", 1300, 1500, user_id=filling.REGULAR),
    look_up(personal_data.READ_KEPT_BOOKINGS, "bookings_pkey", 210, 920, booking_ids=SOME_BOOKINGS),
    look_up(personal_data.LIST_EVENTS, "booking_events_pkey", 160, 560, booking_ids=SOME_BOOKINGS),
    look_up(personal_data.LIST_AUDIT_OF, "audit_log_of_subject", 80, 150, subjects=[f"booking:{k}" for k in range(64)]),
    look_up(seat_events.READ_SEATS, "appointment_slots_pkey", 500, 1500, slot_ids=SOME_SLOTS),
    look_up(slots.GET_SLOT, "appointment_slots_pkey", 5, 16, slot_id=filling.OLD_SLOT),
    look_up(users.FIND_USER, "user_email_unique", 5, 11, email="PERSON7@example.org"),
    look_up(users.FIND_NEWEST_USER, "users_pkey", 5, 11, before_id=filling.REGULAR),
    look_up(users.GET_USER, "users_pkey", 5, 11, user_id=filling.REGULAR),
    look_up(users.GET_CREDENTIALS, "user_email_unique", 5, 11, email="PERSON7@example.org"),
    look_up(users.GET_PASSWORD_HASH, "users_pkey", 5, 11, user_id=filling.REGULAR),
    look_up(users.COUNT_FAILED_LOGINS, "login_attempts_of_account", 9, 11, account_hash=SOME_HASH, window_seconds=900),
    look_up(users.FORGET_LOGIN_ATTEMPTS, "login_attempts_of_account", 9, 25, account_hash=SOME_HASH),
    look_up(users.PRUNE_LOGIN_ATTEMPTS, "login_attempts_by_age", 156, 168, window_seconds=12 * 3600),
]

# A part of the slots, as `check-invariants` goes through them.
PART = {"first_slot": 1, "last_slot": 1000, "limit": 20}
INVARIANTS = [
    Guard(name, Statement(f"core/invariants.{name}", Finding), PART, {"bookings_of_slot"}, rows, pages)
    for name, rows, pages in (("find_double_visits", 2700, 4100), ("find_short_buffers", 1300, 1300))
]

# Of a slot that was held and let go again and again: what became of one booking, and who comes.
HISTORIES = [
    Guard(
        "history in a slot with a history",
        history.GET_HISTORY,
        {"booking_id": filling.BOOKINGS + filling.OLD_SLOT_HISTORY // 2, "most_of_slot": 200},
        {"booking_events_pkey", "changes_of_slot"},
        55,
        220,
    ),
    Guard(
        "day of a slot with a history",
        day_sheets.LIST_BOOKINGS_OF_DAY,
        {"slot_ids": [filling.OLD_SLOT], "looked_at": LOOKED_AT, "limit": 2000, "clinic_ids": None},
        {"bookings_of_slot", "holds_of_slot"},
        LOOKED_AT + 10,
        LOOKED_AT + 40,
    ),
]

GUARDS = [*FREE_SLOTS, *FREE_DAYS, *LISTS_OF_BOOKINGS, *MINE, *DESK_LISTS, *LOOK_UPS, *HISTORIES, *INVARIANTS]
# Statements for which another index is as good on so few rows.
READABLE_OTHERWISE = {
    "slots of an hour", "slots of a doctor", "slots of an idle doctor", "slots of no kind",
    "audit of an hour",
    "bookings pending",
}  # fmt: skip


def without(indexes: set[str]) -> str:
    """The command that drops these indexes, except primary keys."""
    return "; ".join(_dropping(index) for index in sorted(indexes) if not index.endswith("_pkey"))


def _dropping(index: str) -> str:
    if index == "slot_overlaps":
        return f"ALTER TABLE appointment_slots DROP CONSTRAINT {index}"
    return f"DROP INDEX {index}"


@pytest.mark.parametrize("mode", PLAN_MODES)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.case)
async def test_a_hot_statement_reads_by_its_index_and_no_more_than_it_answers(
    filled: Connection, guard: Guard, mode: str
) -> None:
    assert not faults(guard, await plan_of(filled, guard, mode))


@pytest.mark.parametrize(
    "guard",
    [guard for guard in GUARDS if without(guard.indexes) and guard.case not in READABLE_OTHERWISE],
    ids=lambda guard: guard.case,
)
@pytest.mark.slow  # a tenth of a second for each of a hundred bounds, which the tests above hold to
async def test_without_its_index_it_reads_more(filled: Connection, guard: Guard) -> None:
    """The negative control: a bound that no plan breaks would guard nothing."""
    found = faults(guard, await plan_of(filled, guard, "force_generic_plan", before=without(guard.indexes)))
    assert [fault for fault in found if not fault.startswith("does not use")]


async def test_affected_bookings_are_not_searched_in_a_history_without_taken_seats(filled: Connection) -> None:
    freed = f"UPDATE appointment_slots SET available_seats = total_seats WHERE id = {filling.OLD_SLOT}"
    guard = look_up(slots.LIST_AFFECTED_BOOKINGS, "bookings_of_slot", 3, 20, slot_id=filling.OLD_SLOT, limit=PAGE)
    assert not faults(guard, await plan_of(filled, guard, "force_generic_plan", before=freed))


async def test_the_largest_page_of_free_slots_and_the_row_after_it_fit_into_the_limits_of_the_statements(
    filled: Connection,
) -> None:
    largest = next(guard for guard in FREE_SLOTS if guard.case == "slots largest page")
    assert largest.arguments["limit"] == MAX_LIMIT + 1
    assert len(await largest.statement.all(filled, **largest.arguments)) == MAX_LIMIT + 1


TYPED = """
INSERT INTO visit_types (id, name, minutes) VALUES (1, 'Common', 30), (2, 'Rare', 30), (3, 'Nowhere', 30);
UPDATE appointment_slots SET visit_type_ids = '{1}' WHERE doctor_id <= 20;
UPDATE appointment_slots SET visit_type_ids = '{1, 2}'
WHERE id IN (SELECT max(id) FROM appointment_slots WHERE doctor_id IN (3, 4) AND has_free_seat GROUP BY doctor_id);
"""
# All that is looked at by start, and the overdue holds.
NEARLY_NOTHING = 1000 + 4 * filling.OVERDUE


@pytest.mark.parametrize("mode", PLAN_MODES)
async def test_slots_of_a_rare_visit_type_are_found_without_passing_all_others(filled: Connection, mode: str) -> None:
    await filled.execute(TYPED)
    for visit_type_id, limit, found, more in ((1, 37, 37, 0), (1, 301, 301, 2000), (2, 37, 2, 40), (3, 37, 0, 20)):
        guard = free_slots("", OF_TYPE, BY_TYPES, NEARLY_NOTHING + more, 9000, visit_type_id=visit_type_id, limit=limit)
        assert len(await guard.statement.all(filled, **guard.arguments)) == found
        assert not faults(guard, await plan_of(filled, guard, mode))


# The last free slots of some doctors, among 20,000 slots of another clinic; the doctors have slots at both.
AT_A_SMALL_CLINIC = """
INSERT INTO clinics (id, name, time_zone) VALUES (2, 'Small', 'Europe/Berlin');
UPDATE appointment_slots SET clinic_id = 2
WHERE id IN (
    SELECT max(id) FROM appointment_slots
    WHERE doctor_id IN (1, 2, 3, 5) AND has_free_seat AND status = 'OPEN'
    GROUP BY doctor_id
);
"""
SMALL = {"clinic_ids": [2], "limit": 37}
# What is read of the clinic itself, and the overdue holds.
FEW = 30 + 3 * filling.OVERDUE


@pytest.mark.parametrize("mode", PLAN_MODES)
@pytest.mark.parametrize(
    ("guard", "found"),
    [
        (free_slots("", OF_CLINICS, BY_CLINIC, FEW, 400, **SMALL), 4),
        (free_slots("", OF_CLINICS, BY_CLINIC, FEW, 400, **SMALL, min_seats=30), 0),
        (free_slots("", OF_SPECIALIZATION, BY_CLINIC, FEW, 400, **SMALL, specialization=equal_to("rare")), 2),
        (free_slots("", OF_SPECIALIZATION, BY_CLINIC, FEW, 400, **SMALL, specialization=equal_to("other")), 2),
        (free_slots("", OF_SPECIALIZATION, BY_CLINIC, FEW, 400, **SMALL, specialization=equal_to("none")), 0),
        (free_days("", COUNT_OF_CLINICS, CLINICS, FEW, 400, **SMALL), found_times.DAYS_OF_STRIP),
        (free_days("", slot_searches.FIND_REACH_OF_CLINICS, {BY_CLINIC}, FEW, 60, **SMALL), 1),
    ],
    ids=lambda value: value.statement.name if isinstance(value, Guard) else str(value),
)
async def test_the_few_slots_of_a_small_clinic_are_found_without_passing_those_of_others(
    filled: Connection, guard: Guard, found: int, mode: str
) -> None:
    await filled.execute(AT_A_SMALL_CLINIC)
    assert len(await guard.statement.all(filled, **guard.arguments)) == found
    assert not faults(guard, await plan_of(filled, guard, mode))


async def test_at_a_large_clinic_the_slots_of_a_rare_specialization_are_found_by_doctor(filled: Connection) -> None:
    """After the next 1,000 slots of the clinic, of which too few are theirs."""
    rare = {"specialization": equal_to("rare"), "clinic_ids": [1]}
    guard = free_slots("", OF_SPECIALIZATION, BY_DOCTOR, 1700, 5000, **rare)
    everywhere = free_slots("", OF_SPECIALIZATION, BY_DOCTOR, 0, 0, specialization=equal_to("rare"))
    found = await guard.statement.all(filled, **guard.arguments)
    assert found == await everywhere.statement.all(filled, **everywhere.arguments)
    assert len(found) > 10
    assert not faults(guard, await plan_of(filled, guard, "force_generic_plan"))


ONE_BY_ONE = (
    dashboard.COUNT_DAY,
    dashboard.LIST_UTILISATION,
    slots.GET_NEWEST_BOOKING,
    slots.LIST_AFFECTED_BOOKINGS,
    slots.LIST_WEEK,
    day_sheets.LIST_BOOKINGS_OF_DAY,
)


async def test_where_one_slot_has_every_booking_the_others_are_still_looked_up_one_by_one(filled: Connection) -> None:
    """The planner then expects every slot to have all bookings, so an index of all holds would look as good."""
    await filled.execute("DELETE FROM bookings WHERE slot_id <> $1", filling.OLD_SLOT)
    await filled.execute(
        "UPDATE bookings SET status = 'PENDING', expires_at = now() + interval '1 hour' WHERE id % 8 = 0"
    )
    await filled.execute("ANALYZE bookings")
    first_page, _, *_ = FREE_SLOTS
    of_slot = next(guard for guard in LISTS_OF_BOOKINGS if guard.case == "bookings of a slot")
    of_desk = [guard for guard in LOOK_UPS if guard.statement in ONE_BY_ONE]
    assert len(of_desk) == len(ONE_BY_ONE)
    for guard in (first_page, of_slot, *of_desk):
        assert rows_read(await plan_of(filled, guard, "force_generic_plan")) <= guard.rows, guard.case


@pytest.mark.parametrize(
    ("statement", "sought"),
    [(COUNT, {}), (COUNT_OF_DOCTORS, {"specialization": equal_to("common")})],
    ids=lambda value: value.name if isinstance(value, Statement) else "",
)
async def test_where_every_slot_has_a_seat_too_few_no_more_of_a_day_are_looked_at(
    filled: Connection, statement: Statement[Any], sought: Mapping[str, object]
) -> None:
    await filled.execute("UPDATE appointment_slots SET total_seats = 5, available_seats = 4 WHERE start_time > now()")
    await filled.execute("ANALYZE appointment_slots")
    guard = free_days("of a seat too few", statement, set(), 0, 0, min_seats=5, **sought)
    counted = await statement.all(filled, **guard.arguments)
    assert [day.whole for day in counted][:4] == [False] * 4
    days_with_slots = 5
    rows = days_with_slots * slot_searches.MOST_LOOKED_AT + filling.OVERDUE * 10
    assert rows_read(await plan_of(filled, guard, "force_generic_plan")) <= rows


def doctors_read(plan: Plan) -> int:
    return sum(round(_rows_of_scan(node)) for node in nodes(plan) if node.get("Relation Name") == "doctors")


async def test_where_many_holds_are_overdue_the_doctors_are_not_read_for_each(filled: Connection) -> None:
    """Searches that find nothing: all that they read of doctors is for the slots of these holds."""
    few = 60
    await filled.execute(f"""
        SET LOCAL session_replication_role = replica;
        DELETE FROM doctors WHERE id > {few};
        UPDATE bookings SET expires_at = now() - interval '1 minute' WHERE status = 'PENDING';
        ANALYZE doctors;
    """)
    in_vain = {"slots for more than any has", "slots of an idle doctor", "slots of no kind"}
    searches = [guard for guard in FREE_SLOTS if guard.case in in_vain]
    assert len(searches) == len(in_vain)
    for guard in searches:
        assert doctors_read(await plan_of(filled, guard, "force_generic_plan")) <= 2 * few, guard.case
