"""The starts that are offered in a window, compared with what a minute-by-minute count says."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from slotwise.domain.open_times import OpenWindow, VisitTime, free_starts, offered_starts
from slotwise.domain.timetables import Period

NINE = datetime(2031, 1, 6, 9, tzinfo=UTC)
SPAN = 240  # minutes, of which the window is a part
FIVE = timedelta(minutes=5)


def at(minutes: int) -> datetime:
    return NINE + timedelta(minutes=minutes)


def period(opens: int, closes: int) -> Period:
    return Period(at(opens), at(closes))


def visit(minutes: int, buffer: int = 0) -> VisitTime:
    return VisitTime(timedelta(minutes=minutes), timedelta(minutes=buffer))


def minutes_of(starts: Iterable[datetime]) -> list[int]:
    return [(start - NINE) // timedelta(minutes=1) for start in starts]


def offered(window: OpenWindow, wanted: VisitTime) -> list[int]:
    return minutes_of(offered_starts(free_starts(window, wanted)))


def test_an_empty_window_offers_its_beginning_and_every_step_that_leaves_room_for_a_visit() -> None:
    window = OpenWindow(period(0, 60), timedelta(minutes=10), [visit(20)])
    # 10 and 30 would leave ten minutes on one side or on the other.
    assert offered(window, visit(20)) == [0, 20, 40]


def test_a_wasteful_start_is_offered_if_nothing_else_is_free() -> None:
    window = OpenWindow(period(0, 30), timedelta(minutes=10), [visit(20)])
    assert [(start.wasteful, start.start) for start in free_starts(window, visit(20))] == [
        (True, at(0)),
        (True, at(10)),
    ]
    assert offered(window, visit(20)) == [0, 10]


def test_the_next_visit_begins_when_the_buffer_of_the_one_before_is_over() -> None:
    window = OpenWindow(period(0, 180), timedelta(hours=1), [visit(10, 5)], taken=[period(0, 25)])
    assert offered(window, visit(10, 5))[:2] == [25, 60]


def test_at_the_end_of_the_window_a_buffer_needs_no_room_but_no_visit_may_be_there() -> None:
    free = OpenWindow(period(0, 20), FIVE, [visit(20, 10)])
    assert offered(free, visit(20, 10)) == [0]
    taken = OpenWindow(period(0, 20), FIVE, [visit(20, 10)], taken=[period(25, 45)])
    assert offered(taken, visit(20, 10)) == []


def test_a_closure_parts_the_window() -> None:
    window = OpenWindow(period(0, 120), timedelta(hours=1), [visit(20, 10)], closed=[period(20, 70)])
    assert offered(window, visit(20, 10)) == [0, 70]


@st.composite
def periods(draw: st.DrawFn, most: int) -> list[Period]:
    """In order, without overlaps."""
    edges = draw(st.lists(st.integers(0, SPAN), min_size=0, max_size=2 * most, unique=True).map(sorted))
    return [period(opens, closes) for opens, closes in zip(edges[::2], edges[1::2], strict=False)]


visits = st.builds(visit, st.integers(1, 60), st.integers(0, 30))


@st.composite
def windows(draw: st.DrawFn) -> OpenWindow:
    opens = draw(st.integers(0, SPAN - 10))
    closes = draw(st.integers(opens + 1, SPAN))
    step = timedelta(minutes=draw(st.integers(5, 60)))
    kinds = draw(st.lists(visits, min_size=1, max_size=3))
    return OpenWindow(period(opens, closes), step, kinds, draw(periods(5)), draw(periods(2)))


@given(windows(), st.data())
def test_starts_are_those_of_a_count_by_minutes(window: OpenWindow, data: st.DataObject) -> None:
    wanted = data.draw(st.sampled_from(list(window.visits)))
    assert [(start.start, start.wasteful) for start in free_starts(window, wanted)] == counted(window, wanted)


def counted(window: OpenWindow, wanted: VisitTime) -> list[tuple[datetime, bool]]:
    """The same by brute force: each minute is open or not, and taken or not."""
    most = SPAN + 100
    opened = [_within(minute, [window.period]) and not _within(minute, window.closed) for minute in range(most)]
    taken = [_within(minute, window.taken) for minute in range(most)]
    return [
        (at(start), _wastes(start, window, wanted, opened, taken))
        for start in range(SPAN)
        if _fits(start, window, wanted, opened, taken)
    ]


def _within(minute: int, several: Sequence[Period]) -> bool:
    return any(each.start_time <= at(minute) < each.end_time for each in several)


def _fits(start: int, window: OpenWindow, wanted: VisitTime, opened: list[bool], taken: list[bool]) -> bool:
    length, whole = (each // timedelta(minutes=1) for each in (wanted.length, wanted.whole))
    on_step = (at(start) - window.period.start_time) % window.step == timedelta()
    begins = start == 0 or not opened[start - 1]
    follows = any(each.end_time == at(start) for each in window.taken)
    free = all(opened[start : start + length]) and not any(taken[start : start + whole])
    return free and (on_step or begins or follows)


def _wastes(start: int, window: OpenWindow, wanted: VisitTime, opened: list[bool], taken: list[bool]) -> bool:
    """Counts the free minutes on both sides, up to what ends them."""
    gap = 0
    while start - gap > 0 and opened[start - gap - 1] and not taken[start - gap - 1]:
        gap += 1
    whole = min(each.whole for each in window.visits) // timedelta(minutes=1)
    length = min(each.length for each in window.visits) // timedelta(minutes=1)
    if 0 < gap < whole:
        return True
    end = start + wanted.whole // timedelta(minutes=1)
    closes = next(minute for minute in range(start, len(opened)) if not opened[minute])
    after = 0
    while end + after < closes and not taken[end + after]:
        after += 1
    return 0 < after < (length if end + after == closes else whole)
