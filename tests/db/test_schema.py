"""Checks that a database has this version's schema, and the messages if it has not."""

import asyncio
import re
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
from structlog.testing import capture_logs
from torture.patching import mutate

from slotwise import __version__
from slotwise.db import migrator
from slotwise.db.migrator import MigrationFailed, migrate
from slotwise.db.readiness import UnsuitableDatabase
from slotwise.db.schema import (
    Record,
    SchemaCheck,
    Source,
    catalogue_problems,
    expected_catalogue,
    later_release,
    migrations,
    release_order,
    sources,
    text_problems,
)
from tests.clinic import Clinic, RunningServer, rows
from tests.db.test_migrations import NAMES, Connection, empty_url
from tests.db.write_catalogue import PATH, catalogue_of, lines_of

__all__ = ["empty_url"]

FIRST = "migrations/0001_tables.sql"
OF_LATER = f"UPDATE schema_history SET checksum = '', release = '9.0' WHERE name = '{FIRST}'"


# The records.


def test_the_release_is_numbers_that_can_be_compared() -> None:
    assert release_order(__version__)
    assert release_order("0.10.0") > release_order("0.9.9")
    assert release_order("1.0") == release_order("1")


def test_the_catalogue_is_what_the_migrations_make(postgres_url: str, migrated_template: str) -> None:
    """After a change: `python -m tests.db.write_catalogue`."""
    url = urlunsplit(urlsplit(postgres_url)._replace(path=f"/{migrated_template}"))
    assert lines_of(asyncio.run(catalogue_of(url))) == PATH.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        (Record("a.sql", Source("a.sql", "one").checksum, "1.0"), None),
        (Record("a.sql", "other", "1.0"), "a.sql was applied by release 1.0 with another text"),
        (Record("a.sql", "other", "0.9"), "a.sql was applied by release 0.9 with another text"),
        (Record("a.sql", "other", "1.0.1"), None),
        (Record("b.sql", "other", "1.0"), "b.sql was applied by release 1.0 and is no part of this 1.0"),
        (Record("b.sql", "other", "1.10"), None),
    ],
)
def test_a_text_of_an_own_or_earlier_release_must_be_ours(record: Record, problem: str | None) -> None:
    ours = [Source("a.sql", "one")]
    records = [record] if record.name == "a.sql" else [record, Record("a.sql", ours[0].checksum, "1.0")]
    assert text_problems(records, ours, "1.0") == ([] if problem is None else [problem])


def test_a_migration_that_was_not_applied_is_missed_beside_a_later_release_too() -> None:
    records = [Record("b.sql", "other", "2.0")]
    assert text_problems(records, [Source("a.sql", "one")], "1.0") == ["a.sql was not applied"]
    assert later_release(records, "1.0") == "2.0"
    assert later_release(records, "2.0") is None


# The catalogue.


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"table users": None}, ["table users is missing"]),
        ({"column users.was_desk": None}, ["column users.was_desk is missing"]),
        ({"column users.email": "integer"}, ["column users.email is not as Slotwise makes it"]),
        ({"column users.more": "textDEFAULT"}, []),
        ({"column users.more": "textNOTNULLDEFAULT''::text"}, []),
        ({"column users.more": "textNOTNULLDEFAULT"}, ["column users.more is no part of Slotwise"]),
        ({"constraint users.more": "CHECKFALSE"}, ["constraint users.more is no part of Slotwise"]),
        ({"trigger users.more": "CREATETRIGGER"}, ["trigger users.more is no part of Slotwise"]),
        ({"unique index users.more": "CREATEUNIQUEINDEX"}, ["unique index users.more is no part of Slotwise"]),
        ({"unique index users.more_ccnew": "CREATEUNIQUEINDEXINVALID"}, []),
        ({"index users.more": "CREATEINDEX"}, []),
        ({"index users.users_of_role": None}, []),
        ({"table others": "r", "constraint others.one": "CHECK", "column others.a": "textNOTNULLDEFAULT"}, []),
        ({"function others()": "0"}, []),
        ({"function refuse_change(text)": "0"}, ["function refuse_change is no part of Slotwise"]),
        ({"view slots_now": "0"}, ["view slots_now is not as Slotwise makes it"]),
    ],
)
def test_relevant_differences_are_named(change: dict[str, str | None], problems: list[str]) -> None:
    found = {name: text for name, text in {**expected_catalogue(), **change}.items() if text is not None}
    assert catalogue_problems(found, expected_catalogue(), with_indexes=False) == problems


