"""A doctor is ill, and a colleague takes over the list: the desk's page, and what the patients see of it."""

import re
from typing import Any

from tests.clinic import Clinic, RunningServer, rows
from tests.web.people import AccountVisitor, text_of
from tests.web.schedule.test_sick_day import DAY, send, slot_at, staff, tell
from tests.web.visiting import Visitor

__all__ = ["staff"]


def hidden(page: str) -> list[tuple[str, str]]:
    """What the form of a preview carries."""
    names = ("change", "token", "choices")
    return [(name, re.findall(rf'name="{name}" value="([^"]*)"', page)[0]) for name in names]


def ask_for(staff: AccountVisitor, ill: dict[str, Any], colleague: dict[str, Any]) -> Any:
    """The preview of an absence that the colleague takes over."""
    where = f"doctor:{ill['id']}"
    staff.send("/admin/closures/new", where=where, first_day=DAY, message="The doctor is ill.")
    fields = [*hidden(staff.page.text), ("step", "colleague"), ("colleague_id", str(colleague["id"]))]
    shown = send(staff, "/admin/schedule", fields)
    assert shown.status_code == 200, shown.text
    return shown


def do_it(staff: AccountVisitor, page: str) -> Any:
    """The button of the preview, with what is chosen there."""
    chosen = re.findall(r'<option value="(\d+ [A-Z_]+)" selected>', page)
    return send(staff, "/admin/schedule", [*hidden(page), *(("decision", each) for each in chosen)])


def doctor_of(clinic: Clinic, booking: int) -> str:
    slot = clinic.http.get(f"/api/bookings/{booking}", headers=clinic.admin).json()["slot"]
    return str(slot["doctorName"])


