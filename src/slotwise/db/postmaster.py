"""The running PostgreSQL server of one cluster: find it by its files, launch it, end it.

A server is ended in the mildest way that works (PostgreSQL's documentation, 18.5, "Shutting Down the Server"): fast
(SIGINT), immediate (SIGQUIT), finally SIGKILL. None of them loses a commit, because commits are in the log on disk.
After the last two, the next start replays that log.
"""

import os
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from slotwise.db.cluster import EmbeddedServerError, Owner, program_environment, run_program
from slotwise.observability.waiting import Report, Waiting

NO_SUCH_PID = 2**31 - 1
# A fast shutdown disconnects all sessions within this time, unless something blocks it.
FAST_SECONDS = 5.0
# Then it writes its memory to disk. That may take long, and the cluster's state shows it.
CHECKPOINT_SECONDS = 60.0
# The postmaster gives its children 5 s to end before it kills them.
IMMEDIATE_SECONDS = 8.0
KILL_SECONDS = 5.0
LOOK_SECONDS = 0.05
# How long to wait before the cluster's state is first read, and between two readings.
QUIET_SECONDS = 0.5
STATE_SECONDS = 0.25
LOG_TAIL_LINES = 15
# From ControlFileData and DBState in PostgreSQL's pg_control.h; the same in versions 15 to 18.
STATE_OFFSET = 16
STATES = (
    "starting up", "shut down", "shut down in recovery", "shutting down",
    "in crash recovery", "in archive recovery", "in production",
)  # fmt: skip


class Status(StrEnum):
    """The last line of postmaster.pid."""

    STARTING = "starting"
    STOPPING = "stopping"
    READY = "ready"
    STANDBY = "standby"


class Postmaster(NamedTuple):
    """A live server, as its postmaster.pid describes it."""

    pid: int
    socket_dir: Path | None
    status: Status

    @property
    def ready(self) -> bool:
        """Whether it says that it accepts connections. In recovery after a session crash it says so, but refuses."""
        return self.status is Status.READY


def find_postmaster(cluster: Path) -> Postmaster | None:
    """The live postmaster of this cluster; None if the pid in the file now belongs to another process."""
    said = _read_pid_file(cluster / "postmaster.pid")
    return said if said and f" -D {cluster} " in _command_line(said.pid) else None


def launch(
    bin_dir: Path, cluster: Path, settings: Mapping[str, str], owner: Owner | None, log: Path
) -> "subprocess.Popen[bytes]":
    """Start a server in a session of its own, so that Ctrl-C in the terminal does not reach it."""
    disown_pid(cluster / "postmaster.pid")
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    # The server inherits the open log file, so its user needs no write access to the directory.
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - PostgreSQL's own program, no shell
            [str(bin_dir / "postgres"), "-D", str(cluster), *options],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=program_environment(),
            cwd="/",
            start_new_session=True,
            user=owner.uid if owner else None,
            group=owner.gid if owner else None,
            extra_groups=[] if owner else None,
        )


def end_server(cluster: Path, report: Report) -> None:
    """End the cluster's server in the mildest way that works. Does nothing if none runs.

    Raises `EmbeddedServerError` if even SIGKILL does not end it, for example because its disk does not answer.
    """
    running = find_postmaster(cluster)
    if running is None or _end_fast(running, cluster, report):
        return
    if not (_end_immediately(running, cluster, report) or _kill(running, cluster)):
        raise EmbeddedServerError(f"PostgreSQL (process {running.pid}) does not end, even by SIGKILL: check its disk")


def _end_fast(running: Postmaster, cluster: Path, report: Report) -> bool:
    """Returns whether it has ended. In PostgreSQL 18 a fast shutdown during recovery hangs for ever."""
    _signal(running.pid, signal.SIGINT)
    if _gone(running, cluster, QUIET_SECONDS):
        return True
    waiting = Waiting(report)
    while not _gone(running, cluster, STATE_SECONDS):
        state = _cluster_state(cluster)
        limit = CHECKPOINT_SECONDS if state == "shutting down" else FAST_SECONDS
        if state == "in crash recovery" or waiting.seconds > limit:
            report(f"PostgreSQL (process {running.pid}, {state}) does not stop; Slotwise stops it immediately")
            return False
        waiting.say(f"Waiting for PostgreSQL (process {running.pid}, {state}) to stop")
    return True


