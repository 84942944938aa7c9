"""An appointment as a file for calendar programs (RFC 5545)."""

from datetime import datetime
from zoneinfo import ZoneInfo

from icalendar import CLASS, STATUS, TRANSP, Calendar, Event, Timezone, TimezoneStandard

from slotwise.domain.bookings import BookingStatus
from slotwise.services.booking.calendars import CalendarEntry

_PRODUCT = "-//Slotwise//Appointments//EN"
_STATUS = {
    BookingStatus.PENDING: STATUS.TENTATIVE,
    BookingStatus.CONFIRMED: STATUS.CONFIRMED,
    BookingStatus.CANCELLED: STATUS.CANCELLED,
    BookingStatus.FAILED: STATUS.CANCELLED,
}
_ENDED = {BookingStatus.CANCELLED, BookingStatus.FAILED}


def calendar_of(
    entry: CalendarEntry, zone: ZoneInfo, clinic: str, link: str | None = None, told: str | None = None
) -> bytes:
    """The file for one appointment. `link` leads to the booking's page; `told` says what the clinic changed.

    The file does not name the patient, because people share calendars with others.
    """
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    # Not an invitation, which would ask for an answer. RFC 5546 demands an organizer with an e-mail here. A clinic may
    # have none, and calendars work without it.
    calendar.add("method", "PUBLISH")
    start, end = _period_in(zone, entry)
    event = _event_of(entry, start, end, clinic, link, told)
    if "TZID" in event["dtstart"].params:
        calendar.add_component(_zone_at(start, zone))
    calendar.add_component(event)
    file: bytes = calendar.to_ical()
    return file


def _event_of(
    entry: CalendarEntry, start: datetime, end: datetime, clinic: str, link: str | None, told: str | None
) -> Event:
    return Event.new(
        uid=entry.uid,
        sequence=entry.sequence,
        stamp=entry.read_at,
        created=entry.created_at,
        last_modified=entry.changed_at,
        start=start,
        end=end,
        summary=f"Appointment with {entry.doctor_name}",
        description=_description_of(entry, link, told),
        location=clinic,
        url=link,
        status=_STATUS[entry.status],
        classification=CLASS.PRIVATE,
        transparency=TRANSP.TRANSPARENT if entry.status in _ENDED else TRANSP.OPAQUE,
    )


def _period_in(zone: ZoneInfo, entry: CalendarEntry) -> tuple[datetime, datetime]:
    """In the clinic's time; in UTC if the clocks change during the appointment."""
    start, end = entry.start_time.astimezone(zone), entry.end_time.astimezone(zone)
    return (start, end) if start.utcoffset() == end.utcoffset() else (entry.start_time, entry.end_time)


def _description_of(entry: CalendarEntry, link: str | None, told: str | None) -> str:
    lines = [
        told,
        entry.specialization,
        f"For {entry.seats_booked} people" if entry.seats_booked > 1 else None,
        f"See or cancel this appointment: {link}" if link and entry.status not in _ENDED else None,
    ]
    return "\n".join(line for line in lines if line)


def _zone_at(moment: datetime, zone: ZoneInfo) -> Timezone:
    """The zone with a single offset: the one at the time of the appointment.

    Calendars that know the zone's name use their own rules. Outlook does not. It reads only yearly rules, one for
    summer and one for winter, and no lists of dates; a single offset it reads right. The library would list the dates
    of changes, and those in spring an hour late.
    """
    described, observance = Timezone(), TimezoneStandard()
    described.add("tzid", zone.key)
    observance.add("dtstart", datetime(1970, 1, 1))  # noqa: DTZ001 - in local time, by the standard
    observance.add("tzname", moment.tzname())
    observance.add("tzoffsetfrom", moment.utcoffset())
    observance.add("tzoffsetto", moment.utcoffset())
    described.add_component(observance)
    return described
