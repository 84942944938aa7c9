"""The candidates in a doctor's open time: where there are windows, and where rules want some that are missing. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from itertools import groupby

from slotwise.domain.open_times import (
    FreeStart,
    OpenWindow,
    VisitTime,
    free_starts,
    gap_beside,
    offered_starts,
    steps_of,
)
from slotwise.domain.reasons import Cause, Reason, in_order, reason_of
from slotwise.domain.reasons_against import LONGEST_BUFFER, ReasonsAgainst
from slotwise.domain.schedule_diff import ExistingSlot
from slotwise.domain.schedules import Plan, SkippedSlot, WantedWindow, window_on
from slotwise.domain.time_questions import Candidate, DoctorTimes, Question
from slotwise.domain.timetables import Period
from slotwise.domain.window_diff import ExistingWindow, WindowDifference


class WindowCandidates:
    """Of a doctor, at all clinics. For slots without visit types there are none."""

    def __init__(
        self,
        doctor: DoctorTimes,
        question: Question,
        plan: Plan,
        difference: WindowDifference,
        reasons: ReasonsAgainst,
    ) -> None:
        self._doctor, self._question, self._visit = doctor, question, question.visit
        self._rules = {rule.id: rule for rule in doctor.rules}
        self._plan, self._difference, self._reasons = plan, difference, reasons

    def all(self) -> Iterator[Candidate]:
        yield from self._existing()
        yield from self._missing()

    def _existing(self) -> Iterator[Candidate]:
        """What is offered of a day depends on all its windows."""
        ours = sorted((each for each in self._doctor.windows if self._is_for(each.rule_id)), key=_day_of)
        for _, windows in groupby(ours, _day_of):
            yield from self._of_day(list(windows))

    def _is_for(self, rule_id: int) -> bool:
        rule = self._rules.get(rule_id)
        return rule is not None and rule.is_window and self._visit.is_of(rule.visit_type_ids)

    def _of_day(self, windows: Sequence[ExistingWindow]) -> Iterator[Candidate]:
        free = {each: window for window in windows for each in self._free_in(window)}
        offered = set(offered_starts(free))
        for window in windows:
            # Next to visits and closures there are more starts than the rule has. They count if they are offered.
            more = {each.start for each, where in free.items() if where is window} & offered
            for start in sorted({*self._steps(window), *more}):
                reasons = self._reasons.against_visit(window.clinic_id, start)
                if not reasons and start not in offered:
                    reasons = [self._gap_beside(window, start)]
                yield self._candidate(window, start, reasons)

    def _gap_beside(self, window: ExistingWindow, start: datetime) -> Reason:
        gap = gap_beside(self._open_window(window), self._visit.time or VisitTime(timedelta()), start)
        return reason_of(Cause.GAP, start_time=gap.start_time, end_time=gap.end_time)

    def _free_in(self, window: ExistingWindow) -> list[FreeStart]:
        if self._visit.time is None or any(self._reasons.of_people(window.clinic_id)):
            return []
        free = free_starts(self._open_window(window), self._visit.time)
        return [each for each in free if not any(self._reasons.of_moment(each.start))]

    def _steps(self, window: ExistingWindow | WantedWindow) -> list[datetime]:
        return [] if self._visit.time is None else steps_of(self._open_window(window), self._visit.time)

    def _open_window(self, window: ExistingWindow | WantedWindow) -> OpenWindow:
        rule, period = self._rules[window.rule_id], Period(window.start_time, window.end_time)
        types = rule.visit_type_ids or ()
        closures = self._reasons.closures_of(window.clinic_id, window.start_time, window.end_time)
        return OpenWindow(
            period,
            timedelta(minutes=rule.step_minutes or 1),
            [self._question.visit_times[each] for each in types if each in self._question.visit_times],
            _merged(self._reasons.takers_in(window.start_time, window.end_time + LONGEST_BUFFER)),
            [Period(each.start_time, each.end_time) for each in closures],
        )

    def _missing(self) -> Iterator[Candidate]:
        """Of windows that rules want and that there are not."""
        for window in self._difference.add:
            if self._is_for(window.rule_id):
                reason = reason_of(Cause.NOT_PUBLISHED, rule_id=window.rule_id)
                yield from self._in_missing(window, reason)
        for skipped in (*self._plan.skipped, *self._difference.skipped):
            if skipped.rule_id is not None and self._is_for(skipped.rule_id):
                yield from self._in_skipped(skipped)

    def _in_skipped(self, skipped: SkippedSlot) -> Iterator[Candidate]:
        rule = self._rules[skipped.rule_id or 0]
        day = self._question.first_day if skipped.local_start is None else skipped.local_start.date()
        window = window_on(rule, day, self._question.zones[rule.clinic_id])
        if window is not None:
            yield from self._in_missing(window, reason_of(Cause.OTHER_RULE, rule_id=skipped.other_rule_id))

    def _in_missing(self, window: WantedWindow, reason: Reason) -> Iterator[Candidate]:
        for start in self._steps(window):
            yield self._candidate(window, start, [reason, *self._reasons.against_visit(window.clinic_id, start)])

    def _candidate(
        self, window: ExistingWindow | WantedWindow, start: datetime, reasons: Iterable[Reason]
    ) -> Candidate:
        length = self._visit.time.length if self._visit.time else timedelta()
        return Candidate(
            window.local_start.date(),
            window.clinic_id,
            start,
            start + length,
            window.rule_id,
            None,
            in_order(reasons),
        )

    def at(self, start: datetime) -> list[ExistingWindow | WantedWindow]:
        """The windows in which the moment is, also missing ones."""
        windows: list[ExistingWindow | WantedWindow] = [*self._doctor.windows, *self._difference.add]
        return [
            each
            for each in windows
            if each.start_time <= start < each.end_time
            and self._question.is_about(each.clinic_id)
            and each.rule_id in self._rules
        ]

    def against(self, window: ExistingWindow | WantedWindow, start: datetime) -> Iterator[Reason]:
        """Why the visit cannot begin in the window at a moment that is no candidate."""
        rule, length = self._rules[window.rule_id], self._visit.time.length if self._visit.time else timedelta()
        facts = {"rule_id": rule.id, "start_time": window.start_time, "end_time": window.end_time}
        if isinstance(window, WantedWindow):
            yield reason_of(Cause.NOT_PUBLISHED, rule_id=rule.id)
        if not self._visit.is_of(rule.visit_type_ids):
            yield reason_of(Cause.NOT_OFFERED, **facts)
        elif start + length > window.end_time:
            yield reason_of(Cause.TOO_LONG, **facts)
        elif isinstance(window, ExistingWindow) and start in {each.start for each in self._free_in(window)}:
            yield self._gap_beside(window, start)
        elif start not in self._free_again(window):
            before = [end for end in self._free_again(window) if end < start]
            yield reason_of(
                Cause.NO_START, step_minutes=rule.step_minutes, free_again=max(before, default=None), **facts
            )

    def _free_again(self, window: ExistingWindow | WantedWindow) -> set[datetime]:
        """When visits and closures in the window end: a visit may begin then."""
        taken = self._reasons.takers_in(window.start_time, window.end_time)
        closures = self._reasons.closures_of(window.clinic_id, window.start_time, window.end_time)
        return {*(each.busy_end for each in taken), *(each.end_time for each in closures)}


def _merged(takers: Iterable[ExistingSlot]) -> list[Period]:
    """Their periods in order, without overlaps."""
    merged: list[Period] = []
    for each in takers:
        if merged and each.start_time <= merged[-1].end_time:
            merged[-1] = Period(merged[-1].start_time, max(each.busy_end, merged[-1].end_time))
        else:
            merged.append(Period(each.start_time, each.busy_end))
    return merged


def _day_of(window: ExistingWindow) -> tuple[int, date]:
    return window.clinic_id, window.local_start.date()
