"""What a change of schedules would do: which times come, go and stay, and which bookings it concerns."""

import hashlib
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import chain

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import FieldError, InvalidInput, ScheduleTooLarge, SlotOverlaps
from slotwise.domain.longer_buffers import LongerBuffers
from slotwise.domain.schedule_changes import Decision, ScheduleChange, check_change, raise_faults
from slotwise.domain.schedule_diff import Difference, ExistingSlot, diff
from slotwise.domain.schedules import (
    ClosedTime,
    Closure,
    Closures,
    Plan,
    Rule,
    SkippedSlot,
    buffer_of,
    days_of,
    plan,
)
from slotwise.domain.takeovers import (
    Colleague,
    Takeover,
    TakeoverRefusal,
    making_room,
    refusals,
    takeover_of,
    without_taken,
)
from slotwise.domain.time_zones import EDITION, time_zone
from slotwise.domain.timetables import Hours, slot_starts
from slotwise.domain.window_diff import (
    NO_OPEN_TIME,
    ExistingWindow,
    OpenTime,
    WindowDifference,
    closed_time,
    diff_windows,
)

MAX_TOUCHED_SLOTS = 20_000
# Ids of rules and closures that a change adds, before the database gives them theirs. They are higher than all others,
# and in order, so that the plan stays the same.
FIRST_NEW_ID = 2**62


class LiveBooking(Struct, frozen=True):
    """A confirmed booking, or a live hold, of a slot that may be concerned."""

    id: int
    slot_id: int
    status: BookingStatus
    seats_booked: int
    added_seats: int = 0
    user_name: str | None = None
    user_email: str | None = None
    visit_type_id: int | None = None

    @property
    def is_confirmed(self) -> bool:
        return self.status is BookingStatus.CONFIRMED


class VisitLength(Struct, frozen=True):
    """How long a visit type takes, how long the doctor is busy afterwards, and whether it is offered."""

    id: int
    minutes: int
    buffer_minutes: int = 0
    active: bool = True


class ScheduleState(Struct, frozen=True):
    """What the database has, in one snapshot. `zones` are names by clinic id, `visit_types` are by their ids.

    `inactive` are the ids of the clinics that take no appointments.
    Slots are published until the day before `published_until`.
    """

    rules: tuple[Rule, ...]
    closures: tuple[Closure, ...]
    slots: tuple[ExistingSlot, ...]
    bookings: tuple[LiveBooking, ...]
    zones: Mapping[int, str]
    now: datetime
    published_until: date
    visit_types: Mapping[int, VisitLength] = msgspec.field(default_factory=dict)
    tzdata: str = EDITION
    colleague: Colleague | None = None
    inactive: frozenset[int] = frozenset()
    windows: tuple[ExistingWindow, ...] = ()


class Hit(Struct, frozen=True):
    """A confirmed booking that a change concerns. Without a closure, its rule no longer wants the slot.

    `refusal` says why the colleague cannot take it over, whether or not that is wanted.
    """

    booking: LiveBooking
    slot: ExistingSlot
    closure_id: int | None
    decision: Decision
    message: str | None = None
    refusal: TakeoverRefusal | None = None


class Preview(Struct, frozen=True):
    """What a change does. `come`, `go` and `stay` count times that patients can see, future ones only.

    `windows` come and go beside them. Of those that stay, `open_time_in_closures` can no longer be booked because of a
    closure, and `open_time_reopened` can be again. Slots that were carved out of windows are in none of these counts;
    their bookings are listed as those of all slots, and `carved_bookings` says how many, with holds.
    Of those that stay, `changed_seats` get other seats, and `changed_types` are for other visits. Of those that go,
    `crowded` have more seats booked than their rule now gives them: they stay booked, and nobody else can book them.
    `holds` are being booked now and are cancelled. `closed` are times that rules would want if it were not for
    closures. Rules and closures are those after the change; new ones have ids from `FIRST_NEW_ID` on.
    """

    come: int
    go: int
    stay: int
    changed_seats: int
    changed_types: int
    crowded: int
    hits: tuple[Hit, ...]
    holds: tuple[LiveBooking, ...]
    closed: tuple[ClosedTime, ...]
    difference: Difference
    rules: tuple[Rule, ...]
    closures: tuple[Closure, ...]
    takeover: Takeover | None = None
    windows: WindowDifference = WindowDifference()
    carved_bookings: int = 0
    open_time_in_closures: OpenTime = NO_OPEN_TIME
    open_time_reopened: OpenTime = NO_OPEN_TIME

    @property
    def skipped(self) -> tuple[SkippedSlot, ...]:
        return (*self.difference.skipped, *self.windows.skipped)

    @property
    def touched(self) -> int:
        """How many slots and windows it writes."""
        return self.difference.touched + self.windows.touched

    @property
    def cancelled(self) -> tuple[Hit, ...]:
        return tuple(hit for hit in self.hits if hit.decision is Decision.CANCEL)

    @property
    def taken_over(self) -> tuple[Hit, ...]:
        return tuple(hit for hit in self.hits if hit.decision is Decision.TAKE_OVER)


