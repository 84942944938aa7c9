"""Reads the form of a visit type, and finds what another person has changed since it was shown."""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.visit_types import (
    MAX_RULE_MINUTES,
    RANGES,
    BookableBy,
    Patients,
    VisitMode,
    VisitType,
    VisitTypeFields,
)
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.queries import choice_in

MODES = [("IN_PERSON", "In person"), ("VIDEO", "Video call"), ("TELEPHONE", "Telephone")]
PATIENTS = [("ANY", "All patients"), ("NEW", "New patients only"), ("RETURNING", "Returning patients only")]
BOOKABLE_BY = [("ANYONE", "Everybody"), ("ACCOUNTS", "Patients with an account"), ("STAFF", "Only the desk")]
UNITS = [("minutes", "minutes"), ("hours", "hours"), ("days", "days")]
_MINUTES_OF = {"minutes": 1, "hours": 60, "days": 24 * 60}
# What people type, by the name of the field; the words are for a change by somebody else.
NAMES = {
    "name": "Name",
    "minutes": "Length",
    "buffer_minutes": "Time afterwards",
    "mode": "How it takes place",
    "video_link": "Link of the video call",
    "instructions": "Instructions",
    "min_notice": "Notice",
    "min_notice_unit": "Notice",
    "horizon_days": "Days ahead",
    "change_deadline": "Deadline for patients",
    "change_deadline_unit": "Deadline for patients",
    "max_live_per_patient": "Appointments of one patient",
    "patients": "For",
    "bookable_by": "Booked by",
}
_CHOICES = dict([*MODES, *PATIENTS, *BOOKABLE_BY])


class OtherChange(NamedTuple):
    """What somebody else has changed: the field in words, its value before and now."""

    what: str
    was: str
    now: str


def blank_visit_type() -> Form:
    return _form(
        {"name": "", "minutes": "30", "buffer_minutes": "0", "mode": "IN_PERSON", "patients": "ANY",
         "bookable_by": "ANYONE"}
    )  # fmt: skip


def form_of(visit_type: VisitType) -> Form:
    """With the values that it shows in `seen`, so that a later change by somebody else can be told."""
    values = {name: "" if (value := getattr(visit_type, name)) is None else str(value) for name in _PLAIN}
    values |= _spelled("min_notice", visit_type.min_notice_minutes)
    values |= _spelled("change_deadline", visit_type.change_deadline_minutes)
    form = _form(values)
    return Form({**form.values, "version": str(visit_type.version), "seen": urlencode(form.values)})


def visit_type_in(form: Form) -> VisitTypeFields:
    """Raises `InvalidInput` with all faults. Whether it is active, the form does not say."""
    values = read_all(
        {
            "minutes": lambda: form.number("minutes", *RANGES["minutes"]),
            "buffer_minutes": lambda: form.number("buffer_minutes", *RANGES["buffer_minutes"]),
            "mode": lambda: choice_in(form, "mode", VisitMode) or VisitMode.IN_PERSON,
            "min_notice_minutes": lambda: _duration_in(form, "min_notice"),
            "horizon_days": lambda: _number_in(form, "horizon_days"),
            "change_deadline_minutes": lambda: _duration_in(form, "change_deadline"),
            "max_live_per_patient": lambda: _number_in(form, "max_live_per_patient"),
            "patients": lambda: choice_in(form, "patients", Patients) or Patients.ANY,
            "bookable_by": lambda: choice_in(form, "bookable_by", BookableBy) or BookableBy.ANYONE,
        }
    )
    values |= {name: form.text(name) or None for name in ("video_link", "instructions")}
    return VisitTypeFields(name=form.text("name"), **values)


def merged(form: Form, current: VisitType) -> tuple[Form, Sequence[OtherChange]]:
    """The present values with what this person typed over them, and what somebody else has changed since."""
    now, seen = form_of(current), dict(parse_qsl(form.text("seen"), keep_blank_values=True))
    others = {
        NAMES[name]: OtherChange(NAMES[name], _words(seen, name), _words(now.values, name))
        for name in NAMES
        if name in seen and seen[name] != now.text(name)
    }
    typed = {name: form.text(name) for name in NAMES if name in form and form.text(name) != seen.get(name)}
    return Form({**now.values, **typed}), list(others.values())


def at_fields_of_the_form(error: InvalidInput) -> InvalidInput:
    """With the form's names for fields that the service names differently."""
    others = {"min_notice_minutes": "min_notice", "change_deadline_minutes": "change_deadline"}
    return InvalidInput(*(FieldError(others.get(fault.field, fault.field), fault.message) for fault in error.errors))


_PLAIN = (
    "name", "minutes", "buffer_minutes", "mode", "video_link", "instructions", "horizon_days", "max_live_per_patient",
    "patients", "bookable_by",
)  # fmt: skip


def _form(values: dict[str, str]) -> Form:
    units = {"min_notice_unit": "hours", "change_deadline_unit": "hours"}
    return Form({name: values.get(name, units.get(name, "")) for name in NAMES})


def _spelled(name: str, minutes: int | None) -> dict[str, str]:
    """In the largest unit that is exact."""
    if minutes is None:
        return {}
    unit = next((unit for unit in ("days", "hours") if minutes and minutes % _MINUTES_OF[unit] == 0), "minutes")
    return {name: str(minutes // _MINUTES_OF[unit]), f"{name}_unit": unit}


def _words(values: dict[str, str], name: str) -> str:
    """Of a number with a unit, both together."""
    whole = name.removesuffix("_unit")
    unit = values.get(f"{whole}_unit")
    text = values.get(whole, "")
    if unit is not None:
        return f"{text} {unit}" if text else "none"
    return _CHOICES.get(text, text) or "none"


def _number_in(form: Form, name: str) -> int | None:
    return form.number(name, *RANGES[name]) if form.text(name) else None


def _duration_in(form: Form, name: str) -> int | None:
    """In minutes; None if nothing was typed."""
    if not form.text(name):
        return None
    unit = _MINUTES_OF.get(form.text(f"{name}_unit"), 1)
    return form.number(name, 0, MAX_RULE_MINUTES // unit) * unit
