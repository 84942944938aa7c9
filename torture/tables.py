"""Reads the tables, slot by slot, so that only one slot's rows are in memory at a time."""

from collections.abc import Sequence
from typing import TypeAlias

import asyncpg

from slotwise.db.pool import Database
from slotwise.services.core.invariants import Violation as TableViolation
from slotwise.services.core.invariants import find_violations as check_invariants
from torture.open_times import (
    CarvedBooking,
    CarvedSlot,
    ClosedTime,
    OpenTimes,
    PublishedStep,
    Visit,
    Window,
    published_periods,
)
from torture.rules.closures import Closed, ScheduledSlot
from torture.slot_history import Event, Row
from torture.violation import Violation

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SLOTS = "SELECT id FROM appointment_slots ORDER BY id"
EVENTS = """
    SELECT
        sequence, kind, booking_id, seats, available_after, total_after, extract(EPOCH FROM created_at)::float8 AS at,
        xmin::text::bigint AS transaction
    FROM booking_events WHERE slot_id = $1 ORDER BY sequence
"""
ROWS = """
    SELECT
        id, seats_booked, status, coalesce(user_name, '') AS user_name,
        extract(EPOCH FROM expires_at)::float8 AS expires_at
    FROM bookings WHERE slot_id = $1 ORDER BY id
"""
NEWEST = """
    SELECT (SELECT count(*) FROM bookings) AS bookings, (SELECT count(*) FROM booking_events) AS events,
        (SELECT count(*) FROM bookings WHERE status = 'PENDING') AS pending
"""
# The slots ahead that rules made, that were carved out of windows, or that closures concern; `by_hand` if a person made
# or changed them.
SCHEDULED = """
    SELECT
        s.id, s.doctor_id, s.clinic_id, extract(EPOCH FROM s.start_time)::float8 AS begin,
        extract(EPOCH FROM s.end_time)::float8 AS end, s.status = 'OPEN' AS is_open, s.closure_id, s.drifted,
        s.pinned OR num_nonnulls(s.rule_id, s.window_id) = 0 AS by_hand,
        (SELECT count(*) FROM bookings AS b WHERE b.slot_id = s.id AND b.status = 'CONFIRMED') AS confirmed,
        s.total_seats - s.added_seats AS seats, r.total_seats AS rule_seats,
        s.visit_type_ids IS NOT DISTINCT FROM r.visit_type_ids AS has_types_of_rule
    FROM appointment_slots AS s LEFT JOIN schedule_rules AS r ON s.rule_id = r.id
    WHERE s.start_time > now() ORDER BY s.id
"""
CLOSURES = """
    SELECT
        c.id, c.doctor_id, c.clinic_id, extract(EPOCH FROM c.start_time)::float8 AS begin,
        extract(EPOCH FROM c.end_time)::float8 AS end
    FROM closures AS c WHERE c.removed_at IS NULL ORDER BY c.id
"""
# Also those that a colleague has taken over: no rule has them any more.
OF_RULES = """
    SELECT id FROM appointment_slots WHERE rule_id IS NOT NULL
    UNION
    SELECT substr(subject, 6)::bigint FROM audit_log WHERE action = 'take_over_slot'
"""
# Of doctors with open time, over the whole run.
WINDOWS = """
    SELECT
        doctor_id, extract(EPOCH FROM start_time)::float8 AS begin, extract(EPOCH FROM end_time)::float8 AS end,
        extract(EPOCH FROM created_at)::float8 AS added_at,
        CASE WHEN status = 'CLOSED' THEN extract(EPOCH FROM updated_at)::float8 END AS closed_at
    FROM windows ORDER BY id
"""
CLOSED_TIMES = """
    SELECT
        doctor_id, extract(EPOCH FROM start_time)::float8 AS begin, extract(EPOCH FROM end_time)::float8 AS end,
        extract(EPOCH FROM created_at)::float8 AS added_at, extract(EPOCH FROM removed_at)::float8 AS removed_at
    FROM closures WHERE doctor_id IS NULL OR doctor_id IN (SELECT doctor_id FROM windows) ORDER BY id
"""
VISITS = """
    SELECT
        b.id AS booking_id, s.id AS slot_id, s.doctor_id, extract(EPOCH FROM s.start_time)::float8 AS begin,
        extract(EPOCH FROM s.end_time)::float8 AS end, 60 * coalesce(t.buffer_minutes, 0)::float8 AS buffer,
        s.window_id IS NOT NULL AS is_carved,
        extract(EPOCH FROM min(e.created_at) FILTER (WHERE e.kind IN ('HELD', 'BOOKED')))::float8 AS taken_at,
        extract(EPOCH FROM min(e.created_at) FILTER (WHERE e.kind IN ('EXPIRED', 'CANCELLED')))::float8 AS released_at,
        CASE WHEN NOT bool_or(e.kind IN ('BOOKED', 'CONFIRMED')) THEN extract(EPOCH FROM b.expires_at)::float8 END
            AS deadline
    FROM appointment_slots AS s
    INNER JOIN bookings AS b ON s.id = b.slot_id
    INNER JOIN booking_events AS e ON b.slot_id = e.slot_id AND b.id = e.booking_id
    LEFT JOIN visit_types AS t ON b.visit_type_id = t.id
    WHERE s.doctor_id IN (SELECT doctor_id FROM windows)
    GROUP BY b.id, s.id, t.id ORDER BY b.id
"""
PUBLISHED = """
    SELECT
        s.id AS slot_id, s.doctor_id, extract(EPOCH FROM s.start_time)::float8 AS begin,
        extract(EPOCH FROM s.end_time)::float8 AS end, e.kind, extract(EPOCH FROM e.created_at)::float8 AS at
    FROM appointment_slots AS s INNER JOIN booking_events AS e ON s.id = e.slot_id
    WHERE
        s.doctor_id IN (SELECT doctor_id FROM windows) AND s.window_id IS NULL
        AND e.kind IN ('CREATED', 'CLOSED', 'REOPENED')
    ORDER BY e.slot_id, e.sequence
"""
OPEN_SLOTS = """
    SELECT
        id, doctor_id, extract(EPOCH FROM start_time)::float8 AS begin, extract(EPOCH FROM end_time)::float8 AS end,
        extract(EPOCH FROM coalesce(busy_until, end_time))::float8 AS busy_until, window_id IS NOT NULL AS is_carved
    FROM appointment_slots WHERE doctor_id IN (SELECT doctor_id FROM windows)
"""
CARVED_BOOKINGS = """
    SELECT b.id, b.slot_id, coalesce(b.user_name, '') AS marker
    FROM bookings AS b INNER JOIN appointment_slots AS s ON b.slot_id = s.id
    WHERE s.window_id IS NOT NULL ORDER BY b.id
"""
# Cancelled bookings, each with whether the desk noted that its patient asked for it.
WISHES = """
    SELECT b.id, EXISTS (
        SELECT FROM audit_log AS a WHERE a.action = 'note_patients_wish' AND a.subject = 'booking:' || b.id
    ) AS noted
    FROM bookings AS b WHERE b.status = 'CANCELLED'
"""
BUSY = """
    SELECT concat(pid, ' since ', xact_start) AS session FROM pg_stat_activity
    WHERE application_name = 'slotwise' AND datname = current_database() AND state <> 'idle'
"""
SWEPT = """
    SELECT extract(EPOCH FROM e.created_at)::float8 AS at, extract(EPOCH FROM b.expires_at)::float8 AS deadline
    FROM booking_events AS e INNER JOIN bookings AS b ON e.booking_id = b.id WHERE e.kind = 'EXPIRED'
"""
# P1 for the given slots at this instant.
UNBALANCED = """
    SELECT s.id FROM appointment_slots AS s
    WHERE s.id = any($1::bigint[]) AND (
        s.available_seats < 0 OR s.available_seats > s.total_seats OR s.total_seats <> s.available_seats + (
            SELECT coalesce(sum(b.seats_booked), 0) FROM bookings AS b
            WHERE b.slot_id = s.id AND b.status IN ('PENDING', 'CONFIRMED')
        )
    )
"""