def outline(state: ScheduleState, change: ScheduleChange) -> Preview:
    """What the change does to this state.

    Raises `InvalidInput`, `ScheduleTooLarge` for too many slots, and `SlotOverlaps` if a longer buffer has no room.
    """
    check_change(change)
    after = changed(state, change)
    _refuse_far_too_many(state, after)
    wanted, grown = _plan(after), _grown_buffers(state, after)
    windows = diff_windows(wanted, after.windows, after.now, after.published_until)
    all_kept = _difference(after, wanted, windows, after.slots, (), grown)
    causes = _causes(after, change, all_kept)
    hits = _hits(after, change, causes)
    takeover = _takeover(after, hits, causes)
    slots = without_taken(_without_cancelled(after, hits), takeover)
    # Nothing else differs where nothing is cancelled or taken over, as when times are published.
    difference = all_kept if slots == after.slots else _difference(after, wanted, windows, slots, hits, grown)
    difference = _within_horizon(difference, after.published_until)
    touched = difference.touched + windows.touched
    if touched > MAX_TOUCHED_SLOTS:
        raise ScheduleTooLarge(touched, MAX_TOUCHED_SLOTS)
    _refuse_overlaps(after, slots, hits, grown, difference)
    difference = replace(difference, close=making_room(difference, takeover))
    kept = [window for window in windows.open if isinstance(window, ExistingWindow)]
    closed, reopened = closed_time(kept, Closures(state.closures), Closures(after.closures), after.now)
    return replace(
        _preview(after, difference, wanted, hits, causes),
        takeover=takeover,
        windows=windows,
        open_time_in_closures=closed,
        open_time_reopened=reopened,
    )


def _grown_buffers(before: ScheduleState, after: ScheduleState) -> dict[int, int]:
    """The types whose buffers become longer, with their new minutes."""
    was = before.visit_types
    return {
        each.id: each.buffer_minutes
        for each in after.visit_types.values()
        if each.buffer_minutes > was[each.id].buffer_minutes
    }


def _difference(
    after: ScheduleState,
    wanted: Plan,
    windows: WindowDifference,
    slots: Iterable[ExistingSlot],
    hits: Iterable[Hit],
    grown: Mapping[int, int],
) -> Difference:
    """The difference for these slots. A longer buffer also counts for those that no rule may change."""
    booked_until = _booked_until(after, hits)
    buffers = LongerBuffers(grown, booked_until)
    lengthened = [slot if slot.follows_rule else buffers.lengthen(slot) for slot in slots]
    return diff(wanted, lengthened, after.closures, after.now, after.inactive, booked_until, windows.open)


def _refuse_overlaps(
    after: ScheduleState,
    slots: Iterable[ExistingSlot],
    hits: Iterable[Hit],
    grown: Mapping[int, int],
    difference: Difference,
) -> None:
    ahead = (slot for slot in slots if slot.start_time > after.now)
    overlapped = LongerBuffers(grown, _booked_until(after, hits)).first_overlapped(ahead, difference)
    if overlapped is not None:
        raise SlotOverlaps(period=overlapped)


