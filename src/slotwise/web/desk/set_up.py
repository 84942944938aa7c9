"""Setting up a clinic: what is done, and what comes next. Afterwards the page of settings."""

from typing import Any, NamedTuple

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from slotwise.domain.clinics import Clinic
from slotwise.services.desk.set_up import SettingUp, SetUp
from slotwise.web.kit.access import ADMIN, PageRequest, own_origin, page_for
from slotwise.web.kit.rendering import Renderer

PATH = "/admin/set-up"
# What the settings say where nobody has given the clinic a name.
UNNAMED = "Slotwise"


class Step(NamedTuple):
    """`needed` before patients can book. `other` is another way, as words and URL."""

    title: str
    told: str
    done: bool
    needed: bool
    words: str
    url: str | None
    other: tuple[str, str] | None = None


class SetUpController(Controller):
    path = PATH

    @get("/", **page_for(ADMIN))
    async def get_set_up(
        self, request: PageRequest, renderer: NamedDependency[Renderer], setting_up: NamedDependency[SettingUp]
    ) -> Response[Any]:
        steps = steps_of(renderer, await setting_up.get_set_up(), own_origin(request))
        following = next((step for step in steps if step.needed and not step.done), None)
        return renderer.answer(request, "desk/set_up/set_up.html", steps=steps, following=following)


def steps_of(renderer: Renderer, found: SetUp, origin: str | None) -> list[Step]:
    clinic = renderer.clinics.main
    doctor = found.first_doctor_id
    public = (
        f"Patients open {origin}." if renderer.origin else f"The setting PUBLIC_URL is missing. Now it is {origin}."
    )
    return [
        Step(
            "Your clinic",
            _clinic_words(renderer, clinic),
            clinic.name != UNNAMED,
            True,
            "Name your clinic" if clinic.name == UNNAMED else "Change your clinic",
            f"/admin/clinics/{clinic.id}?next=set-up",
        ),
        Step("Doctors", "Who can be booked.", doctor is not None, True, "Add a doctor", "/admin/doctors"),
        Step(
            "Visit types",
            "If visits differ in length or in who may book them. Without any, every time takes any visit.",
            found.has_visit_types,
            False,
            "Choose visit types",
            "/admin/visit-types",
        ),
        _step_of_times(doctor, done=found.has_times),
        Step("Public address", public, renderer.origin is not None, False, "", None),
        Step(
            "Staff",
            "Colleagues at the desk get accounts of their own.",
            found.accounts > 1,
            False,
            "Add a colleague",
            "/admin/users/new",
        ),
    ]


def _step_of_times(doctor_id: int | None, *, done: bool) -> Step:
    title, told = "Times", "When patients can come: every week, or on single days."
    if doctor_id is None:
        return Step(title, told, done, True, "Add a doctor first", "/admin/doctors")
    path = f"/admin/doctors/{doctor_id}"
    single = ("Add single times", f"{path}/slots/new")
    return Step(title, told, done, True, "Enter weekly hours", f"{path}/hours/new", single)


def _clinic_words(renderer: Renderer, clinic: Clinic) -> str:
    """With today's time there, to be checked."""
    now = renderer.time_of(clinic.id).now()
    zone = clinic.time_zone.replace("_", " ")
    name = "Give it a name" if clinic.name == UNNAMED else clinic.name
    return f"{name}. In its time zone, {zone}, it is {now:%A} {now.day} {now:%B}, {now:%H:%M} now."
