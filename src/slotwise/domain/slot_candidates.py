"""The candidates that are a doctor's slots, and those that rules want and that are missing. Pure."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta

from slotwise.domain.reasons import Cause, Reason, in_order, reason_of, reason_of_closure
from slotwise.domain.reasons_against import ReasonsAgainst
from slotwise.domain.schedule_diff import Difference, ExistingSlot
from slotwise.domain.schedules import Plan, Rule, SkippedSlot, SkipReason, WantedSlot
from slotwise.domain.time_questions import Candidate, DoctorTimes, Question
from slotwise.domain.timetables import first_moment_from, local_time


class SlotCandidates:
    """Of a doctor, at all clinics. Slots that were carved out of windows are none."""

    def __init__(
        self,
        doctor: DoctorTimes,
        question: Question,
        plan: Plan,
        difference: Difference,
        reasons: ReasonsAgainst,
    ) -> None:
        self._doctor, self._question, self._visit = doctor, question, question.visit
        self._rules = {rule.id: rule for rule in doctor.rules}
        self._plan, self._reasons = plan, reasons
        self._slots = {slot.id: slot for slot in doctor.slots}
        self._in_the_way = {(each.rule_id, each.start_time): each.other_slot_id for each in difference.skipped}

    def all(self) -> Iterator[Candidate]:
        yield from self._existing()
        yield from self._missing()

    def _existing(self) -> Iterator[Candidate]:
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
        reasons = [*self._against_slot(slot), *self._reasons.of_moment(slot.start_time, slot.id)]
        return Candidate(
            local.date(), slot.clinic_id, slot.start_time, slot.end_time, slot.rule_id, slot.id, in_order(reasons)
        )

    def _against_slot(self, slot: ExistingSlot) -> Iterator[Reason]:
        if not self._doctor.active:
            yield reason_of(Cause.INACTIVE, slot_id=slot.id)
        if not self._visit.offered:
            yield reason_of(Cause.NOT_OFFERED, slot_id=slot.id)
        if not slot.is_open:
            yield self._reasons.closed(slot)
        if slot.total_seats <= slot.confirmed + slot.holds:
            cause = Cause.BOOKING if slot.total_seats <= slot.confirmed else Cause.HOLD
            yield reason_of(cause, slot_id=slot.id, start_time=slot.start_time, end_time=slot.busy_end)

    def _missing(self) -> Iterator[Candidate]:
        """Of slots that rules want and that there are not."""
        there = {_key(slot) for slot in self._doctor.slots if slot.rule_id is not None}
        pinned = {(slot.rule_id, slot.local_start) for slot in self._doctor.slots if slot.pinned}
        for wanted in (*self._plan.wanted, *(each.wanted for each in self._plan.closed)):
            missing = _key(wanted) not in there and (wanted.rule_id, wanted.local_start) not in pinned
            if missing and self._visit.is_of(wanted.visit_type_ids):
                yield self._candidate_of(wanted)
        for skipped in self._plan.skipped:
            rule = self._rules[skipped.rule_id or 0]
            if not rule.is_window and self._visit.is_of(rule.visit_type_ids):
                yield self._skipped(skipped, rule)

    def _candidate_of(self, wanted: WantedSlot) -> Candidate:
        closures = self._reasons.closures_of(wanted.clinic_id, wanted.start_time, wanted.end_time)
        other = self._slots.get(self._in_the_way.get((wanted.rule_id, wanted.start_time)) or 0)
        if closures:
            reasons = [reason_of_closure(each, None) for each in closures]
        elif other is not None:
            reasons = [self._reasons.taken_by(other)]
        else:
            reasons = [reason_of(Cause.NOT_PUBLISHED, rule_id=wanted.rule_id)]
        reasons += [*self._reasons.of_people(wanted.clinic_id), *self._reasons.of_moment(wanted.start_time)]
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
            in_order([reason, *self._reasons.of_moment(start)]),
        )  # fmt: skip

    def against(self, start: datetime) -> Iterator[Reason]:
        """Why the visit cannot begin at a moment within a slot."""
        for slot in self._slots_of_times():
            ours = self._question.is_about(slot.clinic_id) and self._visit.is_of(slot.visit_type_ids)
            if ours and slot.start_time < start < slot.end_time:
                period = {"start_time": slot.start_time, "end_time": slot.end_time}
                yield reason_of(Cause.NO_START, rule_id=slot.rule_id, slot_id=slot.id, **period)


def _key(slot: WantedSlot | ExistingSlot) -> tuple[object, ...]:
    return slot.rule_id, slot.clinic_id, slot.start_time, slot.end_time