def _refuse_far_too_many(before: ScheduleState, after: ScheduleState) -> None:
    """Before the plan, which would take minutes and gigabytes for what a few lines can ask for.

    Counts the times that the plan would have of rules that are new or changed. Each is written, be it with the rule's
    new version only. Closures and overlaps are left to the plan, which finds fewer.
    """
    known = {rule.id: rule for rule in before.rules}
    written = (rule for rule in after.rules if rule.removed_at is None and rule != known.get(rule.id))
    wanted = sum(_count_times(rule, after) for rule in written)
    if wanted > 5 * MAX_TOUCHED_SLOTS:
        raise ScheduleTooLarge(wanted, MAX_TOUCHED_SLOTS)


def _count_times(rule: Rule, after: ScheduleState) -> int:
    """From today on, as far as times are published, and only on the days on which the rule is valid."""
    today, last_day = after.now.astimezone(UTC).date(), after.published_until - timedelta(days=1)
    types = (after.visit_types.get(each) for each in rule.visit_type_ids or ())
    buffers = {each.id: each.buffer_minutes for each in types if each is not None}
    pause = max(rule.break_minutes, buffer_of(rule, buffers))
    starts = slot_starts(Hours(rule.opens, rule.closes), rule.slot_minutes, pause)
    return len(starts) * sum(1 for _ in days_of(rule, today, last_day))


def _preview(
    after: ScheduleState, difference: Difference, wanted: Plan, hits: tuple[Hit, ...], causes: Mapping[int, int | None]
) -> Preview:
    taken = {hit.slot.id: hit.slot for hit in hits if hit.decision is Decision.TAKE_OVER}.values()
    going = {closed.slot_id for closed in difference.close}
    slots = {slot.id: slot for slot in after.slots}
    carved = {slot.id for slot in after.slots if slot.window_id is not None}
    apart = going | carved
    reopened = (stamp.slot_id for stamp in difference.reopen)
    holds = tuple(_ended_holds(after, difference, causes))
    concerned = [*(hit.booking for hit in hits), *holds]
    changes = [(each, slot) for each in difference.change if (slot := slots[each.slot_id]).is_open]
    times = {(each.rule_id, each.start_time, each.end_time) for each in wanted.wanted}
    drifting = (slots[each] for each in difference.drift if each in going)
    return Preview(
        come=len(difference.add)
        + sum(slot_id not in carved for slot_id in reopened)
        + sum(slot.closure_id is not None and slot.id not in carved for slot in taken),
        go=len(going - carved),
        stay=sum(slot.is_open and slot.start_time > after.now and slot.id not in apart for slot in after.slots),
        changed_seats=sum(each.seats != slot.total_seats - slot.added_seats for each, slot in changes),
        changed_types=sum(each.visit_type_ids != slot.visit_type_ids for each, slot in changes),
        crowded=sum((slot.rule_id, slot.start_time, slot.end_time) in times for slot in drifting),
        hits=hits,
        holds=holds,
        closed=tuple(each for each in wanted.closed if each.wanted.start_time > after.now),
        difference=difference,
        rules=after.rules,
        closures=after.closures,
        carved_bookings=sum(booking.slot_id in carved for booking in concerned),
    )


def _ended_holds(after: ScheduleState, difference: Difference, causes: Container[int]) -> Iterator[LiveBooking]:
    """Those of slots that go, and of slots that get fewer seats than are held and booked."""
    seats = {each.slot_id: each.seats for each in difference.change}
    narrow = {
        slot.id for slot in after.slots
        if slot.id in seats and slot.confirmed + slot.holds > seats[slot.id] + slot.added_seats
    }  # fmt: skip
    return (
        each for each in after.bookings if not each.is_confirmed and (each.slot_id in causes or each.slot_id in narrow)
    )


def changed(state: ScheduleState, change: ScheduleChange) -> ScheduleState:
    """The state with the rules, closures and zones after the change; its slots are still those before.

    Raises `InvalidInput` if a rule names visit types that are not offered, or its slots have not their length.
    """
    lengths = {each.visit_type_id: each.minutes for each in change.change_lengths}
    after = replace(
        state,
        rules=_rules(state, change, lengths),
        closures=_closures(state, change),
        zones={**state.zones, **{each.clinic_id: each.time_zone for each in change.change_zones}},
        visit_types=lengths_after(state.visit_types, change),
    )
    raise_faults(chain(_id_faults(state, change), _type_faults(state, change)))
    raise_faults(_length_faults(after, change))
    return after


