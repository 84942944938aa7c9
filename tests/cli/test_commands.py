"""The command `slotwise`, run as an operator runs it."""

import asyncio
import json
import socket
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from slotwise.cli.main import app
from slotwise.services.core.seat_events import CHANNEL, EVERY_SLOT
from tests.clinic import rows, slotwise

COMMANDS = [
    [], ["serve"], ["seed"], ["migrate"], ["expire"], ["check-invariants"], ["openapi"], ["db"], ["db", "url"],
    ["import"], ["import", "doctors"], ["import", "timetables"], ["import", "bookings"],
    ["admin"], ["admin", "create"], ["user"], ["user", "create"], ["user", "set-role"], ["user", "set-password"],
    ["user", "deactivate"], ["user", "activate"], ["privacy"], ["privacy", "export"], ["privacy", "erase"],
    ["evening-list"],
]  # fmt: skip


def invoke(*command: str, **settings: str) -> Result:
    """Run a command in this process, which is faster. Only for commands that end before they touch logs or data."""
    return CliRunner().invoke(app, command, env={"COLUMNS": "200", **settings}, prog_name="slotwise")


def plain_complaint(stderr: str) -> str:
    """The single line with which a command reports an error."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(command: list[str], tmp_path: Path) -> None:
    said = invoke(*command, "--help", SLOTWISE_DATA_DIR=str(tmp_path))
    assert said.exit_code == 0, said.output
    assert f"Usage: slotwise {' '.join(command)}".strip() in said.stdout
    assert list(tmp_path.iterdir()) == [], "asking for help has made something"


def test_version_is_printed() -> None:
    assert slotwise("", "--version").stdout.startswith("slotwise 0.")


def test_a_mistyped_command_is_a_usage_error() -> None:
    said = slotwise("", "sevre")
    assert said.returncode == 2
    assert "Traceback" not in said.stderr
    assert "--help" in said.stderr


def seeded(database_url: str) -> list[tuple[object, ...]]:
    query = (
        "SELECT d.name, d.specialization, s.start_time, s.end_time, s.total_seats FROM doctors AS d "
        "JOIN appointment_slots AS s ON s.doctor_id = d.id ORDER BY d.id, s.start_time"
    )
    return [tuple(row) for row in rows(database_url, query)]


@pytest.mark.slow  # three CPU seconds for several processes and a large clinic
def test_the_same_seed_makes_the_same_clinic(database_url: str, postgres_url: str, migrated_template: str) -> None:
    plan = ["seed", "--doctors", "7", "--days", "10", "--from", "2031-03-01"]
    done = slotwise(database_url, *plan, "--seed", "42")
    assert done.returncode == 0, done.stderr
    first = seeded(database_url)
    assert f"Added 7 doctors and {len(first)} slots" in done.stdout
    rows(database_url, "UPDATE doctors SET name = 'old ' || name")
    later = "start_time = start_time + interval '5 years', end_time = end_time + interval '5 years'"
    rows(database_url, f"UPDATE appointment_slots SET {later}")
    assert slotwise(database_url, *plan, "--seed", "42").returncode == 0
    assert [row for row in seeded(database_url) if not str(row[0]).startswith("old ")] == first
    assert slotwise(database_url, "check-invariants").returncode == 0


@pytest.mark.slow  # three CPU seconds for several processes and a large clinic
def test_another_seed_makes_another_clinic_and_large_ones_are_whole(database_url: str) -> None:
    plan = ["seed", "--doctors", "50", "--days", "30", "--from", "2031-03-03"]
    assert slotwise(database_url, *plan, "--seed", "1").returncode == 0
    found = seeded(database_url)
    assert len(found) == 50 * 30 * 14, "50 doctors, 30 days, 14 half hours"
    names = {row[0] for row in found}
    assert (
        slotwise(
            database_url, "seed", "--doctors", "50", "--days", "1", "--from", "2032-03-03", "--seed", "2"
        ).returncode
        == 0
    )
    others = {row[0] for row in seeded(database_url)[len(found) :]}
    assert others != names


@pytest.mark.parametrize("arguments", [["--doctors", "0"], ["--days", "0"], ["--from", "tomorrow"], ["--doctors", "x"]])
def test_a_seed_of_nothing_is_a_usage_error(arguments: list[str]) -> None:
    assert invoke("seed", *arguments).exit_code == 2


def test_an_admin_is_created_once(database_url: str) -> None:
    create = ["admin", "create", "--email", "boss@example.org", "--password", "a fine admin password"]
    done = slotwise(database_url, *create)
    assert (done.returncode, done.stdout) == (0, "Created admin boss@example.org.\n"), done.stderr
    ((role, password_hash),) = rows(database_url, "SELECT role, password_hash FROM users")
    assert role == "admin"
    assert password_hash.startswith("$argon2id$")
    again = slotwise(database_url, *create)
    assert again.returncode == 1
    assert "already exists" in plain_complaint(again.stderr)


@pytest.mark.parametrize(
    ("email", "password", "word"),
    [
        ("boss", "a fine admin password", "email"),
        ("b@example.org", "short", "password"),
        ("b@example.org", "password1", "common"),
    ],
)
def test_an_admin_needs_an_email_and_a_good_password(database_url: str, email: str, password: str, word: str) -> None:
    done = slotwise(database_url, "admin", "create", "--email", email, "--password", password)
    assert done.returncode == 1
    assert word in plain_complaint(done.stderr)
    assert rows(database_url, "SELECT 1 FROM users") == []


@pytest.mark.parametrize(
    "command",
    [
        ["set-role", "x@example.org", "staff"],
        ["deactivate", "x@example.org"],
        ["set-password", "x@example.org", "--password", "a fine password"],
    ],
    ids=lambda command: command[0],
)
def test_an_unknown_account_is_reported(database_url: str, command: list[str]) -> None:
    done = slotwise(database_url, "user", *command)
    assert done.returncode == 1
    assert "no account" in plain_complaint(done.stderr)


def test_the_database_url_is_printed(database_url: str) -> None:
    assert slotwise(database_url, "db", "url").stdout == f"{database_url}\n"


def plant_hold(database_url: str) -> int:
    """An overdue hold on a slot with its ledger; returns the slot's id."""
    assert slotwise(database_url, "seed", "--doctors", "1", "--days", "1", "--from", "2031-03-03").returncode == 0
    ((slot_id,),) = rows(database_url, "SELECT min(id) FROM appointment_slots")
    rows(
        database_url,
        """
        WITH slot AS (
            UPDATE appointment_slots SET available_seats = available_seats - 1, last_event = 2 WHERE id = $1
            RETURNING id, available_seats, total_seats
        ), booking AS (
            INSERT INTO bookings (
                slot_id, user_name, user_email, seats_booked, status, expires_at, manage_token_hash, created_at
            )
            SELECT
                id, 'Ada', 'ada@example.org', 1, 'PENDING', now() - interval '1 minute', 'x',
                now() - interval '2 minutes'
            FROM slot RETURNING id
        )
        INSERT INTO booking_events (
            slot_id, sequence, kind, booking_id, seats, available_after, total_after, actor, created_at
        )
        SELECT slot.id, 2, 'HELD', booking.id, 1, available_seats, total_seats, 'guest', now()
        FROM slot, booking
        """,
        slot_id,
    )
    return int(slot_id)


