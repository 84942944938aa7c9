"""Open time: which windows rules want on each day, and the way from those that are open to them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from slotwise.domain.schedule_diff import ClosedSlot, Difference, ExistingSlot, diff
from slotwise.domain.schedules import Closure, Closures, Plan, Rule, SkipReason, WantedWindow, plan
from slotwise.domain.slots import SlotStatus
from slotwise.domain.timetables import first_moment_from, local_time
from slotwise.domain.window_diff import (
    NO_OPEN_TIME,
    ExistingWindow,
    OpenTime,
    WindowDifference,
    closed_time,
    diff_windows,
    only_added,
    windows_moved_by_zone,
)
from tests.depth import many
from tests.domain.schedule_worlds import (
    BERLIN,
    BUFFERS,
    MONDAY,
    NOW,
    ZONES,
    applied,
    closure,
    open_time,
    rule,
    rules,
    slot,
)

LAST_DAY = MONDAY + timedelta(days=13)
FOREVER = date(2100, 1, 1)
# Clocks go forward from 02:00 to 03:00 on the first of these Sundays, and back from 03:00 to 02:00 on the second.
SPRING, AUTUMN = date(2027, 3, 28), date(2027, 10, 31)
NINE = datetime(2027, 1, 4, 8, tzinfo=UTC)  # in Berlin
HOUR = timedelta(hours=1)


def planned(*wanted: Rule, first_day: date = MONDAY, last_day: date = LAST_DAY) -> Plan:
    return plan(wanted, (), first_day, last_day, ZONES, BUFFERS)


def windows_on(day: date, opens: int, closes: int) -> list[tuple[str, str]]:
    """Beginning and end, by UTC, of the windows of a rule with these hours on that Sunday."""
    sunday = open_time(weekday=7, opens=opens, closes=closes)
    made = planned(sunday, first_day=day, last_day=day)
    assert len(made.windows) + len(made.skipped) == 1
    return [(f"{each.start_time:%H:%M}", f"{each.end_time:%H:%M}") for each in made.windows]


def test_a_rule_of_open_time_wants_a_window_for_its_hours_on_each_of_its_days() -> None:
    made = planned(open_time(id=7, clinic_id=2, doctor_id=5))
    nine = datetime(2027, 1, 4, 14, tzinfo=UTC)  # in New York
    assert made.windows == tuple(
        WantedWindow(7, 5, 2, nine + days, nine + 3 * HOUR + days, datetime.combine(MONDAY, time(9)) + days)
        for days in (timedelta(), timedelta(days=7))
    )
    assert not made.wanted


def test_a_window_begins_and_ends_in_the_first_pass_of_an_hour_that_comes_twice() -> None:
    assert windows_on(AUTUMN, 150, 300) == [("00:30", "04:00")]
    assert windows_on(AUTUMN, 60, 150) == [("23:00", "00:30")]


def test_where_clocks_go_forward_over_an_end_of_a_window_it_is_when_they_do() -> None:
    assert windows_on(SPRING, 150, 300) == [("01:00", "03:00")]
    assert windows_on(SPRING, 60, 150) == [("00:00", "01:00")]
    assert windows_on(SPRING, 60, 300) == [("00:00", "03:00")]


def test_a_window_whose_hours_no_clock_shows_is_skipped_and_told() -> None:
    made = planned(open_time(weekday=7, opens=125, closes=170), first_day=SPRING, last_day=SPRING)
    assert not made.windows
    assert [(each.local_start, each.reason) for each in made.skipped] == [
        (datetime.combine(SPRING, time(2, 5)), SkipReason.CLOCK_CHANGE)
    ]


@settings(max_examples=many(50, 1000))
@given(st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"]), st.data())
def test_a_wall_time_begins_when_clocks_first_show_it_or_a_later_one(name: str, data: st.DataObject) -> None:
    """Compared with a look at each minute of the days around it."""
    zone = ZoneInfo(name)
    day = data.draw(st.sampled_from([SPRING, AUTUMN, date(2027, 3, 14), date(2027, 10, 3), date(2011, 12, 30)]))
    local = datetime.combine(day, time()) + timedelta(minutes=data.draw(st.integers(-180, 360)))
    moment = datetime.combine(day, time(), UTC) - timedelta(days=2)
    while local_time(moment, zone) < local:
        moment += timedelta(minutes=1)
    assert first_moment_from(local, zone) == moment


def test_of_a_window_and_the_times_of_another_rule_the_rule_with_the_lower_id_wins() -> None:
    """A window that overlaps a time is left out as a whole. What is left out says which rule is in the way."""
    first, second = rule(id=1, closes=10 * 60), open_time(id=2, opens=9 * 60 + 30, closes=12 * 60)
    assert [(each.reason, each.other_rule_id) for each in planned(first, second).skipped] == [
        (SkipReason.OTHER_RULE, 1)
    ] * 2
    made = planned(replace(first, id=3), second)
    assert len(made.windows) == 2
    assert [(f"{each.local_start:%H:%M}", each.other_rule_id) for each in made.skipped] == [("09:30", 2)] * 2


def test_of_two_windows_that_overlap_the_one_of_the_lower_id_wins() -> None:
    made = planned(open_time(id=1), open_time(id=2, opens=11 * 60, closes=14 * 60), open_time(id=3, doctor_id=2))
    assert {each.rule_id for each in made.windows} == {1, 3}
    assert {each.other_rule_id for each in made.skipped} == {1}


def test_hours_may_begin_where_open_time_ends_and_open_time_in_the_buffer_of_a_time() -> None:
    before = rule(id=1, closes=9 * 60 + 30, visit_type_ids=(2,))
    others = open_time(id=2, opens=9 * 60 + 30), rule(id=3, opens=12 * 60, closes=13 * 60)
    for each in (before, replace(before, id=4)):
        made = planned(each, *others)
        assert (len(made.wanted), len(made.windows), made.skipped) == (6, 2, ())


def test_closures_leave_windows_as_they_are() -> None:
    closed = closure(NINE - HOUR, NINE + 5 * HOUR)
    assert plan([open_time()], [closed], MONDAY, LAST_DAY, ZONES).windows == planned(open_time()).windows


def existing(windows: Iterable[WantedWindow], first_id: int = 1) -> list[ExistingWindow]:
    return [
        ExistingWindow(
            first_id + place, each.rule_id, each.doctor_id, each.clinic_id, each.start_time, each.end_time,
            each.local_start,
        )
        for place, each in enumerate(windows)
    ]  # fmt: skip


def settled(difference: WindowDifference, before: Sequence[ExistingWindow]) -> list[ExistingWindow]:
    """The open windows afterwards. Fails where the database would: two of a doctor overlap."""
    gone = {each.id for each in difference.close}
    after = [each for each in before if each.id not in gone]
    after += existing(difference.add, max((each.id for each in before), default=0) + 1)
    in_order = sorted(after, key=lambda each: (each.doctor_id, each.start_time))
    assert all(
        one.doctor_id != other.doctor_id or one.end_time <= other.start_time for one, other in pairwise(in_order)
    )
    return after


def compared(plan_: Plan, before: Sequence[ExistingWindow], now: datetime = NOW) -> WindowDifference:
    return diff_windows(plan_, before, now, FOREVER)


MORNINGS = planned(open_time())


@pytest.mark.parametrize(
    "fields",
    [{"closes": 13 * 60}, {"opens": 8 * 60}, {"clinic_id": 2, "opens": 15 * 60, "closes": 18 * 60}, {"id": 2}],
)
def test_a_window_with_other_hours_or_of_another_rule_is_closed_before_the_new_one_is_added(
    fields: dict[str, Any],
) -> None:
    before = existing(MORNINGS.windows)
    difference = compared(planned(open_time(**fields)), before)
    assert difference.close == tuple(before)
    assert len(difference.add) == len(settled(difference, before)) == 2


def test_a_difference_by_day_tells_days_with_other_hours_from_days_that_come_and_go() -> None:
    afternoons = open_time(id=2, opens=14 * 60, closes=15 * 60)
    before = existing(planned(open_time(), afternoons, last_day=MONDAY).windows)
    change = compared(planned(open_time(closes=10 * 60), afternoons), before).by_day
    assert (change.added.days, change.added.minutes) == (1, 2 * 60), "on the second Monday"
    assert not change.closed.windows
    assert (change.before.days, change.before.minutes) == (1, 4 * 60), "with the hours that stay"
    assert (change.after.days, change.after.minutes) == (1, 2 * 60)
    gone = compared(planned(), before).by_day
    assert (gone.closed.days, gone.closed.minutes, gone.after.windows) == (1, 4 * 60, 0)


def test_another_step_or_other_visit_types_leave_a_window_as_it_is() -> None:
    difference = compared(
        planned(open_time(step_minutes=60, visit_type_ids=(2,), version=4)), existing(MORNINGS.windows)
    )
    assert (difference.touched, len(difference.open)) == (0, 2)


def test_a_window_that_has_begun_is_replaced_and_one_that_is_over_is_not_touched() -> None:
    before, longer = existing(MORNINGS.windows), planned(open_time(closes=17 * 60))
    begun = compared(longer, before, NINE + HOUR)
    assert begun.close == tuple(before)
    assert begun.add[0].start_time == NINE
    over = compared(planned(), before, NINE + 4 * HOUR)
    assert over.close == (before[1],)


def test_nothing_is_added_on_days_that_are_not_published_yet() -> None:
    difference = diff_windows(MORNINGS, (), NOW, MONDAY + timedelta(days=7))
    assert [each.local_start.date() for each in difference.add] == [MONDAY]


def test_a_window_on_a_day_that_the_plan_does_not_have_stays_and_what_overlaps_it_is_told() -> None:
    before = [replace(existing(MORNINGS.windows)[0], id=9, local_start=datetime.combine(date(2027, 1, 3), time(23)))]
    difference = compared(MORNINGS, before)
    assert not difference.close
    assert [each.other_rule_id for each in difference.skipped] == [1]
    assert len(settled(difference, before)) == 2


def test_the_publisher_closes_no_window_and_adds_none_over_one_that_is_open() -> None:
    before = existing(MORNINGS.windows)[:1]
    difference = compared(planned(open_time(closes=11 * 60)), before)
    only = only_added(difference, before, difference.add)
    assert (only.close, [each.start_time for each in only.add]) == ((), [NINE + timedelta(days=7)])


def test_windows_that_a_new_zone_moves_are_reported() -> None:
    before = existing(MORNINGS.windows)
    assert windows_moved_by_zone(before, [open_time()], {1: BERLIN}) == []
    moved = windows_moved_by_zone(before, [open_time()], {1: ZoneInfo("UTC")})
    assert [(each.window.id, each.moment - each.window.start_time) for each in moved] == [(1, HOUR), (2, HOUR)]
    assert windows_moved_by_zone(before, [], {1: ZoneInfo("UTC")}) == []


def worlds() -> st.SearchStrategy[tuple[list[Rule], list[Rule]]]:
    """The rules before, and those after: of slots and of open time."""
    return st.tuples(rules(), rules())


@settings(max_examples=many(30, 300))
@given(worlds())
def test_a_difference_of_windows_that_is_applied_makes_them_those_of_the_plan_and_leaves_none(
    world: tuple[list[Rule], list[Rule]],
) -> None:
    open_before = existing(planned(*world[0]).windows)
    wanted = planned(*world[1])
    after = settled(compared(wanted, open_before), open_before)
    shown = {(each.rule_id, each.clinic_id, each.start_time, each.end_time) for each in after}
    assert shown == {(each.rule_id, each.clinic_id, each.start_time, each.end_time) for each in wanted.windows}
    assert compared(wanted, after).touched == 0


@settings(max_examples=many(30, 300))
@given(rules())
def test_no_window_of_a_doctor_overlaps_another_or_a_time_and_what_is_left_out_is_told(wanting: list[Rule]) -> None:
    made = planned(*wanting)
    periods = [(each.doctor_id, each.start_time, each.end_time) for each in made.wanted]
    periods += [(each.doctor_id, each.start_time, each.end_time) for each in made.windows]
    for (doctor, _, end), (other, start, _) in pairwise(sorted(periods)):
        assert doctor != other or end <= start
    told = {(each.rule_id, each.local_start) for each in made.skipped}
    for each in wanting:
        alone = planned(each).windows
        assert {(one.rule_id, one.local_start) for one in alone} <= told | {
            (one.rule_id, one.local_start) for one in made.windows
        }


# Slots that were carved out of windows.


def carved(start: datetime, minutes: int = 45, **fields: Any) -> ExistingSlot:
    return slot(start, minutes, **{"window_id": 1, "confirmed": 1} | fields)


def with_windows(made: Plan, slots: Iterable[ExistingSlot], closing: Sequence[Closure] = ()) -> Difference:
    return diff(made, slots, closing, NOW, windows=made.windows)


OUTSIDE = [
    planned(),
    planned(open_time(opens=10 * 60 + 1)),
    planned(open_time(closes=10 * 60 + 44)),
    planned(open_time(doctor_id=2)),
    # Its visit would lie in both.
    planned(open_time(id=1, closes=10 * 60 + 20), open_time(id=2, opens=10 * 60 + 20)),
]


def test_a_booked_visit_in_open_time_stays_as_it_is() -> None:
    assert with_windows(MORNINGS, [carved(NINE + HOUR)]) == Difference()


@pytest.mark.parametrize("made", OUTSIDE)
def test_a_booked_visit_outside_of_all_open_time_keeps_its_booking_and_drifts_until_it_is_inside_again(
    made: Plan,
) -> None:
    before = [carved(NINE + HOUR)]
    difference = with_windows(made, before)
    assert (difference.close, difference.drift) == ((ClosedSlot(1, None),), (1,))
    after = applied(difference, before)
    assert with_windows(made, after) == Difference()
    assert applied(with_windows(MORNINGS, after), after) == before


def test_a_held_time_outside_of_all_open_time_goes() -> None:
    difference = with_windows(planned(), [carved(NINE, confirmed=0, holds=1)])
    assert (difference.close, difference.drift) == ((ClosedSlot(1, None),), ())


@pytest.mark.parametrize("fields", [{"pinned": True}, {"window_id": None}])
def test_a_visit_that_a_person_moved_or_a_colleague_took_over_needs_no_open_time(fields: dict[str, Any]) -> None:
    assert with_windows(planned(), [carved(NINE, **fields)]) == Difference()


def test_a_closure_closes_a_booked_visit_and_undoing_it_opens_it_again() -> None:
    before, absence = [carved(NINE + HOUR)], closure(NINE, NINE + 2 * HOUR, id=9)
    closed = applied(with_windows(MORNINGS, before, [absence]), before)
    assert [(each.status, each.closure_id, each.drifted) for each in closed] == [(SlotStatus.CLOSED, 9, False)]
    assert with_windows(MORNINGS, closed, [absence]) == Difference()
    assert applied(with_windows(MORNINGS, closed), closed) == before


def test_a_time_of_a_rule_leaves_room_for_a_booked_visit() -> None:
    """Its window goes, as another rule has its hours now."""
    difference = with_windows(planned(rule()), [carved(NINE + HOUR)])
    assert [each.other_slot_id for each in difference.skipped] == [1, 1]
    assert len(difference.add) == 10


def test_closures_take_open_time_and_give_it_back() -> None:
    """From 9 to 12 on a Monday. What two closures cover counts once, and what is over does not count."""
    nine = datetime(2027, 1, 4, 8, tzinfo=UTC)
    window = ExistingWindow(1, 1, 1, 1, nine, nine + 3 * HOUR, datetime.combine(MONDAY, time(9)))
    early, late = closure(nine - HOUR, nine + HOUR), closure(nine + HOUR / 2, nine + 2 * HOUR, id=2)
    other = closure(nine, nine + HOUR, id=3, doctor_id=2)
    none, both = Closures([other]), Closures([early, late, other])
    assert closed_time([window], none, both, NOW) == (OpenTime(2, 1, 120), NO_OPEN_TIME)
    assert closed_time([window], both, Closures([late]), NOW) == (NO_OPEN_TIME, OpenTime(1, 1, 30))
    assert closed_time([window], both, none, nine + HOUR) == (NO_OPEN_TIME, OpenTime(1, 1, 60))
    assert closed_time([window], both, both, NOW) == (NO_OPEN_TIME, NO_OPEN_TIME)
