"""The plan of a schedule: which slots rules want, what they skip, and what closures take away."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from slotwise.domain.schedules import Plan, Rule, SkipReason, Taken, days_of, plan
from tests.depth import many
from tests.domain.schedule_worlds import BERLIN, MONDAY, ZONES, closure, closures, rule, rules, slot

# Clocks go forward from 02:00 to 03:00 on the first of these Sundays, and back from 03:00 to 02:00 on the second.
SPRING, AUTUMN = date(2027, 3, 28), date(2027, 10, 31)
SUNDAY: dict[str, Any] = {"weekday": 7, "opens": 60, "closes": 5 * 60}


def planned(*wanted: Rule, first_day: date = MONDAY, days: int = 1, **zones: ZoneInfo) -> Plan:
    return plan(wanted, (), first_day, first_day + timedelta(days=days - 1), {1: zones.get("zone", BERLIN), 2: BERLIN})


def local_starts(made: Plan) -> list[str]:
    return [f"{wanted.local_start:%d %H:%M}" for wanted in made.wanted]


def test_a_rules_break_is_at_least_the_longest_buffer_of_its_visit_types() -> None:
    short, long = rule(closes=11 * 60, visit_type_ids=(1, 2)), rule(id=2, opens=10 * 60 + 35, visit_type_ids=(1,))
    made = plan([short, long], (), MONDAY, MONDAY, ZONES, {1: 10, 2: 20})
    assert local_starts(made) == ["04 09:00", "04 09:50", "04 11:15"]
    assert {each.busy_end - each.end_time for each in made.wanted} == {timedelta(minutes=20), timedelta(minutes=10)}
    assert skips(made) == [("04 10:35", SkipReason.OTHER_RULE)]
    longer = plan([replace(short, break_minutes=25)], (), MONDAY, MONDAY, ZONES, {1: 10, 2: 20})
    assert local_starts(longer) == ["04 09:00", "04 09:55"]


def skips(made: Plan) -> list[tuple[str, SkipReason]]:
    return [(f"{skipped.local_start:%d %H:%M}", skipped.reason) for skipped in made.skipped]


def utc(day: date, hour: int, minute: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC)


def test_hours_are_cut_into_slots_with_breaks_between_them() -> None:
    made = planned(rule(closes=11 * 60, break_minutes=10))
    assert local_starts(made) == ["04 09:00", "04 09:40", "04 10:20"]
    assert [wanted.start_time for wanted in made.wanted][:2] == [utc(MONDAY, 8), utc(MONDAY, 8, 40)]
    assert all(wanted.end_time - wanted.start_time == timedelta(minutes=30) for wanted in made.wanted)


def test_a_wanted_slot_says_which_rule_and_version_wants_it_with_which_seats_and_types() -> None:
    wanted = planned(rule(id=7, version=3, clinic_id=2, doctor_id=5, total_seats=4, visit_type_ids=(2, 1))).wanted[0]
    assert (wanted.rule_id, wanted.rule_version, wanted.clinic_id, wanted.doctor_id) == (7, 3, 2, 5)
    assert (wanted.total_seats, wanted.visit_type_ids) == (4, (2, 1))


def test_a_rule_holds_from_its_first_to_its_last_day_on_its_weekday() -> None:
    fridays = rule(weekday=5, slot_minutes=180, first_day=date(2027, 1, 9), last_day=date(2027, 1, 29))
    assert local_starts(planned(fridays, days=60)) == ["15 09:00", "22 09:00", "29 09:00"]


@pytest.mark.parametrize("first_day", [date(2027, 1, 4), date(2027, 1, 6), date(2027, 1, 8)])
def test_weeks_are_counted_from_the_monday_of_the_first_days_week(first_day: date) -> None:
    """Also when the rule's weekday has passed in that week."""
    every_third = rule(weekday=3, every_weeks=3, first_day=first_day)
    days = list(days_of(every_third, MONDAY, MONDAY + timedelta(days=48)))
    expected = [date(2027, 1, 6), date(2027, 1, 27), date(2027, 2, 17)]
    assert days == [day for day in expected if day >= first_day]


def test_a_plan_that_begins_later_counts_the_same_weeks() -> None:
    every_second = rule(every_weeks=2, slot_minutes=180)
    assert local_starts(planned(every_second, first_day=date(2027, 1, 12), days=20)) == ["18 09:00"]


def test_hours_past_midnight_lie_on_the_next_day() -> None:
    night = rule(opens=23 * 60, closes=25 * 60)
    assert local_starts(planned(night, days=2)) == ["04 23:00", "04 23:30", "05 00:00", "05 00:30"]