def lengths_after(before: Mapping[int, VisitLength], change: ScheduleChange) -> dict[int, VisitLength]:
    """All visit types by id, those that the change names with their new lengths."""
    after = dict(before)
    for each in change.change_lengths:
        known = before.get(each.visit_type_id)
        if known is not None:
            buffer = known.buffer_minutes if each.buffer_minutes is None else each.buffer_minutes
            after[known.id] = replace(known, minutes=each.minutes, buffer_minutes=buffer)
    return after


def _rules(state: ScheduleState, change: ScheduleChange, lengths: Mapping[int, int]) -> tuple[Rule, ...]:
    new = {rule.id: rule for rule in change.change_rules}
    kept = (_rule_after(rule, new.get(rule.id, rule), change, state.now, lengths) for rule in state.rules)
    added = (
        replace(_with_length(rule, lengths, state.now), id=FIRST_NEW_ID + place, version=1)
        for place, rule in enumerate(change.add_rules)
    )
    return (*kept, *added)


def _rule_after(before: Rule, rule: Rule, change: ScheduleChange, now: datetime, lengths: Mapping[int, int]) -> Rule:
    if rule.id in change.remove_rules:
        rule = replace(rule, removed_at=now)
    rule = replace(_with_length(rule, lengths, now), version=before.version)
    return rule if rule == before else replace(rule, version=before.version + 1)


def _with_length(rule: Rule, lengths: Mapping[int, int], now: datetime) -> Rule:
    if rule.is_window:
        return rule
    minutes = [lengths[each] for each in rule.visit_type_ids or () if each in lengths]
    return replace(rule, slot_minutes=minutes[0]) if minutes and is_in_force(rule, now) else rule


def is_in_force(rule: Rule, now: datetime) -> bool:
    """Not if it is removed or has ended everywhere: somewhere it is still the day before that in UTC."""
    yesterday = now.astimezone(UTC).date() - timedelta(days=1)
    return rule.removed_at is None and (rule.last_day is None or rule.last_day >= yesterday)


def _closures(state: ScheduleState, change: ScheduleChange) -> tuple[Closure, ...]:
    new = {closure.id: closure for closure in change.change_closures}
    kept = (_closure_after(closure, new.get(closure.id, closure), change, state.now) for closure in state.closures)
    added = (replace(closure, id=FIRST_NEW_ID + place, version=1) for place, closure in enumerate(change.add_closures))
    return (*kept, *added)


def _closure_after(before: Closure, closure: Closure, change: ScheduleChange, now: datetime) -> Closure:
    if closure.id in change.remove_closures:
        closure = replace(closure, removed_at=now)
    closure = replace(closure, version=before.version)
    return closure if closure == before else replace(closure, version=before.version + 1)


def _plan(after: ScheduleState) -> Plan:
    """The plan for all days that have slots, also for those that a longer horizon of before has published."""
    clinic_ids = {rule.clinic_id for rule in after.rules}
    # Somewhere it is still the day before that in UTC.
    first_day = after.now.astimezone(UTC).date() - timedelta(days=1)
    published = (slot.local_start.date() for slot in after.slots if slot.follows_rule and slot.local_start is not None)
    last_day = max((*published, *(window.local_start.date() for window in after.windows)), default=first_day)
    zones = {clinic_id: time_zone("time_zone", after.zones[clinic_id]) for clinic_id in clinic_ids}
    last_day = max(last_day, after.published_until - timedelta(days=1))
    buffers = {each.id: each.buffer_minutes for each in after.visit_types.values()}
    return plan(after.rules, after.closures, first_day, last_day, zones, buffers)


def _within_horizon(difference: Difference, published_until: date) -> Difference:
    """Adds nothing on days that are not published yet."""
    add = tuple(wanted for wanted in difference.add if wanted.local_start.date() < published_until)
    return replace(difference, add=add)


