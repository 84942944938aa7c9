"""A clinic in which each list has something, and more than one page of it where that is cheap."""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

from tests.clinic import Clinic, holder, in_hours, rows

BERLIN = ZoneInfo("Europe/Berlin")
# More than the dashboard shows before the others are folded away, and than a page of free times has.
DOCTORS, TIMES = 14, 60
EMPTY_DAY = "2090-01-15"


class Names(NamedTuple):
    """What people and things are called. Pages must also have room for long ones."""

    doctor: str = "Dr. Ada Lovelace-Byron"
    specialization: str = "Cardiology"
    patient: str = "Grace Hopper"
    email: str = "grace@example.org"


SHORT = Names()


class FullClinic(NamedTuple):
    """`doctor` has many free times on `long_day`, some `after` a place. `busy` has confirmed, cancelled and held visits
    today. `taken` has one time, which is on hold, and `idle` has none."""

    doctor: int
    busy: int
    taken: int
    idle: int
    specialization: str
    long_day: date
    after: str
    slot: int
    booking: int
    link: str


def fill(clinic: Clinic, names: Names = SHORT) -> FullClinic:
    kind = f"{names.specialization} {uuid4().hex[:8]}"
    doctors = [clinic.doctor(name=names.doctor, specialization=kind)["id"] for _ in range(DOCTORS)]
    today = [
        clinic.slot(seats=20, doctorId=doctor, startTime=in_hours(1), durationMinutes=1440)["id"]
        for doctor in doctors[1:]
    ]
    person = {"userName": names.patient, "userEmail": names.email}
    first = [clinic.hold(today[0], confirm=confirm, **person) for confirm in [True] * 10 + [False] * 5]
    for booking in (*first[:5], first[-1]):
        clinic.http.delete(f"/api/bookings/{booking['id']}", headers=clinic.admin)
    clinic.http.delete(f"/api/bookings/{first[-2]['id']}", headers=holder(first[-2]))
    for slot in today[1:]:
        clinic.hold(slot, seatsBooked=2, confirm=True, **person)
    clinic.hold(clinic.slot(seats=5, doctorId=doctors[0])["id"], seatsBooked=4, confirm=True, **person)
    long_day = datetime.now(BERLIN).date() + timedelta(days=3)
    _publish(clinic, doctors[0], long_day)
    taken = clinic.doctor(name=names.doctor, specialization=kind)["id"]
    clinic.hold(clinic.slot(doctorId=taken)["id"], **person)
    _keep_holds(clinic)
    # The slots of today begin now and last a day, so that they are of today at any hour.
    rows(
        clinic.server.database_url,
        "UPDATE appointment_slots SET start_time = now(), end_time = now() + interval '1 day' WHERE id = any($1)",
        today,
    )
    return FullClinic(
        doctor=doctors[0],
        busy=doctors[1],
        taken=taken,
        idle=clinic.doctor(name=names.doctor)["id"],
        specialization=kind,
        long_day=long_day,
        after=f"{long_day:%Y%m%d}T120000Z-0",
        slot=today[0],
        booking=first[5]["id"],
        link=f"/bookings/{first[5]['id']}?token={first[5]['manageToken']}",
    )


def _publish(clinic: Clinic, doctor: int, day: date) -> None:
    body = {
        "doctorId": doctor, "firstDay": f"{day}", "lastDay": f"{day}", "weekdays": [day.isoweekday()],
        "periods": [{"from": "09:00", "to": "19:00"}], "durationMinutes": 600 // TIMES, "timeZone": "Europe/Berlin",
    }  # fmt: skip
    answer = clinic.http.post("/api/slots/batch", json=body, headers=clinic.admin)
    assert answer.status_code == 201, answer.text


def patient_of(clinic: Clinic, full: FullClinic, names: Names = SHORT) -> dict[str, str]:
    """An account with more than a page of appointments, two of them cancelled, as the header of its token.

    Of a doctor of its own, so that the long day stays long.
    """
    headers = clinic.patient(names.patient)
    doctor = clinic.doctor(name=names.doctor, specialization=names.specialization)["id"]
    _publish(clinic, doctor, full.long_day)
    slots: list[dict[str, Any]] = clinic.http.get("/api/slots", params={"doctorId": doctor, "limit": 24}).json()[
        "items"
    ]
    for number, slot in enumerate(slots):
        booking = clinic.hold(slot["id"], headers=headers, confirm=number > 0)
        if number in {1, 2}:
            clinic.http.delete(f"/api/bookings/{booking['id']}", headers=headers if number == 1 else clinic.admin)
    _keep_holds(clinic)
    return headers


def _keep_holds(clinic: Clinic) -> None:
    """The holds last for all tests, however slow the machine is."""
    rows(
        clinic.server.database_url,
        "UPDATE bookings SET expires_at = now() + interval '1 hour' WHERE status = 'PENDING'",
    )