async def read_slots(connection: Connection) -> list[int]:
    return [slot["id"] for slot in await connection.fetch(SLOTS)]


async def read_rows(connection: Connection, slot_id: int) -> list[Row]:
    return [Row(*row) for row in await connection.fetch(ROWS, slot_id)]


async def read_events(connection: Connection, slot_id: int) -> list[Event]:
    return [Event(**row) for row in await connection.fetch(EVENTS, slot_id)]


async def read_slots_of_rules(connection: Connection) -> set[int]:
    return {slot["id"] for slot in await connection.fetch(OF_RULES)}


async def read_noted_wishes(connection: Connection) -> dict[int, bool]:
    return {row["id"]: row["noted"] for row in await connection.fetch(WISHES)}


async def read_schedule(connection: Connection) -> tuple[list[ScheduledSlot], list[Closed]]:
    """The slots ahead and the closures in force."""
    slots = [ScheduledSlot(**row) for row in await connection.fetch(SCHEDULED)]
    return slots, [Closed(**row) for row in await connection.fetch(CLOSURES)]


async def read_open_times(connection: Connection) -> OpenTimes:
    return OpenTimes(
        [Window(**row) for row in await connection.fetch(WINDOWS)],
        [ClosedTime(**row) for row in await connection.fetch(CLOSED_TIMES)],
        [Visit(**row) for row in await connection.fetch(VISITS)],
        list(published_periods(PublishedStep(**row) for row in await connection.fetch(PUBLISHED))),
    )


async def read_open_slots(connection: Connection) -> dict[int, CarvedSlot]:
    """The slots of doctors with open time, by id."""
    return {row["id"]: CarvedSlot(**row) for row in await connection.fetch(OPEN_SLOTS)}


async def read_carved_bookings(connection: Connection) -> list[CarvedBooking]:
    return [CarvedBooking(**row) for row in await connection.fetch(CARVED_BOOKINGS)]


async def count_effects(connection: Connection) -> dict[str, int]:
    return dict(await connection.fetchrow(NEWEST) or {})


async def read_busy_sessions(connection: Connection) -> set[str]:
    """The server's sessions that are in a statement or a transaction, with the time when that began."""
    return {row["session"] for row in await connection.fetch(BUSY)}


async def find_unbalanced(connection: Connection, slot_ids: Sequence[int]) -> list[int]:
    return [row["id"] for row in await connection.fetch(UNBALANCED, list(slot_ids))]


async def read_sweeps(connection: Connection) -> list[tuple[float, float]]:
    """For each expired hold: when its status became FAILED, and its deadline, in seconds."""
    return [(row["at"], row["deadline"]) for row in await connection.fetch(SWEPT)]


async def find_table_violations(url: str) -> list[Violation]:
    """The violations that `slotwise check-invariants` finds."""
    database = await Database.connect(url, 2, statement_seconds=600)
    try:
        found = await check_invariants(database)
    finally:
        await database.close()
    return [Violation(one.rule, one.slot_id, _told(one)) for one in found]


def _told(found: TableViolation) -> str:
    event = f"event {found.sequence}, " if found.sequence is not None else ""
    booking = f"booking {found.booking_id}, " if found.booking_id is not None else ""
    return f"{event}{booking}{found.found}; expected: {found.expected}"
