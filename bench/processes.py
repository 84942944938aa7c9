"""Child processes in sessions of their own. They are ended by their pids, even if this program is killed by SIGKILL."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.watchdog import Command, watch

TERM_SECONDS = 20


class ToolFailed(Exception):
    """A program of a measurement failed. The message has its output."""


class Started:
    """A running program whose output is needed when it ends."""

    def __init__(self, process: "subprocess.Popen[str]", name: str) -> None:
        self._process = process
        self._name = name

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def output(self) -> str:
        """Wait for the end and return the output. Raises `ToolFailed` unless the status is 0."""
        printed, complaints = self._process.communicate()
        if self._process.returncode != 0:
            said = complaints.strip() or printed.strip()
            raise ToolFailed(f"{self._name} ended with status {self._process.returncode}: {said[-2000:]}")
        return printed


@contextmanager
def started(
    command: Command, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> Iterator[Started]:
    """A program that runs beside the block and is ended with it."""
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
    try:
        watch(process.pid)
        yield Started(process, Path(command[0]).name)
    finally:
        end(process)
        process.communicate()


def output_of(command: Command, environment: Mapping[str, str] | None = None, directory: Path | None = None) -> str:
    with started(command, environment, directory) as program:
        return program.output()


@contextmanager
def serving(
    command: Command, environment: Mapping[str, str], directory: Path, log: Path
) -> "Iterator[subprocess.Popen[bytes]]":
    """A server that runs while the block runs and writes to `log`.

    It does not get the terminal's Ctrl-C: otherwise a database could end before the server that uses it.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        watch(process.pid)
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
    """Terminate the process, and kill it after 20 seconds. Does nothing if it has ended."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(TERM_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
