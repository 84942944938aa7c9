"""How sure it is that a mutant was caught, and mutants that could not be tried."""

from datetime import date, timedelta

import pytest
from torture.mutants import MUTANTS, of_the_day
from torture.trials import Trial, Try, Verdict

MUTANT = MUTANTS[0]


def found(count: int, seconds: float = 20.0) -> Try:
    return Try(seconds, {"P9": count} if count else {}, ["S13"])


BUSY = Try(300.0, {}, [], "the machine was too busy: 20 writes in 5 minutes")


@pytest.mark.parametrize(
    ("verdict", "sure", "tries"),
    [
        ("caught", True, [found(3)]),
        ("caught", False, [found(1)]),
        ("caught", True, [found(1), found(1)]),
        ("caught", False, [found(0), found(1), found(0)]),
        ("caught", True, [BUSY, found(5)]),
        ("caught", True, [found(5, seconds=200.0)]),
        ("survived", False, [found(0), found(0), found(0)]),
        ("survived", False, [BUSY, found(0), BUSY]),
        ("not tried", False, [BUSY, BUSY, BUSY]),
    ],
)
def test_a_verdict_says_how_sure_it_is(verdict: Verdict, sure: bool, tries: list[Try]) -> None:
    trial = Trial(MUTANT, tries)
    assert (trial.verdict, trial.is_sure) == (verdict, sure)


def test_the_report_of_a_trial_has_its_rules_findings_and_tries() -> None:
    assert Trial(MUTANT, [found(0), found(1), found(1)]).told == "sure: P9 x 2, in 2 of 3 tries"
    assert Trial(MUTANT, [found(2)]).told == "NOT SURE: P9 x 2, in 1 of 1 try"
    assert Trial(MUTANT, [BUSY, BUSY]).told == "the machine was too busy: 20 writes in 5 minutes"
    assert Trial(MUTANT, [found(0)]).told == "no rule was broken"


def test_every_mutant_has_its_turn_within_30_days() -> None:
    first = date(2026, 11, 28)
    days = [of_the_day(first + timedelta(days=day)).name for day in range(30)]
    assert sorted(days) == sorted(mutant.name for mutant in MUTANTS)
    assert of_the_day(first) == of_the_day(first)
