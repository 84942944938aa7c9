"""PostgreSQL servers of a test's own, to be killed, paused and promoted. No other process is ever signalled."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, quote, urlsplit

import psutil
import pytest
from harness.watchdog import temporary_folder

from slotwise.db.embedded import NO_SUCH_PID, EmbeddedServer
from tests.clinic import PATIENCE_SECONDS, eventually, rows
from tests.clusters import BIN_DIR, new_cluster


class OwnPostgres:
    """One server, with its cluster in `folder`. Whoever has started it, killed or paused, can `start` it again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cluster = folder / "postgres"
        self._server = EmbeddedServer(folder, BIN_DIR)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def socket_dir(self) -> str:
        return parse_qs(urlsplit(self.url).query)["host"][0]

    @property
    def pid(self) -> int:
        """The postmaster's."""
        words = (self.cluster / "postmaster.pid").read_text().split()
        return int(words[0]) if words else NO_SUCH_PID

    def start(self) -> str:
        if not self.cluster.exists():
            new_cluster(self.folder)
        return self._server.acquire()

    def stop(self) -> None:
        self._server.release()

    def kill(self) -> None:
        """`kill -9`, of the postmaster and all it has started."""
        victims = self._signal(signal.SIGKILL)
        psutil.wait_procs(victims, timeout=PATIENCE_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: connections stay open, new ones are taken by the kernel, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> list[psutil.Process]:
        """The postmaster first, so that it starts no more of them; returns those that got the signal."""
        postmaster = psutil.Process(self.pid)
        postmaster.send_signal(number)
        children = postmaster.children(recursive=True)
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.send_signal(number)
        return [postmaster, *children]

    def promote(self) -> None:
        """Make a standby the primary. Returns when it takes writes."""
        assert rows(self.url, f"SELECT pg_promote(wait_seconds => {PATIENCE_SECONDS})")[0][0]

    def copy(self, folder: Path) -> "OwnPostgres":
        """A standby of this running server, not yet started."""
        owner = self.cluster.stat()
        folder.mkdir(mode=0o700)
        target = folder / "postgres"
        target.mkdir(mode=0o700)
        os.chown(target, owner.st_uid, owner.st_gid)
        for directory in (folder, *folder.parents):  # the server's user must get there, as it must at its primary
            if directory.stat().st_uid == os.geteuid() and owner.st_uid != os.geteuid():
                directory.chmod(directory.stat().st_mode | 0o001)
        program = Path(psutil.Process(self.pid).exe()).with_name("pg_basebackup")
        if not program.exists():
            pytest.skip(f"NOT TESTED: a standby. {program.parent} has no pg_basebackup")
        as_root = os.geteuid() == 0
        subprocess.run(
            [program, "-D", target, "-h", self.socket_dir, "-U", "slotwise", "-R", "-c", "fast"],
            env={"PATH": os.environ["PATH"]},
            cwd="/",
            user=owner.st_uid if as_root else None,
            group=owner.st_gid if as_root else None,
            extra_groups=[] if as_root else None,
            check=True,
            timeout=PATIENCE_SECONDS,
        )
        return OwnPostgres(folder)


class Pair(NamedTuple):
    """A primary that commits nothing its standby does not have, and that standby."""

    primary: OwnPostgres
    standby: OwnPostgres

    @property
    def url(self) -> str:
        """Both, the standby first."""
        hosts = quote(f"{self.standby.socket_dir},{self.primary.socket_dir}")
        return f"postgresql://slotwise@/slotwise?host={hosts}"


@contextmanager
def open_folder() -> Iterator[Path]:
    """With a short name: a socket's address has room for some 100 characters."""
    with temporary_folder("own-") as folder:
        yield folder


@contextmanager
def own_postgres() -> Iterator[OwnPostgres]:
    with open_folder() as folder, _running(OwnPostgres(folder)) as server:
        yield server


@contextmanager
def _running(server: OwnPostgres) -> Iterator[OwnPostgres]:
    server.start()
    try:
        yield server
    finally:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            server.resume()
        server.stop()


@contextmanager
def replicated_postgres() -> Iterator[Pair]:
    with open_folder() as folder, _running(OwnPostgres(folder / "primary")) as primary:
        standby = primary.copy(folder / "standby")
        standby.start()
        try:
            rows(primary.url, "ALTER SYSTEM SET synchronous_standby_names = '*'")
            rows(primary.url, "SELECT pg_reload_conf()")
            eventually(lambda: _is_synchronous(primary))
            yield Pair(primary, standby)
        finally:
            with suppress(psutil.NoSuchProcess, FileNotFoundError):
                standby.resume()
            # Else its last sessions would wait for a standby that is gone, and hold up its end.
            with suppress(OSError):
                rows(primary.url, "ALTER SYSTEM RESET synchronous_standby_names")
                rows(primary.url, "SELECT pg_reload_conf()")
            standby.stop()


def _is_synchronous(primary: OwnPostgres) -> bool:
    states = rows(primary.url, "SELECT sync_state FROM pg_stat_replication")
    return [state[0] for state in states] == ["sync"]