async def said_and_told(database_url: str, *command: str) -> tuple[str, list[str]]:
    """What a command prints, and what it notifies the workers of."""
    connection = await asyncpg.connect(database_url)
    told: list[str] = []
    await connection.add_listener(CHANNEL, lambda *message: told.append(str(message[-1])))
    done = await asyncio.to_thread(slotwise, database_url, *command)
    # Notifications that were sent before this statement arrive before its answer.
    await connection.execute("SELECT 1")
    await connection.close()
    return done.stdout, told


def test_expire_frees_overdue_seats_and_notifies_watchers(database_url: str) -> None:
    slot_id = plant_hold(database_url)
    assert asyncio.run(said_and_told(database_url, "expire")) == ("Expired 1 holds.\n", [str(EVERY_SLOT)])
    assert asyncio.run(said_and_told(database_url, "expire")) == ("Expired 0 holds.\n", [])
    ((total, available),) = rows(
        database_url, "SELECT total_seats, available_seats FROM appointment_slots WHERE id = $1", slot_id
    )
    assert total == available
    checked = slotwise(database_url, "check-invariants")
    assert checked.returncode == 0, checked.stderr
    assert "FAIL" not in checked.stdout


def test_check_invariants_ends_with_1_and_names_the_slot(database_url: str) -> None:
    slot_id = plant_hold(database_url)
    rows(database_url, "UPDATE appointment_slots SET available_seats = total_seats WHERE id = $1", slot_id)
    checked = slotwise(database_url, "check-invariants")
    assert checked.returncode == 1
    assert "FAIL  S1" in checked.stdout
    assert f"slot {slot_id}, row 2: " in checked.stdout
    told = slotwise(database_url, "check-invariants", "--slot", str(slot_id))
    assert told.returncode == 1
    assert "->      2  " in told.stdout
    assert "HELD      1 seats of booking 1, by guest: " in told.stdout
    reported = json.loads(slotwise(database_url, "check-invariants", "--json").stdout)
    assert reported["holds"] is False
    assert {rule["id"] for rule in reported["rules"] if rule["violations"]} == {"S1"}
    missing = slotwise(database_url, "check-invariants", "--slot", "999999")
    assert missing.returncode == 2
    assert "no slot 999999" in plain_complaint(missing.stderr)
    assert "ada@example.org" not in checked.stderr + checked.stdout


