"""Every named statement, compared with the migrated schema, its declaration and its callers.

A check is a function that takes what it checks and returns the faults as readable lines. The tests require that the
package has none, and that the check finds the fault in a statement that is wrong on purpose.
"""

import ast
import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, Union, get_args, get_origin

import asyncpg
import msgspec
import pytest

import slotwise
import slotwise.db.statements
from slotwise.db.statements import NoRow, Statement, columns_of, sql_of
from slotwise.domain.bookings import Booking, BookingStatus
from tests.architecture.sources import ROOT, Source, functions, sources, statement_features

AnyStatement: TypeAlias = Statement[Any]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

METHODS = {"all", "first", "one", "run"}

POSTGRES_TYPES: dict[object, set[str]] = {
    int: {"int2", "int4", "int8"},
    str: {"text", "varchar", "name"},
    bool: {"bool"},
    bytes: {"bytea"},
    date: {"date"},
    datetime: {"timestamptz"},
    list[int]: {"int8[]"},
    list[str]: {"text[]"},
    list[datetime]: {"timestamptz[]"},
    tuple[int, ...]: {"int8[]"},
}

# Of these names, the driver's `datetime` has no zone.
WALL_TIMES = {"local_start"}

LOCKS_IN_FULL = {
    "core/idempotency.prune_answers",  # deletes what it locks, and DELETE takes the full lock anyway
    "schedule/clinics.keep_clinic",  # a shared lock: many may add times at one clinic, while nobody closes it
}


# What is checked: files, declarations, calls.


def names_in_files() -> list[str]:
    return [f"{feature}.{name}" for feature in statement_features() for name in sql_of(feature)]


def sql_with_comments(name: str) -> str:
    feature, _, statement = name.partition(".")
    return sql_of(feature)[statement]


def statements_in(value: object) -> Iterator[AnyStatement]:
    """The statements that a module's attribute is or holds."""
    if isinstance(value, Statement):
        yield value
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from statements_in(item)
    elif isinstance(value, Mapping):
        yield from statements_in(tuple(value.values()))
    elif isinstance(value, msgspec.Struct) and type(value).__module__.startswith("slotwise."):
        yield from statements_in([getattr(value, field) for field in value.__struct_fields__])


@cache
def declared() -> tuple[AnyStatement, ...]:
    """Every statement of the package, once, however many modules import it."""
    modules = [importlib.import_module(found.name) for found in pkgutil.walk_packages(slotwise.__path__, "slotwise.")]
    found = [statement for module in modules for value in vars(module).values() for statement in statements_in(value)]
    return tuple({id(statement): statement for statement in found}.values())


class Call(NamedTuple):
    """A place where a statement is executed, with the names of its arguments there."""

    statement: AnyStatement
    place: str
    method: str
    arguments: frozenset[str]


def calls_in(source: Source, namespace: Mapping[str, object]) -> Iterator[Call]:
    """Calls such as `X.all(connection, ...)`, where X is a statement of `namespace` or some object's `.statement`."""
    unnamed = [one for value in namespace.values() if not isinstance(value, Statement) for one in statements_in(value)]
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
            continue
        match node.func.value:
            case ast.Name(id=name):
                called = list(statements_in(namespace.get(name)))
            case ast.Attribute(attr="statement"):
                called = unnamed
            case _:
                called = []
        arguments = frozenset(
            name
            for keyword in node.keywords
            for name in ([keyword.arg] if keyword.arg else spread(source, keyword.value))
        )
        for statement in called:
            yield Call(statement, f"{source.path}:{node.lineno}", node.func.attr, arguments)


def spread(source: Source, value: ast.expr) -> list[str]:
    """The names in `**arguments`, where `arguments` comes from a function of the same module that returns a literal."""
    assigned = [
        node.value
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == ast.unparse(value)
        and isinstance(node.value, ast.Call)
    ]
    return [name for call in assigned for name in returned_names(source, call)] or ["**"]


def returned_names(source: Source, call: ast.expr) -> list[str]:
    """The keys of the literal that a function of the module returns, with those that it takes from another function."""
    assert isinstance(call, ast.Call), f"{ast.unparse(call)} is not a call of a function of {source.path}"
    called = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    literals = [
        node.value
        for function in functions(source.tree)
        if function.name == called
        for node in ast.walk(function)
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict)
    ]
    return [
        name
        for literal in literals
        for key, value in zip(literal.keys, literal.values, strict=True)
        for name in ([str(ast.literal_eval(key))] if key else returned_names(source, value))
    ]


