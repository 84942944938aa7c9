"""A server as it runs in production, for tests that look at headers, origins and logs."""

from collections.abc import Iterator

import pytest

from tests.clinic import RunningServer, rows
from tests.clusters import named
from tests.conftest import running_server

SECRET = "of more than thirty-two bytes: 0123456789"
OTHER_ORIGIN = "https://clinic.example"


@pytest.fixture(scope="package")
def hardened(postgres_url: str, migrated_template: str) -> Iterator[RunningServer]:
    rows(postgres_url, f"CREATE DATABASE hardened TEMPLATE {migrated_template}")
    url = named(postgres_url, "hardened")
    settings = {"APP_ENV": "production", "JWT_SECRET": SECRET, "LOG_LEVEL": "debug", "RATE_LIMIT_BOOKINGS": "off"}
    with running_server(url, settings | {"CORS_ORIGINS": OTHER_ORIGIN}) as server:
        yield server
    rows(postgres_url, "DROP DATABASE hardened WITH (FORCE)")
