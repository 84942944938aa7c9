"""The same seed gives the same plan, and no kind of fault is left out."""

from collections import Counter

from torture.faults import FAULTS
from torture.plan import Plan, brief_faults, brief_plan, schedule, short_plan


def test_the_same_seed_gives_the_same_plan_and_another_one_another() -> None:
    assert schedule(Plan(1), FAULTS) == schedule(Plan(1), FAULTS)
    assert schedule(Plan(1), FAULTS) != schedule(Plan(2), FAULTS)


def test_kinds_take_turns() -> None:
    planned = schedule(Plan(3, faults=400), FAULTS)
    times = Counter(one.fault.kind for one in planned).values()
    assert len(planned) == 400
    assert max(times) - min(times) <= 1
    assert all(one.fault.seconds[0] <= one.seconds <= one.fault.seconds[1] for one in planned)


def test_the_figures_are_those_that_were_promised() -> None:
    """A million writes, 400 faults of 31 kinds or more and 20,000 races; a short form with 20,000, 20 and 500, and a
    brief one with 1,000, 6 and 100."""
    whole, short, brief = Plan(1), short_plan(1), brief_plan(1)
    assert (whole.acknowledged, whole.faults, whole.races) == (1_000_000, 400, 20_000)
    assert (short.acknowledged, short.faults, short.races) == (20_000, 20, 500)
    assert (brief.acknowledged, brief.faults, brief.races) == (1_000, 6, 100)
    assert len({fault.kind for fault in FAULTS}) == len(FAULTS) >= 31
    assert len(brief_faults(FAULTS)) >= 6
    assert whole.minutes <= 45
