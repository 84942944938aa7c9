"""A watchdog that ends everything that this program started when the program ends, even by `kill -9`.

The watchdog has the reading end of a pipe; only this program has the writing end. `reaper.py` says what it does.
"""

import atexit
import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

REAPER = Path(__file__).with_name("reaper.py")

Command = Sequence[str | Path]


class Watchdog:
    """The program's watchdog. It is started with the first thing to watch."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-I", REAPER],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        atexit.register(self._close)

    def tell(self, what: dict[str, object]) -> None:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(json.dumps(what).encode() + b"\n")
            self._process.stdin.flush()

    def _close(self) -> None:
        """Return when the watchdog has ended everything and itself."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def watch(pid: int) -> None:
    """If this program ends first, end this process and all that it starts. Does nothing if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        _watchdog(os.getpid()).tell({"process": [pid, psutil.Process(pid).create_time()]})


@contextmanager
def watched_folder(folder: Path) -> Iterator[Path]:
    """If this program is killed inside the block, remove the folder and end the PostgreSQL servers inside it.

    The folder must have a random name, so that only this program uses it.
    """
    _watchdog(os.getpid()).tell({"folder": str(folder.resolve())})
    try:
        yield folder
    finally:
        _watchdog(os.getpid()).tell({"forget": str(folder.resolve())})


@contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder. It is removed after the block, or if this program is killed inside the block."""
    name = f"{prefix}{secrets.token_hex(4)}"
    with watched_folder(Path(parent or tempfile.gettempdir()).resolve() / name) as folder:
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def run(
    command: Command, seconds: float, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> "subprocess.CompletedProcess[str]":
    """`subprocess.run` for a watched process. Returns its output, whatever its status."""
    process = subprocess.Popen(
        command,
        env=environment,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    watch(process.pid)
    with process:
        try:
            printed, complaints = process.communicate(timeout=seconds)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, printed, complaints)


@functools.cache
def _watchdog(_pid: int) -> Watchdog:
    """The watchdog of the process with that pid. A forked process has none yet and starts its own."""
    return Watchdog()
