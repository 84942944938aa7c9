"""The times at which a visit could begin by a doctor's rules, each with all reasons why it is not offered.

Pure: built from the plan, and from what is missing until slots and windows are as planned. It takes slots and windows
as they are: what is offered depends on them.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from itertools import groupby
from operator import attrgetter

from msgspec import Struct

from slotwise.domain.open_times import (
    FreeStart,
    OpenWindow,
    VisitTime,
    free_starts,
    gap_beside,
    offered_starts,
    steps_of,
)
from slotwise.domain.reasons import Cause, Reason, in_order, reason_of, reason_of_closure
from slotwise.domain.schedule_diff import ExistingSlot, diff
from slotwise.domain.schedules import (
    Closure,
    Rule,
    SkippedSlot,
    SkipReason,
    WantedSlot,
    WantedWindow,
    plan,
    window_on,
)
from slotwise.domain.slots import MAX_DURATION_MINUTES
from slotwise.domain.timetables import Period, first_moment_from, local_time
from slotwise.domain.visit_types import MAX_BUFFER_MINUTES
from slotwise.domain.window_diff import ExistingWindow, diff_windows

DAY = timedelta(days=1)
# No visit type has a longer buffer, and no slot is longer than a day.
_LONGEST_BUFFER = timedelta(minutes=MAX_BUFFER_MINUTES)
_LONGEST_SLOT = timedelta(minutes=MAX_DURATION_MINUTES) + _LONGEST_BUFFER


class Candidate(Struct, frozen=True):
    """A time that the rules have. Without reasons it is offered. `day` is that of its hours, by the clinic's clock."""

    day: date
    clinic_id: int
    start_time: datetime
    end_time: datetime
    rule_id: int | None
    slot_id: int | None
    reasons: tuple[Reason, ...]

    @property
    def is_offered(self) -> bool:
        return not self.reasons


class AskedVisit(Struct, frozen=True):
    """A visit type for those who want to book it. If it is `offered`, visits can begin from and until then.

    Without `id` and `time` it stands for slots without visit types.
    """

    offered: bool
    starts_from: datetime
    id: int | None = None
    time: VisitTime | None = None
    starts_until: datetime | None = None

    def is_of(self, visit_type_ids: Collection[int | None] | None) -> bool:
        return self.id is None if visit_type_ids is None else self.id in visit_type_ids


class DoctorTimes(Struct, frozen=True):
    """All of a doctor near the period, at all clinics. The closures may be those of others, too."""

    doctor_id: int
    active: bool
    rules: Sequence[Rule]
    closures: Sequence[Closure]
    windows: Sequence[ExistingWindow]
    slots: Sequence[ExistingSlot]


class Question(Struct, frozen=True):
    """What is asked, and what all doctors have in common. The period of starts is half-open, in UTC.

    `visit_times` has the active visit types by their ids, `buffers` the minutes of all. Only times at `clinic_ids` are
    explained. Slots at other clinics than `readable` are told without their ids. None stands for all clinics.
    """

    visit: AskedVisit
    starts_from: datetime
    starts_before: datetime
    now: datetime
    zones: Mapping[int, tzinfo]
    visit_times: Mapping[int, VisitTime]
    buffers: Mapping[int, int]
    inactive: frozenset[int] = frozenset()
    clinic_ids: frozenset[int] | None = None
    readable: frozenset[int] | None = None

    @property
    def first_day(self) -> date:
        """A day is under way in some zone at most one day before and after it is in UTC."""
        return self.starts_from.date() - DAY

    @property
    def last_day(self) -> date:
        return self.starts_before.date() + DAY

    def is_about(self, clinic_id: int) -> bool:
        return self.clinic_ids is None or clinic_id in self.clinic_ids


