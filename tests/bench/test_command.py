"""`python -m bench` as a person runs it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from bench.scenarios import SCENARIOS
from bench.tools import H2LOAD, PGBENCH, WRK, MissingTools, find, require
from harness.watchdog import run, watch

from harness import reaper
from tests.architecture.sources import ROOT as PACKAGE
from tests.clinic import PATIENCE_SECONDS, eventually

PROJECT = PACKAGE.parents[1]

needs_wrk = pytest.mark.skipif(shutil.which("wrk") is None, reason="NOT TESTED: no load generator (apt install wrk)")


def environment() -> dict[str, str]:
    binaries = os.environ.get("SLOTWISE_TEST_POSTGRES_BIN")
    chosen = {"SLOTWISE_POSTGRES_BIN": binaries} if binaries else {}
    return {"PATH": os.environ["PATH"], "TMPDIR": tempfile.gettempdir(), "COLUMNS": "200", **chosen}


def bench(*arguments: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    return run([sys.executable, "-m", "bench", *arguments], PATIENCE_SECONDS, environment() | settings, PROJECT)


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
    assert said.count("wrk is not installed") == 1
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
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_stops_all_that_it_started(tmp_path: Path, number: signal.Signals) -> None:
    """Also where a shell has started it in the background, which has programs ignore SIGINT."""
    command = [sys.executable, "-m", "bench", "--only", "sold-out", "--seconds", "60", "--directory", str(tmp_path)]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    finally:
        signal.signal(signal.SIGINT, before)
    watch(process.pid)
    started = _until_load_runs(process, tmp_path)
    process.send_signal(number)
    assert process.wait(PATIENCE_SECONDS) != 0
    eventually(lambda: not any(reaper.is_alive(member) for member in started))
    assert list(tmp_path.iterdir()) == []


def _until_load_runs(process: "subprocess.Popen[bytes]", directory: Path) -> set[psutil.Process]:
    """All processes of a run, PostgreSQL included, once wrk is among them."""

    def loads() -> bool:
        assert process.poll() is None, "it has ended by itself"
        return any(_is_wrk(member) for member in psutil.Process(process.pid).children(recursive=True))

    eventually(loads)
    family = reaper.family({process.pid: psutil.Process(process.pid).create_time()}, [])
    return family | reaper.databases([directory])


def _is_wrk(process: psutil.Process) -> bool:
    try:
        return process.name() == "wrk"
    except psutil.NoSuchProcess:
        return False
