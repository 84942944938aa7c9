"""Times in words, in the clinic's zone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from slotwise.web.kit.zone_offsets import OffsetRun, offset_words, repeats, runs_of, runs_words

ONE_DAY = timedelta(days=1)
_PLAIN = {"UTC", "Etc/UTC"}

# The zone of the clinic that the page is about.
_zone_of_page: ContextVar[ZoneInfo | None] = ContextVar("zone_of_page", default=None)
# The moments in the page that is being rendered.
_shown: ContextVar[set[datetime]] = ContextVar("shown")
# The moments in words that a request has made before its page is rendered, each with the zone that tells it.
_told: ContextVar[set[tuple[ZoneInfo, datetime]]] = ContextVar("told")


def note_what_is_told() -> None:
    """From now on in this request: the page can then say in which offsets its times are, whoever makes the words."""
    _told.set(set())


class ClinicTime:
    """Times in the clinic's zone. `now` is the server's clock: for words such as "today", never to decide on a hold."""

    def __init__(self, zone: ZoneInfo) -> None:
        self._zone = zone

    @property
    def zone(self) -> ZoneInfo:
        return self._zone

    def now(self) -> datetime:
        return datetime.now(self.zone)

    def today(self) -> date:
        return self.now().date()

    def local(self, moment: datetime) -> datetime:
        """One that has a clinic's zone keeps it: in a list of several clinics, each time is in its own zone."""
        return moment if isinstance(moment.tzinfo, ZoneInfo) else moment.astimezone(self.zone)

    def day_of(self, moment: datetime) -> date:
        return self.local(moment).date()

    def bounds(self, first: date, last: date | None = None) -> tuple[datetime, datetime]:
        """From midnight of `first` to midnight after `last` (default `first`), in UTC. A day has 23 to 25 hours."""
        return self._midnight(first), self._midnight((last or first) + ONE_DAY)

    def _midnight(self, day: date) -> datetime:
        return datetime.combine(day, time.min, self.zone).astimezone(UTC)

    def wall_time(self, moment: datetime) -> time:
        """To the minute, as a form has it."""
        local = self.local(moment)
        return time(local.hour, local.minute)

    @contextmanager
    def noting_what_is_shown(self) -> Iterator[None]:
        """While a page is rendered, so that the page can say in which offsets its times are."""
        token = _shown.set(set())
        try:
            yield
        finally:
            _shown.reset(token)

    # Templates use these as filters of the same names.

    def clock(self, moment: datetime) -> str:
        """`09:30`; `01:30 UTC+2` in an hour that comes twice because the clocks go back."""
        return f"{self._noted(moment):%H:%M}{self._which_hour(moment)}"

    def clock_on(self, moment: datetime, day: date, *, ends: bool = False) -> str:
        """`09:30`; `Sat 5 Dec, 00:30` if it is on another day. Midnight is on both days if something ends then."""
        on_day = day == self.day_of(moment) or (ends and day == self.last_day(moment))
        return self.clock(moment) if on_day else self.short_moment(moment)

    def end_clock(self, end: datetime, start: datetime) -> str:
        """The end of something: `09:30`; `Sat 5 Dec, 00:30` if it is on a later day than the start."""
        return self.clock_on(end, self.day_of(start), ends=True)

    def last_day(self, end: datetime) -> date:
        """The last day of something that ends then: at midnight, the day that is over."""
        return self.day_of(end - timedelta(microseconds=1))

    def is_on(self, day: date, start: datetime, end: datetime) -> bool:
        """Whether something takes place on a day, in part or as a whole."""
        return self.day_of(start) <= day <= self.last_day(end)

    def day(self, moment: datetime | date) -> str:
        """`Tuesday 24 November`, with the year if it is another one."""
        day = self._noted_day(moment)
        return f"{day:%A} {day.day} {day:%B}{self._year_words(day)}"

    def short_day(self, moment: datetime | date) -> str:
        """`Tue 24 Nov`, with the year if it is another one."""
        day = self._noted_day(moment)
        return f"{day:%a} {day.day} {day:%b}{self._year_words(day)}"

    def moment(self, moment: datetime) -> str:
        """`Tuesday 24 November, 09:30`."""
        return f"{self.day(moment)}, {self.clock(moment)}"

    def short_moment(self, moment: datetime) -> str:
        """`Tue 24 Nov, 09:30`."""
        return f"{self.short_day(moment)}, {self.clock(moment)}"

    def to_the_second(self, moment: datetime) -> str:
        """`Tue 24 Nov, 09:30:05`."""
        return f"{self.short_day(moment)}, {self._noted(moment):%H:%M:%S}{self._which_hour(moment)}"

    @property
    def zone_words(self) -> str:
        """`Europe/Berlin, UTC+1`: the name of the zone and its offset, or offsets, at the times of the page.

        Where no page is rendered, or it shows no time: its offset now.
        """
        name = self.zone.key.replace("_", " ")
        return "UTC" if name in _PLAIN else f"{name}, {runs_words(self.zone, self.shown_offsets, self._change_words)}"

    @property
    def shown_offsets(self) -> list[OffsetRun]:
        """The zone's offsets at the times that the page shows, in order; now, if it shows none."""
        return runs_of(self.zone, self._moments_shown or {self.now()})

    @property
    def shows_times(self) -> bool:
        return bool(self._moments_shown)

    @property
    def _moments_shown(self) -> set[datetime]:
        return _shown.get(set())

    def tell_day(self, day: date) -> None:
        """The page that will be rendered is about this day, even if only a field of a form has it."""
        self._noted_day(day)

    def _noted(self, moment: datetime) -> datetime:
        """The moment in local time. The page that is being rendered shows it."""
        local = self.local(moment)
        if local.tzinfo is self.zone:
            self._note(moment)
        return local

    def _note(self, moment: datetime) -> None:
        if (shown := _shown.get(None)) is not None:
            shown.add(moment)
        else:
            _told.get(set()).add((self.zone, moment))

    def _noted_day(self, moment: datetime | date) -> date:
        """A day without a time counts as its noon, because the clocks change at night."""
        if not isinstance(moment, datetime):
            moment = datetime.combine(moment, time(12), self.zone)
        return self._noted(moment).date()

    def _which_hour(self, moment: datetime) -> str:
        local = self.local(moment)
        return f" {offset_words(local)}" if repeats(local) else ""

    def _change_words(self, local: datetime) -> str:
        """The day and time, by the clocks before it, of a change of the clocks."""
        return f"{local:%A} {local.day} {local:%B}{self._year_words(local.date())}, {local:%H:%M}"

    def _year_words(self, day: date) -> str:
        return "" if day.year == self.today().year else f" {day.year}"


