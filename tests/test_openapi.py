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

from slotwise.http.kit.problems import CODES
from tests.architecture.sources import ROOT as PACKAGE
from tests.clinic import PATIENCE_SECONDS, Clinic, RunningServer
from tests.conftest import fresh_database, running_server
from tests.described import application

PROJECT = PACKAGE.parents[1]
WITHOUT_END = "GET /api/slots/events"
PROMISED = {
    "POST /api/auth/register", "POST /api/auth/login", "GET /api/auth/me", "POST /api/auth/logout",
    "POST /api/auth/password", "POST /api/doctors", "GET /api/doctors", "GET /api/doctors/{doctorId}",
    "PATCH /api/doctors/{doctorId}", "POST /api/slots", "GET /api/slots", "GET /api/slots/{slotId}",
    "PATCH /api/slots/{slotId}", WITHOUT_END, "POST /api/bookings", "POST /api/bookings/{bookingId}/confirm",
    "GET /api/bookings/{bookingId}", "GET /api/bookings/slot/{slotId}", "GET /api/bookings/my-bookings",
    "GET /api/bookings", "DELETE /api/bookings/{bookingId}", "GET /health", "GET /health/ready", "GET /metrics",
}  # fmt: skip


@pytest.fixture(scope="module")
def document(server: RunningServer) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/api-docs/openapi.json", verify=False)
    assert answer.headers["content-type"].startswith("application/json")
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation, with its answers in place of references to them."""
    shared = document["components"]["responses"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = {
                status: shared[answer["$ref"].rpartition("/")[2]] if "$ref" in answer else answer
                for status, answer in operation["responses"].items()
            }
            yield f"{method.upper()} {path}", operation | {"responses": answers}


def request_schemas(document: dict[str, Any]) -> set[str]:
    return {
        content["schema"]["$ref"].rpartition("/")[2]
        for _, operation in operations(document)
        for content in operation.get("requestBody", {}).get("content", {}).values()
    }


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the document, examples and all."""
    items: Any = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict):
        yield value
    for item in items:
        yield from nodes(item)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator  # noqa: PLC0415 - two seconds for every process

    OpenAPIV31SpecValidator(document).validate()


def test_every_promised_operation_is_documented(document: dict[str, Any]) -> None:
    assert {name for name, _ in operations(document)} >= PROMISED


def test_every_route_of_the_server_is_documented(document: dict[str, Any]) -> None:
    documented = {re.sub(r"{\w+}", "{}", name) for name, _ in operations(document)}
    for route in application().routes:
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


# What tells more than other problems.
OWN_PROBLEMS = {
    ("POST /api/schedule/preview", "409"): "TooLargeProblem",
    ("POST /api/schedule/apply", "409"): "ScheduleProblem",
}


