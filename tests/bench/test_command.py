"""`python -m bench` as a person runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from bench.scenarios import SCENARIOS
from bench.tools import H2LOAD, PGBENCH, WRK, MissingTools, find, require

from tests.architecture.sources import ROOT as PACKAGE

PROJECT = PACKAGE.parents[1]

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="NOT TESTED: no load generator (apt install wrk)")


def environment() -> dict[str, str]:
    binaries = os.environ.get("SLOTWISE_TEST_POSTGRES_BIN")
    chosen = {"SLOTWISE_POSTGRES_BIN": binaries} if binaries else {}
    return {"PATH": os.environ["PATH"], "COLUMNS": "200", **chosen}


def bench(*arguments: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=PROJECT, env=environment() | settings, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip


def test_the_scenarios_are_listed_with_what_each_needs() -> None:
    done = bench("--list")
    assert done.returncode == 0
    assert all(f"{scenario.name}\n    {scenario.sentence}" in done.stdout for scenario in SCENARIOS)
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


def test_an_unknown_scenario_is_refused_with_the_known_ones() -> None:
    done = bench("--only", "hot-slots")
    assert done.returncode == 2
    assert "hot-slots" in done.stderr
    assert "sold-out" in done.stderr


def test_a_missing_tool_is_named_with_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(MissingTools) as missing:
        require([WRK, H2LOAD, WRK])
    said = str(missing.value)
    assert said.count("wrk is not here") == 1
    assert all(remedy in said for remedy in ("apt install wrk", "brew install wrk", "apt install nghttp2-client"))


def test_pgbench_comes_with_the_embedded_postgresql(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert find(PGBENCH) is not None


def test_without_a_load_generator_the_command_ends_before_it_starts_anything(tmp_path: Path) -> None:
    done = bench("--only", "sold-out", "--directory", tmp_path / "new", PATH="/nonexistent")
    assert done.returncode == 1
    assert "apt install wrk" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


@needs_wrk
@pytest.mark.slow  # ten CPU seconds for an installation under load
def test_a_scenario_runs_from_start_to_table_and_leaves_nothing_behind(tmp_path: Path) -> None:
    files: list[str | Path] = ["--json", tmp_path / "figures.json", "--svg", tmp_path / "chart.svg"]
    done = bench("--quick", "--only", "sold-out", "--workers", "1", "--directory", tmp_path / "run", *files)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "refusals, times bookings" in done.stdout
    [result] = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert all(finding["series"]["values"][0] > 0 for finding in result["findings"])
    assert "<svg" in (tmp_path / "chart.svg").read_text()
    assert list((tmp_path / "run").iterdir()) == []


@needs_wrk
@pytest.mark.slow  # ten CPU seconds for an installation under load
def test_an_interrupted_run_stops_all_that_it_started(tmp_path: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "bench",
        "--only",
        "sold-out",
        "--seconds",
        "30",
        "--directory",
        tmp_path,
    ]
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    started = _until_load_runs(process.pid, tmp_path)
    process.send_signal(signal.SIGINT)
    process.wait(30)
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []
    assert list(tmp_path.iterdir()) == []


def _until_load_runs(pid: int, directory: Path) -> list[psutil.Process]:
    """All processes of a run, PostgreSQL included, once wrk is among them."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = psutil.Process(pid).children(recursive=True)
        if any(child.name() == "wrk" for child in children):
            [said] = directory.glob("data-*/data/postgres/postmaster.pid")
            return [*children, psutil.Process(int(said.read_text().split()[0]))]
        time.sleep(0.1)
    raise AssertionError("the load never started")
