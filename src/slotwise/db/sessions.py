"""The settings that Slotwise relies on in each session. A statement sets them after the connection is open.

A pooler would refuse them as start-up parameters, or, if configured so, silently ignore them.
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
# pgbouncer knows these parameters and passes them on.
STARTUP = {"application_name": "slotwise", "timezone": "UTC"}
SESSION = STARTUP | {
    # Every booking operation locks in one statement and acts in the next. Only under READ COMMITTED does the second
    # statement see what the last holder of the lock wrote. Set per session, so that a database default cannot undo it.
    "default_transaction_isolation": "read committed",
    READ_ONLY: "off",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
    # Each connection plans a statement once, for all values. Statements are written so that one plan fits all values;
    # tests/db/test_plans.py checks that. Planning every time costs more than running.
    "plan_cache_mode": "force_generic_plan",
    # The rows of today's appointments are in memory: reading one through an index costs as little as in a scan.
    "random_page_cost": "1.1",
    # They shape the definitions of the schema's objects, which are compared as text.
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
}


class Setting(msgspec.Struct, frozen=True):
    name: str
    value: str


SET_SESSION = Statement("database/sessions.set_session", Setting)


class SessionNotSet(asyncpg.InterfaceError):
    """A setting has another value than the one that was set, for example because a pooler has changed it."""


def session_of(hosts: Hosts, statement_seconds: float) -> dict[str, str]:
    """The settings of a session. If read-only servers are skipped, `default_transaction_read_only` is not set.

    An operator fences an old primary with this setting, and it must stay fenced.
    """
    session = {name: value for name, value in SESSION.items() if name != READ_ONLY or not hosts.must_write}
    return session | {"statement_timeout": f"{round(statement_seconds * 1000)}ms"}


async def open_session(hosts: Hosts, statement_seconds: float, **options: Any) -> "asyncpg.Connection[asyncpg.Record]":
    """A new connection with all settings. `options` are the driver's; `timeout` limits connecting, then setting."""
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
        # Timeouts cannot be compared: PostgreSQL shows them in the largest unit that fits.
        if kept.get(name) != value and not name.endswith("_timeout"):
            raise SessionNotSet(f"{name} is {kept.get(name)!r} though it was set to {value!r}")
