"""Everything that a killed program has started ends too."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from harness.watchdog import watch

from harness import reaper
from tests.architecture.sources import ROOT as PACKAGE
from tests.clinic import eventually

PROJECT = PACKAGE.parents[1]

# A process tree that ignores SIGTERM, with an orphan, a PostgreSQL that is no child, and a folder.
STARTER = """
import json, subprocess, sys, time
from pathlib import Path
from harness.watchdog import temporary_folder, watch
from tests.postgres import OwnPostgres

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {DEAF!r}]); {DEAF}"
ORPHAN = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {DEAF!r}], stdout=sys.stderr).pid)"

def start(code):
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    watch(process.pid)
    return process

with temporary_folder("watched-") as folder:
    parent, left = start(PARENT), start(ORPHAN)
    parent.stdout.readline(), parent.stdout.readline()
    orphan = int(left.stdout.readline())
    left.wait()
    database = OwnPostgres(folder)
    database.start()
    print(json.dumps({"pids": [parent.pid, orphan, database.pid], "folder": str(folder)}), flush=True)
    time.sleep(600)
"""


@contextmanager
def program(code: str) -> "Iterator[tuple[subprocess.Popen[str], dict[str, object]]]":
    """A program and the line of JSON that it has printed."""
    with subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        watch(process.pid)
        assert process.stdout is not None
        try:
            yield process, json.loads(next(line for line in process.stdout if line.startswith("{")))
        finally:
            process.kill()


def family_of(pids: list[int]) -> list[psutil.Process]:
    parents = [psutil.Process(pid) for pid in pids]
    return [member for parent in parents for member in (parent, *parent.children(recursive=True))]


@pytest.mark.slow(reason="it starts an installation and kills it")
def test_nothing_outlives_a_program_that_is_killed() -> None:
    with program(STARTER) as (starter, started):
        pids, folder = started["pids"], started["folder"]
        assert isinstance(pids, list)
        family = family_of(pids)
        assert len(family) > 4
        starter.kill()
        starter.wait()
    eventually(lambda: not any(reaper.is_alive(member) for member in family))
    eventually(lambda: not Path(str(folder)).exists())


def test_a_later_process_with_the_same_pid_is_left_alone() -> None:
    with program("import time; print('{}', flush=True); time.sleep(600)") as (bystander, _):
        began = psutil.Process(bystander.pid).create_time()
        assert [member.pid for member in reaper.family({bystander.pid: began}, [])] == [bystander.pid]
        assert reaper.family({bystander.pid: began - 1}, []) == set()


def test_a_program_outside_the_folders_is_left_alone(tmp_path: Path) -> None:
    """It runs in another folder, whose name begins like one of ours."""
    ours, other = tmp_path / "folder", tmp_path / "folder-of-others"
    ours.mkdir()
    other.mkdir()
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
    with subprocess.Popen(sleep, cwd=other, stdout=subprocess.PIPE) as bystander:
        assert bystander.stdout is not None
        try:
            bystander.stdout.readline()
            assert reaper.family({}, [ours]) == set()
            assert [member.pid for member in reaper.family({}, [other])] == [bystander.pid]
        finally:
            bystander.kill()