def _hits(after: ScheduleState, change: ScheduleChange, causes: Mapping[int, int | None]) -> tuple[Hit, ...]:
    """Confirmed bookings of slots that go or drift, and of those that lie in a new or changed closure."""
    slots = {slot.id: slot for slot in after.slots}
    messages = {closure.id: closure.message for closure in after.closures}
    refused = refusals(after.colleague, after.slots, causes, Closures(after.closures)) if after.colleague else {}
    hits = []
    for booking in after.bookings:
        if booking.is_confirmed and booking.slot_id in causes:
            closure_id, refusal = causes[booking.slot_id], refused.get(booking.slot_id)
            decision = change.decisions.of(booking.id)
            if decision is Decision.TAKE_OVER and refusal is not None:
                decision = change.decisions.otherwise
            message = change.decisions.message or (messages[closure_id] if closure_id is not None else None)
            told = message if decision is Decision.CANCEL else None
            hits.append(Hit(booking, slots[booking.slot_id], closure_id, decision, told, refusal))
    return tuple(sorted(hits, key=lambda hit: (hit.slot.start_time, hit.slot.id, hit.booking.id)))


def _takeover(after: ScheduleState, hits: Iterable[Hit], causes: Mapping[int, int | None]) -> Takeover | None:
    """Raises `InvalidInput` if a booking is to stay in a slot that goes to the colleague."""
    decided: dict[Decision, set[int]] = defaultdict(set)
    for hit in hits:
        decided[hit.decision].add(hit.slot.id)
    if decided[Decision.TAKE_OVER] & decided[Decision.KEEP]:
        raise InvalidInput.of("decisions.bookings", "must not part those who have the same time")
    return takeover_of(after.colleague, decided[Decision.TAKE_OVER], causes) if after.colleague else None


def _causes(after: ScheduleState, change: ScheduleChange, difference: Difference) -> dict[int, int | None]:
    """The closure, or None, by the id of each slot whose bookings are concerned."""
    causes: dict[int, int | None] = dict.fromkeys(difference.drift)
    causes.update({closed.slot_id: closed.closure_id for closed in difference.close})
    changing = {closure.id for closure in change.change_closures}
    fresh = Closures(each for each in after.closures if each.id >= FIRST_NEW_ID or each.id in changing)
    for slot in after.slots:
        if slot.start_time > after.now and causes.get(slot.id) is None:
            closure = fresh.find(slot.doctor_id, slot.clinic_id, slot.start_time, slot.end_time)
            if closure is not None:
                causes[slot.id] = closure.id
    return causes


def _without_cancelled(after: ScheduleState, hits: Iterable[Hit]) -> tuple[ExistingSlot, ...]:
    """The slots as they are once the bookings to cancel are gone, with the seats that were added for them."""
    cancelled: dict[int, list[LiveBooking]] = defaultdict(list)
    for hit in hits:
        if hit.decision is Decision.CANCEL:
            cancelled[hit.slot.id].append(hit.booking)
    return tuple(_less(slot, cancelled[slot.id]) if slot.id in cancelled else slot for slot in after.slots)


def _booked_until(after: ScheduleState, hits: Iterable[Hit]) -> dict[int, datetime]:
    """Until when the live bookings of a slot take the doctor's time, by slot, for those with a buffer."""
    cancelled = {hit.booking.id for hit in hits if hit.decision is Decision.CANCEL}
    buffers: dict[int, int] = {}
    for booking in after.bookings:
        length = after.visit_types.get(booking.visit_type_id or 0)
        if length is not None and length.buffer_minutes > 0 and booking.id not in cancelled:
            buffers[booking.slot_id] = max(length.buffer_minutes, buffers.get(booking.slot_id, 0))
    ends = {slot.id: slot.end_time for slot in after.slots if slot.id in buffers}
    return {slot_id: end + timedelta(minutes=buffers[slot_id]) for slot_id, end in ends.items()}


def _less(slot: ExistingSlot, cancelled: Sequence[LiveBooking]) -> ExistingSlot:
    added = sum(booking.added_seats for booking in cancelled)
    return replace(
        slot,
        confirmed=slot.confirmed - sum(booking.seats_booked for booking in cancelled),
        total_seats=slot.total_seats - added,
        added_seats=slot.added_seats - added,
    )


