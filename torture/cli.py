"""The commands: `make torture` and `make mutants`, or `python -m torture`."""

import asyncio
import gc
import os
import resource
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import structlog
import typer
import uvloop
from harness.watchdog import watched_folder
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from torture import run as running
from torture.acts import ACTS, Act
from torture.bed import Bed
from torture.faults import FAULTS, possible_faults
from torture.faults.fault import Fault
from torture.keeping import tell
from torture.mutants import MUTANTS, Mutant, of_the_day
from torture.plan import Plan, brief_faults, brief_plan, short_plan
from torture.report import mutants_table, print_restarts, print_result
from torture.restarts import walk
from torture.run import Result, Run
from torture.trials import Trial, try_mutant

OPEN_FILES = 65_536
NOT_TRIED = 3
RESULTS = Path(__file__).parent / "results"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help=__doc__)
screen = Console(stderr=True, highlight=False, soft_wrap=True)

Seed = Annotated[int | None, typer.Option(help="Repeat the plan of the run with this seed. Default: random.")]
Directory = Annotated[Path, typer.Option(help="Where to create the run's folder.", show_default="torture/results")]


def _print_list(wanted: bool) -> None:
    if wanted:
        for fault in FAULTS:
            missing = "" if fault.possible() else " (not possible on this machine)"
            typer.echo(f"{fault.kind}\n    {fault.sentence}{missing}")
        raise typer.Exit


@app.command()
def run(
    seed: Seed = None,
    short: Annotated[bool, typer.Option("--short", help="Two minutes instead of 45.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="20 seconds, as in the test suite.")] = False,
    acknowledged: Annotated[int | None, typer.Option(min=1, help="Fewest acknowledged writes.")] = None,
    faults: Annotated[int | None, typer.Option(min=0, help="Faults to inject.")] = None,
    races: Annotated[int | None, typer.Option(min=0, help="Races for the last seats.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Give up after this time under load.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Inject only this kind. Can be repeated.")
    ] = None,
    _list: Annotated[
        bool, typer.Option("--list", callback=_print_list, is_eager=True, help="List the kinds of faults and exit.")
    ] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the run's folder even if the verdict is valid.")] = False,
    directory: Directory = RESULTS,
) -> None:
    """Put load on a separate server, inject faults, heal them, and judge what clients saw and what the tables have.

    Ends with status 1 unless the verdict is valid. Takes about 45 minutes on two quiet cores.
    """
    chosen = seed if seed is not None else secrets.randbelow(2**31)
    given = {"acknowledged": acknowledged, "faults": faults, "races": races, "minutes": minutes}
    plan = brief_plan(chosen) if brief else short_plan(chosen) if short else Plan(chosen)
    plan = msgspec.structs.replace(plan, **{name: value for name, value in given.items() if value is not None})
    kinds = _chosen(only) if only or not (short or brief) else brief_faults(possible_faults())
    _prepare()
    with _folder(directory, "run", keep) as folder:
        result = _run(plan, kinds, folder, is_short=short or brief or bool(only))
        print_result(Console(highlight=False), result)
        if result.verdict != "valid":
            _say_how_to_look(folder, result)
            raise typer.Exit(1)


@app.command()
def restarts(
    seed: Seed = None,
    steps: Annotated[int, typer.Option(min=1, help="How many times to start, kill or stop something.")] = 18,
    directory: Directory = RESULTS,
) -> None:
    """Start, kill and stop a server with its own embedded database. It must come back, stop, and lose nothing.

    A full `run` ends with this. Ends with status 1 if a booking was lost, or a step took too long or left a process.
    """
    _prepare()
    with _folder(directory, "restarts", keep=False) as folder:
        _walk(seed if seed is not None else secrets.randbelow(2**31), steps, folder)


@app.command()
def mutants(
    seed: Seed = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="MUTANT", help="Try only this mutant. Can be repeated.")
    ] = None,
    today: Annotated[bool, typer.Option("--today", help="Try today's mutant (UTC).")] = False,
    directory: Directory = RESULTS,
) -> None:
    """Check that the harness notices wrong code: it must catch each mutant.

    A mutant with only one or two findings is tried again, for longer. Ends with status 1 if a mutant survives. If none
    survives but one could not be tried, ends with status 3: that says nothing about the harness.
    """
    turn = (of_the_day(datetime.now(UTC).date()),) if today else MUTANTS
    wanted = [mutant for mutant in turn if not only or mutant.name in only]
    _refuse_unknown("mutant", only or [], [mutant.name for mutant in MUTANTS])
    _prepare()
    trials = [_try(mutant, 1 if seed is None else seed, directory) for mutant in wanted]
    Console(highlight=False).print(mutants_table(trials))
    for trial in trials:
        print(f"{trial.mutant.name}: {trial.verdict}; {trial.told}")  # noqa: T201 - in one line, for other programs
    verdicts = {trial.verdict for trial in trials}
    if "survived" in verdicts:
        raise typer.Exit(1)
    if "not tried" in verdicts:
        raise typer.Exit(NOT_TRIED)


