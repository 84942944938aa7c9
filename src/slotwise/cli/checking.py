"""The command `check-invariants`: its report, as text and as JSON."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
import typer
from msgspec import Struct

from slotwise.cli.running import CommandFailed, progress_bar, run
from slotwise.db.pool import Database
from slotwise.services.core.invariants import (
    RULES,
    Finding,
    History,
    LedgerRow,
    Violation,
    find_violations,
    get_slot_history,
)

BROKEN, UNFINISHED = 1, 2


class Report(Struct, frozen=True, rename="camel"):
    """`history` is set if the check was for one slot."""

    violations: list[Violation]
    history: History | None


class RuleReport(Struct, frozen=True, rename="camel"):
    id: str
    sentence: str
    violations: list[Finding]


class JsonReport(Struct, frozen=True, rename="camel"):
    holds: bool
    rules: list[RuleReport]


def check(slot_id: int | None, as_json: bool) -> None:
    """Print the report. Ends the process with status 1 for a broken rule, 2 if the check could not be finished."""
    with _failures_as_unfinished():
        report = run(lambda database: _look(database, slot_id))
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(_json_report(report.violations))))
    else:
        for line in _lines(report):
            typer.echo(line)
    if report.violations:
        raise typer.Exit(BROKEN)


@contextmanager
def _failures_as_unfinished() -> Iterator[None]:
    """End with status 2 for an error that `run` has printed, a defect or Ctrl-C: status 1 would mean a broken rule."""
    try:
        yield
    except typer.Exit as ended:
        raise typer.Exit(UNFINISHED) from ended
    except (Exception, KeyboardInterrupt) as error:
        traceback.print_exc()
        raise typer.Exit(UNFINISHED) from error


async def _look(database: Database, slot_id: int | None) -> Report:
    with progress_bar("Checking slots") as progress:
        violations = await find_violations(database, slot_id, progress)
    if slot_id is None:
        return Report(violations, None)
    history = await get_slot_history(database, slot_id, violations)
    if history is None and not violations:
        raise CommandFailed(f"there is no slot {slot_id}")
    return Report(violations, history)


def _json_report(violations: Sequence[Violation]) -> JsonReport:
    rules = [RuleReport(rule.id, rule.sentence, [one for one in violations if one.rule == rule.id]) for rule in RULES]
    return JsonReport(not violations, rules)


def _lines(report: Report) -> Iterator[str]:
    for rule in RULES:
        broken = [violation for violation in report.violations if violation.rule == rule.id]
        yield f"{'FAIL' if broken else 'ok  '}  {rule.id:<3}  {rule.sentence}"
        yield from (f"           {place_of(violation)}: {_difference(violation)}" for violation in broken)
    if report.history is not None:
        yield from _history_lines(report.history, report.violations)


def place_of(violation: Finding) -> str:
    """Slot, ledger row and booking of a violation, as text."""
    row = "" if violation.sequence is None else f", row {violation.sequence}"
    booking = "" if violation.booking_id is None else f", booking {violation.booking_id}"
    return f"slot {violation.slot_id}{row}{booking}"


def _difference(violation: Finding) -> str:
    return f"{violation.found}; expected {violation.expected}"


def _history_lines(history: History, violations: Sequence[Violation]) -> Iterator[str]:
    slot, before = history.slot, 0
    yield ""
    yield (
        f"Slot {slot.id}, {slot.start_time:%Y-%m-%d %H:%M} UTC, {slot.status}: "
        f"{slot.available_seats} of {slot.total_seats} seats free, newest row {slot.last_event}"
    )
    for row in history.rows:
        if before and row.sequence != before + 1:
            yield "      ..."
        before = row.sequence
        broken = [violation for violation in violations if violation.sequence == row.sequence]
        yield f"{'->' if broken else '  '} {_row_line(row)}"
        yield from (f"      {violation.rule}: {_difference(violation)}" for violation in broken)


def _row_line(row: LedgerRow) -> str:
    what = f"{row.kind:<9} {row.seats} seats"
    whose = "" if row.booking_id is None else f" of booking {row.booking_id}"
    free = f"{row.available_after} of {row.total_after} free"
    return f"{row.sequence:>6}  {row.created_at:%Y-%m-%d %H:%M:%S.%f}  {what}{whose}, by {row.actor}: {free}"
