"""Clinics over HTTP: add, change, read, list, and two who change the same one."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest

from slotwise.db.pool import Database
from slotwise.domain.clinics import ClinicChange
from slotwise.domain.errors import ChangedMeanwhile, InvalidInput, LastClinic
from slotwise.domain.slots import SlotChange, SlotStatus
from slotwise.domain.users import Role, User
from slotwise.services.schedule.clinics import LOCK_CLINICS, Clinics
from slotwise.services.schedule.slots import Slots
from tests.clinic import Clinic, object_of, problem, rows
from tests.workers import until_waiting_for_a_lock

NOW = datetime.now(UTC)
ADMIN = User(1, "admin@example.org", "Ann Admin", Role.ADMIN, True, 1, NOW, NOW)
# A closed time of a doctor at a second clinic.
CLOSED_AT_TWO = """
    INSERT INTO clinics (id, name, time_zone) VALUES (2, 'East', 'UTC');
    INSERT INTO doctors (id, name) VALUES (1, 'Dr. Who');
    INSERT INTO appointment_slots (id, doctor_id, clinic_id, start_time, end_time, total_seats, available_seats, status)
    VALUES (1, 1, 2, now() + interval '1 day', now() + interval '25 hours', 1, 1, 'CLOSED');
"""
NORTH = {"name": "North", "timeZone": "America/New_York", "active": False}


def add(clinic: Clinic, **fields: Any) -> dict[str, Any]:
    """One that takes no appointments, so that pages stay as they are with one clinic."""
    answer = clinic.http.post("/api/clinics", json=NORTH | fields, headers=clinic.admin)
    assert answer.status_code == 201, answer.text
    return object_of(answer)


def change(clinic: Clinic, clinic_id: int, etag: str | None = None, **fields: Any) -> httpx.Response:
    headers = clinic.admin | ({"If-Match": etag} if etag else {})
    return clinic.http.patch(f"/api/clinics/{clinic_id}", json=fields, headers=headers)


def test_a_new_clinic_is_at_its_location(clinic: Clinic) -> None:
    given = NORTH | {
        "address": "12 High Street",
        "telephone": "+44 20 7946 0000",
        "email": "north@clinic.example",
        "directions": "Bus 7.\nThen left.",
        "openingNote": "Closed on Sundays",
        "colour": "#1b6e8c",
        "eveningList": False,
    }
    answer = clinic.http.post("/api/clinics", json=given, headers=clinic.admin)
    made = answer.json()
    assert {field: made[field] for field in given} == given
    assert made["version"] == 1
    read = clinic.http.get(answer.headers["location"])
    assert read.json() == made
    assert read.headers["etag"] == answer.headers["etag"] == '"1"'


@pytest.mark.parametrize("known", ["{}", "W/{}", '"0", {}', "*"])
def test_a_clinic_that_a_client_knows_is_not_sent_again(clinic: Clinic, known: str) -> None:
    made = clinic.http.post("/api/clinics", json=NORTH, headers=clinic.admin)
    path, etag = made.headers["location"], made.headers["etag"]
    again = clinic.http.get(path, headers={"If-None-Match": known.format(etag)})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert again.headers["cache-control"] == "no-cache"
    assert change(clinic, made.json()["id"], directions="Bus 7").status_code == 200
    if known != "*":
        assert clinic.http.get(path, headers={"If-None-Match": known.format(etag)}).json()["directions"] == "Bus 7"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 61), ("timeZone", "Mars/Olympus"), ("telephone", "call me"),
        ("email", "north"), ("colour", "red"), ("directions", "x" * 1001), ("openingNote", "a\x07b"),
        ("address", "a\nb"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(clinic: Clinic, field: str, value: str) -> None:
    answer = clinic.http.post("/api/clinics", json=NORTH | {field: value}, headers=clinic.admin)
    assert [fault["field"] for fault in problem(answer, 400)["errors"]] == [field]


def test_all_wrong_fields_are_named_at_once(clinic: Clinic) -> None:
    answer = clinic.http.post("/api/clinics", json={"name": " ", "timeZone": "Nowhere"}, headers=clinic.admin)
    assert [fault["field"] for fault in problem(answer, 400)["errors"]] == ["name", "timeZone"]


def test_only_what_is_sent_is_changed_and_null_clears(clinic: Clinic) -> None:
    made = add(clinic, telephone="+44 20 7946 0000", address="12 High Street")
    assert made["eveningList"]
    changed = change(clinic, made["id"], address=None, openingNote="Closed on Sundays", eveningList=False)
    expected = made | {"address": None, "openingNote": "Closed on Sundays", "eveningList": False, "version": 2}
    assert changed.json() | {"updatedAt": None} == expected | {"updatedAt": None}
    assert changed.headers["etag"] == '"2"'


def test_the_second_of_two_is_shown_what_the_first_has_changed(clinic: Clinic) -> None:
    made = add(clinic)
    first = change(clinic, made["id"], '"1"', name="North Clinic")
    assert first.status_code == 200
    second = change(clinic, made["id"], '"1"', telephone="+44 20 7946 0000")
    refused = problem(second, 412)
    assert refused["code"] == "changed-meanwhile"
    assert refused["present"] == first.json()
    assert second.headers["etag"] == first.headers["etag"]
    assert change(clinic, made["id"], second.headers["etag"], telephone="+44 20 7946 0000").status_code == 200


def test_a_change_of_nothing_leaves_the_version(clinic: Clinic) -> None:
    made = add(clinic)
    assert change(clinic, made["id"], '"1"', name="North").json()["version"] == 1


@pytest.mark.parametrize(
    ("if_match", "status"), [("*", 200), ('"7", "1"', 200), ('W/"1"', 412), ('"other"', 412), ("1", 400)]
)
def test_if_match_is_read_as_rfc_9110_says(clinic: Clinic, if_match: str, status: int) -> None:
    made = add(clinic)
    assert change(clinic, made["id"], if_match, openingNote="Closed on Sundays").status_code == status


def test_patients_do_not_see_a_clinic_that_takes_no_appointments(clinic: Clinic) -> None:
    made = add(clinic)
    listed = [item["id"] for item in clinic.http.get("/api/clinics").json()["items"]]
    assert 1 in listed
    assert made["id"] not in listed
    after = clinic.http.get("/api/clinics", params={"limit": 500}, headers=clinic.admin).json()["items"]
    assert made["id"] in [item["id"] for item in after]


async def test_the_only_clinic_cannot_stop_taking_appointments(database: Database) -> None:
    clinics = Clinics(database, _nothing)
    await clinics.update_clinic(ADMIN, 1, ClinicChange("South", "UTC"))
    with pytest.raises(LastClinic):
        await clinics.update_clinic(ADMIN, 1, ClinicChange(active=False))


def test_a_clinic_with_open_times_cannot_stop_taking_appointments(clinic: Clinic) -> None:
    made = add(clinic)
    rows(clinic.server.database_url, "UPDATE clinics SET active = TRUE WHERE id = $1", made["id"])
    slot = clinic.slot()
    rows(
        clinic.server.database_url, "UPDATE appointment_slots SET clinic_id = $1 WHERE id = $2", made["id"], slot["id"]
    )
    assert problem(change(clinic, made["id"], active=False), 409)["code"] == "clinic-in-use"
    closed = clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "CLOSED"}, headers=clinic.admin)
    assert closed.status_code == 200
    assert change(clinic, made["id"], active=False).json()["active"] is False
    reopened = clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "OPEN"}, headers=clinic.admin)
    assert [error["field"] for error in problem(reopened, 400, "invalid-input")["errors"]] == ["status"]
    assert change(clinic, made["id"], active=True).status_code == 200
    reopened = clinic.http.patch(f"/api/slots/{slot['id']}", json={"status": "OPEN"}, headers=clinic.admin)
    assert object_of(reopened)["status"] == "OPEN"
    # For the other tests, there is one clinic.
    rows(clinic.server.database_url, "UPDATE appointment_slots SET clinic_id = 1 WHERE id = $1", slot["id"])
    assert change(clinic, made["id"], active=False).status_code == 200


async def test_a_time_is_not_reopened_while_its_clinic_stops_taking_appointments(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    """Without the lock, the admin sees no open times, and the desk an active clinic."""
    await connection.execute(CLOSED_AT_TWO)
    slots, change_status = Slots(database), SlotChange(status=SlotStatus.OPEN)
    async with connection.transaction():
        await connection.execute("UPDATE clinics SET active = FALSE WHERE id = 2")
        reopening = asyncio.create_task(slots.update_slot(ADMIN, 1, change_status))
        await until_waiting_for_a_lock(connection)
    with pytest.raises(InvalidInput, match="takes no appointments"):
        await reopening
    assert await connection.fetchval("SELECT status FROM appointment_slots") == "CLOSED"


async def test_a_time_is_not_reopened_where_its_doctor_no_longer_works(
    database: Database, connection: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await connection.execute(CLOSED_AT_TWO + "INSERT INTO doctor_clinics (doctor_id, clinic_id) VALUES (1, 1);")
    with pytest.raises(InvalidInput, match="does not work at this clinic"):
        await Slots(database).update_slot(ADMIN, 1, SlotChange(status=SlotStatus.OPEN))


async def test_of_two_changes_of_one_version_at_once_one_is_made(database: Database) -> None:
    """Both wait for the lock that a third transaction holds, so both have read the same version."""
    clinics, admin = Clinics(database, _nothing), ADMIN
    made = await clinics.create_clinic(admin, ClinicChange("North", "UTC"))
    tries = [ClinicChange(name=name) for name in ("First", "Second")]
    async with database.transaction() as connection:
        await LOCK_CLINICS.all(connection)
        waiting = [
            asyncio.create_task(clinics.update_clinic(admin, made.id, each, frozenset({made.version})))
            for each in tries
        ]
        await asyncio.wait(waiting, timeout=0.2)
        assert not any(task.done() for task in waiting)
    done = await asyncio.gather(*waiting, return_exceptions=True)
    assert sorted(type(each).__name__ for each in done) == ["ChangedMeanwhile", "Clinic"]
    refused = next(each for each in done if isinstance(each, ChangedMeanwhile))
    assert refused.present == await clinics.get_clinic(made.id)


async def test_of_two_clinics_that_are_deactivated_at_once_one_stays(database: Database) -> None:
    clinics, admin = Clinics(database, _nothing), ADMIN
    await clinics.update_clinic(admin, 1, ClinicChange("South", "UTC"))
    other = await clinics.create_clinic(admin, ClinicChange("North", "UTC"))
    done = await asyncio.gather(
        *(clinics.update_clinic(admin, each, ClinicChange(active=False)) for each in (1, other.id)),
        return_exceptions=True,
    )
    assert sum(isinstance(each, LastClinic) for each in done) == 1


async def _nothing() -> None:
    pass
