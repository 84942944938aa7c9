"""Doctors over HTTP."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.clinic import Clinic, problem

BAD_CURSORS = [
    "x",
    "%%%",
    "!!!!",
    "bnVsbA",
    "WzFd" * 60,
    "WyJ4Il0",
    "Wy0xXQ",
    "WzkyMjMzNzIwMzY4NTQ3NzU4MDhd",
    "Wzdd",
    "WyJ4IiwxXQ",
    "é",
    "\x00",
]


def find(clinic: Clinic, headers: dict[str, str] | None = None, **filters: Any) -> list[dict[str, Any]]:
    answer = clinic.http.get("/api/doctors", params=filters, headers=headers or {})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def change(clinic: Clinic, doctor_id: int, **fields: Any) -> httpx.Response:
    return clinic.http.patch(f"/api/doctors/{doctor_id}", json=fields, headers=clinic.admin)


def test_a_new_doctor_is_at_its_location(clinic: Clinic) -> None:
    body = {"name": " Dr. Grace  Hopper ", "specialization": "Cardiology"}
    answer = clinic.http.post("/api/doctors", json=body, headers=clinic.admin)
    assert answer.status_code == 201
    doctor = answer.json()
    assert set(doctor) == {"id", "name", "specialization", "active", "createdAt", "updatedAt"}
    assert (doctor["name"], doctor["active"]) == ("Dr. Grace  Hopper", True)
    assert doctor["createdAt"].endswith("Z")
    assert clinic.http.get(answer.headers["location"]).json() == doctor


def test_only_admins_publish_doctors(clinic: Clinic, staff: dict[str, str]) -> None:
    doctor_id = clinic.doctor()["id"]
    for headers, status in (({}, 401), (clinic.patient(), 403), (staff, 403)):
        problem(clinic.http.post("/api/doctors", json={"name": "Dr. No"}, headers=headers), status)
        problem(clinic.http.patch(f"/api/doctors/{doctor_id}", json={"name": "Dr. No"}, headers=headers), status)
    assert clinic.http.get(f"/api/doctors/{doctor_id}").json()["name"] == "Dr. Who"


@pytest.mark.parametrize("field", ["name", "specialization"])
@pytest.mark.parametrize(
    "text", ["", "   ", "x" * 201, "a\x00b", "a\nb", "a\x7fb", "a\u202eb", "a\u2028b", "\ufeff\x1b[31m"]
)
def test_names_are_1_to_200_visible_characters(clinic: Clinic, field: str, text: str) -> None:
    answer = clinic.http.post("/api/doctors", json={"name": "Dr. Who"} | {field: text}, headers=clinic.admin)
    problem(answer, 400, "invalid-input", field=field)
    problem(change(clinic, clinic.doctor()["id"], **{field: text}), 400, "invalid-input", field=field)


@pytest.mark.parametrize(
    "name", ["x" * 200, "Ø", "Zoe\u0301", "محمد", "王小明", "🩺 Dr. O'Neil-Śmith <b>&amp;</b>", "%s ${7*7} ';--"]
)
def test_a_name_in_any_script_is_returned_unchanged(clinic: Clinic, name: str) -> None:
    doctor = clinic.doctor(name=name)
    assert doctor["name"] == name.replace("e\u0301", "é")
    assert clinic.http.get(f"/api/doctors/{doctor['id']}").json()["name"] == doctor["name"]


def test_the_list_is_filtered_by_specialization_and_by_text(clinic: Clinic) -> None:
    word = uuid4().hex
    heart = clinic.doctor(name="Dr. Ada", specialization=f"Heart {word}")
    skin = clinic.doctor(name=f"Dr. {word} 100%_sure", specialization="Skin")
    assert [d["id"] for d in find(clinic, specialization=f"hEART {word}")] == [heart["id"]]
    assert find(clinic, specialization=word) == []
    assert {d["id"] for d in find(clinic, q=word.upper())} == {heart["id"], skin["id"]}
    assert [d["id"] for d in find(clinic, q=f"{word} 100%_s")] == [skin["id"]]
    assert [d["id"] for d in find(clinic, q=f"{word}_100")] == [skin["id"]]
    assert find(clinic, q=f"{word} s%e") == [], "a wildcard of LIKE was taken for one"
    assert find(clinic, q=f"Heart {word}", specialization="Skin") == []


def test_doctors_are_found_however_they_are_typed(clinic: Clinic) -> None:
    word = uuid4().hex
    doctor = clinic.doctor(name=f"Dr. Zoë O\u2019Hara {word}", specialization=f"Médecine {word}")["id"]
    parts = [clinic.doctor(specialization=f"{word}/Ear{divider}Nose{divider}OB/Gyn")["id"] for divider in "/ &"]
    for typed in (f"OB-Gyn, Ear & Nose {word}", f"{word} Ear/Nose/OB GYN"):
        assert {d["id"] for d in find(clinic, specialization=typed)} == {*parts}
        assert {d["id"] for d in find(clinic, q=typed)} == {*parts}
    assert {d["id"] for d in find(clinic, q=f"OBGYN {word}")} == {*parts}
    for typed in (f"{word} zoe\u0308", f"{word} O'HARA", f"ohara {word}"):
        assert [d["id"] for d in find(clinic, q=typed)] == [doctor]
    for typed in (f"MEDECINE {word}", f"{word} Me\u0301decine"):
        assert [d["id"] for d in find(clinic, specialization=typed)] == [doctor]
    slot = clinic.slot(doctorId=doctor)["id"]
    for more in ({}, {"doctorId": doctor}):
        offered = clinic.http.get("/api/slots", params={"specialization": f"{word} medecine"} | more).json()
        assert [found["id"] for found in offered["items"]] == [slot]


def test_pages_have_no_gaps_or_repeats(clinic: Clinic) -> None:
    word = uuid4().hex
    made = [clinic.doctor(specialization=word)["id"] for _ in range(6)]
    seen, sizes, cursor = [], [], None
    while True:
        wanted: dict[str, Any] = {"specialization": word, "limit": 2} | ({"cursor": cursor} if cursor else {})
        page = clinic.http.get("/api/doctors", params=wanted).json()
        seen += [doctor["id"] for doctor in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["nextCursor"]
        if cursor is None:
            break
    assert seen == made
    assert sizes == [2, 2, 2], "a last page that is just full has no next"


def test_pages_are_sorted_as_people_sort_names_and_then_by_id(clinic: Clinic) -> None:
    word = uuid4().hex
    names = ["Zoe", "Ärger", "Adam", "Øberg", "Ohm", "Zoë", "adam", "Ärger"]
    made: dict[str, list[int]] = {name: [] for name in names}
    for name in names:
        made[name].append(clinic.doctor(name=name, specialization=word)["id"])
    seen, cursor = [], None
    while True:
        wanted: dict[str, Any] = {"specialization": word, "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = clinic.http.get("/api/doctors", params=wanted).json()
        seen += [(doctor["name"], doctor["id"]) for doctor in page["items"]]
        cursor = page["nextCursor"]
        if cursor is None:
            break
    in_order = ["adam", "Adam", "Ärger", "Øberg", "Ohm", "Zoe", "Zoë"]
    assert seen == [(name, doctor_id) for name in in_order for doctor_id in made[name]]


@pytest.mark.parametrize("name", ["{} A", "{} Z"])
def test_a_page_begins_where_the_last_one_ended_after_its_last_doctor_got_another_name(
    clinic: Clinic, name: str
) -> None:
    """Also with the longest keys that a name can have."""
    word = uuid4().hex
    for letter in "BCDE":
        clinic.doctor(name=f"{word} {letter} {chr(0xFDFA) * 160}", specialization=word)
    wanted: dict[str, Any] = {"specialization": word, "limit": 2}
    first = clinic.http.get("/api/doctors", params=wanted).json()
    change(clinic, first["items"][-1]["id"], name=name.format(word))
    second = clinic.http.get("/api/doctors", params=wanted | {"cursor": first["nextCursor"]}).json()
    assert [doctor["name"][33] for doctor in second["items"]] == ["D", "E"]


@pytest.mark.parametrize("limit", ["0", "-1", "501", "x", "1.5", "", "99999999999999999999"])
def test_a_page_has_1_to_500_items(clinic: Clinic, limit: str) -> None:
    problem(clinic.http.get("/api/doctors", params={"limit": limit}), 400, "invalid-input", field="limit")


@pytest.mark.parametrize("cursor", BAD_CURSORS)
def test_a_made_up_cursor_is_refused_with_its_field_name(clinic: Clinic, cursor: str) -> None:
    problem(clinic.http.get("/api/doctors", params={"cursor": cursor}), 400, "invalid-input", field="cursor")


@pytest.mark.parametrize("name", ["q", "specialization"])
@pytest.mark.parametrize("text", ["", "a\x00b", "x" * 201])
def test_a_filter_that_cannot_match_is_refused_with_its_field_name(clinic: Clinic, name: str, text: str) -> None:
    problem(clinic.http.get("/api/doctors", params={name: text}), 400, "invalid-input", field=name)


def test_a_patch_changes_what_it_names_and_null_clears_a_specialization(clinic: Clinic) -> None:
    doctor = clinic.doctor(name="Dr. Who", specialization="Time")
    assert change(clinic, doctor["id"], name=" Dr. Why ").json()["name"] == "Dr. Why"
    assert change(clinic, doctor["id"]).json() | {"updatedAt": None} == doctor | {"name": "Dr. Why", "updatedAt": None}
    assert change(clinic, doctor["id"], specialization=None).json()["specialization"] is None
    after = clinic.http.get(f"/api/doctors/{doctor['id']}").json()
    assert (after["name"], after["specialization"], after["active"]) == ("Dr. Why", None, True)


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"nam": "x"}, "nam"), ({"name": None}, "name"), ({"active": "yes"}, "active"), ({"id": 7}, "id")],
)
def test_a_malformed_patch_is_refused_with_its_field_name(clinic: Clinic, fields: dict[str, Any], field: str) -> None:
    problem(change(clinic, clinic.doctor()["id"], **fields), 400, "invalid-input", field=field)


def test_an_inactive_doctor_is_listed_for_the_desk_only(clinic: Clinic, staff: dict[str, str]) -> None:
    word = uuid4().hex
    doctor = clinic.doctor(specialization=word)
    assert change(clinic, doctor["id"], active=False).json()["active"] is False
    assert find(clinic, specialization=word) == []
    assert find(clinic, clinic.patient(), specialization=word) == []
    assert [d["active"] for d in find(clinic, staff, specialization=word)] == [False]
    assert [d["active"] for d in find(clinic, clinic.admin, specialization=word)] == [False]
    assert change(clinic, doctor["id"], active=True).status_code == 200
    assert [d["id"] for d in find(clinic, specialization=word)] == [doctor["id"]]


@pytest.mark.parametrize("doctor_id", [2**63 - 1, 999_999_999])
def test_an_unknown_doctor_is_not_found(clinic: Clinic, doctor_id: int) -> None:
    problem(clinic.http.get(f"/api/doctors/{doctor_id}"), 404, "doctor-not-found")
    problem(change(clinic, doctor_id, name="Dr. No"), 404, "doctor-not-found")


@pytest.mark.parametrize("doctor_id", ["0", "-1", str(2**63), "9" * 40, "9" * 5000, "x", "1.5", "%00", "1%00", "null"])
def test_an_invalid_id_is_refused_cleanly(clinic: Clinic, doctor_id: str) -> None:
    answer = clinic.http.get(f"/api/doctors/{doctor_id}")
    problem(answer, 404 if answer.status_code == 404 else 400)
