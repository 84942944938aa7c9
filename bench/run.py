"""One run: all chosen scenarios on one installation, and their results."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct
from rich.progress import Progress, TaskID

from bench.findings import Result
from bench.installation import Installation, installed
from bench.lab import Lab
from bench.machine import Machine, describe
from bench.plan import Plan
from bench.processes import ToolFailed
from bench.readings import CheckFailed
from bench.scenarios.scenario import Scenario


class Run(Struct, frozen=True):
    machine: Machine
    plan: Plan
    results: tuple[Result, ...]


def run_scenarios(scenarios: Sequence[Scenario], plan: Plan, directory: Path, load: float, progress: Progress) -> Run:
    """Measure the scenarios. `load` is the machine's load before the run. The installation is always removed."""
    start = progress.add_task("starting PostgreSQL", total=None)
    with installed(directory, plan.workers) as installation:
        progress.remove_task(start)
        results = tuple(_measure(scenario, plan, installation, progress) for scenario in scenarios)
        return Run(describe(installation, plan.workers, load), plan, results)


def _measure(scenario: Scenario, plan: Plan, installation: Installation, progress: Progress) -> Result:
    task = progress.add_task(scenario.name, total=None)
    lab = Lab(plan, installation, partial(_report, progress, task, scenario.name))
    try:
        findings = tuple(scenario.measure(lab))
    except (CheckFailed, ToolFailed) as error:
        progress.update(task, description=f"{scenario.name}: does not count", total=1, completed=1)
        return Result(scenario.name, scenario.sentence, failure=str(error))
    progress.update(task, description=scenario.name, total=1, completed=1)
    return Result(scenario.name, scenario.sentence, findings)


def _report(progress: Progress, task: TaskID, scenario: str, doing: str, done: int, total: int) -> None:
    progress.update(task, description=f"{scenario}: {doing}", completed=done, total=total)
