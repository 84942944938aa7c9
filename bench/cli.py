"""The command: `make bench`, or `python -m bench`."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import msgspec
import psutil
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.chart import write_chart
from bench.installation import NoRealDisk
from bench.plan import Plan, quick_plan
from bench.processes import ToolFailed
from bench.report import print_report
from bench.results import write_results
from bench.run import Run, run_scenarios
from bench.scenarios import SCENARIOS
from bench.scenarios.scenario import Scenario
from bench.tools import MissingTools, require

RESULTS = Path(__file__).parent / "results"
FILE_WIDTH = 120
OPEN_FILES = 65_536

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
screen = Console(stderr=True, highlight=False, soft_wrap=True)


def _print_list(wanted: bool) -> None:
    if wanted:
        for scenario in SCENARIOS:
            needs = ", ".join(tool.name for tool in scenario.needs)
            when = " Runs only if it is named." if scenario.on_request else ""
            typer.echo(f"{scenario.name}\n    {scenario.sentence}. Needs {needs}.{when}")
        raise typer.Exit


@app.command()
def bench(
    only: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Measure only this scenario. Can be repeated.")
    ] = None,
    _list: Annotated[
        bool,
        typer.Option("--list", callback=_print_list, is_eager=True, help="List the scenarios and exit."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="One round of one second per case, on little data: a smoke test.")
    ] = False,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often to measure each case. Default: 5.")] = None,
    seconds: Annotated[int | None, typer.Option(min=1, help="Seconds of each measurement. Default: 4.")] = None,
    rows: Annotated[
        int | None, typer.Option(min=10_000, help="Bookings in the largest table. Default: 10,000,000.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes. Default: the number of cores.")] = None,
    directory: Annotated[
        Path, typer.Option(help="Directory for the database; must be on a disk.", show_default="bench/results")
    ] = RESULTS,
    json: Annotated[Path, typer.Option(help="File for the figures.", show_default="bench/results/bench.json")] = RESULTS
    / "bench.json",
    svg: Annotated[Path, typer.Option(help="File for the chart.", show_default="bench/results/bench.svg")] = RESULTS
    / "bench.svg",
) -> None:
    """Measure Slotwise and its baselines, on a new database and new servers, which are removed afterwards.

    Ends with status 1 if a scenario's own check failed: then its figures do not count. A missed target is no failure.
    All scenarios take about an hour; `--quick` takes a few minutes.
    """
    given = {"rounds": rounds, "seconds": seconds, "rows": rows}
    cores = workers or os.cpu_count() or 1
    plan = quick_plan(cores) if quick else Plan(workers=cores)
    plan = msgspec.structs.replace(plan, **{name: value for name, value in given.items() if value})
    _allow_connections()
    _end_politely()
    run = _run(chosen(only), plan, directory)
    print_report(_console(), run.machine, run.results)
    _write(run, json, svg)
    if any(result.failure for result in run.results):
        raise typer.Exit(1)


def _end_politely() -> None:
    """Stop everything on SIGINT, SIGTERM and SIGHUP. A shell lets a background program ignore SIGINT; here SIGINT must
    always work."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))


def _allow_connections() -> None:
    """Raise the limit of open files, which is often 1,024 or less. Servers and load generators inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def _console() -> Console:
    """As wide as the terminal; for a file, wide enough for the table."""
    return Console() if sys.stdout.isatty() else Console(width=FILE_WIDTH)


def _write(run: Run, json: Path, svg: Path) -> None:
    write_results(json, run)
    typer.echo(f"Figures  {json}")
    if write_chart(svg, run.results):
        typer.echo(f"Chart    {svg}")


def chosen(names: list[str] | None) -> list[Scenario]:
    known = {scenario.name: scenario for scenario in SCENARIOS}
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise typer.BadParameter(f"there is no scenario {unknown[0]}; there are: {', '.join(known)}")
    if names:
        return [scenario for scenario in SCENARIOS if scenario.name in names]
    return [scenario for scenario in SCENARIOS if not scenario.on_request]


def _run(scenarios: list[Scenario], plan: Plan, directory: Path) -> Run:
    load = psutil.getloadavg()[0]
    try:
        require(tool for scenario in scenarios for tool in scenario.needs)
        with _progress() as progress:
            return run_scenarios(scenarios, plan, directory, load, progress)
    except (MissingTools, NoRealDisk, ToolFailed) as error:
        screen.print("error:", str(error), style="red", markup=False)
        raise typer.Exit(1) from error


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), TimeElapsedColumn()
    with Progress(*columns, console=screen) as progress:
        yield progress
