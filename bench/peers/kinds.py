"""The kinds of peers, and the servers of each kind. `scripts/peers.py` installs their packages."""

import shutil
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

from harness.watchdog import Command

from bench.installation import Installation
from bench.server import PROJECT, Server, running_server

SOURCES = Path(__file__).parent
PACKAGES = PROJECT / ".venv" / "peers"
STAMP = "installed"


class Kind(NamedTuple):
    """`folder` has the source in bench/peers, and the packages in .venv/peers."""

    name: str
    folder: str
    command: Command
    environment: Mapping[str, str]

    @property
    def installed(self) -> bool:
        """Whether its packages and the program that runs it are there."""
        return (PACKAGES / self.folder / STAMP).exists() and shutil.which(self.command[0]) is not None

    def serve(self, installation: Installation, database_url: str) -> AbstractContextManager[Server]:
        """A server with as many processes as `slotwise serve` has."""
        shared = {"WEB_CONCURRENCY": installation.settings["WORKERS"], "TMPDIR": installation.settings["TMPDIR"]}
        settings = {**shared, **self.environment, "DATABASE_URL": database_url}
        return running_server(self.command, settings, installation.folder)


FASTAPI = Kind(
    "FastAPI + SQLAlchemy",
    "fastapi_sqlalchemy",
    (
        PACKAGES / "fastapi_sqlalchemy" / "venv" / "bin" / "python",
        *("-m", "uvicorn", "sql_app.main:app"),
        *("--app-dir", SOURCES / "fastapi_sqlalchemy"),
    ),
    {},
)
EXPRESS = Kind(
    "Express + pg",
    "express_pg",
    ("node", SOURCES / "express_pg" / "index.js"),
    {"NODE_ENV": "production", "NODE_PATH": str(PACKAGES / "express_pg" / "node_modules")},
)
KINDS = (FASTAPI, EXPRESS)


def installed_kinds() -> tuple[Kind, ...]:
    return tuple(kind for kind in KINDS if kind.installed)
