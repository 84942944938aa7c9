"""Calendar files: every calendar must read the same, and hostile names must not add lines."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from icalendar import Calendar
from msgspec.structs import replace

from slotwise.domain.bookings import BookingStatus
from slotwise.services.booking.calendars import CalendarEntry
from slotwise.web.booking.calendars import calendar_of

LONDON = ZoneInfo("Europe/London")
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
    calendar, event = parsed(calendar_of(entry(), LONDON, "The North Clinic", LINK))
    assert (calendar["version"], calendar["calscale"], calendar["method"]) == ("2.0", "GREGORIAN", "PUBLISH")
    assert calendar["prodid"]
    assert (event["summary"], event["location"]) == ("Appointment with Dr. Ada Lovelace", "The North Clinic")
    assert (event["url"], event["description"]) == (LINK, f"Cardiology\nSee or cancel this appointment: {LINK}")
    assert (event.start, event.end) == (entry().start_time, entry().end_time)
    assert event["dtstart"].params["TZID"] == event["dtend"].params["TZID"] == "Europe/London"
    assert (event["uid"], event["sequence"]) == (entry().uid, 2)
    assert (event["created"].dt, event["last-modified"].dt) == (entry().created_at, entry().changed_at)
    assert event["dtstamp"].dt == entry().read_at
    assert (event["class"], event["status"], event["transp"]) == ("PRIVATE", "CONFIRMED", "OPAQUE")


def test_lines_end_and_fold_as_the_standard_says() -> None:
    file = calendar_of(replace(entry(), doctor_name="Dr. " + "Ä" * 190), LONDON, "医" * 60, LINK)
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
    harmless = calendar_of(entry(), LONDON, "The North Clinic")
    hostile = calendar_of(replace(entry(), doctor_name=name, specialization=name), LONDON, name)
    assert properties(hostile) == properties(harmless)
    _, event = parsed(hostile)
    read = name.replace("\r\n", "\n").replace("\r", "\n")
    assert str(event["location"]).replace("\r", "\n") == str(event["description"]).replace("\r", "\n") == read


def properties(file: bytes) -> list[bytes]:
    """The property name of each line, in order."""
    unfolded = file.replace(b"\r\n ", b"")
    return [line.replace(b";", b":").partition(b":")[0] for line in unfolded.split(b"\r\n")]


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca"])
def test_a_calendar_that_knows_no_zones_reads_the_same_instant(zone: str) -> None:
    """Reads the offset from the file. Tries each month, and each hour of the days when the clocks change."""
    noons = [datetime(2027, 1, 1, 12, tzinfo=UTC) + timedelta(days=day) for day in range(365)]
    offsets = {noon: noon.astimezone(ZoneInfo(zone)).utcoffset() for noon in noons}
    changes = [day for before, day in pairwise(noons) if offsets[before] != offsets[day]]
    assert len(changes) == (0 if zone == "Africa/Casablanca" else 2)
    for start in [*noons[::30], *(day - timedelta(hours=hour) for day in changes for hour in range(24))]:
        file = calendar_of(entry(start), ZoneInfo(zone), "The North Clinic")
        assert instants(file) == (start, start + timedelta(minutes=30))


def instants(file: bytes) -> tuple[datetime, datetime]:
    """Start and end as a program reads them that does not know the zone's name."""
    calendar, event = parsed(file)
    return instant(calendar, event, "dtstart"), instant(calendar, event, "dtend")


def instant(calendar: Any, event: Any, name: str) -> datetime:
    written = datetime.strptime(event[name].to_ical().decode().rstrip("Z"), "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    if "TZID" not in event[name].params:
        return written
    [described] = calendar.timezones
    assert described["tzid"] == event[name].params["TZID"]
    [observance] = described.subcomponents
    offset: timedelta = observance["tzoffsetto"].td
    return written - offset


def test_an_appointment_during_a_clock_change_is_written_in_utc() -> None:
    night = entry(datetime(2026, 10, 24, 22, tzinfo=UTC), minutes=8 * 60)
    file = calendar_of(night, LONDON, "The North Clinic")
    assert b"\r\nDTSTART:20261024T220000Z\r\nDTEND:20261025T060000Z\r\n" in file
    assert b"VTIMEZONE" not in file


def test_a_clinic_in_utc_needs_no_zone_in_the_file() -> None:
    file = calendar_of(entry(), ZoneInfo("Etc/UTC"), "The North Clinic")
    assert b"\r\nDTSTART:20260724T090000Z\r\n" in file
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
    _, event = parsed(calendar_of(replace(entry(), status=status), LONDON, "The North Clinic", LINK))
    assert (event["status"], event["transp"]) == (shown, blocks)
    assert ("cancel" in event["description"]) == (blocks == "OPAQUE")


def test_without_a_link_the_file_contains_no_url() -> None:
    file = calendar_of(entry(), LONDON, "The North Clinic")
    assert b"http" not in file
    assert b"URL" not in file


def test_the_file_says_for_how_many_people_if_there_are_several() -> None:
    _, event = parsed(calendar_of(replace(entry(), seats_booked=3), LONDON, "The North Clinic"))
    assert event["description"] == "Cardiology\nFor 3 people"