def test_a_plan_has_the_slots_that_begin_on_its_days_also_of_hours_that_began_the_day_before() -> None:
    night = rule(opens=23 * 60, closes=25 * 60)
    assert local_starts(planned(night)) == ["04 23:00", "04 23:30"]
    assert local_starts(planned(night, first_day=date(2027, 1, 5))) == ["05 00:00", "05 00:30"]


def test_each_clinic_has_its_own_zone() -> None:
    here, there = rule(), rule(id=2, doctor_id=2, clinic_id=2)
    made = plan([here, there], (), MONDAY, MONDAY, ZONES)
    assert [wanted.start_time.hour for wanted in made.wanted if wanted.local_start.hour == 9] == [8, 8, 14, 14]


def test_a_time_that_a_clock_change_leaves_out_is_skipped() -> None:
    made = planned(rule(**SUNDAY), first_day=SPRING)
    assert local_starts(made) == ["28 01:00", "28 01:30", "28 03:00", "28 03:30", "28 04:00", "28 04:30"]
    assert skips(made) == [("28 02:00", SkipReason.CLOCK_CHANGE), ("28 02:30", SkipReason.CLOCK_CHANGE)]


def test_a_time_at_which_the_slot_before_lasts_is_skipped() -> None:
    """45 minutes from 01:30 end at 03:15, because the clock goes from 02:00 to 03:00."""
    made = planned(rule(**SUNDAY | {"opens": 90, "slot_minutes": 45}), first_day=SPRING)
    assert skips(made) == [("28 02:15", SkipReason.CLOCK_CHANGE), ("28 03:00", SkipReason.BEFORE_LASTS)]
    assert local_starts(made) == ["28 01:30", "28 03:45"]


def test_a_slot_that_would_end_after_the_hours_is_skipped() -> None:
    """An hour and a half from 01:00 ends at 03:30, because the clock goes from 02:00 to 03:00."""
    made = planned(rule(**SUNDAY | {"closes": 150, "slot_minutes": 90}), first_day=SPRING)
    assert skips(made) == [("28 01:00", SkipReason.AFTER_HOURS)]
    assert not made.wanted


def test_a_slot_that_ends_as_clocks_go_forward_is_within_hours_that_end_then() -> None:
    made = planned(rule(**SUNDAY | {"closes": 120}), first_day=SPRING)
    assert local_starts(made) == ["28 01:00", "28 01:30"]
    assert not made.skipped


def test_of_a_time_that_comes_twice_the_first_is_taken() -> None:
    made = planned(rule(**SUNDAY | {"opens": 120, "closes": 210}), first_day=AUTUMN)
    assert [wanted.start_time for wanted in made.wanted] == [utc(AUTUMN, 0), utc(AUTUMN, 0, 30), utc(AUTUMN, 2)]
    assert not made.skipped


def test_of_two_rules_of_a_doctor_the_one_with_the_lower_id_wins() -> None:
    first, second = rule(id=1, opens=10 * 60, closes=11 * 60), rule(id=2, slot_minutes=45)
    made = planned(second, first)
    assert [(wanted.rule_id, f"{wanted.local_start:%H:%M}") for wanted in made.wanted] == [
        (2, "09:00"), (1, "10:00"), (1, "10:30"), (2, "11:15"),
    ]  # fmt: skip
    assert [(f"{each.local_start:%H:%M}", each.rule_id, each.reason, each.other_rule_id) for each in made.skipped] == [
        ("09:45", 2, SkipReason.OTHER_RULE, 1),
        ("10:30", 2, SkipReason.OTHER_RULE, 1),
    ]


def test_rules_of_different_doctors_do_not_hinder_each_other() -> None:
    made = planned(rule(), rule(id=2, doctor_id=2))
    assert len(made.wanted) == 12
    assert not made.skipped


def test_a_slot_of_the_evening_before_hinders_the_first_slots_of_a_plan() -> None:
    evening = rule(id=1, weekday=1, opens=23 * 60 + 30, closes=25 * 60, slot_minutes=90)
    night = rule(id=2, weekday=2, opens=30, closes=120)
    assert local_starts(planned(evening, night, first_day=date(2027, 1, 5))) == ["05 01:00", "05 01:30"]


def test_a_removed_rule_wants_nothing() -> None:
    assert not planned(rule(removed_at=utc(MONDAY, 0))).wanted


