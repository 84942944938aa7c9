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