def _id_faults(state: ScheduleState, change: ScheduleChange) -> Iterator[FieldError]:
    rules, closures = {rule.id for rule in state.rules}, {closure.id for closure in state.closures}
    named = {
        "change_rules": ([rule.id for rule in change.change_rules], rules),
        "remove_rules": (change.remove_rules, rules),
        "change_closures": ([closure.id for closure in change.change_closures], closures),
        "remove_closures": (change.remove_closures, closures),
    }
    for name, (ids, known) in named.items():
        for place, each in enumerate(ids):
            if each not in known:
                yield FieldError(f"{name}[{place}]", "does not exist")
    for place, closure in enumerate(change.add_closures):
        if closure.end_time <= state.now:
            yield FieldError(f"add_closures[{place}].end_time", "must be in the future")


def _type_faults(state: ScheduleState, change: ScheduleChange) -> Iterator[FieldError]:
    """A rule may keep a type that is not offered any more: it is offered again when it becomes active."""
    for place, length in enumerate(change.change_lengths):
        if length.visit_type_id not in state.visit_types:
            yield FieldError(f"change_lengths[{place}].visit_type_id", "does not exist")
    before = {rule.id: rule.visit_type_ids or () for rule in state.rules}
    for name in ("add_rules", "change_rules"):
        for place, rule in enumerate(getattr(change, name)):
            for each in rule.visit_type_ids or ():
                known = state.visit_types.get(each)
                if known is None:
                    yield FieldError(
                        f"{name}[{place}].visit_type_ids", f"names visit type {each}, which does not exist"
                    )
                elif not known.active and each not in before.get(rule.id, ()):
                    yield FieldError(
                        f"{name}[{place}].visit_type_ids", f"names visit type {each}, which is not offered"
                    )


def _length_faults(after: ScheduleState, change: ScheduleChange) -> Iterator[FieldError]:
    """A rule's slots are as long as each of its visit types, and fit into its hours. In open time, each visit fits."""
    given = {rule.id: f"change_rules[{place}].slot_minutes" for place, rule in enumerate(change.change_rules)}
    given |= {FIRST_NEW_ID + place: f"add_rules[{place}].slot_minutes" for place in range(len(change.add_rules))}
    lengths = {each.visit_type_id: f"change_lengths[{n}].minutes" for n, each in enumerate(change.change_lengths)}
    for rule in after.rules:
        types = rule.visit_type_ids or ()
        field = given.get(rule.id) or next((lengths[each] for each in types if each in lengths), None)
        if field is None or not is_in_force(rule, after.now):
            continue
        others = [each for each in types if each in after.visit_types and not _fits(after.visit_types[each], rule)]
        if others and rule.is_window:
            yield _too_long(field, others[0])
        elif others and rule.id not in given:
            yield FieldError(field, f"needs the same length of visit type {others[0]}, which has the same hours")
        elif others:
            yield FieldError(field, "must be the length of each visit type of the rule")
        elif rule.slot_minutes > rule.closes - rule.opens:
            yield FieldError(field, "does not fit into the hours of a rule")


def _too_long(field: str, visit_type_id: int) -> FieldError:
    """Where the rule is given, its length is that of its hours, so the types are to blame."""
    place, _, name = field.rpartition(".")
    if name == "slot_minutes":
        return FieldError(
            f"{place}.visit_type_ids", f"names visit type {visit_type_id}, which the hours are too short for"
        )
    return FieldError(field, "does not fit into the hours of a rule")


def _fits(visit_type: VisitLength, rule: Rule) -> bool:
    if rule.is_window:
        return visit_type.minutes <= rule.closes - rule.opens
    return visit_type.minutes == rule.slot_minutes


def token_of(fingerprints: Iterable[str], change: ScheduleChange) -> str:
    """Says what was looked at: the same for the same fingerprints and the same change with its decisions."""
    seen = msgspec.to_builtins([sorted(fingerprints), change], str_keys=True)
    return hashlib.sha256(msgspec.json.encode(seen, order="deterministic")).hexdigest()
