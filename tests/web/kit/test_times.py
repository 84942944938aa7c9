"""Times in words: in the clinic's zone, also when its clocks change."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from slotwise.web.kit.times import ClinicTime, iso, minutes_words

BERLIN = ClinicTime(ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (datetime(2031, 1, 7, 8, 30, tzinfo=UTC), "Tuesday 7 January 2031, 09:30"),
        (datetime(2031, 7, 7, 22, 30, tzinfo=UTC), "Tuesday 8 July 2031, 00:30"),
    ],
    ids=["winter", "summer, past midnight"],
)
def test_times_are_in_the_zone_of_the_clinic(moment: datetime, words: str) -> None:
    assert BERLIN.moment(moment) == words


def test_a_day_of_this_year_is_shown_without_the_year() -> None:
    assert str(BERLIN.today().year) not in BERLIN.day(BERLIN.today())


@pytest.mark.parametrize(
    ("day", "hours"), [(date(2031, 3, 30), 23), (date(2031, 10, 26), 25), (date(2031, 1, 7), 24)], ids=str
)
def test_a_day_has_23_24_or_25_hours_by_the_clock_of_the_clinic(day: date, hours: int) -> None:
    begin, end = BERLIN.bounds(day)
    assert end - begin == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("zone", "words"),
    [("UTC", "UTC"), ("Asia/Kathmandu", "Asia/Kathmandu, UTC+5:45"), ("America/Caracas", "America/Caracas, UTC-4")],
)
def test_the_zone_is_shown_with_its_offset(zone: str, words: str) -> None:
    assert ClinicTime(ZoneInfo(zone)).zone_words == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(120, "2 minutes"), (61, "1 minute 1 second"), (0.2, "0 seconds"), (-5, "0 seconds"), (3600, "60 minutes")],
)
def test_a_duration_is_shown_in_minutes_and_seconds(seconds: float, words: str) -> None:
    assert minutes_words(seconds) == words


def test_iso_times_are_in_utc() -> None:
    assert iso(datetime(2031, 7, 7, 9, tzinfo=ZoneInfo("Europe/Berlin"))) == "2031-07-07T07:00:00Z"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


# By zone: the first moment that repeats, for how many minutes, and its words in the first and in the second pass.
REPEATED = {
    "Europe/Berlin": ("2031-10-26 00:00", 60, "02:00 UTC+2", "02:00 UTC+1"),
    "Europe/Dublin": ("2031-10-26 00:00", 60, "01:00 UTC+1", "01:00 UTC+0"),
    "Australia/Lord_Howe": ("2031-04-05 14:30", 30, "01:30 UTC+11", "01:30 UTC+10:30"),
    "America/Santiago": ("2031-04-06 02:00", 60, "23:00 UTC-3", "23:00 UTC-4"),
    "Africa/Casablanca": ("2026-09-20 00:00", 60, "01:00 UTC+1", "01:00 UTC+0"),
    "America/New_York": ("2031-11-02 05:00", 60, "01:00 UTC-4", "01:00 UTC-5"),
}


@pytest.mark.parametrize("zone", REPEATED)
def test_a_clock_time_that_comes_twice_has_its_offset_and_no_other_has(zone: str) -> None:
    clinic = ClinicTime(ZoneInfo(zone))
    start, minutes, first, second = REPEATED[zone]
    again = utc(start) + timedelta(minutes=minutes)
    assert (clinic.clock(utc(start)), clinic.clock(again)) == (first, second)
    assert clinic.end_clock(again, utc(start)) == second
    assert clinic.short_moment(again).endswith(f", {second}")
    assert clinic.to_the_second(again).endswith(f"{second[:5]}:00{second[5:]}")
    for outside in (utc(start) - timedelta(minutes=1), again + timedelta(minutes=minutes)):
        assert "UTC" not in clinic.clock(outside)
    shown = {clinic.clock(utc(start) + timedelta(minutes=minute)) for minute in range(-120, 180)}
    assert len(shown) == 300, "no two minutes look alike"


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Pacific/Apia", "America/Vancouver"])
def test_where_no_clocks_change_no_time_has_an_offset(zone: str) -> None:
    clinic = ClinicTime(ZoneInfo(zone))
    hours = [utc("2031-01-01 00:00") + timedelta(hours=hour) for hour in range(0, 8760, 7)]
    assert not any("UTC" in clinic.clock(hour) for hour in hours)


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (["2031-07-10 09:00"], "UTC+2"),
        (["2031-12-01 09:00", "2032-01-10 09:00"], "UTC+1"),
        (["2031-10-25 09:00", "2031-10-27 09:00"], "UTC+2 until Sunday 26 October 2031, 03:00, then UTC+1"),
        (["2031-03-29 09:00", "2031-03-31 09:00"], "UTC+1 until Sunday 30 March 2031, 02:00, then UTC+2"),
        (["2031-10-26 00:30", "2031-10-26 01:30"], "UTC+2 until Sunday 26 October 2031, 03:00, then UTC+1"),
        (["2031-01-07 09:00", "2033-07-07 09:00"], "UTC+1 or UTC+2, depending on the date"),
    ],
)
def test_the_offset_of_the_zone_is_that_of_the_times_shown(shown: list[str], words: str) -> None:
    with BERLIN.noting_what_is_shown():
        for moment in shown:
            BERLIN.clock(utc(moment))
        assert BERLIN.zone_words == f"Europe/Berlin, {words}"


def test_a_day_without_times_has_the_offset_of_its_noon() -> None:
    with BERLIN.noting_what_is_shown():
        BERLIN.day(date(2031, 7, 10))
        assert BERLIN.zone_words == "Europe/Berlin, UTC+2"


@pytest.mark.parametrize(
    ("start", "minutes", "words"),
    [
        ("2031-12-05 22:45", 60, "Sat 6 Dec 2031, 00:45"),
        ("2031-12-05 22:00", 60, "00:00"),
        ("2031-12-05 08:00", 60, "10:00"),
        ("2031-10-26 00:30", 60, "02:30 UTC+1"),
    ],
)
def test_an_end_on_another_day_says_which(start: str, minutes: int, words: str) -> None:
    assert BERLIN.end_clock(utc(start) + timedelta(minutes=minutes), utc(start)) == words