@app.command()
def look(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="The folder of a failed or kept run.")],
    slot: Annotated[int, typer.Option(help="The slot to look at.")],
) -> None:
    """Show a slot's requests with their answers, and its ledger, in order of time."""
    for line in tell(folder, slot):
        typer.echo(line)


def _walk(seed: int, steps: int, folder: Path) -> None:
    screen.print(f"restarts, seed {seed}: repeat them with: restarts --seed {seed} --steps {steps}")
    with screen.status("starting") as status:
        walked = walk(seed, steps, folder, status.update)
    print_restarts(Console(highlight=False), walked)
    if walked.violations:
        screen.print(f"Everything is kept in {_shown(folder)}: server.log, data.", markup=False)
        raise typer.Exit(1)


def _run(plan: Plan, kinds: tuple[Fault, ...], folder: Path, is_short: bool) -> Result:
    screen.print(f"seed {plan.seed}: repeat this plan with --seed {plan.seed}")
    for fault in FAULTS:
        if not fault.possible():
            screen.print(f"not possible on this machine, left out: {fault.kind}", style="yellow")
    with _display(plan) as report:
        return uvloop.run(_on_bed(plan, kinds, folder, report, is_short))


async def _on_bed(plan: Plan, kinds: tuple[Fault, ...], folder: Path, report: running.Report, is_short: bool) -> Result:
    _end_politely()
    bed = Bed(folder, {})
    try:
        await bed.start()
        result = await Run(bed, plan, kinds, report)()
    finally:
        await bed.stop()
    for act in ACTS:
        if act.brief or not is_short:
            await _play(act, folder, result)
    return result


async def _play(act: Act, folder: Path, result: Result) -> None:
    """Perform one act. If it fails, that is a fault of the harness; the verdict on the load stays."""
    screen.print(f"the load is judged: {result.verdict} ({result.seconds / 60:.1f} min); next: {act.name}")
    try:
        played = await act.play(folder / act.name, result.plan.seed)
    except Exception as error:
        result.open_questions.append(f"{act.name} failed with {error!r}")
    else:
        result.findings.add(played.violations)
        result.figures += played.figures


def _end_politely() -> None:
    """On SIGTERM or SIGHUP, heal and stop everything that the harness has started."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _try(mutant: Mutant, seed: int, directory: Path) -> Trial:
    with screen.status(f"{mutant.name}: {mutant.sentence}"), _folder(directory, mutant.name, keep=False) as folder:
        return uvloop.run(try_mutant(mutant, folder, seed))


def _chosen(only: list[str] | None) -> tuple[Fault, ...]:
    _refuse_unknown("kind of fault", only or [], [fault.kind for fault in FAULTS])
    chosen = tuple(fault for fault in possible_faults() if not only or fault.kind in only)
    if not chosen:
        raise typer.BadParameter(f"not possible on this machine: {', '.join(only or [])}")
    return chosen


def _refuse_unknown(what: str, given: list[str], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise typer.BadParameter(f"there is no {what} {name!r}; there are: {', '.join(known)}")


def _prepare() -> None:
    """Silence logs, keep the garbage collector from scanning the whole history again and again, and allow as many open
    files as possible: the usual limit is 1,024 or less."""
    gc.set_threshold(100_000, 50, 1_000)
    # A shell lets a background program ignore SIGINT; here SIGINT must always work.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


@contextmanager
def _folder(directory: Path, name: str, keep: bool) -> Iterator[Path]:
    """A folder for a run. It is removed afterwards, unless the run ends badly or `keep` is true."""
    directory.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=directory)).resolve()
    try:
        with watched_folder(folder):
            yield folder
    except typer.Exit:
        raise
    except BaseException as error:
        for reason in error.exceptions if isinstance(error, BaseExceptionGroup) else [error]:
            screen.print(f"{type(reason).__name__}: {reason}", style="red", markup=False)
        screen.print(f"There is no verdict. Everything is kept in {_shown(folder)}", markup=False)
        raise typer.Exit(1) from error
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


def _say_how_to_look(folder: Path, result: Result) -> None:
    screen.print(f"Everything is kept in {_shown(folder)}: history.jsonl, ledgers, server.log.", markup=False)
    for slot in sorted({violation.slot_id for violation in result.violations if violation.slot_id})[:3]:
        python = os.path.relpath(sys.executable)
        screen.print(f"  {python} -m torture look {_shown(folder)} --slot {slot}", markup=False)


def _shown(folder: Path) -> str:
    return os.path.relpath(folder)


@contextmanager
def _display(plan: Plan) -> Iterator[running.Report]:
    columns = TextColumn("{task.description:<16}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[now]}")
    with Progress(*columns, TimeElapsedColumn(), console=screen, transient=True) as progress:
        bars: dict[str, TaskID] = {
            name: progress.add_task(name, total=getattr(plan, name), now="")
            for name in ("acknowledged", "faults", "races")
        }

        def report(done: running.Progress) -> None:
            for name, bar in bars.items():
                progress.update(bar, completed=getattr(done, name))
            progress.update(bars["acknowledged"], now=done.phase)
            progress.update(bars["faults"], now=done.fault)

        yield report
