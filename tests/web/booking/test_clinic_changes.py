"""What a patient reads after the clinic has moved or cancelled their appointment."""

from collections.abc import Iterator
from typing import Any

import pytest
from icalendar import Calendar

from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, holder, plant_account, rows, unique_email
from tests.web.people import PASSWORD, AccountVisitor, text_of
from tests.web.visiting import Visitor

MOVED = "The clinic moved this appointment. It was on Tuesday 4 May 2032 at 09:00"
CANCELLED = "The clinic cancelled this appointment"
NOTHING_TO_DO = "You do not need to do anything else."
AGAIN = "Book this time again"


@pytest.fixture
def patient(server: RunningServer) -> Iterator[AccountVisitor]:
    with AccountVisitor(server) as visitor:
        visitor.register()
        yield visitor


def booked(clinic: Clinic, patient: AccountVisitor, clock: str = "09:00", **fields: Any) -> dict[str, Any]:
    slot = clinic.slot(startTime=f"2032-05-04T{clock}:00Z", durationMinutes=30)
    return clinic.hold(slot["id"], headers=patient.bearer, **{"confirm": True, **fields})


def change(clinic: Clinic, booking: dict[str, Any], **fields: Any) -> None:
    answer = clinic.http.patch(f"/api/slots/{booking['slotId']}", json=fields, headers=clinic.admin)
    assert answer.status_code == 200, answer.text


def cancel(clinic: Clinic, booking: dict[str, Any], headers: dict[str, str]) -> None:
    assert clinic.http.delete(f"/api/bookings/{booking['id']}", headers=headers).status_code == 200


def page_of(patient: AccountVisitor, booking: dict[str, Any]) -> str:
    return text_of(patient.http.get(f"/bookings/{booking['id']}"))


def calendar_text(patient: AccountVisitor, booking: dict[str, Any]) -> str:
    file = patient.http.get(f"/bookings/{booking['id']}/calendar.ics").content
    [event] = Calendar.from_ical(file).walk("VEVENT")
    return str(event.get("description", ""))


def everything_about(patient: AccountVisitor, booking: dict[str, Any]) -> list[str]:
    """Its page, the list of appointments and the calendar file."""
    return [page_of(patient, booking), text_of(patient.http.get("/account")), calendar_text(patient, booking)]


def test_a_moved_appointment_says_when_it_was(clinic: Clinic, patient: AccountVisitor) -> None:
    """Also after a chain of moves: the patient knows the time that they booked."""
    booking = booked(clinic, patient)
    assert not any("The clinic" in text for text in everything_about(patient, booking))
    for clock in ("10:00", "11:30"):
        change(clinic, booking, startTime=f"2032-05-04T{clock}:00Z")
        assert all(f"{MOVED}." in text for text in everything_about(patient, booking)), clock
    guest = patient.http.get(f"/bookings/{booking['id']}", params={"token": booking["manageToken"]})
    assert MOVED in text_of(guest)
    change(clinic, booking, durationMinutes=20)
    assert f"{MOVED} for 30 minutes." in page_of(patient, booking)
    rows(
        clinic.server.database_url,
        "UPDATE appointment_slots SET start_time = now() - interval '2 hours', end_time = now() - interval '1 hour'"
        " WHERE id = $1",
        booking["slotId"],
    )
    assert MOVED in page_of(patient, booking), "a patient who comes at the old time must read it"


def test_a_move_is_not_told_when_both_times_have_passed(clinic: Clinic, patient: AccountVisitor) -> None:
    booking = booked(clinic, patient)
    rows(
        clinic.server.database_url,
        "UPDATE appointment_slots SET start_time = now() - interval '2 hours', end_time = now() - interval '1 hour'"
        " WHERE id = $1",
        booking["slotId"],
    )
    rows(
        clinic.server.database_url,
        "INSERT INTO audit_log (actor, action, subject, details)"
        " SELECT 'operator', 'update_slot', 'slot:' || $1::bigint,"
        " jsonb_build_object('start_time', jsonb_build_array(now() - interval '5 hours', now()))",
        booking["slotId"],
    )
    assert "The clinic moved" not in page_of(patient, booking)
    assert "The clinic moved" not in text_of(patient.http.get("/account"))


