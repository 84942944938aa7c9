"""The audit log as an admin reads it: newest first, a page at a time, by who did what to whom and when."""

from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
import pytest

from slotwise.db.pool import Database
from slotwise.domain.users import Role, User
from slotwise.services.core.audit import AuditEntry, AuditLog, AuditPosition, AuditQuery

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ADMIN = User(1, "boss@example.org", "Boss", Role.ADMIN, True, 1, NOON, NOON)
# Actor, action, subject and minutes after noon of each planted entry.
PLANTED = [
    ("user:1", "get_booking", "booking:7", 0),
    ("user:2", "get_booking", "booking:7", 1),
    ("user:2", "update_slot", "slot:3", 1),
    ("operator", "change_rights", "user:2", 2),
    ("user:99", "get_booking", "booking:8", 3),
]


@pytest.fixture
async def log(database: Database, connection: Rows) -> AuditLog:
    await connection.execute(
        "INSERT INTO users (id, email, name, role, password_hash) VALUES (2, 'a', 'Ada', 'staff', '')"
    )
    for number, (actor, action, subject, minutes) in enumerate(PLANTED, 1):
        await connection.execute(
            "INSERT INTO audit_log (id, actor, action, subject, created_at) OVERRIDING SYSTEM VALUE"
            " VALUES ($1, $2, $3, $4, $5)",
            number + 1000,
            actor,
            action,
            subject,
            NOON + timedelta(minutes=minutes),
        )
    return AuditLog(database)


async def listed(
    log: AuditLog, limit: int = 100, position: AuditPosition | None = None, **query: Any
) -> list[AuditEntry]:
    day = {"noted_before": NOON + timedelta(days=1)} | query
    return await log.list_audit(ADMIN, AuditQuery(**day), position, limit)


def places(found: list[AuditEntry]) -> list[int]:
    return [entry.id - 1000 for entry in found]


QUERIES: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [5, 4, 3, 2, 1]),
    ({"actor": "user:2"}, [3, 2]),
    ({"action": "get_booking"}, [5, 2, 1]),
    ({"subject": "booking:7"}, [2, 1]),
    ({"actor": "user:2", "action": "get_booking"}, [2]),
    ({"actor": "user:1", "subject": "booking:7"}, [1]),
    ({"action": "update_slot", "subject": "booking:7"}, []),
    ({"noted_from": NOON + timedelta(minutes=1), "noted_before": NOON + timedelta(minutes=3)}, [4, 3, 2]),
    ({"action": "get_booking", "noted_from": NOON + timedelta(minutes=1)}, [5, 2]),
    ({"actor": "user:2", "noted_before": NOON + timedelta(minutes=1)}, []),
    ({"subject": "booking:7", "noted_from": NOON + timedelta(seconds=1)}, [2]),
]


async def test_filters_find_matching_entries_alone_and_together(log: AuditLog) -> None:
    for query, expected in QUERIES:
        assert places(await listed(log, **query)) == expected, query


async def test_pages_of_entries_with_equal_times_have_no_gaps_or_repeats(log: AuditLog, connection: Rows) -> None:
    await connection.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
    await connection.execute("UPDATE audit_log SET created_at = $1", NOON)
    filters: list[dict[str, Any]] = [{}, {"actor": "user:2"}, {"action": "get_booking"}, {"subject": "booking:7"}]
    for query in filters:
        whole = places(await listed(log, **query))
        found: list[AuditEntry] = []
        while page := await listed(log, 1, _after(found), **query):
            found += page
            assert len(found) <= len(whole)
        assert places(found) == whole == sorted(whole, reverse=True), query


def _after(found: list[AuditEntry]) -> AuditPosition | None:
    return AuditPosition(found[-1].created_at, found[-1].id) if found else None


async def test_only_actors_with_an_account_have_a_name(log: AuditLog) -> None:
    names = {entry.actor: entry.actor_name for entry in await listed(log)}
    assert names == {"user:1": None, "user:2": "Ada", "operator": None, "user:99": None}


async def test_reading_the_log_is_recorded_in_the_log(log: AuditLog, connection: Rows) -> None:
    await listed(log, actor="user:2")
    note = await connection.fetchrow("SELECT actor, subject, details::text FROM audit_log WHERE action = 'list_audit'")
    assert note is not None
    assert tuple(note) == ("user:1", "audit", '{"actor": "user:2"}')
