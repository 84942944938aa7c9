"""Medians, ratios, verdicts, and what is written of them."""

import io
from functools import partial
from pathlib import Path

import pytest
from bench.chart import score, write_chart
from bench.findings import Finding, Result, Target, at_least, at_most
from bench.lab import Lab
from bench.plan import Plan
from bench.readings import Series
from bench.report import table
from bench.results import read_results, write_results
from bench.run import Run
from rich.console import Console

from tests.bench.sample import MACHINE, NO_INSTALLATION


def finding(value: float, target: Target | None) -> Finding:
    return Finding("times pgbench", "x", Series((value,)), target)


def test_a_ratio_is_taken_round_by_round() -> None:
    """The second round was twice as slow for both: that is the machine, not the case."""
    ratio = Series((100.0, 50.0, 100.0)).over(Series((10.0, 5.0, 10.0)))
    assert (ratio.middle, ratio.low, ratio.high) == (10, 10, 10)


@pytest.mark.parametrize(
    ("value", "target", "met", "bar"),
    [
        (12, at_least(10), True, 1.2),
        (10, at_least(10), True, 1.0),
        (5, at_least(10), False, 0.5),
        (20, at_most(40), True, 2.0),
        (80, at_most(40), False, 0.5),
        (1000, at_least(10), True, 4.0),
    ],
)
def test_a_target_is_met_or_missed(value: float, target: Target, met: bool, bar: float) -> None:
    assert finding(value, target).met is met
    assert score(finding(value, target)) == pytest.approx(bar)


def test_a_figure_without_a_target_has_no_verdict() -> None:
    assert finding(1, None).met is None


def test_cases_take_turns_and_each_round_begins_with_another_one() -> None:
    order: list[str] = []

    def case(name: str) -> str:
        order.append(name)
        return name

    lab = Lab(Plan(workers=1, rounds=3), NO_INSTALLATION, lambda *_: None)
    lab.alternate({name: partial(case, name) for name in "abc"})
    assert "".join(order) == "abcbcacab"


def test_the_table_shows_what_was_met_missed_and_does_not_count() -> None:
    results = [
        Result("hot-slot", "", (finding(12, at_least(10)), finding(9, at_least(10)))),
        Result("spread", "", failure="3 bookings were acknowledged and 2 rows are there"),
    ]
    console = Console(width=100, file=io.StringIO())
    with console.capture() as printed:
        console.print(table(results))
    text = printed.get()
    assert all(word in text for word in ("12.00 x", "at least 10.00", "met", "missed", "does not count", "2 rows"))


def test_the_figures_of_every_round_are_written_and_can_be_read_again(tmp_path: Path) -> None:
    results = (Result("hot-slot", "One slot", (finding(12, at_least(10)),)),)
    run = Run(MACHINE, Plan(workers=2), results)
    write_results(tmp_path / "new" / "bench.json", run)
    assert read_results(tmp_path / "new" / "bench.json") == run


def test_the_chart_has_a_bar_for_each_target(tmp_path: Path) -> None:
    chart = tmp_path / "bench.svg"
    findings = (finding(12, at_least(10)), finding(9, at_least(10)), finding(1, None))
    assert write_chart(chart, [Result("hot-slot", "", findings)])
    assert chart.read_text().count("times pgbench: ") == 2
    assert not write_chart(tmp_path / "none.svg", [Result("hot-slot", "", findings[2:])])
