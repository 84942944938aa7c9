"""The report of a run, for a person at a terminal."""

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from torture.restarts import RETURN_SECONDS, STOP_SECONDS, Restarted
from torture.rules.service import MOST_UNANSWERED, percentile
from torture.run import Result, Struck
from torture.trials import Trial

# For each rule.
SHOWN_VIOLATIONS = 3
COLOURS = {"valid": "bold green", "INVALID": "bold red", "UNKNOWN": "bold yellow"}


def print_result(console: Console, result: Result) -> None:
    console.print(figures(result))
    console.print(faults_by_kind(result.struck))
    for rule in result.findings.rules:
        console.print(f"{rule}: {result.findings.count(rule):,} violations", style="bold red", markup=False)
    for violation in result.findings.some(SHOWN_VIOLATIONS):
        where = f" slot {violation.slot_id}" if violation.slot_id else ""
        console.print(f"{violation.rule}{where}: {violation.sentence}", style="red", markup=False)
    for question in result.open_questions:
        console.print(f"open: {question}", style="yellow", markup=False)
    console.print(f"Verdict: {result.verdict}   (seed {result.plan.seed})", style=COLOURS[result.verdict])


def print_restarts(console: Console, walked: Restarted) -> None:
    table = Table(box=SIMPLE_HEAD, title="Restarts with its own database", title_justify="left")
    table.add_column("figure")
    table.add_column("", justify="right")
    table.add_column("wanted", justify="right")
    for kind, times in sorted(Counter(walked.steps).items()):
        table.add_row(kind, f"{times}", "")
    table.add_row("acknowledged bookings, all there", f"{walked.acknowledged:,}", "all")
    table.add_row("slowest return to service", f"{walked.slowest_return:.1f} s", f"<= {RETURN_SECONDS:g} s")
    table.add_row("slowest end", f"{walked.slowest_stop:.1f} s", f"<= {STOP_SECONDS:g} s")
    console.print(table)
    for violation in walked.violations:
        console.print(violation, style="red", markup=False)
    verdict = "INVALID" if walked.violations else "valid"
    console.print(f"Restarts: {verdict}   (seed {walked.seed})", style=COLOURS[verdict])


def figures(result: Result) -> Table:
    table = Table(box=SIMPLE_HEAD, title="Figures", title_justify="left")
    table.add_column("figure")
    table.add_column("", justify="right")
    table.add_column("wanted", justify="right")
    for cells in _figures(result):
        table.add_row(*cells)
    return table


def _figures(result: Result) -> Iterator[tuple[str, str, str]]:
    plan, unknowns = result.plan, result.unknowns
    recoveries = [struck.recovery for struck in result.struck]
    yield "acknowledged writes", f"{result.acknowledged:,}", f"{plan.acknowledged:,}"
    yield "requests in all", f"{result.attempts:,}", ""
    yield "faults that hit", f"{len(result.struck):,}", f"{plan.faults:,}"
    yield "faults that hit nothing, after several tries", f"{len(result.missed):,}", "0"
    yield "kinds of faults", f"{len({struck.kind for struck in result.struck})}", ""
    yield "races for the last seats, 16 contenders each", f"{result.races:,}", f"{plan.races:,}"
    yield "unknown outcomes", f"{unknowns.total:,}", ""
    yield "  resolved", f"{unknowns.total - result.untold:,}", "all"
    yield "  of them by an answer to the same key", f"{unknowns.by_key:,}", ""
    yield "  done; not done", f"{unknowns.done:,}; {unknowns.undone:,}", ""
    yield "looks at the tables during the load", f"{result.samples:,}", ""
    yield "slots and lists that were read during the load (S20)", f"{result.sightings:,}", ""
    yield "recovery after a heal, median; p99 (L2)", _median_and_p99(recoveries), "p99 <= 5 s"
    yield "holds failed after their deadline, median; p99 (L1)", _median_and_p99(result.sweeps), "p99 <= 1 s"
    yield "slowest answer (L3)", f"{result.slowest:.2f} s", "<= 10 s"
    yield "  without what the harness itself was late, at most", f"{result.lag:.2f} s", ""
    unanswered = f"{result.unanswered:,} of {result.at_rest:,}"
    yield "outside faults, without a definite answer (L5)", unanswered, f"<= {MOST_UNANSWERED:.1%}"
    yield from result.figures
    yield "violations", f"{result.findings.total:,}", "0"
    yield "slowdown by other programs on the machine, factor", f"{result.slowness:.1f}", ""
    yield "duration", f"{result.seconds / 60:.1f} min", f"{plan.minutes:g} min"


def _median_and_p99(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f}; {percentile(values, 99):.2f} s" if values else "none"


def faults_by_kind(struck: Iterable[Struck]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="Faults", title_justify="left")
    table.add_column("kind")
    for heading in ("times", "recovery, median", "worst"):
        table.add_column(heading, justify="right")
    by_kind: dict[str, list[float]] = defaultdict(list)
    for fault in struck:
        by_kind[fault.kind].append(fault.recovery)
    for kind, recoveries in sorted(by_kind.items()):
        middle = statistics.median(recoveries)
        table.add_row(kind, f"{len(recoveries)}", f"{middle:.2f} s", f"{max(recoveries):.2f} s")
    return table


def mutants_table(trials: Iterable[Trial]) -> Table:
    table = Table(box=SIMPLE_HEAD, title="Mutants", title_justify="left")
    for heading in ("mutant", "what is wrong with it", "seconds", "verdict", "how sure", "other rules"):
        table.add_column(heading, overflow="fold")
    for trial in trials:
        colour = {"caught": "green", "not tried": "yellow"}.get(trial.verdict, "red")
        first = (trial.catches or trial.tries)[0]
        others = sorted({rule for one in trial.tries for rule in one.others})
        table.add_row(
            trial.mutant.name, trial.mutant.sentence, f"{first.seconds:.0f}", f"[{colour}]{trial.verdict}[/]",
            trial.told, ", ".join(others),
        )  # fmt: skip
    return table
