"""Nothing that this program starts outlives it, `kill -9` included: a watchdog of its own ends what is left.

The watchdog holds the reading end of a pipe whose writing end only this program has. See `reaper.py` for what it does.
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
    """One for each program, started with the first thing that it watches."""

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
        """Return when it has ended, and with it everything."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def watch(pid: int) -> None:
    """End this process, with all it starts, when this program ends before it. Does nothing when it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess):
        _watchdog(os.getpid()).tell({"process": [pid, psutil.Process(pid).create_time()]})


@contextmanager
def watched_folder(folder: Path) -> Iterator[Path]:
    """When this program is killed inside the block, the folder goes, and with it the PostgreSQL servers inside it.

    Its name must be a random one, that is of this program alone.
    """
    _watchdog(os.getpid()).tell({"folder": str(folder.resolve())})
    try:
        yield folder
    finally:
        _watchdog(os.getpid()).tell({"forget": str(folder.resolve())})


@contextmanager
def temporary_folder(prefix: str, parent: Path | None = None) -> Iterator[Path]:
    """A new folder, which is gone after the block and when this program is killed inside it."""
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
    """`subprocess.run` of a watched process: what it printed, whatever its status."""
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
    """Of the process with that pid: a fork has none yet, and starts its own."""
    return Watchdog()
