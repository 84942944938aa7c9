"""Why nothing is free: the page for the desk, with the choices of the finder."""

from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from litestar import Controller, Response, get
from litestar.di import NamedDependency
from msgspec.structs import replace

from slotwise.domain.errors import InvalidInput
from slotwise.domain.search_form import has_same_words
from slotwise.domain.timetables import first_moment_from
from slotwise.services.schedule.explanations import ExplainedDoctor, ExplainQuery, Explanations
from slotwise.services.schedule.found_times import KindsToChoose, NextTimes, TimeQuery
from slotwise.services.schedule.free_times import MOST_DOCTORS, FreeTimes
from slotwise.web.kit.access import DESK, PageRequest, account_in, page_for
from slotwise.web.kit.calendar_days import parse_clock
from slotwise.web.kit.clinics import clinics_to_choose
from slotwise.web.kit.errors import refuse
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import query_form
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.times import ClinicTime
from slotwise.web.schedule.explanation_words import DayRow, ToldTime, day_row, told_time
from slotwise.web.schedule.free_times_query import find_query_in, url_of

FINDER = "/admin/bookings/new"
PATH = f"{FINDER}/why"
DAYS = 7
MOST_EXPLAINED = 20


class DoctorRow(NamedTuple):
    """Of one time, if one was asked for; otherwise day by day."""

    name: str
    specialization: str | None
    days: list[DayRow]
    time: ToldTime | None


class ExplanationController(Controller):
    path = PATH

    @get("/", **page_for(DESK))
    async def explain_times(
        self,
        request: PageRequest,
        renderer: NamedDependency[Renderer],
        free_times: NamedDependency[FreeTimes],
        explanations: NamedDependency[Explanations],
    ) -> Response[Any]:
        """Explains a week from the day on, or the one time of that day."""
        account, form, status = account_in(request), query_form(request, "at", "audience"), 200
        asked = replace(find_query_in(request.query_params).times, within=account.books_at, after=None)
        found = await free_times.list_next_times(asked)
        query = asked if found is None else replace(found.query, after=None)
        clinic_id = query.clinic_id or (None if renderer.clinics.several else renderer.clinics.main.id)
        explained: list[ExplainedDoctor] = []
        if found is not None and (clinic_id is not None or query.doctor_id is not None):
            try:
                wanted = _explain_query(query, clinic_id, form, renderer.time_of(clinic_id))
                explained = await explanations.explain_times(account, wanted, MOST_EXPLAINED)
            except InvalidInput as error:
                status = refuse(form, error)
        return _answer(request, renderer, query, found, form, explained, status)


def _explain_query(query: TimeQuery, clinic_id: int | None, form: Form, clock: ClinicTime) -> ExplainQuery:
    """By the clock of the clinic, or of the main one."""
    wanted = ExplainQuery(query.doctor_id, query.clinic_id if query.doctor_id else clinic_id, query.visit_type_id)
    wanted = replace(wanted, for_patients=form.text("audience") == "patients")
    day = query.day or clock.today()
    if form.text("at"):
        local = datetime.combine(day, parse_clock("at", form.text("at")))
        return replace(wanted, time=first_moment_from(local, clock.zone))
    starts_from, starts_before = clock.bounds(day, day + timedelta(days=DAYS - 1))
    return replace(wanted, starts_from=starts_from, starts_before=starts_before)


def _answer(
    request: PageRequest,
    renderer: Renderer,
    query: TimeQuery,
    found: NextTimes | KindsToChoose | None,
    form: Form,
    explained: list[ExplainedDoctor],
    status: int,
) -> Response[Any]:
    day = query.day or renderer.time_of(query.clinic_id).today()
    return renderer.answer(
        request,
        "schedule/explanations/why.html",
        status,
        clinic_id=query.clinic_id,
        form=form,
        query=query,
        choices=found.choices if found else None,
        clinics=clinics_to_choose(renderer.clinics, query.within),
        most_doctors=MOST_DOCTORS,
        most_explained=MOST_EXPLAINED,
        more=len(explained) > MOST_EXPLAINED,
        doctors=_rows(renderer, query, explained[:MOST_EXPLAINED]),
        days=DAYS,
        first_day=day,
        next_week=_on(query, form, day + timedelta(days=DAYS)),
        back=url_of(query, FINDER),
    )


def _on(query: TimeQuery, form: Form, day: date) -> str:
    url = url_of(replace(query, day=day), PATH)
    return f"{url}&audience=patients" if form.text("audience") == "patients" else url


def _rows(renderer: Renderer, query: TimeQuery, explained: list[ExplainedDoctor]) -> list[DoctorRow]:
    wanted = query.specialization
    ours = (each for each in explained if wanted is None or has_same_words(wanted, each.specialization or ""))
    return [_row(renderer, query, each) for each in ours]


def _row(renderer: Renderer, query: TimeQuery, doctor: ExplainedDoctor) -> DoctorRow:
    days = [day_row(day, renderer.time_of(day.clinic_id)) for day in doctor.days]
    told = None if doctor.time is None else told_time(doctor.time, renderer.time_of(query.clinic_id))
    return DoctorRow(doctor.name, doctor.specialization, days, told)
