"""What is asked about the times of a doctor, for whom, and the candidates that answer it."""

from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo

from msgspec import Struct

from slotwise.domain.open_times import VisitTime
from slotwise.domain.reasons import Reason
from slotwise.domain.schedule_diff import ExistingSlot
from slotwise.domain.schedules import Closure, Rule
from slotwise.domain.window_diff import ExistingWindow

DAY = timedelta(days=1)


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