@cache
def calls() -> tuple[Call, ...]:
    return tuple(
        call for source in sources() for call in calls_in(source, vars(importlib.import_module(source.module)))
    )


# The checks.


def declaration_faults(names: Iterable[str], statements: Iterable[AnyStatement]) -> list[str]:
    """Statements that are not declared exactly once."""
    uses = Counter(statement.name for statement in statements)
    return [f"{name} is declared {uses[name]} times" for name in names if uses[name] != 1]


def hidden_declarations(found: Iterable[Source], known: Iterable[AnyStatement]) -> set[str]:
    """Names given to `Statement(...)` anywhere in the source, without those that a module's attributes lead to."""
    written = {
        str(ast.literal_eval(node.args[0])) if isinstance(node.args[0], ast.Constant) else ast.unparse(node)
        for source in found
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).partition("[")[0] == "Statement"
    }
    return written - {statement.name for statement in known}


def call_faults(statements: Iterable[AnyStatement], found: Iterable[Call]) -> list[str]:
    """Statements that nothing calls, and calls whose arguments or use of rows do not fit."""
    found = list(found)
    called = {id(call.statement) for call in found}
    faults = [f"{statement.name} is never called" for statement in statements if id(statement) not in called]
    for call in found:
        if call.arguments != set(call.statement.parameters):
            different = sorted(call.arguments ^ set(call.statement.parameters))
            faults.append(f"{call.place} and {call.statement.name} differ in {', '.join(different)}")
        if call.method != "run" and call.statement.row is NoRow:
            faults.append(f"{call.place} reads rows of {call.statement.name}, which has none")
    return faults


async def row_faults(connection: Connection, statement: AnyStatement) -> list[str]:
    """Differences between the columns of a statement, as PostgreSQL prepares it, and the fields of its row."""
    try:
        prepared = await connection.prepare(statement.text)
    except asyncpg.PostgresError as error:
        return [f"{statement.name} cannot be prepared: {error}"]
    if statement.row is NoRow:
        return []
    columns = [(column.name, column.type.name) for column in prepared.get_attributes()]
    fields = columns_of(statement.row)
    if [name for name, _ in columns] != [field.name for field in fields]:
        return [f"{statement.name} returns {[name for name, _ in columns]}, not {[field.name for field in fields]}"]
    hidden = [
        f"{statement.name}.{field.name} is {field.type}, whose text nobody makes a member"
        for field in fields
        if not isinstance(field.type, type) and any(map(is_enumeration, get_args(field.type)))
    ]
    return hidden + [
        f"{statement.name}.{name} is {kind}, which does not fit {field.type}"
        for (name, kind), field in zip(columns, fields, strict=True)
        if kind not in ({"timestamp"} if name in WALL_TIMES else fitting(field.type))
    ]


def is_enumeration(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, StrEnum)


def fitting(annotation: Any) -> set[str]:
    """The PostgreSQL types whose values the driver returns in a form that fits `annotation`."""
    origin = get_origin(annotation)
    if origin in {Union, UnionType}:
        return set.intersection(*(fitting(part) for part in get_args(annotation) if part is not NoneType))
    if origin is Annotated:
        return fitting(get_args(annotation)[0])
    if origin is Literal:
        return set.intersection(*(fitting(type(value)) for value in get_args(annotation)))
    if is_enumeration(annotation):
        return fitting(str)
    return POSTGRES_TYPES.get(annotation, set())


async def array_faults(connection: Connection, statement: AnyStatement) -> list[str]:
    """Array parameters that are used anywhere without a cast: PostgreSQL would guess their type from the place."""
    prepared = await connection.prepare(statement.text)
    arrays = [
        name for name, kind in zip(statement.parameters, prepared.get_parameters(), strict=True) if kind.kind == "array"
    ]
    uncast = [
        name
        for name in arrays
        if re.search(rf"\${statement.parameters.index(name) + 1}\b(?!::\w+ ?\[\])", statement.text)
    ]
    return [f"{statement.name} does not cast :{name}" for name in uncast]


