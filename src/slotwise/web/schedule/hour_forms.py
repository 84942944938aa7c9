"""Reads the form of weekly hours as rules: several weekdays and up to two periods of a day at once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple, TypeAlias

from msgspec.structs import replace

from slotwise.domain.clinics import Clinic
from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.schedule_changes import ScheduleChange
from slotwise.domain.schedule_rules import MAX_STEP_MINUTES, MAX_WEEKS, MIN_STEP_MINUTES
from slotwise.domain.schedules import Rule, RuleKind
from slotwise.domain.slots import MAX_DURATION_MINUTES, MAX_SEATS
from slotwise.domain.timetables import MINUTES_OF_A_DAY, Hours
from slotwise.domain.visit_types import VisitType
from slotwise.web.kit.calendar_days import parse_clock
from slotwise.web.kit.forms import Form, read_all
from slotwise.web.kit.queries import day_in
from slotwise.web.schedule.schedule_words import clock_words

PERIODS = (1, 2)
KINDS = [
    (RuleKind.FIXED.value, "Fixed times: all visits have the same length"),
    (RuleKind.WINDOW.value, "Open time: visits of different lengths"),
]
USUAL_STEP = 15
ONE_DAY = timedelta(days=1)
# How each field is read.
Fields: TypeAlias = Mapping[str, Callable[[], Any]]


def blank_hours(today: date) -> Form:
    return Form(
        {
            "weekdays": "", "from_1": "09:00", "to_1": "12:00", "from_2": "", "to_2": "",
            "first_day": (today + ONE_DAY).isoformat(), "last_day": "", "slot_minutes": "30", "break_minutes": "0",
            "total_seats": "1", "every_weeks": "1", "clinic": "", "visit_types": "", "replace": "",
            "kind": RuleKind.FIXED.value, "step_minutes": str(USUAL_STEP),
        }
    )  # fmt: skip


class Following(NamedTuple):
    """A form of new hours, and why it is not filled with the present ones."""

    form: Form
    why_blank: str | None


def following_hours(present: Sequence[Rule], today: date) -> Following:
    """In place of the hours of the first day of a month: the next one, or the one after all hours begin."""
    first_day = _first_day_for(present, today)
    standing = [rule for rule in present if rule.first_day <= first_day <= (rule.last_day or first_day)]
    why_blank = _why_blank(standing)
    form = blank_hours(today) if why_blank else _form_of_all(standing)
    form.fill([*form.fields, ("first_day", first_day.isoformat()), ("replace", "yes")])
    return Following(form, why_blank)


def _first_day_for(present: Sequence[Rule], today: date) -> date:
    begins = [rule.first_day for rule in present if (rule.last_day or today) >= today]
    last = max(today, min(begins, default=today))
    return (last.replace(day=1) + timedelta(days=31)).replace(day=1)


def _why_blank(rules: Sequence[Rule]) -> str | None:
    """Why one form cannot say these hours."""
    periods = list(_periods_by_day(rules).values())
    if not rules:
        return "the doctor has no hours on the first day below"
    if any(rule.every_weeks > 1 for rule in rules):
        return "some present hours are not in every week"
    if len({(rule.first_day, rule.last_day) for rule in rules}) > 1:
        return "the present hours do not all begin and end on the same days"
    if any(each != periods[0] for each in periods) or len({_kind_of(rule) for rule in rules}) > 1:
        return "the present hours are not the same on each day"
    return "the present hours have more than two periods a day" if len(periods[0]) > len(PERIODS) else None


def _kind_of(rule: Rule) -> tuple[object, ...]:
    minutes = None if rule.is_window else rule.slot_minutes
    kind = rule.kind, rule.step_minutes, minutes, rule.break_minutes, rule.total_seats
    return rule.clinic_id, rule.visit_type_ids, *kind


def _form_of_all(rules: Sequence[Rule]) -> Form:
    """They are the same on each of their days, until the same last day."""
    form = form_of(rules[0])
    filled = [field for field in form.fields if field[0] not in {"version", "weekdays"}]
    for period, (opens, closes) in zip(PERIODS, _periods_by_day(rules)[rules[0].weekday], strict=False):
        filled += [(f"from_{period}", clock_words(opens)), (f"to_{period}", clock_words(closes % MINUTES_OF_A_DAY))]
    form.fill([*filled, *(("weekdays", str(day)) for day in sorted({rule.weekday for rule in rules}))])
    return form


def _periods_by_day(rules: Sequence[Rule]) -> dict[int, list[tuple[int, int]]]:
    found: dict[int, list[tuple[int, int]]] = {}
    for rule in sorted(rules, key=lambda each: each.opens):
        found.setdefault(rule.weekday, []).append((rule.opens, rule.closes))
    return found


def form_of(rule: Rule) -> Form:
    """The form to change one rule, filled with its present values."""
    form = Form(
        {
            "version": str(rule.version), "weekdays": str(rule.weekday), "from_1": clock_words(rule.opens),
            "to_1": clock_words(rule.closes % MINUTES_OF_A_DAY), "from_2": "", "to_2": "",
            "first_day": rule.first_day.isoformat(), "last_day": rule.last_day.isoformat() if rule.last_day else "",
            "slot_minutes": "30" if rule.is_window else str(rule.slot_minutes),
            "break_minutes": str(rule.break_minutes), "total_seats": str(rule.total_seats),
            "every_weeks": str(rule.every_weeks), "clinic": str(rule.clinic_id), "visit_types": "",
            "kind": rule.kind.value, "step_minutes": str(rule.step_minutes or USUAL_STEP),
        }
    )  # fmt: skip
    types = [("visit_types", str(each)) for each in rule.visit_type_ids or ()]
    form.fill([*((name, form.values[name]) for name in form.values if name != "visit_types"), *types])
    return form


def rules_in(form: Form, doctor_id: int, clinics: Sequence[Clinic], types: Sequence[int]) -> list[Rule]:
    """A rule for each weekday and period. Raises `InvalidInput` with all faults of the form.

    What the form asks for the other kind of hours is not read.
    """
    kind = _kind_in(form)
    values = read_all(
        {
            "first_day": lambda: _required_day(form, "first_day"),
            "last_day": lambda: day_in(form, "last_day"),
            "every_weeks": lambda: form.number("every_weeks", 1, MAX_WEEKS),
            **(_window_fields if kind is RuleKind.WINDOW else _slot_fields)(form),
            "weekdays": lambda: _weekdays_in(form),
            "periods": lambda: _periods_in(form),
            "clinic": lambda: _clinic_in(form, clinics),
            "visit_types": lambda: _types_in(form, types),
        }
    )
    weekdays, periods = values.pop("weekdays"), values.pop("periods")
    clinic_id, visit_types = values.pop("clinic"), values.pop("visit_types")
    minutes = values.pop("slot_minutes")
    return [
        Rule(0, doctor_id, clinic_id, weekday=weekday, opens=period.opens, closes=period.closes,
             slot_minutes=minutes or period.closes - period.opens, visit_type_ids=visit_types, kind=kind, **values)
        for weekday in weekdays for period in periods
    ]  # fmt: skip


def _kind_in(form: Form) -> RuleKind:
    """Fixed times if the form does not say it."""
    text = form.text("kind")
    if text and text not in set(RuleKind):
        raise InvalidInput.of("kind", "must be one of the choices")
    return RuleKind(text) if text else RuleKind.FIXED


def _slot_fields(form: Form) -> Fields:
    return {
        "slot_minutes": lambda: form.number("slot_minutes", 1, MAX_DURATION_MINUTES),
        "break_minutes": lambda: form.number("break_minutes", 0, MAX_DURATION_MINUTES),
        "total_seats": lambda: form.number("total_seats", 1, MAX_SEATS),
    }


def _window_fields(form: Form) -> Fields:
    """The length is that of the hours."""
    return {
        "slot_minutes": lambda: None,
        "break_minutes": lambda: 0,
        "total_seats": lambda: 1,
        "step_minutes": lambda: form.number("step_minutes", MIN_STEP_MINUTES, MAX_STEP_MINUTES),
    }


def change_in(form: Form, added: Sequence[Rule], present: Sequence[Rule]) -> ScheduleChange:
    """The rules to add; if the form says so, in place of those that the doctor has at that clinic.

    Those that begin after the last day of the new ones stay.
    """
    if not form.text("replace"):
        return ScheduleChange(add_rules=tuple(added))
    first_day, last_day, clinic_id = added[0].first_day, added[0].last_day, added[0].clinic_id
    standing = [
        rule for rule in present
        if rule.removed_at is None and rule.clinic_id == clinic_id and (rule.last_day or first_day) >= first_day
        and rule.first_day <= (last_day or rule.first_day)
    ]  # fmt: skip
    return ScheduleChange(
        add_rules=tuple(added),
        change_rules=tuple(ended(rule, first_day - ONE_DAY) for rule in standing if rule.first_day < first_day),
        remove_rules=tuple(rule.id for rule in standing if rule.first_day >= first_day),
    )


def check_lengths(rules: Sequence[Rule], types: Sequence[VisitType]) -> None:
    """Fixed times are as long as their visit types. Raises `InvalidInput` that says what helps.

    A visit type has one length on all days: visits of another length from a day on need another type.
    """
    for rule in rules:
        ticked = (each for each in types if each.id in (rule.visit_type_ids or ()))
        other = next((each for each in ticked if each.minutes != rule.slot_minutes), None)
        if other is not None and not rule.is_window:
            raise InvalidInput.of(
                "slot_minutes",
                f"must be {other.minutes}, the length of {other.name}. For visits of {rule.slot_minutes} minutes, tick "
                "a visit type of that length below; if there is none, add it under Visit types first",
            )


def ended(rule: Rule, last_day: date) -> Rule:
    return replace(rule, last_day=last_day)


def at_fields_of_the_form(error: InvalidInput) -> InvalidInput:
    """With the form's names for fields of a rule."""
    others = {"opens": "from_1", "closes": "to_1", "weekday": "weekdays", "visit_type_ids": "visit_types"}
    faults = ((each.field.rpartition(".")[2], each.message) for each in error.errors)
    return InvalidInput(*(FieldError(others.get(field, field), message) for field, message in faults))


