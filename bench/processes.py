"""Child processes: out of the terminal's reach, and ended by their own pids, `kill -9` of this program included."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from harness.watchdog import Command, watch

TERM_SECONDS = 20


class ToolFailed(Exception):
    """A program that was run for a measurement did not end well; the message has what it said."""


class Started:
    """A program at work whose output is wanted when it is done."""

    def __init__(self, process: "subprocess.Popen[str]", name: str) -> None:
        self._process = process
        self._name = name

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def output(self) -> str:
        """What it printed, once it has ended. Raises `ToolFailed` unless that was with status 0."""
        printed, complaints = self._process.communicate()
        if self._process.returncode != 0:
            said = complaints.strip() or printed.strip()
            raise ToolFailed(f"{self._name} ended with status {self._process.returncode}: {said[-2000:]}")
        return printed


@contextmanager
def started(
    command: Command, environment: Mapping[str, str] | None = None, directory: Path | None = None
) -> Iterator[Started]:
    """A program that runs beside what is in the block; it does not outlive the block."""
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
    """A server that runs as long as the block, and writes to `log`.

    Ctrl-C must reach only us: a database may not go before what uses it.
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
    """Ask it to end, and kill it when it does not within 20 seconds. Does nothing when it has ended."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(TERM_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
