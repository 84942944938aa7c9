"""Tomorrow's list of a clinic as files: a page to print, with everything in it, and a table for spreadsheets."""

from collections.abc import Iterator, Mapping

from markupsafe import Markup

from slotwise.domain.bookings import Booking
from slotwise.services.desk.day_sheets import DaySlot, DoctorsDay
from slotwise.services.desk.evening_lists import EveningList
from slotwise.web.desk.export import BYTE_ORDER_MARK, local_words, written
from slotwise.web.kit.assets import content_of
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.status_words import booking_words
from slotwise.web.kit.times import ClinicTime

TO_TELL = "Cancelled by the clinic: tell this patient"
_STYLES = ("slotwise.css", "clinic.css")


class PrintedLists:
    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    def __call__(self, found: EveningList) -> Mapping[str, str]:
        return {"html": self._page(found), "csv": self._table(found)}

    def _page(self, found: EveningList) -> str:
        styles = "\n".join(content_of(name).decode() for name in _STYLES)
        return self._renderer.render(
            "desk/day_sheets/evening_list.html",
            clinic_id=found.clinic.id,
            styles=Markup(styles),  # noqa: S704 - our own files
            day=found.day,
            days=found.days,
            written_at=found.written_at,
        )

    def _table(self, found: EveningList) -> str:
        time = ClinicTime(found.clinic.zone)
        zone = time.zone.key
        heading = ["Doctor", f"Starts ({zone})", f"Ends ({zone})", "Name", "E-mail", "People", "Status", "Booking"]
        return BYTE_ORDER_MARK + written([heading, *(row for one in found.days for row in _rows(one, time))])


def _rows(one: DoctorsDay, time: ClinicTime) -> Iterator[list[object]]:
    for slot, bookings in one.sheet.slots:
        for booking in bookings:
            yield _row(one, slot, booking, booking_words(booking), time)
        for booking in one.sheet.to_tell.get(slot.id, []):
            yield _row(one, slot, booking, TO_TELL, time)


def _row(one: DoctorsDay, slot: DaySlot, booking: Booking, status: str, time: ClinicTime) -> list[object]:
    start, end = local_words(slot.start_time, time), local_words(slot.end_time, time)
    person = [booking.user_name, booking.user_email, booking.seats_booked]
    return [one.doctor.name, start, end, *person, status, booking.id]
