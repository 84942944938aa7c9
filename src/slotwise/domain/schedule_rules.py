"""What a schedule rule and a closure must be like."""

import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.fields import FIRST_TIME, LAST_READABLE_TIME
from slotwise.domain.schedules import Closure, Rule
from slotwise.domain.slots import MAX_DURATION_MINUTES, MAX_SEATS
from slotwise.domain.timetables import EVERY_DAY, MINUTES_OF_A_DAY

MAX_WEEKS = 52
# The end of hours, in minutes since midnight of the day on which they begin.
MAX_CLOSES = 2 * MINUTES_OF_A_DAY - 1
MAX_VISIT_TYPES_OF_RULE = 100
# How often a visit may begin in open time.
MIN_STEP_MINUTES, MAX_STEP_MINUTES = 5, 60
MAX_CLOSURE_DAYS = 3660
MAX_TEXT_CHARACTERS = 1000


def check_rule(rule: Rule) -> None:
    """Raises `InvalidInput` that names each field that is wrong."""
    _raise(rule_faults(rule))


def check_closure(closure: Closure) -> None:
    """Raises `InvalidInput` that names each field that is wrong."""
    _raise(closure_faults(closure))


def _raise(faults: Iterator[FieldError]) -> None:
    found = list(faults)
    if found:
        raise InvalidInput(*found)


def rule_faults(rule: Rule) -> Iterator[FieldError]:
    yield from _day_faults(rule)
    yield from _hour_faults(rule)
    if not 1 <= rule.every_weeks <= MAX_WEEKS:
        yield FieldError("every_weeks", f"must be from 1 to {MAX_WEEKS}")
    if rule.weekday not in EVERY_DAY:
        yield FieldError("weekday", "must be from 1 (Monday) to 7 (Sunday)")
    yield from _window_faults(rule) if rule.is_window else _slot_faults(rule)
    types = rule.visit_type_ids
    if types is not None and not 1 <= len(types) <= MAX_VISIT_TYPES_OF_RULE:
        yield FieldError("visit_type_ids", f"must have from 1 to {MAX_VISIT_TYPES_OF_RULE} visit types, or be left out")
    elif types is not None and len(set(types)) < len(types):
        yield FieldError("visit_type_ids", "must not have one visit type twice")


def _day_faults(rule: Rule) -> Iterator[FieldError]:
    first_year, last_year = FIRST_TIME.year, LAST_READABLE_TIME.year - 2
    if not first_year <= rule.first_day.year <= last_year:
        yield FieldError("first_day", "is out of range")
    elif rule.last_day is not None and rule.last_day < rule.first_day:
        yield FieldError("last_day", "must not be before the first day")
    elif rule.last_day is not None and rule.last_day.year > last_year:
        yield FieldError("last_day", "is out of range")


def _hour_faults(rule: Rule) -> Iterator[FieldError]:
    if not 0 <= rule.opens < MINUTES_OF_A_DAY:
        yield FieldError("opens", "must be a time of the day, in minutes since midnight")
    if not rule.opens < rule.closes <= MAX_CLOSES:
        yield FieldError("closes", f"must be after the beginning, and at most {MAX_CLOSES} minutes after midnight")


def _slot_faults(rule: Rule) -> Iterator[FieldError]:
    if not 1 <= rule.slot_minutes <= MAX_DURATION_MINUTES:
        yield FieldError("slot_minutes", f"must be from 1 to {MAX_DURATION_MINUTES}")
    elif 0 <= rule.opens < rule.closes and rule.slot_minutes > rule.closes - rule.opens:
        yield FieldError("slot_minutes", "does not fit into the hours")
    if not 0 <= rule.break_minutes <= MAX_DURATION_MINUTES:
        yield FieldError("break_minutes", f"must be from 0 to {MAX_DURATION_MINUTES}")
    if not 1 <= rule.total_seats <= MAX_SEATS:
        yield FieldError("total_seats", f"must be from 1 to {MAX_SEATS}")
    if rule.step_minutes is not None:
        yield FieldError("step_minutes", "is for open time only")


def _window_faults(rule: Rule) -> Iterator[FieldError]:
    """Visits have the lengths of their types, one patient each, and the breaks that their types ask for."""
    length = rule.closes - rule.opens
    if length > MAX_DURATION_MINUTES:
        yield FieldError("closes", f"must be at most {MAX_DURATION_MINUTES} minutes after the beginning of open time")
    elif length > 0 and rule.slot_minutes != length:
        yield FieldError("slot_minutes", "must be left out for open time: visits have the lengths of their types")
    if rule.break_minutes != 0:
        yield FieldError("break_minutes", "must be 0 for open time: visit types say how long it takes after a visit")
    if rule.total_seats != 1:
        yield FieldError("total_seats", "must be 1 for open time")
    if rule.step_minutes is None or not MIN_STEP_MINUTES <= rule.step_minutes <= MAX_STEP_MINUTES:
        yield FieldError("step_minutes", f"must be from {MIN_STEP_MINUTES} to {MAX_STEP_MINUTES} for open time")
    if rule.visit_type_ids is None:
        yield FieldError("visit_type_ids", "must have at least one visit type for open time")


def closure_faults(closure: Closure) -> Iterator[FieldError]:
    yield from _period_faults(closure.start_time, closure.end_time)
    for field, text in (("reason", closure.reason), ("message", closure.message)):
        yield from text_faults(field, text)


def _period_faults(start: datetime, end: datetime) -> Iterator[FieldError]:
    if not FIRST_TIME <= start < LAST_READABLE_TIME:
        yield FieldError("start_time", "is out of range")
    elif end <= start:
        yield FieldError("end_time", "must be after the start")
    elif end - start > timedelta(days=MAX_CLOSURE_DAYS) or end.astimezone(UTC) >= LAST_READABLE_TIME:
        yield FieldError("end_time", f"must be within {MAX_CLOSURE_DAYS} days of the start")


def text_faults(field: str, text: str | None) -> Iterator[FieldError]:
    """Line breaks are allowed; other control characters are not."""
    if text is None:
        return
    if not text.strip():
        yield FieldError(field, "must not be empty")
    elif len(text) > MAX_TEXT_CHARACTERS:
        yield FieldError(field, f"must have at most {MAX_TEXT_CHARACTERS} characters")
    elif any(unicodedata.category(character) in {"Cc", "Cs"} for character in text.replace("\n", "")):
        yield FieldError(field, "must not contain control characters")
