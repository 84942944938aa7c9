"""Whether a server may be trusted with bookings: its version, its extension, its durability settings."""

import asyncio
import time
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import msgspec

from slotwise.db.hosts import Hosts
from slotwise.db.pool import Connection
from slotwise.db.statements import Statement

OLDEST_VERSION = 150000

_NOT_YET = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    # Of several servers none is the primary, as while one of them is being promoted.
    asyncpg.TargetServerAttributeNotMatched,
)


class UnsuitableDatabase(Exception):
    """The server answers and cannot be used as it is. The message says what to change."""


class ServerFacts(msgspec.Struct, frozen=True):
    version: int
    version_name: str
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    read_only: bool
    has_btree_gist: bool


READ_SERVER_FACTS = Statement("health.read_server_facts", ServerFacts)


async def check_server(connection: Connection) -> None:
    """Raise `UnsuitableDatabase` with every reason this server has against it."""
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


async def wait_for_server(url: str, seconds: float, report: Callable[[str], None]) -> None:
    """Connect and check the server, trying again for `seconds` while it is not reachable yet.

    Raises `UnsuitableDatabase`; for an address that stays unreachable too, with the driver's last words.
    """
    where = _place(url)
    deadline = time.monotonic() + seconds
    said = ""
    while True:
        try:
            return await _check_once(url)
        except _NOT_YET as error:
            reason = str(error) or type(error).__name__
            if time.monotonic() >= deadline:
                raise UnsuitableDatabase(f"{where} cannot be reached: {reason}") from error
            words = f"The database at {where} is not reachable yet ({reason}); trying for {seconds:g} seconds"
            if words != said:
                report(said := words)
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise UnsuitableDatabase(f"DATABASE_URL: {error}") from error
        except ValueError as error:
            advice = "percent-encode special characters in user and password"
            raise UnsuitableDatabase(f"DATABASE_URL cannot be read ({error}): {advice}") from error
        await asyncio.sleep(0.5)


def _place(url: str) -> str:
    """Where the database should be, without the password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "DATABASE_URL"
    hosts = parts.netloc.rpartition("@")[2] or dict(parse_qsl(parts.query)).get("host", "localhost")
    return f"{hosts}{parts.path}"


async def _check_once(url: str) -> None:
    connection = await Hosts(url).connect(timeout=5)
    try:
        await check_server(connection)
    finally:
        await connection.close(timeout=2)
