"""Why times of a doctor are not offered: counted day by day, or all reasons of one time. Pure."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import groupby

from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.candidate_times import CandidateTimes
from slotwise.domain.reasons import OF_SLOTS, Cause, Reason, in_order
from slotwise.domain.time_questions import Candidate, DoctorTimes, Question


class TakenAway(Struct, frozen=True):
    """How many times a cause took away. Each time is counted once, for the first of its reasons.

    Rule, closure and slot are those of the cause. There is no code, and a gap has no period: each time has its own.
    """

    reason: Reason
    times: int


class DayExplanation(Struct, frozen=True):
    """A day at a clinic: how many times its rules and slots have, what took them away, and the starts that are left."""

    day: date
    clinic_id: int
    candidates: int
    taken: tuple[TakenAway, ...]
    left: tuple[datetime, ...]


class TimeExplanation(Struct, frozen=True):
    """One time: all reasons why it is not offered, in the order of causes; none if it is offered.

    `earlier` and `later` are the nearest times that are offered.
    """

    start_time: datetime
    offered: bool
    reasons: tuple[Reason, ...]
    earlier: datetime | None
    later: datetime | None


def explain_days(doctor: DoctorTimes, question: Question) -> list[DayExplanation]:
    """The days of the period that have candidates, in order. What is left is what is offered."""
    found = sorted(CandidateTimes(doctor, question).in_period(), key=_day_of)
    return [_explain(list(candidates)) for _, candidates in groupby(found, _day_of)]


def _day_of(candidate: Candidate) -> tuple[date, int]:
    return candidate.day, candidate.clinic_id


def _explain(candidates: list[Candidate]) -> DayExplanation:
    first = candidates[0]
    left = tuple(each.start_time for each in candidates if each.is_offered)
    return DayExplanation(first.day, first.clinic_id, len(candidates), tuple(_counted(candidates)), left)


def _counted(candidates: Iterable[Candidate]) -> Iterator[TakenAway]:
    """In the order of causes."""
    times = Counter(_of_several(each.reasons[0]) for each in candidates if each.reasons)
    for reason in in_order(times):
        yield TakenAway(reason, times[reason])


def _of_several(reason: Reason) -> Reason:
    """What the reasons of several times have in common."""
    if reason.cause is Cause.GAP:
        reason = replace(reason, start_time=None, end_time=None)
    return replace(reason, code=None, slot_id=reason.slot_id if reason.cause in OF_SLOTS else None)


def explain_time(doctor: DoctorTimes, question: Question, start: datetime) -> TimeExplanation:
    """Whether the time is offered at one of the clinics, and why it is not."""
    times = CandidateTimes(doctor, question)
    candidates = times.all()
    same = [each for each in candidates if each.start_time == start]
    offered = any(each.is_offered for each in same)
    reasons = () if offered else in_order(dict.fromkeys(reason for each in same for reason in each.reasons))
    if not same:
        reasons = times.against(start)
    left = [each.start_time for each in candidates if each.is_offered]
    earlier = max((each for each in left if each < start), default=None)
    later = min((each for each in left if each > start), default=None)
    return TimeExplanation(start, offered, reasons, earlier, later)
