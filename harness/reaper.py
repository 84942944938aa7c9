"""The watchdog's own program: waits for the end of the program that started it, then ends what that one left running.

Standard input brings one JSON line for each thing that was started or made:
    {"process": [pid, create time]}    a process, with all it starts
    {"folder": path}                   a folder with a random name, and the PostgreSQL servers inside it
    {"forget": path}                   a folder that is gone, or that shall stay
End-of-file means that the starter has ended, however it ended: the kernel closes a pipe of whatever it kills.

It runs apart from the package, so that it starts quickly, and in a session of its own, which Ctrl-C does not reach.
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
CLOCK_SECONDS = 0.01  # by which two readings of a create time may differ
SOCKET_LINE = 4  # of postmaster.pid, from 0
POSTGRES = {"postgres", "pg_ctl", "initdb", "pg_basebackup"}


def main() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    processes, folders = read(sys.stdin)
    sockets = socket_folders(folders)
    for _ in range(ROUNDS):  # what is ended last may have started something meanwhile
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
    """Those processes that still run, with their descendants, the rest of their sessions, and our own programs that run
    in the folders: a process may be started and its starter killed before the watchdog hears of it."""
    found: set[psutil.Process] = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid in processes and began_at(process, processes[process.pid]):
                found |= {process, *process.children(recursive=True)}
            elif in_session(process, processes) or (process.exe() == OWN_PROGRAM and is_inside(process, folders)):
                found.add(process)
    return {process for process in found if not is_watchdog(process)}


def began_at(process: psutil.Process, began: float) -> bool:
    """Whether it is that process, and not a later one with the same pid."""
    return abs(process.create_time() - began) < CLOCK_SECONDS


def in_session(process: psutil.Process, processes: dict[int, float]) -> bool:
    """Whether one of them led the session of this process. A pid is not given away while it names a session."""
    leader = os.getsid(process.pid)
    if leader not in processes or process.create_time() < processes[leader]:
        return False
    return not psutil.pid_exists(leader) or began_at(psutil.Process(leader), processes[leader])


def databases(folders: list[Path]) -> set[psutil.Process]:
    """PostgreSQL's processes in the folders. They are of no session of ours, and their postmaster is no child."""
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
    """SIGTERM, then SIGKILL. Whether there was any."""
    send(victims, signal.SIGTERM)
    send(await_end(victims, TERM_SECONDS), signal.SIGKILL)
    await_end(victims, TERM_SECONDS)
    return bool(victims)


def end_databases(victims: set[psutil.Process]) -> bool:
    """An immediate shutdown, which leaves no shared memory behind, then SIGKILL. Whether there was any."""
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
    """Those that are still there after so many seconds."""
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
    """Another program's watchdog has work to do when that program ends."""
    try:
        return __file__ in process.cmdline()
    except psutil.Error:
        return True


def socket_folders(folders: list[Path]) -> list[Path]:
    """Where the databases in the folders have their sockets when those paths were too long to be inside."""
    said = [file.read_text().splitlines() for folder in folders for file in folder.rglob("postmaster.pid")]
    places = [Path(lines[SOCKET_LINE]) for lines in said if len(lines) > SOCKET_LINE]
    return [place for place in places if place.name.startswith("slotwise-")]


def remove(folder: Path) -> None:
    """Again and again for a while: something small, such as `cp`, may still be writing."""
    deadline = time.monotonic() + REMOVE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(0.1)


OWN_PROGRAM = os.path.realpath(sys.executable)

if __name__ == "__main__":
    main()
