"""The functions of the migrated schema and their rules. Each check is also run on a planted fault.

A check is a function that takes what it checks and returns the faults as readable lines.
"""

import ast
import re
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias, get_args

import asyncpg
import msgspec
import pytest

from slotwise.services.booking.batches import Cancelled, Confirmed, HoldRow
from slotwise.services.privacy.personal_data import ErasureRow
from slotwise.services.schedule.slots import SlotUpdate
from slotwise.services.schedule.visit_types import VisitTypesSet
from tests.architecture.sources import Source, sources
from tests.db.test_statements import names_in_files, sql_with_comments

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SETTINGS = {"plan_cache_mode=force_generic_plan", "enable_seqscan=off"}
LOCKS_ARE_HELD_BY_THE_CALLER = {
    "carve_slots",
    "close_empty_slots",
    "expire_holds",
    "take_added_seats",
    "take_over_slots",
    "write_windows",
}

# Wrappers under their old names, which only servers of the release before call.
FOR_THE_RELEASE_BEFORE = {"apply_schedule", "carve_slot", "hold_seats", "hold_seats_2", "replace_hold"}

# No command takes the name of a table as a value. These take it from the catalogue.
BUILD_COMMANDS = {"analyze_grown_tables"}

# They use the clock only to find what to lock. The function that they call next decides what is overdue.
LOOKS_BEFORE_IT_LOCKS = {"sweep_holds": "expire_holds"}

_TAKES = r"(?:\bPERFORM\b|:= ARRAY\()"
_LOCK = re.compile(rf"{_TAKES}[^;]*\bFROM appointment_slots\b[^;]*\bFOR NO KEY UPDATE\b[^;]*;")
_ORDERED_LOCK = re.compile(
    rf"{_TAKES}[^;]*\bORDER BY s\.id\s+(?:LIMIT \w+\s+)?FOR NO KEY UPDATE(?: SKIP LOCKED\s*\))?;"
)
_WRITE = re.compile(r"\bINSERT INTO (?!audit_log\b)|\bUPDATE (?!SET\b|SKIP\b)\w+|\bDELETE FROM\b|\bexpire_holds\(")
_CLOCK = re.compile(r"\bclock_timestamp\(\)")


class Function(NamedTuple):
    """`code` is the body without its comments."""

    name: str
    code: str
    settings: frozenset[str] = frozenset(SETTINGS)
    is_trigger: bool = False

    def calls(self, other: str) -> bool:
        return re.search(rf"\b{other}\s*\(", self.code) is not None


async def functions_of(connection: Connection) -> list[Function]:
    """The functions of the schema itself, without those of extensions."""
    rows = await connection.fetch(
        "SELECT p.proname, p.prosrc, p.proconfig, p.prorettype = 'trigger'::regtype AS is_trigger"
        " FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang"
        " WHERE p.pronamespace = 'public'::regnamespace AND l.lanname = 'plpgsql' ORDER BY p.proname"
    )
    return [
        Function(
            row["proname"],
            re.sub(r"--[^\n]*", "", row["prosrc"]),
            frozenset(row["proconfig"] or ()),
            row["is_trigger"],
        )
        for row in rows
    ]


def uncalled(found: Iterable[Function], statements: Iterable[str]) -> list[str]:
    """Functions that neither a named statement nor another function calls."""
    found = list(found)
    texts = [re.sub(r"--[^\n]*", "", text) for text in statements]
    return [
        one.name
        for one in found
        if not any(re.search(rf"\b{one.name}\s*\(", text) for text in texts)
        and not any(other.calls(one.name) for other in found if other.name != one.name)
    ]


def faults(one: Function) -> list[str]:
    """The rules of the booking path that a function breaks."""
    write, lock, clock = (found.search(one.code) for found in (_WRITE, _LOCK, _CLOCK))
    leaves_locks = one.name in LOCKS_ARE_HELD_BY_THE_CALLER
    locked = lock.end() if lock else -1
    rules = {
        "plans anew, or by reading whole tables": not one.settings >= SETTINGS,
        "locks, though its caller has": leaves_locks and lock is not None,
        "writes without a lock": write is not None and lock is None and not leaves_locks,
        "writes before it locks": bool(write and lock and write.start() < locked),
        "reads the clock before it locks": bool(clock and lock and clock.start() < locked) and not _decides_later(one),
        "locks in no order": lock is not None and not _ORDERED_LOCK.search(one.code),
        "locks twice": len(_LOCK.findall(one.code)) > 1,
        "reads the transaction's clock": re.search(r"(?<![.\w])now\(\)|\bcurrent_timestamp\b", one.code, re.I)
        is not None,
        "builds SQL from text": one.name not in BUILD_COMMANDS and re.search(r"\bEXECUTE\b", one.code) is not None,
    }
    return [f"{one.name} {fault}" for fault, found in rules.items() if found]