def text_faults(name: str, sql: str) -> list[str]:
    """The project's rules that the text of a statement breaks, including its comments."""
    purpose = sql.strip().splitlines()[0]
    bare = re.sub(r"--[^\n]*", "", sql)
    rules: dict[str, bool] = {
        "has no line of purpose": not re.fullmatch(r"-- [A-Z`].*\w.*", purpose),
        "uses OFFSET": bool(re.search(r"\bOFFSET\b", bare, re.IGNORECASE)),
        "returns *": bool(re.search(r"\b(SELECT|RETURNING)\s+(\w+\.)?\*", outermost(bare), re.IGNORECASE)),
        "has a literal that the loader would misread": any(
            re.search(r"--|(?<![:\w]):[a-z_]", literal) for literal in literals(sql)
        ),
    }
    return [f"{name} {fault}" for fault, found in rules.items() if found] + lock_faults(name, sql)


def literals(sql: str) -> list[str]:
    """The string literals of a statement; an apostrophe in a comment opens none."""
    return [match[1] for match in re.finditer(r"--[^\n]*|'([^']*)'", sql) if match[1] is not None]


def lock_faults(name: str, sql: str) -> list[str]:
    bare = re.sub(r"--[^\n]*", "", sql)
    lock = re.search(r"\bFOR\s+(NO\s+KEY\s+UPDATE|UPDATE|SHARE|KEY\s+SHARE)\b", bare)
    if lock is None:
        return [f"{name} locks nothing"] if name.partition(".")[2].startswith("lock_") else []
    faults = []
    if lock[1] != "NO KEY UPDATE" and name not in LOCKS_IN_FULL:
        faults.append(f"{name} locks FOR {lock[1]}")
    if not re.search(
        r"\bORDER BY [\w.]+\s*(LIMIT \S+\s*)?$|\bWHERE (\w+\.)?id = :\w+::bigint\s*$", bare[: lock.start()]
    ):
        faults.append(f"{name} locks rows in no order")
    comments = " ".join(re.findall(r"--([^\n]*)", sql))
    if not re.search(r"\block|LOCKED|\bremoves\b", comments, re.IGNORECASE):
        faults.append(f"{name} does not say what it locks")
    return faults


def outermost(sql: str) -> str:
    """A statement without the parts in parentheses: the SELECT that makes its rows."""
    inner = re.compile(r"\([^()]*\)")
    while inner.search(sql):
        sql = inner.sub("", sql)
    return sql


# Planting.


class Two(msgspec.Struct):
    id: int
    name: str


Plant: TypeAlias = Callable[..., AnyStatement]


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Plant:
    """Declares a statement of any text, through the real constructor."""

    def declare(sql: str, row: type[msgspec.Struct] = Two) -> AnyStatement:
        monkeypatch.setattr(slotwise.db.statements, "sql_of", lambda _: {"wrong": sql})
        return Statement("planted.wrong", row)

    return declare


GOOD = "SELECT d.id, d.name FROM doctors AS d WHERE d.id = :doctor_id::bigint"


# The tests.


def test_every_statement_is_declared_once() -> None:
    assert len(names_in_files()) > 40
    assert not declaration_faults(names_in_files(), declared())
    assert {statement.name for statement in declared()} == set(names_in_files())


def test_a_statement_that_is_not_declared_or_declared_twice_is_noticed(plant: Plant) -> None:
    assert declaration_faults(["planted.wrong"], []) == ["planted.wrong is declared 0 times"]
    assert declaration_faults(["planted.wrong"], [plant(GOOD), plant(GOOD)]) == ["planted.wrong is declared 2 times"]


def test_a_name_is_used_once_in_a_file_of_statements() -> None:
    for feature in statement_features():
        text = (ROOT / "sql" / f"{feature}.sql").read_text()
        headers = re.findall(r"^--\s*name:.*$", text, re.MULTILINE)
        assert len(headers) == len(set(headers)) == len(sql_of(feature)), feature


def test_no_statement_is_declared_where_this_test_cannot_see_it() -> None:
    assert not hidden_declarations(sources(), declared())
    planted = Source.of("services/schedule/slots.py", 'async def find(): return Statement("schedule/slots.find", Slot)')
    assert hidden_declarations([planted], declared()) == {"schedule/slots.find"}


