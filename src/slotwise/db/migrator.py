"""Brings a database to this version's schema: migrations by dbmate, then views, functions and triggers.

A migration is a numbered file that is applied once. Views, functions and triggers have one current file each, which is
applied whenever its text changed. What was applied is recorded with its checksum: see `db/schema.py`.
"""

import asyncio
import os
import re
import shutil
import sys
import sysconfig
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import asyncpg
import msgspec
from asyncpg.transaction import Transaction

from slotwise.db.errors import connecting
from slotwise.db.hosts import Hosts
from slotwise.db.pool import Connection
from slotwise.db.readiness import UnsuitableDatabase
from slotwise.db.schema import (
    REMEDY,
    Record,
    Source,
    announce_release,
    catalogue_problems,
    changed_by_hand,
    changed_sources,
    expected_catalogue,
    later_release,
    migrations,
    read_applied,
    read_catalogue,
    read_records,
    record_sources,
    sentence,
    text_problems,
)
from slotwise.db.sessions import open_session
from slotwise.db.squash import adopt, is_of_nine
from slotwise.db.statements import NoRow, Statement

CONNECT_SECONDS = 5.0
# A wait is reported only after this time. Most are shorter: for another server that starts at the same moment.
SILENT_SECONDS = 1.0
# How often a start looks whether another's migration is done.
TURN_SECONDS = 0.1
# A rehearsal is rolled back, so it must not make bookings wait for its locks.
REHEARSAL_LOCK_SECONDS = 2.0
# How long a new view, function or trigger waits for the statements that use the old one. Bookings wait behind it.
REPLACE_LOCK_SECONDS = 5.0
_URL_VARIABLE = "SLOTWISE_MIGRATION_URL"
# What a rehearsal must not do: use a migration's own lock timeout, or build an index outside its transaction.
_NOT_REHEARSED = re.compile(r"^SET LOCAL lock_timeout = [^;]*;$|(?<=^CREATE INDEX) CONCURRENTLY\b", re.MULTILINE)


class MigrationFailed(Exception):
    """The message is dbmate's, which names the file and the statement, or the database's."""


class Turn(msgspec.Struct, frozen=True):
    taken: bool


class Holders(msgspec.Struct, frozen=True):
    """The lock that a migration waits for, and the backends that hold it, described in words."""

    lock: str
    holders: str


TRY_TURN = Statement("database/schema.try_turn", Turn)
FIND_TURN_HOLDERS = Statement("database/schema.find_turn_holders", Holders)
SET_PATIENCE = Statement("database/schema.set_patience", NoRow)
FIND_HOLDERS = Statement("database/schema.find_holders", Holders)


def ignore_report(_: str) -> None:
    """For callers that do not report waits."""


async def migrate(url: str, report: Callable[[str], None] = ignore_report) -> list[str]:
    """Apply the missing migrations in order; return their names.

    Raises `UnsuitableDatabase` if the schema does not come from this version's files; then nothing was done. Holds one
    lock throughout: if two servers start at once, the second looks only after the first is done.
    """
    with connecting():
        server_url = await Hosts(url).writable_url(CONNECT_SECONDS)
    try:
        async with _locked(server_url, report) as connection:
            if not await is_of_nine(connection):
                return await _migrate(connection, server_url, report)
            await SET_PATIENCE.run(connection, lock_timeout=f"{REPLACE_LOCK_SECONDS}s")
            await adopt(connection)
            await _require_rehearsal(connection, [source for source in migrations() if source.number > "0001"])
        report("The database has one migration now in place of nine")
        async with _locked(server_url, report) as connection:
            return await _migrate(connection, server_url, report)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise MigrationFailed(str(error) or type(error).__name__) from error


async def _migrate(connection: Connection, url: str, report: Callable[[str], None]) -> list[str]:
    records, applied = await read_records(connection), await read_applied(connection)
    later = later_release(records)
    if later is not None:
        _require_all_applied(records, later, report)
        return []
    if applied:
        await _require_own_texts(connection, records, applied)
    changed = changed_sources(records)
    pending = any(source.number not in applied for source in migrations())
    if records and (changed or pending):
        await _announce(url)
    names = await _apply(url, report) if pending else []
    await _replace(connection, changed)
    await _record(connection)
    return names