def test_a_colleague_takes_over_ten_patients_in_at_most_six_clicks(
    staff: AccountVisitor, clinic: Clinic, server: RunningServer
) -> None:
    ill, colleague = (clinic.doctor(name=name, specialization="Takeology") for name in ("Dr. Ill", "Dr. Kind"))
    slots = [slot_at(clinic, ill, 9 + place // 5, place % 5 * 10) for place in range(10)]
    bookings = [clinic.hold(slot, confirm=True, userName=f"Sue Sick{slot}")["id"] for slot in slots]
    week = staff.open(f"/admin/doctors/{ill['id']}?week={DAY}")
    [away] = re.findall(rf'href="(/admin/closures/new\?where=doctor:{ill["id"]})"', week.text)
    staff.open(away)  # 1
    where = f"doctor:{ill['id']}"
    shown = staff.submit("/admin/closures/new", where=where, first_day=DAY, message="The doctor is ill.")  # 2
    assert f'<option value="{colleague["id"]}">Dr. Kind</option>' in shown.text
    fields = [*hidden(shown.text), ("step", "colleague"), ("colleague_id", str(colleague["id"]))]  # 3: the list
    page = send(staff, "/admin/schedule", fields)  # 4
    assert "10 of 10 go to Dr. Kind" in text_of(page)
    listed = do_it(staff, page.text)  # 5
    assert "10 appointments were given to a colleague" in text_of(listed)
    assert "10 of 10 patients still to tell" in text_of(listed)
    assert "now with Dr. Kind" in text_of(listed)
    assert {doctor_of(clinic, each) for each in bookings} == {"Dr. Kind"}
    assert "All 10 are told" in text_of(tell(staff, listed.url.path, bookings))  # 6
    found = rows(server.database_url, "SELECT DISTINCT status FROM bookings WHERE id = any($1)", bookings)
    assert [row[0] for row in found] == ["CONFIRMED"]


def test_patients_see_whom_they_will_see_instead(staff: AccountVisitor, clinic: Clinic, server: RunningServer) -> None:
    ill, colleague = (clinic.doctor(name=name) for name in ("Dr. Before", "Dr. After"))
    slot = slot_at(clinic, ill, 9)
    held = clinic.hold(slot, confirm=True)
    clinic.http.patch(f"/api/doctors/{ill['id']}", json={"specialization": "Renamed"}, headers=clinic.admin)
    path = f"/bookings/{held['id']}"
    link = f"?token={held['manageToken']}"
    patient = Visitor(server)
    before = sequence_of(clinic, path, link)
    do_it(staff, ask_for(staff, ill, colleague).text)
    told = "The clinic changed your doctor: you will see Dr. After instead of Dr. Before. The time stays."
    assert told in text_of(patient.open(path + link))
    file = clinic.http.get(f"{path}/calendar.ics{link}").text.replace("\r\n ", "")
    assert "you will see Dr. After instead of Dr. Before" in file.replace("\\", "")
    assert sequence_of(clinic, path, link) > before
    history = text_of(staff.open(f"/admin/bookings/{held['id']}"))
    assert "The appointment went from Dr. Before to Dr. After" in history
    clinic.http.patch(f"/api/slots/{slot}", json={"startTime": f"{DAY}T15:00:00Z"}, headers=clinic.admin)
    both = text_of(patient.open(path + link))
    assert "The clinic moved this appointment." in both
    assert "instead of Dr. Before." in both
    assert "The time stays." not in both


def sequence_of(clinic: Clinic, path: str, link: str) -> int:
    return int(re.findall(r"SEQUENCE:(\d+)", clinic.http.get(f"{path}/calendar.ics{link}").text)[0])


def test_whom_the_colleague_cannot_see_is_said_and_cancelled_unless_chosen_otherwise(
    staff: AccountVisitor, clinic: Clinic
) -> None:
    ill, colleague = (clinic.doctor(name=name) for name in ("Dr. Gone", "Dr. Busy"))
    taken, blocked, kept = (clinic.hold(slot_at(clinic, ill, 9, minute), confirm=True)["id"] for minute in (0, 10, 20))
    clinic.hold(slot_at(clinic, colleague, 9, 10), confirm=True)
    page = ask_for(staff, ill, colleague)
    assert "2 of 3 go to Dr. Busy" in text_of(page)
    assert text_of(page).count("Dr. Busy sees somebody else then.") == 1
    assert f'<option value="{blocked} TAKE_OVER"' not in page.text
    chosen = page.text.replace(f'"{kept} TAKE_OVER" selected', f'"{kept} TAKE_OVER"')
    listed = do_it(staff, chosen.replace(f'"{kept} KEEP"', f'"{kept} KEEP" selected'))
    assert [doctor_of(clinic, each) for each in (taken, blocked, kept)] == ["Dr. Busy", "Dr. Gone", "Dr. Gone"]
    found = [clinic.http.get(f"/api/bookings/{each}", headers=clinic.admin).json() for each in (blocked, kept)]
    assert [each["status"] for each in found] == ["CANCELLED", "CONFIRMED"]
    assert "2 of 2 patients still to tell" in text_of(listed)


def test_a_choice_that_the_page_does_not_offer_is_refused(staff: AccountVisitor, clinic: Clinic) -> None:
    ill, colleague = (clinic.doctor(name=name) for name in ("Dr. Away", "Dr. Here"))
    booking = clinic.hold(slot_at(clinic, ill, 9), confirm=True)["id"]
    fields = hidden(ask_for(staff, ill, colleague).text)
    for choice in ("12", f"{booking} FORGET", "x KEEP"):
        assert send(staff, "/admin/schedule", [*fields, ("decision", choice)]).status_code == 400
    nobody = [*fields, ("step", "colleague"), ("colleague_id", "")]
    assert f'name="cancel" value="{booking}" checked' in send(staff, "/admin/schedule", nobody).text
    unknown = [*fields, ("step", "colleague"), ("colleague_id", str(10**15))]
    assert "Must be the id of a doctor who takes appointments" in send(staff, "/admin/schedule", unknown).text
