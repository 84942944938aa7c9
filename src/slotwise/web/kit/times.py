"""Times in words, in the clinic's zone."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ONE_DAY = timedelta(days=1)
_PLAIN = {"UTC", "Etc/UTC"}


class ClinicTime:
    """Times in the clinic's zone. `now` is the server's clock: for words such as "today", never to decide on a hold."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone

    def now(self) -> datetime:
        return datetime.now(self.zone)

    def today(self) -> date:
        return self.now().date()

    def local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone)

    def day_of(self, moment: datetime) -> date:
        return self.local(moment).date()

    def bounds(self, first: date, last: date | None = None) -> tuple[datetime, datetime]:
        """From midnight of `first` to midnight after `last` (default `first`), in UTC. A day has 23 to 25 hours."""
        return self._midnight(first), self._midnight((last or first) + ONE_DAY)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)

    # Templates use these as filters of the same names.

    def clock(self, moment: datetime) -> str:
        """`09:30`."""
        return self.local(moment).strftime("%H:%M")

    def day(self, moment: datetime | date) -> str:
        """`Tuesday 24 November`, with the year if it is another one."""
        day = self.day_of(moment) if isinstance(moment, datetime) else moment
        year = "" if day.year == self.today().year else f" {day.year}"
        return f"{day:%A} {day.day} {day:%B}{year}"

    def short_day(self, moment: datetime | date) -> str:
        """`Tue 24 Nov`, with the year if it is another one."""
        day = self.day_of(moment) if isinstance(moment, datetime) else moment
        year = "" if day.year == self.today().year else f" {day.year}"
        return f"{day:%a} {day.day} {day:%b}{year}"

    def moment(self, moment: datetime) -> str:
        """`Tuesday 24 November, 09:30`."""
        return f"{self.day(moment)}, {self.clock(moment)}"

    def short_moment(self, moment: datetime) -> str:
        """`Tue 24 Nov, 09:30`."""
        return f"{self.short_day(moment)}, {self.clock(moment)}"

    def to_the_second(self, moment: datetime) -> str:
        """`Tue 24 Nov, 09:30:05`."""
        return f"{self.short_day(moment)}, {self.local(moment):%H:%M:%S}"

    @property
    def zone_words(self) -> str:
        """`Europe/Berlin, UTC+1`: the name of the zone and its offset now."""
        name = self.zone.key.replace("_", " ")
        offset = self.now().utcoffset() or timedelta()
        return "UTC" if name in _PLAIN else f"{name}, {_offset_words(offset)}"


def iso(moment: datetime) -> str:
    """For `<time datetime>` and scripts, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def minutes_words(seconds: float) -> str:
    """`1 minute 45 seconds`; `0 seconds` for a negative number."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    words = [_plural(minutes, "minute")] if minutes else []
    if rest or not minutes:
        words.append(_plural(rest, "second"))
    return " ".join(words)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _offset_words(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    sign = "+" if minutes >= 0 else "-"
    return f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "")