class CandidateTimes:
    """The candidates of a doctor. Slots and windows must be known for two days more than the period has."""

    def __init__(self, doctor: DoctorTimes, question: Question) -> None:
        self._doctor, self._question, self._visit = doctor, question, question.visit
        self._rules = {rule.id: rule for rule in doctor.rules}
        self._closures = {closure.id: closure for closure in doctor.closures if closure.removed_at is None}
        self._by_clinic: dict[int, list[Closure]] = {}
        self._plan = plan(
            doctor.rules, doctor.closures, question.first_day, question.last_day, question.zones, question.buffers
        )
        self._windows = diff_windows(self._plan, doctor.windows, question.now, question.last_day + DAY)
        self._difference = diff(
            self._plan, doctor.slots, doctor.closures, question.now, question.inactive, windows=self._windows.open
        )
        self._slots = {slot.id: slot for slot in doctor.slots}
        self._in_the_way = {(each.rule_id, each.start_time): each.other_slot_id for each in self._difference.skipped}
        self._takers = sorted((slot for slot in doctor.slots if slot.takes_time), key=attrgetter("start_time", "id"))
        self._taken_from = [slot.start_time for slot in self._takers]

    def in_period(self) -> list[Candidate]:
        """Those that begin in the period, by start."""
        first, before = self._question.starts_from, self._question.starts_before
        return [each for each in self.all() if first <= each.start_time < before]

    def all(self) -> list[Candidate]:
        """Also those of the days around the period."""
        found = (*self._in_slots(), *self._without_slots(), *self._in_windows(), *self._without_windows())
        about = (each for each in found if self._question.is_about(each.clinic_id))
        return sorted(about, key=lambda each: (each.start_time, each.clinic_id, each.slot_id or 0))

    # In windows.

    def _in_windows(self) -> Iterator[Candidate]:
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
                reasons = self._why_not(window.clinic_id, start)
                if not reasons and start not in offered:
                    reasons = [self._gap_beside(window, start)]
                yield self._candidate(window, start, reasons)

    def _gap_beside(self, window: ExistingWindow, start: datetime) -> Reason:
        gap = gap_beside(self._open_window(window), self._visit.time or VisitTime(timedelta()), start)
        return reason_of(Cause.GAP, start_time=gap.start_time, end_time=gap.end_time)

    def _free_in(self, window: ExistingWindow) -> list[FreeStart]:
        if self._visit.time is None or any(self._of_people(window.clinic_id)):
            return []
        free = free_starts(self._open_window(window), self._visit.time)
        return [each for each in free if not any(self._of_moment(each.start))]

    def _steps(self, window: ExistingWindow | WantedWindow) -> list[datetime]:
        return [] if self._visit.time is None else steps_of(self._open_window(window), self._visit.time)

    def _open_window(self, window: ExistingWindow | WantedWindow) -> OpenWindow:
        rule, period = self._rules[window.rule_id], Period(window.start_time, window.end_time)
        types = rule.visit_type_ids or ()
        closures = self._closures_of(window.clinic_id, window.start_time, window.end_time)
        return OpenWindow(
            period,
            timedelta(minutes=rule.step_minutes or 1),
            [self._question.visit_times[each] for each in types if each in self._question.visit_times],
            _merged(self._takers_in(window.start_time, window.end_time + _LONGEST_BUFFER)),
            [Period(each.start_time, each.end_time) for each in closures],
        )

    def _without_windows(self) -> Iterator[Candidate]:
        """Of windows that rules want and that there are not."""
        for window in self._windows.add:
            if self._is_for(window.rule_id):
                reason = reason_of(Cause.NOT_PUBLISHED, rule_id=window.rule_id)
                yield from self._in_missing(window, reason)
        for skipped in (*self._plan.skipped, *self._windows.skipped):
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
            yield self._candidate(window, start, [reason, *self._why_not(window.clinic_id, start)])

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

    # In slots.

    def _in_slots(self) -> Iterator[Candidate]:
        """Of slots that rules want or that people made. A closed one that its rule no longer wants is no candidate."""
        for slot in self._slots_of_times():
            if self._visit.is_of(slot.visit_type_ids):
                yield self._candidate_in(slot)

    def _slots_of_times(self) -> list[ExistingSlot]:
        """One of each time of a rule: the open one, or the last."""
        wanted = {_key(each) for each in self._plan.wanted} | {_key(each.wanted) for each in self._plan.closed}
        by_key: dict[object, ExistingSlot] = {}
        for slot in sorted(self._doctor.slots, key=lambda slot: (slot.is_open, slot.id)):
            key = _key(slot) if slot.follows_rule else slot.id
            if not (slot.carved or slot.window_id) and (slot.is_open or slot.is_on_its_own or key in wanted):
                by_key[key] = slot
        return list(by_key.values())

    def _candidate_in(self, slot: ExistingSlot) -> Candidate:
        zone = self._question.zones[slot.clinic_id]
        local = slot.local_start or local_time(slot.start_time, zone)
        reasons = [*self._of_slot(slot), *self._of_moment(slot.start_time, slot.id)]
        return Candidate(
            local.date(), slot.clinic_id, slot.start_time, slot.end_time, slot.rule_id, slot.id, in_order(reasons)
        )

    def _of_slot(self, slot: ExistingSlot) -> Iterator[Reason]:
        if not self._doctor.active:
            yield reason_of(Cause.INACTIVE, slot_id=slot.id)
        if not self._visit.offered:
            yield reason_of(Cause.NOT_OFFERED, slot_id=slot.id)
        if not slot.is_open:
            yield self._closed(slot)
        if slot.total_seats <= slot.confirmed + slot.holds:
            cause = Cause.BOOKING if slot.total_seats <= slot.confirmed else Cause.HOLD
            yield reason_of(cause, slot_id=slot.id, start_time=slot.start_time, end_time=slot.busy_end)

    def _closed(self, slot: ExistingSlot) -> Reason:
        closure = self._closures.get(slot.closure_id or 0)
        if closure is None and slot.follows_rule:
            covering = self._closures_of(slot.clinic_id, slot.start_time, slot.end_time)
            closure = covering[0] if covering else None
        if closure is None:
            return reason_of(Cause.CLOSED, slot_id=slot.id, start_time=slot.start_time, end_time=slot.end_time)
        return reason_of_closure(closure, slot.id)

    def _without_slots(self) -> Iterator[Candidate]:
        """Of slots that rules want and that there are not."""
        there = {_key(slot) for slot in self._doctor.slots if slot.rule_id is not None}
        pinned = {(slot.rule_id, slot.local_start) for slot in self._doctor.slots if slot.pinned}
        for wanted in (*self._plan.wanted, *(each.wanted for each in self._plan.closed)):
            missing = _key(wanted) not in there and (wanted.rule_id, wanted.local_start) not in pinned
            if missing and self._visit.is_of(wanted.visit_type_ids):
                yield self._missing(wanted)
        for skipped in self._plan.skipped:
            rule = self._rules[skipped.rule_id or 0]
            if not rule.is_window and self._visit.is_of(rule.visit_type_ids):
                yield self._skipped(skipped, rule)

    def _missing(self, wanted: WantedSlot) -> Candidate:
        closures = self._closures_of(wanted.clinic_id, wanted.start_time, wanted.end_time)
        other = self._slots.get(self._in_the_way.get((wanted.rule_id, wanted.start_time)) or 0)
        if closures:
            reasons = [reason_of_closure(each, None) for each in closures]
        elif other is not None:
            reasons = [self._taken_by(other)]
        else:
            reasons = [reason_of(Cause.NOT_PUBLISHED, rule_id=wanted.rule_id)]
        reasons += [*self._of_people(wanted.clinic_id), *self._of_moment(wanted.start_time)]
        return Candidate(
            wanted.local_start.date(), wanted.clinic_id, wanted.start_time, wanted.end_time, wanted.rule_id, None,
            in_order(reasons),
        )  # fmt: skip

    def _skipped(self, skipped: SkippedSlot, rule: Rule) -> Candidate:
        local = skipped.local_start or datetime.combine(self._question.first_day, time())
        start = skipped.start_time or first_moment_from(local, self._question.zones[rule.clinic_id])
        if skipped.reason is SkipReason.OTHER_RULE:
            reason = reason_of(Cause.OTHER_RULE, rule_id=skipped.other_rule_id)
        else:
            reason = reason_of(Cause.CLOCK_CHANGE, rule_id=rule.id)
        return Candidate(
            local.date(), rule.clinic_id, start, start + timedelta(minutes=rule.slot_minutes), rule.id, None,
            in_order([reason, *self._of_moment(start)]),
        )  # fmt: skip

    # Moments that are no candidates.

    def against(self, start: datetime) -> tuple[Reason, ...]:
        """All reasons against a visit that begins at a moment at which there is no candidate."""
        windows, slots = self._windows_at(start), list(self._against_in_slots(start))
        reasons = [*(each for window in windows for each in self._against_in(window, start)), *slots]
        if not windows and not slots:
            reasons.append(reason_of(Cause.OUTSIDE_HOURS))
        told = {each.slot_id for each in slots}
        others = (each for place in self._places_of(windows) for each in self._why_not(place, start))
        # At several clinics, the same reasons are found again.
        return in_order(
            dict.fromkeys([*reasons, *(each for each in others if each.slot_id is None or each.slot_id not in told)])
        )

    def _places_of(self, windows: Sequence[ExistingWindow | WantedWindow]) -> list[int]:
        """Where the visit would be: at the clinics of these hours. Without hours, where the doctor has any at all."""
        anywhere = {window.clinic_id for window in self._doctor.windows}
        anywhere |= {window.clinic_id for window in self._windows.add}
        anywhere |= {slot.clinic_id for slot in self._doctor.slots}
        near = {window.clinic_id for window in windows} or anywhere
        found = {clinic_id for clinic_id in near if self._question.is_about(clinic_id)}
        return sorted(found or self._question.clinic_ids or self._question.zones.keys() - self._question.inactive)

    def _windows_at(self, start: datetime) -> list[ExistingWindow | WantedWindow]:
        windows: list[ExistingWindow | WantedWindow] = [*self._doctor.windows, *self._windows.add]
        return [
            each
            for each in windows
            if each.start_time <= start < each.end_time
            and self._question.is_about(each.clinic_id)
            and each.rule_id in self._rules
        ]

    def _against_in(self, window: ExistingWindow | WantedWindow, start: datetime) -> Iterator[Reason]:
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
        taken = self._takers_in(window.start_time, window.end_time)
        closures = self._closures_of(window.clinic_id, window.start_time, window.end_time)
        return {*(each.busy_end for each in taken), *(each.end_time for each in closures)}

    def _against_in_slots(self, start: datetime) -> Iterator[Reason]:
        for slot in self._slots_of_times():
            ours = self._question.is_about(slot.clinic_id) and self._visit.is_of(slot.visit_type_ids)
            if ours and slot.start_time < start < slot.end_time:
                period = {"start_time": slot.start_time, "end_time": slot.end_time}
                yield reason_of(Cause.NO_START, rule_id=slot.rule_id, slot_id=slot.id, **period)

    # Reasons.

    def _why_not(self, clinic_id: int, start: datetime) -> list[Reason]:
        """All reasons against a visit in open time."""
        visit = self._visit.time or VisitTime(timedelta())
        return [
            *self._of_people(clinic_id),
            *(reason_of_closure(each, None) for each in self._closures_of(clinic_id, start, start + visit.length)),
            *self._of_moment(start),
            *(self._taken_by(each) for each in self._takers_in(start, start + visit.whole)),
        ]

    def _of_people(self, clinic_id: int) -> Iterator[Reason]:
        if not self._doctor.active or clinic_id in self._question.inactive:
            yield reason_of(Cause.INACTIVE)
        if not self._visit.offered:
            yield reason_of(Cause.NOT_OFFERED)

    def _of_moment(self, start: datetime, slot_id: int | None = None) -> Iterator[Reason]:
        visit = self._visit
        if start <= self._question.now:
            yield reason_of(Cause.PAST, slot_id=slot_id)
        elif start < visit.starts_from:
            yield reason_of(Cause.NOTICE, slot_id=slot_id, end_time=visit.starts_from)
        elif visit.starts_until is not None and start > visit.starts_until:
            yield reason_of(Cause.HORIZON, slot_id=slot_id, start_time=visit.starts_until)

    def _closures_of(self, clinic_id: int, start: datetime, end: datetime) -> list[Closure]:
        """Those that touch the period, by id."""
        return [each for each in self._closures_at(clinic_id) if each.start_time < end and each.end_time > start]

    def _closures_at(self, clinic_id: int) -> list[Closure]:
        if clinic_id not in self._by_clinic:
            ours = (each for each in self._closures.values() if each.applies_to(self._doctor.doctor_id, clinic_id))
            self._by_clinic[clinic_id] = sorted(ours, key=attrgetter("id"))
        return self._by_clinic[clinic_id]

    def _taken_by(self, slot: ExistingSlot) -> Reason:
        period = {"start_time": slot.start_time, "end_time": slot.busy_end}
        readable = self._question.readable
        if readable is not None and slot.clinic_id not in readable:
            return reason_of(Cause.ELSEWHERE, **period)
        if slot.confirmed > 0:
            return reason_of(Cause.BOOKING, slot_id=slot.id, **period)
        return reason_of(Cause.HOLD if slot.holds > 0 else Cause.SLOT, slot_id=slot.id, **period)

    def _takers_in(self, start: datetime, end: datetime) -> list[ExistingSlot]:
        """What takes the doctor's time in the period, by start."""
        first, last = bisect_left(self._taken_from, start - _LONGEST_SLOT), bisect_left(self._taken_from, end)
        return [each for each in self._takers[first:last] if each.busy_end > start]


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


def _key(slot: WantedSlot | ExistingSlot) -> tuple[object, ...]:
    return slot.rule_id, slot.clinic_id, slot.start_time, slot.end_time
