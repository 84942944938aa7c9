"""`slotwise evening-list`, run as an operator runs it; also with a process that is killed on the way."""

import signal
import stat
from functools import partial
from pathlib import Path

import pytest

from tests.cli.test_commands import invoke, plain_complaint
from tests.clinic import slotwise


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
def test_a_day_without_appointments_for_ever_is_refused_in_a_line(day: str) -> None:
    assert "is out of range" in plain_complaint(invoke("evening-list", "--day", day).stderr)


@pytest.mark.slow(reason="eight commands, each of which takes a second to start")
def test_tomorrows_lists_are_written_on_command_and_survive_a_kill(database_url: str, tmp_path: Path) -> None:
    folder, armed = tmp_path / "lists", tmp_path / "armed"
    for made in (folder, armed):
        made.mkdir()
    old = ("evening-list", "--day", "2024-03-04", "--directory", f"{folder}/.")
    refused = slotwise(database_url, *old, EVENING_LIST_DIR=str(folder))
    assert "the server deletes lists before" in plain_complaint(refused.stderr)
    assert not list(folder.iterdir())
    assert slotwise(database_url, *old).returncode == 0, "the server deletes only from its own directory"
    for path in folder.iterdir():
        path.unlink()
    command = ("evening-list", "--day", "2031-03-04")
    assert "EVENING_LIST_DIR" in plain_complaint(slotwise(database_url, *command).stderr)
    missing = slotwise(database_url, *command, "--directory", str(tmp_path / "none"))
    assert "No such file or directory" in plain_complaint(missing.stderr)
    other = slotwise(database_url, *command, "--directory", str(folder), "--clinic", "7")
    assert "there is no clinic 7; there is 1 (Slotwise)" in plain_complaint(other.stderr)

    (armed / "write_evening_list.after_commit").touch()
    run = partial(slotwise, database_url, *command, EVENING_LIST_DIR=str(folder), CRASH_POINTS=str(armed))
    assert run().returncode == -signal.SIGKILL
    left = list(folder.iterdir())
    assert {path.suffix for path in left} == {".unfinished"}, "a list has its name only when it is complete"
    assert {stat.S_IMODE(path.stat().st_mode) for path in left} == {0o600}
    done = run()
    assert done.returncode == 0, done.stderr
    written = [folder / f"clinic-1-2031-03-04.{ending}" for ending in ("html", "csv")]
    assert done.stdout.split() == [str(path) for path in written]
    assert "Nobody is booked" in written[0].read_text()
