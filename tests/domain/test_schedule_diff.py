"""The way from the slots that exist to those that are wanted: what it does to each kind of slot, and that it ends."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from slotwise.domain.schedule_diff import (
    ClosedSlot,
    Difference,
    ExistingSlot,
    SlotContent,
    SlotStamp,
    diff,
    moved_by_zone,
)
from slotwise.domain.schedules import Closure, Plan, Rule, SkipReason, plan
from slotwise.domain.slots import SlotStatus
from tests.depth import many
from tests.domain.schedule_worlds import (
    BUFFERS,
    MONDAY,
    NOW,
    ZONES,
    applied,
    closure,
    closures,
    hand_made,
    open_ids,
    rule,
    rules,
    slot,
)

LAST_DAY = MONDAY + timedelta(days=13)
# At 09:00 in Berlin.
NINE = datetime(2027, 1, 4, 8, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)
ALL_DAY = closure(NINE - 4 * HALF_HOUR, NINE + 20 * HALF_HOUR, id=9)


def planned(wanting: Iterable[Rule], closing: Iterable[Closure] = (), last_day: date = LAST_DAY) -> Plan:
    return plan(wanting, closing, MONDAY, last_day, ZONES, BUFFERS)


def compared(
    wanting: Sequence[Rule], slots: Iterable[ExistingSlot], closing: Sequence[Closure] = (), now: datetime = NOW
) -> Difference:
    return diff(planned(wanting, closing), slots, closing, now)


def settled(
    wanting: Sequence[Rule], slots: Iterable[ExistingSlot] = (), closing: Sequence[Closure] = ()
) -> list[ExistingSlot]:
    return applied(compared(wanting, slots, closing), slots)


def first_of(slots: Iterable[ExistingSlot], **fields: Any) -> list[ExistingSlot]:
    """The slots, of which the first in time has these fields."""
    ordered = sorted(slots, key=lambda each: each.start_time)
    return [replace(ordered[0], **fields), *ordered[1:]]


def starts(wanted: Iterable[Any]) -> list[str]:
    return [f"{each.start_time:%d %H:%M}" for each in wanted]


def quiet(difference: Difference) -> bool:
    return replace(difference, skipped=()) == Difference()


ONE = rule(closes=9 * 60 + 30)  # a single slot, from 09:00, each Monday


def test_what_is_wanted_and_does_not_exist_is_added() -> None:
    difference = compared([ONE], ())
    assert starts(difference.add) == ["04 08:00", "11 08:00"]
    assert difference.touched == 2


def test_times_that_have_begun_are_not_added_and_slots_that_have_begun_are_not_touched() -> None:
    slots = settled([ONE])
    later = NINE + timedelta(minutes=1)
    assert starts(compared([ONE], (), now=NINE).add) == ["11 08:00"]
    assert [closed.slot_id for closed in compared([], slots, now=later).close] == [slots[1].id]
    assert [closed.slot_id for closed in compared([ONE], slots, [ALL_DAY], now=later).close] == []


def test_what_was_skipped_in_the_past_is_not_told() -> None:
    both = [ONE, replace(ONE, id=2)]
    assert [len(compared(both, (), now=now).skipped) for now in (NOW, NINE)] == [2, 1]


def test_what_is_wanted_and_exists_is_kept() -> None:
    assert quiet(compared([ONE], settled([ONE])))


def test_a_slot_of_an_older_version_of_its_rule_is_stamped_anew_if_it_is_still_wanted() -> None:
    slots = settled([ONE])
    difference = compared([replace(ONE, version=2, closes=10 * 60)], slots)
    assert difference.restamp == tuple(SlotStamp(each.id, 2, each.local_start, None) for each in slots)
    assert starts(difference.add) == ["04 08:30", "11 08:30"]
    assert not difference.close


def test_a_slot_that_its_rule_no_longer_wants_is_closed() -> None:
    slots = settled([ONE])
    assert compared([], slots).close == tuple(ClosedSlot(each.id, None) for each in slots)


def test_a_booked_slot_that_its_rule_no_longer_wants_is_closed_keeps_its_bookings_and_drifts() -> None:
    slots = first_of(settled([ONE]), confirmed=1)
    difference = compared([], slots)
    assert difference.drift == (slots[0].id,)
    assert difference.close == tuple(ClosedSlot(each.id, None) for each in slots)
    assert quiet(compared([], applied(difference, slots)))


def test_a_drifted_slot_that_is_wanted_again_is_reopened_and_no_longer_drifted() -> None:
    before = first_of(settled([ONE]), confirmed=1)
    slots = applied(compared([], before), before)
    difference = compared([ONE], slots)
    assert difference.undrift == (slots[0].id,)
    assert not difference.add
    assert applied(difference, slots) == before


def test_a_drifted_slot_whose_bookings_are_cancelled_is_no_longer_listed() -> None:
    slots = settled([], first_of(settled([ONE]), confirmed=1))
    assert compared([], first_of(slots, confirmed=0)).undrift == (slots[0].id,)


def test_a_closed_slot_of_the_rule_is_reopened_before_another_is_added_at_its_time() -> None:
    before = settled([ONE])
    slots = settled([], before)
    difference = compared([replace(ONE, version=3)], slots)
    assert difference.reopen == tuple(SlotStamp(each.id, 3, each.local_start, None) for each in slots)
    assert not difference.add
    assert not difference.skipped


def test_of_several_closed_slots_of_one_time_one_is_reopened_the_one_with_bookings_first() -> None:
    closed = [replace(each, status=SlotStatus.CLOSED) for each in settled([ONE])]
    twins = [replace(closed[0], id=50), replace(closed[0], id=51, confirmed=1), replace(closed[0], id=52), closed[1]]
    assert [stamp.slot_id for stamp in compared([ONE], twins).reopen] == [51, closed[1].id]


@pytest.mark.parametrize(
    "change",
    [{"slot_minutes": 20}, {"clinic_id": 2, "opens": 180, "closes": 210}],
)
def test_a_slot_with_another_end_or_clinic_than_wanted_gives_way_to_a_new_one(change: dict[str, Any]) -> None:
    """At clinic 2, 03:00 in New York is 09:00 in Berlin."""
    slots = settled([ONE])
    difference = compared([replace(ONE, version=2, **change)], slots)
    assert [closed.slot_id for closed in difference.close] == [each.id for each in slots]
    assert starts(difference.add) == ["04 08:00", "11 08:00"]


@pytest.mark.parametrize("change", [{"total_seats": 3}, {"total_seats": 1}, {"visit_type_ids": (1,)}])
def test_a_slot_of_a_wanted_time_stays_and_gets_the_seats_and_types_of_its_rule(change: dict[str, Any]) -> None:
    slots = first_of(settled([replace(ONE, total_seats=2)]), total_seats=4, added_seats=2, confirmed=3)
    wanted = replace(ONE, version=2, **{"total_seats": 2} | change)
    difference = compared([wanted], slots)
    assert difference.touched_ids == {each.id for each in slots}
    assert (difference.close, difference.add, difference.drift) == ((), (), ())
    contents = [SlotContent(each.id, wanted.total_seats, wanted.visit_type_ids) for each in slots]
    assert difference.change == tuple(contents)
    assert [each.total_seats - each.added_seats for each in applied(difference, slots)] == [wanted.total_seats] * 2


def test_a_slot_with_more_booked_than_its_rule_has_seats_drifts_until_somebody_deals_with_it() -> None:
    three = replace(ONE, total_seats=3)
    slots = first_of(settled([three]), confirmed=2)
    difference = compared([replace(ONE, version=2)], slots)
    assert difference.close == (ClosedSlot(slots[0].id, None),)
    assert difference.drift == (slots[0].id,)
    assert difference.change == (SlotContent(slots[1].id, 1, None),)
    crowded = applied(difference, slots)
    assert quiet(compared([replace(ONE, version=2)], crowded))
    calmer = compared([replace(ONE, version=2)], first_of(crowded, confirmed=1))
    assert (calmer.undrift, [each.slot_id for each in calmer.reopen]) == ((slots[0].id,), [slots[0].id])
    assert calmer.change == (SlotContent(slots[0].id, 1, None),)


def test_a_drifted_slot_in_a_closed_time_stays_listed_though_its_rule_wants_it_again() -> None:
    slots = settled([], first_of(settled([ONE]), confirmed=1))
    assert not compared([ONE], slots, [ALL_DAY]).undrift


def test_a_slot_that_a_closure_closed_gets_its_rules_new_seats_when_it_comes_back() -> None:
    slots = settled([ONE])
    closed = applied(compared([ONE], slots, [ALL_DAY]), slots)
    more = replace(ONE, total_seats=2)
    assert compared([more], closed, [ALL_DAY]).change == (SlotContent(slots[1].id, 2, None),)
    assert [each.total_seats for each in applied(compared([more], closed), closed)] == [2, 2]


def test_seats_added_by_overbooking_are_no_seats_of_the_rule() -> None:
    slots = first_of(settled([ONE]), total_seats=3, added_seats=2, confirmed=3)
    assert quiet(compared([ONE], slots))


def test_a_wanted_time_that_a_slot_made_by_hand_takes_is_skipped_and_told() -> None:
    difference = compared([ONE], [slot(NINE + timedelta(minutes=10), id=7)])
    assert starts(difference.add) == ["11 08:00"]
    assert [(each.reason, each.other_slot_id) for each in difference.skipped] == [(SkipReason.OTHER_SLOT, 7)]


@pytest.mark.parametrize(("confirmed", "holds", "skipped"), [(1, 0, 1), (0, 1, 1), (0, 0, 0)])
def test_a_closed_slot_takes_time_while_it_has_bookings(confirmed: int, holds: int, skipped: int) -> None:
    closed = slot(NINE, id=7, status=SlotStatus.CLOSED, confirmed=confirmed, holds=holds)
    assert len(compared([ONE], [closed]).skipped) == skipped


def test_a_slot_in_the_buffer_of_another_is_skipped_and_one_with_a_buffer_needs_room_for_it() -> None:
    after = slot(NINE - HALF_HOUR, 20, id=7, busy_until=NINE + timedelta(minutes=5))
    assert [each.other_slot_id for each in compared([ONE], [after]).skipped] == [7]
    following = slot(NINE + HALF_HOUR, id=7)
    buffered = replace(ONE, visit_type_ids=(2,))
    assert not compared([ONE], [following]).skipped
    assert [each.other_slot_id for each in compared([buffered], [following]).skipped] == [7]


def test_a_published_slot_gets_the_new_buffer_or_gives_way_to_what_stands_in_it() -> None:
    slots = settled([ONE], [slot(NINE + HALF_HOUR, id=7)])
    difference = compared([replace(ONE, visit_type_ids=(2,), version=2)], slots)
    first, second = sorted((each for each in slots if each.id != 7), key=lambda each: each.start_time)
    assert difference.close == (ClosedSlot(first.id, None),)
    until = second.end_time + timedelta(minutes=20)
    assert difference.change == (SlotContent(second.id, 1, (2,), until),)


def test_a_booked_slot_whose_new_buffer_has_no_room_stays_listed() -> None:
    slots = first_of(settled([ONE], [slot(NINE + HALF_HOUR, id=7)]), confirmed=1)
    buffered = [replace(ONE, visit_type_ids=(2,), version=2)]
    difference = compared(buffered, slots)
    assert difference.drift == (slots[0].id,)
    assert quiet(compared(buffered, applied(difference, slots)))


def test_a_booked_slot_that_comes_back_without_its_buffer_leaves_room_for_what_was_closed_after_it() -> None:
    two = replace(ONE, closes=ONE.opens + 60)
    first, second, *rest = sorted(settled([two]), key=lambda each: each.start_time)
    buffered = replace(
        first, status=SlotStatus.CLOSED, confirmed=1, drifted=True, busy_until=second.start_time + timedelta(minutes=10)
    )
    slots = [buffered, replace(second, status=SlotStatus.CLOSED), *rest]
    difference = compared([two], slots)
    assert [each.slot_id for each in difference.reopen] == [first.id, second.id]
    assert quiet(compared([two], applied(difference, slots)))


def test_a_booked_time_that_cannot_come_back_when_its_closure_is_gone_is_listed() -> None:
    before = first_of(settled([ONE]), confirmed=1)
    closed = applied(compared([ONE], before, [ALL_DAY]), before)
    by_hand = slot(NINE + HALF_HOUR, id=7)
    assert compared([replace(ONE, visit_type_ids=(2,))], [*closed, by_hand]).drift == (before[0].id,)


def test_a_booked_slot_that_drifts_takes_the_time_of_its_rules_new_slots() -> None:
    slots = first_of(settled([ONE]), confirmed=1)
    difference = compared([replace(ONE, version=2, slot_minutes=15)], slots)
    assert starts(difference.add) == ["11 08:00", "11 08:15"]
    assert {each.other_slot_id for each in difference.skipped} == {slots[0].id}


def test_a_slot_with_nothing_but_holds_goes() -> None:
    slots = first_of(settled([ONE]), holds=1)
    difference = compared([replace(ONE, version=2, slot_minutes=15)], slots)
    assert len(difference.add) == 4
    assert not difference.drift


def test_rules_leave_alone_what_a_person_made_or_changed() -> None:
    slots = [replace(each, pinned=True, total_seats=5) for each in settled([ONE])]
    by_hand = slot(NINE + 8 * HALF_HOUR, id=7)
    assert quiet(compared([], [*slots, by_hand]))
    assert quiet(compared([ONE], [*slots, by_hand]))
    assert not compared([ONE], [*slots, by_hand]).skipped


@pytest.mark.parametrize(
    "change", [{"status": SlotStatus.CLOSED}, {"start_time": NINE + 4 * HALF_HOUR, "end_time": NINE + 5 * HALF_HOUR}]
)
def test_a_time_whose_slot_a_person_closed_or_moved_is_not_published_again(change: dict[str, Any]) -> None:
    slots = first_of(settled([ONE]), pinned=True, **change)
    difference = compared([ONE], slots)
    assert not difference.add
    assert [(each.reason, each.other_slot_id) for each in difference.skipped] == [
        (SkipReason.CHANGED_BY_HAND, slots[0].id)
    ]


def test_a_time_at_a_clinic_that_takes_no_appointments_stays_closed_when_its_closure_is_gone() -> None:
    closed = slot(NINE, id=7, status=SlotStatus.CLOSED, closure_id=9)
    assert [stamp.slot_id for stamp in diff(planned([], []), [closed], [], NOW).reopen] == [7]
    difference = diff(planned([], []), [closed], [], NOW, inactive=frozenset({closed.clinic_id}))
    assert not difference.reopen
    assert [(stamp.slot_id, stamp.closure_id) for stamp in difference.restamp] == [(7, None)]
    assert [each.reason for each in difference.skipped] == [SkipReason.CLINIC_INACTIVE]


def test_a_closure_closes_open_slots_of_every_origin_also_booked_ones() -> None:
    slots = first_of(settled([rule(closes=10 * 60)], [slot(NINE + 8 * HALF_HOUR, id=7)]), confirmed=1, pinned=True)
    hit = {each.id for each in slots if each.start_time.date() == MONDAY}
    difference = compared([rule(closes=10 * 60)], slots, [ALL_DAY])
    assert set(difference.close) == {ClosedSlot(slot_id, 9) for slot_id in hit}
    assert len(hit) == 3
    assert not difference.drift


def test_a_booked_slot_that_a_closure_closes_does_not_drift() -> None:
    """Its rule still wants it; the closure says why it is closed."""
    slots = first_of(settled([ONE]), confirmed=1)
    difference = compared([ONE], slots, [ALL_DAY])
    assert difference.close == (ClosedSlot(slots[0].id, 9),)
    assert not difference.drift


def test_undoing_a_closure_reopens_exactly_the_slots_that_it_closed() -> None:
    by_hand = [
        slot(NINE + 8 * HALF_HOUR, id=7),
        slot(NINE + 10 * HALF_HOUR, id=8, status=SlotStatus.CLOSED, confirmed=1),
        slot(NINE + 12 * HALF_HOUR, id=9, status=SlotStatus.CLOSED),
    ]
    before = first_of(settled([ONE], by_hand), confirmed=1)
    closed = applied(compared([ONE], before, [ALL_DAY]), before)
    assert open_ids(before) - open_ids(closed) == {before[0].id, 7}
    assert applied(compared([ONE], closed), closed) == before


def test_a_slot_that_another_closure_covers_stays_closed_and_says_by_which() -> None:
    other = closure(NINE, NINE + HALF_HOUR, id=12)
    slots = [slot(NINE, id=7), slot(NINE + 2 * HALF_HOUR, id=8)]
    closed = applied(compared([], slots, [ALL_DAY, other]), slots)
    difference = compared([], closed, [other])
    assert difference.restamp == (SlotStamp(7, None, None, 12),)
    assert [stamp.slot_id for stamp in difference.reopen] == [8]
    assert applied(compared([], applied(difference, closed)), applied(difference, closed)) == slots


def test_a_closure_that_becomes_shorter_gives_back_what_it_no_longer_covers() -> None:
    slots = [slot(NINE, id=7), slot(NINE + 2 * HALF_HOUR, id=8)]
    closed = applied(compared([], slots, [ALL_DAY]), slots)
    shorter = replace(ALL_DAY, end_time=NINE + HALF_HOUR, version=2)
    assert [stamp.slot_id for stamp in compared([], closed, [shorter]).reopen] == [8]


def test_a_slot_in_whose_time_there_is_another_by_now_stays_closed_for_good() -> None:
    """Not until the other is gone: a time must not come back by surprise, months after the closure was undone."""
    closed = slot(NINE, id=7, status=SlotStatus.CLOSED, closure_id=9)
    other = slot(NINE + timedelta(minutes=10), id=8)
    difference = compared([], [closed, other])
    assert [(each.reason, each.other_slot_id) for each in difference.skipped] == [(SkipReason.OTHER_SLOT, 8)]
    assert difference.restamp == (SlotStamp(7, None, None, None),)
    after = applied(difference, [closed, other])
    assert quiet(compared([], [each for each in after if each.id == 7]))


def test_of_two_slots_in_one_time_whose_closures_are_gone_one_comes_back() -> None:
    first, second = (
        slot(NINE + place * HALF_HOUR / 2, id=7 + place, status=SlotStatus.CLOSED, closure_id=9) for place in range(2)
    )
    difference = compared([], [first, second])
    assert [stamp.slot_id for stamp in difference.reopen] == [7]
    assert [each.other_slot_id for each in difference.skipped] == [7]
    applied(difference, [first, second])


def test_a_closed_slot_that_cannot_come_back_takes_its_time_as_long_as_it_has_bookings() -> None:
    """Of the two in one time, only one is reopened; the other still has a patient."""
    first = slot(NINE, id=7, status=SlotStatus.CLOSED, closure_id=9, confirmed=1)
    second = slot(NINE + HALF_HOUR / 2, id=8, status=SlotStatus.CLOSED, closure_id=9, confirmed=1)
    wanting = rule(opens=9 * 60 + 40, closes=10 * 60 + 10)
    difference = compared([wanting], [first, second])
    assert [stamp.slot_id for stamp in difference.reopen] == [7]
    assert starts(difference.add) == ["11 08:40"]


def test_a_closed_time_is_kept_free_for_the_slot_made_by_hand_that_is_to_come_back_there() -> None:
    """The closure covers its first ten minutes only, and the rule's slot would lie in the others."""
    by_hand, wanting = slot(NINE, id=7), rule(opens=9 * 60 + 15, closes=9 * 60 + 45)
    brief = closure(NINE, NINE + timedelta(minutes=10))
    before = settled([wanting], [by_hand])
    closed = applied(compared([wanting], before, [brief]), before)
    assert open_ids(before) - open_ids(closed) == {7}
    assert not open_ids(closed) - open_ids(before)
    assert applied(compared([wanting], closed), closed) == before


