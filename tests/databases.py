"""Databases for single tests, emptied and used again where that is safe.

To copy the template and to remove the copy takes PostgreSQL a third of a CPU second, most of it for the checkpoint
before the removal. To empty a database takes an eighth of that. It is emptied only if its test has left the schema and
the planner's statistics as they were. Otherwise it is removed, and the next test gets a copy.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import asyncpg

from tests.clusters import execute, named

# Each change of a schema writes or removes a row in one of them.
CATALOGUES = (
    "pg_attrdef", "pg_attribute", "pg_class", "pg_constraint", "pg_default_acl", "pg_description", "pg_enum",
    "pg_event_trigger", "pg_extension", "pg_index", "pg_namespace", "pg_policy", "pg_proc", "pg_publication",
    "pg_rewrite", "pg_statistic_ext", "pg_trigger", "pg_type",
)  # fmt: skip
# What a test has changed is younger than its database.
CATALOGUE = "SELECT '{name}', count(*), count(*) FILTER (WHERE xmin::text::bigint >= {birth}) FROM {name}"
TABLE = """SELECT '{name}', count(*), coalesce(hashtext(string_agg(kept::text, ' ' ORDER BY kept::text)), 0)
FROM public.{name} AS kept"""
SEQUENCE = "SELECT '{name}', last_value, is_called::int FROM public.{name}"
OTHERS = """
SELECT 'statistics', count(*), 0 FROM pg_statistic WHERE starelid >= 16384
UNION ALL SELECT 'sizes', sum(relpages), sum(reltuples)::bigint FROM pg_class WHERE oid >= 16384
UNION ALL
SELECT 'settings', count(*), 0
FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
NAMES = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = $1 ORDER BY 1"
END_OTHER_SESSIONS = """
SELECT bool_and(pg_terminate_backend(pid, 10000))
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""

# Autovacuum visits each database once a minute. No database shall live that long, nor have many dead rows.
MOST_USES = 25
MOST_ROWS = 1_000

_numbers = count(1)

State = dict[str, tuple[int, int]]


class Copy:
    """A copy of the template, and what it was like before its first test."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self.uses = 0
        self._birth = 0
        self._tables: list[str] = []
        self._sequences: list[str] = []
        self._rows: dict[str, str] = {}
        self._before: State = {}

    async def remember(self) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            self._birth = await connection.fetchval("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
            self._tables, self._sequences = [
                [row[0] for row in await connection.fetch(NAMES, kind)] for kind in (b"r", b"S")
            ]
            self._before = await self._state(connection)
            for name in self._tables:
                if self._before[name][0]:
                    self._rows[name] = await connection.fetchval(f"SELECT json_agg(kept) FROM public.{name} AS kept")
        finally:
            await connection.close()

    async def emptied(self) -> bool:
        """False if its test has changed more than rows, or so many of them that a new copy is cheaper."""
        try:
            connection = await asyncpg.connect(self.url)
        except (asyncpg.PostgresError, OSError):  # its test has removed it, or lets nobody in
            return False
        try:
            return await self._empty(connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError):  # a table is missing, or somebody holds a lock
            return False
        finally:
            await connection.close()

    async def _empty(self, connection: "asyncpg.Connection[asyncpg.Record]") -> bool:
        if await connection.fetchval(END_OTHER_SESSIONS) is False:
            return False
        state = await self._state(connection)
        if sum(state[name][0] for name in self._tables) > MOST_ROWS or not self._has_its_schema(state):
            return False
        await connection.execute(";".join(self._commands(state)))
        return True

    async def _state(self, connection: "asyncpg.Connection[asyncpg.Record]") -> State:
        """Of each relation two numbers, which differ after a change."""
        looks = ((CATALOGUE, CATALOGUES), (TABLE, self._tables), (SEQUENCE, self._sequences))
        queries = [look.format(name=name, birth=self._birth) for look, names in looks for name in names]
        rows = await connection.fetch("\nUNION ALL ".join([*queries, OTHERS]))
        return {name: (first, second) for name, first, second in rows}

    def _has_its_schema(self, state: State) -> bool:
        changeable = {*self._tables, *self._sequences}
        return all(state[name] == before for name, before in self._before.items() if name not in changeable)

    def _commands(self, state: State) -> Iterator[str]:
        yield "SET session_replication_role = replica"  # without triggers: some refuse to delete
        for name in self._tables:
            if state[name] != self._before[name]:
                yield f"DELETE FROM public.{name}"
                yield from self._fill(name)
        for name in self._sequences:
            last, called = self._before[name]
            if state[name] != (last, called):
                yield f"SELECT setval('public.{name}', {last}, {bool(called)})"

    def _fill(self, name: str) -> Iterator[str]:
        if name in self._rows:
            rows = self._rows[name].replace("'", "''")
            yield f"""INSERT INTO public.{name} OVERRIDING SYSTEM VALUE
            SELECT * FROM json_populate_recordset(NULL::public.{name}, '{rows}')"""


class Databases:
    """The databases of one server, for the tests of one process."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url = server_url
        self._template = template
        self._free: list[Copy] = []

    @contextmanager
    def lent(self, *, again: bool) -> Iterator[str]:
        """The URL of an empty, migrated database. `again` is whether another test may use it afterwards."""
        copy = self._free.pop() if self._free else self._new()
        copy.uses += 1
        yield copy.url
        if again and copy.uses < MOST_USES and asyncio.run(copy.emptied()):
            self._free.append(copy)
        else:
            self._execute(f"DROP DATABASE IF EXISTS {copy.name} WITH (FORCE)")

    def _new(self) -> Copy:
        name = f"lent_{os.getpid()}_{next(_numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY wal_log")
        copy = Copy(name, named(self._server_url, name))
        asyncio.run(copy.remember())
        return copy

    def _execute(self, command: str) -> None:
        asyncio.run(execute(self._server_url, command))
