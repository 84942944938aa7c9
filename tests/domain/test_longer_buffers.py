"""A longer buffer of a visit type counts for all slots that have the type, and is refused where there is no room."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from slotwise.domain.bookings import BookingStatus
from slotwise.domain.errors import SlotOverlaps
from slotwise.domain.schedule_changes import LengthChange, ScheduleChange
from slotwise.domain.schedule_diff import ExistingSlot
from slotwise.domain.schedule_previews import LiveBooking, ScheduleState, VisitLength, outline
from slotwise.domain.schedules import Rule
from tests.domain.schedule_worlds import MONDAY, NOW, ZONES, applied, hand_made, overlapping, rule, rules, slot
from tests.domain.test_schedule_previews import NINE

MINUTES = timedelta(minutes=1)
# Of visit type 2, before and after.
SHORT, LONG = 10, 40
LONGER = ScheduleChange(change_lengths=(LengthChange(2, 30, LONG),))


def state(slots: Sequence[ExistingSlot], *in_force: Rule, bookings: Sequence[LiveBooking] = ()) -> ScheduleState:
    return ScheduleState(
        in_force,
        (),
        tuple(slots),
        tuple(bookings),
        {clinic_id: zone.key for clinic_id, zone in ZONES.items()},
        NOW,
        MONDAY + timedelta(days=14),
        {1: VisitLength(1, 30), 2: VisitLength(2, 30, SHORT)},
    )


def with_types(slots: Sequence[ExistingSlot], types: Sequence[int]) -> list[ExistingSlot]:
    return [replace(each, visit_type_ids=(kind,) if kind else None) for each, kind in zip(slots, types, strict=False)]


@given(rules(), hand_made(), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_what_a_preview_allows_has_room_and_what_it_refuses_has_none(
    in_force: list[Rule], made: list[ExistingSlot], types: list[int]
) -> None:
    untyped = [replace(each, visit_type_ids=None) for each in in_force]
    by_hand = with_types(made, types)
    slots = applied(outline(state(by_hand, *untyped), ScheduleChange()).difference, by_hand)
    before = state(slots, *untyped)
    longer = {each.id: each.end_time + LONG * MINUTES for each in slots if each.visit_type_ids == (2,)}
    try:
        preview = outline(before, LONGER)
    except SlotOverlaps as error:
        refused = error.period
    else:
        refused = None
        after = applied(preview.difference, slots)
        assert overlapping(replace(each, busy_until=longer.get(each.id, each.busy_until)) for each in after) is None
    if refused is not None:
        assert refused in [(each.start_time, each.end_time) for each in slots]
        assert any(each.end_time <= refused[0] < longer[each.id] for each in slots if each.id in longer)


def test_new_times_are_not_put_into_the_longer_buffer_of_a_time_made_by_hand() -> None:
    by_hand = slot(NINE, visit_type_ids=(2,), busy_until=NINE + 40 * MINUTES)
    # From 09:40: the first of the two times is in the buffer until 10:10.
    change = replace(LONGER, add_rules=(rule(opens=9 * 60 + 40, closes=10 * 60 + 40, last_day=MONDAY),))
    assert [each.start_time for each in outline(state([by_hand]), change).difference.add] == [NINE + 70 * MINUTES]


@pytest.mark.parametrize(
    ("fields", "refused"),
    [
        ({"visit_type_ids": (2,)}, True),
        ({"visit_type_ids": (1, 2)}, True),
        ({"visit_type_ids": (1,)}, False),
        ({}, False),
        ({"visit_type_ids": (2,), "drifted": True}, False),
        ({"visit_type_ids": (2,), "start_time": NINE - 5 * MINUTES, "end_time": NINE + 20 * MINUTES}, False),
    ],
)
def test_a_longer_buffer_needs_room_behind_a_time_made_by_hand(fields: dict[str, object], refused: bool) -> None:
    first, second = replace(slot(NINE), **fields), slot(NINE + 60 * MINUTES, id=2)
    if not refused:
        assert outline(state([first, second]), LONGER).difference.touched == 0
        return
    with pytest.raises(SlotOverlaps) as error:
        outline(state([first, second]), LONGER)
    assert error.value.period == (second.start_time, second.end_time)


def test_a_booked_visit_gets_the_longer_buffer_although_its_time_has_no_type() -> None:
    first, second = slot(NINE, confirmed=1), slot(NINE + 60 * MINUTES, id=2)
    booking = LiveBooking(5, first.id, BookingStatus.CONFIRMED, 1, visit_type_id=2)
    with pytest.raises(SlotOverlaps):
        outline(state([first, second], bookings=[booking]), LONGER)
