"""Servers and accounts that the tests of the API share."""

from collections.abc import Iterator

import pytest

from tests.clinic import Clinic, RunningServer, slotwise, unique_email

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


@pytest.fixture
def unswept(unswept_server: RunningServer) -> Iterator[Clinic]:
    with Clinic(unswept_server) as clinic:
        yield clinic
