"""A database that tests lend one after the other is empty each time, or another one."""

import asyncio

import asyncpg
import pytest

from tests.clinic import rows
from tests.databases import Databases
from tests.depth import third_of

FILL = (
    "INSERT INTO doctors (name) VALUES ('Dr. Who')",
    "UPDATE clinics SET name = 'Another', time_zone = 'Asia/Tokyo'",
    "INSERT INTO clinics (name, time_zone) VALUES ('A second', 'Europe/Berlin')",
    "INSERT INTO audit_log (action, actor, subject) VALUES ('x', 'x', 'x')",
)
LOOK = "SELECT (SELECT count(*) FROM doctors), (SELECT count(*) FROM audit_log), json_agg(c) FROM clinics AS c"

# After each of them a database is no longer what a test expects.
CHANGES = (
    "INSERT INTO doctors (name) VALUES ('Dr. Who'); ANALYZE doctors",
    "ALTER TABLE doctors ADD COLUMN own int",
    "INSERT INTO doctors (name) SELECT 'Dr. Who' FROM generate_series(1, 1001)",
    "ALTER TABLE audit_log DISABLE TRIGGER audit_log_append_only",
    "CREATE FUNCTION own() RETURNS int LANGUAGE sql RETURN 1",
    "GRANT SELECT ON doctors TO public",
    "CREATE TABLE own (id int)",
    "ALTER TABLE bookings DROP CONSTRAINT bookings_pkey CASCADE",
)


@pytest.fixture
def own(postgres_url: str, migrated_template: str) -> Databases:
    return Databases(postgres_url, migrated_template)


def test_rows_that_a_test_added_or_changed_are_as_before_for_the_next_one(own: Databases) -> None:
    with own.lent(again=True) as first:
        before = rows(first, LOOK)
        for statement in FILL:
            rows(first, statement)
        assert rows(first, LOOK) != before
    with own.lent(again=False) as second:
        assert second == first
        assert rows(second, LOOK) == before
        assert rows(second, "INSERT INTO doctors (name) VALUES ('Dr. Who') RETURNING id")[0][0] == 1
        assert rows(second, "INSERT INTO clinics (name, time_zone) VALUES ('B', 'UTC') RETURNING id")[0][0] == 2


@pytest.mark.parametrize("change", third_of(CHANGES, 0))
def test_a_database_with_another_schema_or_other_statistics_is_not_used_again(own: Databases, change: str) -> None:
    with own.lent(again=True) as first:
        for statement in change.split("; "):
            rows(first, statement)
    with own.lent(again=False) as second:
        assert second != first
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        rows(first, "SELECT 1")


def test_a_database_with_settings_of_its_own_is_not_used_again(own: Databases) -> None:
    with own.lent(again=True) as first:
        name = rows(first, "SELECT current_database()")[0][0]
        rows(first, f"ALTER DATABASE {name} SET statement_timeout = '1h'")
    with own.lent(again=False) as second:
        assert second != first


def test_a_session_that_a_test_left_open_ends_with_the_test(own: Databases) -> None:
    with asyncio.Runner() as runner:
        with own.lent(again=True) as url:
            left = runner.run(asyncpg.connect(url))
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            runner.run(left.execute("SELECT 1"))
    with own.lent(again=False) as second:
        assert second == url
