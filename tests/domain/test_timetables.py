"""Timetables: the periods that they make when clocks change, and invalid timetables."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slotwise.domain.errors import InvalidInput
from slotwise.domain.timetables import EVERY_DAY, MINUTES_OF_A_DAY, Hours, SkippedTime, Timetable, ends_in_time, lay_out

BERLIN = ZoneInfo("Europe/Berlin")
# Clocks go forward from 02:00 to 03:00 on the first of these, and back from 03:00 to 02:00 on the second.
SPRING, AUTUMN = date(2027, 3, 28), date(2027, 10, 31)
NIGHT = (Hours(60, 5 * 60),)
MORNING = (Hours(9 * 60, 12 * 60),)


def timetable(first_day: date = date(2027, 1, 4), **fields: Any) -> Timetable:
    everything: dict[str, Any] = {
        "last_day": first_day,
        "weekdays": EVERY_DAY,
        "hours": MORNING,
        "duration_minutes": 30,
    } | fields
    return Timetable(first_day, **everything)


def local_starts(laid: Timetable, zone: ZoneInfo = BERLIN) -> list[str]:
    return [f"{period.start_time.astimezone(zone):%d %H:%M}" for period in lay_out(laid, zone).periods]


def test_each_day_is_filled_from_the_beginning_of_each_period_with_what_fits() -> None:
    hours = (Hours(9 * 60, 10 * 60 + 20), Hours(14 * 60, 15 * 60))
    laid = timetable(last_day=date(2027, 1, 5), hours=hours, break_minutes=10)
    assert local_starts(laid) == ["04 09:00", "04 09:40", "04 14:00", "05 09:00", "05 09:40", "05 14:00"]


def test_only_the_wanted_weekdays_are_filled() -> None:
    laid = timetable(last_day=date(2027, 1, 17), weekdays=frozenset({1, 7}), duration_minutes=180)
    assert local_starts(laid) == ["04 09:00", "10 09:00", "11 09:00", "17 09:00"]


def test_a_period_may_end_with_the_day() -> None:
    assert local_starts(timetable(hours=(Hours(23 * 60, 24 * 60),))) == ["04 23:00", "04 23:30"]


def test_the_hours_are_local_time_in_winter_and_in_summer() -> None:
    laid = timetable(date(2027, 3, 27), last_day=date(2027, 3, 29), duration_minutes=180)
    assert [period.start_time.hour for period in lay_out(laid, BERLIN).periods] == [8, 7, 7]


def test_local_times_that_a_clock_change_leaves_out_are_reported_as_skipped() -> None:
    laid = lay_out(timetable(SPRING, hours=NIGHT), BERLIN)
    assert [f"{period.start_time:%H:%M}" for period in laid.periods] == [
        "00:00", "00:30", "01:00", "01:30", "02:00", "02:30",
    ]  # fmt: skip
    assert laid.skipped == [SkippedTime(SPRING, time(2, 0)), SkippedTime(SPRING, time(2, 30))]


def test_a_time_that_comes_while_the_slot_before_lasts_is_skipped() -> None:
    """45 minutes from 01:30 end at 03:15, because the clock goes from 02:00 to 03:00."""
    laid = lay_out(timetable(SPRING, hours=(Hours(90, 5 * 60),), duration_minutes=45), BERLIN)
    assert [skipped.time for skipped in laid.skipped] == [time(2, 15), time(3, 0)]
    assert [f"{period.start_time:%H:%M}" for period in laid.periods] == ["00:30", "01:45"]


def test_a_slot_that_would_last_beyond_its_hours_is_skipped() -> None:
    """An hour and a half from 01:00 ends at 03:30, because the clock goes from 02:00 to 03:00."""
    hours = (Hours(60, 150), Hours(180, 270))
    laid = lay_out(timetable(SPRING, hours=hours, duration_minutes=90), BERLIN)
    assert laid.skipped == [SkippedTime(SPRING, time(1, 0))]
    assert [f"{period.start_time:%H:%M}" for period in laid.periods] == ["01:00"]


def test_a_slot_that_ends_when_clocks_go_forward_fits_into_hours_that_end_then() -> None:
    """The clock goes from 02:00 to 03:00 at the end of the second slot."""
    laid = lay_out(timetable(SPRING, hours=(Hours(60, 120),)), BERLIN)
    assert [f"{period.start_time:%H:%M}" for period in laid.periods] == ["00:00", "00:30"]
    assert not laid.skipped


def test_of_a_time_that_comes_twice_the_first_is_taken() -> None:
    laid = lay_out(timetable(AUTUMN, hours=(Hours(2 * 60, 3 * 60 + 30),)), BERLIN)
    assert [f"{period.start_time:%H:%M}" for period in laid.periods] == ["00:00", "00:30", "02:00"]
    assert not laid.skipped


@given(
    day=st.sampled_from([SPRING, AUTUMN, date(2027, 1, 4)]),
    opens=st.integers(0, 300),
    length=st.integers(1, 600),
    duration=st.integers(1, 120),
    pause=st.integers(0, 60),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
)
def test_no_two_periods_overlap_and_each_is_as_long_as_wanted_and_ends_in_time(
    day: date, opens: int, length: int, duration: int, pause: int, zone: str
) -> None:
    hours = (Hours(opens, min(opens + length + duration, MINUTES_OF_A_DAY)),)
    laid = lay_out(timetable(day, hours=hours, duration_minutes=duration, break_minutes=pause), ZoneInfo(zone))
    assert all(
        before.end_time <= after.start_time for before, after in zip(laid.periods, laid.periods[1:], strict=False)
    )
    assert all(period.end_time - period.start_time == timedelta(minutes=duration) for period in laid.periods)
    closes = datetime.combine(day, time()) + timedelta(minutes=hours[0].closes)
    assert all(ends_in_time(period.end_time, closes, ZoneInfo(zone)) for period in laid.periods)
    wanted = len(range(opens, hours[0].closes - duration + 1, duration + pause))
    assert len(laid.periods) + len(laid.skipped) == wanted


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("first_day", {"first_day": date(1999, 12, 31)}),
        ("first_day", {"first_day": date(9998, 1, 1)}),
        ("last_day", {"last_day": date(2027, 1, 3)}),
        ("last_day", {"last_day": date(2028, 1, 5)}),
        ("last_day", {"last_day": date(2027, 12, 31)}),  # 2,172 slots
        ("weekdays", {"weekdays": frozenset()}),
        ("weekdays", {"weekdays": frozenset({0})}),
        ("weekdays", {"weekdays": frozenset({2})}),
        ("periods", {"hours": ()}),
        ("periods", {"hours": (Hours(60, 60),)}),
        ("periods", {"hours": (Hours(600, 660), Hours(540, 600))}),
        ("periods", {"hours": (Hours(540, 660), Hours(600, 720))}),
        ("periods", {"hours": (Hours(-1, 60),)}),
        ("periods", {"hours": (Hours(600, 1441),)}),
        ("duration_minutes", {"duration_minutes": 0}),
        ("duration_minutes", {"duration_minutes": 181}),
        ("break_minutes", {"break_minutes": -1}),
    ],
)
def test_a_timetable_that_makes_no_sense_is_refused_by_name(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refused:
        lay_out(timetable(**fields), BERLIN)
    assert [error.field for error in refused.value.errors] == [field]


def test_the_largest_timetable_is_laid_out() -> None:
    laid = timetable(last_day=date(2028, 1, 4), hours=(Hours(0, 150),), weekdays=EVERY_DAY)
    assert len(lay_out(laid, ZoneInfo("UTC")).periods) == 366 * 5
    assert lay_out(laid, ZoneInfo("UTC")).periods[0].start_time == datetime(2027, 1, 4, tzinfo=UTC)
