"""Schedules in words: days, hours, and why a time was left out."""

from collections.abc import Iterable
from datetime import date, datetime
from typing import Any, NamedTuple

import msgspec

from slotwise.domain.schedule_previews import Preview
from slotwise.domain.schedules import Rule, SkippedSlot, SkipReason
from slotwise.domain.timetables import MINUTES_OF_A_DAY
from slotwise.domain.visit_types import VisitType
from slotwise.domain.window_diff import OpenTime, OpenTimeChange
from slotwise.services.schedule.schedule_state import Run
from slotwise.web.kit.times import ClinicTime, length_words

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
REASONS = {
    SkipReason.CLOCK_CHANGE: "the clocks go forward, so this hour does not exist",
    SkipReason.BEFORE_LASTS: "the clocks change, and the time before has not ended",
    SkipReason.AFTER_HOURS: "the clocks change, and it would end after the hours",
    SkipReason.OTHER_RULE: "other hours of the doctor have a time then",
    SkipReason.OTHER_SLOT: "the doctor has another time then",
    SkipReason.CHANGED_BY_HAND: "somebody closed or changed this time by hand",
    SkipReason.CLINIC_INACTIVE: "the clinic takes no appointments",
}


class RuleRow(NamedTuple):
    """A rule as the page of a week shows it."""

    rule: Rule
    hours: str
    days: str
    details: str
    visit_types: list[str]
    published: str
    skipped: list[str]


def rule_row(rule: Rule, run: Run | None, time: ClinicTime, types: Iterable[VisitType]) -> RuleRow:
    until = _day_before(run.published_until) if run else None
    if until and rule.last_day:
        until = min(until, rule.last_day)
    published = f"until {time.short_day(until)}" if until else "not yet"
    return RuleRow(
        rule,
        hours_words(rule),
        days_words(rule, time),
        details_words(rule),
        _type_words(rule, types),
        published,
        _left_out(run, time),
    )


def hours_words(rule: Rule) -> str:
    """`09:00 to 12:00`; `22:00 to 02:00 the next day`."""
    late = " the next day" if rule.closes > MINUTES_OF_A_DAY else ""
    return f"{clock_words(rule.opens)} to {clock_words(rule.closes)}{late}"


def clock_words(minutes: int) -> str:
    """The end of the day is `24:00`; later times are those of the next day."""
    if minutes > MINUTES_OF_A_DAY:
        minutes -= MINUTES_OF_A_DAY
    return f"{minutes // 60:02}:{minutes % 60:02}"


def days_words(rule: Rule, time: ClinicTime) -> str:
    until = f" until {time.short_day(rule.last_day)}" if rule.last_day else ", without an end"
    return f"from {time.short_day(rule.first_day)}{until}"


def details_words(rule: Rule) -> str:
    """`Fixed times, 30 minutes each, every 2 weeks, 4 people at each time`; `Open time, every 15 minutes`."""
    of_open_time, of_fixed_times = f"every {rule.step_minutes} minutes", f"{rule.slot_minutes} minutes each"
    told = [f"Open time, {of_open_time}" if rule.is_window else f"Fixed times, {of_fixed_times}"]
    if rule.break_minutes:
        told.append(f"{rule.break_minutes} minutes break")
    if rule.every_weeks > 1:
        told.append(f"every {rule.every_weeks} weeks")
    if rule.total_seats > 1:
        told.append(f"{rule.total_seats} people at each time")
    return ", ".join(told)


def _type_words(rule: Rule, types: Iterable[VisitType]) -> list[str]:
    """Also those that the clinic does not offer at present: patients cannot book these."""
    own = rule.visit_type_ids or ()
    return [each.name if each.active else f"{each.name} (not offered)" for each in types if each.id in own]


def coming_open_time(preview: Preview) -> list[str]:
    """What a preview says: `12 hours and 30 minutes of open time on 4 days will be added.`"""
    told = _open_time_sentences(preview.windows.by_day, "will be ", "will move", "will change")
    return told + _closure_sentences(preview, "will be ")


def changed_open_time(preview: Preview) -> list[str]:
    """The same when it is done: `12 hours and 30 minutes of open time on 4 days added.`"""
    return _open_time_sentences(preview.windows.by_day, "", "moved", "changed") + _closure_sentences(preview, "")


def _closure_sentences(preview: Preview, will_be: str) -> list[str]:
    """Of open time that stays, and that holidays and absences cover or leave."""
    closed, reopened = preview.open_time_in_closures, preview.open_time_reopened
    told = [f"{_open_time_words(closed)} {will_be}closed."] if closed.minutes else []
    return [*told, *([f"{_open_time_words(reopened)} {will_be}open again."] if reopened.minutes else [])]


def _open_time_sentences(change: OpenTimeChange, will_be: str, moves: str, changes: str) -> list[str]:
    added, closed, before, after = change.added, change.closed, change.before, change.after
    told = [f"{_open_time_words(added)} {will_be}added."] if added.windows else []
    if closed.windows:
        told.append(f"{_open_time_words(closed)} {will_be}taken away.")
    if after.windows:
        is_as_long = before.minutes == after.minutes
        how = f"{moves} to other hours" if is_as_long else f"{changes} from {_length(before)} to {_length(after)}"
        told.append(f"Open time on {_counted(after.days, 'day')} {how}.")
    return told


def _open_time_words(time: OpenTime) -> str:
    """`12 hours and 30 minutes of open time on 4 days`."""
    return f"{_length(time)} of open time on {_counted(time.days, 'day')}"


def _length(time: OpenTime) -> str:
    return length_words(time.minutes)


def _counted(count: int, word: str) -> str:
    return f"1 {word}" if count == 1 else f"{count} {word}s"


def skipped_words(skipped: SkippedSlot, time: ClinicTime) -> str:
    """`Mon 30 Nov, 09:00: the doctor has another time then`."""
    at = _local_words(skipped.local_start, time) if skipped.local_start else "A time made by hand"
    return f"{at}: {REASONS[skipped.reason]}"


def _left_out(run: Run | None, time: ClinicTime) -> list[str]:
    """What publishing left out, newest state of it."""
    found: Iterable[dict[str, Any]] = msgspec.json.decode(run.skipped) if run else ()
    told = []
    for each in found:
        start = each.get("local_start")
        at = _local_words(datetime.fromisoformat(start), time) if start else "A time"
        told.append(f"{at}: {REASONS[SkipReason(each['reason'])]}")
    return told


def _local_words(local: datetime, time: ClinicTime) -> str:
    return f"{time.short_day(local.date())}, {local:%H:%M}"


def _day_before(day: date) -> date:
    return date.fromordinal(day.toordinal() - 1)
