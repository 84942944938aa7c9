"""Reads the forms of holidays and absences as closures."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import NamedTuple

from msgspec.structs import replace

from slotwise.domain.clinics import Clinic, ClinicBook
from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.schedules import Closure, ClosureKind
from slotwise.services.schedule.public_holidays import PublicHoliday
from slotwise.web.kit.calendar_days import parse_clock, parse_day
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.queries import day_in
from slotwise.web.kit.rendering import Renderer
from slotwise.web.kit.times import ClinicTime

ALL = "all"


class Where(NamedTuple):
    """Whom a closure concerns: a doctor, a clinic, or all of it."""

    doctor_id: int | None = None
    clinic_id: int | None = None

    @property
    def words(self) -> str:
        if self.doctor_id is not None:
            return f"doctor:{self.doctor_id}"
        return ALL if self.clinic_id is None else f"clinic:{self.clinic_id}"


class Days(NamedTuple):
    """A period as the form has it. Without hours, whole days."""

    first_day: date
    last_day: date
    start: str
    end: str


class Kept(NamedTuple):
    """The ends of a closure that a change leaves as they are."""

    start: datetime | None = None
    end: datetime | None = None


_NOT_KEPT = Kept()


def blank_closure(where: str, day: date) -> Form:
    values = {"where": where, "first_day": day.isoformat(), "last_day": "", "start_time": "", "end_time": ""}
    return Form({**values, "reason": "", "message": ""})


def form_of(closure: Closure, time: ClinicTime) -> Form:
    """The form to change a closure, filled with its present values."""
    start, end = time.local(closure.start_time), time.local(closure.end_time)
    last_day = time.last_day(closure.end_time)
    return Form(
        {
            "version": str(closure.version),
            "where": Where(closure.doctor_id, closure.clinic_id).words,
            "first_day": start.date().isoformat(),
            "last_day": last_day.isoformat(),
            "start_time": "" if closure.start_time == time.bounds(start.date())[0] else f"{start:%H:%M}",
            "end_time": "" if closure.end_time == time.bounds(last_day)[1] else f"{end:%H:%M}",
            "reason": closure.reason or "",
            "message": closure.message or "",
        }
    )


def closures_in(
    form: Form, renderer: Renderer, doctor_ids: Iterable[int], clinic_ids: Iterable[int] | None = None
) -> list[Closure]:
    """One closure; for all clinics, one for each where they have several zones. Raises `InvalidInput`.

    With `clinic_ids`, a doctor's absence is one at each of these clinics.
    """
    where, days = _where_and_days(form, renderer, doctor_ids)
    return [_closure_in(form, renderer, each, days) for each in places_of(where, renderer.clinics, clinic_ids)]


def changed_closure_in(form: Form, renderer: Renderer, doctor_ids: Iterable[int], closure: Closure) -> Closure:
    """One, whatever zones the clinics have. An absence stays at its clinic. Raises `InvalidInput`."""
    where, days = _where_and_days(form, renderer, doctor_ids)
    if where.doctor_id is not None and closure.doctor_id is not None:
        where = where._replace(clinic_id=closure.clinic_id)
    time = renderer.time_of(where.clinic_id)
    kept = _kept(closure, days, time) if time is renderer.time_of(closure.clinic_id) else _NOT_KEPT
    changed = closure_of(where, days, time, text(form, "reason"), text(form, "message"), kept)
    return replace(changed, id=closure.id, version=closure.version)


def _kept(closure: Closure, days: Days, time: ClinicTime) -> Kept:
    """What nobody has changed in the form stays to the second, also in an hour that comes twice."""
    shown = form_of(closure, time)
    start = (shown.text("first_day"), shown.text("start_time")) == (days.first_day.isoformat(), days.start)
    end = (shown.text("last_day"), shown.text("end_time")) == (days.last_day.isoformat(), days.end)
    return Kept(closure.start_time if start else None, closure.end_time if end else None)


def _where_and_days(form: Form, renderer: Renderer, doctor_ids: Iterable[int]) -> tuple[Where, Days]:
    values = read_all(
        {"where": lambda: _where_in(form, renderer.clinics, set(doctor_ids)), "days": lambda: _days_in(form)}
    )
    return values["where"], values["days"]


def _closure_in(form: Form, renderer: Renderer, where: Where, days: Days) -> Closure:
    time = renderer.time_of(where.clinic_id)
    return closure_of(where, days, time, text(form, "reason"), text(form, "message"))


def holidays_in(form: Form, renderer: Renderer, proposed: Sequence[PublicHoliday]) -> list[Closure]:
    """The ticked ones of those that were proposed."""
    where = _where_in(form, renderer.clinics, set())
    ticked = set(form.all("day"))
    chosen = [each for each in proposed if each.day.isoformat() in ticked]
    if not chosen:
        raise InvalidInput.of("day", "choose at least one day")
    return [
        closure_of(place, Days(each.day, each.day, "", ""), renderer.time_of(place.clinic_id), each.name, message)
        for message in [text(form, "message")]
        for each in chosen
        for place in places_of(where, renderer.clinics)
    ]


def places_of(where: Where, clinics: ClinicBook, clinic_ids: Iterable[int] | None = None) -> list[Where]:
    """A day of all clinics begins at another moment in each zone."""
    if where.doctor_id is not None and clinic_ids is not None:
        return [Where(where.doctor_id, clinic_id) for clinic_id in sorted(clinic_ids)]
    if where != Where() or len({clinic.time_zone for clinic in clinics.active}) == 1:
        return [where]
    return [Where(None, clinic.id) for clinic in clinics.active]


def closure_of(
    where: Where, days: Days, time: ClinicTime, reason: str | None, message: str | None, kept: Kept = _NOT_KEPT
) -> Closure:
    kind = ClosureKind.HOLIDAY if where.doctor_id is None else ClosureKind.ABSENCE
    start, end = _period_of(days, time)
    start, end = kept.start or start, kept.end or end
    if end <= start:
        raise InvalidInput.of("end_time" if days.end else "last_day", "must be after the beginning")
    return Closure(0, where.doctor_id, where.clinic_id, start, end, kind, reason, message)


def _period_of(days: Days, time: ClinicTime) -> tuple[datetime, datetime]:
    start, end = time.bounds(days.first_day, days.last_day)
    if days.start:
        start = _moment("start_time", days.first_day, days.start, time)
    if days.end:
        end = _moment("end_time", days.last_day, days.end, time)
    return start, end


def text(form: Form, name: str) -> str | None:
    return form.text(name).replace("\r\n", "\n") or None


def _where_in(form: Form, clinics: ClinicBook, doctor_ids: set[int]) -> Where:
    kind, _, number = form.text("where").partition(":")
    known = {str(each) for each in doctor_ids} if kind == "doctor" else _ids(clinics.all)
    if kind == ALL:
        return Where()
    if kind not in {"doctor", "clinic"} or number not in known:
        raise InvalidInput.of("where", "must be one of the choices")
    return Where(int(number)) if kind == "doctor" else Where(None, int(number))


def _ids(clinics: Iterable[Clinic]) -> set[str]:
    return {str(clinic.id) for clinic in clinics}


def _days_in(form: Form) -> Days:
    first_day = parse_day("first_day", form.text("first_day"))
    last_day = day_in(form, "last_day") or first_day
    if last_day < first_day:
        raise InvalidInput.of("last_day", "must not be before the first day")
    for name in ("start_time", "end_time"):
        if form.text(name):
            parse_clock(name, form.text(name))
    return Days(first_day, last_day, form.text("start_time"), form.text("end_time"))


def _moment(field: str, day: date, clock: str, time: ClinicTime) -> datetime:
    """An hour that the clocks skip counts as the hour after it. 00:00 as an end is the end of the day."""
    at = parse_clock(field, clock)
    if field == "end_time" and (at.hour, at.minute) == (0, 0):
        return time.bounds(day)[1]
    return datetime.combine(day, at, time.zone).astimezone(time.bounds(day)[0].tzinfo)


def at_fields_of_the_form(error: InvalidInput) -> InvalidInput:
    """With the form's names for fields of a closure."""
    others = {"clinic_id": "where", "doctor_id": "where"}
    faults = ((each.field.rpartition(".")[2], each.message) for each in error.errors)
    return InvalidInput(*(FieldError(others.get(field, field), message) for field, message in faults))
