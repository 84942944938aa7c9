"""What is to be done so that the slots that exist become those that a plan wants. Pure and idempotent."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from slotwise.domain.schedules import (
    BUSY_END,
    Closure,
    Closures,
    Plan,
    Rule,
    SkippedSlot,
    SkipReason,
    Taken,
    WantedSlot,
    WantedWindow,
)
from slotwise.domain.slots import SlotStatus
from slotwise.domain.timetables import first_moment
from slotwise.domain.window_diff import ExistingWindow, OpenWindows

# A rule and a moment.
Key: TypeAlias = tuple[int | None, datetime]


class ExistingSlot(Struct, frozen=True):
    """A slot as it is. `total_seats` includes the `added_seats` of its live overbookings.

    A slot made by hand has no rule. `pinned` says that a person changed a rule's slot; `drifted`, that it is booked
    and its rule no longer wants it. `closure_id` is the closure that closed it. `confirmed` and `holds` are more than
    zero if it has confirmed bookings or live holds. `busy_until` is None if its visit types have no buffer.
    `window_id` is the window of this doctor that the slot was carved out of; it has neither rule nor `local_start`.
    `carved` if it was carved out of one, this doctor's or another's: then it is no published time.
    """

    id: int
    doctor_id: int
    clinic_id: int
    start_time: datetime
    end_time: datetime
    status: SlotStatus
    total_seats: int
    busy_until: datetime | None = None
    added_seats: int = 0
    visit_type_ids: tuple[int, ...] | None = None
    rule_id: int | None = None
    rule_version: int | None = None
    local_start: datetime | None = None
    closure_id: int | None = None
    drifted: bool = False
    pinned: bool = False
    confirmed: int = 0
    holds: int = 0
    window_id: int | None = None
    carved: bool = False

    @property
    def is_open(self) -> bool:
        return self.status is SlotStatus.OPEN

    @property
    def busy_end(self) -> datetime:
        """Until when it takes the doctor's time, if it does."""
        return self.busy_until or self.end_time

    @property
    def takes_time(self) -> bool:
        """Whether the doctor can have no other slot in its period."""
        return self.is_open or self.confirmed > 0 or self.holds > 0

    @property
    def follows_rule(self) -> bool:
        """Whether a rule may change it."""
        return self.rule_id is not None and not self.pinned

    @property
    def follows_window(self) -> bool:
        """Whether it stays only where there is open time."""
        return self.window_id is not None and not self.pinned

    @property
    def is_on_its_own(self) -> bool:
        """Whether no change of rules may change it."""
        return not self.follows_rule and not self.follows_window


class ClosedSlot(Struct, frozen=True):
    """Close this slot and cancel its live holds. Without a closure, because its rule no longer wants it."""

    slot_id: int
    closure_id: int | None


class SlotStamp(Struct, frozen=True):
    """What a slot is to say of where it comes from: all of it, as it is afterwards."""

    slot_id: int
    rule_version: int | None
    local_start: datetime | None
    closure_id: int | None


class SlotContent(Struct, frozen=True):
    """What a slot gets from its rule: seats, without those of overbookings, and visit types with their buffer."""

    slot_id: int
    seats: int
    visit_type_ids: tuple[int, ...] | None
    busy_until: datetime | None = None


class Difference(Struct, frozen=True):
    """What to do, in this order: close, change, drift and undrift, restamp, reopen, add.

    Each list is in order of time or id. A reopened slot becomes open and gets its stamp. A changed slot stays the same
    slot. A slot may be in several of these lists, but in none twice.
    """

    add: tuple[WantedSlot, ...] = ()
    close: tuple[ClosedSlot, ...] = ()
    reopen: tuple[SlotStamp, ...] = ()
    restamp: tuple[SlotStamp, ...] = ()
    drift: tuple[int, ...] = ()
    undrift: tuple[int, ...] = ()
    change: tuple[SlotContent, ...] = ()
    skipped: tuple[SkippedSlot, ...] = ()

    @property
    def touched_ids(self) -> frozenset[int]:
        """The existing slots that it writes."""
        closed = (each.slot_id for each in self.close)
        stamped = (each.slot_id for each in (*self.reopen, *self.restamp))
        changed = (each.slot_id for each in self.change)
        return frozenset((*closed, *stamped, *changed, *self.drift, *self.undrift))

    @property
    def touched(self) -> int:
        """How many slots it writes."""
        return len(self.add) + len(self.touched_ids)