def _required_day(form: Form, name: str) -> date:
    day = day_in(form, name)
    if day is None:
        raise InvalidInput.of(name, "must be a date such as 2026-11-24")
    return day


def _weekdays_in(form: Form) -> list[int]:
    days = sorted({int(day) for day in form.all("weekdays") if day in set("1234567")})
    if not days:
        raise InvalidInput.of("weekdays", "choose at least one day")
    return days


def _periods_in(form: Form) -> list[Hours]:
    found = list(_typed_periods(form))
    if not found:
        raise InvalidInput.of("from_1", "must be a time such as 09:30")
    return found


def _typed_periods(form: Form) -> Iterator[Hours]:
    for period in PERIODS:
        begin, end = form.text(f"from_{period}"), form.text(f"to_{period}")
        if begin or end:
            yield _period(period, begin, end)


def _period(period: int, begin: str, end: str) -> Hours:
    """An end that is not after the beginning is on the next day. 00:00 as an end is the end of the day."""
    opens, closes = _minutes(f"from_{period}", begin), _minutes(f"to_{period}", end) or MINUTES_OF_A_DAY
    if closes == opens:
        raise InvalidInput.of(f"to_{period}", "must be another time than the beginning")
    return Hours(opens, closes if closes > opens else closes + MINUTES_OF_A_DAY)


def _minutes(field: str, text: str) -> int:
    clock = parse_clock(field, text)
    return clock.hour * 60 + clock.minute


def _clinic_in(form: Form, clinics: Sequence[Clinic]) -> int:
    """The first of the choices if the form does not say one, because there was one only."""
    text = form.text("clinic")
    known = {str(clinic.id): clinic.id for clinic in clinics}
    if text and text not in known:
        raise InvalidInput.of("clinic", "must be one of the choices")
    return known[text] if text else clinics[0].id


def _types_in(form: Form, known: Sequence[int]) -> tuple[int, ...] | None:
    ticked = {text for text in form.all("visit_types") if text}
    if not ticked <= set(map(str, known)):
        raise InvalidInput.of("visit_types", "must be among the choices")
    return tuple(each for each in known if str(each) in ticked) or None
