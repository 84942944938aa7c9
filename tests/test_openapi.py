"""The OpenAPI document: valid, complete, true for the running server, and shown without other servers."""

import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from harness.watchdog import run

from slotwise.app import build
from slotwise.settings import load_settings
from tests.architecture.sources import ROOT as PACKAGE
from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer

PROJECT = PACKAGE.parents[1]
WITHOUT_END = "GET /api/slots/events"
PROMISED = {
    "POST /api/auth/register", "POST /api/auth/login", "GET /api/auth/me", "POST /api/auth/logout",
    "POST /api/auth/password", "POST /api/doctors", "GET /api/doctors", "GET /api/doctors/{doctor_id}",
    "PATCH /api/doctors/{doctor_id}", "POST /api/slots", "GET /api/slots", "GET /api/slots/{slot_id}",
    "PATCH /api/slots/{slot_id}", WITHOUT_END, "POST /api/bookings", "POST /api/bookings/{booking_id}/confirm",
    "GET /api/bookings/{booking_id}", "GET /api/bookings/slot/{slot_id}", "GET /api/bookings/my-bookings",
    "GET /api/bookings", "DELETE /api/bookings/{booking_id}", "GET /health", "GET /health/ready", "GET /metrics",
}  # fmt: skip


@pytest.fixture(scope="module")
def document(server: RunningServer) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/api-docs/openapi.json", verify=False)
    assert answer.headers["content-type"].startswith("application/json")
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def request_schemas(document: dict[str, Any]) -> set[str]:
    return {
        schema["$ref"].rpartition("/")[2]
        for _, operation in operations(document)
        for content in operation.get("requestBody", {}).get("content", {}).values()
        for schema in (content["schema"], *content["schema"].get("oneOf", []))
        if "$ref" in schema
    }


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - two seconds for every process

    OpenAPIV31SpecValidator(document).validate()


def test_every_promised_operation_is_documented(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} >= PROMISED


def test_every_route_of_the_server_is_documented(document: dict[str, Any]) -> None:
    documented = {re.sub(r"{\w+}", "{}", name) for name, _ in operations(document)}
    app = build(load_settings({}))
    for route in app.routes:
        path = re.sub(r"{[\w:]+}", "{}", route.path)
        if path.startswith("/api-docs") or is_page(route):  # for people, not for programs
            continue
        for method in getattr(route, "methods", set()) - {"OPTIONS", "HEAD"}:
            assert f"{method} {path}" in documented


def is_page(route: Any) -> bool:
    handlers = getattr(route, "route_handlers", [])
    return any(handler.fn.__module__.startswith("slotwise.web.") for handler in handlers)


def test_every_operation_says_what_it_does_and_who_may_call_it(document: dict[str, Any]) -> None:
    ids = set()
    for name, operation in operations(document):
        assert operation["summary"], name
        assert "**Who:** " in operation["description"], name
        assert "security" in operation, name
        assert operation["tags"], name
        ids.add(operation["operationId"])
    assert len(ids) == len(list(operations(document)))


def test_every_error_is_a_problem_document_with_an_example_for_each_code(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status < "400" or name == "GET /health/ready":
                continue
            assert set(answer["content"]) == {"application/problem+json"}, (name, status)
            content = answer["content"]["application/problem+json"]
            assert content["schema"] == {"$ref": "#/components/schemas/Problem"}
            codes = {example["value"]["code"] for example in content["examples"].values()}
            assert codes == set(re.findall(r"\(`([\w-]+)`\)", answer["description"])), (name, status)
            assert {example["value"]["status"] for example in content["examples"].values()} == {int(status)}


def test_operations_that_need_a_token_document_401_and_403(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if {} in operation["security"] or operation["security"] == [{}]:
            continue
        assert "401" in operation["responses"], name
        open_to_all_accounts = "any account" in operation["description"]
        assert ("403" in operation["responses"]) is not open_to_all_accounts, name


def test_every_text_field_of_a_request_has_an_example(document: dict[str, Any]) -> None:
    schemas, requests = document["components"]["schemas"], request_schemas(document)
    assert len(requests) >= 8
    for request in requests:
        for field, schema in schemas[request]["properties"].items():
            types = [schema.get("type"), *(kind.get("type") for kind in schema.get("oneOf", []))]
            if "string" in types and "enum" not in schema:
                assert "example" in json.dumps(schema), (request, field)


def test_the_document_says_that_unknown_fields_are_refused(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for request in request_schemas(document):
        assert schemas[request].get("additionalProperties") is False, request


def test_every_answer_in_json_has_a_schema_that_says_what_it_is(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            for media_type, content in answer.get("content", {}).items():
                assert {"$ref", "type", "oneOf"} & set(content["schema"]), (name, status, media_type)


def test_problems_have_no_random_examples(document: dict[str, Any]) -> None:
    assert "examples" not in document["components"]["schemas"]["Problem"]


def test_tags_stand_in_the_order_in_which_a_client_needs_them(document: dict[str, Any]) -> None:
    assert [tag["name"] for tag in document["tags"]] == ["Accounts", "Doctors", "Slots", "Bookings", "Operation"]


def test_ids_are_documented_up_to_the_last_one(document: dict[str, Any]) -> None:
    assert set(re.findall(r'"maximum": (9\d{9,}[\d.e+]*|9\.\d+e\+?18)', json.dumps(document))) == {str(2**63 - 1)}


def test_the_document_names_the_two_ways_to_authorize(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["accessToken"] | {"description": ""} == {
        "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "",
    }  # fmt: skip
    assert (schemes["bookingToken"]["in"], schemes["bookingToken"]["name"]) == ("header", "Booking-Token")


def test_the_document_names_what_the_stream_of_seat_events_is_made_of(document: dict[str, Any]) -> None:
    answers = document["paths"]["/api/slots/events"]["get"]["responses"]
    assert answers["200"]["content"] == {"text/event-stream": {"schema": {"type": "string"}}}
    assert {"401", "429", "503"} <= set(answers)


def test_the_docs_and_all_they_load_come_from_this_server(clinic: Clinic) -> None:
    page = clinic.http.get("/api-docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert not re.search(r"https?://|//\w", page.text)
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|style=", page.text), "the policy forbids inline code"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) == 5
    kinds = {"js": "javascript", "css": "text/css", "png": "image/png", "json": "json"}
    for link in links:
        loaded = clinic.http.get(link)
        assert (loaded.status_code, bool(loaded.content)) == (200, True), link
        assert kinds[link.rpartition(".")[2]] in loaded.headers["content-type"], link
    assert not re.search(r"https?://", clinic.http.get("/api-docs/static/api-docs.js").text)


@pytest.mark.parametrize(
    "name", ["../api_docs.py", "..%2fapi_docs.py", "%2e%2e/problems.py", "swagger-ui/LICENSE", "", "/etc/passwd"]
)
def test_nothing_else_is_served_from_there(clinic: Clinic, name: str) -> None:
    assert clinic.http.get(f"/api-docs/static/{name}").status_code == 404


def test_the_server_does_what_the_document_says(server: RunningServer) -> None:
    """Schemathesis calls every operation. A separate process, because loading its plugin takes three CPU seconds."""
    environment = {**os.environ, "SLOTWISE_TEST_SERVER": server.url}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "schemathesis", "-p", "no:cacheprovider"]
    done = run([*command, "tests/contract.py"], 3 * PATIENCE_SECONDS, environment, PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= len(PROMISED)