def test_every_caller_gives_the_parameters_that_the_sql_names() -> None:
    assert not call_faults(declared(), calls())


@pytest.mark.parametrize(
    ("call", "faults"),
    [
        ("WRONG.first(connection, doctor_id=1)", []),
        ("WRONG.first(connection, id=1)", ["planted.py:1 and planted.wrong differ in doctor_id, id"]),
        ("WRONG.first(connection)", ["planted.py:1 and planted.wrong differ in doctor_id"]),
        ("WRONG.first(connection, **given)", ["planted.py:1 and planted.wrong differ in **, doctor_id"]),
        ("rule.statement.all(connection, doctor_id=1)", ["planted.wrong is never called"]),
        ("WRONG.text", ["planted.wrong is never called"]),
    ],
)
def test_a_caller_that_gives_others_is_noticed(plant: Plant, call: str, faults: list[str]) -> None:
    statement = plant(GOOD)
    found = calls_in(Source.of("planted.py", call), {"WRONG": statement})
    assert call_faults([statement], found) == faults


def test_a_call_through_a_container_counts_for_every_statement_in_it(plant: Plant) -> None:
    statements = plant(GOOD), plant(GOOD)
    found = calls_in(Source.of("planted.py", "rule.statement.all(connection, id=1)"), {"RULES": statements})
    assert call_faults(statements, found) == ["planted.py:1 and planted.wrong differ in doctor_id, id"] * 2


def test_a_caller_that_reads_rows_where_none_are_is_noticed(plant: Plant) -> None:
    statement = plant("DELETE FROM doctors", NoRow)
    found = calls_in(Source.of("planted.py", "WRONG.all(connection)"), {"WRONG": statement})
    assert call_faults([statement], found) == ["planted.py:1 reads rows of planted.wrong, which has none"]


async def test_every_statement_returns_the_columns_of_its_row(connection: Connection) -> None:
    faults = [fault for statement in declared() for fault in await row_faults(connection, statement)]
    assert not faults


@pytest.mark.parametrize(
    ("sql", "fault"),
    [
        ("SELECT d.id, d.nickname FROM doctors AS d", "cannot be prepared: column d.nickname does not exist"),
        ("SELECT d.name, d.id FROM doctors AS d", "returns ['name', 'id'], not ['id', 'name']"),
        ("SELECT d.id FROM doctors AS d", "returns ['id'], not ['id', 'name']"),
        ("SELECT d.id, d.active AS name FROM doctors AS d", "name is bool, which does not fit <class 'str'>"),
        ("SELECT sum(d.id) AS id, 'x' AS name FROM doctors AS d", "id is numeric, which does not fit <class 'int'>"),
    ],
)
async def test_a_statement_that_returns_other_columns_is_noticed(
    connection: Connection, plant: Plant, sql: str, fault: str
) -> None:
    [found] = await row_faults(connection, plant(sql))
    assert found.removeprefix("planted.wrong").lstrip(" .") == fault


async def test_a_row_is_built_by_place_and_its_enumerations_are_members(connection: Connection, plant: Plant) -> None:
    class Found(msgspec.Struct):
        name: str
        status: BookingStatus
        id: int
        note: str = "none"

    sql = "SELECT 'Ada' AS name, 'CONFIRMED' AS status, :id::bigint AS id"
    short = await plant(sql, Found).one(connection, id=7)
    assert (short.name, short.id, short.note) == ("Ada", 7, "none")
    assert short.status is BookingStatus.CONFIRMED
    [fault] = await row_faults(connection, plant(sql, Found))
    assert fault == "planted.wrong returns ['name', 'status', 'id'], not ['name', 'status', 'id', 'note']"


async def test_a_status_that_no_version_knows_is_a_defect_and_not_a_row(connection: Connection, plant: Plant) -> None:
    class Found(msgspec.Struct):
        status: BookingStatus

    with pytest.raises(KeyError, match="MAYBE"):
        await plant("SELECT 'MAYBE' AS status", Found).one(connection)


async def test_an_enumeration_that_would_stay_mere_text_is_noticed(connection: Connection, plant: Plant) -> None:
    class Found(msgspec.Struct):
        status: BookingStatus | None

    [fault] = await row_faults(connection, plant("SELECT 'FAILED' AS status", Found))
    assert fault.endswith("whose text nobody makes a member")


