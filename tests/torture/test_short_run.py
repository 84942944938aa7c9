"""The short form of `make torture`. A failure prints the seed that repeats its plan."""

import re
import secrets
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from harness.watchdog import watch
from torture.faults import FAULTS
from torture.history import WRITES, Attempt, effect_of, read_history
from torture.patients import CONTENDERS
from torture.plan import Plan, brief_plan, short_plan
from torture.roads import CARVING, DRIVEN
from torture.rules.unknowns import find_untold

from tests.clinic import PATIENCE_SECONDS
from tests.depth import THOROUGH
from tests.torture.command import PROJECT, torture

# A run ends by its amounts. This is only for one that hangs.
MOST_SECONDS = 75 * 60
# Visits in open time, by each road to one. A quiet machine makes two hundred, a busy one fewer, as it does less beside
# the writes of patients.
LEAST_CARVED = 5


@pytest.mark.skipif(THOROUGH, reason="the short run below does more of the same")
@pytest.mark.timeout(MOST_SECONDS)
def test_a_brief_run_is_valid_and_reaches_its_figures(tmp_path: Path) -> None:
    """1,000 acknowledged writes, 6 faults, 100 races; every unknown outcome resolved."""
    _must_be_valid("--brief", brief_plan(0), tmp_path)


@pytest.mark.slow(reason="two minutes on a quiet machine")
@pytest.mark.timeout(MOST_SECONDS)
def test_a_short_run_is_valid_and_reaches_its_figures(tmp_path: Path) -> None:
    """20,000 acknowledged writes, 20 faults of at least 6 kinds, 500 races; every way in is used, and serves."""
    ran, attempts = _must_be_valid("--short", short_plan(0), tmp_path)
    assert len(re.findall(rf"^ *({'|'.join(fault.kind for fault in FAULTS)}) ", ran, re.MULTILINE)) >= 6
    served = {attempt.road for attempt in attempts if attempt.outcome == "ok"}
    assert not {road.name for road in DRIVEN} - served, "on the list of what is driven, and never done"
    carved = Counter(attempt.road for attempt in attempts if attempt.is_carving and attempt.outcome == "ok")
    assert min(carved[road.name] for road in CARVING) >= LEAST_CARVED, carved


def _must_be_valid(form: str, plan: Plan, folder: Path) -> tuple[str, list[Attempt]]:
    seed = str(secrets.randbelow(2**31))
    ran = torture("run", form, "--keep", "--seed", seed, "--directory", str(folder), seconds=MOST_SECONDS)
    assert ran.returncode == 0, f"seed {seed}\n{ran.stdout}\n{ran.stderr}"
    assert "Verdict: valid" in ran.stdout
    [history] = folder.glob("run-*/history.jsonl")
    attempts = list(read_history(history))
    acknowledged = {effect_of(one) for one in attempts if one.outcome == "ok" and one.name in WRITES}
    assert len(acknowledged) >= plan.acknowledged
    assert sum(one.purpose == "race" for one in attempts) >= plan.races * CONTENDERS
    assert find_untold(attempts) == []
    assert set(range(plan.faults + 1)) <= {one.epoch for one in attempts}
    return ran.stdout, attempts


@pytest.mark.slow(reason="it waits for a fault that has stopped a database")
def test_a_terminated_run_leaves_nothing_behind(tmp_path: Path) -> None:
    """It is terminated during a fault that has stopped the whole database."""
    harness = subprocess.Popen(
        [sys.executable, "-m", "torture", "run", "--only", "stop-database", "--directory", str(tmp_path)],
        cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    watch(harness.pid)
    started = _family_once_stopped(psutil.Process(harness.pid), tmp_path)
    harness.terminate()
    said, _ = harness.communicate(timeout=PATIENCE_SECONDS)
    _, alive = psutil.wait_procs(started, timeout=PATIENCE_SECONDS)
    assert alive == []
    assert harness.returncode == 1
    assert "There is no verdict. Everything is kept in" in said


def _family_once_stopped(harness: psutil.Process, folder: Path) -> list[psutil.Process]:
    """The processes that a run has started, as soon as its database is stopped."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        for file in folder.glob("run-*/database/postgres/postmaster.pid"):
            words = file.read_text().split()
            if words and psutil.pid_exists(int(words[0])):
                postmaster = psutil.Process(int(words[0]))
                if postmaster.status() == psutil.STATUS_STOPPED:
                    return [*harness.children(recursive=True), postmaster, *postmaster.children(recursive=True)]
        time.sleep(0.02)
    raise AssertionError("the database was never stopped")


@pytest.mark.slow(reason="a run until its time is up, and another to look at it")
def test_a_failing_run_says_how_to_look_at_it(tmp_path: Path) -> None:
    """This run does not reach its figures in time, so its verdict is unknown."""
    ran = torture(
        "run", "--minutes", "0.25", "--faults", "1", "--only", "hang-up", "--races", "1", "--directory", str(tmp_path)
    )
    assert ran.returncode == 1, ran.stderr
    assert "Verdict: UNKNOWN" in ran.stdout, ran.stdout
    assert "Everything is kept in" in ran.stderr
    [folder] = tmp_path.glob("run-*")
    held = next(one for one in read_history(folder / "history.jsonl") if one.name == "hold" and one.outcome == "ok")
    looked = torture("look", str(folder), "--slot", str(held.slot_id)).stdout
    assert re.search(r"^\d\d:\d\d:\d\d\.\d{6}  +\d+  \w+ +(hold|confirm|cancel)", looked, re.MULTILINE), looked


def test_an_unknown_kind_or_mutant_is_refused_by_name() -> None:
    for arguments in (("run", "--only", "nonsense"), ("mutants", "--only", "nonsense")):
        refused = torture(*arguments)
        assert refused.returncode == 2
        assert "there is no" in refused.stderr
        assert "nonsense" in refused.stderr


def test_the_kinds_of_faults_are_listed() -> None:
    listed = torture("run", "--list").stdout
    assert all(f"{fault.kind}\n    {fault.sentence}" in listed for fault in FAULTS)
