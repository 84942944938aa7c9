"""Query parameters: each operation refuses unknown ones, those that come twice, and reversed periods."""

import itertools

import pytest

from tests.clinic import Clinic, problem
from tests.described import document

OPERATIONS = [
    (method.upper(), path, [given["name"] for given in operation.get("parameters", ()) if given["in"] == "query"])
    for path, methods in document()["paths"].items()
    for method, operation in methods.items()
]
OF_PERIODS = [path for method, path, names in OPERATIONS if {"from", "to"} <= set(names)]


def path_of(template: str) -> str:
    return "/".join("1" if part.startswith("{") else part for part in template.split("/"))


@pytest.mark.parametrize(
    ("query", "name"), [("color=blue", "color"), ("color", "color"), ("%63olor=", "color"), ("Limit=1", "Limit")]
)
def test_every_operation_refuses_an_unknown_query_parameter_and_names_it(clinic: Clinic, query: str, name: str) -> None:
    for method, path, _ in OPERATIONS:
        answer = clinic.http.request(method, f"{path_of(path)}?{query}", headers=clinic.admin)
        problem(answer, 400, "invalid-input", field=name)


def test_every_operation_takes_an_empty_query(clinic: Clinic) -> None:
    for method, path, _ in OPERATIONS:
        if method == "GET" and not path.endswith("/events"):
            assert clinic.http.get(f"{path_of(path)}?&", headers=clinic.admin).status_code in {200, 404}


def test_a_query_of_thousands_of_unknown_parameters_gets_a_short_answer(clinic: Clinic) -> None:
    answer = clinic.http.get("/api/slots", params={f"p{number}": "" for number in range(3000)})
    problem(answer, 400, "invalid-input", field="p0")
    assert len(answer.content) < 4000


def test_every_operation_refuses_a_parameter_that_comes_twice_and_names_it(clinic: Clinic) -> None:
    for method, path, name in ((method, path, name) for method, path, names in OPERATIONS for name in names):
        answer = clinic.http.request(method, f"{path_of(path)}?{name}=1&{name}=1", headers=clinic.admin)
        problem(answer, 400, "invalid-input", field=name)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/slots", "doctorId"),
        ("/api/bookings", "doctorId"),
        ("/api/bookings", "slotId"),
        ("/api/bookings", "status"),
    ],
)
@pytest.mark.parametrize("value", ["null", "NULL", ""])
def test_a_filter_without_a_value_is_refused_and_not_ignored(clinic: Clinic, path: str, name: str, value: str) -> None:
    problem(clinic.http.get(path, params={name: value}, headers=clinic.admin), 400, "invalid-input", field=name)


def test_who_searches_for_the_word_null_gets_what_has_it(clinic: Clinic) -> None:
    for name in ("Dr. Ada Null", "Dr. Ada Zero"):
        clinic.http.post("/api/doctors", json={"name": name}, headers=clinic.admin)
    found = [doctor["name"] for doctor in clinic.http.get("/api/doctors?q=null&limit=500").json()["items"]]
    assert "Dr. Ada Null" in found
    assert "Dr. Ada Zero" not in found


def test_a_plain_booking_with_an_unknown_query_parameter_holds_nothing(clinic: Clinic) -> None:
    slot = clinic.slot(seats=2)
    body = {"slotId": slot["id"], "userName": "Nell New", "userEmail": "nell@example.org"}
    problem(clinic.http.post("/api/bookings?seats=2", json=body), 400, "invalid-input", field="seats")
    assert clinic.free_seats(slot["id"]) == 2


@pytest.mark.parametrize("path", OF_PERIODS)
def test_a_period_that_ends_before_it_begins_is_refused_and_an_empty_one_is_not(clinic: Clinic, path: str) -> None:
    early, late = "2031-01-01T09:00:00Z", "2031-01-01T10:00:00Z"
    reversed_period = clinic.http.get(path, params={"from": late, "to": early}, headers=clinic.admin)
    problem(reversed_period, 400, "invalid-input", field="to")
    for begins, ends in itertools.combinations_with_replacement((early, late), 2):
        assert clinic.http.get(path, params={"from": begins, "to": ends}, headers=clinic.admin).status_code == 200


def test_lists_with_a_period_exist() -> None:
    assert set(OF_PERIODS) >= {"/api/slots", "/api/bookings"}
