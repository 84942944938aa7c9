"""Holidays and absences: the year at a glance, add, change and undo. Each change is previewed."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency
from litestar.exceptions import NotFoundException
from msgspec.structs import replace

from slotwise.domain.clinics import ClinicBook
from slotwise.domain.doctors import FIRST_DOCTOR
from slotwise.domain.errors import InvalidInput, ScheduleTooLarge
from slotwise.domain.schedule_changes import Decision, Decisions, ScheduleChange
from slotwise.domain.schedules import Closure
from slotwise.services.schedule.public_holidays import (
    PublicHoliday,
    list_countries,
    list_public_holidays,
    list_regions,
)
from slotwise.services.schedule.schedules import Schedules
from slotwise.web.kit.access import ADMIN, DESK, PageRequest, account_in, page_for, visitor_in
from slotwise.web.kit.forms import Form
from slotwise.web.kit.parts import page_parts
from slotwise.web.kit.queries import Id, day_in, query_form
from slotwise.web.kit.rendering import Renderer
from slotwise.web.schedule import closure_forms
from slotwise.web.schedule.closure_calendar import MARKS, year_of
from slotwise.web.schedule.kept_decisions import with_decisions_of
from slotwise.web.schedule.previews import Asked, ask_for_preview, refuse_change

LIST = "/admin/closures"
# Where the desk sees whom to tell of a new closure.
PATIENTS = f"{LIST}/{{closure}}/patients"
# Years that a closure can lie in.
FIRST_YEAR, LAST_YEAR = 2001, 9990
MOST_DOCTORS = 1000


class ClosureController(Controller):
    path = LIST

    @get("/", **page_for(DESK))
    async def show_year(
        self, request: PageRequest, renderer: NamedDependency[Renderer], schedules: NamedDependency[Schedules]
    ) -> Response[Any]:
        year = _year_in(query_form(request, "year"), renderer)
        bounds = renderer.time.bounds(date(year, 1, 1), date(year, 12, 31))
        found = await schedules.list_closures(account_in(request), *bounds)
        return renderer.answer(
            request,
            "schedule/closures/year.html",
            year=year,
            months=year_of(year, found, renderer.time),
            marks=MARKS,
            found=[replace(each, **_at_clinic(each, renderer)) for each in found],
            who=_who_words(renderer, await doctor_names(request)),
        )

    @get("/new", **page_for(DESK))
    async def ask_for_closure(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        query = query_form(request, "where", "day")
        where = query.text("where") or (closure_forms.ALL if visitor_in(request).is_admin else "")
        form = closure_forms.blank_closure(where, day_in(query, "day") or renderer.time.today())
        return await _show_form(request, renderer, None, form)

    @post("/new", **page_for(DESK))
    async def add_closure(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        """Shows what it would do."""
        form = await Form.of(request)
        try:
            clinic_ids, names = account_in(request).clinic_ids, await _doctors_to_choose(request)
            added = closure_forms.closures_in(form, renderer, names, clinic_ids)
            decisions = Decisions(Decision.CANCEL, message=added[0].message)
            change = ScheduleChange(add_closures=tuple(added), decisions=decisions)
            asked = Asked(change, _heading(added[0], names), LIST, PATIENTS)
            return await ask_for_preview(request, renderer, asked, form)
        except (InvalidInput, ScheduleTooLarge) as error:
            return await _refused(request, renderer, None, form, error)

    @get("/public", **page_for(ADMIN))
    async def propose_holidays(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        """The public holidays of a country to tick, once it is chosen."""
        form = Form({"where": closure_forms.ALL, "message": "", "day": ""})
        return await _show_proposal(request, renderer, query_form(request, "country", "region", "year"), form)

    @post("/public", **page_for(ADMIN))
    async def add_holidays(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        """Shows what the ticked days would do."""
        form = await Form.of(request)
        try:
            proposed = await _proposed(form, _year_in(form, renderer))
            added = closure_forms.holidays_in(form, renderer, proposed)
            decisions = Decisions(Decision.CANCEL, message=added[0].message)
            change = ScheduleChange(add_closures=tuple(added), decisions=decisions)
            asked = Asked(change, "Close on public holidays", LIST, LIST)
            return await ask_for_preview(request, renderer, asked, form)
        except (InvalidInput, ScheduleTooLarge) as error:
            refuse_change(
                form, closure_forms.at_fields_of_the_form(error) if isinstance(error, InvalidInput) else error
            )
            return await _show_proposal(request, renderer, form, form, 400)

    @get("/{closure_id:int}", **page_for(DESK))
    async def show_closure(
        self, request: PageRequest, closure_id: Id, renderer: NamedDependency[Renderer]
    ) -> Response[Any]:
        closure = await _closure(request, closure_id)
        form = closure_forms.form_of(closure, renderer.time_of(closure.clinic_id))
        return await _show_form(request, renderer, closure, form)

    @post("/{closure_id:int}", **page_for(DESK))
    async def change_closure(
        self, request: PageRequest, closure_id: Id, renderer: NamedDependency[Renderer]
    ) -> Response[Any]:
        """Shows what it would do: to change the closure, or to undo it."""
        form, closure = await Form.of(request), await _closure(request, closure_id)
        if form.text("version") != str(closure.version):
            again = with_decisions_of(form, closure_forms.form_of(closure, renderer.time_of(closure.clinic_id)))
            again.problem = "Somebody else has changed this meanwhile. Nothing was saved. It is now as below."
            return await _show_form(request, renderer, closure, again, 409)
        try:
            names = await _doctors_to_choose(request, closure)
            change = _change_of(renderer, form, closure, names)
            heading = "Undo this?" if change.remove_closures else _heading(change.change_closures[0], names)
            then = LIST if change.remove_closures else f"{LIST}/{closure.id}/patients"
            return await ask_for_preview(request, renderer, Asked(change, heading, LIST, then), form)
        except (InvalidInput, ScheduleTooLarge) as error:
            return await _refused(request, renderer, closure, form, error)


def _change_of(renderer: Renderer, form: Form, closure: Closure, names: Mapping[int, str]) -> ScheduleChange:
    if form.text("step") == "undo":
        return ScheduleChange(remove_closures=(closure.id,))
    changed = closure_forms.changed_closure_in(form, renderer, names, closure)
    return ScheduleChange(change_closures=(changed,), decisions=Decisions(Decision.CANCEL, message=changed.message))


async def doctor_names(request: PageRequest) -> dict[int, str]:
    """By id, in order of the names."""
    doctors = page_parts(request).services.doctors
    found = await doctors.list_doctors(FIRST_DOCTOR, MOST_DOCTORS, with_inactive=True)
    return {doctor.id: doctor.name for doctor in found}


async def _closure(request: PageRequest, closure_id: int) -> Closure:
    schedules: Schedules = page_parts(request).services.schedules
    found = await schedules.get_closure(account_in(request), closure_id)
    if found is None:
        raise NotFoundException("This does not exist, or somebody has undone it.")
    return found


async def _doctors_to_choose(request: PageRequest, closure: Closure | None = None) -> dict[int, str]:
    """Those whose absences concern the clinics of the account, and the one whose absence this is."""
    elsewhere = await page_parts(request).services.schedules.list_doctors_elsewhere(account_in(request))
    own = closure.doctor_id if closure else None
    names = await doctor_names(request)
    return {doctor_id: name for doctor_id, name in names.items() if doctor_id not in elsewhere or doctor_id == own}


def _at_clinic(closure: Closure, renderer: Renderer) -> dict[str, Any]:
    """Start and end in the zone of its clinic."""
    zone = renderer.time_of(closure.clinic_id).zone
    return {name: getattr(closure, name).astimezone(zone) for name in ("start_time", "end_time")}


def _who_words(renderer: Renderer, names: Mapping[int, str]) -> Any:
    def words(closure: Closure) -> str:
        if closure.doctor_id is not None:
            return names.get(closure.doctor_id, "A doctor") + _only_at(renderer, closure)
        return "Everybody" if closure.clinic_id is None else renderer.clinics.get(closure.clinic_id).name

    return words


def _only_at(renderer: Renderer, closure: Closure | None) -> str:
    """After a doctor who is away at one clinic only: its name."""
    clinic = renderer.clinics.find(closure.clinic_id) if closure and closure.doctor_id is not None else None
    return f", {clinic.name}" if clinic and renderer.clinics.several else ""


def _may_change(request: PageRequest, closure: Closure | None) -> bool:
    """Staff may change absences of doctors, at the clinics that they work for."""
    account = account_in(request)
    if visitor_in(request).is_admin or closure is None:
        return True
    is_own = account.clinic_ids is None or closure.clinic_id in account.clinic_ids
    return closure.doctor_id is not None and is_own


def _wide_choices(clinics: ClinicBook, closure: Closure | None) -> list[tuple[str, str]]:
    """Everybody, the active clinics if there are several, and the clinic of the closure."""
    own = closure.clinic_id if closure and closure.doctor_id is None else None
    active = {each.id for each in clinics.active} if clinics.several else set()
    offered = [each for each in clinics.all if each.id in active | {own}]
    return [(closure_forms.ALL, "Everybody"), *((f"clinic:{each.id}", each.name) for each in offered)]


def _heading(closure: Closure, names: Mapping[int, str]) -> str:
    return "Close for a holiday" if closure.doctor_id is None else f"{names[closure.doctor_id]} is away"


def _year_in(form: Form, renderer: Renderer) -> int:
    return form.number("year", FIRST_YEAR, LAST_YEAR) if form.text("year") else renderer.time.today().year


async def _proposed(form: Form, year: int) -> list[PublicHoliday]:
    """Nothing until a country is chosen."""
    country, region = form.text("country"), form.text("region")
    if not country:
        return []
    if country not in await list_countries():
        raise InvalidInput.of("country", "must be one of the choices")
    known = {each.code for each in await list_regions(country)}
    return await list_public_holidays(country, region if region in known else None, year)


async def _show_proposal(
    request: PageRequest, renderer: Renderer, query: Form, form: Form, status: int = 200
) -> Response[Any]:
    year = _year_in(query, renderer)
    countries = await list_countries()
    country = query.text("country") if query.text("country") in countries else ""
    return renderer.answer(
        request,
        "schedule/closures/public.html",
        status,
        query=Form({"country": country, "region": query.text("region"), "year": str(year)}),
        form=form,
        countries=countries,
        regions=await list_regions(country) if country else [],
        proposed=await _proposed(query, year) if country else [],
        clinics=renderer.clinics.active,
        today=renderer.time.today(),
    )


async def _refused(
    request: PageRequest,
    renderer: Renderer,
    closure: Closure | None,
    form: Form,
    error: InvalidInput | ScheduleTooLarge,
) -> Response[Any]:
    refuse_change(form, closure_forms.at_fields_of_the_form(error) if isinstance(error, InvalidInput) else error)
    return await _show_form(request, renderer, closure, form, 400)


async def _show_form(
    request: PageRequest, renderer: Renderer, closure: Closure | None, form: Form, status: int = 200
) -> Response[Any]:
    may_change = _may_change(request, closure)
    where = _only_at(renderer, closure)
    names = await _doctors_to_choose(request, closure)
    doctors = [(f"doctor:{doctor_id}", name + where) for doctor_id, name in names.items()]
    wide = _wide_choices(renderer.clinics, closure) if visitor_in(request).is_admin or not may_change else []
    return renderer.answer(
        request,
        "schedule/closures/edit.html",
        status,
        closure=closure,
        form=form,
        may_change=may_change,
        choices=[*wide, *doctors],
    )
