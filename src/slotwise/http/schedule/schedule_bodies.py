"""The JSON of a change of schedules: bodies of requests, and the change that they ask for."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Annotated, Protocol, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, field
from msgspec.structs import replace

from slotwise.domain.clinics import FIRST_CLINIC
from slotwise.domain.errors import FieldError, InvalidInput
from slotwise.domain.fields import Instant
from slotwise.domain.preview_tokens import MAX_TOKEN_CHARACTERS
from slotwise.domain.schedule_changes import (
    MAX_NAMED_RULES,
    Decision,
    Decisions,
    LengthChange,
    ScheduleChange,
    ZoneChange,
)
from slotwise.domain.schedule_rules import MAX_STEP_MINUTES, MAX_TEXT_CHARACTERS, MAX_WEEKS, MIN_STEP_MINUTES
from slotwise.domain.schedules import Closure, ClosureKind, Rule, RuleKind
from slotwise.domain.slots import MAX_DURATION_MINUTES
from slotwise.domain.smaller_changes import Part
from slotwise.domain.timetables import MINUTES_OF_A_DAY
from slotwise.domain.visit_types import MAX_VISIT_TYPES
from slotwise.http.kit.fields import Id, Minutes, Seats
from slotwise.http.schedule.slots import ClockTime, Day, Weekday, ZoneName, minutes_of
from slotwise.http.schedule.visit_types import Buffer

MAX_CLOSURES = 400

Break = Annotated[int, Meta(ge=0, le=MAX_DURATION_MINUTES)]
Weeks = Annotated[int, Meta(ge=1, le=MAX_WEEKS, description="Counted from the week of `firstDay`")]
# The domain checks the texts and has better words for what is wrong.
LongText = Annotated[
    str,
    Meta(examples=["Dr. Lovelace is ill."], extra_json_schema={"minLength": 1, "maxLength": MAX_TEXT_CHARACTERS}),
]
RuleTypes = Annotated[
    list[Id],
    Meta(
        max_length=MAX_VISIT_TYPES,
        description="The visit types of its times. Each takes `durationMinutes`, but in open time its own length",
    ),
]
# Of slots, unless the caller says how long they are. Open time has no such length.
USUAL_MINUTES = 30
Kind = Annotated[
    RuleKind,
    Meta(
        description="`FIXED`: slots of one length. `WINDOW`: open time, out of which visits of any length are carved; "
        "it has `stepMinutes` and at least one visit type, no `durationMinutes`, no break and one seat"
    ),
]
Step = Annotated[
    int,
    Meta(
        description="In open time, a visit may begin every so many minutes, and after other visits. Only with `WINDOW`",
        extra_json_schema={"minimum": MIN_STEP_MINUTES, "maximum": MAX_STEP_MINUTES},
    ),
]
Length = Annotated[Minutes, Meta(description="30 if it is left out. Leave it out for open time")]
LastDay = Annotated[date | None, Meta(description="Included; null for no end")]


class RuleHours(Struct, frozen=True, forbid_unknown_fields=True):
    """In wall time of the clinic. A `to` that is not after `from` is on the next day."""

    opens: ClockTime = field(name="from")
    closes: ClockTime = field(name="to")

    def minutes(self) -> tuple[int, int]:
        opens, closes = minutes_of(self.opens), minutes_of(self.closes)
        return opens, closes if closes > opens else closes + MINUTES_OF_A_DAY


class NewRules(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Weekly hours: a rule for each weekday and each period."""

    doctor_id: Id
    first_day: Day
    weekdays: Annotated[list[Weekday], Meta(min_length=1, max_length=7)]
    periods: Annotated[list[RuleHours], Meta(min_length=1, max_length=24)]
    last_day: LastDay = None
    clinic_id: Id = FIRST_CLINIC
    every_weeks: Weeks = 1
    duration_minutes: Length | UnsetType = UNSET
    break_minutes: Break = 0
    total_seats: Seats = 1
    visit_type_ids: RuleTypes | None = None
    kind: Kind = RuleKind.FIXED
    step_minutes: Step | None = None

    def rules(self) -> Iterator[Rule]:
        for weekday in dict.fromkeys(self.weekdays):
            for hours in self.periods:
                opens, closes = hours.minutes()
                yield Rule(
                    0, self.doctor_id, self.clinic_id, self.first_day, self.last_day, self.every_weeks, weekday, opens,
                    closes, self._minutes(closes - opens), self.break_minutes, self.total_seats,
                    _in_order(self.visit_type_ids), kind=self.kind, step_minutes=self.step_minutes,
                )  # fmt: skip

    def is_in(self, part: Part) -> bool:
        is_early = part.last_day is None or self.first_day <= part.last_day
        return (
            is_early and bool(part.change.add_rules) and (part.doctor_ids is None or self.doctor_id in part.doctor_ids)
        )

    def until(self, last_day: date | None) -> "NewRules":
        days = [day for day in (self.last_day, last_day) if day is not None]
        return replace(self, last_day=min(days, default=None))

    def _minutes(self, hours: int) -> int:
        if self.duration_minutes is not UNSET:
            return self.duration_minutes
        return hours if self.kind is RuleKind.WINDOW else USUAL_MINUTES


