"""The schema: how migrations create it, and which rules the database enforces."""

import asyncio
import itertools
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest
import pytest_asyncio

from slotwise.db.errors import _BY_CONSTRAINT, translated
from slotwise.db.migrator import MigrationFailed, _dbmate, libpq_url, migrate
from slotwise.domain.errors import (
    AnsweredMeanwhile,
    ClinicNotFound,
    DoctorNotFound,
    EmailTaken,
    InvalidInput,
    NotAuthenticated,
    SlotOverlaps,
    Unavailable,
)
from tests.architecture.sources import ROOT

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

MIGRATIONS = ROOT / "sql" / "migrations"
NAMES = sorted(path.name for path in MIGRATIONS.iterdir())
APPEND_ONLY = {"booking_events", "audit_log"}

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def shared_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """A migrated database that each test leaves empty."""
    name = f"shared_{os.getpid()}"
    execute(postgres_url, f"CREATE DATABASE {name} TEMPLATE {migrated_template}")
    yield renamed(postgres_url, name)
    execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


@pytest_asyncio.fixture
async def planted(shared_url: str) -> AsyncIterator[Connection]:
    """A connection that sees `plant_a_slot`, inside a transaction that never commits."""
    connection = await asyncpg.connect(shared_url)
    transaction = connection.transaction()
    await transaction.start()
    await plant_a_slot(connection)
    yield connection
    await transaction.rollback()
    await connection.close()


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """A database without any tables."""
    name = f"empty_{os.getpid()}_{next(_numbers)}"
    execute(postgres_url, f"CREATE DATABASE {name}")
    yield renamed(postgres_url, name)
    execute(postgres_url, f"DROP DATABASE {name} WITH (FORCE)")


