"""Brings a database to this version's schema. The tool is dbmate: plain SQL files, numbered, forward only."""

import asyncio
import os
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from slotwise.db.errors import connecting
from slotwise.db.hosts import Hosts

CONNECT_SECONDS = 5.0
_URL_VARIABLE = "SLOTWISE_MIGRATION_URL"


class MigrationFailed(Exception):
    """dbmate's own words say which file and statement."""


async def migrate(url: str) -> list[str]:
    """Apply the migrations that are missing, in order; return their names.

    dbmate holds an advisory lock meanwhile, so that two servers starting at once do not apply one twice.
    """
    with connecting():
        address = await Hosts(url).writable_url(CONNECT_SECONDS)
    with as_file(files("slotwise.sql") / "migrations") as folder:
        process = await asyncio.create_subprocess_exec(
            _dbmate(), "--env", _URL_VARIABLE, "--migrations-dir", str(folder), "--no-dump-schema",
            "--migration-lock", "migrate",
            # In the environment and not among the arguments, where every user of the machine could read the password.
            env={**_without_dbmate(os.environ), _URL_VARIABLE: libpq_url(address)},
            cwd="/",  # dbmate would read a .env file where it runs
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.terminate()
            raise
    text = output.decode(errors="replace")
    if process.returncode != 0:
        raise MigrationFailed(text.strip())
    return [line.split()[1] for line in text.splitlines() if line.startswith("Applied:")]


def _without_dbmate(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not name.startswith("DBMATE_")}


def _dbmate() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "dbmate"
    found = str(beside) if beside.exists() else shutil.which("dbmate")
    if found is None:
        raise MigrationFailed(f"dbmate is not installed beside {sys.executable}; reinstall Slotwise's dependencies")
    return found


def libpq_url(url: str) -> str:
    """The same address for a libpq-like client: TLS only where the server has it, unless the address says more."""
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    # As asyncpg reads it: what is not percent-encoded yet is taken to the letter.
    parts = parts._replace(netloc=":".join(quote(unquote(part), safe="") for part in user.split(":", 1)) + at + place)
    query = dict(parse_qsl(parts.query))
    on_socket = query.get("host", "").startswith("/")
    query.setdefault("sslmode", "disable" if on_socket else "prefer")
    return urlunsplit(parts._replace(scheme="postgres", query=urlencode(query)))
