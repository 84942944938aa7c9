"""By how much a zone's clocks differ from UTC: when that changes, and in words."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

# Between two times that are further apart, the clocks may have changed more than once.
_LONGEST_GAP = timedelta(days=180)
_MOST_RUNS = 3


class OffsetRun(NamedTuple):
    """From the first to the last of some times, all of which have the same offset."""

    first: datetime
    last: datetime
    offset: timedelta

    @property
    def minutes(self) -> int:
        return round(self.offset.total_seconds() / 60)

    @property
    def since(self) -> int:
        """The first time, in seconds since 1970, for scripts."""
        return int(self.first.timestamp())


def runs_of(zone: ZoneInfo, moments: Iterable[datetime]) -> list[OffsetRun]:
    runs = []
    for offset, same in groupby(sorted(moments), lambda moment: _offset(moment, zone)):
        of_run = list(same)
        runs.append(OffsetRun(of_run[0], of_run[-1], offset))
    return runs


def runs_words(zone: ZoneInfo, runs: list[OffsetRun], change_words: Callable[[datetime], str]) -> str:
    """`UTC+2`, or `UTC+2 until Sunday 25 October, 03:00, then UTC+1`."""
    if len(runs) > _MOST_RUNS or any(after.first - before.last > _LONGEST_GAP for before, after in pairwise(runs)):
        offsets = sorted({run.offset for run in runs})
        return f"{' or '.join(_words(offset) for offset in offsets)}, depending on the date"
    words = [_words(runs[0].offset)]
    for before, after in pairwise(runs):
        change = _change_between(before.last, after.first, zone)
        local = (change + before.offset).replace(tzinfo=None)
        words.append(f"until {change_words(local)}, then {_words(after.offset)}")
    return " ".join(words)


def repeats(local: datetime) -> bool:
    """Whether this clock time comes twice, because the clocks go back then. It must be a moment's local time."""
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def offset_words(local: datetime) -> str:
    """`UTC+5:45`."""
    return _words(local.utcoffset() or timedelta())


def _words(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    sign = "+" if minutes >= 0 else "-"
    return f"UTC{sign}{hours}" + (f":{rest:02}" if rest else "")


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The second at which the clocks change, which they do once between these times."""
    old = _offset(before, zone)
    low, high = int(before.timestamp()), int(after.timestamp())
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(datetime.fromtimestamp(middle, UTC), zone) == old:
            low = middle
        else:
            high = middle
    return datetime.fromtimestamp(high, UTC)