def diff(
    plan: Plan,
    existing: Iterable[ExistingSlot],
    closures: Iterable[Closure],
    now: datetime,
    inactive: frozenset[int] = frozenset(),
    booked_until: Mapping[int, datetime] = {},
    windows: Iterable[ExistingWindow | WantedWindow] = (),
) -> Difference:
    """The way from the existing slots to the plan, which was made with the same closures.

    `existing` has all slots of the plan's doctors on its days, and may have more. Slots that have begun stay as they
    are. A rule's slot that is no longer wanted is closed; if it has confirmed bookings, it keeps them and is drifted. A
    slot of a wanted time gets the seats and visit types of its rule. With more confirmed seats than these it drifts:
    nobody else is to book it, and a person must see who is too many.
    `booked_until` says, by slot, until when its booked visits take the doctor's time, if they have a buffer. They keep
    it when the rule no longer has their visit type.
    `windows` are those that are open afterwards. A slot that was carved out of one follows them as other slots follow
    their rules: outside of all windows it is closed, and drifted if it is booked.
    A closure closes open slots of every origin. Slots whose closure is gone are reopened where nothing overlaps, but
    none at an inactive clinic; those of rules, if the plan wants them.
    """
    in_order = sorted(existing, key=lambda slot: slot.id)
    comparison = _Comparison(plan, in_order, closures, now, inactive, booked_until, OpenWindows(windows))
    comparison.follow_closures()
    comparison.follow_rules()
    comparison.fill_gaps()
    return comparison.difference()


