"""A doctor's day on paper: who comes when."""

from datetime import date, timedelta
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.domain.errors import InvalidInput
from slotwise.services.booking_desk import BookingDesk
from slotwise.services.doctors import Doctors
from slotwise.web.access import DESK, PageRequest, account_in, page
from slotwise.web.desk_bookings import doctors_to_choose
from slotwise.web.forms import Form
from slotwise.web.pages import Pages
from slotwise.web.queries import day_in, id_in, link, query_of

SHEET = "/admin/day-sheet"
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
        context = {"form": form, **await doctors_to_choose(doctors, form)}
        try:
            doctor_id, day = id_in(form, "doctor"), day_in(form, "day") or pages.time.today()
        except InvalidInput as error:
            form.refuse(error)
            return pages.answer(request, "day_sheet.html", 400, sheet=None, **context)
        form.values["day"] = day.isoformat()
        if doctor_id is None:
            return pages.answer(request, "day_sheet.html", sheet=None, **context)
        doctor = await doctors.get_doctor(doctor_id)
        sheet = await booking_desk.list_bookings_of_day(account_in(request), doctor_id, *pages.time.bounds(day))
        context |= {"before": _link(form, day - ONE_DAY), "after": _link(form, day + ONE_DAY)}
        return pages.answer(request, "day_sheet.html", sheet=sheet, doctor=doctor, day=day, **context)


def _link(form: Form, day: date) -> str:
    return link(SHEET, Form({**form.values, "day": day.isoformat()}))
