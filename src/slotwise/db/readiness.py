"""Checks that a server is safe for bookings: its version, its extension, its durability settings."""

import asyncio
import re
import time
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import msgspec

from slotwise.db.connection import Connection
from slotwise.db.hosts import Hosts
from slotwise.db.pooling import SharedSessions, require_own_sessions
from slotwise.db.sessions import open_session
from slotwise.db.statements import Statement

OLDEST_VERSION = 150000
CHECK_SECONDS = 5.0

_NOT_YET = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    # None of several servers is the primary, for example while one is being promoted.
    asyncpg.TargetServerAttributeNotMatched,
)


# Something answers, even if only a pooler in front of the database.
_ANSWERED = (asyncpg.ProtocolViolationError, asyncpg.CannotConnectNowError, asyncpg.TooManyConnectionsError)

# Temporary errors of pgbouncer, recognised by their text because all its errors have the same SQLSTATE.
_PASSING = (
    "no more connections allowed",
    "query_wait_timeout",
    "client_login_timeout",
    "server down",
    "server login has been failing",
    "server_login_retry",
    "cannot connect to server",
    "server connection crashed",
    "server conn crashed",
    "shutting down",
    "pause",
    "disabled",
)


class UnsuitableDatabase(Exception):
    """The database cannot be used as it is. The message says what to change."""


class ServerFacts(msgspec.Struct, frozen=True):
    version: int
    version_name: str
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    read_only: bool
    has_btree_gist: bool


_LEFT_BEHIND = re.compile(r"_cc(new|old)\d*\b")


class InvalidIndex(msgspec.Struct, frozen=True):
    name: str


READ_SERVER_FACTS = Statement("database/health.read_server_facts", ServerFacts)
LIST_INVALID_INDEXES = Statement("database/health.list_invalid_indexes", InvalidIndex)


async def check_server(connection: Connection) -> None:
    """Raise `UnsuitableDatabase` with all problems of this server, if it has any."""
    problems = problems_of(await READ_SERVER_FACTS.one(connection))
    if problems:
        raise UnsuitableDatabase("; ".join(problems))


def problems_of(facts: ServerFacts) -> list[str]:
    problems = []
    if facts.version < OLDEST_VERSION:
        problems.append(f"PostgreSQL {facts.version_name} is too old: Slotwise needs 15 or newer")
    if not facts.has_btree_gist:
        problems.append("the extension btree_gist is missing: install PostgreSQL's contrib package on its machine")
    if facts.read_only:
        problems.append("the server is a read-only standby: DATABASE_URL must name the primary")
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        if getattr(facts, name) == "off":
            problems.append(f"{name} is off, so an acknowledged booking could be lost in a crash: set {name} = on")
    return problems


async def index_warnings(connection: Connection) -> list[str]:
    return [_index_warning(index.name) for index in await LIST_INVALID_INDEXES.all(connection)]


def _index_warning(name: str) -> str:
    """REINDEX makes another index, which it leaves behind if it is interrupted: that one only goes away."""
    if _LEFT_BEHIND.search(name):
        return f"an interrupted REINDEX has left the index {name} behind: run DROP INDEX CONCURRENTLY {name}"
    return f"the index {name} is not valid, so what needs it is slow: run REINDEX INDEX CONCURRENTLY {name}"


async def wait_for_server(url: str, seconds: float, report: Callable[[str], None]) -> None:
    """Connect and check the server. While it is not reachable, try again for `seconds`.

    Raises `UnsuitableDatabase`, also if the server stays unreachable; then with the driver's last error.
    """
    where = _place(url)
    deadline = time.monotonic() + seconds
    said = ""
    while True:
        try:
            return await _check_once(url)
        except SharedSessions as error:
            raise UnsuitableDatabase(f"{where}: {error}") from error
        except _NOT_YET as error:
            _refuse_for_good(error)
            reason = str(error) or type(error).__name__
            answers = isinstance(error, _ANSWERED)
            if time.monotonic() >= deadline:
                fault = "gives no connection" if answers else "cannot be reached"
                raise UnsuitableDatabase(f"{where} {fault}: {reason}") from error
            fault = "gives no connection" if answers else "is not reachable"
            words = f"The database at {where} {fault} yet ({reason}); trying again for {seconds:g} seconds"
            if words != said:
                report(said := words)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise UnsuitableDatabase(f"DATABASE_URL: {error}") from error
        except ValueError as error:
            advice = "percent-encode special characters in user and password"
            raise UnsuitableDatabase(f"DATABASE_URL is invalid ({error}): {advice}") from error
        await asyncio.sleep(0.5)


def _refuse_for_good(error: Exception) -> None:
    """Raise `UnsuitableDatabase` for a pooler's error that trying again cannot help."""
    words = str(error)
    if not isinstance(error, asyncpg.ProtocolViolationError) or any(said in words for said in _PASSING):
        return
    unknown = words.partition("unsupported startup parameter: ")[2]
    if unknown:
        raise UnsuitableDatabase(
            f"DATABASE_URL sets {unknown}, which the pooler in front of the database refuses: remove it from the URL,"
            " or add it to the pooler's ignore_startup_parameters"
        ) from error
    raise UnsuitableDatabase(f"DATABASE_URL: {words}") from error


def _place(url: str) -> str:
    """Host and database name, without the password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "DATABASE_URL"
    hosts = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "localhost")
    return f"{hosts}{parts.path}"


async def _check_once(url: str) -> None:
    hosts = Hosts(url)
    await require_own_sessions(hosts, CHECK_SECONDS)
    connection = await open_session(hosts, CHECK_SECONDS, timeout=CHECK_SECONDS)
    try:
        await check_server(connection)
    finally:
        await connection.close(timeout=2)
