"""Why times are not offered, in the words of the desk."""

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import NamedTuple

from slotwise.domain.explanations import DayExplanation, TakenAway, TimeExplanation
from slotwise.domain.reasons import Cause, Reason
from slotwise.domain.schedules import ClosureKind
from slotwise.web.kit.times import ClinicTime


class ToldReason(NamedTuple):
    """In words, with the page of what is the reason, if it has one."""

    words: str
    url: str | None


class CountedReason(NamedTuple):
    times: int
    words: str
    url: str | None


class DayRow(NamedTuple):
    """A day as the page shows it."""

    day: str
    clinic_id: int
    candidates: int
    offered: int
    taken: list[CountedReason]


class ToldTime(NamedTuple):
    """`nearest` are the times around it that are offered."""

    moment: str
    offered: bool
    reasons: list[ToldReason]
    nearest: list[str]


class _Clock(NamedTuple):
    """Tells moments by the clinic's clock, with their day if it is another one."""

    time: ClinicTime
    day: date

    def at(self, moment: datetime) -> str:
        return self.time.clock_on(moment, self.day)

    def until(self, moment: datetime) -> str:
        return self.time.clock_on(moment, self.day, ends=True)


def day_row(day: DayExplanation, time: ClinicTime) -> DayRow:
    taken = [_counted(each, _Clock(time, day.day)) for each in day.taken]
    return DayRow(time.day(day.day), day.clinic_id, day.candidates, len(day.left), taken)


def _counted(taken: TakenAway, clock: _Clock) -> CountedReason:
    return CountedReason(taken.times, _of_several(taken.reason, clock), _url_of(taken.reason))


def told_time(told: TimeExplanation, time: ClinicTime) -> ToldTime:
    clock = _Clock(time, time.day_of(told.start_time))
    reasons = [ToldReason(_of_one(reason, told.start_time, clock), _url_of(reason)) for reason in told.reasons]
    near = [each for each in (told.earlier, told.later) if each is not None]
    nearest = [clock.at(each) for each in near]
    return ToldTime(time.moment(told.start_time), told.offered, reasons, nearest)


def _url_of(reason: Reason) -> str | None:
    if reason.closure_id is not None:
        return f"/admin/closures/{reason.closure_id}"
    return None if reason.slot_id is None else f"/admin/slots/{reason.slot_id}"


def _of_several(reason: Reason, clock: _Clock) -> str:
    return "each would leave a gap in which no visit fits" if reason.cause is Cause.GAP else _common(reason, clock)


def _of_one(reason: Reason, start: datetime, clock: _Clock) -> str:
    words = _OF_ONE.get(reason.cause)
    return _common(reason, clock) if words is None else words(reason, start, clock)


def _common(reason: Reason, clock: _Clock) -> str:
    """Without a capital letter and a full stop."""
    return _COMMON[reason.cause](reason, clock)


def _period(reason: Reason, clock: _Clock) -> str:
    if reason.start_time is None or reason.end_time is None:
        return ""
    return f", {clock.at(reason.start_time)} to {clock.until(reason.end_time)}"


def _plain(words: str) -> Callable[[Reason, _Clock], str]:
    return lambda _, __: words


def _with_period(words: str) -> Callable[[Reason, _Clock], str]:
    return lambda reason, clock: f"{words}{_period(reason, clock)}"


def _closure(reason: Reason, clock: _Clock) -> str:
    return f"{'holiday' if reason.closure_kind is ClosureKind.HOLIDAY else 'absence'}{_period(reason, clock)}"


def _notice(reason: Reason, clock: _Clock) -> str:
    until = "" if reason.end_time is None else f": it can begin from {clock.at(reason.end_time)} on"
    return f"too late for this kind of visit{until}"


def _horizon(reason: Reason, clock: _Clock) -> str:
    until = "" if reason.start_time is None else f": it can begin until {clock.at(reason.start_time)}"
    return f"too early for this kind of visit{until}"


def _too_long(reason: Reason, clock: _Clock) -> str:
    end = "" if reason.end_time is None else f", which end at {clock.until(reason.end_time)}"
    return f"the visit would end after the hours{end}"


_COMMON: Mapping[Cause, Callable[[Reason, _Clock], str]] = {
    Cause.OTHER_RULE: _plain("other hours of the doctor have this time"),
    Cause.CLOCK_CHANGE: _plain("the clocks change"),
    Cause.OUTSIDE_HOURS: _plain("the doctor has no hours then"),
    Cause.TOO_LONG: _too_long,
    Cause.NOT_PUBLISHED: _plain("the hours are not published until this day yet"),
    Cause.INACTIVE: _plain("the doctor or the clinic takes no appointments"),
    Cause.CLOSURE: _closure,
    Cause.CLOSED: _with_period("closed time"),
    Cause.NOT_OFFERED: _plain("this kind of visit cannot be booked then"),
    Cause.PAST: _plain("it has begun"),
    Cause.NOTICE: _notice,
    Cause.HORIZON: _horizon,
    Cause.BOOKING: _with_period("booked"),
    Cause.HOLD: _with_period("on hold"),
    Cause.SLOT: _with_period("the doctor has a published time"),
    Cause.ELSEWHERE: _with_period("the doctor is busy at another clinic"),
    Cause.NO_START: _plain("visits begin at other times"),
    Cause.GAP: _plain("it would leave a gap in which no visit fits"),
}


def _no_start(reason: Reason, start: datetime, clock: _Clock) -> str:
    """`no visit begins at 11:40: the hours begin at 09:00, visits begin every 15 minutes, ...`."""
    if reason.start_time is None:
        return _common(reason, clock)
    begins = clock.at(reason.start_time)
    told = [f"no visit begins at {clock.at(start)}: the hours begin at {begins}"]
    if reason.step_minutes is None:
        return f"no visit begins at {clock.at(start)}: a time of the doctor begins at {begins}"
    told.append(f"visits begin every {reason.step_minutes} minutes")
    if reason.free_again is not None:
        told.append(f"the doctor is free again at {clock.at(reason.free_again)}")
    return ", ".join(told)


def _gap(reason: Reason, start: datetime, clock: _Clock) -> str:
    if reason.start_time is None or reason.end_time is None:
        return _common(reason, clock)
    minutes = (reason.end_time - reason.start_time) // timedelta(minutes=1)
    gap = f"{clock.at(reason.start_time)} to {clock.at(reason.end_time)}"
    length = "1 minute" if minutes == 1 else f"{minutes} minutes"
    return f"a visit at {clock.at(start)} would leave a gap of {length}, {gap}: shorter than the shortest visit"


_OF_ONE: Mapping[Cause, Callable[[Reason, datetime, _Clock], str]] = {
    Cause.NO_START: _no_start,
    Cause.GAP: _gap,
}
