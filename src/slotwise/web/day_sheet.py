"""A day on paper, of one doctor or of all: who comes when."""

from datetime import date, timedelta
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.domain.errors import InvalidInput
from slotwise.services.booking_desk import BookingDesk, DayOfAll, DoctorOfDay, DoctorsDay
from slotwise.services.doctors import Doctors
from slotwise.web.access import DESK, PageRequest, account_in, page
from slotwise.web.desk_bookings import doctors_to_choose
from slotwise.web.forms import Form
from slotwise.web.pages import Pages
from slotwise.web.queries import day_in, id_in, link, query_of

SHEET = "/admin/day-sheet"
TEMPLATE = "day_sheet.html"
ONE_DAY = timedelta(days=1)


class DaySheetController(Controller):
    path = SHEET

    @get("/", **page(DESK))
    async def list_bookings_of_day(
        self,
        request: PageRequest,
        pages: NamedDependency[Pages],
        doctors: NamedDependency[Doctors],
        booking_desk: NamedDependency[BookingDesk],
    ) -> Response[Any]:
        form = query_of(request, "doctor", "day")
        is_asked = any(form.values.values())
        context = {"form": form, **await doctors_to_choose(doctors, form)}
        try:
            doctor_id, day = id_in(form, "doctor"), day_in(form, "day") or pages.time.today()
        except InvalidInput as error:
            form.refuse(error)
            return pages.answer(request, TEMPLATE, 400, asked=False, **context)
        form.values["day"] = day.isoformat()
        if not is_asked:
            return pages.answer(request, TEMPLATE, asked=False, **context)
        period = pages.time.bounds(day)
        if doctor_id is None:
            found = await booking_desk.list_sheets_of_day(account_in(request), *period)
        else:
            doctor = await doctors.get_doctor(doctor_id)
            sheet = await booking_desk.list_bookings_of_day(account_in(request), doctor_id, *period)
            found = DayOfAll([DoctorsDay(DoctorOfDay(doctor.id, doctor.name), sheet)], cut_short=False)
        context |= {"before": _link(form, day - ONE_DAY), "after": _link(form, day + ONE_DAY)}
        return pages.answer(
            request, TEMPLATE, asked=True, of_one=doctor_id is not None, found=found, day=day, **context
        )


def _link(form: Form, day: date) -> str:
    return link(SHEET, Form({**form.values, "day": day.isoformat()}))
