"""Databases of the nine migrations that stand in one now: taken over with their data, or refused in a sentence."""

import json
import re
import shutil
from pathlib import Path

import asyncpg
import pytest

from slotwise.db.migrator import migrate
from slotwise.db.readiness import UnsuitableDatabase
from slotwise.db.schema import SchemaCheck, expected_catalogue, migrations
from slotwise.db.squash import CHECKSUMS, is_of_nine
from tests.db.test_migrations import NAMES as CURRENT
from tests.db.test_migrations import Connection, applied, dbmate, empty_url, plant_a_slot
from tests.db.write_catalogue import catalogue_of
from tests.depth import third_of
from tests.workers import GUEST, wanted, workers

__all__ = ["empty_url"]

BEFORE = Path(__file__).with_name("before_squash")
NAMES = sorted(path.name for path in BEFORE.glob("*.sql"))
ANSWER = {
    "place": 1,
    "outcome": "held",
    "available_seats": 4,
    "booking_id": 1,
    "booked_at": "2026-01-01T10:00:00+00:00",
    "expires_at": "2026-01-01T10:02:00+00:00",
    "doctor_id": 1,
    "doctor_name": "Dr. Who",
    "specialization": None,
    "start_time": "2040-01-01T10:00:00+00:00",
    "end_time": "2040-01-01T10:30:00+00:00",
}


def make_old(url: str, folder: Path, *, count: int, old: str = "", new: str = "") -> None:
    """The first of the nine migrations, with `new` in place of `old`."""
    migrations = folder / "migrations"
    migrations.mkdir()
    for name in NAMES[:count]:
        text = Path(shutil.copy(BEFORE / name, migrations)).read_text()
        (migrations / name).write_text(text.replace(old, new))
    done = dbmate(url, migrations)
    assert done.returncode == 0, done.stderr


async def record(connection: Connection, count: int) -> None:
    """As the migrator of that time did."""
    for name, checksum in [*CHECKSUMS.items()][:count]:
        await connection.execute("INSERT INTO schema_history VALUES ($1, $2, '0.1.0')", name, checksum)


async def refusal(url: str) -> str:
    before = await catalogue_of(url), await applied(url)
    with pytest.raises(UnsuitableDatabase) as refused:
        await migrate(url)
    assert (await catalogue_of(url), await applied(url)) == before
    return str(refused.value)


def test_the_checksums_are_those_of_the_nine() -> None:
    assert list(CHECKSUMS) == [f"migrations/{name}" for name in NAMES]


@pytest.mark.parametrize("count", [7, 9])
async def test_a_complete_database_is_taken_over_with_its_data(empty_url: str, tmp_path: Path, count: int) -> None:
    make_old(empty_url, tmp_path, count=count)
    connection = await asyncpg.connect(empty_url)
    await plant_a_slot(connection)
    await connection.execute(
        "INSERT INTO idempotency_keys (caller, route, key_hash, body_hash, answer, manage_nonce)"
        " VALUES ('guest', 'POST /api/bookings', 'key', 'body', $1, 'nonce')",
        json.dumps(ANSWER),
    )
    if count == 9:
        await record(connection, count)
    assert await migrate(empty_url) == CURRENT[1:]
    assert await applied(empty_url) == [name[:4] for name in CURRENT]
    assert await catalogue_of(empty_url) == expected_catalogue()
    assert await SchemaCheck().problems(connection) == []
    assert await connection.fetchval("SELECT name FROM doctors WHERE id = 1") == "Dr. Who"
    kept = json.loads(await connection.fetchval("SELECT answer FROM idempotency_keys"))
    assert (kept["outcome"], kept["available_seats"], kept["booking"]["id"]) == ("held", 4, 1)
    assert await migrate(empty_url) == []
    async with workers(empty_url, count=1) as [worker]:
        held = await worker.bookings.hold_seats(GUEST, wanted(1))
        assert (await worker.bookings.get_booking(GUEST, held.booking.id)).booking.id == held.booking.id
    await connection.close()


async def test_a_new_database_equals_one_made_the_long_way(empty_url: str, tmp_path: Path) -> None:
    """To the order of a table's columns, which the catalogue does not compare."""
    await migrate(empty_url)
    new = await columns(empty_url)
    connection = await asyncpg.connect(empty_url)
    await connection.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    make_old(empty_url, tmp_path, count=9)
    await migrate(empty_url)
    assert await columns(empty_url) == new
    assert await catalogue_of(empty_url) == expected_catalogue()
    await connection.close()