def test_slots_outside_the_days_of_the_plan_are_touched_by_closures_only() -> None:
    slots = settled([ONE])
    first_week = plan([], [], MONDAY, MONDAY + timedelta(days=6), ZONES)
    assert [closed.slot_id for closed in diff(first_week, slots, [], NOW).close] == [slots[0].id]
    whole = closure(NOW, NOW + timedelta(days=30), id=9)
    assert [closed.closure_id for closed in diff(first_week, slots, [whole], NOW).close] == [9, 9]


def test_what_a_new_zone_or_edition_moves_is_reported() -> None:
    slots = [*settled([ONE, rule(id=2, doctor_id=2, opens=60, closes=90)]), slot(NINE, id=70, doctor_id=3)]
    assert moved_by_zone(slots, [ONE, rule(id=2)], ZONES) == []
    elsewhere = {1: ZoneInfo("Europe/Athens"), 2: ZONES[2]}
    moved = moved_by_zone(slots, [ONE], elsewhere)
    assert [(each.slot.rule_id, each.moment) for each in moved] == [
        (1, NINE - timedelta(hours=1)),
        (1, NINE + timedelta(days=7, hours=-1)),
    ]
    assert moved_by_zone([replace(each, pinned=True) for each in slots], [ONE], elsewhere) == []


