"""Schemathesis calls every operation with what the document allows and with what it forbids.

Not collected by itself: `test_openapi.py` runs it, on the server whose address is in SLOTWISE_TEST_SERVER.
"""

import os
from typing import Any

import httpx
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok

from slotwise.app import build
from slotwise.http.api_document import openapi_document
from slotwise.settings import load_settings
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, PATIENCE_SECONDS
from tests.depth import many
from tests.test_openapi import PROMISED, WITHOUT_END

SERVER = os.environ["SLOTWISE_TEST_SERVER"]

CONFIG = SchemathesisConfig.from_dict({
    "generation": {"deterministic": True, "database": "none", "allow-extra-parameters": False},
    # What the document allows may still break a rule it cannot state, such as a common password (400), or meet a
    # state that refuses it. `If-None-Match: *` is always true (304).
    "checks": {
        "positive_data_acceptance": {"expected-statuses": ["2xx", 304, 400, 401, 404, 409, 410, 412, 422, 429]},
        "max_response_time": 10,
    },
})  # fmt: skip
schema = schemathesis.openapi.from_dict(
    msgspec.json.decode(msgspec.json.encode(openapi_document(build(load_settings({}))))), config=CONFIG
).exclude(operation_id="watch_seats")  # its answer does not end: tests/http/schedule/test_seat_events.py


def test_every_check_of_schemathesis_is_on_for_every_operation() -> None:
    load_all_checks()
    names = {*CHECKS.get_all_names(), "max_response_time"}
    assert {"not_a_server_error", "response_schema_conformance", "ignored_auth", "use_after_free"} < names
    called = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    assert {f"{operation.method.upper()} {operation.path}" for operation in called} >= PROMISED - {WITHOUT_END}
    for operation in called:
        checks = schema.config.checks_config_for(operation=operation, phase=None)
        assert not [name for name in names if not checks.get_by_name(name=name).enabled], operation.path
    assert checks.max_response_time.limit == 10


@pytest.fixture
def admin() -> dict[str, str]:
    """Logged in anew for each operation: among them are a log-out and a change of password."""
    account = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
    answer = httpx.post(f"{SERVER}/api/auth/login", json=account, timeout=PATIENCE_SECONDS, verify=False)
    return {"Authorization": f"Bearer {answer.json()['accessToken']}"}


@schema.parametrize()
@settings(max_examples=many(2, 15), deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_does_what_the_document_says(case: Any, admin: dict[str, str]) -> None:
    case.call_and_validate(base_url=SERVER, headers=admin)
