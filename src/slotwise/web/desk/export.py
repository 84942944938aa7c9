"""Bookings as a CSV file for spreadsheets: RFC 4180, UTF-8, and no cell that a spreadsheet would run as a formula."""

import csv
import io
import re
from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from slotwise.services.desk.export import ExportedBooking
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.status_words import booking_words
from slotwise.web.kit.times import ClinicTime
from slotwise.web.kit.zone_offsets import repeats

# Without it, Excel reads the file in an 8-bit encoding.
BYTE_ORDER_MARK = "\ufeff"
# What starts a formula (OWASP, CSV Injection), and the full-width forms that some spreadsheets read alike. Also after a
# semicolon, with or without quotes: it starts a cell in countries that write decimals with a comma.
_START_OF_FORMULA = re.compile('(^|;)([ "]*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20])')


async def rows_of(pages: AsyncIterator[list[ExportedBooking]], renderer: Renderer) -> AsyncIterator[str]:
    """The file in pieces: the heading, then one for each page of bookings.

    Where there are several clinics, each row has its clinic, and its times by that clock.
    """
    several = renderer.clinics.several
    yield BYTE_ORDER_MARK + written([_heading(None if several else renderer.time)])
    async for bookings in pages:
        yield written([_row_at(each, renderer) if several else _row_of(each, renderer.time) for each in bookings])


def _row_at(exported: ExportedBooking, renderer: Renderer) -> list[object]:
    clinic = renderer.clinics.get(exported.booking.clinic_id)
    return [*_row_of(exported, renderer.time_of(clinic.id)), clinic.name, clinic.time_zone]


def written(rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([[safe(cell) for cell in row] for row in rows])
    return text.getvalue()


def safe(cell: object) -> object:
    """A text gets an apostrophe in front, so that a spreadsheet shows it and does not compute it."""
    return _START_OF_FORMULA.sub(r"\1'\2", cell) if isinstance(cell, str) else cell


def _heading(time: ClinicTime | None) -> list[object]:
    """`time` is that of the only clinic."""
    zone = "time of the clinic" if time is None else time.zone.key
    return [
        "Booking",
        "Status",
        f"Starts ({zone})",
        f"Ends ({zone})",
        "Doctor",
        "Specialty",
        "People",
        "Name",
        "E-mail",
        f"Created ({zone})",
        f"Confirmed ({zone})",
        f"Cancelled ({zone})",
        "Reason for cancelling",
        "Overbooked",
        *(["Clinic", "Time zone"] if time is None else []),
    ]


def _row_of(exported: ExportedBooking, time: ClinicTime) -> list[object]:
    booking = exported.booking
    return [
        booking.id,
        booking_words(booking),
        local_words(booking.start_time, time),
        local_words(booking.end_time, time),
        booking.doctor_name,
        booking.specialization,
        booking.seats_booked,
        booking.user_name,
        booking.user_email,
        local_words(booking.created_at, time),
        local_words(booking.confirmed_at, time),
        None if booking.released else local_words(booking.cancelled_at, time),
        exported.cancel_reason,
        "yes" if booking.added_seats else None,
    ]


def local_words(moment: datetime | None, time: ClinicTime) -> str | None:
    """In a form that spreadsheets of all countries read as a time. In an hour that comes twice: with its offset."""
    if moment is None:
        return None
    local = time.local(moment)
    return local.replace(microsecond=0, tzinfo=local.tzinfo if repeats(local) else None).isoformat(" ")
