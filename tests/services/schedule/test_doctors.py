"""Doctors below HTTP."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TypeAlias

import asyncpg
import pytest

from slotwise.db.pool import Database
from slotwise.domain.doctors import FIRST_DOCTOR
from slotwise.domain.name_order import ENGLISH, name_order
from slotwise.domain.users import Role, User
from slotwise.services.schedule import doctors as doctor_cases
from slotwise.services.schedule.doctors import Doctors, sort_doctors

Rows: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADMIN = User(1, "admin@example.org", "Ann Admin", Role.ADMIN, True, 1, NOW, NOW)


async def test_a_list_that_is_cut_short_still_has_the_chosen_doctor(database: Database) -> None:
    doctors = Doctors(database)
    made = [await doctors.create_doctor(ADMIN, f"Dr. {number}", None) for number in range(3)]
    first, _, last = made
    assert await doctors.list_doctors_with(last.id, 1) == [last, first]
    assert await doctors.list_doctors_with(last.id, 3) == made
    for no_other in (None, first.id, 10**17):
        assert await doctors.list_doctors_with(no_other, 1) == [first]


async def test_spellings_of_one_specialization_are_one_choice(database: Database) -> None:
    doctors = Doctors(database)
    for number, spelled in enumerate(("OB-GYN", "Skin & Hair", "OBGYN", "hair/skin", "Ob Gyn", "GYN")):
        await doctors.create_doctor(ADMIN, f"Dr. {number}", spelled)
    assert await doctors.list_specializations() == ["GYN", "OB-GYN", "Skin & Hair"]


@pytest.mark.parametrize(
    "spellings",
    [("OBGYN", "OB/GYN", "GYN/OB"), ("EarNoseThroat", "Ear Nose Throat", "Throat, Ear, Nose"), ("A B", "AB", "B A")],
)
async def test_the_choices_together_find_every_doctor(database: Database, spellings: Sequence[str]) -> None:
    doctors = Doctors(database)
    made = {(await doctors.create_doctor(ADMIN, f"Dr. {spelled}", spelled)).id for spelled in spellings}
    found = set()
    for choice in await doctors.list_specializations():
        found |= {doctor.id for doctor in await doctors.list_doctors(FIRST_DOCTOR, 10, specialization=choice)}
    assert found == made


async def names_in(database: Database) -> list[str]:
    """Page by page."""
    doctors, names, after = Doctors(database), [], FIRST_DOCTOR
    while page := await doctors.list_doctors(after, 2):
        names += [doctor.name for doctor in page]
        after = page[-1].position
    return names


async def test_doctors_stand_as_the_clinics_language_sorts_them_and_anew_in_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor_cases, "_SORTED_AT_ONCE", 2)
    swedish = name_order("sv")
    doctors = Doctors(database, order=swedish)
    for name in ("\u00c4rger", "Zebra", "Adam", "\u00c5ngstr\u00f6m", "Zebra"):
        await doctors.create_doctor(ADMIN, name, name)
    by_swedes = ["Adam", "Zebra", "Zebra", "\u00c5ngstr\u00f6m", "\u00c4rger"]
    by_english = ["Adam", "\u00c5ngstr\u00f6m", "\u00c4rger", "Zebra", "Zebra"]
    assert await names_in(database) == by_swedes
    assert await doctors.list_specializations() == by_swedes[:2] + by_swedes[3:]
    said: list[str] = []
    assert await sort_doctors(database, ENGLISH, said.append) == 2
    assert said == [f"Sorting doctors by name anew: {done} up to now" for done in (1, 2)]
    assert await names_in(database) == by_english
    assert await sort_doctors(database, ENGLISH, said.append) == 0
    assert await sort_doctors(database, swedish, said.append) == 2
    assert await names_in(database) == by_swedes


async def test_a_name_that_the_release_before_wrote_stands_last_until_the_next_start(
    database: Database, connection: Rows
) -> None:
    """It knows no keys. A name that it changed must not stand where the old name stood."""
    doctors = Doctors(database)
    renamed, _ = [await doctors.create_doctor(ADMIN, name, None) for name in ("Adam", "Zoe")]
    await connection.execute("UPDATE doctors SET name = 'Yves' WHERE id = $1", renamed.id)
    await connection.execute("INSERT INTO doctors (name) VALUES ('Berta')")
    assert await names_in(database) == ["Zoe", "Berta", "Yves"]
    assert await sort_doctors(database, ENGLISH, print) == 2
    assert await names_in(database) == ["Berta", "Yves", "Zoe"]
    await doctors.update_doctor(ADMIN, renamed.id, name="Anna")
    assert await names_in(database) == ["Anna", "Berta", "Zoe"]


async def test_a_key_of_a_name_that_was_changed_meanwhile_is_not_written(database: Database) -> None:
    doctors = Doctors(database)
    first, _ = [await doctors.create_doctor(ADMIN, name, None) for name in ("Adam", "Berta")]
    read = await doctor_cases._read_keys(database, 0)
    await doctors.update_doctor(ADMIN, first.id, name="Zoe")
    await doctor_cases._write_keys(database, name_order("sv"), read)
    assert await names_in(database) == ["Berta", "Zoe"]
