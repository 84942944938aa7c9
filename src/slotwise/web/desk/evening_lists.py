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
# The last rows, if there is more than fits.
MORE_BOOKINGS = "NOT COMPLETE: not all bookings of this doctor fit here"
MORE_CANCELLED = "NOT COMPLETE: not all cancelled appointments of this doctor fit here"
MORE_DOCTORS = "NOT COMPLETE: not all doctors of this day fit here"
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
            cut_short=found.cut_short,
            written_at=found.written_at,
        )

    def _table(self, found: EveningList) -> str:
        time = ClinicTime(found.clinic.zone)
        zone = time.zone.key
        heading = ["Doctor", f"Starts ({zone})", f"Ends ({zone})", "Name", "E-mail", "People", "Status", "Booking"]
        rows = [row for one in found.days for row in _rows(one, time)]
        return BYTE_ORDER_MARK + written([heading, *rows, *_rows_of_cuts(found)])


def _rows(one: DoctorsDay, time: ClinicTime) -> Iterator[list[object]]:
    for slot, bookings in one.sheet.slots:
        for booking in bookings:
            yield _row(one, slot, booking, booking_words(booking), time)
        for booking in one.sheet.to_tell.get(slot.id, []):
            yield _row(one, slot, booking, TO_TELL, time)


def _rows_of_cuts(found: EveningList) -> Iterator[list[object]]:
    for one in found.cut_sheets:
        if one.sheet.cut_short:
            yield _row_of_cut(one.doctor.name, MORE_BOOKINGS)
        if one.sheet.more_cancelled:
            yield _row_of_cut(one.doctor.name, MORE_CANCELLED)
    if found.cut_short:
        yield _row_of_cut(None, MORE_DOCTORS)


def _row_of_cut(doctor: str | None, words: str) -> list[object]:
    return [doctor, None, None, None, None, None, words, None]


def _row(one: DoctorsDay, slot: DaySlot, booking: Booking, status: str, time: ClinicTime) -> list[object]:
    start, end = local_words(slot.start_time, time), local_words(slot.end_time, time)
    person = [booking.user_name, booking.user_email, booking.seats_booked]
    return [one.doctor.name, start, end, *person, status, booking.id]
