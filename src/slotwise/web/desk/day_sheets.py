"""The day sheet: who comes when, for one doctor or all, to be printed."""

from datetime import date, timedelta
from typing import Any

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from msgspec.structs import replace

from slotwise.domain.errors import InvalidInput
from slotwise.services.desk.day_sheets import DayOfAll, DaySheet, DaySheets, DoctorOfDay, DoctorsDay
from slotwise.services.schedule.doctors import Doctors
from slotwise.web.desk.bookings import doctors_to_choose
from slotwise.web.kit.access import DESK, PageRequest, account_in, page_for
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import day_in, id_in, link, query_form
from slotwise.web.kit.rendering import Renderer

SHEET = "/admin/day-sheet"
TEMPLATE = "desk/day_sheets/day_sheets.html"
ONE_DAY = timedelta(days=1)


class DaySheetController(Controller):
    path = SHEET

    @get("/", **page_for(DESK))
    async def list_bookings_of_day(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
        day_sheets: NamedDependency[DaySheets],
    ) -> Response[Any]:
        form = query_form(request, "doctor", "day")
        is_chosen = any(form.values.values())
        tomorrow = link(SHEET, Form({"day": (renderer.time.today() + ONE_DAY).isoformat()}))
        context = {"form": form, "tomorrow": tomorrow, **await doctors_to_choose(doctors, form)}
        try:
            doctor_id, day = id_in(form, "doctor"), day_in(form, "day") or renderer.time.today()
        except InvalidInput as error:
            form.refuse(error)
            return renderer.answer(request, TEMPLATE, 400, asked=False, **context)
        form.values["day"] = day.isoformat()
        if not is_chosen:
            return renderer.answer(request, TEMPLATE, asked=False, **context)
        period = renderer.time.bounds(day)
        if doctor_id is None:
            found = await day_sheets.list_sheets_of_day(account_in(request), *period)
        else:
            doctor = await doctors.get_doctor(doctor_id)
            sheet = await day_sheets.list_bookings_of_day(account_in(request), doctor_id, *period)
            found = DayOfAll([DoctorsDay(DoctorOfDay(doctor.id, doctor.name), sheet)], cut_short=False)
        found = _at_clinics(renderer, found)
        context |= {"before": _link(form, day - ONE_DAY), "after": _link(form, day + ONE_DAY)}
        return renderer.answer(
            request, TEMPLATE, asked=True, of_one=doctor_id is not None, found=found, day=day, **context
        )


def _at_clinics(renderer: Renderer, found: DayOfAll) -> DayOfAll:
    """With all times in the zones of their clinics."""
    return replace(found, days=[replace(day, sheet=_sheet_at_clinics(renderer, day.sheet)) for day in found.days])


def _sheet_at_clinics(renderer: Renderer, sheet: DaySheet) -> DaySheet:
    return replace(
        sheet,
        slots=[(renderer.at_clinic(slot), bookings) for slot, bookings in sheet.slots],
        open_time=[renderer.at_clinic(part) for part in sheet.open_time],
    )


def _link(form: Form, day: date) -> str:
    return link(SHEET, Form({**form.values, "day": day.isoformat()}))
