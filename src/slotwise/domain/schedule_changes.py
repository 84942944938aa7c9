"""A change of schedules, as somebody asks for it, with what is to happen to the bookings that it concerns."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from slotwise.domain.schedules import Closure, ClosureKind, Rule


class Decision(StrEnum):
    """What happens to a confirmed booking whose slot goes: it stays, and is listed; it is cancelled; or a colleague
    takes over the slot with it.
    """

    KEEP = "KEEP"
    CANCEL = "CANCEL"
    TAKE_OVER = "TAKE_OVER"


class Decisions(Struct, frozen=True):
    """`bookings` has what differs from the default, by booking id. The message is for the patients cancelled.

    `colleague_id` is the doctor who takes over. `otherwise` is for those whom that doctor cannot see.
    """

    default: Decision = Decision.KEEP
    bookings: Mapping[int, Decision] = msgspec.field(default_factory=dict)
    message: str | None = None
    colleague_id: int | None = None
    otherwise: Decision = Decision.KEEP

    def of(self, booking_id: int) -> Decision:
        return self.bookings.get(booking_id, self.default)


class ZoneChange(Struct, frozen=True):
    clinic_id: int
    time_zone: str


class LengthChange(Struct, frozen=True):
    """Rules with this visit type make slots of this length from now on. A buffer that is None stays as it is.

    Windows stay as they are: only visits that are carved from now on are longer or shorter.
    """

    visit_type_id: int
    minutes: int
    buffer_minutes: int | None = None


class ScheduleChange(Struct, frozen=True):
    """Rules and closures to add have any id. Those to change are as they are to be, with the version that was read.

    A removed rule or closure comes back if it is changed to one that is not removed.
    """

    add_rules: tuple[Rule, ...] = ()
    change_rules: tuple[Rule, ...] = ()
    remove_rules: tuple[int, ...] = ()
    add_closures: tuple[Closure, ...] = ()
    change_closures: tuple[Closure, ...] = ()
    remove_closures: tuple[int, ...] = ()
    change_zones: tuple[ZoneChange, ...] = ()
    change_lengths: tuple[LengthChange, ...] = ()
    decisions: Decisions = Decisions()

    @property
    def absent_doctor(self) -> int | None:
        """Who is away, if this adds or changes absences of one doctor, and nothing else."""
        others = (self.add_rules, self.change_rules, self.remove_rules, self.remove_closures)
        closures = (*self.add_closures, *self.change_closures)
        doctors = {each.doctor_id for each in closures}
        plain = len(doctors) == 1 and all(each.kind is ClosureKind.ABSENCE for each in closures)
        return doctors.pop() if plain and not any((*others, self.change_zones, self.change_lengths)) else None
