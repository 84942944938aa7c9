"""An appointment as a file for the calendar on a phone or a desk (RFC 5545)."""

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


def calendar_of(entry: CalendarEntry, zone: ZoneInfo, clinic: str, link: str | None = None) -> bytes:
    """The file, for one appointment. `link` is the booking's page; None for whoever may not be given it.

    Nothing in it names the patient: a calendar is shared with others more easily than a letter is.
    """
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    # An invitation would ask for an answer. RFC 5546 wants an organizer here too, with an address, which a clinic may
    # not have; no calendar misses it.
    calendar.add("method", "PUBLISH")
    start, end = _period_in(zone, entry)
    event = _event_of(entry, start, end, clinic, link)
    if "TZID" in event["dtstart"].params:
        calendar.add_component(_zone_at(start, zone))
    calendar.add_component(event)
    file: bytes = calendar.to_ical()
    return file


def _event_of(entry: CalendarEntry, start: datetime, end: datetime, clinic: str, link: str | None) -> Event:
    return Event.new(
        uid=entry.uid,
        sequence=entry.sequence,
        stamp=entry.read_at,
        created=entry.created_at,
        last_modified=entry.changed_at,
        start=start,
        end=end,
        summary=f"Appointment with {entry.doctor_name}",
        description=_description_of(entry, link),
        location=clinic,
        url=link,
        status=_STATUS[entry.status],
        classification=CLASS.PRIVATE,
        transparency=TRANSP.TRANSPARENT if entry.status in _ENDED else TRANSP.OPAQUE,
    )


def _period_in(zone: ZoneInfo, entry: CalendarEntry) -> tuple[datetime, datetime]:
    """In the clinic's time; in UTC where the clocks change meanwhile."""
    start, end = entry.start_time.astimezone(zone), entry.end_time.astimezone(zone)
    return (start, end) if start.utcoffset() == end.utcoffset() else (entry.start_time, entry.end_time)


def _description_of(entry: CalendarEntry, link: str | None) -> str:
    lines = [
        entry.specialization,
        f"For {entry.seats_booked} people" if entry.seats_booked > 1 else None,
        f"See or cancel this appointment: {link}" if link and entry.status not in _ENDED else None,
    ]
    return "\n".join(line for line in lines if line)


def _zone_at(moment: datetime, zone: ZoneInfo) -> Timezone:
    """The zone, as far as the appointment needs it: the one offset that the clock has then.

    Calendars that know the name go by their own rules. Outlook does not, and of others' it reads no dates but yearly
    rules, one for summer and one for winter; of a single offset it makes no mistake. The library would list the dates
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
