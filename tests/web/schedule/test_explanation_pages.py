"""The desk's page that says why nothing is free, in plain words."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, object_of
from tests.http.booking.test_offered_times import book
from tests.http.schedule.test_explanations import close
from tests.open_time import OpenTime, open_time
from tests.web.people import AccountVisitor

FINDER = "/admin/bookings/new"
PATH = f"{FINDER}/why"


@pytest.fixture
def admin(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        assert visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD).status_code == 303
        visitor.http.follow_redirects = True
        yield visitor


@pytest.fixture
def morning(clinic: Clinic) -> OpenTime:
    """Three hours with steps of 15 minutes, and 5 minutes after each visit."""
    return open_time(clinic.server.database_url, step=15)


def words(visitor: AccountVisitor) -> str:
    """What a person reads on the page."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", visitor.page.text)).split())


def ask(visitor: AccountVisitor, morning: OpenTime, **more: object) -> str:
    """Of the day, for visits of 20 minutes."""
    query = {"doctor": morning.doctor_id, "visit": morning.types[20], "day": morning.start.date()} | more
    visitor.page = visitor.http.get(PATH, params={name: str(value) for name, value in query.items()})
    return words(visitor)


def test_the_desk_reads_why_11_40_was_not_offered(clinic: Clinic, admin: AccountVisitor, morning: OpenTime) -> None:
    assert book(clinic, morning.offered(130, 20), confirm=True).status_code == 201
    told = ask(admin, morning, at="11:40")
    assert admin.page.status_code == 200
    assert "11:40 is not free:" in told
    assert (
        "No visit begins at 11:40: the hours begin at 09:00, visits begin every 15 minutes, the doctor is free again at"
        " 11:35."
    ) in told
    assert "The nearest free time is 11:35." in told


def test_a_day_says_how_many_times_there_are_and_what_took_them(
    clinic: Clinic, admin: AccountVisitor, morning: OpenTime
) -> None:
    closure_id = close(clinic, morning, 100, 130)
    slot_id = object_of(book(clinic, morning.offered(30, 20), confirm=True))["slotId"]
    told = ask(admin, morning)
    assert "3: absence, 10:40 to 11:10" in told
    assert "3: booked, 09:30 to 09:55" in told
    assert f'href="/admin/closures/{closure_id}"' in admin.page.text
    assert f'href="/admin/slots/{slot_id}"' in admin.page.text


def test_the_page_keeps_the_choices_of_the_finder_and_leads_back(admin: AccountVisitor, morning: OpenTime) -> None:
    far = morning.start.date() + timedelta(days=300)
    # The rule of these hours has a time each Monday.
    choices = f"visit={morning.types[20]}&doctor={morning.doctor_id}&day={far}"
    admin.open(f"{FINDER}?{choices}")
    assert "Why is nothing free?" in words(admin)
    [link] = re.findall(r'id="why" href="([^"]+)"', admin.page.text)
    admin.open(unescape(link))
    assert "the hours are not published until this day yet" in words(admin)
    [back] = re.findall(r'id="back" href="([^"]+)"', admin.page.text)
    assert unescape(back) == f"{FINDER}?{choices}"
    admin.open(unescape(back))
    assert admin.page.status_code == 200


def test_an_unreadable_time_is_named_in_the_form(admin: AccountVisitor, morning: OpenTime) -> None:
    told = ask(admin, morning, at="noon")
    assert admin.page.status_code == 400
    assert "Why not at: must be a time such as 09:30" in told


def test_times_for_patients_have_a_notice(clinic: Clinic, admin: AccountVisitor, morning: OpenTime) -> None:
    change = {"minNoticeMinutes": 60 * 24 * 60}
    changed = clinic.http.patch(f"/api/visit-types/{morning.types[20]}", json=change, headers=clinic.admin)
    assert changed.status_code == 200, changed.text
    assert "too late for this kind of visit" not in ask(admin, morning)
    assert "too late for this kind of visit: it can begin from" in ask(admin, morning, audience="patients")
