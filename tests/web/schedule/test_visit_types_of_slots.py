"""Visit types of times on the desk's pages: given when times are added, changed afterwards, chosen by telephone."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, in_hours, unique_email
from tests.http.booking.test_visit_types import DAY, typed_slot
from tests.http.schedule.test_visit_types import new_type
from tests.web.people import AccountVisitor, text_of


@pytest.fixture
def admin(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        assert visitor.log_in(ADMIN_EMAIL, ADMIN_PASSWORD).status_code == 303
        visitor.http.follow_redirects = True
        yield visitor


def send(admin: AccountVisitor, path: str, *types: int, **fields: object) -> str:
    """Sends a form with these boxes ticked; returns the text of the answer."""
    data: dict[str, Any] = {name: str(value) for name, value in fields.items()}
    boxes = ["", *map(str, types)]
    headers = {"Sec-Fetch-Site": "same-origin", "Accept": "text/html"}
    admin.page = admin.http.post(path, data=data | {"visit_type_ids": boxes}, headers=headers)
    return text_of(admin.page)


def types_of_doctor(clinic: Clinic, doctor_id: int) -> list[list[int] | None]:
    found = clinic.http.get("/api/slots", params={"doctorId": doctor_id, "limit": 500}).json()["items"]
    return [one["visitTypeIds"] for one in found]


def test_times_are_added_with_types_one_or_many(clinic: Clinic, admin: AccountVisitor) -> None:
    kind, long, doctor = new_type(clinic)["id"], new_type(clinic, minutes=50)["id"], clinic.doctor()["id"]
    day = in_hours(24 * 30)[:10]
    one = {"day": day, "time": "08:00", "duration_minutes": 30, "total_seats": 1}
    path = f"/admin/doctors/{doctor}/slots"
    assert "longer than the time" in send(admin, f"{path}/one", long, **one)
    assert admin.page.status_code == 400
    send(admin, f"{path}/one", kind, **one)
    assert admin.page.status_code == 200
    hours = {"from_1": "09:00", "to_1": "10:00", "break_minutes": 0, "duration_minutes": 30, "total_seats": 1}
    many = {"first_day": day, "last_day": day, **hours, "step": "create", "weekdays": "1"}
    admin.http.post(
        f"{path}/new",
        data=many | {"weekdays": list("1234567"), "visit_type_ids": ["", str(kind)]},
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    assert types_of_doctor(clinic, doctor) == [[kind]] * 3


def test_types_of_a_time_are_changed_on_its_page(clinic: Clinic, admin: AccountVisitor) -> None:
    kind, other = new_type(clinic, name="Vaccination"), new_type(clinic, name="Eye test")
    slot = typed_slot(clinic, kind)
    path = f"/admin/slots/{slot['id']}"
    page = admin.open(path)
    assert f'value="{kind["id"]}" checked' in page.text
    told = send(admin, path, other["id"], change="visit_types")
    assert "The visit types were saved." in admin.page.text
    assert "Eye test" in told
    assert clinic.http.get(f"/api/slots/{slot['id']}").json()["visitTypeIds"] == [other["id"]]
    send(admin, path, change="visit_types")
    assert clinic.http.get(f"/api/slots/{slot['id']}").json()["visitTypeIds"] is None


def test_the_desk_books_a_type_by_telephone_in_spite_of_its_notice(clinic: Clinic, admin: AccountVisitor) -> None:
    kind = new_type(clinic, name="Needs a month", minNoticeMinutes=30 * DAY)
    slot = typed_slot(clinic, kind)
    new_type(clinic, name="No longer offered", active=False)
    for query in ("", f"&visit={kind['id']}"):
        found = admin.open(f"/admin/bookings/new?doctor={slot['doctorId']}{query}")
        assert f"slot={slot['id']}" in found.text
        assert ">Needs a month</option>" in found.text
        assert ">No longer offered</option>" not in found.text
    assert f"slot={slot['id']}" not in clinic.http.get("/", params={"doctor": slot["doctorId"]}).text
    page = admin.open(f"/admin/bookings/new?slot={slot['id']}")
    assert "Needs a month, 30 minutes" in page.text
    email = unique_email()
    admin.submit("/admin/bookings/new", user_name="Ada", user_email=email, seats="1", visit_type=kind["id"])
    assert admin.page.status_code == 200, admin.page.text
    booked = clinic.http.get("/api/bookings", params={"slotId": slot["id"]}, headers=clinic.admin).json()["items"]
    assert [(one["status"], one["visitTypeId"]) for one in booked] == [("CONFIRMED", kind["id"])]