def test_a_published_time_that_the_new_zone_does_not_have_moves_nowhere() -> None:
    gap = datetime.combine(date(2027, 3, 14), time(2, 30))
    published = slot(datetime(2027, 3, 14, 1, 30, tzinfo=UTC), rule_id=1, local_start=gap)
    moved = moved_by_zone([published], [ONE], {1: ZoneInfo("America/New_York")})
    assert [each.moment for each in moved] == [None]


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Rule], list[Closure], list[ExistingSlot]]:
    """Rules and closures with the slots of other rules and closures before, some of which people booked or changed."""
    slots = draw(hand_made())
    for _ in range(draw(st.integers(0, 2))):
        before, closing = draw(rules()), draw(closures())
        slots = settled([replace(each, version=2) for each in before], slots, closing)
        slots = [_lived(each, draw(st.integers(0, 40))) for each in slots]
    return draw(rules()), draw(closures()), slots


def _lived(before: ExistingSlot, chance: int) -> ExistingSlot:
    """What people did to it."""
    match chance:
        case 1 | 2 | 3:
            return replace(before, confirmed=before.confirmed + before.is_open)
        case 4 | 5:
            return replace(before, holds=before.holds + before.is_open)
        case 6 | 7 if before.rule_id is not None and before.confirmed == 0:
            return replace(before, pinned=True, status=SlotStatus.CLOSED, closure_id=None, holds=0)
        case 8:
            return replace(before, confirmed=0)
        case _:
            return before