class PageTime(ClinicTime):
    """Times in the zone of the clinic that a page is about; otherwise in that of the main clinic."""

    def __init__(self, main: Callable[[], ZoneInfo]) -> None:
        self._main = main

    @property
    def zone(self) -> ZoneInfo:
        return _zone_of_page.get() or self._main()

    @contextmanager
    def of_page(self, zone: ZoneInfo | None) -> Iterator[None]:
        """While a page is rendered that is about a clinic in this zone."""
        token = _zone_of_page.set(zone)
        try:
            with self.noting_what_is_shown():
                self._moments_shown.update(moment for told_in, moment in _told.get(set()) if told_in is self.zone)
                yield
        finally:
            _zone_of_page.reset(token)


def iso(moment: datetime) -> str:
    """For `<time datetime>` and scripts, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def iso_at_clinic(moment: datetime) -> str:
    """The same with the offset of its clinic, where the times of a list are in several zones."""
    return moment.isoformat() if isinstance(moment.tzinfo, ZoneInfo) else iso(moment)


def minutes_words(seconds: float) -> str:
    """`1 minute 45 seconds`; `0 seconds` for a negative number."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    words = [_plural(minutes, "minute")] if minutes else []
    if rest or not minutes:
        words.append(_plural(rest, "second"))
    return " ".join(words)


def length_words(minutes: int) -> str:
    """`1 hour and 45 minutes`; `0 minutes` for nothing."""
    hours, rest = divmod(minutes, 60)
    words = [_plural(hours, "hour")] if hours else []
    if rest or not hours:
        words.append(_plural(rest, "minute"))
    return " and ".join(words)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