def _end_immediately(running: Postmaster, cluster: Path, report: Report) -> bool:
    _signal(running.pid, signal.SIGQUIT)
    if _gone(running, cluster, IMMEDIATE_SECONDS):
        return True
    report(f"PostgreSQL (process {running.pid}) does not stop; Slotwise kills it")
    return False


def _kill(running: Postmaster, cluster: Path) -> bool:
    """Kill the postmaster first, so that it starts no more children."""
    _signal(running.pid, signal.SIGKILL)
    kill_orphans(cluster)
    return _gone(running, cluster, KILL_SECONDS)


def kill_orphans(cluster: Path) -> None:
    """Kill sessions that outlived their postmaster and prevent a new start. They can be found only on Linux."""
    for pid in _sessions(cluster):
        _signal(pid, signal.SIGKILL)


def _sessions(cluster: Path) -> Iterator[int]:
    """PostgreSQL's processes that run in the cluster's directory, without the postmaster."""
    running = find_postmaster(cluster)
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or belongs to another user
            at_work = (process / "cwd").readlink() == cluster and (process / "exe").readlink().name == "postgres"
            if at_work and (running is None or int(process.name) != running.pid):
                yield int(process.name)


def _gone(running: Postmaster, cluster: Path, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while _lives(running, cluster):
        if time.monotonic() > deadline:
            return False
        time.sleep(LOOK_SECONDS)
    return True


def _lives(running: Postmaster, cluster: Path) -> bool:
    return f" -D {cluster} " in _command_line(running.pid)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _cluster_state(cluster: Path) -> str:
    """The state in the cluster's control file, such as `in production`, `in crash recovery`, `shutting down`.

    Does not use `pg_controldata`, because packages with only the server do not have it.
    """
    with suppress(OSError, struct.error):
        state = struct.unpack_from("=I", (cluster / "global" / "pg_control").read_bytes(), STATE_OFFSET)[0]
        return STATES[state] if state < len(STATES) else "unknown"
    return "unknown"


def log_tail(log: Path, lines: int = LOG_TAIL_LINES, since: int = 0) -> str:
    """The last lines of the server's log, without its first `since` bytes."""
    with log.open("rb") as output:
        output.seek(max(since, log.stat().st_size - 8192))
        return "\n".join(output.read().decode(errors="replace").splitlines()[-lines:])


def _read_pid_file(path: Path) -> Postmaster | None:
    """Lines of postmaster.pid: pid, data directory, start time, port, socket directory, host, memory key, status."""
    try:
        lines = [line.strip() for line in os.fsdecode(path.read_bytes()).splitlines()]
    except FileNotFoundError:
        return None
    pid, socket_dir, status = (lines[at] if at < len(lines) else "" for at in (0, 4, 7))
    if not pid.isdigit():
        return None
    known = Status(status) if status in set(Status) else Status.STARTING
    return Postmaster(int(pid), Path(socket_dir) if socket_dir else None, known)


def _command_line(pid: int) -> str:
    """The arguments of process `pid` with spaces around each; blank if there is no such process."""
    if Path("/proc/self/cmdline").exists():
        try:
            return " " + os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):
            return ""
    return f" {run_program(['/bin/ps', '-ww', '-o', 'command=', '-p', str(pid)]).stdout.strip()} "


def disown_pid(pid_file: Path) -> None:
    """Replace the pid in a dead server's lock file by one that no process can have.

    PostgreSQL takes any live process of its user with this pid for a server: a process that got the pid after a
    reboot, or the dead server itself, if the container's first process leaves it a zombie.
    """
    try:
        descriptor = os.open(pid_file, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    with os.fdopen(descriptor, "rb+") as file:
        _, newline, rest = file.read().partition(b"\n")
        # Overwrite the old text, which is never longer. After truncating, the write could fail on a full disk.
        file.seek(0)
        file.write(b"%d%b%b" % (NO_SUCH_PID, newline, rest))