async def _replace(connection: Connection, changed: list[Source]) -> None:
    """Apply views, functions and triggers, all or none. Raises `MigrationFailed`."""
    if changed:
        await SET_PATIENCE.run(connection, lock_timeout=f"{REPLACE_LOCK_SECONDS}s")
    for source in changed:
        try:
            await connection.execute(source.text)
        except asyncpg.LockNotAvailableError as error:
            raise MigrationFailed(f"{source.name}: a table is in use; stop what uses it and try again") from error
        except asyncpg.PostgresError as error:
            raise MigrationFailed(f"{source.name}: {error}") from error


@asynccontextmanager
async def _locked(url: str, report: Callable[[str], None]) -> AsyncIterator[Connection]:
    """A transaction that holds the migration lock. The lock ends with the connection, even if this process is killed.

    It is a lock of the transaction, not of the session, because behind a pooler a session outlives its client.
    """
    with connecting():
        connection = await open_session(Hosts(url), CONNECT_SECONDS, timeout=CONNECT_SECONDS)
    try:
        transaction = await _await_turn(connection, report)
        yield connection
        await transaction.commit()
    finally:
        connection.terminate()


async def _await_turn(connection: Connection, report: Callable[[str], None]) -> Transaction:
    """Begin the transaction that holds the lock.

    Each try is a transaction of its own. One that waited would never end: an index that a migration builds beside
    bookings waits for all older transactions, and this one for that migration.
    """
    said, silent_until = None, time.monotonic() + SILENT_SECONDS
    while (transaction := await _try_turn(connection)) is None:
        await asyncio.sleep(TURN_SECONDS)
        if time.monotonic() > silent_until:
            said = _tell(await FIND_TURN_HOLDERS.first(connection), said, report)
            silent_until = time.monotonic() + SILENT_SECONDS
    return transaction


async def _try_turn(connection: Connection) -> Transaction | None:
    transaction = connection.transaction(isolation="read_committed")
    await transaction.start()
    await SET_PATIENCE.run(connection, lock_timeout="0")
    if (await TRY_TURN.one(connection)).taken:
        return transaction
    await transaction.rollback()
    return None


def _tell(found: Holders | None, said: Holders | None, report: Callable[[str], None]) -> Holders | None:
    """Report what is waited for, if that is news. Returns what was reported last."""
    if found is not None and found != said:
        report(f"Waiting for {found.lock}, held by {found.holders}")
    return found or said


async def _require_own_texts(connection: Connection, records: list[Record], applied: set[str]) -> None:
    """Raise `UnsuitableDatabase` unless everything applied is this version's: by its records, or by comparison."""
    records = [record for record in records if record.name.startswith("migrations/")]
    recorded = [source for source in migrations() if source.name in {record.name for record in records}]
    known = {source.number for source in migrations()}
    problems = text_problems(records, recorded)
    problems += [f"migration {number} was applied and is no part of this version" for number in applied - known]
    if not problems and len(recorded) < len(applied):
        await _require_rehearsal(connection, [source for source in migrations() if source.number not in applied])
    if problems:
        raise UnsuitableDatabase(f"it was made by another state of Slotwise: {sentence(problems)}. {REMEDY}")


async def _require_rehearsal(connection: Connection, pending: list[Source]) -> None:
    """Raise `UnsuitableDatabase` unless the schema comes out as ours."""
    problems = await _rehearse(connection, pending)
    if problems:
        raise UnsuitableDatabase(f"it was made by another state of Slotwise: {sentence(problems)}. {REMEDY}")


async def _rehearse(connection: Connection, pending: list[Source]) -> list[str]:
    """How the schema would differ from ours with the pending migrations, views, functions and triggers.

    Nothing of it is kept. For databases without records of what was applied.
    """
    rehearsal = connection.transaction()
    await rehearsal.start()
    try:
        await SET_PATIENCE.run(connection, lock_timeout=f"{REHEARSAL_LOCK_SECONDS}s")
        for source in [*pending, *changed_sources([])]:
            try:
                up = source.text.partition("-- migrate:down")[0]
                await connection.execute(_NOT_REHEARSED.sub("", up))
            except asyncpg.LockNotAvailableError as error:
                raise MigrationFailed(f"{source.name}: a table is in use; stop what uses it and try again") from error
            except asyncpg.PostgresError as error:
                return [f"{source.name} cannot be applied to it ({error})"]
        return catalogue_problems(await read_catalogue(connection), expected_catalogue(), with_indexes=True)
    finally:
        await rehearsal.rollback()