def _decides_later(one: Function) -> bool:
    """Whether, after its lock, it reads no clock but passes what it locked to a function that does."""
    _, *rest = _LOCK.split(one.code)
    decides = LOOKS_BEFORE_IT_LOCKS.get(one.name)
    return decides is not None and re.search(rf"\b{decides}\(", "".join(rest)) is not None


def _calls(function: ast.AST, name: str) -> list[ast.Call]:
    return [node for node in ast.walk(function) if isinstance(node, ast.Call) and ast.unparse(node.func) == name]


async def test_every_function_is_called_by_a_statement_or_another_function(connection: Connection) -> None:
    found = [one for one in await functions_of(connection) if not one.is_trigger]
    names = {"hold_seats", "confirm_bookings", "cancel_bookings", "expire_holds", "sweep_holds"}
    assert {one.name for one in found} >= names
    not_called = uncalled(found, [sql_with_comments(name) for name in names_in_files()])
    assert set(not_called) == FOR_THE_RELEASE_BEFORE


async def test_every_trigger_function_has_a_trigger(connection: Connection) -> None:
    used = await connection.fetch(
        "SELECT DISTINCT tgfoid::regproc::text AS name FROM pg_trigger WHERE NOT tgisinternal"
    )
    assert {one.name for one in await functions_of(connection) if one.is_trigger} == {row["name"] for row in used}


def test_an_uncalled_function_is_noticed() -> None:
    assert uncalled([Function("forgotten", "PERFORM forgotten();")], ["-- forgotten()\nSELECT 1"]) == ["forgotten"]
    assert not uncalled([Function("used", "")], ["SELECT u.id FROM used(1) AS u"])
    assert not uncalled([Function("used", ""), Function("user", "PERFORM used (1);")], ["SELECT user(1)"])


async def test_every_function_keeps_the_rules_of_the_booking_path(connection: Connection) -> None:
    found = [one for one in await functions_of(connection) if not one.is_trigger]
    assert not [fault for one in found for fault in faults(one)]


LOCK = "PERFORM 1 FROM appointment_slots AS s WHERE s.id = any(slot_ids) ORDER BY s.id FOR NO KEY UPDATE;"
WRITE = "UPDATE bookings SET status = 'FAILED';"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (WRITE, "writes without a lock"),
        ("PERFORM expire_holds(slot_ids, 'booking');", "writes without a lock"),
        (f"{WRITE} {LOCK}", "writes before it locks"),
        (f"clock := clock_timestamp(); {LOCK} {WRITE}", "reads the clock before it locks"),
        (f"{LOCK.replace('ORDER BY s.id ', '')} {WRITE}", "locks in no order"),
        (f"{LOCK.replace('s.id FOR', 's.id DESC FOR')} {WRITE}", "locks in no order"),
        (f"{LOCK} {LOCK} {WRITE}", "locks twice"),
        (f"{LOCK} clock := now(); {WRITE}", "reads the transaction's clock"),
        (f"{LOCK} EXECUTE 'DELETE ' || name;", "builds SQL from text"),
    ],
)
def test_a_function_that_breaks_a_rule_is_noticed(code: str, fault: str) -> None:
    assert faults(Function("planted", code)) == [f"planted {fault}"]
    assert not faults(Function("planted", f"{LOCK} clock := clock_timestamp(); SELECT c.now; {WRITE}"))