def test_openapi_prints_a_valid_document(tmp_path: Path) -> None:
    done = slotwise("", "openapi", cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-500:]
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - two seconds for every process

    OpenAPIV31SpecValidator(json.loads(done.stdout)).validate()
    assert list(tmp_path.iterdir()) == [], "printing a document has made something"


def test_serve_says_that_its_port_is_taken(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = slotwise(database_url, "serve", PORT=port)
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in plain_complaint(done.stderr)


def test_serve_ends_with_one_plain_line_for_a_bad_setting() -> None:
    done = slotwise("postgresql://127.0.0.1:1/x", "serve", HOLD_SECONDS="soon")
    assert done.returncode == 1
    assert "HOLD_SECONDS" in plain_complaint(done.stderr)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("PORT", "x"), ("RATE_LIMIT_BOOKINGS", "lots"), ("APP_ENV", "prod"), ("SWEEP_SECONDS", "0")],
)
@pytest.mark.parametrize("command", ["serve", "expire", "openapi", "db url"])
def test_a_bad_setting_is_one_plain_line_of_every_command(command: str, setting: str, value: str) -> None:
    done = invoke(*command.split(), **{setting: value})
    assert done.exit_code == 1
    assert setting in plain_complaint(done.stderr)


@pytest.mark.parametrize("secret", ["", "short", "your-super-secret-jwt-key-change-in-production"])
def test_production_does_not_start_without_a_secret(secret: str) -> None:
    done = invoke("serve", APP_ENV="production", JWT_SECRET=secret, DATABASE_URL="postgresql://127.0.0.1:1/x")
    assert done.exit_code == 1
    assert "JWT_SECRET" in plain_complaint(done.stderr)
    assert not secret or secret not in done.stderr


def test_a_database_that_is_not_there_is_one_plain_line(postgres_url: str) -> None:
    done = slotwise("postgresql://x:secret-password@127.0.0.1:1/x", "expire", DATABASE_WAIT_SECONDS="0")
    assert done.returncode == 1
    assert "cannot be reached" in plain_complaint(done.stderr)
    assert "secret-password" not in done.stderr
    missing = slotwise(postgres_url.replace("/slotwise?", "/missing?"), "check-invariants", DATABASE_WAIT_SECONDS="0")
    assert missing.returncode == 2
    assert "missing" in plain_complaint(missing.stderr)
    bad = slotwise("mysql://x", "expire", DATABASE_WAIT_SECONDS="0")
    assert bad.returncode == 1
    plain_complaint(bad.stderr)
