"""Files to import: CSV (RFC 4180) in UTF-8, with commas or semicolons, and what is wrong with their lines."""

import csv
import io
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from msgspec import Struct

from slotwise.db.pool import Connection, Database
from slotwise.db.statements import NoRow, Statement
from slotwise.domain.errors import InvalidInput
from slotwise.services.core.audit import record_action

# The name of an import in ledger and audit log.
ACTOR = "import"
MOST_LINES = 100_000
DELIMITERS = ",;"

Progress = Callable[[int, int], None]
Reader: TypeAlias = Callable[[], object]

AWAIT_TURN = Statement("core/import_files.await_turn", NoRow)


class Fault(Struct, frozen=True):
    """What is wrong in a line, counted from 1 as an editor does. `field` is a column; empty for the whole line."""

    line: int
    field: str
    what: str


class FaultyFile(Exception):
    """The file cannot be read at all."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.what)
        self.fault = fault


class Line(Struct, frozen=True):
    """The values by column, trimmed. A column that the file does not have is empty."""

    number: int
    values: Mapping[str, str]

    def text(self, column: str) -> str:
        return self.values.get(column, "")


class Columns(Struct, frozen=True):
    """The columns of a kind of file, and other names for them."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    others: Mapping[str, str] = {}

    def name_of(self, heading: str) -> str:
        name = "_".join(heading.strip().lower().replace("-", " ").split())
        return self.others.get(name, name)

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.required, *self.optional)


class Choices(Struct, frozen=True):
    """`dry_run` changes nothing. `skip_faulty` imports the other lines of a file with faulty ones."""

    dry_run: bool = False
    skip_faulty: bool = False


class Imported(Struct):
    """What an import did or, if not `kept`, would have done."""

    added: int
    already_there: int
    faults: list[Fault]
    kept: bool = False


class _Undone(Exception):
    pass


async def import_at_once(
    database: Database, choices: Choices, things: str, work: Callable[[Connection], Awaitable[Imported]]
) -> Imported:
    """Do the work in one transaction, which is undone after a dry run, and if lines are faulty and not skipped.

    `things` are what it adds, such as `doctors`; the audit log says how many.
    One import runs at a time: another one must see what this one adds.
    """
    done: Imported | None = None
    with suppress(_Undone):
        async with database.transaction() as connection:
            await AWAIT_TURN.run(connection)
            done = await work(connection)
            done.faults.sort(key=lambda fault: fault.line)
            if choices.dry_run or (done.faults and not choices.skip_faulty):
                raise _Undone
            if done.added:
                await record_action(connection, ACTOR, f"import_{things}", things, {things: done.added})
        done.kept = True
    assert done is not None
    return done


def read_lines(data: bytes, columns: Columns) -> list[Line]:
    """Raises `FaultyFile`. Empty lines are left out."""
    text = _decoded(data)
    delimiter = max(DELIMITERS, key=lambda one: len(set(_headings(text, one, columns)) & set(columns.all)))
    records = _records(text, delimiter)
    number, heading = next(records, (1, []))
    names = [columns.name_of(cell) for cell in heading]
    _check_heading(names, number, columns)
    lines = []
    for number, cells in records:
        if len(cells) > len(names):
            raise FaultyFile(Fault(number, "", f"has {len(cells)} values, but the first line has {len(names)}"))
        lines.append(Line(number, dict(zip(names, (cell.strip() for cell in cells), strict=False))))
        if len(lines) > MOST_LINES:
            raise FaultyFile(Fault(number, "", f"is too much: a file may have {MOST_LINES:,} lines; divide it"))
    return lines


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        what = "is not UTF-8: save the file as 'CSV UTF-8' and import it again"
        raise FaultyFile(Fault(line, "", what)) from error


def _headings(text: str, delimiter: str, columns: Columns) -> list[str]:
    for record in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter):
        if record:
            return [columns.name_of(cell) for cell in record]
    return []


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each with the number of its first line: a quoted value may have several."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        first = reader.line_num + 1
        try:
            record = next(reader, None)
        except csv.Error as error:
            raise FaultyFile(Fault(first, "", f"is not CSV (RFC 4180): {error}")) from error
        if record is None:
            return
        if any(cell.strip() for cell in record):
            yield first, record


def _check_heading(names: Sequence[str], line: int, columns: Columns) -> None:
    known = ", ".join(columns.all)
    if not names:
        raise FaultyFile(Fault(1, "", f"is missing: the first line names the columns, such as {known}"))
    for name in names:
        if name not in columns.all:
            raise FaultyFile(Fault(line, name, f"is no column of this file; known are {known}"))
        if names.count(name) > 1:
            raise FaultyFile(Fault(line, name, "is there twice"))
    for name in columns.required:
        if name not in names:
            raise FaultyFile(Fault(line, name, "is missing: the first line must name this column"))


def read_fields(line: Line, faults: list[Fault], readers: Mapping[str, Reader]) -> dict[str, Any] | None:
    """Each field read by its reader; None after adding what is wrong with it to `faults`."""
    values: dict[str, Any] = {}
    wrong = []
    for field, read in readers.items():
        try:
            values[field] = read()
        except InvalidInput as error:
            wrong += [Fault(line.number, fault.field, fault.message) for fault in error.errors]
    faults += wrong
    return None if wrong else values


def number_in(line: Line, column: str, least: int, most: int, default: int) -> int:
    """Raises `InvalidInput`."""
    text = line.text(column)
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and least <= int(text) <= most):
        raise InvalidInput.of(column, f"must be a whole number from {least} to {most}")
    return int(text)


def required(line: Line, column: str) -> str:
    """Raises `InvalidInput` if it is empty."""
    text = line.text(column)
    if not text:
        raise InvalidInput.of(column, "must not be empty")
    return text
