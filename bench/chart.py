"""The chart: one bar for each target; the longer the bar, the better the figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import leather

from bench.findings import Bound, Finding, Result

LONGEST = 4.0
WIDTH = 1400
BAR_HEIGHT = 24
REST_HEIGHT = 160
GREEN, RED = "#2a9d5c", "#c8443c"


def write_chart(path: Path, results: Sequence[Result]) -> bool:
    """Write the chart, if any figure has a target. Returns whether it was written."""
    bars = [
        (score(finding), f"{result.scenario}: {label(finding)}")
        for result in results
        for finding in result.findings
        if finding.target is not None
    ]
    if not bars:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    _chart(bars).to_svg(str(path), width=WIDTH, height=REST_HEIGHT + BAR_HEIGHT * len(bars))
    return True


def score(finding: Finding) -> float:
    """1.0 if the target is just met, more if it is exceeded, at most 4."""
    if finding.target is None:
        return 0.0
    value, wanted = finding.series.middle, finding.target.value
    share = value / wanted if finding.target.bound is Bound.AT_LEAST else wanted / max(value, 1e-9)
    return min(share, LONGEST)


def label(finding: Finding) -> str:
    if finding.target is None:
        return finding.what
    wanted = f"{finding.target.bound} {finding.written(finding.target.value)}"
    return f"{finding.what}: {finding.written(finding.series.middle)} {finding.unit} ({wanted})"


def _chart(bars: Sequence[tuple[float, str]]) -> Any:
    chart = leather.Chart("Slotwise: each figure over its target, or the target over it where less is better")
    chart.add_bars(list(bars), fill_color=lambda bar: GREEN if bar.x >= 1 else RED)
    chart.set_x_scale(leather.Linear(0, LONGEST))
    chart.set_x_axis(leather.Axis(ticks=[0, 1, 2, 3, 4], name="1 meets the target; bars end at 4"))
    return chart