class _Comparison:
    """A difference in the making. Its three steps follow one another."""

    def __init__(
        self,
        plan: Plan,
        existing: Sequence[ExistingSlot],
        closures: Iterable[Closure],
        now: datetime,
        inactive: frozenset[int],
        booked_until: Mapping[int, datetime],
        windows: OpenWindows,
    ) -> None:
        self._plan, self._existing, self._now, self._inactive = plan, existing, now, inactive
        self._booked_until, self._windows = booked_until, windows
        self._future = [slot for slot in existing if slot.start_time > now]
        self._closures = Closures(closures)
        self._wanted = {_key(slot): slot for slot in plan.wanted if slot.start_time > now}
        self._wanted_but_closed = {_key(closed.wanted): closed.wanted for closed in plan.closed}
        self._close: dict[int, ClosedSlot] = {}
        self._restamp: list[SlotStamp] = []
        self._drift: list[int] = []
        self._undrift: list[int] = []
        self._change: dict[int, SlotContent] = {}
        self._lasting: Mapping[int, Taken[ExistingSlot]] = {}
        self._open: Mapping[int, Taken[ExistingSlot]] = {}
        self._skipped = [skip for skip in plan.skipped if skip.start_time is None or skip.start_time > now]
        self._candidates: list[ExistingSlot] = []
        self._reopen: list[SlotStamp] = []
        self._add: list[WantedSlot] = []

    def difference(self) -> Difference:
        return Difference(
            add=tuple(self._add),
            close=tuple(self._close.values()),
            reopen=tuple(self._reopen),
            restamp=tuple(self._restamp),
            drift=tuple(self._drift),
            undrift=tuple(self._undrift),
            change=tuple(self._change.values()),
            skipped=tuple(self._skipped),
        )

    def follow_closures(self) -> None:
        for slot in self._future:
            if slot.is_open:
                closure = self._closure_of(slot)
                if closure is not None:
                    self._close[slot.id] = ClosedSlot(slot.id, closure.id)
            elif slot.closure_id is not None and not self._keeps_closed(slot, slot.closure_id):
                self._leave_closure(slot)

    def _keeps_closed(self, slot: ExistingSlot, closure_id: int) -> bool:
        return self._closures.close(closure_id, slot.doctor_id, slot.clinic_id, slot.start_time, slot.end_time)

    def _closure_of(self, slot: ExistingSlot) -> Closure | None:
        return self._closures.find(slot.doctor_id, slot.clinic_id, slot.start_time, slot.end_time)

    def _leave_closure(self, slot: ExistingSlot) -> None:
        """The closure that closed the slot is gone. Another may keep it closed."""
        closure = self._closure_of(slot)
        if closure is not None:
            self._restamp.append(_stamp(slot, closure.id))
        elif slot.is_on_its_own and slot.clinic_id in self._inactive:
            self._restamp.append(_stamp(slot, None))
            self._skip(slot, SkipReason.CLINIC_INACTIVE)
        elif slot.is_on_its_own:
            self._candidates.append(slot)

    def follow_rules(self) -> None:
        self._lasting = _by_doctor(slot for slot in self._future if self._lasts(slot))
        # The plan leaves room for the buffers of rules only.
        self._open = _by_doctor(slot for slot in self._future if self._takes_time(slot)) if self._booked_until else {}
        for slot in self._future:
            if slot.follows_window:
                self._follow_window(slot)
            elif slot.follows_rule and slot.local_start is not None and self._plan.covers(slot.local_start):
                self._follow_rule(slot)
        self._leave_out_what_people_changed()

    def _lasts(self, slot: ExistingSlot) -> bool:
        """Whether it takes its time, although no rule says so."""
        if slot.is_on_its_own or (slot.follows_window and self._is_in_window(slot)):
            return self._takes_time(slot)
        if _match(slot, self._wanted) is not None or _match(slot, self._wanted_but_closed) is not None:
            return False
        return slot.confirmed > 0 or (slot.holds > 0 and not slot.is_open)

    def _is_in_window(self, slot: ExistingSlot) -> bool:
        return self._windows.have(slot.doctor_id, slot.clinic_id, slot.start_time, slot.end_time)

    def _follow_window(self, slot: ExistingSlot) -> None:
        if not self._is_in_window(slot):
            self._no_longer_wanted(slot)
        elif slot.is_open:
            return
        elif self._closure_of(slot) is not None:
            self._stay_closed(slot)
        else:
            self._candidates.append(slot)

    def _follow_rule(self, slot: ExistingSlot) -> None:
        wanted = _match(slot, self._wanted)
        if wanted is None and _match(slot, self._wanted_but_closed) is not None:
            self._stay_closed(slot)
        elif wanted is None or self._has_no_room(slot, wanted):
            self._no_longer_wanted(slot)
        else:
            self._follow(slot, wanted)

    def _has_no_room(self, slot: ExistingSlot, wanted: WantedSlot) -> bool:
        """More are booked than it is to have seats, or its new buffer reaches into a slot that stays."""
        if slot.confirmed > wanted.total_seats + slot.added_seats:
            return True
        busy_end = self._busy_until(slot, wanted) or slot.end_time
        if not slot.is_open or busy_end <= slot.busy_end:
            return False
        stays = self._lasting if busy_end == wanted.busy_end else self._open
        return stays[slot.doctor_id].find(slot.end_time, busy_end) is not None

    def _busy_until(self, slot: ExistingSlot, wanted: WantedSlot) -> datetime | None:
        """As its rule says, or longer for a booked visit."""
        ends = (wanted.busy_until, self._booked_until.get(slot.id))
        return max((end for end in ends if end is not None), default=None)

    def _stay_closed(self, slot: ExistingSlot) -> None:
        """A closure covers it. If something else closed it, only the mark lists its bookings."""
        if slot.drifted and slot.closure_id is not None:
            self._undrift.append(slot.id)

    def _follow(self, slot: ExistingSlot, wanted: WantedSlot) -> None:
        if slot.is_open:
            self._keep(slot, wanted)
        else:
            self._candidates.append(slot)

    def _no_longer_wanted(self, slot: ExistingSlot) -> None:
        """A slot that is kept for its bookings is closed, too: patients must not book what no rule says."""
        if slot.is_open:
            self._close.setdefault(slot.id, ClosedSlot(slot.id, None))
        self._list(slot)

    def _list(self, slot: ExistingSlot) -> None:
        """A slot that is closed and stays so is listed as long as it is booked."""
        if slot.confirmed > 0 and not slot.drifted:
            self._drift.append(slot.id)
        if slot.confirmed == 0 and slot.drifted:
            self._undrift.append(slot.id)

    def _keep(self, slot: ExistingSlot, wanted: WantedSlot) -> None:
        del self._wanted[_key(wanted)]
        if slot.drifted:
            self._undrift.append(slot.id)
        if (slot.rule_version, slot.local_start) != (wanted.rule_version, wanted.local_start):
            self._restamp.append(_stamp_of(slot, wanted))
        self._give_content(slot, wanted)

    def _give_content(self, slot: ExistingSlot, wanted: WantedSlot) -> None:
        busy_until = self._busy_until(slot, wanted)
        content = SlotContent(slot.id, wanted.total_seats, wanted.visit_type_ids, busy_until)
        if content != SlotContent(slot.id, slot.total_seats - slot.added_seats, slot.visit_type_ids, slot.busy_until):
            self._change[slot.id] = content

    def _leave_out_what_people_changed(self) -> None:
        """A slot that a person changed stands for the time that its rule gave it."""
        pinned = {(slot.rule_id, slot.local_start): slot for slot in self._existing if slot.rule_id and slot.pinned}
        for key, wanted in list(self._wanted.items()):
            slot = pinned.get((wanted.rule_id, wanted.local_start))
            if slot is not None:
                del self._wanted[key]
                if not (slot.is_open and _period(slot) == _period(wanted)):
                    self._skip(wanted, SkipReason.CHANGED_BY_HAND, slot)

    def fill_gaps(self) -> None:
        """Reopen, then add, where nothing overlaps. Slots that take the doctor's time already are reopened first."""
        waiting = {slot.id for slot in self._candidates}
        busy = [slot for slot in self._candidates if slot.takes_time]
        free = [slot for slot in self._candidates if not slot.takes_time]
        taken = [
            self._with_new_buffer(slot) for slot in self._existing if slot.id not in waiting and self._takes_time(slot)
        ]
        self._reopen_what_fits(busy, taken)
        taken += [self._with_new_buffer(slot) for slot in busy]
        taken += self._reopen_what_fits(free, taken)
        by_doctor = _by_doctor(taken)
        for wanted in self._wanted.values():
            other = by_doctor[wanted.doctor_id].find(wanted.start_time, wanted.busy_end)
            if other is None:
                self._add.append(wanted)
            else:
                self._skip(wanted, SkipReason.OTHER_SLOT, other)

    def _with_new_buffer(self, slot: ExistingSlot) -> ExistingSlot:
        content = self._change.get(slot.id)
        return slot if content is None else replace(slot, busy_until=content.busy_until)

    def _takes_time(self, slot: ExistingSlot) -> bool:
        """Whether it takes time after the closing, which cancels holds and keeps confirmed bookings.

        The time of a slot that no rule may change and that a closure closed is kept free for it. Otherwise a closure
        could make room for new times, and undoing it could not give back what was.
        """
        closed = self._close.get(slot.id)
        closure_id = slot.closure_id if closed is None else closed.closure_id
        stays_closed = closed is not None or not slot.is_open
        if stays_closed and closure_id is not None and slot.is_on_its_own:
            return True
        return slot.confirmed > 0 if closed is not None else slot.takes_time

    def _reopen_what_fits(
        self, candidates: Iterable[ExistingSlot], taken: Iterable[ExistingSlot]
    ) -> list[ExistingSlot]:
        by_doctor = _by_doctor(taken)
        reopened: dict[int, ExistingSlot] = {}
        fitting = []
        for slot in sorted(candidates, key=lambda slot: (slot.start_time, -slot.id)):
            wanted = _match(slot, self._wanted) if slot.follows_rule else None
            busy_until = slot.busy_until if wanted is None else self._busy_until(slot, wanted)
            busy_end = busy_until or slot.end_time
            before = reopened.get(slot.doctor_id)
            other = before if before is not None and before.busy_end > slot.start_time else None
            other = other or by_doctor[slot.doctor_id].find(slot.start_time, busy_end)
            if self._reopens(slot, other):
                reopened[slot.doctor_id] = self._with_new_buffer(slot)
                fitting.append(reopened[slot.doctor_id])
        return fitting

    def _reopens(self, slot: ExistingSlot, other: ExistingSlot | None) -> bool:
        """Reopens it, unless another slot is in the way.

        What stays closed and does not follow a rule forgets its closure: it is not to be reopened by surprise, months
        after the closure was undone.
        """
        wanted = _match(slot, self._wanted) if slot.follows_rule else None
        if (slot.follows_rule and wanted is None) or (not slot.is_on_its_own and other is not None):
            self._list(slot)
            return False
        stamp = _stamp(slot, None) if wanted is None else _stamp_of(slot, wanted)
        if other is not None:
            self._restamp.append(stamp)
            self._skip(slot, SkipReason.OTHER_SLOT, other)
            return False
        if wanted is not None:
            del self._wanted[_key(wanted)]
            self._give_content(slot, wanted)
        if slot.drifted and not slot.is_on_its_own:
            self._undrift.append(slot.id)
        self._reopen.append(stamp)
        return True

    def _skip(self, slot: WantedSlot | ExistingSlot, reason: SkipReason, other: ExistingSlot | None = None) -> None:
        self._skipped.append(
            SkippedSlot(
                slot.doctor_id, slot.clinic_id, slot.rule_id, slot.local_start, slot.start_time, reason,
                other_slot_id=None if other is None else other.id,
            )
        )  # fmt: skip