def test_a_sweep_that_decides_by_what_it_saw_before_the_lock_is_noticed() -> None:
    lock = (
        "locked := ARRAY(SELECT s.id FROM appointment_slots AS s WHERE clock_timestamp() > b.expires_at"
        " ORDER BY s.id FOR NO KEY UPDATE SKIP LOCKED);"
    )
    assert not faults(Function("sweep_holds", f"{lock} SELECT e.holds FROM expire_holds(locked, 'x') AS e;"))
    assert faults(Function("sweep_holds", f"{lock} {WRITE}")) == ["sweep_holds reads the clock before it locks"]
    unordered = lock.replace("ORDER BY s.id ", "")
    found = faults(Function("sweep_holds", f"{unordered} PERFORM expire_holds(locked, 'x');"))
    assert found == ["sweep_holds locks in no order"]


def test_a_function_without_its_settings_is_noticed() -> None:
    bare = Function("planted", f"{LOCK} {WRITE}", frozenset({"enable_seqscan=off"}))
    assert faults(bare) == ["planted plans anew, or by reading whole tables"]


def test_holds_expire_under_a_lock_that_no_message_holds() -> None:
    """`expire_holds` takes no lock by itself: only the functions that do may call it."""
    assert not [source.path for source in sources() if _calls(source.tree, "expire_holds")]
    assert not [name for name in names_in_files() if "FROM expire_holds(" in sql_with_comments(name)]
    assert _calls(Source.of("planted.py", "async def tidy(): await expire_holds([1], 'tidy')").tree, "expire_holds")


def test_no_statement_locks_a_slot() -> None:
    """A lock of a slot is held as long as a function runs, and never while a message travels."""
    assert not locking_slots({name: sql_with_comments(name) for name in names_in_files()})
    locking = "SELECT s.id FROM appointment_slots AS s WHERE s.id = 1 FOR NO KEY UPDATE"
    assert locking_slots({"a": locking, "b": "UPDATE appointment_slots AS s SET status = 'CLOSED'"}) == ["a", "b"]


def locking_slots(statements: dict[str, str]) -> list[str]:
    return [
        name
        for name, sql in statements.items()
        if re.search(r"appointment_slots\b.*\bFOR (NO KEY )?(UPDATE|SHARE)|UPDATE appointment_slots\b", sql, re.DOTALL)
    ]


OUTCOMES = [
    ("hold_seats_3 hold_times check_visit check_patient check_types", HoldRow, {"NEW", "RETURNING"}),
    ("confirm_bookings confirm_bookings_2 check_patient", Confirmed, {"not_found"}),
    ("cancel_bookings cancel_bookings_2", Cancelled, {"not_found"}),
    ("set_visit_types", VisitTypesSet, set()),
    ("erase_personal_data", ErasureRow, set()),
    ("update_slot", SlotUpdate, set()),
]


@pytest.mark.parametrize(("name", "row", "left_out"), OUTCOMES, ids=[name for name, _, _ in OUTCOMES])
async def test_a_function_has_the_outcomes_that_its_row_names_and_no_other(
    connection: Connection, name: str, row: type[msgspec.Struct], left_out: set[str]
) -> None:
    """The type checker checks each `match` over the outcomes; this test makes that check meaningful."""
    texts = await connection.fetch("SELECT prosrc FROM pg_proc WHERE proname = any($1::text[])", name.split())
    assert len(texts) == len(name.split())
    code = "\n".join(re.sub(r"--[^\n]*", "", row["prosrc"]) for row in texts)
    said = set(re.findall(r"(?:\bTHEN|\bELSE|:=|\bRETURN|\bSELECT b,)\s+'([a-z_]+)'", code))
    [outcome] = [field for field in msgspec.structs.fields(row) if field.name == "outcome"]
    assert said - left_out == set(get_args(outcome.type))


async def test_every_function_compiles_with_all_of_plpgsqls_own_checks(connection: Connection) -> None:
    """Shadowed variables and selects that leave values over are errors here and silent in production."""
    # No "too_many_rows", which only shows when a function runs.
    await connection.execute("SET plpgsql.extra_errors = 'shadowed_variables, strict_multi_assignment'")
    for one in await functions_of(connection):
        text = await connection.fetchval("SELECT pg_get_functiondef($1::text::regproc)", one.name)
        await connection.execute(text)
    with pytest.raises(asyncpg.DuplicateAliasError):
        await connection.execute(
            "CREATE FUNCTION shadow(a integer) RETURNS void LANGUAGE plpgsql AS 'DECLARE a text; BEGIN END'"
        )
