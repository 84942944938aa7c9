"""A change that is too large is refused with a part of it, which is never too large itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from slotwise.domain import schedule_previews
from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import ScheduleTooLarge
from slotwise.domain.schedule_changes import Decision, Decisions, LengthChange, ScheduleChange, ZoneChange, check_change
from slotwise.domain.schedule_previews import (
    FIRST_NEW_ID,
    LiveBooking,
    Preview,
    ScheduleState,
    VisitLength,
    outline,
)
from slotwise.domain.schedules import Plan, Rule, plan
from slotwise.domain.smaller_changes import Part, outline_change
from slotwise.domain.window_diff import ExistingWindow
from tests.domain import schedule_worlds
from tests.domain.schedule_worlds import MONDAY, NOW, applied, closure, rule

DAY = timedelta(days=1)
# By UTC, over two weeks.
FORTNIGHT = closure(NOW + 3 * DAY, NOW + 17 * DAY)
TYPES = {1: VisitLength(1, 30), 2: VisitLength(2, 45, 10)}
# Six half hours on each day.
DAILY = tuple(rule(id=day, weekday=day, visit_type_ids=(1,)) for day in range(1, 8))


def state(*rules: Rule, **fields: Any) -> ScheduleState:
    """The state once the rules are published, for two weeks from the Monday on."""
    everything: dict[str, Any] = {
        "closures": (),
        "slots": (),
        "bookings": (),
        "zones": {1: "Europe/Berlin", 2: "America/New_York"},
        "now": NOW,
        "published_until": MONDAY + 14 * DAY,
        "visit_types": TYPES,
    }
    return after(ScheduleState(rules, **everything | fields), ScheduleChange())


def after(before: ScheduleState, change: ScheduleChange) -> ScheduleState:
    """The state once the change is made, with no limit."""
    with limit(10**6):
        return made(before, change, outline(before, change))


def made(before: ScheduleState, change: ScheduleChange, preview: Preview) -> ScheduleState:
    closed = {each.id for each in preview.windows.close}
    kept = [each for each in before.windows if each.id not in closed]
    first = max((each.id for each in before.windows), default=0) + 1
    windows = (
        ExistingWindow(
            first + n, each.rule_id, each.doctor_id, each.clinic_id, each.start_time, each.end_time, each.local_start
        )
        for n, each in enumerate(preview.windows.add)
    )
    assert all(each.id < FIRST_NEW_ID for each in preview.rules)
    return replace(
        before,
        rules=preview.rules,
        closures=preview.closures,
        slots=tuple(applied(preview.difference, before.slots)),
        windows=(*kept, *windows),
        zones={**before.zones, **{each.clinic_id: each.time_zone for each in change.change_zones}},
        visit_types=schedule_previews.lengths_after(before.visit_types, change),
    )


@contextmanager
def limit(slots: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule_previews, "MAX_TOUCHED_SLOTS", slots)
        yield


def refusal(before: ScheduleState, change: ScheduleChange, slots: int) -> ScheduleTooLarge:
    with limit(slots), pytest.raises(ScheduleTooLarge) as refused:
        outline_change(before, change)
    return refused.value


def large_part(before: ScheduleState, change: ScheduleChange, slots: int) -> Part | None:
    """None if the change is small enough, or has no such part."""
    with limit(slots):
        try:
            outline_change(before, change)
        except ScheduleTooLarge as error:
            return error.part if isinstance(error.part, Part) else None
    return None


def part_of(before: ScheduleState, change: ScheduleChange, slots: int) -> Part:
    part = refusal(before, change, slots).part
    assert isinstance(part, Part)
    with limit(slots):
        assert outline(before, part.change).touched <= slots
    return part


def test_new_hours_end_on_the_last_day_that_fits() -> None:
    """Six times on each of 14 days."""
    error = refusal(state(), ScheduleChange(add_rules=DAILY), 33)
    assert (error.touched, error.limit) == (14 * 6, 33)
    assert "Let it end on 2027-01-08, and do the rest afterwards." in error.detail
    part = part_of(state(), ScheduleChange(add_rules=DAILY), 33)
    assert {each.last_day for each in part.change.add_rules} == {date(2027, 1, 8)}


def test_a_part_is_not_smaller_because_few_times_are_published() -> None:
    of_first_day = rule(id=9, doctor_id=2, weekday=1, last_day=MONDAY)
    part = part_of(state(of_first_day), ScheduleChange(add_rules=DAILY), 33)
    assert part.last_day == date(2027, 1, 8)


def test_a_part_in_which_there_is_nothing_is_not_proposed() -> None:
    """On the first day, the closure begins after the last time."""
    from_evening = closure(NOW.replace(hour=20) + 3 * DAY, NOW + 17 * DAY)
    assert refusal(state(*DAILY), ScheduleChange(add_closures=(from_evening,)), 5).part is None


def test_far_too_many_times_have_a_day_to_propose_although_they_are_never_planned() -> None:
    """600 of ten are asked for, and no plan has more than 50."""
    minutes = tuple(replace(each, closes=10 * 60, slot_minutes=1, visit_type_ids=None) for each in DAILY)
    before, planned = state(), list[int]()

    def counted(*given: Any) -> Plan:
        made = plan(*given)
        planned.append(len(made.wanted))
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schedule_previews, "plan", counted)
        part = part_of(before, ScheduleChange(add_rules=minutes), 130)
    assert part.last_day == date(2027, 1, 5)
    assert max(planned) <= 5 * 130


def test_hours_that_replace_others_end_early_enough_for_those_that_go() -> None:
    """12 stay with a new version, 72 go, and of those that come 13 fit."""
    border = MONDAY + 2 * DAY
    ended = tuple(replace(each, last_day=border - DAY) for each in DAILY[:2])
    removed = tuple(each.id for each in DAILY[2:])
    begun = tuple(replace(each, first_day=border, opens=14 * 60, closes=17 * 60) for each in DAILY)
    change = ScheduleChange(change_rules=ended, remove_rules=removed, add_rules=begun)
    assert part_of(state(*DAILY), change, 97).last_day == border + DAY


def test_a_closure_is_shortened_and_undone_in_parts() -> None:
    before = state(*DAILY)
    part = part_of(before, ScheduleChange(add_closures=(FORTNIGHT,)), 20)
    assert part.change.add_closures[0].end_time == datetime(2027, 1, 7, tzinfo=UTC)
    closed = after(before, ScheduleChange(add_closures=(FORTNIGHT,)))
    slots = tuple(replace(slot, closure_id=1) for slot in closed.slots)
    closed = replace(closed, closures=(replace(closed.closures[0], id=1),), slots=slots)
    undone = part_of(closed, ScheduleChange(remove_closures=(1,)), 20)
    assert undone.change.change_closures[0].start_time == datetime(2027, 1, 7, tzinfo=UTC)
    assert undone.change.remove_closures == ()
    assert "begin after 2027-01-06" in refusal(closed, ScheduleChange(remove_closures=(1,)), 20).detail


def test_what_has_no_period_is_done_for_some_doctors_first() -> None:
    """Twelve times of each of five doctors."""
    rules = [rule(id=doctor, doctor_id=doctor) for doctor in range(1, 6)]
    part = part_of(state(*rules), ScheduleChange(remove_rules=(1, 2, 3, 4, 5)), 30)
    assert (part.doctor_ids, part.change.remove_rules) == (frozenset({1, 2}), (1, 2))
    error = refusal(state(*rules), ScheduleChange(remove_rules=(1, 2, 3, 4, 5)), 30)
    assert "Make it for 2 of the doctors first" in error.detail


def test_one_doctor_without_a_period_has_no_part() -> None:
    error = refusal(state(*DAILY), ScheduleChange(remove_rules=tuple(range(1, 8))), 30)
    assert error.part is None
    assert "in several parts" in error.detail


@pytest.mark.parametrize(
    "change",
    [
        ScheduleChange(change_lengths=(LengthChange(1, 20),)),
        ScheduleChange(change_zones=(ZoneChange(1, "Asia/Tokyo"),)),
    ],
)
@pytest.mark.parametrize("slots", [150, 60])
def test_another_length_or_zone_comes_by_parts_to_what_it_would_be_at_once(change: ScheduleChange, slots: int) -> None:
    """There are 84 times, so that even to close all of them is too much for 60 at once."""
    before = by_parts = state(*DAILY)
    parts: list[ScheduleChange] = []
    for _ in range(5):
        part = large_part(by_parts, change, slots)
        parts.append(part.change if part else change)
        by_parts = after(by_parts, parts[-1])
        if parts[-1].change_lengths or parts[-1].change_zones:
            break
    assert len(parts) == (1 if slots == 150 else 2)
    continued = tuple(replace(each, last_day=None) for each in by_parts.rules)
    whole = after(by_parts, ScheduleChange(change_rules=continued))
    assert open_times(whole) == open_times(after(before, change))


def open_times(found: ScheduleState) -> set[tuple[datetime, datetime]]:
    return {(slot.start_time, slot.end_time) for slot in found.slots if slot.is_open}


def test_a_part_has_only_decisions_on_bookings_that_it_concerns() -> None:
    before = state(*DAILY)
    first, last = before.slots[0].id, max(before.slots, key=lambda slot: slot.start_time).id
    bookings = tuple(
        LiveBooking(number, slot_id, BookingStatus.CONFIRMED, 1) for number, slot_id in ((1, first), (2, last))
    )
    slots = tuple(replace(slot, confirmed=int(slot.id in {first, last})) for slot in before.slots)
    decisions = Decisions(bookings={1: Decision.CANCEL, 2: Decision.CANCEL})
    change = ScheduleChange(add_closures=(FORTNIGHT,), decisions=decisions)
    part = part_of(replace(before, slots=slots, bookings=bookings), change, 20)
    assert part.change.decisions.bookings == {1: Decision.CANCEL}


@st.composite
def changes(draw: st.DrawFn) -> tuple[ScheduleState, ScheduleChange]:
    """Hours of two doctors at two clinics, holidays, and a change of any kind."""
    kept = [_of_types(each, draw(st.booleans())) for each in draw(schedule_worlds.rules())]
    closures = draw(schedule_worlds.closures(2))
    before = state(*kept, closures=tuple(closures))
    picked = draw(st.lists(st.sampled_from(kept), unique=True)) if kept else []
    change = ScheduleChange(
        add_rules=tuple(_of_types(each, False) for each in draw(schedule_worlds.rules(3))),
        change_rules=tuple(
            replace(each, opens=each.opens + 60, closes=each.closes + 60) for each in picked if each.id % 2
        ),
        remove_rules=tuple(each.id for each in picked if not each.id % 2),
        add_closures=tuple(draw(schedule_worlds.closures(2))),
        remove_closures=tuple(each.id for each in closures if draw(st.booleans())),
        change_zones=(ZoneChange(1, "Asia/Tokyo"),) if draw(st.booleans()) else (),
        change_lengths=(LengthChange(1, 20, 5),) if draw(st.booleans()) else (),
    )
    return before, change


def _of_types(drawn: Rule, has_type: bool) -> Rule:
    """Open time has the first visit type, and so have slots of its length."""
    if drawn.is_window:
        return replace(drawn, visit_type_ids=(1,))
    return replace(drawn, slot_minutes=30, visit_type_ids=(1,)) if has_type else replace(drawn, visit_type_ids=None)


@given(changes(), st.integers(1, 60))
def test_a_part_is_never_refused_for_its_size(drawn: tuple[ScheduleState, ScheduleChange], slots: int) -> None:
    before, change = drawn
    part = large_part(before, change, slots)
    if part is not None:
        check_change(part.change)
        with limit(slots):
            assert outline(before, part.change).touched <= slots