World = tuple[list[Rule], list[Closure], list[ExistingSlot]]


@settings(max_examples=many(20, 200))
@given(worlds())
def test_a_difference_that_is_applied_leaves_none(world: World) -> None:
    wanting, closing, slots = world
    after = settled(wanting, slots, closing)
    assert quiet(compared(wanting, after, closing))


@settings(max_examples=many(20, 200))
@given(worlds())
def test_what_is_wanted_is_open_afterwards_or_told_as_skipped(world: World) -> None:
    wanting, closing, slots = world
    difference = compared(wanting, slots, closing)
    is_open = {(each.rule_id, each.start_time, each.end_time) for each in applied(difference, slots) if each.is_open}
    told = {(each.rule_id, each.local_start) for each in difference.skipped}
    pinned = {(each.rule_id, each.local_start) for each in slots if each.pinned}
    for wanted in planned(wanting, closing).wanted:
        stands = (wanted.rule_id, wanted.local_start) in told | pinned
        assert stands or (wanted.rule_id, wanted.start_time, wanted.end_time) in is_open


@settings(max_examples=many(20, 200))
@given(worlds())
def test_no_slot_is_open_that_no_rule_wants_or_that_a_closure_covers(world: World) -> None:
    wanting, closing, slots = world
    made = planned(wanting, closing)
    wanted = {(each.rule_id, each.start_time, each.end_time) for each in made.wanted}
    for each in settled(wanting, slots, closing):
        if each.is_open and each.follows_rule:
            assert (each.rule_id, each.start_time, each.end_time) in wanted
        covering = [one for one in closing if one.applies_to(each.doctor_id, each.clinic_id)]
        assert not each.is_open or all(
            one.end_time <= each.start_time or one.start_time >= each.end_time for one in covering
        )


