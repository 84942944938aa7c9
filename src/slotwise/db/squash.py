"""Takes over databases of an earlier release, whose nine migrations are one now.

The first seven of them made all tables but `schema_history`; the last two added that table and functions.
"""

import asyncpg
import msgspec

from slotwise.db.pool import Connection
from slotwise.db.readiness import UnsuitableDatabase
from slotwise.db.schema import RECORD_SOURCE, REMEDY, Record, migrations, read_applied, read_records, source_text
from slotwise.db.statements import Statement

# The release whose nine migrations these were.
RELEASE = "0.1.0"
CHECKSUMS = {
    "migrations/0001_schema.sql": "8cbab776502a6622545ba85df08b8d825a3021beddfa7ce9149e2037f686eb22",
    "migrations/0002_booking_path.sql": "7cef630d20dd2b978baabf770cbc08e113755f5874a9d63a5eea52455148ab6b",
    "migrations/0003_sweep.sql": "b13d4f400c0f3cbff94f08a4ba8a73df841f7b0763d0ec026eb0fb012266c228",
    "migrations/0004_privacy.sql": "91cfb1b0238a0126767f5f02019faf124f86d84d5b89df92fe3f45f6644bc2a9",
    "migrations/0005_release.sql": "57b6df6cf4ddcb4435fe0891125f0d02e0a0e07772700f493aa3523d0010734b",
    "migrations/0006_calendars.sql": "954644dcc0d1fdae0993a983b109d726f835e2dac6cac0c2a49d11f93b26e720",
    "migrations/0007_desk.sql": "95b3299e9e23f4d5edc79c6a48396ebb91827795f87909c6679ff993861f0c1a",
    "migrations/0008_history.sql": "7aabfd83dd9c9c02d89fbd7327c03d0af83bba6ca5432b43a70201753bec9239",
    "migrations/0009_slot_changes.sql": "ad1b2897d68e3b61cc07289e78894588c76cbb3bcfea400fb50b70b62ae9d462",
}
NUMBERS = [name.removeprefix("migrations/")[:4] for name in CHECKSUMS]
# Databases with fewer have other tables.
COMPLETE = 7
# The eighth made the table of records, so a database that has it without records has at least this many.
WITH_RECORDS = 8
REST_FIRST = (
    "Start the Slotwise that made it once more, in its last state, so that it applies the rest; then start this one"
)


class Found(msgspec.Struct, frozen=True):
    found: bool


FIND_RECORDS = Statement("database/schema.find_records", Found)
FIND_EMAIL_KEY = Statement("database/schema.find_email_key", Found)


async def is_of_nine(connection: Connection) -> bool:
    """Whether the database has migrations of that release, by the names in its records.

    A migrator that was killed has left no records. Then a function tells that no migration of that release made. The
    number of migrations tells nothing: this version has many of its own.
    """
    applied = await read_applied(connection)
    if not applied:
        return False
    if not (await FIND_RECORDS.one(connection)).found:
        return True
    records = await read_records(connection)
    if records:
        return any(record.name in CHECKSUMS for record in records)
    return len(applied) >= WITH_RECORDS and not (await FIND_EMAIL_KEY.one(connection)).found


async def adopt(connection: Connection) -> None:
    """Turn the nine migrations into this version's first one. If it raises `UnsuitableDatabase`, nothing was done.

    The caller must compare the result with the schema before the transaction commits.
    """
    applied, records = await read_applied(connection), await read_records(connection)
    problem = _problem(applied, records)
    if problem:
        raise UnsuitableDatabase(f"it was made by an earlier state of Slotwise: {problem}")
    try:
        await connection.execute(source_text("squash.sql"))
    except asyncpg.LockNotAvailableError:
        raise
    except asyncpg.PostgresError as error:
        raise UnsuitableDatabase(
            f"it was made by an earlier state of Slotwise and then changed: {error}. {REMEDY}"
        ) from error
    first = migrations()[0]
    await RECORD_SOURCE.run(connection, name=first.name, checksum=first.checksum, release=RELEASE)


def _problem(applied: set[str], records: list[Record]) -> str:
    """A sentence with what to do; empty if there is no problem."""
    count = len(applied)
    if sorted(applied) != NUMBERS[:count]:
        numbers = f"{NUMBERS[0]} to {NUMBERS[-1]}"
        return f"its migrations are {', '.join(sorted(applied))}, not the first of {numbers}. {REMEDY}"
    if count < COMPLETE:
        return f"it has {count} of the {len(NUMBERS)} migrations that this version takes as one. {REST_FIRST}"
    edited = [record.name for record in records if CHECKSUMS.get(record.name, record.checksum) != record.checksum]
    return f"{edited[0]} was edited after that state. {REMEDY}" if edited else ""
