"""`kill -9` of the tests, `make bench` and `make torture` in the middle of their work leaves nothing behind."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from harness.watchdog import Command, watch

from harness import reaper
from tests.architecture.sources import ROOT as PACKAGE
from tests.clinic import eventually
from tests.clusters import RUN_FOLDER

PROJECT = PACKAGE.parents[1]
HANGING = PROJECT / "tests" / "harness" / "hanging.py"

# Each starts a whole installation: five to fifteen CPU seconds. `test_watchdog.py` tests the mechanism in one.
pytestmark = pytest.mark.slow


@contextmanager
def running(command: Command, folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """A program that has `folder` for all its files."""
    environment = {name: value for name, value in os.environ.items() if name != RUN_FOLDER}
    environment |= {"TMPDIR": str(folder), "READY": str(folder / "ready")}
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    watch(process.pid)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def installation(process: "subprocess.Popen[bytes]", folder: Path) -> set[psutil.Process]:
    """All processes that it has started, directly or not, including PostgreSQL, without its watchdogs."""
    found = {process.pid: psutil.Process(process.pid).create_time()}
    return reaper.family(found, [folder]) | reaper.databases([folder])


def serves(process: "subprocess.Popen[bytes]", folder: Path) -> bool:
    """Whether a server with workers and a database are among them."""
    assert process.poll() is None, "it has ended before it was killed"
    commands = [" ".join(member.cmdline()) for member in installation(process, folder) if reaper.is_alive(member)]
    return all(any(part in command for command in commands) for part in ("slotwise serve", "spawn_main", "postgres -D"))


def assert_nothing_is_left_of(started: set[psutil.Process]) -> None:
    eventually(lambda: not any(reaper.is_alive(member) for member in started))


@pytest.mark.parametrize("victim", ["the run", "a process that runs tests"])
def test_the_tests_leave_nothing_behind(victim: str, tmp_path: Path) -> None:
    with running(["pytest", "-n", "2", "-p", "no:cacheprovider", str(HANGING)], tmp_path) as run:
        eventually((tmp_path / "ready").exists)
        started = installation(run, tmp_path)
        if victim == "the run":
            run.kill()
            run.wait()
        else:
            [at_work] = {
                parent
                for member in started
                for parent in [member.parent()]
                if "slotwise serve" in " ".join(member.cmdline()) and parent is not None
            }
            at_work.kill()
            run.terminate()
            run.wait()
        assert_nothing_is_left_of(started)
        eventually(lambda: [path.name for path in tmp_path.iterdir()] == ["ready"])


@pytest.mark.skipif(shutil.which("wrk") is None, reason="NOT TESTED: no load generator (apt install wrk)")
def test_benchmarks_leave_nothing_behind(tmp_path: Path) -> None:
    results = tmp_path / "results"
    with running(["bench", "--only", "sold-out", "--seconds", "60", "--directory", str(results)], tmp_path) as bench:
        eventually(lambda: any(member.name() == "wrk" for member in alive(installation(bench, tmp_path))))
        assert serves(bench, tmp_path)
        started = installation(bench, tmp_path)
        bench.kill()
        bench.wait()
        assert_nothing_is_left_of(started)
        eventually(lambda: list(results.iterdir()) == [])


def test_the_torture_leaves_nothing_behind(tmp_path: Path) -> None:
    results = tmp_path / "results"
    with running(["torture", "run", "--directory", str(results)], tmp_path) as torture:
        eventually(lambda: serves(torture, tmp_path))
        started = installation(torture, tmp_path)
        torture.kill()
        torture.wait()
        assert_nothing_is_left_of(started)
        eventually(lambda: list(results.iterdir()) == [])


def alive(processes: set[psutil.Process]) -> set[psutil.Process]:
    return {process for process in processes if reaper.is_alive(process)}
