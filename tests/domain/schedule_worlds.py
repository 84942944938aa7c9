"""Schedules for tests: rules, closures and slots, by hand or by hypothesis, and what applying a difference does."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from msgspec.structs import replace

from slotwise.domain.schedule_diff import Difference, ExistingSlot, SlotContent, SlotStamp
from slotwise.domain.schedules import Closure, ClosureKind, Rule, RuleKind, WantedSlot
from slotwise.domain.slots import SlotStatus

BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = date(2027, 1, 4)
# Before the first day of the rules.
NOW = datetime(2027, 1, 1, tzinfo=UTC)
# Of the two clinics of a drawn world.
ZONES = {1: BERLIN, 2: ZoneInfo("America/New_York")}
# Of its visit types.
BUFFERS = {1: 0, 2: 20}


def rule(**fields: Any) -> Rule:
    """On Mondays from 9 to 12 in half hours, at clinic 1, for doctor 1."""
    everything: dict[str, Any] = {
        "id": 1,
        "doctor_id": 1,
        "clinic_id": 1,
        "first_day": MONDAY,
        "last_day": None,
        "every_weeks": 1,
        "weekday": 1,
        "opens": 9 * 60,
        "closes": 12 * 60,
        "slot_minutes": 30,
        "break_minutes": 0,
        "total_seats": 1,
    }
    return Rule(**everything | fields)


def open_time(**fields: Any) -> Rule:
    """On Mondays from 9 to 12, for visits of type 1, at any quarter of an hour."""
    everything = {"kind": RuleKind.WINDOW, "step_minutes": 15, "visit_type_ids": (1,)} | fields
    made = rule(**everything)
    return replace(made, slot_minutes=made.closes - made.opens)


def closure(start: datetime, end: datetime, **fields: Any) -> Closure:
    """Of everything, as closure 1."""
    everything: dict[str, Any] = {"id": 1, "doctor_id": None, "clinic_id": None, "kind": ClosureKind.HOLIDAY}
    return Closure(start_time=start, end_time=end, **everything | fields)


def slot(start: datetime, minutes: int = 30, **fields: Any) -> ExistingSlot:
    """An open slot made by hand, of doctor 1 at clinic 1."""
    everything: dict[str, Any] = {
        "id": 1,
        "doctor_id": 1,
        "clinic_id": 1,
        "status": SlotStatus.OPEN,
        "total_seats": 1,
    }
    return ExistingSlot(start_time=start, end_time=start + timedelta(minutes=minutes), **everything | fields)


def published(wanted: WantedSlot, slot_id: int) -> ExistingSlot:
    return ExistingSlot(
        slot_id,
        wanted.doctor_id,
        wanted.clinic_id,
        wanted.start_time,
        wanted.end_time,
        SlotStatus.OPEN,
        wanted.total_seats,
        visit_type_ids=wanted.visit_type_ids,
        busy_until=wanted.busy_until,
        rule_id=wanted.rule_id,
        rule_version=wanted.rule_version,
        local_start=wanted.local_start,
    )


def applied(difference: Difference, slots: Iterable[ExistingSlot]) -> list[ExistingSlot]:
    """The slots after the difference. Fails where the database would: two slots take the same time of a doctor."""
    after = {each.id: each for each in slots}
    for closed in difference.close:
        before = after[closed.slot_id]
        assert before.is_open
        after[before.id] = replace(before, status=SlotStatus.CLOSED, closure_id=closed.closure_id, holds=0)
    for content in difference.change:
        after[content.slot_id] = _changed(after[content.slot_id], content)
    for drifted, ids in ((True, difference.drift), (False, difference.undrift)):
        for slot_id in ids:
            assert after[slot_id].drifted is not drifted
            after[slot_id] = replace(after[slot_id], drifted=drifted)
    for stamp in difference.restamp:
        after[stamp.slot_id] = _stamped(after[stamp.slot_id], stamp)
    for stamp in difference.reopen:
        assert not after[stamp.slot_id].is_open
        after[stamp.slot_id] = replace(_stamped(after[stamp.slot_id], stamp), status=SlotStatus.OPEN)
    first_id = max(after, default=0) + 1
    added = [published(wanted, first_id + place) for place, wanted in enumerate(difference.add)]
    everything = [*after.values(), *added]
    assert overlapping(everything) is None
    return everything


def _changed(before: ExistingSlot, content: SlotContent) -> ExistingSlot:
    """Holds that have no room any more are cancelled, so that there are never more taken than there are seats."""
    seats = content.seats + before.added_seats
    assert before.confirmed <= seats
    holds = before.holds if before.confirmed + before.holds <= seats else 0
    return replace(
        before,
        total_seats=seats,
        visit_type_ids=content.visit_type_ids,
        busy_until=content.busy_until,
        holds=holds,
    )


def _stamped(before: ExistingSlot, stamp: SlotStamp) -> ExistingSlot:
    return replace(before, rule_version=stamp.rule_version, local_start=stamp.local_start, closure_id=stamp.closure_id)


def overlapping(slots: Iterable[ExistingSlot]) -> tuple[ExistingSlot, ExistingSlot] | None:
    """Two slots of which one is open, the other takes time, too, and whose periods overlap."""
    last: dict[int, ExistingSlot] = {}
    for each in sorted((each for each in slots if each.takes_time), key=lambda each: each.start_time):
        before = last.get(each.doctor_id)
        if before is not None and before.busy_end > each.start_time:
            return before, each
        last[each.doctor_id] = each
    return None


def open_ids(slots: Iterable[ExistingSlot]) -> set[int]:
    return {each.id for each in slots if each.is_open}


# Few values, so that rules, closures and slots often concern one another.
def rules(max_size: int = 4) -> st.SearchStrategy[list[Rule]]:
    drawn = st.lists(st.builds(_rule, *(st.integers(0, 11) for _ in range(9))), max_size=max_size)
    return drawn.map(lambda found: [replace(each, id=place) for place, each in enumerate(found, 1)])


def _rule(
    doctor: int, clinic: int, weekday: int, opens: int, hours: int, length: int, pause: int, weeks: int, kind: int
) -> Rule:
    """A third are of open time."""
    fixed = rule(
        doctor_id=1 + doctor % 2,
        clinic_id=1 + clinic % 2,
        weekday=1 + weekday % 3,
        opens=(8 + opens) * 60,
        closes=(8 + opens + 2 + hours) * 60,
        slot_minutes=(20, 30, 45, 60)[length % 4],
        break_minutes=(0, 0, 15)[pause % 3],
        every_weeks=1 + weeks // 8,
        last_day=MONDAY + timedelta(days=9) if weeks % 3 == 0 else None,
        total_seats=1 + pause // 9,
        visit_type_ids=(None, (1,), (1, 2))[length // 4],
    )
    if kind < 8:
        return fixed
    return replace(
        fixed, kind=RuleKind.WINDOW, step_minutes=15, slot_minutes=fixed.closes - fixed.opens, break_minutes=0,
        total_seats=1, visit_type_ids=fixed.visit_type_ids or (1,),
    )  # fmt: skip


def closures(max_size: int = 3) -> st.SearchStrategy[list[Closure]]:
    drawn = st.lists(st.builds(_closure, *(st.integers(0, 2) for _ in range(2)), hours(), hours()), max_size=max_size)
    return drawn.map(lambda found: [replace(each, id=place) for place, each in enumerate(found, 1)])


def hours() -> st.SearchStrategy[int]:
    """Half hours from the Monday on, over two weeks."""
    return st.integers(0, 14 * 48)


def _closure(doctor: int, clinic: int, start: int, length: int) -> Closure:
    begin = datetime.combine(MONDAY, datetime.min.time(), UTC) + timedelta(minutes=30 * start)
    return closure(
        begin, begin + timedelta(minutes=30 + 10 * length), doctor_id=doctor or None, clinic_id=clinic or None
    )


def hand_made(first_id: int = 100, max_size: int = 6) -> st.SearchStrategy[list[ExistingSlot]]:
    """Slots that people made. No two take the same time of a doctor."""
    drawn = st.lists(st.builds(_slot, hours(), *(st.integers(0, 5) for _ in range(4))), max_size=max_size)
    return drawn.map(lambda found: without_overlaps(replace(each, id=first_id + n) for n, each in enumerate(found)))


def _slot(start: int, minutes: int, place: int, state: int, bookings: int) -> ExistingSlot:
    begin = datetime.combine(MONDAY, datetime.min.time(), UTC) + timedelta(minutes=30 * start)
    return slot(
        begin,
        20 + 20 * minutes,
        doctor_id=1 + place % 2,
        clinic_id=1 + place // 3,
        status=SlotStatus.CLOSED if state == 0 else SlotStatus.OPEN,
        total_seats=3,
        busy_until=begin + timedelta(minutes=45 + 20 * minutes) if state == 1 else None,
        confirmed=bookings // 3,
        holds=bookings % 2,
    )


def without_overlaps(slots: Iterable[ExistingSlot]) -> list[ExistingSlot]:
    kept: list[ExistingSlot] = []
    for each in slots:
        if overlapping([*kept, each]) is None:
            kept.append(each)
    return kept