def test_a_move_before_the_booking_and_a_move_back_are_not_told(clinic: Clinic, patient: AccountVisitor) -> None:
    slot = clinic.slot(startTime="2032-05-04T07:00:00Z")
    change(clinic, {"slotId": slot["id"]}, startTime="2032-05-04T09:00:00Z")
    booking = clinic.hold(slot["id"], headers=patient.bearer, confirm=True)
    change(clinic, booking, startTime="2032-05-05T09:00:00Z")
    assert MOVED in page_of(patient, booking)
    change(clinic, booking, startTime="2032-05-04T09:00:00Z")
    assert not any("The clinic" in text for text in everything_about(patient, booking))


def test_another_length_is_told(clinic: Clinic, patient: AccountVisitor) -> None:
    booking = booked(clinic, patient)
    change(clinic, booking, durationMinutes=45, totalSeats=3)
    told = "The clinic changed when this appointment ends. It was until 09:30."
    assert all(told in text for text in everything_about(patient, booking))


def test_a_time_that_is_moved_while_it_is_held_is_told_before_it_is_confirmed(
    clinic: Clinic, patient: AccountVisitor
) -> None:
    booking = booked(clinic, patient, confirm=False)
    change(clinic, booking, startTime="2032-05-04T15:00:00Z")
    assert f"{MOVED}." in page_of(patient, booking)


def test_an_appointment_cancelled_by_the_clinic_says_so_and_asks_to_book_another(
    clinic: Clinic, patient: AccountVisitor
) -> None:
    booking = booked(clinic, patient)
    change(clinic, booking, status="CLOSED")
    cancel(clinic, booking, clinic.admin)
    texts = everything_about(patient, booking)
    assert all(CANCELLED in text for text in texts)
    assert "Please book another time, or call the clinic." in texts[0]
    assert NOTHING_TO_DO not in texts[0]
    assert AGAIN not in texts[0]
    change(clinic, booking, status="OPEN")
    assert AGAIN in page_of(patient, booking), "it is on offer"
    doctor = clinic.http.get(f"/api/slots/{booking['slotId']}").json()["doctorId"]
    clinic.http.patch(f"/api/doctors/{doctor}", json={"active": False}, headers=clinic.admin)
    assert AGAIN not in page_of(patient, booking), "the doctor takes no appointments"


def test_an_appointment_that_the_patient_cancelled_is_not_the_clinics(clinic: Clinic, patient: AccountVisitor) -> None:
    by_account, by_link = booked(clinic, patient), booked(clinic, patient, "13:00")
    change(clinic, by_account, startTime="2032-05-04T11:00:00Z")
    cancel(clinic, by_account, patient.bearer)
    cancel(clinic, by_link, holder(by_link))
    for booking in (by_account, by_link):
        texts = everything_about(patient, booking)
        assert NOTHING_TO_DO in texts[0]
        assert AGAIN in texts[0]
        assert not any("The clinic" in text for text in texts)