def renamed(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def execute(url: str, command: str) -> None:
    async def run() -> None:
        connection = await asyncpg.connect(url)
        await connection.execute(command)
        await connection.close()

    asyncio.run(run())


async def tables(url: str) -> set[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    )
    await connection.close()
    return {row["relname"] for row in rows}


async def applied(url: str) -> list[str]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT version FROM schema_migrations ORDER BY version")
    await connection.close()
    return [row["version"] for row in rows]


def dbmate(url: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run dbmate as the migrator does, with other files."""
    return subprocess.run(
        [_dbmate(), "--migrations-dir", str(folder), "--no-dump-schema", "--migration-lock", "migrate"],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": libpq_url(url)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


# How the schema comes into a database.


def test_migrations_are_numbered_without_a_gap() -> None:
    assert all(re.fullmatch(r"\d{4}_[a-z_]+\.sql", name) for name in NAMES)
    assert [int(name[:4]) for name in NAMES] == list(range(1, len(NAMES) + 1))


async def test_migrating_again_changes_nothing_and_starts_no_program(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await migrate(empty_url) == NAMES
    before = await tables(empty_url)
    monkeypatch.setattr("slotwise.db.migrator._dbmate", lambda: "/no/such/program")
    assert await migrate(empty_url) == []
    assert await tables(empty_url) == before
    assert await applied(empty_url) == [name[:4] for name in NAMES]


async def test_servers_that_start_at_once_apply_each_migration_once(empty_url: str) -> None:
    answers = await asyncio.gather(*(migrate(empty_url) for _ in range(4)))
    assert sorted(name for answer in answers for name in answer) == NAMES
    assert await applied(empty_url) == [name[:4] for name in NAMES]


async def test_a_migration_that_cannot_be_applied_says_why_and_leaves_nothing(empty_url: str) -> None:
    connection = await asyncpg.connect(empty_url)
    await connection.execute("CREATE TABLE doctors (somebody text)")
    with pytest.raises(MigrationFailed, match='relation "doctors" already exists'):
        await migrate(empty_url)
    assert await tables(empty_url) == {"doctors", "schema_migrations"}
    assert await applied(empty_url) == []
    await connection.execute("DROP TABLE doctors")
    await connection.close()
    assert await migrate(empty_url) == NAMES


async def test_a_later_migration_that_fails_half_way_is_undone_and_can_be_fixed(empty_url: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MIGRATIONS, tmp_path / "migrations"))
    later = folder / f"{len(NAMES) + 1:04}_later.sql"
    later.write_text("-- migrate:up\nCREATE TABLE later (id bigint);\nSELECT 1 / 0;\n-- migrate:down\n")
    done = dbmate(empty_url, folder)
    assert done.returncode != 0
    assert "division by zero" in done.stderr
    assert "later" not in await tables(empty_url)
    assert await applied(empty_url) == [name[:4] for name in NAMES]

    later.write_text("-- migrate:up\nCREATE TABLE later (id bigint);\n-- migrate:down\n")
    assert dbmate(empty_url, folder).returncode == 0
    assert "later" in await tables(empty_url)


def command_lines() -> Iterator[str]:
    """The command lines of all processes on this machine."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield path.read_bytes().decode(errors="replace")


async def test_the_planner_samples_no_personal_data(connection: Connection) -> None:
    """It would stay readable after an erasure."""
    await plant_a_slot(connection)
    await connection.execute(booking("1, NULL, 'Ada', 'a@b.org', 1, 'PENDING', now(), NULL, NULL"))
    await connection.execute("ANALYZE users, bookings")
    sampled = await connection.fetch("SELECT DISTINCT attname FROM pg_stats WHERE tablename IN ('users', 'bookings')")
    names = {row["attname"] for row in sampled}
    assert "status" in names
    assert not names & {"email", "name", "password_hash", "user_name", "user_email", "cancel_reason", "lower"}


@pytest.mark.slow(reason="it watches all processes during a migration")
async def test_a_migration_does_not_pass_the_password_on_the_command_line(empty_url: str) -> None:
    """Every user of the machine can read the command lines of all processes."""
    seen: set[str] = set()

    async def watch() -> None:
        while True:
            seen.update(line for line in command_lines() if "--migrations-dir" in line)
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    parts = urlsplit(empty_url)
    await migrate(urlunsplit(parts._replace(netloc=parts.netloc.replace("@", ":open-sesame@"))))
    watching.cancel()
    assert seen
    assert not [line for line in seen if "open-sesame" in line]


# What every table has.


async def test_every_table_tells_when_a_row_was_made_and_changed(connection: Connection) -> None:
    rows = await connection.fetch(
        "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name)"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'schema_migrations'"
    )
    dated = {
        (row["table_name"], row["column_name"])
        for row in rows
        if row["data_type"] == "timestamp with time zone" and row["is_nullable"] == "NO"
    }
    names = {row["table_name"] for row in rows}
    assert names > APPEND_ONLY
    assert {name for name in names if (name, "created_at") not in dated} == set()
    assert {name for name in names if (name, "updated_at") not in dated} == APPEND_ONLY


# What a clinic's calendar and wall clock show, on purpose: in whichever zone, and by whichever edition of the zones.
WALL_CLOCKS = {
    "schedule_rules.first_day",
    "schedule_rules.last_day",
    "rule_runs.published_until",
    "appointment_slots.local_start",
    "windows.local_start",
}


async def test_no_column_holds_a_time_without_its_zone(connection: Connection) -> None:
    rows = await connection.fetch(
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
        " AND data_type IN ('timestamp without time zone', 'date', 'time without time zone')"
    )
    assert {f"{table}.{column}" for table, column in rows} == WALL_CLOCKS


@pytest.mark.parametrize("table", sorted(APPEND_ONLY))
@pytest.mark.parametrize("command", ["UPDATE {} SET actor = 'somebody else'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_rows_of_append_only_tables_cannot_be_changed_or_removed(
    connection: Connection, table: str, command: str
) -> None:
    await plant_a_slot(connection)
    await connection.execute(
        "INSERT INTO audit_log (actor, action, subject) VALUES ('user:1', 'create_slot', 'slot:1')"
    )
    with pytest.raises(asyncpg.RestrictViolationError, match="is append-only") as refusal:
        await connection.execute(command.format(table))
    assert refusal.value.constraint_name == "append_only"
    assert await connection.fetchval(f"SELECT count(*) FROM {table} WHERE actor = 'user:1'") == 1


# The rules that the database holds.

SLOT_COLUMNS = "(doctor_id, start_time, end_time, total_seats, available_seats, status)"
BOOKING_COLUMNS = (
    "(slot_id, user_id, user_name, user_email, seats_booked, status, expires_at, confirmed_at, cancelled_at,"
    " manage_token_hash)"
)


def user(email: str, role: str) -> str:
    return f"INSERT INTO users (email, name, role, password_hash) VALUES ('{email}', 'Ada', '{role}', '')"


def slot(values: str) -> str:
    return f"INSERT INTO appointment_slots {SLOT_COLUMNS} VALUES ({values})"


def booking(values: str) -> str:
    return f"INSERT INTO bookings {BOOKING_COLUMNS} VALUES ({values}, 'hash')"


def event(kind: str, after: str) -> str:
    return (
        "INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        f" VALUES (1, 2, '{kind}', 1, {after}, 'test', now())"
    )


def key(rows: str) -> str:
    return f"INSERT INTO idempotency_keys (caller, route, key_hash, body_hash, answer, manage_nonce) VALUES {rows}"


def visit_type(fields: str, values: str) -> str:
    return f"INSERT INTO visit_types (name, minutes{fields and ', '}{fields}) VALUES ('Visit', {values})"


async def plant_a_slot(connection: Connection) -> None:
    """Doctors 1 and 2; the first has slot 1, on a morning of 2040, with five seats. A user."""
    await connection.execute(user("Ada@x.org", "patient"))
    await connection.execute("INSERT INTO doctors (id, name) VALUES (1, 'Dr. Who'), (2, 'Dr. No')")
    await connection.execute("ALTER SEQUENCE appointment_slots_id_seq RESTART")
    await connection.execute(slot("1, '2040-01-01 10:00Z', '2040-01-01 10:30Z', 5, 5, 'OPEN'"))
    await connection.execute(
        "INSERT INTO booking_events (slot_id, sequence, kind, seats, available_after, total_after, actor, created_at)"
        " VALUES (1, 1, 'CREATED', 5, 5, 5, 'user:1', now())"
    )


def rule(values: str) -> str:
    """Doctor, clinic, first and last day, weeks, weekday, opening, closing, minutes, break, seats."""
    return (
        "INSERT INTO schedule_rules (doctor_id, clinic_id, first_day, last_day, every_weeks, weekday, opens, closes,"
        f" slot_minutes, break_minutes, total_seats) VALUES ({values})"
    )


def window(values: str) -> str:
    """Doctor, clinic, rule, start, end, status; after a rule with id 1, whose windows are offered every ten minutes."""
    return (
        "INSERT INTO schedule_rules (id, doctor_id, clinic_id, first_day, weekday, opens, closes, slot_minutes, kind,"
        " step_minutes) VALUES (1, 1, 1, '2040-01-02', 1, 540, 600, 60, 'WINDOW', 10);"
        " INSERT INTO windows (doctor_id, clinic_id, rule_id, start_time, end_time, status, local_start)"
        f" SELECT w.*, '2040-01-02' FROM (VALUES {values}) AS w"
    )


def closed(values: str) -> str:
    """Doctor, clinic, start, end, kind, reason."""
    return f"INSERT INTO closures (doctor_id, clinic_id, start_time, end_time, kind, reason) VALUES ({values})"


VIOLATIONS = [
    ("user_email_unique", user("aDA@X.ORG", "staff")),
    ("user_role_known", user("a@b.org", "king")),
    ("slot_doctor_exists", slot("99, '2040-01-01 10:00Z', '2040-01-01 10:30Z', 1, 1, 'OPEN'")),
    ("slot_clinic_exists", "UPDATE appointment_slots SET clinic_id = 99"),
    ("clinic_is_filled", "UPDATE clinics SET version = 1"),
    ("clinic_is_filled", "INSERT INTO clinics (name, time_zone) VALUES ('North', '')"),
    ("doctor_of_clinic_exists", "INSERT INTO doctor_clinics VALUES (99, 1)"),
    ("clinic_of_doctor_exists", "INSERT INTO doctor_clinics VALUES (1, 99)"),
    ("user_of_clinic_exists", "INSERT INTO user_clinics VALUES (-1, 1)"),
    ("clinic_of_user_exists", "INSERT INTO user_clinics SELECT id, 99 FROM users"),
    ("slot_overlaps", slot("1, '2040-01-01 10:29Z', '2040-01-01 11:00Z', 1, 1, 'OPEN'")),
    ("slot_seats_in_range", "UPDATE appointment_slots SET available_seats = -1"),
    ("slot_seats_in_range", "UPDATE appointment_slots SET available_seats = 6"),
    ("slot_seats_in_range", "UPDATE appointment_slots SET total_seats = 4"),
    ("slot_added_seats_in_range", "UPDATE appointment_slots SET added_seats = -1"),
    ("slot_added_seats_in_range", "UPDATE appointment_slots SET added_seats = 5"),
    (
        "booking_added_seats_in_range",
        booking("1, NULL, 'Ada', 'a@b.org', 1, 'CONFIRMED', NULL, now(), NULL")
        + "; UPDATE bookings SET added_seats = 2",
    ),
    ("slot_total_in_range", slot("1, '2040-01-02Z', '2040-01-03Z', 0, 0, 'OPEN'")),
    ("slot_total_in_range", slot("1, '2040-01-02Z', '2040-01-03Z', 1000001, 1, 'OPEN'")),
    ("slot_ends_after_start", slot("1, '2040-01-02Z', '2040-01-02Z', 1, 1, 'CLOSED'")),
    ("history_release_is_numbers", "INSERT INTO schema_history VALUES ('a.sql', '', '0.1rc1')"),
    ("slot_time_readable", slot("1, '1999-12-31Z', '2040-01-03Z', 1, 1, 'CLOSED'")),
    ("slot_time_readable", slot("1, '2040-01-02Z', '9999-01-01Z', 1, 1, 'CLOSED'")),
    ("slot_time_readable", slot("1, '2040-01-02Z', 'infinity', 1, 1, 'CLOSED'")),
    ("slot_status_known", slot("1, '2040-01-02Z', '2040-01-03Z', 1, 1, 'AJAR'")),
    ("slot_rule_exists", "UPDATE appointment_slots SET rule_id = 99"),
    ("slot_window_exists", "UPDATE appointment_slots SET window_id = 99"),
    ("window_doctor_exists", window("(99, 1, 1, '2040-01-02Z'::timestamptz, '2040-01-03Z'::timestamptz, 'OPEN')")),
    ("window_clinic_exists", window("(1, 99, 1, '2040-01-02Z'::timestamptz, '2040-01-03Z'::timestamptz, 'OPEN')")),
    ("window_rule_exists", window("(1, 1, 99, '2040-01-02Z'::timestamptz, '2040-01-03Z'::timestamptz, 'OPEN')")),
    ("window_ends_after_start", window("(1, 1, 1, '2040-01-02Z'::timestamptz, '2040-01-02Z'::timestamptz, 'OPEN')")),
    ("window_time_readable", window("(1, 1, 1, '1999-12-31Z'::timestamptz, '2040-01-02Z'::timestamptz, 'OPEN')")),
    ("window_time_readable", window("(1, 1, 1, '2040-01-02Z'::timestamptz, 'infinity'::timestamptz, 'OPEN')")),
    ("window_status_known", window("(1, 1, 1, '2040-01-02Z'::timestamptz, '2040-01-03Z'::timestamptz, 'AJAR')")),
    (
        "window_overlaps",
        window(
            "(1, 1, 1, '2040-01-02 10:00Z'::timestamptz, '2040-01-02 12:00Z'::timestamptz, 'OPEN'),"
            " (1, 1, 1, '2040-01-02 11:59Z'::timestamptz, '2040-01-02 13:00Z'::timestamptz, 'OPEN')"
        ),
    ),
    (
        "rule_kind_known",
        rule("1, 1, '2040-01-02', NULL, 1, 1, 540, 600, 30, 0, 1") + "; UPDATE schedule_rules SET kind = 'AJAR'",
    ),
    (
        "rule_step_of_window",
        rule("1, 1, '2040-01-02', NULL, 1, 1, 540, 600, 30, 0, 1") + "; UPDATE schedule_rules SET kind = 'WINDOW'",
    ),
    (
        "rule_step_in_range",
        rule("1, 1, '2040-01-02', NULL, 1, 1, 540, 600, 30, 0, 1")
        + "; UPDATE schedule_rules SET kind = 'WINDOW', step_minutes = 4",
    ),
    ("slot_closure_exists", "UPDATE appointment_slots SET closure_id = 99"),
    ("rule_doctor_exists", rule("99, 1, '2040-01-02', NULL, 1, 1, 540, 600, 30, 0, 1")),
    ("rule_clinic_exists", rule("1, 99, '2040-01-02', NULL, 1, 1, 540, 600, 30, 0, 1")),
    ("rule_days_in_order", rule("1, 1, '2040-01-02', '2040-01-01', 1, 1, 540, 600, 30, 0, 1")),
    ("rule_days_readable", rule("1, 1, '1999-12-31', NULL, 1, 1, 540, 600, 30, 0, 1")),
    ("rule_days_readable", rule("1, 1, '2040-01-02', '9998-01-01', 1, 1, 540, 600, 30, 0, 1")),
    ("rule_weeks_in_range", rule("1, 1, '2040-01-02', NULL, 0, 1, 540, 600, 30, 0, 1")),
    ("rule_weekday_known", rule("1, 1, '2040-01-02', NULL, 1, 8, 540, 600, 30, 0, 1")),
    ("rule_hours_in_order", rule("1, 1, '2040-01-02', NULL, 1, 1, 600, 600, 30, 0, 1")),
    ("rule_hours_in_order", rule("1, 1, '2040-01-02', NULL, 1, 1, 600, 2880, 30, 0, 1")),
    ("rule_minutes_in_range", rule("1, 1, '2040-01-02', NULL, 1, 1, 540, 600, 0, 0, 1")),
    ("rule_minutes_in_range", rule("1, 1, '2040-01-02', NULL, 1, 1, 540, 600, 30, -1, 1")),
    ("rule_seats_in_range", rule("1, 1, '2040-01-02', NULL, 1, 1, 540, 600, 30, 0, 0")),
    (
        "run_rule_exists",
        "INSERT INTO rule_runs (rule_id, rule_version, published_until, tzdata) VALUES (99, 1, '2040-01-01', '')",
    ),
    ("closure_doctor_exists", closed("99, NULL, '2040-01-02Z', '2040-01-03Z', 'ABSENCE', NULL")),
    ("closure_clinic_exists", closed("NULL, 99, '2040-01-02Z', '2040-01-03Z', 'ABSENCE', NULL")),
    ("closure_ends_after_start", closed("1, NULL, '2040-01-02Z', '2040-01-02Z', 'ABSENCE', NULL")),
    ("closure_time_readable", closed("1, NULL, '1999-12-31Z', '2040-01-02Z', 'ABSENCE', NULL")),
    ("closure_time_readable", closed("1, NULL, '2040-01-02Z', 'infinity', 'ABSENCE', NULL")),
    ("closure_kind_known", closed("1, NULL, '2040-01-02Z', '2040-01-03Z', 'STRIKE', NULL")),
    ("closure_texts_short", closed("1, NULL, '2040-01-02Z', '2040-01-03Z', 'ABSENCE', repeat('x', 1001)")),
    ("booking_slot_exists", booking("99, NULL, 'Ada', 'a@b.org', 1, 'PENDING', now(), NULL, NULL")),
    ("booking_user_exists", booking("1, 99, 'Ada', 'a@b.org', 1, 'PENDING', now(), NULL, NULL")),
    (
        "booking_user_active",
        "UPDATE users SET id = 7, active = FALSE; "
        + booking("1, 7, 'Ada', 'a@b.org', 1, 'PENDING', now(), NULL, NULL"),
    ),
    ("booking_seats_in_range", booking("1, NULL, 'Ada', 'a@b.org', 0, 'PENDING', now(), NULL, NULL")),
    ("booking_seats_in_range", booking("1, NULL, 'Ada', 'a@b.org', 1000001, 'PENDING', now(), NULL, NULL")),
    ("booking_status_known", booking("1, NULL, 'Ada', 'a@b.org', 1, 'MAYBE', now(), NULL, NULL")),
    ("booking_confirmed_has_person", booking("1, NULL, NULL, 'a@b.org', 1, 'CONFIRMED', NULL, now(), NULL")),
    ("booking_confirmed_has_person", booking("1, NULL, 'Ada', NULL, 1, 'CONFIRMED', NULL, now(), NULL")),
    ("booking_hold_has_deadline", booking("1, NULL, 'Ada', 'a@b.org', 1, 'PENDING', NULL, NULL, NULL")),
    ("booking_hold_has_deadline", booking("1, NULL, 'Ada', 'a@b.org', 1, 'FAILED', NULL, NULL, NULL")),
    ("booking_confirmed_in_time", booking("1, NULL, 'Ada', 'a@b.org', 1, 'CONFIRMED', now(), now(), NULL")),
    ("booking_times_match_status", booking("1, NULL, 'Ada', 'a@b.org', 1, 'CONFIRMED', NULL, NULL, NULL")),
    ("booking_times_match_status", booking("1, NULL, 'Ada', 'a@b.org', 1, 'CANCELLED', NULL, NULL, NULL")),
    ("booking_times_match_status", booking("1, NULL, 'Ada', 'a@b.org', 1, 'PENDING', now(), NULL, now()")),
    ("visit_type_minutes_in_range", visit_type("", "0")),
    ("visit_type_minutes_in_range", visit_type("", "1441")),
    ("visit_type_buffer_in_range", visit_type("buffer_minutes", "30, 241")),
    ("visit_type_mode_known", visit_type("mode", "30, 'LETTER'")),
    ("visit_type_limits_in_range", visit_type("min_notice_minutes", "30, -1")),
    ("visit_type_limits_in_range", visit_type("horizon_days", "30, 0")),
    ("visit_type_limits_in_range", visit_type("change_deadline_minutes", "30, 525601")),
    ("visit_type_limits_in_range", visit_type("max_live_per_patient", "30, 0")),
    ("visit_type_patients_known", visit_type("patients", "30, 'OLD'")),
    ("visit_type_bookable_by_known", visit_type("bookable_by", "30, 'NOBODY'")),
    ("event_kind_known", event("FORGOTTEN", "4, 5")),
    ("event_seats_in_range", event("HELD", "-1, 5")),
    ("event_seats_in_range", event("HELD", "6, 5")),
    ("booking_events_pkey", event("HELD", "4, 5").replace("(1, 2,", "(1, 1,")),
    ("idempotency_keys_pkey", key("('guest', '', 'key', '', '{}', ''), ('guest', '', 'key', '', '{}', '')")),
]  # fmt: skip

FACTS: dict[str, type[Exception]] = {
    "idempotency_keys_pkey": AnsweredMeanwhile,
    "user_email_unique": EmailTaken,
    "booking_user_active": NotAuthenticated,
    "slot_doctor_exists": DoctorNotFound,
    "slot_clinic_exists": ClinicNotFound,
    "doctor_of_clinic_exists": DoctorNotFound,
    "clinic_of_doctor_exists": ClinicNotFound,
    "clinic_of_user_exists": ClinicNotFound,
    "slot_overlaps": SlotOverlaps,
    "window_overlaps": SlotOverlaps,
    "slot_total_in_range": InvalidInput,
    "slot_time_readable": InvalidInput,
}


@pytest.mark.parametrize(("rule", "command"), VIOLATIONS, ids=[name for name, _ in VIOLATIONS])
async def test_the_database_refuses_what_breaks_a_rule(planted: Connection, rule: str, command: str) -> None:
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await planted.execute(command)
    assert refusal.value.constraint_name == rule


async def test_every_rule_of_the_schema_is_named_and_shown_to_refuse(connection: Connection) -> None:
    """Without primary keys, which are rules of storage, not of the clinic."""
    rows = await connection.fetch(
        "SELECT conname AS name FROM pg_constraint WHERE contype IN ('c', 'f', 'x', 'u')"
        " AND connamespace = 'public'::regnamespace"
        " UNION SELECT indexrelid::regclass::text FROM pg_index JOIN pg_class ON oid = indrelid"
        " WHERE indisunique AND NOT indisprimary AND relnamespace = 'public'::regnamespace"
    )
    rules = {row["name"] for row in rows}
    elsewhere = {"booking_events_pkey", "idempotency_keys_pkey", "booking_user_active"}  # the last is a trigger
    assert rules == {name for name, _ in VIOLATIONS} - elsewhere
    assert not [rule for rule in rules if re.search(r"_(check|fkey|key|excl)\d*$", rule)]


@pytest.mark.parametrize("rule", sorted(_BY_CONSTRAINT))
async def test_a_broken_rule_becomes_the_fact_it_stands_for(planted: Connection, rule: str) -> None:
    with pytest.raises(FACTS[rule]), translated():
        await planted.execute(dict(VIOLATIONS)[rule])


async def test_a_broken_rule_that_no_request_can_break_stays_a_defect(planted: Connection) -> None:
    with pytest.raises(asyncpg.CheckViolationError), translated():
        await planted.execute("UPDATE appointment_slots SET available_seats = -1")


async def test_a_value_that_the_database_cannot_store_is_invalid_input(connection: Connection) -> None:
    for value in ("A\0B", "\ud800"):
        with pytest.raises(InvalidInput), translated():
            await connection.execute("INSERT INTO doctors (name) VALUES ($1::text)", value)


# Slots of one doctor.


@pytest.mark.parametrize(
    "allowed",
    [
        slot("1, '2040-01-01 10:30Z', '2040-01-01 11:00Z', 1, 1, 'OPEN'"),
        slot("1, '2040-01-01 09:30Z', '2040-01-01 10:00Z', 1, 1, 'OPEN'"),
        slot("2, '2040-01-01 10:00Z', '2040-01-01 10:30Z', 1, 1, 'OPEN'"),
        slot("1, '2040-01-01 10:00Z', '2040-01-01 10:30Z', 1, 1, 'CLOSED'"),
    ],
    ids=["right after", "right before", "another doctor", "closed"],
)
async def test_slots_may_touch_and_closed_ones_may_overlap(planted: Connection, allowed: str) -> None:
    await planted.execute(allowed)


@pytest.mark.parametrize(
    "period",
    [
        "'2040-01-01 10:00Z', '2040-01-01 10:30Z'",
        "'2040-01-01 10:10Z', '2040-01-01 10:20Z'",
        "'2040-01-01 09:00Z', '2040-01-01 11:00Z'",
        "'2040-01-01 09:59Z', '2040-01-01 10:00:00.000001Z'",
    ],
    ids=["equal", "inside", "around", "by a microsecond"],
)
async def test_open_slots_of_a_doctor_may_not_overlap(planted: Connection, period: str) -> None:
    with pytest.raises(SlotOverlaps), translated():
        await planted.execute(slot(f"1, {period}, 1, 1, 'OPEN'"))


async def test_a_closed_slot_cannot_be_reopened_over_an_open_one(planted: Connection) -> None:
    await planted.execute("UPDATE appointment_slots SET status = 'CLOSED'")
    await planted.execute(slot("1, '2040-01-01 10:00Z', '2040-01-01 10:30Z', 1, 1, 'OPEN'"))
    with pytest.raises(SlotOverlaps), translated():
        await planted.execute("UPDATE appointment_slots SET status = 'OPEN'")


async def test_of_overlapping_slots_made_at_once_one_is_kept(connection: Connection, database_url: str) -> None:
    """Sometimes they wait for each other, and the server resolves the deadlock by ending all except one."""
    await connection.execute("INSERT INTO doctors (name) VALUES ('Dr. Who')")
    rivals = [await asyncpg.connect(database_url) for _ in range(4)]
    barrier = asyncio.Barrier(len(rivals))

    async def publish(rival: Connection, minute: int) -> bool:
        await barrier.wait()
        try:
            with translated():
                await rival.execute(slot(f"1, '2040-01-01 10:0{minute}Z', '2040-01-01 10:30Z', 1, 1, 'OPEN'"))
        except (SlotOverlaps, Unavailable):
            return False
        return True

    made = await asyncio.gather(*(publish(rival, minute) for minute, rival in enumerate(rivals)))
    assert sum(made) == await connection.fetchval("SELECT count(*) FROM appointment_slots") == 1
    for rival in rivals:
        await rival.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://a@/x?host=/run/pg", "postgres://a@/x?host=%2Frun%2Fpg&sslmode=disable"),
        ("postgresql://a@/x?host=db.example", "postgres://a@/x?host=db.example&sslmode=prefer"),
        ("postgresql://a:one two@db.example/x", "postgres://a:one%20two@db.example/x?sslmode=prefer"),
        ("postgresql://a:%2F@db.example/x?sslmode=require", "postgres://a:%2F@db.example/x?sslmode=require"),
    ],
)
def test_the_url_for_dbmate_uses_tls_over_a_network(url: str, expected: str) -> None:
    assert libpq_url(url) == expected
