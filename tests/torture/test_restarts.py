"""`slotwise serve` with its own embedded database, started, killed and stopped in an order that the seed decides."""

import re
import secrets
from pathlib import Path

import psutil
import pytest
from harness.watchdog import temporary_folder
from torture.restarts import BLOWS, Installation, walk

from tests.torture.command import torture


def _walk(steps: int) -> None:
    seed = secrets.randbelow(2**31)
    with temporary_folder("restarts-") as folder:
        walked = walk(seed, steps, folder, lambda _: None)
        said = (folder / "server.log").read_text()[-5000:]
    assert walked.violations == [], f"seed {seed}, {walked.steps}\n{said}"
    assert walked.acknowledged > steps


@pytest.mark.slow(reason="many starts of a server; a run of the torture ends with twice as many blows")
@pytest.mark.timeout(1200)
def test_the_server_comes_back_or_ends_after_each_kind_of_blow_and_loses_nothing() -> None:
    _walk(len(BLOWS))


@pytest.mark.slow  # it starts its own server, to check that the test above would notice this
def test_a_postmaster_that_is_left_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """As PostgreSQL 18 leaves one after a stalled shutdown."""
    monkeypatch.setattr("torture.restarts.ORPHAN_SECONDS", 0.0)
    with temporary_folder("restarts-") as folder:
        installation = Installation(folder)
        installation.start()
        assert installation.process is not None
        try:
            while not installation.serves():
                assert installation.process.poll() is None
            family = [psutil.Process(installation.process.pid), *installation.workers()]
            for process in family:
                process.kill()
            psutil.wait_procs(family, timeout=60)
            assert installation.left_behind() != []
        finally:
            installation.start()
            while not installation.serves():
                pass
            installation.end()
        assert installation.left_behind() == []


@pytest.mark.slow  # a server's start and a step, to see the command's report
def test_the_command_says_what_it_did_and_how_to_repeat_it(tmp_path: Path) -> None:
    ran = torture("restarts", "--steps", "1", "--seed", "7", "--directory", str(tmp_path), seconds=600)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "Restarts: valid   (seed 7)" in ran.stdout
    assert re.search(r"restarts --seed 7 --steps 1", ran.stderr)
    assert list(tmp_path.iterdir()) == []
