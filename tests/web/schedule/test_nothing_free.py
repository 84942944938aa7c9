"""What a patient reads where nothing is free for the kind of visit they need, and where nothing is free at all."""

import re
from collections.abc import Iterator
from html import unescape

import pytest

from tests.clinic import Clinic, eventually
from tests.conftest import fresh_database, running_server
from tests.http.booking.test_offered_times import book
from tests.http.booking.test_visit_types import typed_slot
from tests.http.schedule.test_visit_types import new_type
from tests.open_time import open_time
from tests.web.people import text_of
from tests.web.visiting import Visitor

NOTHING_ELSE = "No other kind of visit has a free time"


@pytest.fixture
def clinic(postgres_url: str, migrated_template: str) -> Iterator[Clinic]:
    """With a server of its own: nothing else is free there."""
    with (
        fresh_database(postgres_url, migrated_template) as url,
        running_server(url, {"CLINIC_NAME": "West"}) as server,
        Clinic(server) as clinic,
    ):
        clinic.http.patch("/api/clinics/1", json={"telephone": "+49 30 1234567"}, headers=clinic.admin)
        yield clinic


@pytest.fixture
def visitor(clinic: Clinic) -> Iterator[Visitor]:
    with Visitor(clinic.server) as visitor:
        yield visitor


def test_another_kind_of_visit_is_offered_only_while_one_is_free(clinic: Clinic, visitor: Visitor) -> None:
    wanted, other = new_type(clinic, name="Eye test"), new_type(clinic, name="Long talk", minutes=20)
    clinic.hold(typed_slot(clinic, wanted)["id"], visitTypeId=wanted["id"], confirm=True)
    open_for_one = open_time(clinic.server.database_url, {20: other["id"]}, minutes=20)
    url = f"/?visit={wanted['id']}"
    visitor.open(url)
    assert "No free time for Eye test" in text_of(visitor.page)
    assert 'id="other-kind"' in visitor.page.text
    assert NOTHING_ELSE not in text_of(visitor.page)
    assert "There may be free times for what you need" in text_of(visitor.open("/?visit=any"))
    assert "no free times at present" not in text_of(visitor.open("/"))

    assert book(clinic, open_for_one.offered(0, 20), confirm=True).status_code == 201
    told = text_of(visitor.open(url))
    assert f"{NOTHING_ELSE} either. Call West: +49 30 1234567" in told
    assert "Look again" in told
    assert "another" not in told.partition("Look again")[2]
    visitor.open(f"{url}&doctor={open_for_one.doctor_id}")
    assert 'id="other-kind"' not in visitor.page.text
    assert 'id="all-times"' not in visitor.page.text
    told = text_of(visitor.open("/?visit=any"))
    assert "All doctors are fully booked" in told
    assert "choose it first" not in told
    assert 'id="other-kind"' not in visitor.page.text
    assert "West has no free times at present. Call West: +49 30 1234567" in text_of(visitor.open("/"))


def test_open_time_for_accounts_counts_as_free_for_guests(clinic: Clinic, visitor: Visitor) -> None:
    kind = new_type(clinic, name="For members", minutes=20, bookableBy="ACCOUNTS")
    open_time(clinic.server.database_url, {20: kind["id"]}, minutes=20)
    assert "no free times at present" not in text_of(visitor.open("/"))
    assert "For members needs an account" in text_of(visitor.open(f"/?visit={kind['id']}"))
    assert 'id="other-kind"' in visitor.page.text


def test_another_clinic_is_offered_where_nothing_is_free(clinic: Clinic, visitor: Visitor) -> None:
    wanted = new_type(clinic, name="Eye test")
    clinic.hold(typed_slot(clinic, wanted)["id"], visitTypeId=wanted["id"], confirm=True)
    given = {"name": "East", "timeZone": "Asia/Tokyo"}
    east = clinic.http.post("/api/clinics", json=given, headers=clinic.admin).json()["id"]
    typed_slot(clinic, wanted, clinicId=east)
    eventually(lambda: "East" in visitor.open("/").text)
    told = text_of(visitor.open(f"/?clinic=1&visit={wanted['id']}"))
    assert f"{NOTHING_ELSE} at West either." in told
    assert told.endswith("Choose another clinic")
    for link in (r'id="other-clinics" href="([^"]+)"', r'href="([^"]+)">East<'):
        [url] = re.findall(link, visitor.page.text)
        visitor.open(unescape(url))
    assert "1 free time for Eye test" in text_of(visitor.page)
