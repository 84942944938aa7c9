"""What Slotwise relies on in each session. It is set by a statement, once the connection is there.

As start-up parameters a pooler would refuse them, or leave them out without a word where it is told to.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from slotwise.db.connection import Connection
from slotwise.db.hosts import Hosts
from slotwise.db.statements import Statement

READ_ONLY = "default_transaction_read_only"
# PostgreSQL's and pgbouncer's own: a pooler passes them on.
STARTUP = {"application_name": "slotwise", "timezone": "UTC"}
SESSION = STARTUP | {
    # Every booking statement locks first and acts in the next statement; that reads what the lock's last holder
    # wrote only under READ COMMITTED. Set for the session, so that a database default cannot undo it.
    "default_transaction_isolation": "read committed",
    READ_ONLY: "off",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
    # A statement is planned once for a connection, for all values to come. Each is written so that one plan fits
    # them all, which tests/db/test_plans.py sees to; planning anew costs more than running.
    "plan_cache_mode": "force_generic_plan",
    # The rows of today's appointments are in memory: reading one by an index costs no more than the next in a scan.
    "random_page_cost": "1.1",
    # By them the schema's objects are told, which are compared as text.
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
}


class Setting(msgspec.Struct, frozen=True):
    name: str
    value: str


SET_SESSION = Statement("database/sessions.set_session", Setting)


class SessionNotSet(asyncpg.InterfaceError):
    """A setting that was made has another value: whatever stands between has undone it."""


def session_of(hosts: Hosts, statement_seconds: float) -> dict[str, str]:
    """Where a server is chosen by whether it takes writes, it is not overruled: an old primary is fenced that way."""
    session = {name: value for name, value in SESSION.items() if name != READ_ONLY or not hosts.must_write}
    return session | {"statement_timeout": f"{round(statement_seconds * 1000)}ms"}


async def open_session(hosts: Hosts, statement_seconds: float, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """A new connection with all that Slotwise relies on; `options` are the driver's, of which `timeout` holds twice."""
    connection = await hosts.connect(server_settings=STARTUP, **options)
    try:
        async with asyncio.timeout(options.get("timeout")):
            await _set(connection, session_of(hosts, statement_seconds))
    except BaseException:
        connection.terminate()
        raise
    return connection


async def _set(connection: Connection, session: Mapping[str, str]) -> None:
    found = await SET_SESSION.all(connection, names=list(session), values=list(session.values()))
    kept = {setting.name: setting.value for setting in found}
    for name, value in session.items():
        # PostgreSQL tells a time in the largest unit that fits.
        if kept.get(name) != value and not name.endswith("_timeout"):
            raise SessionNotSet(f"{name} is {kept.get(name)!r} though it was set to {value!r}")