def test_the_types_that_fit_a_field_follow_from_its_annotation() -> None:
    types = {field.name: fitting(field.type) for field in msgspec.structs.fields(Booking)}
    assert types["status"] == types["user_name"] == POSTGRES_TYPES[str]
    assert types["expires_at"] == {"timestamptz"}
    assert fitting(Literal["confirmed", "expired"]) == POSTGRES_TYPES[str]
    assert not fitting(float)


async def test_every_array_parameter_is_cast(connection: Connection) -> None:
    faults = [fault for statement in declared() for fault in await array_faults(connection, statement)]
    assert not faults


async def test_an_array_parameter_without_a_cast_is_noticed(connection: Connection, plant: Plant) -> None:
    uncast = plant("SELECT d.id, d.name FROM doctors AS d WHERE d.id = any(:ids)")
    assert await array_faults(connection, uncast) == ["planted.wrong does not cast :ids"]
    once = plant("SELECT d.id, d.name FROM doctors AS d WHERE d.id = any(:ids::bigint[]) OR d.id = any(:ids)")
    assert await array_faults(connection, once) == ["planted.wrong does not cast :ids"]


def test_the_text_of_every_statement_keeps_the_rules() -> None:
    assert not [fault for name in names_in_files() for fault in text_faults(name, sql_with_comments(name))]


@pytest.mark.parametrize(
    ("sql", "faults"),
    [
        ("-- Reads one.\nSELECT d.id FROM doctors AS d", []),
        ("-- Writes.\nWITH w AS (SELECT w.* FROM unnest(:a::int[]) AS w (b)) SELECT w.b FROM w", []),
        ("SELECT d.id FROM doctors AS d", ["has no line of purpose"]),
        ("--\nSELECT d.id FROM doctors AS d", ["has no line of purpose"]),
        ("-- Reads.\nSELECT d.id FROM doctors AS d LIMIT 1 OFFSET 10", ["uses OFFSET"]),
        ("-- Reads.\nSELECT d.* FROM doctors AS d", ["returns *"]),
        ("-- Writes.\nWITH w AS (SELECT 1) INSERT INTO doctors (name) VALUES ('') RETURNING *", ["returns *"]),
        ("-- Reads.\nSELECT '-- no comment' AS a", ["has a literal that the loader would misread"]),
        ("-- Reads.\nSELECT ' :minutes' AS a", ["has a literal that the loader would misread"]),
        ("-- Takes a lock.\nSELECT s.id FROM t AS s WHERE s.id = :id::bigint\nFOR UPDATE", ["locks FOR UPDATE"]),
        ("-- Takes a lock.\nSELECT s.id FROM t AS s WHERE s.id = :id::bigint\nFOR SHARE", ["locks FOR SHARE"]),
        ("-- Takes locks.\nSELECT s.id FROM t AS s\nFOR NO KEY UPDATE", ["locks rows in no order"]),
        ("-- Reads.\nSELECT s.id FROM t AS s ORDER BY s.id\nFOR NO KEY UPDATE", ["does not say what it locks"]),
    ],
)
def test_a_text_that_breaks_a_rule_is_noticed(sql: str, faults: list[str]) -> None:
    assert text_faults("planted.wrong", sql) == [f"planted.wrong {fault}" for fault in faults]


def test_a_statement_named_for_a_lock_takes_one() -> None:
    assert text_faults("planted.lock_slot", "-- Takes a lock.\nSELECT 1") == ["planted.lock_slot locks nothing"]


def test_a_call_with_a_missing_or_unknown_argument_is_an_error(plant: Plant) -> None:
    statement = plant(GOOD)
    for arguments in ({}, {"doctor_id": 1, "more": 2}):
        with pytest.raises(TypeError, match=r"planted\.wrong takes"):
            statement._in_order(arguments)
    with pytest.raises(KeyError):
        statement._in_order({"id": 1})


def test_every_function_that_calls_a_statement_holds_a_connection() -> None:
    """A statement never gets its own connection: its caller decides about the transaction."""
    for source in sources():
        for function in functions(source.tree):
            for node in ast.walk(function):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
                    name = ast.unparse(node.func.value)
                    if name.isupper() or name.endswith(".statement"):
                        assert [ast.unparse(argument) for argument in node.args] == ["connection"], source.path