def test_what_overlaps_a_closure_is_not_wanted_and_is_told() -> None:
    """The slots from 09:30 and 10:00 overlap it; the one that ends when it begins does not, nor the one after it."""
    closed = closure(utc(MONDAY, 8, 30), utc(MONDAY, 9, 20), id=4)
    made = plan([rule()], [closed], MONDAY, MONDAY, ZONES)
    assert local_starts(made) == ["04 09:00", "04 10:30", "04 11:00", "04 11:30"]
    assert [(f"{each.wanted.local_start:%H:%M}", each.closure_id) for each in made.closed] == [
        ("09:30", 4),
        ("10:00", 4),
    ]


@pytest.mark.parametrize(
    ("of", "left"),
    [
        ({}, set()),
        ({"doctor_id": 1}, {(2, 1)}),
        ({"clinic_id": 1}, {(1, 2)}),
        ({"doctor_id": 1, "clinic_id": 1}, {(1, 2), (2, 1)}),
        ({"doctor_id": 3}, {(1, 1), (1, 2), (2, 1)}),
        ({"removed_at": utc(MONDAY, 0)}, {(1, 1), (1, 2), (2, 1)}),
    ],
)
def test_a_closure_is_of_a_doctor_of_a_clinic_or_of_all(of: dict[str, Any], left: set[tuple[int, int]]) -> None:
    wanting = [rule(), rule(id=2, clinic_id=2, opens=14 * 60, closes=15 * 60), rule(id=3, doctor_id=2)]
    closed = closure(utc(MONDAY, 0), utc(MONDAY, 23), **of)
    made = plan(wanting, [closed], MONDAY, MONDAY, {1: BERLIN, 2: BERLIN})
    assert {(wanted.doctor_id, wanted.clinic_id) for wanted in made.wanted} == left


def test_of_several_closures_the_one_with_the_lowest_id_is_told() -> None:
    """The same at each look, in whatever order they were found."""
    closing = [closure(utc(MONDAY, 0), utc(MONDAY, 23), id=number) for number in (4, 3, 5)]
    made = plan([rule()], closing, MONDAY, MONDAY, ZONES)
    assert {each.closure_id for each in made.closed} == {3}


def test_a_closure_gives_no_time_of_one_rule_to_another() -> None:
    """Otherwise a holiday of one clinic would publish times at another, and undoing it would take them away."""
    here, there = rule(id=1), rule(id=2, clinic_id=2)
    made = plan(
        [here, there], [closure(utc(MONDAY, 0), utc(MONDAY, 23), clinic_id=1)], MONDAY, MONDAY, {1: BERLIN, 2: BERLIN}
    )
    assert not made.wanted
    assert len(made.closed) == len(made.skipped) == 6


@settings(max_examples=many(20, 200))
@given(rules(), closures())
def test_a_plan_of_many_days_is_the_plans_of_its_days_together(wanting: list[Rule], closing: list[Any]) -> None:
    """Also if it begins days after its rules."""
    days = [MONDAY + timedelta(days=number) for number in range(3, 14)]
    whole = plan(wanting, closing, days[0], days[-1], ZONES)
    parts = [plan(wanting, closing, day, day, ZONES) for day in days]
    for name in ("wanted", "closed", "skipped", "windows"):
        assert set(getattr(whole, name)) == {each for part in parts for each in getattr(part, name)}
    told = [each.local_start for part in (whole.wanted, whole.skipped) for each in part]
    assert all(local_start is not None and whole.covers(local_start) for local_start in told)


@settings(max_examples=many(20, 200))
@given(rules(), closures())
def test_a_closure_only_takes_away(wanting: list[Rule], closing: list[Any]) -> None:
    last_day = MONDAY + timedelta(days=13)
    free, closed = (plan(wanting, each, MONDAY, last_day, ZONES) for each in ((), closing))
    assert {*closed.wanted, *(each.wanted for each in closed.closed)} == set(free.wanted)
    assert closed.skipped == free.skipped
    assert not {each.wanted for each in closed.closed} & set(closed.wanted)


@example([(0, 20), (5, 1)], 10, 5)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20))), st.integers(0, 60), st.integers(1, 10))
def test_what_takes_a_time_is_found_as_by_looking_at_all(
    periods: list[tuple[int, int]], start: int, length: int
) -> None:
    taken = [slot(utc(MONDAY, 0) + timedelta(minutes=begin), minutes) for begin, minutes in periods]
    begin, end = (utc(MONDAY, 0) + timedelta(minutes=minutes) for minutes in (start, start + length))
    found = Taken(taken).find(begin, end)
    overlapping = [each for each in taken if each.start_time < end and each.end_time > begin]
    assert found in overlapping if overlapping else found is None