def test_every_error_is_a_problem_document_with_an_example_for_each_code(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status < "400":
                continue
            # What is not ready says why. If it cannot even say so in time, the answer is a problem.
            others = {"application/json"} if (name, status) == ("GET /health/ready", "503") else set()
            assert set(answer["content"]) == {"application/problem+json"} | others, (name, status)
            content = answer["content"]["application/problem+json"]
            own = OWN_PROBLEMS.get((name, status), "Problem")
            assert content["schema"] == {"$ref": f"#/components/schemas/{own}"}, (name, status)
            codes = {example["value"]["code"] for example in content["examples"].values()}
            assert codes == set(re.findall(r"\(`([\w-]+)`\)", answer["description"])), (name, status)
            assert {example["value"]["status"] for example in content["examples"].values()} == {int(status)}


def test_the_problem_of_an_old_preview_has_the_types_of_a_preview(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    of_schedules, of_all = (schemas[name]["properties"] for name in ("ScheduleProblem", "Problem"))
    assert of_schedules.keys() - of_all.keys() == {"preview", "differs", "part"}
    named = [json.dumps(of_schedules[field]) for field in ("preview", "differs", "part")]
    assert "#/components/schemas/Preview" in named[0]
    assert "#/components/schemas/Differs" in named[1]
    assert "#/components/schemas/Change" in named[2]


def test_operations_that_need_a_token_document_401_and_403(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if not operation["security"] or {} in operation["security"]:
            continue
        assert "401" in operation["responses"], name
        open_to_all_accounts = "any account" in operation["description"]
        assert ("403" in operation["responses"]) is not open_to_all_accounts, name


def test_every_text_field_of_a_request_has_an_example(document: dict[str, Any]) -> None:
    schemas, requests = document["components"]["schemas"], request_schemas(document)
    assert len(requests) >= 8
    for request in requests:
        for field, schema in schemas[request]["properties"].items():
            types = [schema.get("type"), *(kind.get("type") for kind in schema.get("anyOf", []))]
            if "string" in types and "enum" not in schema:
                assert "example" in json.dumps(schema), (request, field)


def test_the_document_says_that_unknown_fields_are_refused(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for request in request_schemas(document):
        assert schemas[request].get("additionalProperties") is False, request


def test_every_answer_in_json_has_a_schema_that_says_what_it_is(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            assert "content" in answer or status in {"204", "304"}, (name, status)
            for media_type, content in answer.get("content", {}).items():
                assert {"$ref", "type"} & set(content["schema"]), (name, status, media_type)


def test_components_have_short_names_and_every_reference_leads_to_one(document: dict[str, Any]) -> None:
    components = document["components"]
    for kind in ("schemas", "responses"):
        assert all(re.fullmatch("[A-Z][A-Za-z]+", name) for name in components[kind]), list(components[kind])
    assert {"Booking", "BookingPage", "Doctor", "DoctorPage", "Slot", "SlotPage", "Session"} <= set(
        components["schemas"]
    )
    assert not [name for name in components["schemas"] if name.endswith("View")]
    used = {node["$ref"] for node in nodes(document) if "$ref" in node}
    kept = {f"#/components/{kind}/{name}" for kind in ("schemas", "responses", "headers") for name in components[kind]}
    assert used == kept


def test_no_schema_is_a_choice_of_one_and_none_has_a_default_that_generators_make_required(
    document: dict[str, Any],
) -> None:
    for node in nodes(document):
        assert len(node.get("anyOf", "two")) > 1
        assert len(node.get("oneOf", "two")) > 1
    for schema in document["components"]["schemas"].values():
        assert not [field for field, value in schema.get("properties", {}).items() if "default" in value]
    seats = document["components"]["schemas"]["NewBooking"]["properties"]["seatsBooked"]
    assert seats["description"] == "1 if not given"


def test_an_optional_body_is_a_plain_one_that_may_be_missing(document: dict[str, Any]) -> None:
    bodies = {
        operation["operationId"]: operation["requestBody"]
        for _, operation in operations(document)
        if "requestBody" in operation
    }
    assert [name for name, body in bodies.items() if not body["required"]] == ["confirm_booking"]
    for body in bodies.values():
        assert list(body["content"]["application/json"]["schema"]) == ["$ref"]


def test_the_code_of_a_problem_is_one_of_those_in_the_reference(document: dict[str, Any]) -> None:
    codes = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    listed = re.findall(r"^\| \d+ \| (.+?) \|", (PROJECT / "docs/reference/errors.md").read_text(), re.MULTILINE)
    assert set(codes) - {"http-error"} == {code for row in listed for code in re.findall("`(.+?)`", row)}


def test_examples_of_problems_are_what_the_server_sends(document: dict[str, Any], clinic: Clinic) -> None:
    holding = dict(operations(document))["POST /api/bookings"]
    full = holding["responses"]["409"]["content"]["application/problem+json"]
    slot = clinic.slot(seats=1)
    answer = clinic.http.post(
        "/api/bookings",
        json={"slotId": slot["id"], "userName": "Ada", "userEmail": "ada@example.org", "seatsBooked": 2},
    )
    assert answer.json() == full["examples"]["slot-full"]["value"]
    missing = document["components"]["responses"]["InvalidInput"]["content"]["application/problem+json"]
    assert missing["examples"]["invalid-input"]["value"]["errors"] == [{"field": "slotId", "message": "is required"}]


# What answers have beside their body, by status.
HEADERS = {
    "201": "Location",
    "304": "ETag",
    "401": "WWW-Authenticate",
    "415": "Accept-Encoding",
    "429": "Retry-After",
    "503": "Retry-After",
}


def test_every_answer_describes_its_headers(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for status, answer in operation["responses"].items():
            described = set(answer["headers"])
            assert {"X-Request-ID", "Cache-Control"} <= described, (name, status)
            if status in HEADERS and (name, status) != ("POST /api/slots/batch", "201"):
                assert HEADERS[status] in described, (name, status)
    for header in document["components"]["headers"].values():
        assert header["description"]
        assert header["schema"]["type"] in {"string", "integer"}


def test_an_answer_that_several_operations_give_is_described_once(document: dict[str, Any]) -> None:
    inline = [
        json.dumps(answer)
        for methods in document["paths"].values()
        for operation in methods.values()
        for answer in operation["responses"].values()
        if "application/problem+json" in answer.get("content", {})
    ]
    assert len(inline) == len(set(inline))


def test_every_operation_takes_the_request_id_of_its_client(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert ("X-Request-ID", "header", False) in [
            (given["name"], given["in"], given["required"]) for given in operation["parameters"]
        ], name


def test_what_has_an_etag_has_a_parameter_that_takes_it_back(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        takes = [given["name"] for given in operation.get("parameters", ())]
        assert ("If-None-Match" in takes) is ("304" in operation["responses"]), name
        assert ("If-Match" in takes) is ("412" in operation["responses"]), name
        if "ETag" in operation["responses"].get("200", {"headers": ()})["headers"]:
            assert ("If-None-Match" if name.startswith("GET ") else "If-Match") in takes, name


def test_every_object_says_which_fields_it_may_have(document: dict[str, Any]) -> None:
    """Generators take an object without any for one that is always empty."""
    for name, schema in document["components"]["schemas"].items():
        for field, value in {"": schema, **schema.get("properties", {})}.items():
            if value.get("type") == "object":
                assert value.keys() & {"properties", "additionalProperties"}, (name, field)


def test_the_health_of_a_server_is_described_as_it_is_sent(document: dict[str, Any], clinic: Clinic) -> None:
    described = document["components"]["schemas"]["Readiness"]
    assert set(described["required"]) == clinic.http.get("/health/ready").json().keys()


def test_what_every_operation_may_answer_is_documented(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        statuses = set(operation["responses"])
        assert {"400", "408", "415", "417", "431", "500", "501", "503", "505"} <= statuses, name
        assert ("413" in statuses) is ("requestBody" in operation), name
        unavailable = operation["responses"]["503"]["content"]["application/problem+json"]["examples"]
        assert ("outcome-unknown" in unavailable) is not name.startswith("GET "), name


def test_every_code_in_an_answer_is_one_of_a_list(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        if (code := schema.get("properties", {}).get("code")) is not None:
            [text] = [kind for kind in code.get("anyOf", [code]) if kind["type"] != "null"]
            assert set(text["enum"]) <= set(CODES), name


def test_every_limit_of_the_program_is_in_the_document(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    limits: dict[str, dict[str, Any]] = {
        "Registration.name": {"minLength": 1, "maxLength": 200, "pattern": r"\S"},
        "Registration.email": {"minLength": 3, "maxLength": 254},
        "Registration.password": {"minLength": 8, "maxLength": 128},
        "NewDoctor.name": {"minLength": 1, "maxLength": 200},
        "NewSlot.totalSeats": {"minimum": 1, "maximum": 1_000_000},
        "NewSlot.durationMinutes": {"minimum": 1, "maximum": 1440},
        "NewSlot.startTime": {"format": "date-time"},
        "NewBooking.slotId": {"minimum": 1, "maximum": 2**63 - 1, "format": "int64"},
        "Booking.id": {"format": "int64"},
        "Booking.createdAt": {"format": "date-time"},
        "Booking.seatsBooked": {"minimum": 1, "maximum": 1_000_000},
        "Booking.manageToken": {"pattern": "^[A-Za-z0-9_-]{32}$"},
        "BookedSlot.doctorName": {"minLength": 1, "maxLength": 200},
        "Slot.availableSeats": {"minimum": 0, "maximum": 1_000_000},
        "Slot.totalSeats": {"minimum": 1, "maximum": 1_000_000},
        "Slot.durationMinutes": {"minimum": 1, "maximum": 1440},
        "User.email": {"minLength": 3, "maxLength": 254},
        "Session.tokenType": {"enum": ["Bearer"]},
        "Session.expiresIn": {"minimum": 1},
        "Problem.availableSeats": {"minimum": 0},
        "Event.sequence": {"minimum": 1},
        "Health.status": {"enum": ["ok"]},
        "Readiness.status": {"enum": ["draining", "ready", "unavailable", "unsafe"]},
        "NewSlots.weekdays": {"description": "All seven if not given"},
        "BookingRecord.startTime": {"format": "date-time"},
    }
    for place, wanted in limits.items():
        component, _, field = place.partition(".")
        assert wanted.items() <= schemas[component]["properties"][field].items(), place
    zone, _ = schemas["NewSlots"]["properties"]["timeZone"]["anyOf"]
    assert (zone["minLength"], zone["maxLength"]) == (1, 64)
    name, nothing = schemas["NewBooking"]["properties"]["userName"]["anyOf"]
    assert (name["minLength"], name["maxLength"], nothing) == (1, 200, {"type": "null"})
    for _, operation in operations(document):
        for given in operation.get("parameters", ()):
            schema = given["schema"]
            assert {"$ref", "minimum", "maxLength"} & set(schema) or given["name"] == "If-None-Match", given["name"]


def test_parameters_in_paths_are_spelled_like_fields(document: dict[str, Any]) -> None:
    for path, methods in document["paths"].items():
        named = re.findall(r"{(\w+)}", path)
        assert not [name for name in named if "_" in name]
        for operation in methods.values():
            assert [given["name"] for given in operation.get("parameters", ()) if given["in"] == "path"] == named


def test_no_padlock_is_shown_where_a_token_changes_nothing(document: dict[str, Any]) -> None:
    security = {operation["operationId"]: operation["security"] for _, operation in operations(document)}
    for name in (
        "log_in",
        "register",
        "get_doctor",
        "list_slots",
        "get_slot",
        "watch_seats",
        "get_health",
        "get_metrics",
    ):
        assert security[name] == [], name
    bearer, manage = {"accessToken": list[str]()}, {"bookingToken": list[str]()}
    assert security["hold_seats"] == security["list_doctors"] == [{}, bearer]
    assert security["confirm_booking"] == security["cancel_booking"] == [bearer, manage]
    assert security["get_booking"] == [{}, bearer, manage]
    assert security["get_account"] == security["create_slot"] == [bearer]


def test_operations_stand_in_the_order_in_which_a_client_needs_them(document: dict[str, Any]) -> None:
    tags = [tag["name"] for tag in document["tags"]]
    people = ["Accounts", "Clinics", "Doctors", "Visit types", "Times", "Slots", "Bookings"]
    assert tags == [*people, "Administration", "Schedules", "Operation"]
    assert all(tag["description"] for tag in document["tags"])
    ids = [operation["operationId"] for _, operation in operations(document)]
    learned = ["log_in", "list_doctors", "list_slots", "hold_seats", "confirm_booking", "create_slots", "get_health"]
    assert [name for name in ids if name in learned] == learned
    for _, operation in operations(document):
        assert len(operation["tags"]) == 1
        assert operation["tags"][0] in tags


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


# Where frameworks and generators have a document by default.
USUAL = {
    f"{folder}{name}"
    for folder in ("", "/api", "/api-docs", "/api-docs/document", "/docs", "/schema", "/swagger")
    for name in ("/openapi", "/openapi.json", "/openapi.yaml", "/openapi.yml", "/swagger.json", "/redoc")
}


def test_there_is_one_document_at_one_path(clinic: Clinic) -> None:
    own = {route.path for route in application().routes if "{" not in route.path}
    answers = {path: clinic.http.get(path) for path in own | USUAL if path != WITHOUT_END.removeprefix("GET ")}
    found = {path for path, answer in answers.items() if re.search(r"openapi\W+3\.", answer.text)}
    assert found == {"/api-docs/openapi.json"}
    for path in USUAL - own:
        assert answers[path].status_code == 404, path
        assert answers[path].headers["content-type"] == "application/problem+json", path


@pytest.mark.parametrize(
    "name", ["../api_docs.py", "..%2fapi_docs.py", "%2e%2e/problems.py", "swagger-ui/LICENSE", "", "/etc/passwd"]
)
def test_nothing_else_is_served_from_there(clinic: Clinic, name: str) -> None:
    assert clinic.http.get(f"/api-docs/static/{name}").status_code == 404


def test_the_server_does_what_the_document_says(postgres_url: str, migrated_template: str) -> None:
    """Schemathesis calls every operation. A separate process, because loading its plugin takes three CPU seconds.

    On a server of its own: it adds clinics, and pages look different where there are several.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-p", "schemathesis", "-p", "no:cacheprovider"]
    with fresh_database(postgres_url, migrated_template) as url, running_server(url, {}) as server:
        environment = {**os.environ, "SLOTWISE_TEST_SERVER": server.url}
        done = run([*command, "tests/contract.py"], 3 * PATIENCE_SECONDS, environment, PROJECT)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= len(PROMISED)
