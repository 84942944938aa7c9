"""The cost of a batch of the booking path: the same on a slot with a long history as on a new one.

The batches are functions in the database, and EXPLAIN does not show their inner statements. But PostgreSQL counts what
they read: pages for the call, rows and scans for the transaction.
"""

import itertools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import pytest

from slotwise.db.statements import Statement
from slotwise.services.booking.batches import CANCEL_BOOKINGS, CONFIRM_BOOKINGS, HOLD_SEATS
from slotwise.services.core.expiry import HOLDS_PER_TRANSACTION, SWEEP_HOLDS
from slotwise.services.schedule.slots import UPDATE_SLOT
from tests.db import filling

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

BATCH = 64
SLOTS = (filling.FRESH_SLOT, filling.OLD_SLOT)

_numbers = itertools.count(1)


class Cost(NamedTuple):
    """Pages touched; rows of bookings, slots and ledger that were fetched, and scans of these tables end to end."""

    pages: int
    rows: int
    scans: int


async def cost_of(connection: Connection, statement: Statement[Any], **arguments: object) -> Cost:
    scans, rows = await read_so_far(connection)
    given = [arguments[name] for name in statement.parameters]
    plan = json.loads(await connection.fetchval(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement.text}", *given))
    scans_now, rows_now = await read_so_far(connection)
    top = plan[0]["Plan"]
    return Cost(top["Shared Hit Blocks"] + top["Shared Read Blocks"], rows_now - rows, scans_now - scans)


async def read_so_far(connection: Connection) -> tuple[int, int]:
    """Scans and rows of this transaction."""
    counted = await connection.fetchrow(
        "SELECT sum(seq_scan)::bigint AS scans, sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint AS rows"
        " FROM pg_stat_xact_user_tables"
        " WHERE relname IN ('bookings', 'appointment_slots', 'booking_events', 'idempotency_keys')"
    )
    assert counted
    return counted["scans"], counted["rows"]


def requests(slot_ids: Sequence[int], keyed: bool = False) -> dict[str, object]:
    count = len(slot_ids)
    hashes = [next(_numbers).to_bytes(32, "big") for _ in range(count)] if keyed else [None] * count
    return {
        "slot_ids": slot_ids,
        "seats": [1] * count,
        "user_ids": [filling.REGULAR] * count,
        "user_names": ["Ada Lovelace"] * count,
        "user_emails": ["ada@example.org"] * count,
        "confirmed": [False] * count,
        "manage_token_hashes": [bytes(32)] * count,
        "actors": ["guest"] * count,
        "callers": ["guest" if keyed else None] * count,
        "routes": ["POST /api/bookings" if keyed else None] * count,
        "key_hashes": hashes,
        "body_hashes": hashes,
        "manage_nonces": hashes,
        "request_ids": None,
        "hold_seconds": 60,
        "keep_seconds": 86400,
        "visit_type_ids": None,
        "by_desk": False,
    }


async def held(connection: Connection, slot_id: int) -> list[int]:
    """The ids of a batch of holds."""
    rows = await HOLD_SEATS.all(connection, **requests([slot_id] * BATCH))
    return [row.booking.id for row in rows if row.booking is not None]


async def made_overdue(connection: Connection, slot_id: int) -> None:
    await connection.execute(
        "UPDATE bookings SET expires_at = now() - interval '1 minute' WHERE id = any($1::bigint[])",
        await held(connection, slot_id),
    )


async def cost_of_holding(connection: Connection, slot_id: int) -> Cost:
    return await cost_of(connection, HOLD_SEATS, **requests([slot_id] * BATCH))


async def cost_of_holding_with_keys(connection: Connection, slot_id: int) -> Cost:
    return await cost_of(connection, HOLD_SEATS, **requests([slot_id] * BATCH, keyed=True))


async def cost_of_holding_over_overdue_holds(connection: Connection, slot_id: int) -> Cost:
    await made_overdue(connection, slot_id)
    return await cost_of(connection, HOLD_SEATS, **requests([slot_id] * BATCH))


async def cost_of_confirming(connection: Connection, slot_id: int) -> Cost:
    nothing = [None] * BATCH
    return await cost_of(
        connection,
        CONFIRM_BOOKINGS,
        booking_ids=await held(connection, slot_id),
        user_names=nothing,
        user_emails=nothing,
        actors=["guest"] * BATCH,
        request_ids=None,
        by_desk=False,
    )


async def cost_of_cancelling(connection: Connection, slot_id: int) -> Cost:
    return await cost_of(
        connection,
        CANCEL_BOOKINGS,
        booking_ids=await held(connection, slot_id),
        reasons=[None] * BATCH,
        actors=["guest"] * BATCH,
        only_holds=[False] * BATCH,
        request_ids=None,
        by_desk=False,
        patients_asked=[False] * BATCH,
    )


async def cost_of_updating(connection: Connection, slot_id: int) -> Cost:
    """A change by the desk, which also fails the overdue holds."""
    await made_overdue(connection, slot_id)
    slot = await connection.fetchrow("SELECT * FROM appointment_slots WHERE id = $1", slot_id)
    assert slot is not None
    read = {name: slot[name] for name in ("start_time", "end_time", "total_seats", "status")}
    return await cost_of(
        connection,
        UPDATE_SLOT,
        slot_id=slot_id,
        **{f"old_{name}": value for name, value in read.items()},
        **read,
        kinds=["RESIZED"],
        newest_booking=0,
        dry_run=False,
        actor="user:1",
        details="{}",
        request_id=None,
    )


async def cost_of_sweeping(connection: Connection, slot_id: int) -> Cost:
    """Sweep all other overdue holds first, so that only this slot's are left."""
    await SWEEP_HOLDS.all(connection, holds_looked_at=HOLDS_PER_TRANSACTION, actor="sweeper")
    await made_overdue(connection, slot_id)
    return await cost_of(connection, SWEEP_HOLDS, holds_looked_at=HOLDS_PER_TRANSACTION, actor="sweeper")


@pytest.mark.parametrize(
    ("cost", "rows_each"),
    [
        (cost_of_holding, 5),
        (cost_of_holding_with_keys, 7),
        (cost_of_holding_over_overdue_holds, 8),
        (cost_of_confirming, 8),
        (cost_of_cancelling, 9),
        (cost_of_updating, 5),
        (cost_of_sweeping, 5),
    ],
)
async def test_a_batch_costs_the_same_on_a_slot_with_a_history(filled: Connection, cost: Any, rows_each: int) -> None:
    """30,000 holds of the old slot have expired. Each batch runs once before the measurement, to make its plans."""
    for slot_id in SLOTS:
        await cost(filled, slot_id)
    new, old = [await cost(filled, slot_id) for slot_id in SLOTS]
    assert old.pages <= new.pages * 1.1
    assert max(new.rows, old.rows) <= rows_each * BATCH
    assert new.scans == old.scans == 0


async def test_a_batch_over_many_slots_reads_their_rows_and_no_others(filled: Connection) -> None:
    slot_ids = [
        row["id"]
        for row in await filled.fetch(
            "SELECT id FROM appointment_slots WHERE start_time > now() AND status = 'OPEN' ORDER BY id % 997 LIMIT $1",
            BATCH,
        )
    ]
    await HOLD_SEATS.all(filled, **requests(slot_ids))
    cost = await cost_of(filled, HOLD_SEATS, **requests(slot_ids))
    assert cost.rows <= 7 * BATCH
    assert cost.scans == 0


async def test_booking_seats_of_a_slot_moves_no_index_of_it(filled: Connection) -> None:
    """Its update is heap-only, so a popular slot's indexes do not grow with every batch. The last seat moves some."""
    query = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = 'appointment_slots'"
    for _ in range(5):
        await held(filled, filling.FRESH_SLOT)
    assert tuple(await filled.fetchrow(query) or ()) == (5, 5)
    await filled.execute("UPDATE appointment_slots SET available_seats = 64 WHERE id = $1", filling.FRESH_SLOT)
    await held(filled, filling.FRESH_SLOT)
    updates, heap_only = await filled.fetchrow(query) or (0, 0)
    assert updates - heap_only == 1
