"""Why a time is not offered: counted day by day and told of one time, compared with a count minute by minute."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slotwise.domain.candidate_times import CandidateTimes
from slotwise.domain.explanations import TimeExplanation, explain_days, explain_time
from slotwise.domain.open_times import OpenWindow, VisitTime
from slotwise.domain.reasons import Cause
from slotwise.domain.schedule_diff import ExistingSlot
from slotwise.domain.schedules import Closure, ClosureKind, Rule
from slotwise.domain.slots import SlotStatus
from slotwise.domain.time_questions import AskedVisit, DoctorTimes, Question
from slotwise.domain.timetables import Period
from slotwise.domain.window_diff import ExistingWindow
from tests.depth import many
from tests.domain.schedule_worlds import closure, open_time, rule, slot
from tests.domain.test_open_times import NINE, SPAN, at, counted, period, visit

UTC_PLACES = {1: ZoneInfo("UTC"), 2: ZoneInfo("UTC")}
MINUTE = timedelta(minutes=1)
# The day before the Monday on which the hours are.
NOW = NINE - timedelta(days=1)
DAY = NINE.date()
TYPE, OTHER_TYPE = 1, 2
VISIT = visit(20, 5)
HOURS = open_time(first_day=DAY)  # from 9 to 12, every 15 minutes


def window(of: Rule = HOURS, **fields: Any) -> ExistingWindow:
    begin = NINE + timedelta(minutes=of.opens - 9 * 60)
    local = begin.replace(tzinfo=None)
    everything: dict[str, Any] = {
        "id": of.id,
        "start_time": begin,
        "end_time": begin + timedelta(minutes=of.closes - of.opens),
    }
    everything |= {"rule_id": of.id, "doctor_id": 1, "clinic_id": of.clinic_id, "local_start": local}
    return ExistingWindow(**everything | fields)


def carved(start: int, length: int, slot_id: int = 10, *, held: bool = False) -> ExistingSlot:
    """A visit in open time, so many minutes after nine, with five minutes afterwards."""
    taken = {"holds": 1} if held else {"confirmed": 1}
    busy_until = at(start + length + 5)
    return slot(at(start), length, id=slot_id, window_id=1, carved=True, busy_until=busy_until, **taken)


def doctor(
    rules: Iterable[Rule] = (HOURS,),
    windows: Iterable[ExistingWindow] = (window(),),
    slots: Iterable[ExistingSlot] = (),
    closures: Iterable[Closure] = (),
    *,
    active: bool = True,
) -> DoctorTimes:
    return DoctorTimes(1, active, list(rules), list(closures), list(windows), list(slots))


def asked(**fields: Any) -> AskedVisit:
    everything: dict[str, Any] = {"offered": True, "starts_from": NOW, "id": TYPE, "time": VISIT}
    return AskedVisit(**everything | fields)


def question(visit_asked: AskedVisit | None = None, **fields: Any) -> Question:
    everything: dict[str, Any] = {
        "visit": visit_asked or asked(),
        "starts_from": NOW,
        "starts_before": NINE + timedelta(hours=10),
        "now": NOW,
        "zones": UTC_PLACES,
        "visit_times": {TYPE: VISIT, OTHER_TYPE: visit(45, 5)},
        "buffers": {TYPE: 5, OTHER_TYPE: 5},
    }
    return Question(**everything | fields)


def taken_away(of: DoctorTimes, about: Question | None = None) -> dict[Cause, int]:
    [day] = explain_days(of, about or question())
    assert day.candidates == len(day.left) + sum(each.times for each in day.taken)
    times: dict[Cause, int] = {}
    for each in day.taken:
        times[each.reason.cause] = times.get(each.reason.cause, 0) + each.times
    return times


def one_time(minutes: int, of: DoctorTimes, about: Question | None = None) -> TimeExplanation:
    return explain_time(of, about or question(), at(minutes))


def causes(told: TimeExplanation) -> list[Cause]:
    return [each.cause for each in told.reasons]


def test_of_hours_without_visits_only_gaps_are_taken_away() -> None:
    [day] = explain_days(doctor(), question())
    # The last one ends at 12: from 9 to 11:40 every quarter of an hour.
    assert (day.day, day.clinic_id, day.candidates) == (DAY, 1, 11)
    # 9:15 would leave a quarter of an hour before it, and 11:15 one after it.
    assert [(each.reason.cause, each.times) for each in day.taken] == [(Cause.GAP, 2)]
    assert at(0) in day.left
    assert at(15) not in day.left


def test_each_time_is_counted_once_for_its_first_cause() -> None:
    booked, held = carved(0, 20), carved(60, 20, 11, held=True)
    absence = closure(at(70), at(120), doctor_id=1, kind=ClosureKind.ABSENCE)
    before = taken_away(doctor(slots=[booked, held]))
    assert (before[Cause.BOOKING], before[Cause.HOLD]) == (2, 3)
    after = taken_away(doctor(slots=[booked, held], closures=[absence]))
    assert after[Cause.CLOSURE] == 4  # at 60, 75, 90 and 105
    assert (after[Cause.BOOKING], after[Cause.HOLD]) == (2, 1)  # at 45, whose end reaches into the hold


def test_why_11_40_was_not_offered() -> None:
    """The day of the issue: open from 9 to 12, every quarter of an hour, 5 minutes between visits."""
    told = one_time(160, doctor(slots=[carved(130, 20)]))
    assert (told.offered, causes(told)) == (False, [Cause.NO_START])
    [reason] = told.reasons
    assert (reason.start_time, reason.end_time, reason.step_minutes) == (at(0), at(180), 15)
    assert (reason.code, reason.free_again) == (None, at(155))
    assert (told.earlier, told.later) == (at(155), None)


def test_a_time_tells_every_reason_with_the_code_of_its_refusal() -> None:
    absence = closure(at(0), at(180), doctor_id=1, kind=ClosureKind.ABSENCE)
    late = asked(starts_from=NINE + timedelta(hours=5))
    told = one_time(0, doctor(slots=[carved(0, 20)], closures=[absence]), question(late))
    assert [(each.cause, each.code) for each in told.reasons] == [
        (Cause.CLOSURE, "time-gone"),
        (Cause.NOTICE, "too-late-to-book"),
        (Cause.BOOKING, "slot-full"),
    ]
    assert [(each.closure_id, each.slot_id) for each in told.reasons] == [(1, None), (None, None), (None, 10)]
    assert (told.reasons[1].end_time, told.reasons[2].end_time) == (late.starts_from, at(25))


def test_a_gap_is_told_with_its_length() -> None:
    told = one_time(15, doctor())
    [reason] = told.reasons
    assert (reason.cause, reason.code, reason.start_time, reason.end_time) == (Cause.GAP, None, at(0), at(15))


def test_gaps_of_one_window_are_left_out_if_another_of_the_day_has_better_times() -> None:
    short = open_time(first_day=DAY, closes=9 * 60 + 30, step_minutes=10)
    long = open_time(id=2, first_day=DAY, opens=10 * 60, closes=10 * 60 + 20)
    [alone] = explain_days(doctor([short], [window(short)]), question())
    assert alone.left == (at(0), at(10))
    [both] = explain_days(doctor([short, long], [window(short), window(long)]), question())
    assert (both.candidates, both.left) == (3, (at(60),))


def test_what_a_colleague_has_taken_over_out_of_open_time_is_no_published_time() -> None:
    taken_over = slot(at(300), id=9, carved=True, total_seats=2, confirmed=1, visit_type_ids=(TYPE,))
    [day] = explain_days(doctor(slots=[taken_over]), question())
    assert at(300) not in day.left


def test_a_start_after_a_visit_that_leaves_a_gap_tells_the_gap() -> None:
    told = one_time(150, doctor(slots=[carved(125, 20)]))
    [reason] = told.reasons
    assert (reason.cause, reason.start_time, reason.end_time) == (Cause.GAP, at(175), at(180))


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [(-30, [Cause.OUTSIDE_HOURS]), (170, [Cause.TOO_LONG]), (7, [Cause.NO_START]), (180, [Cause.OUTSIDE_HOURS])],
)
def test_a_time_that_no_rule_has_says_so(minutes: int, expected: list[Cause]) -> None:
    assert causes(one_time(minutes, doctor())) == expected


def test_hours_for_other_visits_say_so() -> None:
    others = open_time(first_day=DAY, visit_type_ids=(OTHER_TYPE,))
    told = one_time(0, doctor([others], [window(others)]))
    assert [(each.cause, each.code, each.rule_id) for each in told.reasons] == [
        (Cause.NOT_OFFERED, "visit-type-not-offered", 1)
    ]
    assert explain_days(doctor([others], [window(others)]), question()) == []


@pytest.mark.parametrize(
    ("who", "about", "cause", "code"),
    [
        (doctor(active=False), question(), Cause.INACTIVE, "time-gone"),
        (doctor(), question(inactive=frozenset({1})), Cause.INACTIVE, "time-gone"),
        (doctor(), question(asked(offered=False)), Cause.NOT_OFFERED, "visit-type-not-offered"),
        (doctor(), question(now=NINE + timedelta(hours=4)), Cause.PAST, "slot-started"),
        (doctor(), question(asked(starts_until=NOW)), Cause.HORIZON, "too-early-to-book"),
        (doctor(windows=[]), question(), Cause.NOT_PUBLISHED, "time-gone"),
    ],
)
def test_what_concerns_all_times_takes_them_all_away(
    who: DoctorTimes, about: Question, cause: Cause, code: str
) -> None:
    if cause is Cause.PAST:
        assert taken_away(who, about) == {cause: 11}
        return
    assert taken_away(who, about) == {cause: 11}
    assert [(each.cause, each.code) for each in one_time(0, who, about).reasons] == [(cause, code)]


def test_hours_in_the_way_of_others_are_named() -> None:
    other = open_time(id=2, first_day=DAY, opens=10 * 60, closes=13 * 60)
    told = one_time(180, doctor([HOURS, other]))
    assert [(each.cause, each.rule_id, each.code) for each in told.reasons] == [(Cause.OTHER_RULE, 1, "time-gone")]


def test_a_visit_elsewhere_is_told_without_its_slot_to_those_who_do_not_work_there() -> None:
    visit_elsewhere = slot(at(0), 60, id=12, clinic_id=2, confirmed=1)
    told = one_time(0, doctor(slots=[visit_elsewhere]), question(readable=frozenset({1})))
    [reason] = told.reasons
    assert (reason.cause, reason.slot_id, reason.code, reason.end_time) == (
        Cause.ELSEWHERE,
        None,
        "slot-full",
        at(60),
    )
    assert one_time(0, doctor(slots=[visit_elsewhere])).reasons[0].slot_id == 12


# Published slots.

FIXED = rule(first_day=DAY, visit_type_ids=(TYPE,), slot_minutes=30)


def from_rule(minutes: int, slot_id: int, **fields: Any) -> ExistingSlot:
    start = at(minutes)
    of_rule = {"rule_id": 1, "rule_version": 1, "local_start": start.replace(tzinfo=None), "visit_type_ids": (TYPE,)}
    return slot(start, 30, id=slot_id, busy_until=start + 35 * MINUTE, **of_rule | fields)


def test_published_slots_are_counted_by_what_takes_their_seats() -> None:
    slots = [
        from_rule(0, 1),
        from_rule(35, 2, confirmed=1),
        from_rule(70, 3, holds=1),
        from_rule(105, 4, status=SlotStatus.CLOSED, pinned=True),
        slot(at(300), id=5, visit_type_ids=(TYPE,)),  # made by hand
        slot(at(330), id=6),  # for no visit type
    ]
    hours = doctor([FIXED], [], slots)
    # The one at 140 was not published.
    assert taken_away(hours) == {Cause.BOOKING: 1, Cause.HOLD: 1, Cause.CLOSED: 1, Cause.NOT_PUBLISHED: 1}
    [day] = explain_days(hours, question())
    assert day.left == (at(0), at(300))
    assert [(each.cause, each.code) for each in one_time(105, hours).reasons] == [(Cause.CLOSED, "slot-closed")]
    assert causes(one_time(10, hours)) == [Cause.NO_START]


def test_slots_in_a_closure_name_it() -> None:
    closed = from_rule(0, 1, status=SlotStatus.CLOSED, closure_id=1)
    holiday = closure(at(0), at(60))
    hours = doctor([FIXED], [], [closed], [holiday])
    assert taken_away(hours)[Cause.CLOSURE] == 2  # with the one at 35, which there is no slot of
    reasons = [one_time(minutes, hours).reasons[0] for minutes in (0, 35)]
    assert [(each.closure_id, each.code) for each in reasons] == [(1, "slot-closed"), (1, "time-gone")]


def test_without_a_visit_type_slots_without_types_are_explained() -> None:
    about = question(AskedVisit(offered=True, starts_from=NOW))
    slots = [slot(at(0), id=1), slot(at(30), id=2, visit_type_ids=(TYPE,)), slot(at(60), id=3, confirmed=1)]
    assert taken_away(doctor(slots=slots), about) == {Cause.BOOKING: 1}


# By chance.


@st.composite
def busy_days(draw: st.DrawFn) -> tuple[DoctorTimes, Question]:
    """A day with up to two windows, visits, holds, slots, closures, notice and horizon."""
    edges = sorted(draw(st.lists(st.integers(0, SPAN), min_size=2, max_size=4, unique=True)))
    spans = list(zip(edges[::2], edges[1::2], strict=False))
    rules = [
        open_time(
            id=number,
            first_day=DAY,
            opens=9 * 60 + opens,
            closes=9 * 60 + closes,
            step_minutes=draw(st.integers(5, 60)),
            visit_type_ids=draw(st.sampled_from([(TYPE,), (TYPE, OTHER_TYPE)])),
        )
        for number, (opens, closes) in enumerate(spans, 1)
    ]
    lengths = {each: visit(draw(st.integers(5, 45)), draw(st.integers(0, 15))) for each in (TYPE, OTHER_TYPE)}
    who = doctor(rules, [window(each) for each in rules], draw(busy_times()), draw(closed_times()))
    moments = st.integers(-30, SPAN + 30).map(at)
    about = asked(time=lengths[TYPE], starts_from=draw(moments), starts_until=draw(moments))
    begins, ends = sorted([draw(moments), draw(moments)])
    return who, question(about, visit_times=lengths, starts_from=begins, starts_before=ends)


@st.composite
def busy_times(draw: st.DrawFn) -> list[ExistingSlot]:
    edges = sorted(draw(st.lists(st.integers(-60, SPAN + 60), max_size=8, unique=True)))
    kinds: list[dict[str, int]] = [{"confirmed": 1}, {"holds": 1}, {}]
    return [
        slot(at(begin), end - begin, id=number, clinic_id=draw(st.sampled_from([1, 2])), **draw(st.sampled_from(kinds)))
        for number, (begin, end) in enumerate(zip(edges[::2], edges[1::2], strict=False), 1)
    ]


@st.composite
def closed_times(draw: st.DrawFn) -> list[Closure]:
    edges = sorted(draw(st.lists(st.integers(0, SPAN), max_size=4, unique=True)))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    return [closure(at(begin), at(end), id=number) for number, (begin, end) in enumerate(pairs, 1)]


def offered_by_minutes(who: DoctorTimes, about: Question) -> list[datetime]:
    """By brute force: what a minute-by-minute count of each window says, within notice, horizon and period."""
    asked_for = about.visit
    wanted = asked_for.time or VisitTime(timedelta())
    free: list[tuple[datetime, bool]] = []
    for each in who.rules:
        types = [about.visit_times[one] for one in each.visit_type_ids or ()]
        span = period(each.opens - 9 * 60, each.closes - 9 * 60)
        parts = OpenWindow(span, timedelta(minutes=each.step_minutes or 0), types, taken(who.slots), closed(who))
        free += counted(parts, wanted)
    until = asked_for.starts_until or datetime.max.replace(tzinfo=UTC)
    free = [(start, wastes) for start, wastes in free if asked_for.starts_from <= start <= until]
    chosen = [start for start, wastes in free if not wastes] or [start for start, _ in free]
    return [start for start in chosen if about.starts_from <= start < about.starts_before]


def taken(slots: Iterable[ExistingSlot]) -> list[Period]:
    return [Period(each.start_time, each.busy_end) for each in slots]


def closed(who: DoctorTimes) -> list[Period]:
    return [Period(each.start_time, each.end_time) for each in who.closures]


@settings(max_examples=many(60, 1000))
@given(busy_days())
def test_what_is_left_is_what_is_offered(world: tuple[DoctorTimes, Question]) -> None:
    left = [start for day in explain_days(*world) for start in day.left]
    assert left == offered_by_minutes(*world)


@settings(max_examples=many(60, 1000))
@given(busy_days())
def test_a_time_has_each_reason_that_a_count_by_minutes_finds_and_no_other(
    world: tuple[DoctorTimes, Question],
) -> None:
    who, about = world
    for each in CandidateTimes(who, about).in_period():
        found = {reason.cause for reason in each.reasons} - {Cause.GAP}
        assert found == set(causes_by_minutes(each.start_time, who, about)), each
        told = explain_time(who, about, each.start_time)
        assert (told.offered, told.reasons) == (each.is_offered, each.reasons)


def causes_by_minutes(start: datetime, who: DoctorTimes, about: Question) -> Iterable[Cause]:
    wanted = about.visit.time or VisitTime(timedelta())
    length, whole = wanted.length // MINUTE, wanted.whole // MINUTE
    if any(_touches(start, length, each) for each in closed(who)):
        yield Cause.CLOSURE
    if start < about.visit.starts_from:
        yield Cause.NOTICE
    elif about.visit.starts_until is not None and start > about.visit.starts_until:
        yield Cause.HORIZON
    for slot_there in who.slots:
        if _touches(start, whole, Period(slot_there.start_time, slot_there.busy_end)):
            yield Cause.BOOKING if slot_there.confirmed else Cause.HOLD if slot_there.holds else Cause.SLOT


def _touches(start: datetime, minutes: int, there: Period) -> bool:
    return any(there.start_time <= start + each * MINUTE < there.end_time for each in range(minutes))


def test_the_order_of_causes_is_that_of_the_list() -> None:
    reasons: Sequence[Cause] = causes(
        one_time(0, doctor(slots=[carved(0, 20)], active=False), question(asked(starts_until=NOW)))
    )
    assert reasons == [Cause.INACTIVE, Cause.HORIZON, Cause.BOOKING]
