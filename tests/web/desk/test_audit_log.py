"""The audit log as a page: in words, searched by who, what, about what and when."""

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import msgspec
import pytest

from slotwise.services.core.audit import AuditEntry
from slotwise.web.desk.audit_words import ACTIONS, details_words
from slotwise.web.kit.times import ClinicTime
from tests.architecture.sources import functions, sources
from tests.clinic import ADMIN_EMAIL, ADMIN_PASSWORD, Clinic, RunningServer, unique_email
from tests.web.visiting import Visitor

LOG = "/admin/audit"


@pytest.fixture
def desk(server: RunningServer) -> Iterator[Visitor]:
    with Visitor(server) as visitor:
        visitor.send("/log-in", email=ADMIN_EMAIL, password=ADMIN_PASSWORD)
        yield visitor


def entries(visitor: Visitor, query: str) -> list[list[str]]:
    """The cells of each row."""
    page = visitor.open(f"{LOG}?{query}").text
    table = page.partition("<tbody")[2]
    return [
        [" ".join(re.sub(r"<[^>]+>", "", cell).split()) for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)
    ]


def test_entries_are_found_by_each_field_and_shown_in_words(clinic: Clinic, desk: Visitor) -> None:
    booking = clinic.hold(clinic.slot()["id"])
    desk.open(f"/admin/bookings/{booking['id']}")
    for query in ("", f"&who={ADMIN_EMAIL}", "&who=user+1", "&action=get_history", "&from=2026-01-01&to=2099-01-01"):
        [entry] = entries(desk, f"about=booking+{booking['id']}{query}")
        assert entry[1:] == [
            "Administrator (user 1)",
            "Looked at the history of a booking",
            f"Booking {booking['id']}",
            "\N{EN DASH}",
        ]
    for query in ("&who=operator", "&who=2147483647", "&action=update_slot", "&to=2026-01-01"):
        assert entries(desk, f"about=booking+{booking['id']}{query}") == []
    assert "No entries found" in desk.page.text


def test_a_change_is_shown_with_old_and_new_values(clinic: Clinic, desk: Visitor) -> None:
    slot = clinic.slot(seats=4, startTime="2033-11-23T09:00:00Z")
    doctor = f"/admin/doctors/{slot['doctorId']}"
    changes = {"totalSeats": 6, "startTime": "2033-11-24T10:00:00Z", "status": "CLOSED"}
    clinic.http.patch(f"/api/slots/{slot['id']}", json=changes, headers=clinic.admin)
    clinic.http.patch(f"/api/slots/{slot['id']}", json={"durationMinutes": 30, "totalSeats": 6}, headers=clinic.admin)
    desk.send(f"{doctor}/edit", name="Dr. Ono", specialization="Podiatry")
    desk.send(f"{doctor}/active", active="no")
    told = [entry[4] for entry in entries(desk, f"about=slot+{slot['id']}&action=update_slot")]
    assert told[0] == "\N{EN DASH}", "nothing was different"
    assert re.fullmatch(
        r"closed for booking, moved from Wed 23 Nov 2033, \d\d:00 to Thu 24 Nov 2033, \d\d:00, seats from 4 to 6",
        told[1],
    )
    told = [entry[4] for entry in entries(desk, f"about=doctor+{slot['doctorId']}&action=update_doctor")]
    assert told == [
        "takes no new appointments",
        "name from Dr. Who to Dr. Ono, specialty from none to Podiatry",
    ]


def test_changes_of_an_account_are_shown_without_its_name_and_email(clinic: Clinic, desk: Visitor) -> None:
    email = unique_email()
    desk.send("/admin/users/new", name="Sam Secret", email=email, role="patient", password="a password of Sam's")
    user_id = desk.page.url.path.rpartition("/")[2]
    desk.send(f"/admin/users/{user_id}/rights", role="staff")
    desk.send(f"/admin/users/{user_id}/rights", active="no")
    told = [entry[4] for entry in entries(desk, f"about=user+{user_id}")]
    told = [words for words in told if words != "\N{EN DASH}"]
    assert told == ["deactivated", "role from patient to staff", "role patient"]
    assert email not in desk.page.text


