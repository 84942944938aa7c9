"""The run's own installation: an embedded PostgreSQL on a real disk, and databases on it."""

import itertools
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
from harness.watchdog import temporary_folder

from bench.database import execute, named, row
from bench.processes import output_of
from bench.server import SLOTWISE, slotwise_server

IN_MEMORY = {"tmpfs", "ramfs"}
ADMIN_EMAIL = "admin@slotwise.example"
ADMIN_PASSWORD = "a fine admin password"
# As in production, with the log on, which goes to a file. Except: one client may book as often as it can, there is an
# admin to log in as, and holds are long. Otherwise holds of an early round would expire during a later one; `churn`
# measures the cost of expiry.
SHOWN = {
    "APP_ENV": "production",
    "LOG_LEVEL": "info",
    "RATE_LIMIT_BOOKINGS": "off",
    "HOLD_SECONDS": "3600",
}
SETTINGS = SHOWN | {
    "HOST": "127.0.0.1",
    "DRAIN_SECONDS": "0",
    "JWT_SECRET": secrets.token_urlsafe(32),
    "ADMIN_EMAIL": ADMIN_EMAIL,
    "ADMIN_PASSWORD": ADMIN_PASSWORD,
}
# In place of those above, to show what the log costs.
LOG_OFF = {"LOG_LEVEL": "warning"}


class NoRealDisk(Exception):
    """The database would be in memory, where a commit costs nothing."""


class Installation:
    """`url` is the server's first database; each scenario makes its own on the same server."""

    def __init__(self, url: str, folder: Path, settings: Mapping[str, str]) -> None:
        self.url = url
        self.folder = folder
        self.settings = settings
        self._numbers = itertools.count(1)

    @contextmanager
    def new_database(self) -> Iterator[str]:
        """The URL of an empty database, which is dropped afterwards."""
        name = f"bench_{next(self._numbers)}"
        execute(self.url, f"CREATE DATABASE {name}")
        try:
            yield named(self.url, name)
        finally:
            execute(self.url, f"DROP DATABASE {name} WITH (FORCE)")

    @property
    def postgres_version(self) -> str:
        return str(row(self.url, "SHOW server_version")[0])


@contextmanager
def installed(parent: Path, workers: int) -> Iterator[Installation]:
    """An installation in a new folder under `parent`. Its `slotwise serve` is idle and only keeps the database up."""
    parent.mkdir(parents=True, exist_ok=True)
    _require_disk(parent)
    binaries = os.environ.get("SLOTWISE_POSTGRES_BIN")
    with temporary_folder("data-", parent) as folder:
        settings = SETTINGS | {
            "SLOTWISE_DATA_DIR": str(folder / "data"),
            "WORKERS": str(workers),
            "TMPDIR": str(folder),
        }
        settings |= {"SLOTWISE_POSTGRES_BIN": binaries} if binaries else {}
        with slotwise_server(settings | {"WORKERS": "1"}, folder):
            url = output_of([SLOTWISE, "db", "url"], {"PATH": os.environ["PATH"], **settings}, folder).strip()
            yield Installation(url, folder, settings)


def _require_disk(folder: Path) -> None:
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    nearest = next((mounts[place] for place in [folder.resolve(), *folder.resolve().parents] if place in mounts), "")
    if nearest in IN_MEMORY:
        raise NoRealDisk(f"{folder} is in memory ({nearest}), where a commit costs nothing: choose another --directory")