@settings(max_examples=many(20, 200))
@given(worlds())
def test_a_booking_stays_in_an_open_slot_or_in_one_that_is_listed(world: World) -> None:
    wanting, closing, slots = world
    before = {each.id: each for each in slots}
    for each in settled(wanting, slots, closing):
        if each.confirmed > 0 and not each.is_open and before[each.id].is_open:
            assert each.drifted or each.closure_id in {one.id for one in closing}


def without_holds(slots: Iterable[ExistingSlot]) -> list[ExistingSlot]:
    """A closure cancels holds for good."""
    return [replace(each, holds=0) for each in slots]


def standing(slots: Iterable[ExistingSlot], closing: Iterable[Closure]) -> list[ExistingSlot]:
    """A closed slot that no rule wants any more keeps a closure that is gone, which says nothing."""
    ids = {each.id for each in closing}
    return [each if each.closure_id in ids else replace(each, closure_id=None) for each in slots]


@settings(max_examples=many(20, 200))
@given(worlds(), closures(1))
def test_a_closure_that_is_undone_gives_back_what_was(world: World, more: list[Closure]) -> None:
    wanting, closing, slots = world
    before = settled(wanting, without_holds(slots), closing)
    closed = settled(wanting, before, [*closing, *(replace(each, id=20) for each in more)])
    assert not open_ids(closed) - open_ids(before)
    assert standing(settled(wanting, closed, closing), closing) == standing(before, closing)


def shown(slots: Iterable[ExistingSlot]) -> dict[int, ExistingSlot]:
    """What people see: open slots, and drifted ones, of which nobody sees the version."""
    seen = (each for each in slots if each.is_open or each.drifted)
    return {each.id: each if each.is_open else replace(each, rule_version=None) for each in seen}


@settings(max_examples=many(20, 200))
@given(worlds(), st.integers(0, 3))
def test_a_rule_that_is_removed_and_restored_gives_back_what_was(world: World, place: int) -> None:
    wanting, closing, slots = world
    before = settled(wanting, without_holds(slots), closing)
    without = settled([each for each in wanting if each.id != place + 1], before, closing)
    assert shown(settled(wanting, without, closing)) == shown(before)