async def columns(url: str) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " ORDER BY table_name, ordinal_position"
    )
    await connection.close()
    return [tuple(row) for row in rows]


@pytest.mark.parametrize("count", [6])
async def test_a_database_with_fewer_is_told_what_to_do(empty_url: str, tmp_path: Path, count: int) -> None:
    make_old(empty_url, tmp_path, count=count)
    said = await refusal(empty_url)
    assert f"it has {count} of the 9 migrations that this version takes as one. Start the Slotwise that made it" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("SELECT width_bucket(seats", "SELECT width_bucket(1 + seats", "function seats_class is not as Slotwise"),
        ("CREATE INDEX changes_of_slot", "CREATE INDEX others", "index booking_events.changes_of_slot is missing"),
        ("cancel_reason text,", "cancel_reason text, pet text NOT NULL,", "column bookings.pet is no part of Slotwise"),
    ],
    ids=["function", "index", "column"],
)
async def test_an_edited_migration_is_told_by_what_it_made(
    empty_url: str, tmp_path: Path, old: str, new: str, said: str
) -> None:
    make_old(empty_url, tmp_path, count=7, old=old, new=new)
    assert re.search(said, await refusal(empty_url))


async def test_an_edited_migration_is_told_by_its_record(empty_url: str, tmp_path: Path) -> None:
    make_old(empty_url, tmp_path, count=9)
    connection = await asyncpg.connect(empty_url)
    await record(connection, 9)
    await connection.execute("UPDATE schema_history SET checksum = 'other' WHERE name = 'migrations/0005_release.sql'")
    assert "migrations/0005_release.sql was edited after that state" in await refusal(empty_url)
    await connection.close()


async def test_migrations_of_something_else_are_refused(empty_url: str) -> None:
    connection = await asyncpg.connect(empty_url)
    await connection.execute(
        "CREATE TABLE schema_migrations (version varchar(255) PRIMARY KEY);"
        "INSERT INTO schema_migrations VALUES ('20240101')"
    )
    assert "its migrations are 20240101, not the first of 0001 to 0009" in await refusal(empty_url)
    await connection.close()


def test_there_is_one_migration_now() -> None:
    assert migrations()[0].number == "0001"


# Seven or more migrations of this version are not the nine.


async def plant(url: str, *, numbers: int, records: list[str]) -> Connection:
    """A connection to a database of this version as if it had that many migrations and only these records."""
    await migrate(url)
    connection = await asyncpg.connect(url)
    await connection.execute("DELETE FROM schema_history")
    for number in range(1, numbers + 1):
        await connection.execute("INSERT INTO schema_migrations VALUES ($1) ON CONFLICT DO NOTHING", f"{number:04}")
    for name in records:
        await connection.execute("INSERT INTO schema_history VALUES ($1, 'checksum', '0.1.0')", name)
    return connection


def test_no_migration_has_the_name_of_one_of_the_nine() -> None:
    assert not {source.name for source in migrations()} & set(CHECKSUMS)


@pytest.mark.parametrize("numbers", third_of([7, 8, 9, 12], 2))
@pytest.mark.parametrize("records", [[], ["release 0.1.0"], ["migrations/0001_tables.sql", "migrations/0009_new.sql"]])
async def test_many_migrations_of_this_version_are_not_taken_for_the_nine(
    empty_url: str, numbers: int, records: list[str]
) -> None:
    connection = await plant(empty_url, numbers=numbers, records=records)
    assert not await is_of_nine(connection)
    await connection.close()


async def test_the_nine_are_known_by_one_name_however_many_there_are(empty_url: str) -> None:
    connection = await plant(empty_url, numbers=3, records=["migrations/0001_schema.sql"])
    assert await is_of_nine(connection)
    await connection.close()


@pytest.mark.parametrize("count", [7, 8, 9])
async def test_the_nine_without_records_are_known_too(empty_url: str, tmp_path: Path, count: int) -> None:
    make_old(empty_url, tmp_path, count=count)
    connection = await asyncpg.connect(empty_url)
    assert await is_of_nine(connection)
    await connection.close()
