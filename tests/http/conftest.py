"""Servers and accounts that the tests of the API share."""

from collections.abc import Iterator

import pytest

from tests.clinic import Clinic, RunningServer, rows, slotwise, unique_email
from tests.clusters import named
from tests.conftest import running_server

STAFF_PASSWORD = "receptionist's secret"


@pytest.fixture(scope="session")
def staff_account(server: RunningServer) -> str:
    """The e-mail address of a receptionist."""
    email = unique_email()
    arguments = ["--email", email, "--name", "Rita Reception", "--role", "staff", "--password", STAFF_PASSWORD]
    made = slotwise(server.database_url, "user", "create", *arguments)
    assert made.returncode == 0, made.stderr
    return email


@pytest.fixture
def staff(clinic: Clinic, staff_account: str) -> dict[str, str]:
    return clinic.log_in(staff_account, STAFF_PASSWORD)


@pytest.fixture(scope="session")
def unswept_server(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    """Holds last a second here, and no sweeper runs: what is free again is free without it."""
    rows(postgres_url, f"CREATE DATABASE unswept TEMPLATE {migrated_template}")
    address = named(postgres_url, "unswept")
    with running_server(address, {"HOLD_SECONDS": "1", "SWEEP_SECONDS": "3600"}) as server:
        yield server
    rows(postgres_url, "DROP DATABASE unswept WITH (FORCE)")


@pytest.fixture
def unswept(unswept_server: RunningServer) -> Iterator[Clinic]:
    with Clinic(unswept_server) as clinic:
        yield clinic
