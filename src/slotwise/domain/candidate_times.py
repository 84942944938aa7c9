"""The times at which a visit could begin by a doctor's rules, each with all reasons why it is not offered.

Pure: built from the plan, and from what is missing until slots and windows are as planned. It takes slots and windows
as they are: what is offered depends on them.
"""

from collections.abc import Sequence
from datetime import datetime

from slotwise.domain.reasons import Cause, Reason, in_order, reason_of
from slotwise.domain.reasons_against import ReasonsAgainst
from slotwise.domain.schedule_diff import diff
from slotwise.domain.schedules import WantedWindow, plan
from slotwise.domain.slot_candidates import SlotCandidates
from slotwise.domain.time_questions import DAY, Candidate, DoctorTimes, Question
from slotwise.domain.window_candidates import WindowCandidates
from slotwise.domain.window_diff import ExistingWindow, diff_windows


class CandidateTimes:
    """The candidates of a doctor. Slots and windows must be known for two days more than the period has."""

    def __init__(self, doctor: DoctorTimes, question: Question) -> None:
        self._doctor, self._question = doctor, question
        self._reasons = ReasonsAgainst(doctor, question)
        planned = plan(
            doctor.rules, doctor.closures, question.first_day, question.last_day, question.zones, question.buffers
        )
        windows = diff_windows(planned, doctor.windows, question.now, question.last_day + DAY)
        slots = diff(planned, doctor.slots, doctor.closures, question.now, question.inactive, windows=windows.open)
        self._windows_to_add = windows.add
        self._in_windows = WindowCandidates(doctor, question, planned, windows, self._reasons)
        self._in_slots = SlotCandidates(doctor, question, planned, slots, self._reasons)

    def in_period(self) -> list[Candidate]:
        """Those that begin in the period, by start."""
        first, before = self._question.starts_from, self._question.starts_before
        return [each for each in self.all() if first <= each.start_time < before]

    def all(self) -> list[Candidate]:
        """Also those of the days around the period."""
        found = (*self._in_slots.all(), *self._in_windows.all())
        about = (each for each in found if self._question.is_about(each.clinic_id))
        return sorted(about, key=lambda each: (each.start_time, each.clinic_id, each.slot_id or 0))

    def against(self, start: datetime) -> tuple[Reason, ...]:
        """All reasons against a visit that begins at a moment at which there is no candidate."""
        windows, slots = self._in_windows.at(start), list(self._in_slots.against(start))
        reasons = [*(each for window in windows for each in self._in_windows.against(window, start)), *slots]
        if not windows and not slots:
            reasons.append(reason_of(Cause.OUTSIDE_HOURS))
        told = {each.slot_id for each in slots}
        others = (each for place in self._places_of(windows) for each in self._reasons.against_visit(place, start))
        # At several clinics, the same reasons are found again.
        return in_order(
            dict.fromkeys([*reasons, *(each for each in others if each.slot_id is None or each.slot_id not in told)])
        )

    def _places_of(self, windows: Sequence[ExistingWindow | WantedWindow]) -> list[int]:
        """Where the visit would be: at the clinics of these hours. Without hours, where the doctor has any at all."""
        anywhere = {window.clinic_id for window in self._doctor.windows}
        anywhere |= {window.clinic_id for window in self._windows_to_add}
        anywhere |= {slot.clinic_id for slot in self._doctor.slots}
        near = {window.clinic_id for window in windows} or anywhere
        found = {clinic_id for clinic_id in near if self._question.is_about(clinic_id)}
        return sorted(found or self._question.clinic_ids or self._question.zones.keys() - self._question.inactive)
