"""The start and the end of `slotwise serve`, as an operator sees them."""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from harness.watchdog import watch

from tests.clinic import PATIENCE_SECONDS, RunningServer, eventually
from tests.conftest import free_port, running_server

Start = Callable[..., RunningServer]

# A worker of a slow machine takes longer to import than uvicorn's supervisor would wait for it (5 s).
SLOW_IMPORTS = """
import sys, time
if "spawn_main" in " ".join(sys.orig_argv):
    time.sleep(7)
"""


@pytest.mark.slow(reason="it waits for a slow start")
def test_workers_that_take_long_to_import_come_up_and_only_then_the_server_greets(
    start_server: Start, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORTS)
    server = start_server(PYTHONPATH=str(tmp_path), LOG_LEVEL="warning")
    eventually(lambda: "Slotwise    http" in server.log.read_text())
    lines = server.log.read_text().splitlines()
    assert lines[0].startswith("Waiting for a worker to start (")
    assert not [line for line in lines if "worker_replaced" in line]


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_draining_server_is_not_ready_but_accepts_requests(start_server: Start) -> None:
    server = start_server(DRAIN_SECONDS="5")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: _readiness(server).json()["status"] == "draining")
    assert _readiness(server).status_code == 503
    assert httpx.get(f"{server.url}/health", verify=False).status_code == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_SECONDS) == 0


@pytest.mark.slow(reason="starts two servers")
def test_a_server_says_that_tomorrows_lists_cannot_be_written_and_writes_them_when_they_can(
    start_server: Start, tmp_path: Path
) -> None:
    folder = tmp_path / "lists"
    settings = {"EVENING_LIST_DIR": str(folder), "EVENING_LIST_TIME": "00:00", "CLINIC_TIME_ZONE": "UTC"}
    server = start_server(**settings)
    assert f"EVENING_LIST_DIR: cannot write to {folder}: No such file or directory." in server.log.read_text()
    problem = "EVENING_LIST_DIR cannot be written to: No such file or directory"
    eventually(lambda: _readiness(server).json()["warnings"] == [problem])
    assert _readiness(server).json()["status"] == "ready"
    folder.mkdir()
    other = start_server(**settings)
    eventually(lambda: len([path for path in folder.iterdir() if path.suffix != ".unfinished"]) == 2)
    assert _readiness(other).json()["warnings"] == []


def _readiness(server: RunningServer) -> httpx.Response:
    return httpx.get(f"{server.url}/health/ready", verify=False)


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_start_removes_the_metrics_of_killed_servers_and_of_no_others(database_url: str, tmp_path: Path) -> None:
    killed, living = tmp_path / "slotwise-counters-killed", tmp_path / "slotwise-counters-living"
    killed.mkdir()
    living.mkdir()
    lock = os.open(living, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with running_server(database_url, {"TMPDIR": str(tmp_path)}):
            assert not killed.exists()
            assert len(list(tmp_path.glob("slotwise-counters-*"))) == 2
    finally:
        os.close(lock)
    assert list(tmp_path.iterdir()) == [living]


@pytest.mark.slow(reason="two to five CPU seconds for a server of its own")
def test_a_server_survives_the_end_of_its_log_reader(database_url: str, tmp_path: Path) -> None:
    """As after `slotwise serve 2>&1 | grep -m1 Slotwise`: nothing reads its output any more."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"], "TMPDIR": str(tmp_path), "DATABASE_URL": database_url, "PORT": str(port),
        "SLOTWISE_DATA_DIR": str(tmp_path), "WORKERS": "1", "SEED_DEMO": "off", "DRAIN_SECONDS": "0",
    }  # fmt: skip
    process = subprocess.Popen(
        [Path(sys.executable).with_name("slotwise"), "serve"], env=environment, cwd=tmp_path, stderr=subprocess.PIPE
    )
    watch(process.pid)
    try:
        assert process.stderr is not None
        process.stderr.close()
        server = RunningServer(f"http://127.0.0.1:{port}", process, tmp_path / "log", database_url)
        eventually(lambda: _answers(server))
    finally:
        process.terminate()
    assert process.wait(PATIENCE_SECONDS) == 0


def _answers(server: RunningServer) -> bool:
    assert server.process.poll() is None
    with suppress(httpx.TransportError):
        return httpx.get(f"{server.url}/health", verify=False).status_code == 200
    return False
