"""The clinic's doctors and their weeks."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from operator import attrgetter
from typing import Any, NamedTuple

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from msgspec.structs import replace

from slotwise.domain import base64url
from slotwise.domain.doctors import FIRST_DOCTOR, Doctor, DoctorPosition
from slotwise.domain.errors import InvalidInput
from slotwise.services.core.open_time import OpenTime
from slotwise.services.schedule.clinics import Clinics
from slotwise.services.schedule.doctors import Doctors
from slotwise.services.schedule.slots import Slots, WeekSlot
from slotwise.web.kit.access import ADMIN, DESK, PageRequest, account_in, page_for, visitor_in
from slotwise.web.kit.calendar_days import Week
from slotwise.web.kit.clinics import clinics_in
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import Id, day_in, query_form, text_in
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.times import ClinicTime

PAGE_SIZE = 50
_ID = re.compile(r"[0-9]{1,18}", re.ASCII)


class DayOfWeek(NamedTuple):
    """Slots and open time by start."""

    day: date
    parts: Sequence[WeekSlot | OpenTime]


class DoctorController(Controller):
    path = "/admin/doctors"

    @get("/", **page_for(DESK))
    async def show_doctors(
        self, request: PageRequest, renderer: NamedDependency[Renderer], doctors: NamedDependency[Doctors]
    ) -> Response[Any]:
        return await _show_list(request, renderer, doctors, Form({"name": "", "specialization": ""}))

    @post("/", **page_for(ADMIN))
    async def create_doctor(
        self, request: PageRequest, renderer: NamedDependency[Renderer], doctors: NamedDependency[Doctors]
    ) -> Response[Any]:
        form = await Form.of(request)
        try:
            doctor = await doctors.create_doctor(
                account_in(request), form.text("name"), form.text("specialization") or None
            )
        except InvalidInput as error:
            form.refuse(error)
            return await _show_list(request, renderer, doctors, form, 400)
        return see_other(request, f"/admin/doctors/{doctor.id}", notice=f"{doctor.name} was added. Now add times.")

    @get("/{doctor_id:int}", **page_for(DESK))
    async def show_week(
        self,
        request: PageRequest,
        doctor_id: Id,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
        slots: NamedDependency[Slots],
    ) -> Response[Any]:
        doctor = await doctors.get_doctor(doctor_id)
        week = Week.of(day_in(query_form(request, "week"), "week") or renderer.time.today())
        sought = doctor_id, *_bounds(week, renderer), account_in(request).clinic_ids
        found, open_time = await slots.list_week(*sought), await slots.list_open_time(*sought)
        found = replace(found, slots=_within(week, [renderer.at_clinic(slot) for slot in found.slots], renderer.time))
        days = _by_day(week, [*(renderer.at_clinic(part) for part in open_time), *found.slots], renderer.time)
        now = renderer.time.now()
        return renderer.answer(
            request, "schedule/doctors/week.html", doctor=doctor, week=week, days=days, found=found, now=now
        )

    @get("/{doctor_id:int}/edit", **page_for(ADMIN))
    async def show_doctor(
        self,
        request: PageRequest,
        doctor_id: Id,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        doctor = await doctors.get_doctor(doctor_id)
        form = Form({"name": doctor.name, "specialization": doctor.specialization or ""})
        return await _show_doctor(request, renderer, doctors, clinics, doctor, form)

    @post("/{doctor_id:int}/edit", **page_for(ADMIN))
    async def update_doctor(
        self,
        request: PageRequest,
        doctor_id: Id,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        form = await Form.of(request)
        specialization = form.text("specialization")
        try:
            doctor = await doctors.update_doctor(
                account_in(request),
                doctor_id,
                name=form.text("name"),
                specialization=specialization or None,
                clear_specialization=not specialization,
            )
        except InvalidInput as error:
            form.refuse(error)
            doctor = await doctors.get_doctor(doctor_id)
            return await _show_doctor(request, renderer, doctors, clinics, doctor, form, 400)
        return see_other(request, f"/admin/doctors/{doctor_id}", notice=f"{doctor.name} was saved.")

    @post("/{doctor_id:int}/clinics", **page_for(ADMIN, form_on="/admin/doctors/{doctor_id}/edit"))
    async def change_doctor_clinics(
        self,
        request: PageRequest,
        doctor_id: Id,
        renderer: NamedDependency[Renderer],
        doctors: NamedDependency[Doctors],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        doctor = await doctors.get_doctor(doctor_id)
        chosen = clinics_in(await Form.of(request), renderer.clinics)
        await clinics.change_doctor_clinics(account_in(request), doctor_id, chosen)
        where = "at all clinics" if not chosen else "at the clinics that you chose. Times elsewhere stay"
        return see_other(request, f"/admin/doctors/{doctor_id}/edit", notice=f"{doctor.name} works {where}.")

    @post("/{doctor_id:int}/active", **page_for(ADMIN, form_on="/admin/doctors/{doctor_id}/edit"))
    async def switch_doctor(
        self, request: PageRequest, doctor_id: Id, doctors: NamedDependency[Doctors]
    ) -> Response[Any]:
        active = (await Form.of(request)).text("active") == "yes"
        doctor = await doctors.update_doctor(account_in(request), doctor_id, active=active)
        told = "takes appointments again" if active else "takes no new appointments. Those already booked stay"
        return see_other(request, f"/admin/doctors/{doctor_id}", notice=f"{doctor.name} {told}.")


async def _show_list(
    request: PageRequest, renderer: Renderer, doctors: Doctors, form: Form, status: int = 200
) -> Response[Any]:
    text = text_in(query_form(request, "q"), "q")
    after = _position_in(request.query_params.get("after", ""))
    found = await doctors.list_doctors(after, PAGE_SIZE + 1, text=text, with_inactive=True)
    specializations = await doctors.list_specializations() if visitor_in(request).is_admin else []
    return renderer.answer(
        request,
        "schedule/doctors/list.html",
        status,
        found=found[:PAGE_SIZE],
        more=_position_words(found[PAGE_SIZE - 1].position) if len(found) > PAGE_SIZE else None,
        searched=text or "",
        later=after > FIRST_DOCTOR,
        specializations=specializations,
        form=form,
    )


async def _show_doctor(
    request: PageRequest,
    renderer: Renderer,
    doctors: Doctors,
    clinics: Clinics,
    doctor: Doctor,
    form: Form,
    status: int = 200,
) -> Response[Any]:
    return renderer.answer(
        request,
        "schedule/doctors/edit.html",
        status,
        doctor=doctor,
        form=form,
        specializations=await doctors.list_specializations(),
        clinics=renderer.clinics.active if renderer.clinics.several else [],
        works_at=await clinics.list_doctor_clinics(doctor.id),
    )


def _bounds(week: Week, renderer: Renderer) -> tuple[datetime, datetime]:
    """From where the week begins first to where it ends last: a day of each clinic is by its own clock."""
    bounds = [renderer.time_of(clinic.id).bounds(week.monday, week.sunday) for clinic in renderer.clinics.all]
    return min(begin for begin, _ in bounds), max(end for _, end in bounds)


def _within(week: Week, found: Sequence[WeekSlot], time: ClinicTime) -> list[WeekSlot]:
    """Those that are on a day of the week by the clock of their clinic."""
    return [slot for slot in found if any(time.is_on(day, slot.start_time, slot.end_time) for day in week.days)]


def _by_day(week: Week, found: Sequence[WeekSlot | OpenTime], time: ClinicTime) -> list[DayOfWeek]:
    """What goes across midnight is on both days."""
    parts = sorted(found, key=attrgetter("start_time"))
    return [
        DayOfWeek(day, [part for part in parts if time.is_on(day, part.start_time, part.end_time)]) for day in week.days
    ]


def _position_words(position: DoctorPosition) -> str:
    return f"{position.id}.{base64url.encode(position.name_sort_key)}"


def _position_in(text: str) -> DoctorPosition:
    """The first page if it is not a position."""
    doctor_id, _, key = text.partition(".")
    if not _ID.fullmatch(doctor_id):
        return FIRST_DOCTOR
    try:
        return DoctorPosition(base64url.decode(key), int(doctor_id))
    except ValueError:
        return FIRST_DOCTOR
