"""`slotwise import`: doctors, timetables and bookings from CSV files."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import typer

from slotwise.cli.running import CommandFailed, plain_errors, progress_bar, read_settings, run, screen
from slotwise.db.pool import Database
from slotwise.services.booking import booking_imports
from slotwise.services.booking.booking_imports import import_bookings
from slotwise.services.core.import_files import (
    Choices,
    Columns,
    Fault,
    FaultyFile,
    Imported,
    Line,
    Progress,
    read_lines,
)
from slotwise.services.core.seat_events import EVERY_SLOT, announcing_changes
from slotwise.services.schedule import doctor_imports, timetable_imports
from slotwise.services.schedule.doctor_imports import import_doctors
from slotwise.services.schedule.timetable_imports import import_timetables

MOST_SHOWN = 200

Work = Callable[[Database, list[Line], Choices, Progress], Awaitable[Imported]]


def doctors(file: Path, *, dry_run: bool, skip_faulty: bool) -> None:
    order = read_settings().name_order
    _import(
        file,
        doctor_imports.COLUMNS,
        ("doctor", "doctors"),
        Choices(dry_run, skip_faulty),
        lambda database, lines, chosen, progress: import_doctors(database, lines, order, chosen, progress),
    )


def timetables(file: Path, *, dry_run: bool, skip_faulty: bool) -> None:
    first = read_settings().first_clinic
    _import(
        file,
        timetable_imports.COLUMNS,
        ("time", "times"),
        Choices(dry_run, skip_faulty),
        lambda database, lines, chosen, progress: import_timetables(database, lines, first, chosen, progress),
    )


def bookings(file: Path, *, dry_run: bool, skip_faulty: bool) -> None:
    first = read_settings().first_clinic
    _import(
        file,
        booking_imports.COLUMNS,
        ("booking", "bookings"),
        Choices(dry_run, skip_faulty),
        lambda database, lines, chosen, progress: import_bookings(database, lines, first, chosen, progress),
    )


def _import(file: Path, columns: Columns, things: tuple[str, str], choices: Choices, work: Work) -> None:
    with plain_errors():
        lines = _lines_of(file, columns)

    async def on_database(database: Database) -> Imported:
        async with announcing_changes(database) as seats_changed:
            with progress_bar(f"Importing {things[1]}") as progress:
                done = await work(database, lines, choices, progress)
            if done.kept and done.added:
                seats_changed([EVERY_SLOT])
        return done

    done = run(on_database)
    _show(done.faults)
    typer.echo(_summary(done, things, choices))
    if done.faults and not (choices.skip_faulty and done.kept):
        raise typer.Exit(1)


def _lines_of(file: Path, columns: Columns) -> list[Line]:
    try:
        return read_lines(file.read_bytes(), columns)
    except OSError as error:
        raise CommandFailed(f"cannot read {file}: {error.strerror}") from error
    except FaultyFile as error:
        raise CommandFailed(f"{file}: {_told(error.fault)}") from error


def _show(faults: Sequence[Fault]) -> None:
    for fault in faults[:MOST_SHOWN]:
        screen.print(_told(fault), markup=False)
    if len(faults) > MOST_SHOWN:
        screen.print(f"and {len(faults) - MOST_SHOWN} more")


def _told(fault: Fault) -> str:
    return f"line {fault.line}{f', {fault.field}' if fault.field else ''}: {fault.what}"


def _summary(done: Imported, things: tuple[str, str], choices: Choices) -> str:
    added = f"{done.added} {things[done.added != 1]}"
    there = f"{done.already_there} {'was' if done.already_there == 1 else 'were'} there already"
    faulty = len({fault.line for fault in done.faults})
    lines = f"{faulty} faulty {'line' if faulty == 1 else 'lines'}"
    if done.kept:
        return f"Imported {added}; {there}." + (f" Left out {lines}." if faulty else "")
    if not choices.dry_run:
        return (
            f"Nothing was imported: {lines}. Correct them and import the file again, or leave them out: --skip-faulty."
        )
    return f"Dry run: nothing was changed. It would import {added}; {there}." + (
        f" It found {lines}." if faulty else ""
    )
