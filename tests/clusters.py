"""PostgreSQL's clusters: made once for a run of the tests, and copied for each server that needs one."""

import asyncio
import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from slotwise.db.embedded import EmbeddedServer
from slotwise.db.migrator import migrate

# A database with this version's schema and no rows, in every new cluster, for others to be copied from.
TEMPLATE = "template_slotwise"

RUN_FOLDER = "SLOTWISE_TEST_FOLDER"

_given = os.environ.get("SLOTWISE_TEST_POSTGRES_BIN")
BIN_DIR = Path(_given) if _given else None


def new_cluster(data_dir: Path) -> None:
    """Put one where the server of `data_dir` finds it. A copy takes a tenth of a second, initdb fifteen of them."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", _made_once() / "postgres", data_dir], check=True)


def named(url: str, name: str) -> str:
    """The address of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def execute(url: str, *commands: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for command in commands:
            await connection.execute(command)
    finally:
        await connection.close()


def _made_once() -> Path:
    """The data directory that others are copied from, stopped. The first process that needs it makes it."""
    run = Path(os.environ[RUN_FOLDER])
    with _turn(run / "cluster.lock"):
        if not (run / "cluster").exists():
            _make(run / "unfinished")
            (run / "unfinished").rename(run / "cluster")
    return run / "cluster"


def _make(data_dir: Path) -> None:
    with EmbeddedServer(data_dir, BIN_DIR) as server:
        asyncio.run(execute(server.url, f"CREATE DATABASE {TEMPLATE}"))
        asyncio.run(migrate(named(server.url, TEMPLATE)))


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