async def _announce(url: str) -> None:
    """Use a separate connection, because running servers must see the announcement before the first change."""
    connection = await open_session(Hosts(url), CONNECT_SECONDS, timeout=CONNECT_SECONDS)
    try:
        await announce_release(connection)
    finally:
        await connection.close(timeout=CONNECT_SECONDS)


def _require_all_applied(records: list[Record], later: str, report: Callable[[str], None]) -> None:
    problems = text_problems(records)
    if problems:
        raise UnsuitableDatabase(f"it was made by another state of Slotwise: {sentence(problems)}. {REMEDY}")
    report(f"The database has the schema of a later release, {later}: nothing is applied")


async def _record(connection: Connection) -> None:
    """Check the schema and record what was applied, unless a later release has migrated in between."""
    if later_release(await read_records(connection)) is not None:
        return
    problems = catalogue_problems(await read_catalogue(connection), expected_catalogue(), with_indexes=False)
    if problems:
        raise UnsuitableDatabase(changed_by_hand(problems))
    await record_sources(connection)


async def _apply(url: str, report: Callable[[str], None]) -> list[str]:
    """Run dbmate. Raises `MigrationFailed`."""
    name = f"slotwise migration {os.getpid()} {id(report):x}"
    with as_file(files("slotwise.sql") / "migrations") as folder:
        process = await asyncio.create_subprocess_exec(
            _dbmate(), "--env", _URL_VARIABLE, "--migrations-dir", str(folder), "--no-dump-schema",
            "--migration-lock", "migrate",
            # In the environment, because every user of the machine could read the password in the arguments.
            env={**_without_dbmate(os.environ), _URL_VARIABLE: libpq_url(url, name)},
            cwd="/",  # dbmate reads a .env file in its working directory
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            async with _reporting(url, name, report):
                output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            raise
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise MigrationFailed(text.strip())
    return [line.split()[1] for line in text.splitlines() if line.startswith("Applied:")]


@asynccontextmanager
async def _reporting(url: str, session: str, report: Callable[[str], None]) -> AsyncIterator[None]:
    """While the block runs, report what the session of this name waits for, whenever it changes."""
    watch = asyncio.create_task(_report_waits(url, session, report))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)


async def _report_waits(url: str, session: str, report: Callable[[str], None]) -> None:
    """Ends if its connection fails: a report is only help, so its failure must not stop the migration."""
    said = None
    await asyncio.sleep(SILENT_SECONDS)
    connection = await Hosts(url).connect(timeout=CONNECT_SECONDS)
    try:
        while True:
            said = _tell(await FIND_HOLDERS.first(connection, session=session), said, report)
            await asyncio.sleep(SILENT_SECONDS)
    finally:
        connection.terminate()


def _without_dbmate(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("DBMATE_")}


def _dbmate() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "dbmate"
    found = str(beside) if beside.exists() else shutil.which("dbmate")
    if found is None:
        raise MigrationFailed(f"dbmate is not installed beside {sys.executable}; reinstall Slotwise's dependencies")
    return found


def libpq_url(url: str, session: str | None = None) -> str:
    """The URL for a client like libpq: with TLS only if the server has it, unless the URL itself says otherwise.

    `session` becomes the client's application_name.
    """
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    # As asyncpg reads user and password: characters that are not percent-encoded yet are taken literally.
    parts = parts._replace(netloc=":".join(quote(unquote(part), safe="") for part in user.split(":", 1)) + at + place)
    query = dict(parse_qsl(parts.query))
    on_socket = query.get("host", "").startswith("/")
    query.setdefault("sslmode", "disable" if on_socket else "prefer")
    if session is not None:
        query["application_name"] = session
    return urlunsplit(parts._replace(scheme="postgres", query=urlencode(query, quote_via=quote)))
