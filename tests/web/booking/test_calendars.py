"""Calendar files: every calendar must read the same, and hostile names must not add lines."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar
from msgspec.structs import replace

from slotwise.domain.bookings import BookingStatus
from slotwise.services.booking.calendars import CalendarEntry
from slotwise.web.booking.calendars import calendar_of
from tests.clinic import Clinic, object_of

BOOKED = datetime(2026, 7, 1, 9, tzinfo=UTC)
LINK = "https://clinic.example/bookings/7?token=unguessable"


def entry(start: datetime = datetime(2026, 7, 24, 9, tzinfo=UTC), minutes: int = 30) -> CalendarEntry:
    return CalendarEntry(
        manage_token_hash=b"\x07" * 32,
        status=BookingStatus.CONFIRMED,
        seats_booked=1,
        doctor_name="Dr. Ada Lovelace",
        specialization="Cardiology",
        start_time=start,
        end_time=start + timedelta(minutes=minutes),
        created_at=BOOKED,
        changed_at=BOOKED + timedelta(hours=1),
        read_at=BOOKED + timedelta(hours=2),
        sequence=2,
    )


def parsed(file: bytes) -> tuple[Any, Any]:
    """The calendar and its one event, as the library reads them."""
    calendar = Calendar.from_ical(file)
    assert isinstance(calendar, Calendar)
    assert not calendar.errors
    [event] = calendar.events
    return calendar, event


def test_the_file_has_what_when_and_where_and_can_be_read_back() -> None:
    calendar, event = parsed(calendar_of(entry(), "The North Clinic", LINK))
    assert (calendar["version"], calendar["calscale"], calendar["method"]) == ("2.0", "GREGORIAN", "PUBLISH")
    assert calendar["prodid"]
    assert (event["summary"], event["location"]) == ("Appointment with Dr. Ada Lovelace", "The North Clinic")
    assert (event["url"], event["description"]) == (LINK, f"Cardiology\nSee or cancel this appointment: {LINK}")
    assert (event.start, event.end) == (entry().start_time, entry().end_time)
    assert "TZID" not in event["dtstart"].params
    assert (event["uid"], event["sequence"]) == (entry().uid, 2)
    assert (event["created"].dt, event["last-modified"].dt) == (entry().created_at, entry().changed_at)
    assert event["dtstamp"].dt == entry().read_at
    assert (event["class"], event["status"], event["transp"]) == ("PRIVATE", "CONFIRMED", "OPAQUE")


def test_lines_end_and_fold_as_the_standard_says() -> None:
    file = calendar_of(replace(entry(), doctor_name="Dr. " + "Ä" * 190), "医" * 60, LINK)
    assert file.endswith(b"END:VCALENDAR\r\n")
    assert file.count(b"\n") == file.count(b"\r\n") == file.count(b"\r")
    assert max(len(line) for line in file.split(b"\r\n")) <= 75
    _, event = parsed(file)
    assert (event["summary"], event["location"]) == ("Appointment with Dr. " + "Ä" * 190, "医" * 60)


@pytest.mark.parametrize(
    "name",
    [
        "Dr. No\r\nATTENDEE:mailto:all@example.org",
        "Dr. No\nEND:VEVENT\nBEGIN:VALARM",
        "Dr. No\rURL:javascript:alert(1)",
        "Dr. No\\nSTATUS:CANCELLED",
        "No; VALUE=URI: x, y, z \\",
        '"Dr. No"^n;X=1:',
        "\u2028ATTENDEE:x\u0085ATTENDEE:y\x0bATTENDEE:z",
    ],
)
def test_a_hostile_name_adds_no_line_to_the_file(name: str) -> None:
    harmless = calendar_of(entry(), "The North Clinic")
    hostile = calendar_of(replace(entry(), doctor_name=name, specialization=name), name)
    assert properties(hostile) == properties(harmless)
    _, event = parsed(hostile)
    read = name.replace("\r\n", "\n").replace("\r", "\n")
    assert str(event["location"]).replace("\r", "\n") == str(event["description"]).replace("\r", "\n") == read


def properties(file: bytes) -> list[bytes]:
    """The property name of each line, in order."""
    unfolded = file.replace(b"\r\n ", b"")
    return [line.replace(b";", b":").partition(b":")[0] for line in unfolded.split(b"\r\n")]


ZONES = [
    "Europe/Berlin", "Europe/Dublin", "America/Vancouver", "America/Santiago", "Africa/Casablanca", "Asia/Kathmandu",
    "Australia/Lord_Howe", "Pacific/Apia",
]  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
def test_every_calendar_reads_the_same_instants_whatever_it_knows_of_zones(zone: str) -> None:
    """Tries each half hour of the days on which clocks change, twice ones included: the file names no zone."""
    start = datetime(2026, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    hours = [start + timedelta(minutes=30 * number) for number in range(365 * 48)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    changes = [number for number in range(1, len(hours)) if offsets[number] != offsets[number - 1]]
    for number in [0, *changes]:
        for moment in hours[max(0, number - 4) : number + 4]:
            end = moment + timedelta(hours=1)
            local = {"start_time": moment.astimezone(ZoneInfo(zone)), "end_time": end.astimezone(ZoneInfo(zone))}
            file = calendar_of(replace(entry(), **local), "The North Clinic")
            written = [f"DTSTART:{moment:%Y%m%dT%H%M%SZ}", f"DTEND:{end:%Y%m%dT%H%M%SZ}"]
            assert all(line.encode() in file.split(b"\r\n") for line in written), file
            assert b"TZID" not in file
            assert b"VTIMEZONE" not in file


@pytest.mark.parametrize(
    ("status", "shown", "blocks"),
    [
        (BookingStatus.PENDING, "TENTATIVE", "OPAQUE"),
        (BookingStatus.CONFIRMED, "CONFIRMED", "OPAQUE"),
        (BookingStatus.CANCELLED, "CANCELLED", "TRANSPARENT"),
        (BookingStatus.FAILED, "CANCELLED", "TRANSPARENT"),
    ],
)
def test_a_cancelled_appointment_does_not_block_the_calendar(status: BookingStatus, shown: str, blocks: str) -> None:
    _, event = parsed(calendar_of(replace(entry(), status=status), "The North Clinic", LINK))
    assert (event["status"], event["transp"]) == (shown, blocks)
    assert ("cancel" in event["description"]) == (blocks == "OPAQUE")


def test_without_a_link_the_file_contains_no_url() -> None:
    file = calendar_of(entry(), "The North Clinic")
    assert b"http" not in file
    assert b"URL" not in file


def test_the_file_says_for_how_many_people_if_there_are_several() -> None:
    _, event = parsed(calendar_of(replace(entry(), seats_booked=3), "The North Clinic"))
    assert event["description"] == "Cardiology\nFor 3 people"


def test_the_sequence_grows_with_every_change_of_what_the_file_says(clinic: Clinic) -> None:
    """Without that, a calendar may keep the file that it has (RFC 5546, 2.1.4)."""
    check_up = {"name": "Check-up", "minutes": 20}
    kind = object_of(clinic.http.post("/api/visit-types", json=check_up, headers=clinic.admin))
    slot = clinic.slot(visitTypeIds=[kind["id"]])
    held = clinic.hold(slot["id"], visitTypeId=kind["id"], confirm=True)
    place = object_of(clinic.http.get(f"/api/clinics/{slot['clinicId']}"))
    visit_type, doctor = f"/api/visit-types/{kind['id']}", f"/api/doctors/{slot['doctorId']}"
    changes: list[tuple[str, dict[str, object]]] = [
        (visit_type, {"name": "First visit"}),
        (visit_type, {"instructions": "Come early"}),
        (visit_type, {"mode": "VIDEO", "videoLink": "https://video.example.org/room"}),
        (visit_type, {"videoLink": None}),
        (visit_type, {"mode": "IN_PERSON"}),
        (doctor, {"name": "Dr. Other"}),
        (doctor, {"specialization": "Cardiology"}),
        (f"/api/slots/{slot['id']}", {"durationMinutes": 45}),
        (f"/api/clinics/{slot['clinicId']}", {"address": "14 New Street"}),
        (f"/api/clinics/{slot['clinicId']}", {"address": None, "name": "New Clinic"}),
        (f"/api/clinics/{slot['clinicId']}", {"address": place["address"], "name": place["name"]}),
    ]
    link = f"/bookings/{held['id']}/calendar.ics?token={held['manageToken']}"
    said = [_told_by(clinic, link)]
    for path, change in changes:
        assert clinic.http.patch(path, json=change, headers=clinic.admin).status_code == 200, (path, change)
        said.append(_told_by(clinic, link))
        (before, before_words), (after, words) = said[-2:]
        assert words != before_words, (path, change)
        assert after > before, (path, change)


@pytest.mark.parametrize(
    ("mode", "location"), [("VIDEO", "https://video.example.org/room"), ("TELEPHONE", "Telephone call")]
)
def test_a_call_is_at_no_address(clinic: Clinic, mode: str, location: str) -> None:
    video = {"videoLink": location} if mode == "VIDEO" else {}
    call = {"name": "Call", "minutes": 20, "mode": mode, **video}
    kind = object_of(clinic.http.post("/api/visit-types", json=call, headers=clinic.admin))
    held = clinic.hold(clinic.slot(visitTypeIds=[kind["id"]])["id"], visitTypeId=kind["id"], confirm=True)
    link = f"/bookings/{held['id']}/calendar.ics?token={held['manageToken']}"
    assert parsed(clinic.http.get(link).content)[1]["location"] == location
    assert clinic.http.delete(f"/api/bookings/{held['id']}", headers=clinic.admin).status_code == 200
    assert parsed(clinic.http.get(link).content)[1]["location"] == ("Video call" if video else location)


def _told_by(clinic: Clinic, link: str) -> tuple[int, tuple[str, ...]]:
    _, event = parsed(clinic.http.get(link).content)
    words = [event["summary"], event["description"], event["location"], event.end]
    return event["sequence"], tuple(map(str, words))