class RulePatch(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Absent fields stay unchanged. A rule ends by its `lastDay`. One that becomes `FIXED` has no `stepMinutes`."""

    id: Id
    first_day: Day | UnsetType = UNSET
    last_day: Annotated[date | UnsetType | None, Meta(description="Included; null for no end")] = UNSET
    clinic_id: Id | UnsetType = UNSET
    every_weeks: Weeks | UnsetType = UNSET
    weekday: Weekday | UnsetType = UNSET
    hours: RuleHours | UnsetType = UNSET
    duration_minutes: Length | UnsetType = UNSET
    break_minutes: Break | UnsetType = UNSET
    total_seats: Seats | UnsetType = UNSET
    visit_type_ids: RuleTypes | UnsetType | None = UNSET
    kind: Kind | UnsetType = UNSET
    step_minutes: Step | UnsetType | None = UNSET

    def applied_to(self, rule: Rule) -> Rule:
        opens, closes = (rule.opens, rule.closes) if self.hours is UNSET else self.hours.minutes()
        given = {
            "first_day": self.first_day,
            "last_day": self.last_day,
            "clinic_id": self.clinic_id,
            "every_weeks": self.every_weeks,
            "weekday": self.weekday,
            "slot_minutes": self.duration_minutes,
            "break_minutes": self.break_minutes,
            "total_seats": self.total_seats,
            "visit_type_ids": UNSET if self.visit_type_ids is UNSET else _in_order(self.visit_type_ids),
            "kind": self.kind,
            "step_minutes": None if self.kind is RuleKind.FIXED and self.step_minutes is UNSET else self.step_minutes,
        }
        changed = replace(rule, opens=opens, closes=closes, **_given(given))
        if changed.is_window and self.duration_minutes is UNSET:
            return replace(changed, slot_minutes=closes - opens)
        return changed


class NewClosure(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A time without visits: of a doctor, of a clinic, or, without both, of all. `message` is what to tell patients."""

    start_time: Instant
    end_time: Instant
    kind: ClosureKind = ClosureKind.ABSENCE
    doctor_id: Id | None = None
    clinic_id: Id | None = None
    reason: LongText | None = None
    message: LongText | None = None

    @classmethod
    def of(cls, closure: Closure) -> "NewClosure":
        return cls(
            closure.start_time, closure.end_time, closure.kind, closure.doctor_id, closure.clinic_id, closure.reason,
            closure.message,
        )  # fmt: skip

    def closure(self) -> Closure:
        return Closure(
            0, self.doctor_id, self.clinic_id, self.start_time, self.end_time, self.kind, self.reason, self.message
        )


class ClosurePatch(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Absent fields stay unchanged."""

    id: Id
    start_time: Instant | UnsetType = UNSET
    end_time: Instant | UnsetType = UNSET
    kind: ClosureKind | UnsetType = UNSET
    reason: LongText | UnsetType | None = UNSET
    message: LongText | UnsetType | None = UNSET

    @classmethod
    def of(cls, closure: Closure) -> "ClosurePatch":
        return cls(
            closure.id, closure.start_time, closure.end_time, closure.kind, closure.reason, closure.message
        )  # fmt: skip

    def applied_to(self, closure: Closure) -> Closure:
        names = ("start_time", "end_time", "kind", "reason", "message")
        return replace(closure, **_given({name: getattr(self, name) for name in names}))


class NewZone(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """The clinic's clocks show other times from now on. Times of rules move with them."""

    clinic_id: Id
    time_zone: ZoneName


class NewLength(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Visits of this type take so long from now on, and so do the times of rules that have it."""

    visit_type_id: Id
    minutes: Minutes
    buffer_minutes: Annotated[Buffer | None, Meta(description="Null leaves it as it is")] = None


class BookingDecision(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    booking_id: Id
    decision: Decision


class ChangeBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What is to change, and what happens to the confirmed bookings that it concerns.

    `decision` is for all of them, `exceptions` for single ones; `message` is what the desk tells the patients
    whose bookings are cancelled. `colleagueId` is the doctor to whom times with `TAKE_OVER` go; it is for absences of
    one other doctor. Bookings that this doctor cannot see are kept.
    """

    add_rules: Annotated[list[NewRules], Meta(max_length=MAX_NAMED_RULES)] = field(default_factory=list)
    change_rules: Annotated[list[RulePatch], Meta(max_length=MAX_NAMED_RULES)] = field(default_factory=list)
    remove_rules: Annotated[list[Id], Meta(max_length=MAX_NAMED_RULES)] = field(default_factory=list)
    add_closures: Annotated[list[NewClosure], Meta(max_length=MAX_CLOSURES)] = field(default_factory=list)
    change_closures: Annotated[list[ClosurePatch], Meta(max_length=MAX_CLOSURES)] = field(default_factory=list)
    remove_closures: Annotated[list[Id], Meta(max_length=MAX_CLOSURES)] = field(default_factory=list)
    change_zones: Annotated[list[NewZone], Meta(max_length=MAX_NAMED_RULES)] = field(default_factory=list)
    change_lengths: Annotated[list[NewLength], Meta(max_length=MAX_NAMED_RULES)] = field(default_factory=list)
    decision: Decision = Decision.KEEP
    exceptions: Annotated[list[BookingDecision], Meta(max_length=1000)] = field(default_factory=list)
    message: LongText | None = None
    colleague_id: Id | None = None

    def change(self, rules: Mapping[int, Rule], closures: Mapping[int, Closure]) -> ScheduleChange:
        """`rules` and `closures` are those to change, as they are. Raises `InvalidInput`."""
        exceptions = {each.booking_id: each.decision for each in self.exceptions}
        if len(exceptions) < len(self.exceptions):
            raise InvalidInput.of("exceptions", "must not name a booking twice")
        return ScheduleChange(
            add_rules=tuple(rule for new in self.add_rules for rule in new.rules()),
            change_rules=tuple(_changed("changeRules", self.change_rules, rules)),
            remove_rules=tuple(self.remove_rules),
            add_closures=tuple(new.closure() for new in self.add_closures),
            change_closures=tuple(_changed("changeClosures", self.change_closures, closures)),
            remove_closures=tuple(self.remove_closures),
            change_zones=tuple(ZoneChange(zone.clinic_id, zone.time_zone) for zone in self.change_zones),
            change_lengths=tuple(
                LengthChange(each.visit_type_id, each.minutes, each.buffer_minutes) for each in self.change_lengths
            ),
            decisions=Decisions(self.decision, exceptions, self.message, self.colleague_id),
        )

    def part(self, part: Part) -> "ChangeBody":
        """The body that asks for this part of the change, and can be sent as it is."""
        change = part.change
        asked = {patch.id: patch for patch in self.change_rules}
        ended = (RulePatch(rule.id, last_day=rule.last_day) for rule in change.change_rules)
        kept = change.decisions.bookings
        return ChangeBody(
            add_rules=[new.until(part.last_day) for new in self.add_rules if new.is_in(part)],
            change_rules=[asked.get(patch.id, patch) for patch in ended],
            remove_rules=[*change.remove_rules],
            add_closures=[NewClosure.of(closure) for closure in change.add_closures],
            change_closures=[ClosurePatch.of(closure) for closure in change.change_closures],
            remove_closures=[*change.remove_closures],
            change_zones=self.change_zones if change.change_zones else [],
            change_lengths=self.change_lengths if change.change_lengths else [],
            decision=change.decisions.default,
            exceptions=[each for each in self.exceptions if each.booking_id in kept],
            message=change.decisions.message,
            colleague_id=change.decisions.colleague_id,
        )

    def places(self) -> list[int]:
        """For each rule that is added, the place in `add_rules` that it comes from."""
        return [place for place, new in enumerate(self.add_rules) for _ in new.rules()]


class AppliedBody(ChangeBody, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """The same body as for the preview, with the preview's token."""

    token: Annotated[
        str, Meta(min_length=1, max_length=MAX_TOKEN_CHARACTERS, examples=["9f86d081884c7d659a2feaa0c55ad015.lAMAApEM"])
    ]


def _in_order(ids: Sequence[int] | None) -> tuple[int, ...] | None:
    """Each once, as slots have them; None if there are none."""
    return tuple(sorted(set(ids))) if ids else None


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not UNSET}


Changed = TypeVar("Changed")


class _Patch(Protocol[Changed]):
    @property
    def id(self) -> int: ...

    def applied_to(self, row: Changed, /) -> Changed: ...


def _changed(name: str, patches: Sequence[_Patch[Changed]], known: Mapping[int, Changed]) -> Iterator[Changed]:
    for place, patch in enumerate(patches):
        if patch.id not in known:
            raise InvalidInput.of(f"{name}[{place}].id", "does not exist")
        yield patch.applied_to(known[patch.id])


_NAMES = {
    "opens": "from",
    "closes": "to",
    "slot_minutes": "duration_minutes",
    "weekday": "weekdays",
    "decisions.message": "message",
    "decisions.colleague_id": "colleague_id",
    "decisions.bookings": "exceptions",
}
_ADDED_RULE = re.compile(r"^add_rules\[(\d+)\]")
_DECISION = re.compile(r"^decisions\.bookings(\[\d+\])$")


def in_words_of_body(error: InvalidInput, places: Sequence[int]) -> InvalidInput:
    """The same faults, by the names of the body's fields. Faults of the rules that one entry makes are told once."""
    faults = (FieldError(_in_body(fault.field, places), fault.message) for fault in error.errors)
    return InvalidInput(*dict.fromkeys(faults))


def _in_body(name: str, places: Sequence[int]) -> str:
    name = _ADDED_RULE.sub(lambda found: f"add_rules[{places[int(found[1])]}]", name)
    name = _DECISION.sub(r"exceptions\1.booking_id", name)
    place, _, last = name.rpartition(".")
    if name in _NAMES:
        return _NAMES[name]
    return f"{place}.{_NAMES.get(last, last)}" if place else name