def test_what_the_desk_cancels_for_a_patient_who_asked_is_not_the_clinics(
    clinic: Clinic, patient: AccountVisitor
) -> None:
    """The desk ticks it. Without the tick, the same form makes it the clinic's."""
    with Visitor(clinic.server) as desk:
        desk.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        asked, not_asked = booked(clinic, patient), booked(clinic, patient, "13:00")
        for booking, typed in ((asked, {"patient_asked": "yes"}), (not_asked, {})):
            form = f"/admin/bookings/{booking['id']}/cancel"
            desk.open(form)
            assert desk.submit(form, reason="x" * 201, **typed).status_code == 400
            assert ("checked" in desk.page.text) == bool(typed), "a refused form keeps the tick"
            desk.submit(form, reason="A reason", **typed)
            assert ("The patient asked for this." in text_of(desk.page)) == bool(typed)
            to_tell = text_of(desk.open(f"/admin/slots/{booking['slotId']}"))
            assert ("tell these patients" in to_tell) != bool(typed)
        log = text_of(desk.open(f"/admin/audit?about=booking+{asked['id']}"))
        assert log.count("Noted that the patient asked for it") == 2, "the entry, and the choice of entries"
    assert CANCELLED in page_of(patient, not_asked)
    assert CANCELLED in calendar_text(patient, not_asked)
    assert NOTHING_TO_DO in page_of(patient, asked)
    assert "The clinic" not in calendar_text(patient, asked)
    assert text_of(patient.http.get("/account")).count(CANCELLED) == 1


def test_a_wish_noted_too_late_does_not_change_what_the_clinic_did(clinic: Clinic, patient: AccountVisitor) -> None:
    booking = booked(clinic, patient)
    cancel(clinic, booking, clinic.admin)
    with Visitor(clinic.server) as desk:
        desk.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        desk.send(f"/admin/bookings/{booking['id']}/cancel", reason="", patient_asked="yes")
    assert CANCELLED in page_of(patient, booking)


def test_who_cancels_again_what_the_patient_has_cancelled_changes_nothing(
    clinic: Clinic, patient: AccountVisitor
) -> None:
    """The desk's page may be older than the cancellation."""
    booking = booked(clinic, patient)
    cancel(clinic, booking, holder(booking))
    cancel(clinic, booking, clinic.admin)
    assert not any("The clinic" in text for text in everything_about(patient, booking))


def test_a_receptionist_who_cancels_their_own_appointment_is_a_patient(clinic: Clinic, server: RunningServer) -> None:
    email = unique_email()
    plant_account(server.database_url, email, "Rita Reception", "staff", PASSWORD)
    with AccountVisitor(server) as rita:
        rita.log_in(email)
        own, of_another = booked(clinic, rita, userEmail=email), booked(clinic, rita, "13:00", userEmail=unique_email())
        for booking in (own, of_another):
            cancel(clinic, booking, rita.bearer)
        assert NOTHING_TO_DO in page_of(rita, own)
        assert CANCELLED in page_of(rita, of_another)


def test_a_receptionist_who_gives_up_their_own_hold_is_a_patient(clinic: Clinic, server: RunningServer) -> None:
    """It has no name and no address yet. They let it go on its page, for another time, and at the desk."""
    email = unique_email()
    plant_account(server.database_url, email, "Rita Reception", "staff", PASSWORD)
    with Visitor(server) as rita:
        rita.send("/log-in", email=email, password=PASSWORD)
        slots = [clinic.slot()["id"] for _ in range(4)]
        pages = [rita.hold(slot) for slot in slots[:2]]
        rita.submit("/bookings/[0-9]+/release")
        pages.append(rita.hold(slots[2]))
        at_desk = f"/admin{pages[2].partition('?')[0]}/cancel"
        rita.open(at_desk)
        rita.submit(at_desk)
        for page in pages:
            told = text_of(rita.open(page))
            assert "You gave up this time before you confirmed it" in told, told
            assert "The clinic" not in told


def test_a_hold_that_the_clinic_released_says_so(clinic: Clinic, patient: AccountVisitor) -> None:
    booking = booked(clinic, patient, confirm=False)
    cancel(clinic, booking, clinic.admin)
    assert "The clinic released this hold before it was confirmed" in page_of(patient, booking)
    told = calendar_text(patient, booking)
    assert "The clinic released this hold before it was confirmed" in told
    assert "appointment" not in told
    assert "The clinic" not in text_of(patient.http.get("/account"))
