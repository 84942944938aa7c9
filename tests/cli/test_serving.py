"""How `slotwise serve` comes up and goes down, as its operator sees it."""

import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.clinic import RunningServer, eventually
from tests.conftest import running_server

Start = Callable[..., RunningServer]

# A worker of a slow machine takes longer to import than uvicorn's supervisor would wait for it (5 s).
SLOW_IMPORTS = """
import sys, time
if "spawn_main" in " ".join(sys.orig_argv):
    time.sleep(7)
"""


def test_workers_that_take_long_to_import_come_up_and_only_then_the_server_greets(
    start_server: Start, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SLOW_IMPORTS)
    server = start_server(PYTHONPATH=str(tmp_path), LOG_LEVEL="warning")
    eventually(lambda: "Slotwise    http" in server.log.read_text())
    lines = server.log.read_text().splitlines()
    assert lines[0].startswith("Waiting for a worker to start (")
    assert not [line for line in lines if "worker_replaced" in line]


def test_a_server_told_to_end_is_not_ready_while_it_still_takes_requests(start_server: Start) -> None:
    server = start_server(DRAIN_SECONDS="5")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: _readiness(server).json()["status"] == "draining")
    assert _readiness(server).status_code == 503
    assert httpx.get(f"{server.url}/health", verify=False).status_code == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(60) == 0


def _readiness(server: RunningServer) -> httpx.Response:
    return httpx.get(f"{server.url}/health/ready", verify=False)


def test_a_start_removes_the_metrics_of_killed_servers_and_of_no_others(database_url: str, tmp_path: Path) -> None:
    killed, living = tmp_path / "slotwise-metrics-killed", tmp_path / "slotwise-metrics-living"
    killed.mkdir()
    living.mkdir()
    lock = os.open(living, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        with running_server(database_url, {"TMPDIR": str(tmp_path)}):
            assert not killed.exists()
            assert len(list(tmp_path.glob("slotwise-metrics-*"))) == 2
    finally:
        os.close(lock)
    assert list(tmp_path.iterdir()) == [living]
