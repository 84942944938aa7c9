"""A database that refuses connections, is migrated under load, or is new to two servers at once."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from urllib.parse import urlsplit

import pytest

from tests.clinic import Clinic, RunningServer, at_most, eventually, problem, rows, slotwise
from tests.clusters import named
from tests.conftest import running_server


@pytest.fixture
def mere_user(database_url: str, postgres_url: str) -> Iterator[str]:
    """The URL of the test's database for its owner, who is no superuser: a superuser can always connect."""
    rows(postgres_url, "CREATE ROLE mere_user LOGIN IN ROLE slotwise")
    yield database_url.replace("slotwise@", "mere_user@", 1)
    rows(postgres_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mere_user'")
    rows(postgres_url, "DROP ROLE mere_user")


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[str]:
    rows(postgres_url, "CREATE DATABASE empty_at_first")
    yield named(postgres_url, "empty_at_first")
    rows(postgres_url, "DROP DATABASE empty_at_first WITH (FORCE)")


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_database_that_refuses_connections_is_reported_and_used_when_it_accepts_them(
    mere_user: str, postgres_url: str, start_server: Callable[..., RunningServer]
) -> None:
    name = urlsplit(mere_user).path[1:]
    ways = {
        # What is said when max_connections are eaten, without eating those of the tests beside this one.
        "database-busy": ("ALTER ROLE mere_user CONNECTION LIMIT 0", "ALTER ROLE mere_user CONNECTION LIMIT -1"),
        "database-unavailable": (
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS false",
            f"ALTER DATABASE {name} ALLOW_CONNECTIONS true",
        ),
    }
    with Clinic(start_server(DATABASE_URL=mere_user)) as clinic:
        slot_id = clinic.slot(seats=100)["id"]
        for code, (shut, open_again) in ways.items():
            rows(postgres_url, shut)
            rows(
                postgres_url, "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = 'mere_user'"
            )
            for refused in (clinic.book(slot_id), clinic.http.get(f"/api/slots/{slot_id}")):
                problem(refused, 503, code)
                assert int(refused.headers["Retry-After"]) > 0
            unready = clinic.http.get("/health/ready")
            assert (unready.status_code, unready.json()["status"]) == (503, "unavailable")
            rows(postgres_url, open_again)
            eventually(lambda: clinic.book(slot_id).status_code == 201, at_most(5))
            assert clinic.http.get("/health/ready").status_code == 200


@pytest.mark.slow  # four to five CPU seconds for servers of its own
def test_bookings_go_on_while_a_database_that_is_up_to_date_is_migrated(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server()
    with Clinic(server) as clinic, ThreadPoolExecutor() as threads:
        slot_id = clinic.slot(seats=100_000)["id"]
        migration = threads.submit(slotwise, server.database_url, "migrate")
        slowest = 0.0
        while not migration.done():
            began = time.monotonic()
            assert clinic.book(slot_id).status_code == 201
            slowest = max(slowest, time.monotonic() - began)
    assert 0 < slowest < at_most(1)
    assert migration.result().returncode == 0, migration.result().stderr


@pytest.mark.slow  # four to five CPU seconds for servers of its own
def test_two_servers_that_start_at_once_on_an_empty_database_both_serve(empty_database: str) -> None:
    with ExitStack() as stack, ThreadPoolExecutor() as threads:
        servers = list(threads.map(lambda _: stack.enter_context(running_server(empty_database, {})), range(2)))
        one, other = (stack.enter_context(Clinic(server)) for server in servers)
        slot_id = one.slot(seats=2)["id"]
        assert other.book(slot_id).status_code == one.book(slot_id).status_code == 201
        assert other.admin
        admins = rows(empty_database, "SELECT count(*) FROM users WHERE role = 'admin'")[0][0]
    assert admins == 1
