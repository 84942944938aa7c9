"""What hot statements read: a page or a batch, however many rows there are.

Each runs on a filled database, planned for all values and planned for these values. The plan must use the index that
was made for it, scan no large table from end to end, and read rows and pages in proportion to what it was asked for.
Nothing here is timed.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.pool import SESSION
from slotwise.db.statements import Statement
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.http.paging import MAX_LIMIT
from slotwise.services import slots
from tests.db import filling

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Plan: TypeAlias = dict[str, Any]

LARGE = {"appointment_slots", "bookings", "booking_events", "idempotency_keys", "users", "login_attempts"}
PLAN_MODES = ("force_generic_plan", "force_custom_plan")
PAGE = 100
NOW = datetime.now(UTC)


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


def rows_read(plan: Plan) -> int:
    """Rows of large tables that the plan's scans found, those that a filter threw away included."""
    return round(sum(_rows_of_scan(node) for node in nodes(plan) if node.get("Relation Name") in LARGE))


def _rows_of_scan(node: Plan) -> float:
    if node["Node Type"] == "ModifyTable":
        return 0
    dropped = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    found: float = sum(node.get(name, 0) for name in ("Actual Rows", *dropped))
    return found * float(node["Actual Loops"])


def faults(guard: Guard, plan: Plan) -> list[str]:
    used = {node["Index Name"] for node in nodes(plan) if "Index Name" in node}
    scanned = {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}
    pages = plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    found = {
        f"does not use {', '.join(sorted(guard.indexes - used))}": not guard.indexes <= used,
        f"scans {', '.join(sorted(scanned & LARGE))}": bool(scanned & LARGE),
        f"reads {rows_read(plan)} rows": rows_read(plan) > guard.rows,
        f"reads {pages} pages": pages > guard.pages,
    }
    return [fault for fault, true in found.items() if true]


async def plan_of(connection: Connection, guard: Guard, mode: str, before: str = "") -> Plan:
    """The plan as it ran; what it wrote is undone, and so is the command `before`."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        if before:
            await connection.execute(before)
        await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {guard.statement.text}"
        arguments = [guard.arguments[name] for name in guard.statement.parameters]
        plan: Plan = json.loads(await connection.fetchval(explain, *arguments))[0]["Plan"]
    finally:
        await transaction.rollback()
    return plan


# The filled database.


@pytest.fixture(scope="module")
def filled_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    name = f"filled_{os.getpid()}"
    url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{name}"))
    asyncio.run(_execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template}"))
    asyncio.run(_execute(url, filling.FILL, "VACUUM ANALYZE"))
    yield url
    asyncio.run(_execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)"))


async def _execute(url: str, *commands: str) -> None:
    connection = await asyncpg.connect(url)
    for command in commands:
        await connection.execute(command)
    await connection.close()


@pytest_asyncio.fixture
async def filled(filled_url: str) -> AsyncIterator[Connection]:
    """A connection with the settings of the program's own."""
    connection = await asyncpg.connect(filled_url, server_settings=SESSION)
    yield connection
    await connection.close()


# The guards.


def free_slots(case: str, statement: Statement[Any], index: str, rows: int, pages: int, **sought: object) -> Guard:
    everything = {
        "after_time": FIRST_TIME,
        "after_id": 0,
        "starts_before": LAST_READABLE_TIME,
        "min_seats": 1,
        "specialization": None,
        "limit": PAGE,
    } | sought
    arguments = {name: everything[name] for name in statement.parameters}
    return Guard(f"slots {case}", statement, arguments, {index, "holds_by_deadline"}, rows, pages)


BY_START, BY_DOCTOR, BY_SIZE = "slots_on_offer", "slots_on_offer_by_doctor", "slots_on_offer_by_size"
OF_DOCTOR, OF_SPECIALIZATION = slots.LIST_SLOTS_OF_DOCTOR, slots.LIST_SLOTS_OF_SPECIALIZATION

FREE_SLOTS = [
    free_slots("first page", slots.LIST_SLOTS, BY_START, 370, 1560),
    free_slots("largest page", slots.LIST_SLOTS, BY_START, 1400, 4900, limit=MAX_LIMIT + 1),
    free_slots("deep page", slots.LIST_SLOTS, BY_START, 370, 1600, after_time=NOW + timedelta(days=4)),
    free_slots("of an hour", slots.LIST_SLOTS, BY_START, 480, 1400, starts_before=NOW + timedelta(hours=1)),
    free_slots("for two", slots.LIST_SLOTS_OF_SIZE, BY_SIZE, 380, 1600, min_seats=2),
    free_slots("for more than any has", slots.LIST_SLOTS_OF_SIZE, BY_SIZE, 110, 290, min_seats=60),
    free_slots("of a doctor", OF_DOCTOR, BY_DOCTOR, 170, 530, doctor_id=filling.DOCTOR),
    free_slots("of an idle doctor", OF_DOCTOR, BY_DOCTOR, 100, 260, doctor_id=filling.DOCTOR_WITHOUT_SLOTS),
    free_slots("of a rare kind", OF_SPECIALIZATION, BY_DOCTOR, 290, 960, specialization="rare"),
    free_slots("of a common kind", OF_SPECIALIZATION, BY_DOCTOR, 600, 2500, specialization="common"),
    free_slots("of a booked-out kind", OF_SPECIALIZATION, BY_DOCTOR, 130, 540, specialization="booked out"),
    free_slots("of no kind", OF_SPECIALIZATION, "doctors_of_specialization", 100, 260, specialization="none"),
]

GUARDS = [*FREE_SLOTS]
# Where another index does as well on so few rows.
READABLE_OTHERWISE = {"slots of an hour", "slots of a doctor", "slots of an idle doctor", "slots of no kind"}


@pytest.mark.parametrize("mode", PLAN_MODES)
@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.case)
async def test_a_hot_statement_reads_by_its_index_and_no_more_than_it_answers(
    filled: Connection, guard: Guard, mode: str
) -> None:
    assert not faults(guard, await plan_of(filled, guard, mode))


@pytest.mark.parametrize(
    "guard", [guard for guard in GUARDS if guard.case not in READABLE_OTHERWISE], ids=lambda guard: guard.case
)
async def test_without_its_index_it_reads_more(filled: Connection, guard: Guard) -> None:
    """The negative control: a bound that no plan breaks would guard nothing."""
    drop = "; ".join(f"DROP INDEX {index}" for index in guard.indexes)
    found = faults(guard, await plan_of(filled, guard, "force_generic_plan", before=drop))
    assert [fault for fault in found if not fault.startswith("does not use")]


async def test_the_largest_page_of_free_slots_and_the_row_after_it_fit_into_the_limits_of_the_statements(
    filled: Connection,
) -> None:
    largest = next(guard for guard in FREE_SLOTS if guard.case == "slots largest page")
    assert largest.arguments["limit"] == MAX_LIMIT + 1
    assert len(await largest.statement.all(filled, **largest.arguments)) == MAX_LIMIT + 1
