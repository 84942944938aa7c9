"""The clinics, for admins: see them, add one, change one, let one take no more appointments."""

from typing import Any

from litestar import Controller, Response, get, post
from litestar.di import NamedDependency

from slotwise.domain.clinics import Clinic, ClinicChange
from slotwise.domain.errors import ChangedMeanwhile, Conflict, InvalidInput
from slotwise.domain.fields import MAX_ID
from slotwise.domain.time_zones import find_zone, known_names
from slotwise.services.schedule.clinics import Clinics
from slotwise.web.kit.access import ADMIN, PageRequest, account_in, page_for
from slotwise.web.kit.forms import Form
from slotwise.web.kit.queries import Id
from slotwise.web.kit.rendering import Renderer, see_other
from slotwise.web.kit.times import ClinicTime

LIST = "/admin/clinics"
SET_UP = "/admin/set-up"
FIELDS = ("name", "time_zone", "address", "telephone", "email", "directions", "opening_note", "colour", "evening_list")
LABELS = {
    "name": "Name", "time_zone": "Time zone", "address": "Address", "telephone": "Telephone", "email": "E-mail",
    "directions": "Directions", "opening_note": "Opening note", "colour": "Colour",
    "evening_list": "List for tomorrow, as a file",
}  # fmt: skip
CHANGED_MEANWHILE = (
    "Somebody else has changed this clinic since you opened this page. Nothing was saved. What you typed is still here"
    ": compare it with the values below, and save again."
)
MOST_CLINICS = 500


class ClinicController(Controller):
    path = LIST

    @get("/", **page_for(ADMIN))
    async def list_clinics(
        self, request: PageRequest, renderer: NamedDependency[Renderer], clinics: NamedDependency[Clinics]
    ) -> Response[Any]:
        found = await clinics.list_clinics(0, MOST_CLINICS, with_inactive=True)
        return renderer.answer(request, "schedule/clinics/list.html", found=found)

    @get("/new", **page_for(ADMIN))
    async def ask_for_clinic(self, request: PageRequest, renderer: NamedDependency[Renderer]) -> Response[Any]:
        form = Form(dict.fromkeys(FIELDS, "") | {"time_zone": renderer.clinics.main.time_zone, "evening_list": "yes"})
        return _show(request, renderer, None, form)

    @post("/new", **page_for(ADMIN))
    async def create_clinic(
        self, request: PageRequest, renderer: NamedDependency[Renderer], clinics: NamedDependency[Clinics]
    ) -> Response[Any]:
        form = await Form.of(request)
        try:
            clinic = await clinics.create_clinic(account_in(request), _change_in(form))
        except InvalidInput as error:
            form.refuse(error)
            return _show(request, renderer, None, form, 400)
        return see_other(request, LIST, notice=f"{clinic.name} was added. Now add times there.")

    @get("/{clinic_id:int}", **page_for(ADMIN))
    async def get_clinic(
        self,
        request: PageRequest,
        clinic_id: Id,
        renderer: NamedDependency[Renderer],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        clinic = await clinics.get_clinic(clinic_id)
        form = _form_of(clinic)
        form.values["next"] = "set-up" if request.query_params.get("next") == "set-up" else ""
        return _show(request, renderer, clinic, form)

    @post("/{clinic_id:int}", **page_for(ADMIN))
    async def update_clinic(
        self,
        request: PageRequest,
        clinic_id: Id,
        renderer: NamedDependency[Renderer],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        """The form has the version that it was filled with."""
        form = await Form.of(request)
        try:
            versions = frozenset({form.number("version", 0, MAX_ID)}) if form.text("version") else None
            clinic = await clinics.update_clinic(account_in(request), clinic_id, _change_in(form), versions)
        except InvalidInput as error:
            form.refuse(error)
            return _show(request, renderer, await clinics.get_clinic(clinic_id), form, 400)
        except ChangedMeanwhile:
            present = await clinics.get_clinic(clinic_id)
            form.problem = CHANGED_MEANWHILE
            form.values["version"] = str(present.version)
            return _show(request, renderer, present, form, 409, since=_differences(form, present))
        to = SET_UP if form.text("next") == "set-up" else LIST
        return see_other(request, to, notice=f"{clinic.name} was saved.")

    @post("/{clinic_id:int}/active", **page_for(ADMIN, form_on="/admin/clinics/{clinic_id}"))
    async def switch_clinic(
        self,
        request: PageRequest,
        clinic_id: Id,
        renderer: NamedDependency[Renderer],
        clinics: NamedDependency[Clinics],
    ) -> Response[Any]:
        active = (await Form.of(request)).text("active") == "yes"
        try:
            clinic = await clinics.update_clinic(account_in(request), clinic_id, ClinicChange(active=active))
        except Conflict as error:
            present = await clinics.get_clinic(clinic_id)
            form = _form_of(present)
            form.problem = f"{error.detail.rstrip('.')}."
            return _show(request, renderer, present, form, 409)
        told = "takes appointments" if active else "takes no appointments"
        return see_other(request, LIST, notice=f"{clinic.name} {told}.")


def _change_in(form: Form) -> ClinicChange:
    """What the form has. An empty field removes the value."""
    typed: dict[str, Any] = {name: form.values[name] for name in FIELDS if name in form}
    if "evening_list" in typed:
        typed["evening_list"] = typed["evening_list"] == "yes"
    return ClinicChange(**typed)


def _form_of(clinic: Clinic) -> Form:
    values = {name: getattr(clinic, name) or "" for name in FIELDS}
    evening_list = "yes" if clinic.evening_list else "no"
    return Form({**values, "evening_list": evening_list, "version": str(clinic.version)})


def _differences(form: Form, present: Clinic) -> list[tuple[str, str]]:
    """The fields whose saved values are not what was typed, each with the saved value."""
    saved = _form_of(present)
    return [(LABELS[name], saved.text(name) or "(empty)") for name in FIELDS if saved.text(name) != form.text(name)]


def _show(
    request: PageRequest,
    renderer: Renderer,
    shown: Clinic | None,
    form: Form,
    status: int = 200,
    since: list[tuple[str, str]] | None = None,
) -> Response[Any]:
    """`shown` is None for a new clinic; `since` has what somebody else has saved since the form was opened."""
    zone = find_zone(form.text("time_zone"))
    return renderer.answer(
        request,
        "schedule/clinics/clinic.html",
        status,
        shown=shown,
        form=form,
        since=since or [],
        zones=sorted(known_names()),
        there=None if zone is None else ClinicTime(zone).now().strftime("%A, %H:%M"),
    )
