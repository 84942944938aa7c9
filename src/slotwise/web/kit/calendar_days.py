"""Days, weeks and clock times as URLs and forms write them."""

from datetime import date, time, timedelta
from typing import NamedTuple, Self

from slotwise.domain.errors import InvalidInput

# Every zone can still show a week before and after these years.
_FIRST_YEAR, _LAST_YEAR = 2001, 9997


class Week(NamedTuple):
    """From Monday to Sunday (ISO 8601)."""

    monday: date

    @classmethod
    def of(cls, day: date) -> Self:
        return cls(day - timedelta(days=day.weekday()))

    @property
    def days(self) -> list[date]:
        return [self.monday + timedelta(days=number) for number in range(7)]

    @property
    def sunday(self) -> date:
        return self.monday + timedelta(days=6)

    @property
    def before(self) -> date:
        return self.monday - timedelta(days=7)

    @property
    def after(self) -> date:
        return self.monday + timedelta(days=7)


def parse_day(field: str, text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput.of(field, "must be a date such as 2026-11-24") from error
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise InvalidInput.of(field, "is out of range")
    return day


def parse_clock(field: str, text: str) -> time:
    """To the minute."""
    try:
        clock = time.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput.of(field, "must be a time such as 09:30") from error
    if clock != time(clock.hour, clock.minute):
        raise InvalidInput.of(field, "must be a time such as 09:30")
    return clock
