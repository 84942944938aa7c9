"""The watchdog's program: waits until the program that started it ends, then ends everything that it left running.

Standard input has one JSON line for each thing that was started or made:
    {"process": [pid, create time]}    a process, with all processes that it starts
    {"folder": path}                   a folder with a random name, and the PostgreSQL servers inside it
    {"forget": path}                   a folder that is gone or must stay
End-of-file means that the starter has ended, in whatever way: the kernel closes the pipe of a killed process too.

It does not import the package, so that it starts quickly, and it has its own session, so that Ctrl-C does not reach it.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

TERM_SECONDS = 5
QUIT_SECONDS = 8  # a postmaster kills sessions that do not end within five
REMOVE_SECONDS = 60
ROUNDS = 20
CLOCK_SECONDS = 0.01  # two readings of a create time may differ by this
SOCKET_LINE = 4  # in postmaster.pid, counted from 0
POSTGRES = {"postgres", "pg_ctl", "initdb", "pg_basebackup"}


def main() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    processes, folders = read(sys.stdin)
    sockets = socket_folders(folders)
    for _ in range(ROUNDS):  # a process may start another one before it is ended
        if not (end_processes(family(processes, folders)) | end_databases(databases(folders))):
            break
    for folder in [*folders, *sockets]:
        remove(folder)


def read(lines: Iterable[str]) -> tuple[dict[int, float], list[Path]]:
    """Create times by pid, and folders."""
    processes: dict[int, float] = {}
    folders: dict[Path, None] = {}
    for line in lines:
        match json.loads(line):
            case {"process": [pid, began]}:
                processes[pid] = began
            case {"folder": path}:
                folders[Path(path)] = None
            case {"forget": path}:
                folders.pop(Path(path), None)
    return processes, list(folders)


def family(processes: dict[int, float], folders: list[Path]) -> set[psutil.Process]:
    """The processes that still run, with their descendants, the rest of their sessions, and Python programs of ours in
    the folders: the starter may be killed after it started a process and before it told the watchdog."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in processes and began_at(process, processes[process.pid]):
                found |= {process, *process.children(recursive=True)}
            elif in_session(process, processes) or (process.exe() == OWN_PROGRAM and is_inside(process, folders)):
                found.add(process)
    return {process for process in found if not is_watchdog(process)}


def began_at(process: psutil.Process, began: float) -> bool:
    """Whether it is that process, not a later one with the same pid."""
    return abs(process.create_time() - began) < CLOCK_SECONDS


def in_session(process: psutil.Process, processes: dict[int, float]) -> bool:
    """Whether one of `processes` leads or led its session. The kernel does not reuse a pid that names a session."""
    leader = os.getsid(process.pid)
    if leader not in processes or process.create_time() < processes[leader]:
        return False
    return not psutil.pid_exists(leader) or began_at(psutil.Process(leader), processes[leader])


def databases(folders: list[Path]) -> set[psutil.Process]:
    """PostgreSQL's processes in the folders. They have their own sessions, and their postmaster is not our child."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() in POSTGRES and (is_inside(process, folders) or names(process, folders)):
                found.add(process)
    return found


def is_inside(process: psutil.Process, folders: list[Path]) -> bool:
    place = Path(process.cwd())
    return any(place.is_relative_to(folder) for folder in folders)


def names(process: psutil.Process, folders: list[Path]) -> bool:
    return any(Path(word).is_relative_to(folder) for word in process.cmdline() for folder in folders)


def end_processes(victims: set[psutil.Process]) -> bool:
    """Send SIGTERM, then SIGKILL. Returns whether there was a process."""
    send(victims, signal.SIGTERM)
    send(await_end(victims, TERM_SECONDS), signal.SIGKILL)
    await_end(victims, TERM_SECONDS)
    return bool(victims)


def end_databases(victims: set[psutil.Process]) -> bool:
    """Send an immediate shutdown, which leaves no shared memory, then SIGKILL. Returns whether there was a process."""
    pids = {victim.pid for victim in victims}
    send(victims, signal.SIGCONT)
    send({victim for victim in victims if parent_of(victim) not in pids}, signal.SIGQUIT)
    send(await_end(victims, QUIT_SECONDS), signal.SIGKILL)
    await_end(victims, TERM_SECONDS)
    return bool(victims)


def parent_of(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0


def send(victims: Iterable[psutil.Process], number: signal.Signals) -> None:
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            victim.send_signal(number)


def await_end(victims: Iterable[psutil.Process], seconds: float) -> set[psutil.Process]:
    """The processes that still run after so many seconds."""
    deadline = time.monotonic() + seconds
    alive = {victim for victim in victims if is_alive(victim)}
    while alive and time.monotonic() < deadline:
        time.sleep(0.05)
        alive = {victim for victim in alive if is_alive(victim)}
    return alive


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def is_watchdog(process: psutil.Process) -> bool:
    """Whether it is another program's watchdog, which must not be ended: it still has work to do."""
    try:
        return __file__ in process.cmdline()
    except psutil.Error:
        return True


def socket_folders(folders: list[Path]) -> list[Path]:
    """The folders with the databases' sockets, if their paths were too long inside `folders`."""
    said = [file.read_text().splitlines() for folder in folders for file in folder.rglob("postmaster.pid")]
    places = [Path(lines[SOCKET_LINE]) for lines in said if len(lines) > SOCKET_LINE]
    return [place for place in places if place.name.startswith("slotwise-")]


def remove(folder: Path) -> None:
    """Remove it, and retry for a while: a small program, such as `cp`, may still be writing."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)


OWN_PROGRAM = os.path.realpath(sys.executable)

if __name__ == "__main__":
    main()
