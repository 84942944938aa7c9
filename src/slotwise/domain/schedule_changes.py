"""A change of schedules, as somebody asks for it: what is to happen to bookings too, and whether it makes sense."""

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum

import msgspec
from msgspec import Struct

from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.schedule_rules import closure_faults, rule_faults, text_faults
from slotwise.domain.schedules import Closure, ClosureKind, Rule
from slotwise.domain.slots import MAX_DURATION_MINUTES
from slotwise.domain.time_zones import find_zone
from slotwise.domain.visit_types import MAX_BUFFER_MINUTES

# How many rules a change may have to add, and how many to change.
MAX_NAMED_RULES = 200


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


def check_change(change: ScheduleChange) -> None:
    """Raises `InvalidInput` that names each field that is wrong, such as `add_rules[0].closes`."""
    raise_faults(_faults(change))


def raise_faults(faults: Iterable[FieldError]) -> None:
    """Raises `InvalidInput` if there are any."""
    found = tuple(faults)
    if found:
        raise InvalidInput(*found)


def _faults(change: ScheduleChange) -> Iterator[FieldError]:
    for name in ("add_rules", "change_rules"):
        for place, rule in enumerate(getattr(change, name)):
            yield from _within(f"{name}[{place}]", rule_faults(rule))
    for name in ("add_closures", "change_closures"):
        for place, closure in enumerate(getattr(change, name)):
            yield from _within(f"{name}[{place}]", closure_faults(closure))
    for place, zone in enumerate(change.change_zones):
        if find_zone(zone.time_zone) is None:
            yield FieldError(f"change_zones[{place}].time_zone", "must be the name of a time zone")
    for place, length in enumerate(change.change_lengths):
        if not 1 <= length.minutes <= MAX_DURATION_MINUTES:
            yield FieldError(f"change_lengths[{place}].minutes", f"must be from 1 to {MAX_DURATION_MINUTES}")
        if not 0 <= (length.buffer_minutes or 0) <= MAX_BUFFER_MINUTES:
            yield FieldError(f"change_lengths[{place}].buffer_minutes", f"must be from 0 to {MAX_BUFFER_MINUTES}")
    yield from _double_faults(change)
    yield from _colleague_faults(change)
    yield from _within("decisions", text_faults("message", change.decisions.message))


def _colleague_faults(change: ScheduleChange) -> Iterator[FieldError]:
    decisions, field = change.decisions, "decisions.colleague_id"
    if decisions.colleague_id is None:
        if Decision.TAKE_OVER in (decisions.default, *decisions.bookings.values()):
            yield FieldError(field, "must be the id of the doctor who takes over")
    elif change.absent_doctor is None:
        yield FieldError(field, "is only for absences of one doctor")
    elif change.absent_doctor == decisions.colleague_id:
        yield FieldError(field, "must be another doctor than the one who is away")


def _within(place: str, faults: Iterable[FieldError]) -> Iterator[FieldError]:
    return (FieldError(f"{place}.{fault.field}", fault.message) for fault in faults)


def _double_faults(change: ScheduleChange) -> Iterator[FieldError]:
    """What is named twice, so that one of two wishes would be forgotten."""
    rules = (("change_rules", [rule.id for rule in change.change_rules]), ("remove_rules", change.remove_rules))
    closures = (
        ("change_closures", [closure.id for closure in change.change_closures]),
        ("remove_closures", change.remove_closures),
    )
    zones = (("change_zones", [zone.clinic_id for zone in change.change_zones]),)
    lengths = (("change_lengths", [length.visit_type_id for length in change.change_lengths]),)
    for group in (rules, closures, zones, lengths):
        seen: set[int] = set()
        for name, ids in group:
            for place, each in enumerate(ids):
                if each in seen:
                    yield FieldError(f"{name}[{place}]", "is named twice in this change")
                seen.add(each)
