"""The reasons against a visit at a moment, whether the doctor's hours have a time then or not. Pure."""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import attrgetter

from slotwise.domain.open_times import VisitTime
from slotwise.domain.reasons import Cause, Reason, reason_of, reason_of_closure
from slotwise.domain.schedule_diff import ExistingSlot
from slotwise.domain.schedules import Closure
from slotwise.domain.slots import MAX_DURATION_MINUTES
from slotwise.domain.time_questions import DoctorTimes, Question
from slotwise.domain.visit_types import MAX_BUFFER_MINUTES

# No visit type has a longer buffer, and no slot is longer than a day.
LONGEST_BUFFER = timedelta(minutes=MAX_BUFFER_MINUTES)
_LONGEST_SLOT = timedelta(minutes=MAX_DURATION_MINUTES) + LONGEST_BUFFER


class ReasonsAgainst:
    """Of a doctor and a question: closures, what takes the doctor's time, and who may book when."""

    def __init__(self, doctor: DoctorTimes, question: Question) -> None:
        self._doctor, self._question, self._visit = doctor, question, question.visit
        self._closures = {closure.id: closure for closure in doctor.closures if closure.removed_at is None}
        self._by_clinic: dict[int, list[Closure]] = {}
        self._takers = sorted((slot for slot in doctor.slots if slot.takes_time), key=attrgetter("start_time", "id"))
        self._taken_from = [slot.start_time for slot in self._takers]

    def against_visit(self, clinic_id: int, start: datetime) -> list[Reason]:
        """All reasons against a visit in open time."""
        visit = self._visit.time or VisitTime(timedelta())
        return [
            *self.of_people(clinic_id),
            *(reason_of_closure(each, None) for each in self.closures_of(clinic_id, start, start + visit.length)),
            *self.of_moment(start),
            *(self.taken_by(each) for each in self.takers_in(start, start + visit.whole)),
        ]

    def of_people(self, clinic_id: int) -> Iterator[Reason]:
        if not self._doctor.active or clinic_id in self._question.inactive:
            yield reason_of(Cause.INACTIVE)
        if not self._visit.offered:
            yield reason_of(Cause.NOT_OFFERED)

    def of_moment(self, start: datetime, slot_id: int | None = None) -> Iterator[Reason]:
        visit = self._visit
        if start <= self._question.now:
            yield reason_of(Cause.PAST, slot_id=slot_id)
        elif start < visit.starts_from:
            yield reason_of(Cause.NOTICE, slot_id=slot_id, end_time=visit.starts_from)
        elif visit.starts_until is not None and start > visit.starts_until:
            yield reason_of(Cause.HORIZON, slot_id=slot_id, start_time=visit.starts_until)

    def closures_of(self, clinic_id: int, start: datetime, end: datetime) -> list[Closure]:
        """Those that touch the period, by id."""
        return [each for each in self._closures_at(clinic_id) if each.start_time < end and each.end_time > start]

    def _closures_at(self, clinic_id: int) -> list[Closure]:
        if clinic_id not in self._by_clinic:
            ours = (each for each in self._closures.values() if each.applies_to(self._doctor.doctor_id, clinic_id))
            self._by_clinic[clinic_id] = sorted(ours, key=attrgetter("id"))
        return self._by_clinic[clinic_id]

    def taken_by(self, slot: ExistingSlot) -> Reason:
        period = {"start_time": slot.start_time, "end_time": slot.busy_end}
        readable = self._question.readable
        if readable is not None and slot.clinic_id not in readable:
            return reason_of(Cause.ELSEWHERE, **period)
        if slot.confirmed > 0:
            return reason_of(Cause.BOOKING, slot_id=slot.id, **period)
        return reason_of(Cause.HOLD if slot.holds > 0 else Cause.SLOT, slot_id=slot.id, **period)

    def takers_in(self, start: datetime, end: datetime) -> list[ExistingSlot]:
        """What takes the doctor's time in the period, by start."""
        first, last = bisect_left(self._taken_from, start - _LONGEST_SLOT), bisect_left(self._taken_from, end)
        return [each for each in self._takers[first:last] if each.busy_end > start]

    def closed(self, slot: ExistingSlot) -> Reason:
        """Of a closed slot: the closure that closed it or, if it follows its rule, that covers it."""
        closure = self._closures.get(slot.closure_id or 0)
        if closure is None and slot.follows_rule:
            covering = self.closures_of(slot.clinic_id, slot.start_time, slot.end_time)
            closure = covering[0] if covering else None
        if closure is None:
            return reason_of(Cause.CLOSED, slot_id=slot.id, start_time=slot.start_time, end_time=slot.end_time)
        return reason_of_closure(closure, slot.id)