DETAILS = [
    ("slot:7", "update_slot", {"start_time": ["2033-07-01T07:00:00Z", "2033-12-01T07:00:00Z"]},
     "moved from Fri 1 Jul 2033, 09:00 to Thu 1 Dec 2033, 08:00"),
    ("slot:7", "update_slot", {"duration_minutes": [30, 45], "status": ["CLOSED", "OPEN"]},
     "lasts 45 minutes instead of 30, opened for booking again"),
    ("slot:7", "update_slot", {"colour": ["red", "blue"]}, "colour from red to blue"),
    ("slot:7", "update_slot", {"seen": ["2033-99-99T00:00:00Z", "9999-12-31T23:59:59Z"]},
     "seen from 2033-99-99t00:00:00z to 9999-12-31t23:59:59z"),
    ("doctor:7", "update_doctor", {"name": ["2033-99-99T00:00:00Z", "Dr. PENDING"], "specialization": [None, "X"]},
     "name from 2033-99-99T00:00:00Z to Dr. PENDING, specialty from none to X"),
    ("user:7", "change_rights", {"role": "staff", "active": True}, "role staff, active yes"),
    ("booking:7", "cancel_booking", {"status": ["PENDING", "CANCELLED"], "reason": True},
     "status from on hold to released, with a reason"),
    ("booking:7", "cancel_booking", {"status": ["CONFIRMED", "CANCELLED"]}, "status from confirmed to cancelled"),
    ("guest", "erase_personal_data", {"booking_ids": [17, 18]}, "booking ids 17 18"),
    (
        "doctor:7",
        "apply_schedule",
        {"added": 3, "visit_types": [{"id": 5, "minutes": [30, 20], "buffer_minutes": [0, 5]}]},
        "added 3, visit type 5: minutes from 30 to 20 and buffer minutes from 0 to 5",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("subject", "action", "details", "words"), DETAILS)
def test_details_of_every_release_are_shown_in_words_and_clinic_time(
    subject: str, action: str, details: dict[str, object], words: str
) -> None:
    noted_at = datetime(2033, 1, 1, tzinfo=UTC)
    entry = AuditEntry(1, "user:1", None, action, subject, msgspec.json.encode(details).decode(), None, noted_at)
    assert details_words(entry, ClinicTime(ZoneInfo("Europe/Berlin"))) == words


def test_the_log_has_pages_and_records_who_reads_it(desk: Visitor) -> None:
    for _ in range(51):
        desk.open(f"{LOG}?about=nothing")
    first = entries(desk, "action=list_audit")
    assert len(first) == 50
    assert first[0][2:] == ["Read this log", "Audit", "subject yes"], "what was typed may be a name"
    [older] = re.findall(r'rel="next" href="/admin/audit\?([^"]+)"', desk.page.text)
    rest = entries(desk, older.replace("&amp;", "&"))
    assert rest
    assert rest[0][0] <= first[-1][0]
    assert "Newest</a>" in desk.page.text


@pytest.mark.parametrize(
    ("query", "field"),
    [("who=nobody@example.org", "who"), ("from=x", "from"), ("about=%00", "about"), ("action=ada", "action")],
)
def test_an_invalid_query_is_shown_again_with_its_error(desk: Visitor, query: str, field: str) -> None:
    assert desk.open(f"{LOG}?{query}").status_code == 400
    assert f'href="#{field}"' in desk.page.text


@pytest.mark.parametrize("before", ["x", "1-", "-1", "9" * 19 + "-1", "9" * 18 + "-1", "1-1"])
def test_an_invalid_position_in_the_log_is_harmless(desk: Visitor, before: str) -> None:
    assert desk.open(f"{LOG}?before={before}").status_code == 200


def test_every_action_has_words_and_all_words_have_an_action() -> None:
    """SQL records erasures, bookings by the desk, changes of schedules and slots, and notes about patients."""
    calls = [
        call.args[2].value
        for source in sources()
        for function in functions(source.tree)
        for call in ast.walk(function)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) in {"record_action", "self._note_reading"}
        and isinstance(call.args[2], ast.Constant)
    ]
    assert set(ACTIONS) == {
        *calls,
        "apply_schedule",
        "take_over_slot",
        "take_over_slots",
        "erase_personal_data",
        "hold_seats",
        "import_bookings",
        "import_doctors",
        "import_timetables",
        "note_patients_told",
        "note_patients_wish",
        "overbook_seats",
        "update_slot",
    }
