"""Visit types by the API: add, read, change, list."""

from typing import Any

import pytest

from tests.clinic import Clinic, object_of, problem

TYPES = "/api/visit-types"


def new_type(clinic: Clinic, **fields: Any) -> dict[str, Any]:
    body = {"name": "First visit", "minutes": 30} | fields
    answer = clinic.http.post(TYPES, json=body, headers=clinic.admin)
    assert answer.status_code == 201, answer.text
    return object_of(answer)


def test_a_type_needs_a_name_and_minutes_and_no_rule_applies_without_being_asked_for(clinic: Clinic) -> None:
    made = new_type(clinic)
    answer = clinic.http.get(f"{TYPES}/{made['id']}")
    assert answer.json() == made
    assert {name: made[name] for name in made if name not in {"id", "createdAt", "updatedAt"}} == {
        "name": "First visit", "minutes": 30, "bufferMinutes": 0, "mode": "IN_PERSON", "videoLink": None,
        "instructions": None, "minNoticeMinutes": None, "horizonDays": None, "changeDeadlineMinutes": None,
        "maxLivePerPatient": None, "patients": "ANY", "bookableBy": "ANYONE", "active": True,
    }  # fmt: skip


def test_the_link_of_a_video_visit_is_shown_to_the_desk_only(clinic: Clinic) -> None:
    link = "https://video.example.org/room-7"
    made = new_type(clinic, mode="VIDEO", videoLink=f" {link} ", instructions=" Bring \n a friend ")
    assert (made["videoLink"], made["instructions"]) == (link, "Bring \n a friend")
    path = f"{TYPES}/{made['id']}"
    for headers in ({}, clinic.patient()):
        assert clinic.http.get(path, headers=headers).json()["videoLink"] is None
        assert link not in clinic.http.get(TYPES, params={"limit": 500}, headers=headers).text
    assert clinic.http.get(path, headers=clinic.admin).json()["videoLink"] == link


def test_the_second_of_two_who_change_a_type_sees_what_the_first_has_changed(clinic: Clinic) -> None:
    made = new_type(clinic)
    path = f"{TYPES}/{made['id']}"
    read = clinic.http.get(path).headers["etag"]
    first = clinic.http.patch(path, json={"minutes": 40}, headers={**clinic.admin, "If-Match": read})
    assert (first.status_code, first.json()["minutes"]) == (200, 40)
    second = clinic.http.patch(path, json={"name": "Check-up"}, headers={**clinic.admin, "If-Match": read})
    assert problem(second, 412, "changed-meanwhile")["present"] == first.json()
    again = clinic.http.patch(
        path, json={"name": "Check-up"}, headers={**clinic.admin, "If-Match": first.headers["etag"]}
    )
    assert (again.json()["name"], again.json()["minutes"]) == ("Check-up", 40)
    assert again.headers["etag"] not in {read, first.headers["etag"]}
    anyhow = clinic.http.patch(path, json={"active": False}, headers={**clinic.admin, "If-Match": "*"})
    assert anyhow.json()["active"] is False


def test_a_type_that_a_client_knows_is_not_sent_again_unless_it_knows_less_than_the_desk_sees(clinic: Clinic) -> None:
    plain, secret = new_type(clinic), new_type(clinic, mode="VIDEO", videoLink="https://video.example.org/room")
    for made, at_desk in ((plain, 304), (secret, 200)):
        path = f"{TYPES}/{made['id']}"
        known = {"If-None-Match": clinic.http.get(path).headers["etag"]}
        assert clinic.http.get(path, headers=known).status_code == 304
        assert clinic.http.get(path, headers={**clinic.admin, **known}).status_code == at_desk
        clinic.http.patch(path, json={"minutes": 40}, headers=clinic.admin)
        assert clinic.http.get(path, headers=known).json()["minutes"] == 40


def test_a_change_that_changes_nothing_keeps_the_version(clinic: Clinic) -> None:
    made = new_type(clinic, minNoticeMinutes=60)
    path = f"{TYPES}/{made['id']}"
    read = clinic.http.get(path).headers["etag"]
    assert clinic.http.patch(path, json={"minNoticeMinutes": 60}, headers=clinic.admin).headers["etag"] == read
    assert clinic.http.patch(path, json={"minNoticeMinutes": None}, headers=clinic.admin).headers["etag"] != read


def test_patients_do_not_see_types_that_they_cannot_book(clinic: Clinic) -> None:
    offered, inactive, of_staff = new_type(clinic), new_type(clinic, active=False), new_type(clinic, bookableBy="STAFF")

    def listed(headers: dict[str, str]) -> set[int]:
        after = str(offered["id"] - 1)
        page = clinic.http.get(TYPES, params={"limit": 500}, headers=headers).json()
        return {one["id"] for one in page["items"] if one["id"] > int(after)}

    assert offered["id"] in listed({})
    assert not listed({}) & {inactive["id"], of_staff["id"]}
    assert listed(clinic.admin) >= {offered["id"], inactive["id"], of_staff["id"]}


def test_the_list_comes_in_pages(clinic: Clinic) -> None:
    ids = [new_type(clinic)["id"] for _ in range(3)]
    found: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = clinic.http.get(TYPES, params={"limit": 1, **cursor}).json()
        found += [one["id"] for one in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = {"cursor": page["nextCursor"]}
    assert found == sorted(found)
    assert set(ids) <= set(found)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"name": " "}, "name"),
        ({"minutes": 0}, "minutes"),
        ({"bufferMinutes": 241}, "bufferMinutes"),
        ({"mode": "LETTER"}, "mode"),
        ({"videoLink": "javascript:alert(1)"}, "videoLink"),
        ({"videoLink": "https://user@example.org/"}, "videoLink"),
        ({"instructions": "x" * 2001}, "instructions"),
        ({"instructions": "a\x00b"}, "instructions"),
        ({"minNoticeMinutes": -1}, "minNoticeMinutes"),
        ({"horizonDays": 0}, "horizonDays"),
        ({"horizonDays": 1, "minNoticeMinutes": 1441}, "horizonDays"),
        ({"maxLivePerPatient": 0}, "maxLivePerPatient"),
        ({"patients": "OLD"}, "patients"),
        ({"bookableBy": "NOBODY"}, "bookableBy"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_named(clinic: Clinic, fields: dict[str, Any], field: str) -> None:
    body = {"name": "First visit", "minutes": 30} | fields
    problem(clinic.http.post(TYPES, json=body, headers=clinic.admin), 400, "invalid-input", field)


def test_an_etag_without_quotes_is_refused_and_one_of_something_else_matches_nothing(clinic: Clinic) -> None:
    path = f"{TYPES}/{new_type(clinic)['id']}"
    bare = clinic.http.patch(path, json={"minutes": 5}, headers={**clinic.admin, "If-Match": "1"})
    problem(bare, 400, "invalid-input", "If-Match")
    other = clinic.http.patch(path, json={"minutes": 5}, headers={**clinic.admin, "If-Match": '"abc"'})
    problem(other, 412, "changed-meanwhile")
    missing = clinic.http.patch(f"{TYPES}/{2**62}", json={"minutes": 5}, headers=clinic.admin)
    problem(missing, 404, "visit-type-not-found")