def test_at_the_first_comparison_an_index_counts_too() -> None:
    found = {name: text for name, text in expected_catalogue().items() if name != "index users.users_of_role"}
    problems = catalogue_problems(found, expected_catalogue(), with_indexes=True)
    assert problems == ["index users.users_of_role is missing"]


# The readiness of a running server.

DAMAGES = {
    "edited migration": (
        f"UPDATE schema_history SET checksum = 'of another text' WHERE name = '{FIRST}'",
        f"UPDATE schema_history SET checksum = '{sources()[0].checksum}' WHERE name = '{FIRST}'",
        rf"{FIRST} was applied by release 0\.1\.0 with another text\. Run the Slotwise that made this database, or",
    ),
    "missing record": (
        f"DELETE FROM schema_history WHERE name = '{FIRST}'",
        f"INSERT INTO schema_history VALUES ('{FIRST}', '{sources()[0].checksum}', '0.1.0')",
        rf"{FIRST} was not applied\. Run `slotwise migrate`",
    ),
    "missing records": (
        "ALTER TABLE schema_history RENAME TO gone",
        "ALTER TABLE gone RENAME TO schema_history",
        "no record of its schema: run `slotwise migrate`",
    ),
    "unreadable records": (
        "ALTER TABLE schema_history RENAME release TO gone",
        "ALTER TABLE schema_history RENAME gone TO release",
        "schema_history, cannot be read: column h.release does not exist",
    ),
    "renamed table": (
        "ALTER TABLE login_attempts RENAME TO gone",
        "ALTER TABLE gone RENAME TO login_attempts",
        r"table login_attempts is missing\. Undo that change",
    ),
    "renamed column": (
        "ALTER TABLE users RENAME was_desk TO gone",
        "ALTER TABLE users RENAME gone TO was_desk",
        "column users.was_desk is missing",
    ),
    "other type": (
        "ALTER TABLE audit_log ALTER request_id TYPE varchar",
        "ALTER TABLE audit_log ALTER request_id TYPE text",
        "column audit_log.request_id is not as Slotwise makes it",
    ),
    "other default": (
        "ALTER TABLE users ALTER token_version SET DEFAULT 2",
        "ALTER TABLE users ALTER token_version SET DEFAULT 1",
        "column users.token_version is not as",
    ),
    "edited function": (
        "CREATE OR REPLACE FUNCTION seats_class(seats integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE"
        " AS ' SELECT 1 '",
        "CREATE OR REPLACE FUNCTION seats_class(seats integer) RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE"
        " AS $$\n    SELECT width_bucket(seats, ARRAY[2, 3, 5, 10, 20, 50, 100, 1000])\n$$",
        "function seats_class is not as",
    ),
    "other setting of a function": (
        "ALTER FUNCTION sweep_holds RESET enable_material",
        "ALTER FUNCTION sweep_holds SET enable_material = off",
        "function sweep_holds is not as",
    ),
    "dropped rule": (
        "ALTER TABLE appointment_slots DROP CONSTRAINT appointment_slots_pkey CASCADE",
        "ALTER TABLE appointment_slots ADD CONSTRAINT appointment_slots_pkey PRIMARY KEY (id);"
        " ALTER TABLE bookings ADD CONSTRAINT booking_slot_exists"
        " FOREIGN KEY (slot_id) REFERENCES appointment_slots (id)",
        r"constraint appointment_slots.appointment_slots_pkey is missing, .*constraint bookings.booking_slot_exists",
    ),
    "switched off trigger": (
        "ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only",
        "ALTER TABLE audit_log ENABLE TRIGGER audit_log_append_only",
        "trigger audit_log.audit_log_append_only is not as",
    ),
    "table that a crash empties": (
        "ALTER TABLE login_attempts SET UNLOGGED",
        "ALTER TABLE login_attempts SET LOGGED",
        "table login_attempts is not as",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damage_is_named_until_it_is_repaired(connection: Connection, damage: str) -> None:
    done, undone, said = DAMAGES[damage]
    check = SchemaCheck()
    assert await check.problems(connection) == []
    await connection.execute(done)
    [problem] = await check.problems(connection)
    assert re.search(said, problem)
    assert [problem] == await check.problems(connection)
    await connection.execute(undone)
    assert await check.problems(connection) == []


async def test_nothing_is_read_again_while_nothing_was_changed(connection: Connection) -> None:
    asked: list[str] = []
    connection.add_query_logger(lambda query: asked.append(query.query))
    check = SchemaCheck()
    for _ in range(3):
        assert await check.problems(connection) == []
    await connection.execute("ANALYZE users")
    assert await check.problems(connection) == []
    assert sum("pg_get_viewdef" in query for query in asked) == 1


async def test_a_later_release_is_logged_once_and_nothing_is_compared(connection: Connection) -> None:
    check = SchemaCheck()
    await connection.execute(OF_LATER)
    await connection.execute("ALTER TABLE users RENAME was_desk TO of_a_later_release")
    with capture_logs() as logs:
        assert [await check.problems(connection) for _ in range(3)] == [[]] * 3
    assert [(log["event"], log["release"]) for log in logs] == [("schema_of_a_later_release", "9.0")]


def test_a_running_server_says_what_is_wrong_and_is_ready_again_without_a_restart(
    start_server: Callable[..., RunningServer], database_url: str
) -> None:
    done, undone, said = DAMAGES["renamed column"]
    with Clinic(start_server()) as clinic:
        assert clinic.http.get("/health/ready").status_code == 200
        rows(database_url, done)
        unready = clinic.http.get("/health/ready")
        assert (unready.status_code, unready.json()["status"]) == (503, "unsafe")
        assert re.search(said, unready.json()["problems"][0])
        rows(database_url, undone)
        assert clinic.http.get("/health/ready").json()["problems"] == []


# A server that starts.


async def refusal(url: str) -> str:
    with pytest.raises(UnsuitableDatabase) as refused:
        await migrate(url)
    return str(refused.value)


async def test_every_source_is_recorded_with_its_release(connection: Connection) -> None:
    found = await connection.fetch("SELECT name, checksum, release FROM schema_history")
    assert {tuple(row) for row in found} == {(source.name, source.checksum, __version__) for source in sources()}


@pytest.mark.parametrize("damage", sorted(DAMAGES.keys() - {"missing record", "missing records", "unreadable records"}))
async def test_a_damaged_database_is_refused(database_url: str, connection: Connection, damage: str) -> None:
    done, undone, said = DAMAGES[damage]
    await connection.execute(done)
    assert re.search(said, await refusal(database_url))
    await connection.execute(undone)
    assert await migrate(database_url) == []


@pytest.mark.parametrize("lost", ["DELETE FROM schema_history", f"DELETE FROM schema_history WHERE name = '{FIRST}'"])
async def test_lost_records_are_written_again_where_the_schema_is_ours(
    database_url: str, connection: Connection, lost: str
) -> None:
    await connection.execute(lost)
    assert await migrate(database_url) == []
    assert await SchemaCheck().problems(connection) == []


async def test_lost_records_are_not_written_where_the_schema_is_not_ours(
    database_url: str, connection: Connection
) -> None:
    await connection.execute("DELETE FROM schema_history")
    await connection.execute("ALTER TABLE appointment_slots ALTER COLUMN total_seats DROP NOT NULL")
    said = await refusal(database_url)
    assert "column appointment_slots.total_seats is not as Slotwise makes it. Run the Slotwise that made" in said
    assert await connection.fetchval("SELECT count(*) FROM schema_history") == 0


async def test_records_that_cannot_be_read_end_a_start_in_words(database_url: str, connection: Connection) -> None:
    await connection.execute(DAMAGES["unreadable records"][0])
    with pytest.raises(MigrationFailed, match=r"column h\.release does not exist"):
        await migrate(database_url)


async def test_a_migration_that_this_version_does_not_have_is_refused(
    database_url: str, connection: Connection
) -> None:
    await connection.execute("INSERT INTO schema_migrations VALUES ('0999')")
    assert "migration 0999 was applied and is no part of this version" in await refusal(database_url)


async def test_beside_a_later_release_nothing_is_written(database_url: str, connection: Connection) -> None:
    await connection.execute(OF_LATER)
    await connection.execute("INSERT INTO schema_migrations VALUES ('0999')")
    await connection.execute("ALTER TABLE users RENAME was_desk TO of_a_later_release")
    before = await connection.fetch("SELECT * FROM schema_history ORDER BY name")
    told: list[str] = []
    assert await migrate(database_url, told.append) == []
    assert told == ["The database has the schema of a later release, 9.0: nothing is applied"]
    assert await connection.fetch("SELECT * FROM schema_history ORDER BY name") == before


async def test_a_release_says_that_it_begins_before_it_changes_anything(
    database_url: str, connection: Connection
) -> None:
    """Else a server of the release before would take half of the changes for those of a stranger."""
    newest = next(source for source in reversed(migrations()) if "IF NOT EXISTS" not in source.text)
    await connection.execute("DELETE FROM schema_migrations WHERE version = $1", newest.number)
    await connection.execute("DELETE FROM schema_history WHERE name = $1", newest.name)
    with pytest.raises(MigrationFailed):  # its table exists already, so that it stops halfway
        await migrate(database_url)
    announced = await connection.fetchval("SELECT release FROM schema_history WHERE name LIKE 'release %'")
    assert announced == __version__
    await connection.execute("UPDATE schema_history SET release = '9.0' WHERE name LIKE 'release %'")
    await connection.execute(
        "INSERT INTO schema_history (name, checksum, release) VALUES ($1, $2, $3)",
        newest.name, newest.checksum, __version__,
    )  # fmt: skip
    await connection.execute("ALTER TABLE users RENAME was_desk TO of_a_later_release")
    assert await SchemaCheck().problems(connection) == []


# Views, functions and triggers.

CHANGED = [source.name for source in sources() if not source.is_migration]


async def test_a_source_whose_text_changed_is_applied_again(database_url: str, connection: Connection) -> None:
    """As if an earlier release had applied another text."""
    for name in CHANGED:
        await connection.execute("UPDATE schema_history SET checksum = '', release = '0.0.1' WHERE name = $1", name)
    said = await SchemaCheck().problems(connection)
    assert f"{sorted(CHANGED)[0]} was applied by release 0.0.1 with another text" in said[0]
    assert await migrate(database_url) == []
    assert await SchemaCheck().problems(connection) == []
    records = await connection.fetch("SELECT name, checksum, release FROM schema_history WHERE name LIKE '%.sql'")
    assert {tuple(record) for record in records} == {(one.name, one.checksum, __version__) for one in sources()}


async def test_a_function_of_an_earlier_release_is_replaced(database_url: str, connection: Connection) -> None:
    await mutate(connection, "sweep_holds", "FOR NO KEY UPDATE SKIP LOCKED", "FOR NO KEY UPDATE")
    await connection.execute("DELETE FROM schema_history WHERE name = 'mutant'")
    assert "function sweep_holds is not as Slotwise makes it" in await refusal(database_url)
    await connection.execute(
        "UPDATE schema_history SET checksum = '', release = '0.0.1' WHERE name = 'functions/sweep_holds.sql'"
    )
    assert await migrate(database_url) == []
    text = await connection.fetchval("SELECT pg_get_functiondef('sweep_holds'::regproc)")
    assert "SKIP LOCKED" in text


async def test_what_replaces_a_view_waits_for_its_users_only_so_long_and_leaves_all_as_it_was(
    database_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrator, "REPLACE_LOCK_SECONDS", 0.1)
    await connection.execute("UPDATE schema_history SET checksum = '' WHERE name NOT LIKE 'migrations/%'")
    async with connection.transaction():
        await connection.execute("LOCK TABLE bookings_now IN ACCESS SHARE MODE")
        with pytest.raises(MigrationFailed, match=r"views\.sql: a table is in use"):
            await migrate(database_url)
    assert await connection.fetchval(
        "SELECT count(*) FROM schema_history WHERE checksum = '' AND name LIKE '%.sql'"
    ) == len(CHANGED)
    assert await migrate(database_url) == []


async def test_servers_that_start_at_once_replace_functions_one_after_the_other(
    database_url: str, connection: Connection
) -> None:
    """Without the lock one of them fails: tuple concurrently updated."""
    await connection.execute("UPDATE schema_history SET checksum = '' WHERE name NOT LIKE 'migrations/%'")
    assert await asyncio.gather(*(migrate(database_url) for _ in range(4))) == [[]] * 4
    assert await SchemaCheck().problems(connection) == []


async def test_the_record_of_a_source_that_is_gone_goes_too(database_url: str, connection: Connection) -> None:
    await connection.execute("INSERT INTO schema_history VALUES ('functions/old.sql', '', '0.0.1')")
    assert await migrate(database_url) == []
    assert not await connection.fetch("SELECT 1 FROM schema_history WHERE name = 'functions/old.sql'")


def migration_faults(text: str) -> list[str]:
    """What the rules for migrations say against one that is applied to a database in use."""
    made = set(re.findall(r"CREATE TABLE (?:IF NOT EXISTS )?(\w+)", text))
    indexed = re.findall(r"CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?(?:IF NOT EXISTS )?\w+\s+ON (\w+)", text)
    faults = [f"builds an index on {table} that locks it" for now, table in indexed if not now and table not in made]
    patient = re.search(r"^SET (LOCAL )?lock_timeout = ", text, re.MULTILINE)
    # While it builds an index like this, nothing waits for it. It must be the only statement.
    builds_beside = re.search(
        r"^-- migrate:up transaction:false\s+(--.*\s+)*CREATE INDEX CONCURRENTLY [^;]*;\s+--", text
    )
    return faults if patient or builds_beside else [*faults, "waits for locks without a limit"]


def test_every_migration_waits_for_locks_only_so_long_and_locks_no_table_to_index_it() -> None:
    assert not {source.name: faults for source in migrations() if (faults := migration_faults(source.text))}


def test_a_migration_that_would_stop_bookings_is_noticed() -> None:
    patient = "SET lock_timeout = '5s';\n"
    assert migration_faults("ALTER TABLE users ADD COLUMN pet text;") == ["waits for locks without a limit"]
    assert migration_faults(patient + "CREATE INDEX pets ON users (pet);") == ["builds an index on users that locks it"]
    assert not migration_faults(patient + "CREATE INDEX CONCURRENTLY pets ON users (pet);")
    beside = "-- migrate:up transaction:false\n-- Fast.\nCREATE INDEX CONCURRENTLY pets ON users (pet);\n"
    assert not migration_faults(beside + "-- migrate:down\n")
    assert migration_faults(beside + "ALTER TABLE users ADD COLUMN pet text;\n-- migrate:down\n")
    assert not migration_faults(patient + "CREATE TABLE pets (id bigint);\nCREATE INDEX pet_ids ON pets (id);")


async def test_beside_a_later_release_an_own_migration_must_not_be_missing(
    database_url: str, connection: Connection
) -> None:
    await connection.execute(
        "UPDATE schema_history SET name = 'functions/later.sql', release = '9' WHERE name = $1", FIRST
    )
    assert f"{FIRST} was not applied" in await refusal(database_url)


async def test_a_start_reports_what_it_waits_for(database_url: str, connection: Connection) -> None:
    holder = await asyncpg.connect(database_url, server_settings={"application_name": "who holds it"})
    pid = await holder.fetchval("SELECT pg_backend_pid()")
    told: asyncio.Queue[str] = asyncio.Queue()
    async with holder.transaction():
        await holder.execute("SELECT pg_advisory_xact_lock(hashtextextended('slotwise migrations', 0))")
        starting = asyncio.create_task(migrate(database_url, told.put_nowait))
        said = await asyncio.wait_for(told.get(), 20)
    assert f"Waiting for another server's migration (an advisory lock), held by backend pid {pid} (who holds it" in said
    assert await starting == []
    await holder.close()


async def test_a_migration_reports_what_it_waits_for(empty_url: str) -> None:
    holder = await asyncpg.connect(empty_url)
    await holder.execute("CREATE TABLE schema_migrations (version varchar(255) PRIMARY KEY)")
    told: asyncio.Queue[str] = asyncio.Queue()
    async with holder.transaction():
        await holder.execute("LOCK TABLE schema_migrations IN SHARE MODE")
        starting = asyncio.create_task(migrate(empty_url, told.put_nowait))
        said = await asyncio.wait_for(told.get(), 20)
    assert said.startswith("Waiting for a lock of kind relation, held by backend pid ")
    assert await starting == NAMES
    await holder.close()
