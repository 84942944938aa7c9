"""Servers and accounts that the tests of the API share."""

from collections.abc import Iterator

import pytest

from tests.clinic import Clinic, RunningServer, plant_account, unique_email

STAFF_PASSWORD = "receptionist's secret"


@pytest.fixture(scope="session")
def staff_account(server: RunningServer) -> str:
    """The e-mail address of a receptionist."""
    email = unique_email()
    plant_account(server.database_url, email, "Rita Reception", "staff", STAFF_PASSWORD)
    return email


@pytest.fixture
def staff(clinic: Clinic, staff_account: str) -> dict[str, str]:
    return clinic.logged_in(staff_account, STAFF_PASSWORD)


@pytest.fixture
def unswept(unswept_server: RunningServer) -> Iterator[Clinic]:
    with Clinic(unswept_server) as clinic:
        yield clinic
