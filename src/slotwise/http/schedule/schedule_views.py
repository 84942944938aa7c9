"""The JSON of schedules: rules, closures, and what a change does."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

from slotwise.domain.errors import ScheduleChanged, ScheduleTooLarge
from slotwise.domain.fields import Instant
from slotwise.domain.preview_tokens import Differs
from slotwise.domain.schedule_changes import Decision
from slotwise.domain.schedule_diff import ExistingSlot, MovedTime
from slotwise.domain.schedule_previews import FIRST_NEW_ID, Hit, LiveBooking
from slotwise.domain.schedules import Closure, ClosureKind, Rule, RuleKind, SkippedSlot, SkipReason
from slotwise.domain.smaller_changes import Part
from slotwise.domain.takeovers import TakeoverRefusal
from slotwise.domain.timetables import MINUTES_OF_A_DAY
from slotwise.domain.window_diff import MovedWindow, OpenTime
from slotwise.http.kit.problems import Problem, problem_of
from slotwise.http.schedule.schedule_bodies import ChangeBody
from slotwise.http.schedule.slots import ClockTime
from slotwise.services.schedule.schedule_state import Run
from slotwise.services.schedule.schedules import Applied, DoctorSchedule, Outlined

# Of bookings, holds and skipped times that an answer lists. The counts are of all.
MOST_LISTED = 1000

WallTime = Annotated[datetime, Meta(tz=False, description="The clinic's wall time", examples=["2030-01-07T09:00:00"])]


class RuleView(Struct, frozen=True, rename="camel"):
    """`publishedUntil` is the first day without slots yet; null before the first were published.

    A `to` that is not after `from` is on the next day. `durationMinutes` of open time is all its hours; `stepMinutes`
    is null for slots of one length.
    """

    id: int
    doctor_id: int
    clinic_id: int
    first_day: date
    last_day: date | None
    every_weeks: int
    weekday: int
    opens: ClockTime = field(name="from")
    closes: ClockTime = field(name="to")
    duration_minutes: int
    break_minutes: int
    total_seats: int
    visit_type_ids: list[int] | None
    version: int
    published_until: date | None
    kind: RuleKind
    step_minutes: int | None

    @classmethod
    def of(cls, rule: Rule, run: Run | None) -> "RuleView":
        return cls(
            rule.id,
            rule.doctor_id,
            rule.clinic_id,
            rule.first_day,
            rule.last_day,
            rule.every_weeks,
            rule.weekday,
            _clock(rule.opens),
            _clock(rule.closes),
            rule.slot_minutes,
            rule.break_minutes,
            rule.total_seats,
            None if rule.visit_type_ids is None else list(rule.visit_type_ids),
            rule.version,
            None if run is None else run.published_until,
            rule.kind,
            rule.step_minutes,
        )


class MovedView(Struct, frozen=True, rename="camel"):
    """A published time that another edition of the time zones has moved; `now` is null if no clock shows it."""

    slot_id: int
    local_start: WallTime
    start_time: Instant
    now: Instant | None

    @classmethod
    def of(cls, moved: MovedTime) -> "MovedView":
        assert moved.slot.local_start is not None
        return cls(moved.slot.id, moved.slot.local_start, moved.slot.start_time, moved.moment)


class MovedWindowView(Struct, frozen=True, rename="camel"):
    """Published open time that another edition of the time zones has moved."""

    rule_id: int
    local_start: WallTime
    start_time: Instant
    now: Instant

    @classmethod
    def of(cls, moved: MovedWindow) -> "MovedWindowView":
        return cls(moved.window.rule_id, moved.window.local_start, moved.window.start_time, moved.moment)


class DriftedView(Struct, frozen=True, rename="camel"):
    """A time that is booked although its rule no longer says so. Move it, or cancel its bookings."""

    slot_id: int
    start_time: Instant
    end_time: Instant

    @classmethod
    def of(cls, slot: ExistingSlot) -> "DriftedView":
        return cls(slot.id, slot.start_time, slot.end_time)


class RulesView(Struct, frozen=True, rename="camel"):
    items: list[RuleView]
    moved: list[MovedView]
    drifted: list[DriftedView]
    moved_windows: list[MovedWindowView]

    @classmethod
    def of(cls, schedule: DoctorSchedule) -> "RulesView":
        rules = [RuleView.of(rule, schedule.runs.get(rule.id)) for rule in schedule.rules]
        moved = [MovedView.of(moved) for moved in schedule.moved[:MOST_LISTED]]
        windows = [MovedWindowView.of(moved) for moved in schedule.moved_windows[:MOST_LISTED]]
        return cls(rules, moved, [DriftedView.of(slot) for slot in schedule.drifted[:MOST_LISTED]], windows)


class ClosureView(Struct, frozen=True, rename="camel"):
    """Of a doctor, of a clinic, or, without both, of all."""

    id: int
    doctor_id: int | None
    clinic_id: int | None
    start_time: Instant
    end_time: Instant
    kind: ClosureKind
    reason: str | None
    message: str | None
    version: int

    @classmethod
    def of(cls, closure: Closure) -> "ClosureView":
        return cls(
            closure.id,
            closure.doctor_id,
            closure.clinic_id,
            closure.start_time,
            closure.end_time,
            closure.kind,
            closure.reason,
            closure.message,
            closure.version,
        )


class ClosuresView(Struct, frozen=True):
    items: list[ClosureView]


class HitView(Struct, frozen=True, rename="camel"):
    """A confirmed booking that the change concerns. Without a closure, its rule no longer has the time.

    `message` is what the patient is told. `refusal` says why the colleague cannot take it over, if one was named.
    """

    booking_id: int
    slot_id: int
    doctor_id: int
    start_time: Instant
    user_name: str | None
    user_email: str | None
    seats_booked: int
    closure_id: int | None
    decision: Decision
    message: str | None
    refusal: TakeoverRefusal | None

    @classmethod
    def of(cls, hit: Hit) -> "HitView":
        return cls(
            hit.booking.id,
            hit.slot.id,
            hit.slot.doctor_id,
            hit.slot.start_time,
            hit.booking.user_name,
            hit.booking.user_email,
            hit.booking.seats_booked,
            _known(hit.closure_id),
            hit.decision,
            hit.message,
            hit.refusal,
        )


class HeldView(Struct, frozen=True, rename="camel"):
    """A hold of a time that goes or gets too few seats: it is being booked now, and is cancelled."""

    booking_id: int
    slot_id: int
    seats_booked: int

    @classmethod
    def of(cls, hold: LiveBooking) -> "HeldView":
        return cls(hold.id, hold.slot_id, hold.seats_booked)


class SkippedView(Struct, frozen=True, rename="camel"):
    """A time of a rule that gets no slot. A new rule has no id yet."""

    rule_id: int | None
    doctor_id: int
    local_start: WallTime | None
    reason: SkipReason
    other_rule_id: int | None
    other_slot_id: int | None

    @classmethod
    def of(cls, slot: SkippedSlot) -> "SkippedView":
        return cls(
            _known(slot.rule_id),
            slot.doctor_id,
            slot.local_start,
            slot.reason,
            _known(slot.other_rule_id),
            slot.other_slot_id,
        )


class OpenTimeView(Struct, frozen=True, rename="camel"):
    """So many windows, on so many days, with so many minutes in all."""

    windows: int
    days: int
    minutes: int

    @classmethod
    def of(cls, time: OpenTime) -> "OpenTimeView":
        return cls(time.windows, time.days, time.minutes)


class PreviewView(Struct, frozen=True, rename="camel"):
    """How many times come, go and stay, and whom it concerns. Apply it with the token.

    Of those that stay, `changedSeats` get other seats and `changedTypes` other visit types. Of those that go, `crowded`
    have more seats booked than their rule has now: they stay booked, and nobody else can book them.

    `openTimeAdded` and `openTimeClosed` are windows, which are not among the times. Of those that stay,
    `openTimeInClosures` can no longer be booked, and `openTimeReopened` can be again. `carvedCount` of the bookings and
    holds are of visits in open time.

    Lists have at most 1,000 items; the counts are of all.
    """

    token: str
    come: int
    go: int
    stay: int
    changed_seats: int
    changed_types: int
    crowded: int
    booking_count: int
    bookings: list[HitView]
    hold_count: int
    holds: list[HeldView]
    skipped_count: int
    skipped: list[SkippedView]
    open_time_added: OpenTimeView
    open_time_closed: OpenTimeView
    open_time_in_closures: OpenTimeView
    open_time_reopened: OpenTimeView
    carved_count: int

    @classmethod
    def of(cls, outlined: Outlined) -> "PreviewView":
        preview = outlined.preview
        return cls(
            outlined.token,
            preview.come,
            preview.go,
            preview.stay,
            preview.changed_seats,
            preview.changed_types,
            preview.crowded,
            len(preview.hits),
            [HitView.of(hit) for hit in preview.hits[:MOST_LISTED]],
            len(preview.holds),
            [HeldView.of(hold) for hold in preview.holds[:MOST_LISTED]],
            len(preview.skipped),
            [SkippedView.of(slot) for slot in preview.skipped[:MOST_LISTED]],
            OpenTimeView.of(preview.windows.time_added),
            OpenTimeView.of(preview.windows.time_closed),
            OpenTimeView.of(preview.open_time_in_closures),
            OpenTimeView.of(preview.open_time_reopened),
            preview.carved_bookings,
        )


class AppliedView(Struct, frozen=True, rename="camel"):
    """What was done. New ids are in the order of what was added; rules by entry, weekday and period."""

    come: int
    go: int
    stay: int
    cancelled_bookings: int
    taken_over_bookings: int
    cancelled_holds: int
    rule_ids: list[int]
    closure_ids: list[int]
    open_time_added: OpenTimeView
    open_time_closed: OpenTimeView
    open_time_in_closures: OpenTimeView
    open_time_reopened: OpenTimeView

    @classmethod
    def of(cls, applied: Applied) -> "AppliedView":
        preview = applied.preview
        return cls(
            preview.come,
            preview.go,
            preview.stay,
            len(preview.cancelled),
            len(preview.taken_over),
            applied.cancelled_holds,
            applied.rule_ids,
            applied.closure_ids,
            OpenTimeView.of(preview.windows.time_added),
            OpenTimeView.of(preview.windows.time_closed),
            OpenTimeView.of(preview.open_time_in_closures),
            OpenTimeView.of(preview.open_time_reopened),
        )


class DiffersView(Struct, frozen=True, rename="camel"):
    """What was counted before, and bookings that are new in the list or no longer in it, at most 1,000 of each.

    The lists are null if the earlier preview had more than 1,000 bookings: then only the counts tell it.
    """

    come_before: int
    go_before: int
    stay_before: int
    new_booking_ids: list[int] | None
    gone_booking_ids: list[int] | None

    @classmethod
    def of(cls, differs: Differs) -> "DiffersView":
        before = differs.before
        return cls(
            before.come, before.go, before.stay, _listed(differs.new_booking_ids), _listed(differs.gone_booking_ids)
        )


class TooLargeProblem(Problem, frozen=True, rename="camel"):
    """The problem of a change that is too large. `part` is a smaller one, to be sent to `/api/schedule/preview`."""

    part: Annotated[
        ChangeBody | UnsetType | None,
        Meta(description="Null if none was found. Only with `schedule-too-large`"),
    ] = UNSET

    @classmethod
    def with_part(cls, error: ScheduleTooLarge, asked: ChangeBody) -> "TooLargeProblem":
        part = asked.part(error.part) if isinstance(error.part, Part) else None
        return cls(**structs.asdict(problem_of(error)), part=part)


class ScheduleProblem(TooLargeProblem, frozen=True, rename="camel"):
    """The problem of a change whose preview is old. `preview` says what would be done now, `differs` what differs."""

    preview: Annotated[PreviewView | UnsetType, Meta(description="Only with `schedule-changed`")] = UNSET
    differs: Annotated[
        DiffersView | UnsetType | None,
        Meta(description="Null if the token is of no preview. Only with `schedule-changed`"),
    ] = UNSET

    @classmethod
    def of(cls, error: ScheduleChanged, outlined: Outlined) -> "ScheduleProblem":
        differs = None if outlined.differs is None else DiffersView.of(outlined.differs)
        return cls(**structs.asdict(problem_of(error)), preview=PreviewView.of(outlined), differs=differs)


def _clock(minutes: int) -> str:
    """Of the same day or of the next; the end of the day is 24:00."""
    minutes = minutes if minutes == MINUTES_OF_A_DAY else minutes % MINUTES_OF_A_DAY
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _listed(ids: Sequence[int] | None) -> list[int] | None:
    return None if ids is None else list(ids[:MOST_LISTED])


def _known(row_id: int | None) -> int | None:
    """Null for what has no id yet."""
    return None if row_id is None or row_id >= FIRST_NEW_ID else row_id
