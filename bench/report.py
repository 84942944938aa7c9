"""The table at the end, for a person at a terminal."""

from collections.abc import Iterable, Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.findings import Finding, Result
from bench.machine import Machine

VERDICTS = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}


def print_report(console: Console, machine: Machine, results: Iterable[Result]) -> None:
    for line in machine.lines():
        console.print(line, highlight=False)
    console.print(table(results))


def table(results: Iterable[Result]) -> Table:
    shown = Table(title="Medians of the rounds", title_justify="left", box=SIMPLE_HEAD)
    shown.add_column("figure", overflow="fold")
    for heading in ("median", "lowest - highest", "target"):
        shown.add_column(heading, justify="right")
    shown.add_column("")
    for result in results:
        shown.add_row(f"[bold]{result.scenario}[/]")
        for cells in _rows(result):
            shown.add_row(*cells)
        shown.add_row()
    return shown


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    if result.failure is not None:
        yield (f"[red]does not count:[/] {escape(result.failure)}",)
    yield from (_cells(finding) for finding in result.findings)


def _cells(finding: Finding) -> tuple[str, ...]:
    series, target = finding.series, finding.target
    spread = f"{finding.written(series.low)} - {finding.written(series.high)}" if len(series.values) > 1 else ""
    wanted = "" if target is None else f"{target.bound} {finding.written(target.value)}"
    return (finding.what, f"{finding.written(series.middle)} {finding.unit}", spread, wanted, VERDICTS[finding.met])
