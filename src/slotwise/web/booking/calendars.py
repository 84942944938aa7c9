"""An appointment as a file for calendar programs (RFC 5545)."""

from datetime import UTC

from icalendar import CLASS, STATUS, TRANSP, Calendar, Event

from slotwise.domain.bookings import BookingStatus
from slotwise.services.booking.calendars import CalendarEntry
from slotwise.web.booking.visits import VisitWords

_PRODUCT = "-//Slotwise//Appointments//EN"
_STATUS = {
    BookingStatus.PENDING: STATUS.TENTATIVE,
    BookingStatus.CONFIRMED: STATUS.CONFIRMED,
    BookingStatus.CANCELLED: STATUS.CANCELLED,
    BookingStatus.FAILED: STATUS.CANCELLED,
}
_ENDED = {BookingStatus.CANCELLED, BookingStatus.FAILED}


def calendar_of(
    entry: CalendarEntry,
    location: str,
    link: str | None = None,
    told: str | None = None,
    visit: VisitWords | None = None,
) -> bytes:
    """The file for one appointment. `link` leads to the booking's page; `told` says what the clinic changed.

    The file does not name the patient, because people share calendars with others. Its times are in UTC, which every
    calendar reads alike and shows in its owner's zone. A zone would have to be described in full: calendars keep the
    description by the zone's name, also for other files, or use rules of their own under that name, of any edition.
    """
    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    # Not an invitation, which would ask for an answer. RFC 5546 demands an organizer with an e-mail here. A clinic may
    # have none, and calendars work without it.
    calendar.add("method", "PUBLISH")
    calendar.add_component(_event_of(entry, location, link, told, visit))
    file: bytes = calendar.to_ical()
    return file


def _event_of(
    entry: CalendarEntry, location: str, link: str | None, told: str | None, visit: VisitWords | None
) -> Event:
    return Event.new(
        uid=entry.uid,
        sequence=entry.sequence,
        stamp=entry.read_at,
        created=entry.created_at,
        last_modified=entry.changed_at,
        start=entry.start_time.astimezone(UTC),
        end=entry.end_time.astimezone(UTC),
        summary=f"Appointment with {entry.doctor_name}",
        description=_description_of(entry, link, told, visit),
        location=location,
        url=link,
        status=_STATUS[entry.status],
        classification=CLASS.PRIVATE,
        transparency=TRANSP.TRANSPARENT if entry.status in _ENDED else TRANSP.OPAQUE,
    )


def _description_of(entry: CalendarEntry, link: str | None, told: str | None, visit: VisitWords | None) -> str:
    lines = [
        told,
        *([visit.visit_type.name, visit.visit_type.instructions] if visit else []),
        entry.specialization,
        f"For {entry.seats_booked} people" if entry.seats_booked > 1 else None,
        f"Video call: {visit.video_link}" if visit and visit.video_link and entry.status not in _ENDED else None,
        f"See or cancel this appointment: {link}" if link and entry.status not in _ENDED else None,
    ]
    return "\n".join(line for line in lines if line)
