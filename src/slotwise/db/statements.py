"""The named SQL statements of `slotwise/sql`, typed by the row they return.

A row of several statements has its columns listed once, in `sql/columns.sql`: `b.booking_columns` stands for them.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, Generic, NamedTuple, TypeVar, get_args, get_origin

import asyncpg
import msgspec

from slotwise.db.connection import Connection

Row = TypeVar("Row", bound=msgspec.Struct)

_HEADER = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_]+)")
# Of a table, as in `b.booking_columns`, or of a composite value, as in `(h.booking).booking_columns`.
_COLUMNS = re.compile(r"(\w+|\(\w+\.\w+\))\.(\w+_columns)\b")
_LISTED = re.compile(r"\bSELECT\b(.*)\bFROM\b", re.DOTALL)


class _Nested(NamedTuple):
    """A field that is a row itself: its columns stand side by side, all null where there is none."""

    place: int
    end: int
    row: type[msgspec.Struct]


class Statement(Generic[Row]):
    """One SQL statement. Parameters are passed by their names in the SQL; a missing or unknown one is an error."""

    def __init__(self, name: str, row: type[Row]) -> None:
        feature, _, statement = name.partition(".")
        self.name = name
        self.row = row
        self.text, self.parameters = _numbered(sql_of(feature)[statement])
        self._enumerations = [
            (place, {member.value: member for member in kind})
            for place, field in enumerate(columns_of(row))
            if (kind := _enumeration(field.type))
        ]
        self._tuples = [place for place, field in enumerate(columns_of(row)) if _is_tuple(field.type)]
        self._nested = _nested_rows(row)

    async def all(self, connection: Connection, **arguments: object) -> list[Row]:
        records = await connection.fetch(self.text, *self._in_order(arguments))
        return [self._row_of(record) for record in records]

    async def first(self, connection: Connection, **arguments: object) -> Row | None:
        rows = await self.all(connection, **arguments)
        return rows[0] if rows else None

    async def one(self, connection: Connection, **arguments: object) -> Row:
        """The row of a statement that always returns one."""
        row = await self.first(connection, **arguments)
        if row is None:
            raise LookupError(f"{self.name} returned no row")
        return row

    async def run(self, connection: Connection, **arguments: object) -> None:
        await connection.execute(self.text, *self._in_order(arguments))

    def _row_of(self, record: "asyncpg.Record") -> Row:
        """The columns have the order and types of the fields: tests check that for every statement."""
        if not (self._enumerations or self._tuples or self._nested):
            return self.row(*record)
        values = list(record)
        for place, members in self._enumerations:
            if values[place] is not None:
                values[place] = members[values[place]]
        for place in self._tuples:
            if values[place] is not None:
                values[place] = tuple(values[place])
        for place, end, row in self._nested:
            values[place:end] = (None if values[place] is None else row(*values[place:end]),)
        return self.row(*values)

    def _in_order(self, arguments: Mapping[str, object]) -> list[object]:
        if len(arguments) != len(self.parameters):
            raise TypeError(f"{self.name} takes {self.parameters}, not {tuple(arguments)}")
        return [arguments[name] for name in self.parameters]


class NoRow(msgspec.Struct):
    """The row type of a statement whose rows, if any, are not read."""


class RowId(msgspec.Struct, frozen=True):
    """The row type of a statement of which only ids are read."""

    id: int


@cache
def sql_of(feature: str) -> Mapping[str, str]:
    """The statements of `sql/<feature>.sql` by name, comments included."""
    source = (files("slotwise.sql") / f"{feature}.sql").read_text(encoding="utf-8")
    _, *parts = _HEADER.split(source)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def columns_of(row: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    """The fields that are columns, in their order; those of a nested row in its place."""
    found: list[msgspec.structs.FieldInfo] = []
    for field in msgspec.structs.fields(row):
        nested = _row_in(field.type)
        found += [field] if nested is None else columns_of(nested)
    return found


def _nested_rows(row: type[msgspec.Struct]) -> list[_Nested]:
    """Where each nested row begins and ends. The rows before it are made first, so each of them is one value."""
    rows = [_row_in(field.type) for field in msgspec.structs.fields(row)]
    return [_Nested(place, place + len(columns_of(kind)), kind) for place, kind in enumerate(rows) if kind is not None]


def _row_in(annotation: Any) -> type[msgspec.Struct] | None:
    kinds = [annotation, *get_args(annotation)]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, msgspec.Struct)), None)


def _enumeration(annotation: object) -> type[StrEnum] | None:
    """The field's type if it is an enumeration. Only for these the driver returns another type: text."""
    return annotation if isinstance(annotation, type) and issubclass(annotation, StrEnum) else None


def _is_tuple(annotation: object) -> bool:
    """Whether the field's type is a tuple, or may be None: the driver returns arrays as lists."""
    return any(get_origin(kind) is tuple for kind in (annotation, *get_args(annotation)))


def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """The SQL with PostgreSQL's `$1` in place of `:name`, and the names in the order of their numbers."""
    bare = _with_columns(_COMMENT.sub("", sql)).strip().rstrip(";")
    names = tuple(dict.fromkeys(_PARAMETER.findall(bare)))
    numbers: dict[str, Any] = {name: f"${number}" for number, name in enumerate(names, 1)}
    return _PARAMETER.sub(lambda match: numbers[match[1]], bare), names


def _with_columns(sql: str) -> str:
    return _COLUMNS.sub(lambda match: ", ".join(f"{match[1]}.{name}" for name in listed_columns(match[2])), sql)


@cache
def listed_columns(name: str) -> list[str]:
    """The columns that a name such as `booking_columns` stands for."""
    listed = _LISTED.search(_COMMENT.sub("", sql_of("columns")[name]))
    if listed is None:
        raise ValueError(f"{name} in sql/columns.sql is no SELECT")
    return [column.strip().rpartition(".")[2] for column in listed[1].split(",")]
