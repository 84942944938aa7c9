"""Names on the pages: in which order they stand, and how they are found."""

import re
from collections.abc import Iterator
from html import unescape
from uuid import uuid4

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer
from tests.web.visiting import Visitor


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


def test_every_list_of_doctors_stands_as_people_sort_names(clinic: Clinic, desk: Visitor) -> None:
    """So does the one with a chosen doctor, who was asked for before the others."""
    word = uuid4().hex
    names = [f"Aab {word}", f"\u00c4ac {word}", f"aad {word}", f"\u00c5ae {word}"]
    made = {name: clinic.doctor(name=name, specialization=word)["id"] for name in reversed(names)}
    for doctor in made.values():
        clinic.slot(doctorId=doctor)
    for url in (
        f"/?speciality={word}",
        f"/?speciality={word}&doctor={made[names[3]]}",
        f"/admin/bookings/new?speciality={word}",
        f"/admin/doctors?q={word}",
        "/admin/bookings",
        f"/admin/bookings?doctor={made[names[3]]}",
        "/admin/day-sheet",
    ):
        shown = re.findall(rf"(?:Aab|\u00c4ac|aad|\u00c5ae) {word}", unescape(desk.open(url).text))
        first_places = list(dict.fromkeys(shown))
        assert first_places == names, url


def test_every_search_finds_a_name_however_it_is_typed(clinic: Clinic, desk: Visitor) -> None:
    word = uuid4().hex
    doctors_name, name = f"Zo\u00eb O\u2019Hara {word}", f"{word} Zo\u00eb O\u2019Hara"
    email = f"{word}@example.org"
    doctor = clinic.doctor(name=doctors_name, specialization=f"M\u00e9decine {word}")
    clinic.hold(clinic.slot(doctorId=doctor["id"])["id"], userName=name, userEmail=email, confirm=True)
    desk.send("/admin/users/new", name=name, email=email, role="staff", password="a password of Zoe's")
    for url, field, stored in (
        ("/admin/doctors", "q", doctors_name),
        ("/admin/bookings", "who", name),
        ("/admin/users", "who", name),
    ):
        for typed in (f"{word} o'hara Zoe\u0308", f"OHARA zoe {word}", f"zo o'h {word}"):
            assert stored in unescape(desk.http.get(url, params={field: typed}).text), (url, typed)
        assert stored not in unescape(desk.http.get(url, params={field: f"zoa {word}"}).text)
    found = unescape(desk.http.get("/", params={"speciality": f"{word} MEDECINE"}).text)
    assert f"selected>M\u00e9decine {word}</option>" in found