def _match(slot: ExistingSlot, wanted: Mapping[Key, WantedSlot]) -> WantedSlot | None:
    """What the plan wants at the slot's time. Its seats and visit types may be others, and it may be closed."""
    match = wanted.get((slot.rule_id, slot.start_time))
    return match if match is not None and _place(match) == _place(slot) else None


def _place(slot: WantedSlot | ExistingSlot) -> tuple[object, ...]:
    return slot.doctor_id, slot.clinic_id, slot.end_time


def _key(wanted: WantedSlot) -> Key:
    return wanted.rule_id, wanted.start_time


def _period(slot: WantedSlot | ExistingSlot) -> tuple[datetime, datetime]:
    return slot.start_time, slot.end_time


def _stamp(slot: ExistingSlot, closure_id: int | None) -> SlotStamp:
    return SlotStamp(slot.id, slot.rule_version, slot.local_start, closure_id)


def _stamp_of(slot: ExistingSlot, wanted: WantedSlot) -> SlotStamp:
    return SlotStamp(slot.id, wanted.rule_version, wanted.local_start, None)


def _by_doctor(slots: Iterable[ExistingSlot]) -> Mapping[int, Taken[ExistingSlot]]:
    grouped: dict[int, list[ExistingSlot]] = defaultdict(list)
    for slot in slots:
        grouped[slot.doctor_id].append(slot)
    taken: dict[int, Taken[ExistingSlot]] = defaultdict(lambda: Taken(()))
    taken.update({doctor_id: Taken(each, BUSY_END) for doctor_id, each in grouped.items()})
    return taken


class MovedTime(Struct, frozen=True):
    """A published slot whose wall time is no longer what its rule says, by the zones of today.

    `moment` is when the wall time now comes; None if a clock change skips it.
    """

    slot: ExistingSlot
    moment: datetime | None


def moved_by_zone(slots: Iterable[ExistingSlot], rules: Iterable[Rule], zones: Mapping[int, tzinfo]) -> list[MovedTime]:
    """What would move by another edition of the time zone database, or by another zone of a clinic.

    Slots made by hand and slots that a person changed are their own: they were given as moments.
    """
    known = {rule.id for rule in rules if rule.removed_at is None}
    moved = []
    for slot in slots:
        if slot.local_start is None or slot.pinned or slot.rule_id not in known:
            continue
        moment = first_moment(slot.local_start, zones[slot.clinic_id])
        if moment != slot.start_time:
            moved.append(MovedTime(slot, moment))
    return moved
